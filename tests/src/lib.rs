//! What the tests stand on: a data directory of their own, a real host, real processes.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

pub mod accessibility;
pub mod clock;
pub mod desktop;
pub mod display;
pub mod home;
pub mod host;
pub mod means;
pub mod processes;
pub mod seat;
pub mod wait;
pub mod window;

pub use clock::Clock;
pub use desktop::Desktop;
pub use home::{Home, Ran};
pub use host::TestHost;
pub use means::has_means;
pub use wait::until;
pub use window::{Window, by_name};
