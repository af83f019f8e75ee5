//! What can be asked about when tasks start: of one task, of many, and of groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::command::CommandLine;
use crate::ids::{OperationId, SessionId, TaskId, Timestamp};
use crate::schedule::{Dependency, Retry};

/// When and in which order a new task may start; what is not said is left to its kind and the config.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct Scheduling {
    pub group: Option<String>,
    pub priority: Option<i32>,
    pub after: Vec<Dependency>,
    pub not_before: Option<Timestamp>,
    /// Counted from when the host takes the task in, in milliseconds.
    pub delay_ms: Option<u64>,
    pub retry: Option<Retry>,
    #[ts(type = "Record<string, number>")]
    pub uses: BTreeMap<String, u32>,
    pub key: Option<String>,
    /// The template to make the task of; the words of its command fill the template's `{*}`.
    pub kind: Option<KindUse>,
}

/// A template of the config file, and what to put in place of its names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
pub struct KindUse {
    pub name: String,
    #[serde(default)]
    #[ts(type = "Record<string, string>")]
    pub values: BTreeMap<String, String>,
}

/// What to change of a task that has not started; what is missing stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Edit {
    pub operation: OperationId,
    pub id: TaskId,
    #[serde(default)]
    pub command: Option<CommandLine>,
    #[serde(default)]
    pub label: Option<String>,
    /// An absolute path.
    #[serde(default)]
    pub cwd: Option<String>,
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    pub priority: Option<i32>,
    #[serde(default)]
    pub after: Option<Vec<Dependency>>,
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// Counted from when the host takes the change in, in milliseconds; 0 takes a delay away.
    #[serde(default)]
    pub delay_ms: Option<u64>,
    #[serde(default)]
    pub retry: Option<Retry>,
    #[serde(default)]
    #[ts(type = "Record<string, number> | null")]
    pub uses: Option<BTreeMap<String, u32>>,
    /// In milliseconds; 0 takes the limit away.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// Which unfinished tasks are meant: all that fit everything that is said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct Which {
    pub kind: Option<String>,
    pub group: Option<String>,
    pub session: Option<SessionId>,
}

/// A named queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Group {
    pub name: String,
    /// How many of its tasks may run at once.
    pub slots: u32,
    /// Nothing new starts.
    pub paused: bool,
    pub running: u64,
    pub queued: u64,
}

/// What to do with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GroupChange {
    Add { slots: u32 },
    Set { slots: u32 },
    Remove,
    Pause,
    Resume,
}

impl Edit {
    /// Returns a change of nothing.
    #[must_use]
    pub fn new(operation: OperationId, id: TaskId) -> Self {
        Self {
            operation,
            id,
            command: None,
            label: None,
            cwd: None,
            group: None,
            priority: None,
            after: None,
            not_before: None,
            delay_ms: None,
            retry: None,
            uses: None,
            timeout_ms: None,
        }
    }
}
