//! A blocking connection to a Nod host, for the command line and for programs inside tasks.
//!
//! Owns the wire (lines, ids, the hello), the retries of a call that must
//! survive its host, and what a task's environment says. Leaves to its callers
//! what is asked, what is printed, and whether a host is started.

mod connection;
mod error;
mod handing_over;
mod in_task;
mod lines;
mod operation;
mod retrying;

use std::path::PathBuf;

use nod_core::paths::{Paths, PathsError};

pub use connection::{Connection, Incoming};
pub use error::ClientError;
pub use handing_over::stop_host;
pub use in_task::TaskEnvironment;
pub use operation::new_operation;
pub use retrying::{Door, Next, persist};

/// Returns where this user's host and its data lie, from the environment of this process.
pub fn find_paths() -> Result<Paths, PathsError> {
    Paths::find(|name| std::env::var_os(name).map(PathBuf::from), own_uid())
}

/// Returns where the host of a data directory listens: where it says so itself, if there was one.
#[must_use]
pub fn find_socket(paths: &Paths) -> PathBuf {
    let written = std::fs::read_to_string(paths.host_lock()).unwrap_or_default();
    let socket = PathBuf::from(written.trim_end());
    if socket.is_absolute() { socket } else { paths.socket() }
}

/// Returns the user that this process acts as.
fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
