//! What a host and a shim of protocol 1 say to each other.

pub(crate) mod ids;
pub(crate) mod shim;
pub(crate) mod task;
