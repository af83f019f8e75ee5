//! What the tests stand on: a data directory of their own, a real host, real processes.

pub mod home;
pub mod host;
pub mod processes;
pub mod wait;

pub use home::{Home, Ran};
pub use host::TestHost;
pub use wait::until;
