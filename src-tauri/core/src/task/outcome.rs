//! How a task ended, in words and as an exit code.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::StateName;
use crate::access::Actor;
use crate::ids::TaskId;

/// How a task ended. Entered once, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Failed { failure: Failure },
    Cancelled { by: Actor },
    TimedOut,
    Denied { denial: Denial },
    Skipped { dependency: TaskId },
    Lost { why: String },
}

/// What made a task fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Failure {
    Exit {
        code: i32,
    },
    Signal {
        signal: i32,
    },
    Spawn {
        error: SpawnError,
    },
    /// It said so itself, and exited with 0.
    Said {
        message: String,
    },
}

/// Why no process came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SpawnError {
    pub program: String,
    pub cwd: String,
    pub message: String,
    /// The program or the folder does not exist.
    pub not_found: bool,
}

/// Why a gate did not open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Denial {
    ByPerson { by: Actor, reason: Option<String> },
    Expired,
}

/// How a process ended, as wait(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExitStatus {
    Code { code: i32 },
    Signal { signal: i32 },
}

impl Outcome {
    #[must_use]
    pub fn name(&self) -> StateName {
        match self {
            Self::Succeeded => StateName::Succeeded,
            Self::Failed { .. } => StateName::Failed,
            Self::Cancelled { .. } => StateName::Cancelled,
            Self::TimedOut => StateName::TimedOut,
            Self::Denied { .. } => StateName::Denied,
            Self::Skipped { .. } => StateName::Skipped,
            Self::Lost { .. } => StateName::Lost,
        }
    }

    /// Returns the words that a person reads.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Succeeded => "Succeeded".to_owned(),
            Self::Failed { failure: Failure::Exit { code } } => format!("Failed (exit {code})"),
            Self::Failed { failure: Failure::Signal { signal } } => {
                format!("Failed ({})", signal_name(*signal))
            }
            Self::Failed { failure: Failure::Spawn { .. } } => "Failed (did not start)".to_owned(),
            Self::Failed { failure: Failure::Said { .. } } => "Failed".to_owned(),
            Self::Cancelled { .. } => "Cancelled".to_owned(),
            Self::TimedOut => "Timed out".to_owned(),
            Self::Denied { denial: Denial::ByPerson { .. } } => "Denied".to_owned(),
            Self::Denied { denial: Denial::Expired } => "Denied (expired)".to_owned(),
            Self::Skipped { .. } => "Skipped".to_owned(),
            Self::Lost { .. } => "Lost".to_owned(),
        }
    }

    /// Returns more than the words say, where there is more.
    #[must_use]
    pub fn explanation(&self) -> Option<String> {
        match self {
            Self::Succeeded | Self::TimedOut => None,
            Self::Failed { failure: Failure::Spawn { error } } => Some(format!(
                "failed to start `{}` in {}: {}",
                error.program, error.cwd, error.message
            )),
            Self::Failed { failure: Failure::Exit { .. } | Failure::Signal { .. } } => None,
            Self::Failed { failure: Failure::Said { message } } => Some(message.clone()),
            Self::Cancelled { by } => Some(format!("cancelled by {}", by.words())),
            Self::Denied { denial: Denial::Expired } => Some("nobody answered in time".to_owned()),
            Self::Denied { denial: Denial::ByPerson { by, reason } } => Some(match reason {
                Some(reason) => format!("denied by {}: {reason}", by.words()),
                None => format!("denied by {}", by.words()),
            }),
            Self::Skipped { dependency } => Some(format!("task {dependency} did not succeed")),
            Self::Lost { why } => Some(why.clone()),
        }
    }

    /// Returns the code with which a command that waits for the task exits.
    ///
    /// A task's own code where it has one, the shell's 128 + signal, and the
    /// codes of timeout(1) and env(1) where no code exists. Never 0 but for success.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Failed { failure: Failure::Said { .. } } => 1,
            Self::Failed { failure: Failure::Exit { code } } => match u8::try_from(*code) {
                Ok(0) | Err(_) => 1,
                Ok(code) => code,
            },
            Self::Failed { failure: Failure::Signal { signal } } => {
                u8::try_from(128 + signal).unwrap_or(1)
            }
            Self::Failed { failure: Failure::Spawn { error } } => {
                if error.not_found {
                    127
                } else {
                    126
                }
            }
            Self::Cancelled { .. } => 130,
            Self::TimedOut => 124,
            Self::Denied { .. } => 77,
            Self::Skipped { .. } => 78,
            Self::Lost { .. } => 125,
        }
    }
}

/// Returns the name of a signal on Linux, such as `SIGKILL`.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Surface;

    #[test]
    fn only_success_exits_with_zero() {
        let person = Actor::Person { surface: Surface::Window };
        let exit = |code| Outcome::Failed { failure: Failure::Exit { code } };
        let spawn = |not_found| Outcome::Failed {
            failure: Failure::Spawn {
                error: SpawnError {
                    program: "x".into(),
                    cwd: "/".into(),
                    message: "no".into(),
                    not_found,
                },
            },
        };
        let cases = [
            (Outcome::Succeeded, 0, "Succeeded"),
            (exit(2), 2, "Failed (exit 2)"),
            (exit(256), 1, "Failed (exit 256)"),
            (Outcome::Failed { failure: Failure::Signal { signal: 9 } }, 137, "Failed (SIGKILL)"),
            (spawn(true), 127, "Failed (did not start)"),
            (spawn(false), 126, "Failed (did not start)"),
            (Outcome::Cancelled { by: person.clone() }, 130, "Cancelled"),
            (Outcome::TimedOut, 124, "Timed out"),
            (
                Outcome::Denied { denial: Denial::ByPerson { by: person, reason: None } },
                77,
                "Denied",
            ),
            (Outcome::Denied { denial: Denial::Expired }, 77, "Denied (expired)"),
            (Outcome::Skipped { dependency: TaskId(1) }, 78, "Skipped"),
            (Outcome::Lost { why: "gone".into() }, 125, "Lost"),
        ];
        for (outcome, code, words) in cases {
            assert_eq!(outcome.exit_code(), code, "{outcome:?}");
            assert_eq!(outcome.words(), words);
        }
    }
}
