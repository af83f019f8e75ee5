//! All that goes on: what a window, or whoever missed events, begins with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::Group;
use crate::guard::Loosening;
use crate::ids::{EventNumber, RequestId, TaskId, Timestamp};
use crate::request::Request;
use crate::task::{StateName, Task};

/// Everything a window shows at first, at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Snapshot {
    pub epoch: String,
    /// The last event that is part of it.
    pub seq: EventNumber,
    /// Every unfinished task, and the last ones that ended; newest first.
    pub tasks: Vec<Task>,
    pub groups: Vec<Group>,
    /// What is wrong with the config file, of which the last good version is in force.
    pub config_error: Option<String>,
    /// Every open request, oldest first.
    pub requests: Vec<Request>,
    /// How many tasks there are in each state.
    pub counts: BTreeMap<StateName, u64>,
    /// A change of the config file that waits for the person to confirm it.
    pub loosening: Option<Loosening>,
    /// Where a new task of the window runs.
    pub home: String,
    /// How far the clock of the host is: countdowns are counted from here.
    pub now: Timestamp,
    /// What a person should know about the history, such as that it was damaged; a sentence each.
    #[serde(default)]
    pub findings: Vec<String>,
    /// Where the rest of the tasks and requests begins, where one message does not hold all of
    /// them: [`Call::SnapshotRest`](super::Call::SnapshotRest) asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub more: Option<SnapshotPlace>,
}

/// More unfinished tasks and open requests of a snapshot, as they are by now: what has changed since
/// the snapshot's number is told by the events after it, once more or for the first time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct SnapshotRest {
    pub tasks: Vec<Task>,
    pub requests: Vec<Request>,
    /// Where the next rest begins; nothing at the end.
    pub more: Option<SnapshotPlace>,
}

/// How far a snapshot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SnapshotPlace {
    /// Only requests newer than this one.
    pub requests_after: RequestId,
    /// Only tasks older than this one.
    pub tasks_before: TaskId,
}
