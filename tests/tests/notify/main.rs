//! Desktop notifications, on a session bus of each test's own.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

mod approve;
mod buttons;
mod server;
mod told;

/// What turns answers in a terminal on, which waits for the person.
const LOOSER: &str = "[approvals]\nterminal = true\n";
