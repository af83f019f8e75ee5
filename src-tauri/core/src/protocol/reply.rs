//! What a host says: the replies to calls, and the events.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::LogPlace;
use super::snapshot::{Snapshot, SnapshotRest};
use super::talk::{InboxMessage, WaitEnd};
use crate::access::Actor;
use crate::environment::EnvironmentChange;
use crate::guard::Loosening;
use crate::ids::{AttemptNumber, EventNumber, RequestId, TaskId, Timestamp};
use crate::progress::Progress;
use crate::protocol::{ErrorReply, Group, Settings};
use crate::request::{AlsoAsked, Answer, Closure, Request, Shown};
use crate::rule::{Rule, RuleId};
use crate::task::{ExitStatus, Outcome, Task};

/// What a host replies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    Welcome(Welcome),
    Submitted {
        id: TaskId,
        /// An unfinished task of the same kind has the key already: this is that one.
        #[serde(default)]
        known: bool,
        /// A person is asked before it starts.
        #[serde(default)]
        gated: bool,
        /// What a person should know, such as a config file that cannot be read.
        #[serde(default)]
        note: Option<String>,
    },
    /// What came of each of many, in their order.
    SubmittedMany {
        results: Vec<SubmitResult>,
        note: Option<String>,
    },
    Tasks(Page),
    Task(Box<TaskDetail>),
    Snapshot(Box<Snapshot>),
    SnapshotRest(SnapshotRest),
    Subscribed {
        epoch: String,
        seq: EventNumber,
    },
    Log(LogPart),
    Matches(LogMatches),
    /// The log was followed to its end.
    LogEnded {
        size: u64,
    },
    Ended {
        task: Box<Task>,
    },
    /// The task as it is after the cancel was taken.
    Cancelling {
        task: Box<Task>,
    },
    /// How many tasks a cancel of many met.
    Cancelled {
        count: u64,
    },
    /// The task as it is after a change.
    Changed {
        task: Box<Task>,
    },
    Groups {
        groups: Vec<Group>,
        note: Option<String>,
    },
    Closed {
        request: RequestId,
        closure: Closure,
    },
    /// It is time to go on without an answer; the question stays open.
    StillOpen {
        request: RequestId,
    },
    /// The question that was asked for, where it is open, and which others of its task are.
    OpenQuestion {
        request: Option<Box<Request>>,
        others: Vec<RequestId>,
    },
    Audit(AuditPage),
    Awaited {
        end: WaitEnd,
    },
    /// How many were woken; the signal was kept where nobody was.
    Notified {
        woken: u32,
        kept: bool,
    },
    Inbox {
        messages: Vec<InboxMessage>,
    },
    IsCancelled {
        cancelled: bool,
    },
    Rules(RuleList),
    Preview(RulePreview),
    Settings(Settings),
    Diagnosis {
        checks: Vec<Check>,
    },
    Done,
}

/// What came of one of many new tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SubmitResult {
    Submitted {
        id: TaskId,
        known: bool,
        #[serde(default)]
        gated: bool,
    },
    Refused {
        error: ErrorReply,
    },
}

/// Who the host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Welcome {
    pub protocol: u32,
    pub version: String,
    /// Names this run of the host; another one means that events were missed.
    pub epoch: String,
    pub host: HostKind,
    pub pid: u32,
    /// What a terminal is to say hello with once more, before it is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum HostKind {
    /// The desktop app.
    Desktop,
    /// `nod serve`.
    Headless,
}

/// Some tasks, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Page {
    pub tasks: Vec<Task>,
    /// What to give as `before` for the next page; nothing on the last one.
    pub next: Option<TaskId>,
}

/// All there is to know of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct TaskDetail {
    pub task: Task,
    /// The words that are executed.
    pub argv: Vec<String>,
    pub environment: Vec<EnvironmentChange>,
    pub attempts: Vec<Attempt>,
    pub requests: Vec<Request>,
    pub events: Vec<StoredEvent>,
    /// The full log of the last attempt.
    pub log_path: Option<String>,
    /// What the task gave as its result, as JSON in a text: clients whose numbers are floats would
    /// round those of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub result_text: Option<String>,
    /// What there is more of than has room in one message.
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    #[ts(optional, as = "Option<LeftOut>")]
    pub left_out: LeftOut,
}

/// How much of a task one message has no room for: always the oldest, or the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct LeftOut {
    /// Tries.
    pub attempts: u32,
    /// Tries that are there without what they printed last.
    pub tails: u32,
    pub requests: u32,
    pub events: u32,
    /// Variables; what is said of others may be cut.
    pub variables: u32,
    /// The words that are executed: the command of the task is there.
    pub argv: bool,
}

impl LeftOut {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// One try of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Attempt {
    pub number: AttemptNumber,
    pub process: Option<i32>,
    pub started_at: Option<Timestamp>,
    pub exited_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub exit: Option<ExitStatus>,
    /// What came of it; nothing while it lasts.
    pub outcome: Option<Outcome>,
    /// In bytes.
    pub peak_memory: Option<u64>,
    pub cpu_ms: Option<u64>,
    /// Processes that were left behind, and what became of them.
    pub left: Vec<String>,
    /// What it printed last, as text, also where its log is gone; nothing while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub tail: Option<String>,
    /// All that it printed.
    pub log_path: String,
}

/// An event as the history keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct StoredEvent {
    pub seq: EventNumber,
    pub at: Timestamp,
    /// What happened, such as `submitted`, `running` or `request_opened`.
    pub what: String,
    /// More of it, for a person.
    pub detail: Option<String>,
}

/// An event as those see it who watch all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct WatchedEvent {
    pub seq: EventNumber,
    pub at: Timestamp,
    /// Nothing where it concerns no single task.
    pub task_id: Option<TaskId>,
    /// What happened, such as `submitted`, `running` or `request_opened`.
    pub event: String,
    /// More of it, for a person.
    pub detail: Option<String>,
}

/// One thing that was looked at, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Check {
    pub name: String,
    pub health: Health,
    /// What was found, for a person.
    pub said: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Good,
    /// Nothing is wrong, and a person should know of it.
    Note,
    Bad,
    /// It was bad.
    Repaired,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LogPart {
    pub offset: u64,
    /// The bytes, in base64.
    pub data: String,
    /// How long the log is now, in bytes.
    pub size: u64,
    /// Which try printed it; each has a log of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub attempt: Option<AttemptNumber>,
}

/// Lines that were found in the output of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LogMatches {
    pub matches: Vec<LogMatch>,
    /// What to give as `after` to go on; nothing when everything was looked through.
    pub next: Option<LogPlace>,
}

/// A line that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LogMatch {
    /// Where the line begins.
    pub place: LogPlace,
    /// The line without escape sequences, or as much of it as is around the match.
    pub text: String,
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Event {
    /// The number of this event; of the last stored one, where the change is not stored.
    pub seq: EventNumber,
    pub at: Timestamp,
    pub change: EventChange,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventChange {
    /// The task is new or has another state.
    Task { task: Box<Task> },
    /// A request was opened or closed.
    Request { request: Box<Request> },
    /// The rules changed, or what waits to be confirmed.
    Rules { loosening: Option<Loosening> },
    /// The task is no longer in the history.
    Removed { id: TaskId },
    /// A group was changed.
    Groups { groups: Vec<Group> },
    /// What is wrong with the config file, or that nothing is any more. Takes no number.
    Config { error: Option<String> },
    /// Takes no number: it is not stored as an event.
    Progress { id: TaskId, progress: Option<Progress> },
    /// A task's output has no room on the disk, or has again. Takes no number: on a full disk nothing
    /// can be stored.
    DiskFull { id: TaskId, full: bool },
    /// Events were dropped because this subscriber was too slow: ask for a snapshot.
    Lagged,
}

/// Rows of the audit, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct AuditPage {
    pub rows: Vec<AuditRow>,
    /// What to give as `before` for the next page; nothing on the last one.
    pub next: Option<i64>,
}

/// One thing that was decided, by whom, and on what they saw. Never changed, never removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct AuditRow {
    pub id: i64,
    pub at: Timestamp,
    pub what: AuditWhat,
    pub actor: Actor,
    /// More of where the actor was, such as the terminal and the programs around it.
    pub from: Option<String>,
    pub task: Option<TaskId>,
    pub request: Option<RequestId>,
    /// Who asked.
    pub asked_by: Option<Actor>,
    /// Who asked the same while it was open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<AlsoAsked>>")]
    pub also_asked_by: Vec<AlsoAsked>,
    pub shown: Option<Shown>,
    /// The hash of exactly what was shown.
    pub hash: Option<String>,
    pub answer: Option<Answer>,
    pub comment: Option<String>,
    /// What else there is to say, in words.
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum AuditWhat {
    /// A person answered.
    Answered,
    /// A person answered what had been closed, or was not any more what they had seen.
    Refused,
    /// Nobody answered in time.
    Expired,
    /// Nobody answered in time, and the default was taken.
    Defaulted,
    Withdrawn,
    /// A rule let a task start that another one would have asked about.
    Passed,
    RuleAdded,
    RuleRevoked,
    /// The time of a rule was up.
    RuleExpired,
    /// The config file asks for more than before, which holds at once.
    Tightened,
    /// The config file asks for less than before, and the person was asked about that.
    LooseningAsked,
    /// The config file was changed again before the person had confirmed that it asks for less.
    LooseningTakenBack,
    /// A change of the config file that asks for less was confirmed.
    Loosened,
    /// A task was taken out of the history.
    Removed,
    /// A person changed a setting in the window.
    SettingChanged,
}

impl AuditWhat {
    pub const ALL: [Self; 15] = [
        Self::Answered,
        Self::Refused,
        Self::Expired,
        Self::Defaulted,
        Self::Withdrawn,
        Self::Passed,
        Self::RuleAdded,
        Self::RuleRevoked,
        Self::RuleExpired,
        Self::Tightened,
        Self::LooseningAsked,
        Self::LooseningTakenBack,
        Self::Loosened,
        Self::Removed,
        Self::SettingChanged,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Defaulted => "defaulted",
            Self::Withdrawn => "withdrawn",
            Self::Passed => "passed",
            Self::RuleAdded => "rule_added",
            Self::RuleRevoked => "rule_revoked",
            Self::RuleExpired => "rule_expired",
            Self::Tightened => "tightened",
            Self::LooseningAsked => "loosening_asked",
            Self::LooseningTakenBack => "loosening_taken_back",
            Self::Loosened => "loosened",
            Self::Removed => "removed",
            Self::SettingChanged => "setting_changed",
        }
    }

    /// Returns what is written as `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == text)
    }
}

/// Every rule that holds, in the order in which they are looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct RuleList {
    pub rules: Vec<KeptRule>,
    pub loosening: Option<Loosening>,
    /// Whether `nod approve` and `nod deny` work in a terminal.
    pub terminal_approvals: bool,
    /// Where the config file lies, or would.
    #[serde(default)]
    pub config_file: String,
    /// What rules do not do though they look so, such as one whose folder is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<String>>")]
    pub notes: Vec<String>,
}

/// A rule, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct KeptRule {
    /// Nothing for a rule of the config file, which is changed there.
    pub id: Option<RuleId>,
    pub rule: Rule,
    pub made_at: Option<Timestamp>,
    pub made_by: Option<Actor>,
    /// The config file no longer says it: it holds until the person has confirmed that.
    #[serde(default)]
    pub is_dropped: bool,
}

/// What a rule would have spoken of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct RulePreview {
    /// The newest tasks that match.
    pub tasks: Vec<Task>,
    /// How many match, and of how many that were looked at.
    pub matching: u32,
    pub looked_at: u32,
    /// Those whose words match, but whose environment, or what is typed into them, may decide what
    /// runs: a rule that lets pass does not mean them.
    #[serde(default)]
    pub redirected: Vec<TaskId>,
}
