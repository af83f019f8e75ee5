//! The parts of a task that a shim of protocol 1 knows.

use serde::{Deserialize, Serialize};

use super::ids::Timestamp;

/// What a task's stdout and stderr are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputMode {
    /// A pseudo-terminal: programs show colours and progress bars.
    #[default]
    Terminal,
    /// One pipe that the shim copies into the log.
    Pipe,
}

/// How far the ladder of signals is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StopStage {
    /// The last signal sent, such as `SIGTERM`.
    pub(crate) signal: String,
    /// When the next signal follows; nothing follows SIGKILL.
    pub(crate) next_at: Option<Timestamp>,
    /// The processes that are still alive, such as `make (4711)`.
    pub(crate) waits_for: Vec<String>,
}

/// Why no process came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpawnError {
    pub(crate) program: String,
    pub(crate) cwd: String,
    pub(crate) message: String,
    /// The program or the folder does not exist.
    pub(crate) not_found: bool,
}

/// How a process ended, as wait(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ExitStatus {
    Code { code: i32 },
    Signal { signal: i32 },
}
