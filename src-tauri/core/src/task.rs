//! A task as everyone sees it: what it runs, where it stands. How it ended is in [`outcome`].
//!
//! How a state follows from another is decided in [`crate::transition`].

mod outcome;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::access::Actor;
use crate::command::CommandLine;
use crate::ids::{AttemptNumber, RequestId, SessionId, TaskId, Timestamp};
use crate::progress::Progress;
use crate::schedule::Schedule;

pub use outcome::{Denial, ExitStatus, Failure, Outcome, SpawnError, signal_name};

/// The kind of a task that no template made.
pub const PLAIN_KIND: &str = "command";

/// One command that Nod runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Task {
    pub id: TaskId,
    pub kind: String,
    pub label: Option<String>,
    pub command: CommandLine,
    /// The folder it runs in, an absolute path.
    pub cwd: String,
    pub output: OutputMode,
    pub options: RunOptions,
    /// The agent conversation that the result is for.
    pub session: Option<SessionId>,
    /// The task that submitted this one.
    pub parent: Option<TaskId>,
    /// How long the process may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// A person must approve before the process exists.
    pub ask_first: bool,
    /// When it may start.
    pub schedule: Schedule,
    /// The current try, or the last one.
    pub attempt: AttemptNumber,
    pub state: TaskState,
    /// What else is to be said of a running task.
    pub condition: Condition,
    /// Lies beside the state: neither an answer nor the end wipes it.
    pub progress: Option<Progress>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

impl Task {
    /// Returns what to call the task: its label, or else its command.
    #[must_use]
    pub fn name(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.command.display())
    }

    /// Returns the words that a person reads: those of the state, and what is beside it.
    #[must_use]
    pub fn words(&self) -> String {
        let condition = &self.condition;
        match &self.state {
            TaskState::Running | TaskState::Waiting { .. } if condition.paused => {
                "Paused".to_owned()
            }
            TaskState::Running if condition.prompt.is_some() => "Needs input".to_owned(),
            TaskState::Waiting { .. } if condition.wants_input => "Needs input".to_owned(),
            TaskState::Queued { .. }
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Waiting { .. }
            | TaskState::Stopping { .. }
            | TaskState::Ended { .. } => self.state.words(),
        }
    }
}

/// How a task is to be run, where that differs from what the config file says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct RunOptions {
    /// How long each signal of a cancel may take to work, in milliseconds.
    pub grace_ms: Option<u64>,
    /// What the main process leaves behind goes on.
    pub keep_children: bool,
    /// How many bytes of the disk the log may take; 0 for all there are.
    pub log_limit: Option<u64>,
}

/// What is true of a running task beside its state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct Condition {
    /// Its processes are halted. The deadline goes on.
    pub paused: bool,
    /// Its output has no room on the disk; the task waits until it has. Known while it is so, and
    /// not stored.
    pub disk_full: bool,
    /// Its log grows past its bound: the file system there cannot give back a part of a file.
    pub unbounded_log: bool,
    /// None of the questions that it waits for is an approval.
    pub wants_input: bool,
    /// The line that it printed last and that looks like a question, where it has been silent since.
    pub prompt: Option<String>,
    /// What the task said of its own outcome; stays after the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub said: Option<TaskSaid>,
}

/// What a task says of its own outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TaskSaid {
    Result {
        #[ts(type = "unknown")]
        data: serde_json::Value,
        /// Words for people beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        message: Option<String>,
    },
    Failed {
        message: String,
    },
}

/// What a task's stdout and stderr are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum OutputMode {
    /// A pseudo-terminal: programs show colours and progress bars.
    #[default]
    Terminal,
    /// The same terminal as its input too, and as its controlling terminal: people type into it.
    Interactive,
    /// One pipe that the shim copies into the log.
    Pipe,
    /// The log itself: no copy is made, at the speed of the disk.
    Direct,
}

impl OutputMode {
    /// Returns whether the task's output is a terminal.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Terminal | Self::Interactive => true,
            Self::Pipe | Self::Direct => false,
        }
    }
}

/// Where a task stands. A task is in exactly one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum TaskState {
    Queued {
        reason: QueueReason,
    },
    Starting,
    Running,
    /// Running, with questions open; the set is never empty.
    Waiting {
        open: BTreeSet<RequestId>,
    },
    /// Being ended, or its left-over processes are.
    Stopping {
        cause: StopCause,
        /// What the shim does about it, once it has said so.
        stage: Option<StopStage>,
        /// Who cancelled it after its end had begun for another reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        cancelled_by: Option<Actor>,
    },
    Ended {
        outcome: Outcome,
    },
}

/// Why a task has not started yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum QueueReason {
    /// No slot of its group is free.
    Slot,
    /// A person must approve it first.
    Gate { request: RequestId },
    /// These have not ended.
    Dependency { tasks: BTreeSet<TaskId> },
    /// It is too early, or too soon after the last try.
    Delay { until: Timestamp },
    /// Its group is paused.
    Paused,
    /// Too little of a named resource is free.
    Resource { name: String },
    /// As many of its kind or session run as may at once.
    Cap { of: String },
}

/// Why a running task is being ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StopCause {
    Cancelled {
        by: Actor,
    },
    TimedOut,
    /// The main process ended by itself and left others behind.
    LeftProcesses,
}

/// How far the ladder of signals is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct StopStage {
    /// The last signal sent, such as `SIGTERM`.
    pub signal: String,
    /// When the next signal follows; nothing follows SIGKILL.
    pub next_at: Option<Timestamp>,
    /// The processes that are still alive, such as `make (4711)`.
    pub waits_for: Vec<String>,
    /// The processes that cannot be ended, such as `cannot kill pid 4712 of root`.
    #[serde(default)]
    pub refused: Vec<String>,
}

/// The state's bare name, for filters and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    Queued,
    Starting,
    Running,
    Waiting,
    Stopping,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    Denied,
    Skipped,
    Lost,
}

impl StateName {
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Waiting,
        Self::Stopping,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
        Self::Denied,
        Self::Skipped,
        Self::Lost,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Denied => "denied",
            Self::Skipped => "skipped",
            Self::Lost => "lost",
        }
    }

    /// Returns the state that is written as `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }

    #[must_use]
    pub fn is_terminal(self) -> bool {
        self >= Self::Succeeded
    }
}

impl TaskState {
    #[must_use]
    pub fn name(&self) -> StateName {
        match self {
            Self::Queued { .. } => StateName::Queued,
            Self::Starting => StateName::Starting,
            Self::Running => StateName::Running,
            Self::Waiting { .. } => StateName::Waiting,
            Self::Stopping { .. } => StateName::Stopping,
            Self::Ended { outcome } => outcome.name(),
        }
    }

    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Ended { outcome } => Some(outcome),
            Self::Queued { .. }
            | Self::Starting
            | Self::Running
            | Self::Waiting { .. }
            | Self::Stopping { .. } => None,
        }
    }

    /// Returns the open questions of a running task.
    #[must_use]
    pub fn open(&self) -> Option<&BTreeSet<RequestId>> {
        match self {
            Self::Waiting { open } => Some(open),
            Self::Queued { .. }
            | Self::Starting
            | Self::Running
            | Self::Stopping { .. }
            | Self::Ended { .. } => None,
        }
    }

    /// Returns who has cancelled a task that is being ended, whatever began its end.
    #[must_use]
    pub fn cancelled_by(&self) -> Option<&Actor> {
        match self {
            Self::Stopping { cause: StopCause::Cancelled { by }, .. }
            | Self::Stopping { cancelled_by: Some(by), .. } => Some(by),
            Self::Queued { .. }
            | Self::Starting
            | Self::Running
            | Self::Waiting { .. }
            | Self::Stopping { .. }
            | Self::Ended { .. } => None,
        }
    }

    /// Returns whether a process may exist in this state.
    #[must_use]
    pub fn holds_slot(&self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Waiting { .. } | Self::Stopping { .. } => true,
            Self::Queued { .. } | Self::Ended { .. } => false,
        }
    }

    /// Returns the words that a person reads.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Queued { reason: QueueReason::Gate { .. } } | Self::Waiting { .. } => {
                "Needs approval".to_owned()
            }
            Self::Queued {
                reason:
                    QueueReason::Slot
                    | QueueReason::Dependency { .. }
                    | QueueReason::Delay { .. }
                    | QueueReason::Paused
                    | QueueReason::Resource { .. }
                    | QueueReason::Cap { .. },
            } => "Queued".to_owned(),
            Self::Starting | Self::Running => "Running".to_owned(),
            Self::Stopping { .. } => "Stopping".to_owned(),
            Self::Ended { outcome } => outcome.words(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_name_reads_back() {
        for name in StateName::ALL {
            assert_eq!(StateName::parse(name.as_str()), Some(name));
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("\"{}\"", name.as_str()));
        }
        assert_eq!(StateName::ALL.iter().filter(|name| name.is_terminal()).count(), 7);
    }
}
