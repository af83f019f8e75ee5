//! The least that any program would need for the same thing.

pub(crate) mod commit;
pub(crate) mod spawn_loop;
