//! The contract between a host and everyone who talks to it.
//!
//! JSON-RPC 2.0, one message a line, at most [`MESSAGE_LIMIT`] bytes. A
//! connection begins with [`Call::Hello`]. The window speaks the same calls
//! without a socket. A call that changes something carries an
//! [`OperationId`]: sent again, it returns the first result and does nothing
//! twice.
//!
//! The calls are named `Call` and `Reply` rather than request and response,
//! because a request is what a person answers.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::access::Verb;
use crate::command::CommandLine;
use crate::environment::{Environment, EnvironmentChange};
use crate::ids::{
    AttemptNumber, EventNumber, OperationId, RequestId, SessionId, TaskId, Timestamp,
};
use crate::progress::Progress;
use crate::request::{Answer, Closure, Request};
use crate::task::{ExitStatus, OutputMode, StateName, Task};

/// The version of everything on this page.
pub const PROTOCOL: u32 = 1;

/// The largest message, in bytes, its line end included.
pub const MESSAGE_LIMIT: usize = 1 << 20;

/// What can be asked of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Call {
    Hello(Hello),
    Submit(Box<Submit>),
    /// Submits a task that is the same as an earlier one, its environment included.
    RunAgain {
        operation: OperationId,
        id: TaskId,
    },
    List(ListQuery),
    Show {
        id: TaskId,
    },
    Snapshot,
    /// Asks for every event after the reply, as notifications of the method `event`.
    Subscribe,
    ReadLog {
        id: TaskId,
        offset: u64,
        limit: u64,
    },
    /// Asks for the log from `offset` on, as notifications of the method `log`, until the task's end.
    FollowLog {
        id: TaskId,
        offset: u64,
    },
    /// Returns when the task has ended.
    Wait {
        id: TaskId,
    },
    Cancel {
        operation: OperationId,
        id: TaskId,
    },
    Progress(ReportProgress),
    /// Returns when the question is closed.
    Ask(Ask),
    /// Closes the question that was asked by the operation.
    Withdraw {
        operation: OperationId,
    },
    Answer(GiveAnswer),
    /// Brings the window to the front.
    ShowWindow,
    /// Asks a headless host to end; its tasks go on.
    StopHost,
}

/// The first call of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Hello {
    pub protocol: u32,
    /// A task's own token; the connection then speaks for that task.
    pub token: Option<String>,
}

/// A new task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Submit {
    pub operation: OperationId,
    pub command: CommandLine,
    /// An absolute path.
    pub cwd: String,
    /// The whole environment; nothing stands for that of the person's login shell.
    #[ts(type = "Record<string, string> | null")]
    pub environment: Option<Environment>,
    /// Added to the environment, or in place of what is there.
    #[ts(type = "Record<string, string>")]
    #[serde(default)]
    pub extra_environment: Environment,
    pub label: Option<String>,
    pub session: Option<SessionId>,
    #[serde(default)]
    pub output: OutputMode,
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub ask_first: bool,
}

/// Which tasks to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
pub struct ListQuery {
    /// All states when empty.
    #[serde(default)]
    pub states: Vec<StateName>,
    /// Words in the label, the command or the end of the output.
    #[serde(default)]
    pub search: Option<String>,
    /// Only tasks older than this one: where the last page ended.
    #[serde(default)]
    pub before: Option<TaskId>,
    #[serde(default)]
    pub limit: Option<u32>,
}

/// How far the calling task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct ReportProgress {
    pub percent: Option<f64>,
    pub message: Option<String>,
}

/// A question of the calling task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Ask {
    pub operation: OperationId,
    pub question: String,
    pub detail: Option<String>,
    /// How long a person has, in milliseconds from the first time it was asked.
    pub timeout_ms: Option<u64>,
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GiveAnswer {
    pub operation: OperationId,
    pub request: RequestId,
    pub answer: Answer,
    /// The hash of what the person saw.
    pub shown: String,
}

/// What a host replies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    Welcome(Welcome),
    Submitted {
        id: TaskId,
    },
    Tasks(Page),
    Task(Box<TaskDetail>),
    Snapshot(Box<Snapshot>),
    Subscribed {
        epoch: String,
        seq: EventNumber,
    },
    Log(LogPart),
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
    Closed {
        request: RequestId,
        closure: Closure,
    },
    Done,
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
    /// In bytes.
    pub peak_memory: Option<u64>,
    pub cpu_ms: Option<u64>,
    /// Processes that were left behind, and what became of them.
    pub left: Vec<String>,
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

/// Everything a window shows at first, at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Snapshot {
    pub epoch: String,
    /// The last event that is part of it.
    pub seq: EventNumber,
    /// Every unfinished task, and the last ones that ended; newest first.
    pub tasks: Vec<Task>,
    /// Every open request, oldest first.
    pub requests: Vec<Request>,
    /// How many tasks there are in each state.
    pub counts: std::collections::BTreeMap<StateName, u64>,
    /// Where a new task of the window runs.
    pub home: String,
    /// How far the clock of the host is: countdowns are counted from here.
    pub now: Timestamp,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LogPart {
    pub offset: u64,
    /// The bytes, in base64.
    pub data: String,
    /// How long the log is now, in bytes.
    pub size: u64,
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
    /// Takes no number: it is not stored as an event.
    Progress { id: TaskId, progress: Option<Progress> },
    /// Events were dropped because this subscriber was too slow: ask for a snapshot.
    Lagged,
}

/// An error as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS, thiserror::Error)]
#[error("{message}")]
pub struct ErrorReply {
    pub code: ErrorCode,
    /// A sentence for a person: what is wrong, and what to do.
    pub message: String,
}

/// The part of an error that a client may branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The message is no valid call.
    BadRequest,
    /// The protocol's version is not spoken here.
    Version,
    NotFound,
    /// Too late, or in another state.
    Conflict,
    Forbidden,
    /// The disk is full or cannot be written.
    Storage,
    /// The host is going; try again with the next one.
    Stopping,
    Internal,
}

impl ErrorReply {
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl Call {
    /// Returns the row of the access table that this call is.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Hello(_) => Verb::Hello,
            Self::Submit(_) => Verb::Submit,
            Self::RunAgain { .. } => Verb::RunAgain,
            Self::List(_) => Verb::List,
            Self::Show { .. } => Verb::Show,
            Self::Snapshot => Verb::Snapshot,
            Self::Subscribe => Verb::Subscribe,
            Self::ReadLog { .. } => Verb::ReadLog,
            Self::FollowLog { .. } => Verb::FollowLog,
            Self::Wait { .. } => Verb::Wait,
            Self::Cancel { .. } => Verb::Cancel,
            Self::Progress(_) => Verb::Progress,
            Self::Ask(_) => Verb::Ask,
            Self::Withdraw { .. } => Verb::Withdraw,
            Self::Answer(_) => Verb::Answer,
            Self::ShowWindow => Verb::ShowWindow,
            Self::StopHost => Verb::StopHost,
        }
    }
}

/// A call on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallMessage {
    pub jsonrpc: Version,
    pub id: u64,
    #[serde(flatten)]
    pub call: Call,
}

/// What a host sends on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HostMessage {
    Reply {
        jsonrpc: Version,
        id: u64,
        result: Reply,
    },
    /// The id is missing where the call could not be read at all.
    Error {
        jsonrpc: Version,
        id: Option<u64>,
        error: WireError,
    },
    Notification {
        jsonrpc: Version,
        #[serde(flatten)]
        notification: Notification,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Notification {
    Event(Event),
    Log(LogPart),
}

/// An error as JSON-RPC wants it: a number, a text, and ours as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireError {
    pub code: i32,
    pub message: String,
    pub data: WireErrorData,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireErrorData {
    pub code: ErrorCode,
}

/// The `"jsonrpc": "2.0"` of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Version {
    #[default]
    #[serde(rename = "2.0")]
    Two,
}

impl CallMessage {
    #[must_use]
    pub fn new(id: u64, call: Call) -> Self {
        Self { jsonrpc: Version::Two, id, call }
    }
}

impl HostMessage {
    #[must_use]
    pub fn reply(id: u64, result: Result<Reply, ErrorReply>) -> Self {
        match result {
            Ok(result) => Self::Reply { jsonrpc: Version::Two, id, result },
            Err(error) => Self::error(Some(id), error),
        }
    }

    #[must_use]
    pub fn error(id: Option<u64>, error: ErrorReply) -> Self {
        // -32600 to -32603 are JSON-RPC's own; -32000 stands for every error of the application.
        let code = match error.code {
            ErrorCode::BadRequest => -32600,
            ErrorCode::Internal => -32603,
            ErrorCode::Version
            | ErrorCode::NotFound
            | ErrorCode::Conflict
            | ErrorCode::Forbidden
            | ErrorCode::Storage
            | ErrorCode::Stopping => -32000,
        };
        let data = WireErrorData { code: error.code };
        Self::Error {
            jsonrpc: Version::Two,
            id,
            error: WireError { code, message: error.message, data },
        }
    }

    #[must_use]
    pub fn notification(notification: Notification) -> Self {
        Self::Notification { jsonrpc: Version::Two, notification }
    }
}

impl From<WireError> for ErrorReply {
    fn from(error: WireError) -> Self {
        Self { code: error.data.code, message: error.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reads_back_from_its_line() {
        let calls = [
            Call::Hello(Hello { protocol: PROTOCOL, token: None }),
            Call::Snapshot,
            Call::Cancel { operation: OperationId("a".into()), id: TaskId(7) },
            Call::ReadLog { id: TaskId(1), offset: 0, limit: 10 },
        ];
        for call in calls {
            let message = CallMessage::new(3, call);
            let line = serde_json::to_string(&message).unwrap();
            assert_eq!(serde_json::from_str::<CallMessage>(&line).unwrap(), message, "{line}");
        }
    }

    #[test]
    fn a_call_is_what_json_rpc_says() {
        let message = CallMessage::new(3, Call::Show { id: TaskId(7) });
        let line = serde_json::to_string(&message).unwrap();
        assert_eq!(line, r#"{"jsonrpc":"2.0","id":3,"method":"show","params":{"id":7}}"#);
    }

    #[test]
    fn what_a_host_sends_reads_back() {
        let messages = [
            HostMessage::reply(1, Ok(Reply::Done)),
            HostMessage::reply(2, Err(ErrorReply::new(ErrorCode::NotFound, "no task has id 9"))),
            HostMessage::error(None, ErrorReply::new(ErrorCode::BadRequest, "no JSON")),
            HostMessage::notification(Notification::Log(LogPart {
                offset: 0,
                data: "YQ==".into(),
                size: 1,
            })),
        ];
        for message in messages {
            let line = serde_json::to_string(&message).unwrap();
            assert_eq!(serde_json::from_str::<HostMessage>(&line).unwrap(), message, "{line}");
        }
    }

    #[test]
    fn another_version_of_json_rpc_is_refused() {
        let line = r#"{"jsonrpc":"1.0","id":3,"method":"snapshot"}"#;
        assert!(serde_json::from_str::<CallMessage>(line).is_err());
    }

    #[test]
    fn every_verb_is_named_as_its_call() {
        for verb in Verb::ALL {
            let json = serde_json::to_string(&verb).unwrap();
            assert_eq!(json, format!("\"{}\"", verb.as_str()));
        }
    }
}
