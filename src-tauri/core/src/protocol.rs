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

mod asking;
mod error;
mod reply;
mod scheduling;
mod settings;
mod snapshot;
mod talk;
mod wire;

pub use asking::{Ask, AwaitAnswer, QuestionOf, Resume};
pub use error::{ErrorCode, ErrorReply};
pub use reply::{
    Attempt, AuditPage, AuditRow, AuditWhat, Check, Event, EventChange, Health, HostKind, KeptRule,
    LeftOut, LogMatch, LogMatches, LogPart, Page, Reply, RuleList, RulePreview, StoredEvent,
    SubmitResult, TaskDetail, WatchedEvent, Welcome,
};
pub use scheduling::{Edit, Group, GroupChange, KindUse, Scheduling, Which};
pub use settings::{ConfigInForce, NotificationServer, NotificationsBy, Settings};
pub use snapshot::{Snapshot, SnapshotPlace, SnapshotRest};
pub use talk::{
    Await, Feedback, InboxMessage, Notify, ReadInbox, SayOutcome, TalkError, Tell, WaitEnd,
    check_data, check_key, check_text,
};
pub use wire::{CallMessage, HostMessage, Notification, Version, WireError, WireErrorData};

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::access::Verb;
use crate::command::CommandLine;
use crate::environment::Environment;
use crate::ids::{AttemptNumber, EventNumber, OperationId, RequestId, SessionId, TaskId};
use crate::question::Answer;
use crate::rule::{Rule, RuleId};
use crate::task::{OutputMode, RunOptions, StateName};

/// The version of everything on this page. A host speaks the one before it as well.
///
/// 2: questions of every sort, input, pausing. What 1 had is as it was.
pub const PROTOCOL: u32 = 2;

/// The largest message, in bytes, its line end included.
pub const MESSAGE_LIMIT: usize = 1 << 20;

/// What can be asked of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Call {
    Hello(Hello),
    Submit(Box<Submit>),
    /// Submits many, in their order; each is taken or refused by itself.
    SubmitMany(SubmitMany),
    /// Submits a task that is the same as an earlier one, its environment included.
    RunAgain {
        operation: OperationId,
        id: TaskId,
    },
    List(ListQuery),
    Show {
        id: TaskId,
    },
    /// Asks for all that goes on; over a socket, as much of it as a message holds.
    Snapshot,
    /// Asks for what a snapshot had no room for.
    SnapshotRest(SnapshotPlace),
    /// Asks for every event after the reply, as notifications of the method `event`.
    Subscribe,
    ReadLog {
        id: TaskId,
        offset: u64,
        limit: u64,
        /// Which try has the offset; the last one where it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        attempt: Option<AttemptNumber>,
    },
    /// Asks for the log from `offset` on, as notifications of the method `log`, until the task's end,
    /// the logs of later tries included.
    FollowLog {
        id: TaskId,
        offset: u64,
        /// Which try has the offset; the last one where it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        attempt: Option<AttemptNumber>,
    },
    /// Looks for text in the output of one task or of all.
    SearchLogs(LogQuery),
    /// Returns when the task has ended.
    Wait {
        id: TaskId,
    },
    Cancel {
        operation: OperationId,
        id: TaskId,
    },
    /// Halts every process of a task. Its deadline goes on.
    Pause {
        operation: OperationId,
        id: TaskId,
    },
    Resume {
        operation: OperationId,
        id: TaskId,
    },
    /// Returns when the shim has taken what is typed.
    Input(TypeIn),
    /// Gives the terminal of an interactive task another size.
    Resize {
        id: TaskId,
        columns: u16,
        rows: u16,
    },
    /// Ends every unfinished task that is meant.
    CancelMany {
        operation: OperationId,
        which: Which,
    },
    /// Changes a task that has not started.
    Edit(Box<Edit>),
    /// Gives a task that has ended another try.
    Retry {
        operation: OperationId,
        id: TaskId,
    },
    /// Takes a task that has ended out of the history, its output included.
    Remove {
        operation: OperationId,
        id: TaskId,
        /// The agent conversation that the caller speaks for.
        session: Option<SessionId>,
    },
    /// Sets, moves or takes away the time that a task has. Where it runs, that counts from now on and
    /// is about this try alone; where it is queued, about every try.
    Deadline {
        operation: OperationId,
        id: TaskId,
        timeout_ms: Option<u64>,
    },
    Groups,
    ChangeGroup {
        operation: OperationId,
        name: String,
        change: GroupChange,
    },
    /// Asks for every stored event after `since`, as notifications of the method `watched`.
    Watch {
        /// From now on when it is missing.
        since: Option<EventNumber>,
    },
    Progress(ReportProgress),
    /// Returns when the question is closed, or when it is time to go on without an answer.
    Ask(Ask),
    /// Waits for the answer to a question that was asked before.
    AwaitAnswer(AwaitAnswer),
    /// Closes the question that was asked by the operation.
    Withdraw {
        operation: OperationId,
    },
    Answer(GiveAnswer),
    /// Asks for one question that is open, however many others are.
    OpenQuestion(QuestionOf),
    /// Asks who answered what, and what they had been shown.
    Audit(AuditQuery),
    /// Returns when the wait has ended.
    Await(Await),
    Notify(Notify),
    Feedback(Feedback),
    Inbox(ReadInbox),
    Tell(Tell),
    SayOutcome(SayOutcome),
    /// Asks whether somebody wants the calling task to end.
    IsCancelled,
    /// Asks for the rules, and for what waits to be confirmed.
    Rules,
    /// Asks which tasks of the history a rule would have spoken of.
    PreviewRule {
        rule: Rule,
    },
    AddRule {
        operation: OperationId,
        rule: Rule,
    },
    RevokeRule {
        operation: OperationId,
        id: RuleId,
    },
    /// Lets a change of the config file hold that asks for less.
    ConfirmLoosening {
        operation: OperationId,
        /// The hash of what the person saw.
        shown: String,
    },
    /// Asks what a person has set, and what is in force of the config file.
    Settings,
    /// Has Approve be a button of desktop notifications, or no longer.
    AllowNotificationApprovals {
        operation: OperationId,
        allowed: bool,
    },
    /// How the host itself is.
    Diagnose,
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
    /// The connection wants to speak for the person at a terminal, which the host finds out by
    /// itself.
    #[serde(default)]
    pub terminal: bool,
    /// What the welcome to the hello before this one held: at a terminal it is said twice.
    #[serde(default)]
    pub nonce: Option<String>,
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
    #[serde(default)]
    pub options: RunOptions,
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub ask_first: bool,
    #[serde(default)]
    pub scheduling: Scheduling,
}

/// New tasks that share an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SubmitMany {
    /// For those that have none of their own.
    #[ts(type = "Record<string, string> | null")]
    pub environment: Option<Environment>,
    pub tasks: Vec<Submit>,
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

/// What to look for in the output of tasks, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct LogQuery {
    /// Found in either case, unless it has a capital letter.
    pub text: String,
    /// The text is a regular expression.
    pub regex: bool,
    /// One task; all of them when there is none.
    pub id: Option<TaskId>,
    /// Where the page before ended.
    pub after: Option<LogPlace>,
    pub limit: Option<u32>,
}

/// A place in the output of all tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LogPlace {
    pub task: TaskId,
    pub attempt: AttemptNumber,
    /// In bytes from the log's beginning.
    pub offset: u64,
}

/// Something that is typed into an interactive task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TypeIn {
    pub id: TaskId,
    /// What is sent again under it is typed once. Without one nobody knows it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub operation: Option<OperationId>,
    /// The bytes, in base64.
    pub data: String,
    /// The session that the caller speaks for.
    #[serde(default)]
    pub session: Option<SessionId>,
}

/// How far the calling task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct ReportProgress {
    pub percent: Option<f64>,
    pub message: Option<String>,
    /// What the task does now: with another name the bar begins anew.
    #[serde(default)]
    pub phase: Option<String>,
}

/// Which rows of the audit, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
pub struct AuditQuery {
    /// Of one task; of everything where it is missing.
    #[serde(default)]
    pub task: Option<TaskId>,
    /// Only of what is asked first: the rules, and what of the config file holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub rules: bool,
    /// Only rows older than this one: where the last page ended.
    #[serde(default)]
    pub before: Option<i64>,
    #[serde(default)]
    pub limit: Option<u32>,
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GiveAnswer {
    pub operation: OperationId,
    pub request: RequestId,
    pub answer: Answer,
    /// Words beside the answer, for whoever asked.
    #[serde(default)]
    pub comment: Option<String>,
    /// The hash of what the person saw.
    pub shown: String,
}

impl Call {
    /// Returns whether a call lasts until something happens.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(
            self,
            Self::Wait { .. }
                | Self::Ask(_)
                | Self::AwaitAnswer(_)
                | Self::Await(_)
                | Self::Inbox(_)
                | Self::Subscribe
                | Self::FollowLog { .. }
                | Self::Watch { .. }
        )
    }

    /// Returns the name under which the call changes something; nothing where it changes nothing,
    /// or where it is the same however often it is said.
    #[must_use]
    pub fn operation(&self) -> Option<&OperationId> {
        match self {
            Self::Submit(submit) => Some(&submit.operation),
            Self::SubmitMany(many) => many.tasks.first().map(|submit| &submit.operation),
            Self::RunAgain { operation, .. }
            | Self::Cancel { operation, .. }
            | Self::Pause { operation, .. }
            | Self::Resume { operation, .. }
            | Self::CancelMany { operation, .. }
            | Self::Retry { operation, .. }
            | Self::Remove { operation, .. }
            | Self::Deadline { operation, .. }
            | Self::ChangeGroup { operation, .. }
            | Self::Withdraw { operation }
            | Self::AddRule { operation, .. }
            | Self::RevokeRule { operation, .. }
            | Self::ConfirmLoosening { operation, .. }
            | Self::AllowNotificationApprovals { operation, .. } => Some(operation),
            Self::Input(typed) => typed.operation.as_ref(),
            Self::Edit(edit) => Some(&edit.operation),
            Self::Ask(ask) => Some(&ask.operation),
            Self::Answer(given) => Some(&given.operation),
            Self::Await(wait) => Some(&wait.operation),
            Self::Notify(notify) => Some(&notify.operation),
            Self::Feedback(feedback) => Some(&feedback.operation),
            Self::Tell(tell) => Some(&tell.operation),
            Self::SayOutcome(say) => Some(&say.operation),
            Self::Hello(_)
            | Self::List(_)
            | Self::Show { .. }
            | Self::Snapshot
            | Self::SnapshotRest(_)
            | Self::Subscribe
            | Self::ReadLog { .. }
            | Self::FollowLog { .. }
            | Self::SearchLogs(_)
            | Self::Wait { .. }
            | Self::Resize { .. }
            | Self::Groups
            | Self::Watch { .. }
            | Self::Progress(_)
            | Self::AwaitAnswer(_)
            | Self::OpenQuestion(_)
            | Self::Audit(_)
            | Self::Inbox(_)
            | Self::IsCancelled
            | Self::Rules
            | Self::PreviewRule { .. }
            | Self::Settings
            | Self::Diagnose
            | Self::ShowWindow
            | Self::StopHost => None,
        }
    }

    /// Returns the row of the access table that this call is.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Hello(_) => Verb::Hello,
            Self::Submit(_) => Verb::Submit,
            Self::SubmitMany(_) => Verb::SubmitMany,
            Self::RunAgain { .. } => Verb::RunAgain,
            Self::List(_) => Verb::List,
            Self::Show { .. } => Verb::Show,
            Self::Snapshot | Self::SnapshotRest(_) => Verb::Snapshot,
            Self::Subscribe => Verb::Subscribe,
            Self::ReadLog { .. } => Verb::ReadLog,
            Self::FollowLog { .. } => Verb::FollowLog,
            Self::SearchLogs(_) => Verb::SearchLogs,
            Self::Wait { .. } => Verb::Wait,
            Self::Cancel { .. } => Verb::Cancel,
            Self::Pause { .. } => Verb::Pause,
            Self::Resume { .. } => Verb::Resume,
            Self::Input(_) => Verb::Input,
            Self::Resize { .. } => Verb::Resize,
            Self::CancelMany { .. } => Verb::CancelMany,
            Self::Edit(_) => Verb::Edit,
            Self::Retry { .. } => Verb::Retry,
            Self::Remove { .. } => Verb::Remove,
            Self::Deadline { .. } => Verb::Deadline,
            Self::Groups => Verb::Groups,
            Self::ChangeGroup { .. } => Verb::ChangeGroup,
            Self::Watch { .. } => Verb::Watch,
            Self::Progress(_) => Verb::Progress,
            Self::Ask(_) => Verb::Ask,
            Self::AwaitAnswer(_) => Verb::AwaitAnswer,
            Self::Withdraw { .. } => Verb::Withdraw,
            Self::Answer(_) => Verb::Answer,
            Self::OpenQuestion(_) => Verb::OpenQuestion,
            Self::Audit(_) => Verb::Audit,
            Self::Await(_) => Verb::Await,
            Self::Notify(_) => Verb::Notify,
            Self::Feedback(_) => Verb::Feedback,
            Self::Inbox(_) => Verb::Inbox,
            Self::Tell(_) => Verb::Tell,
            Self::SayOutcome(_) => Verb::SayOutcome,
            Self::IsCancelled => Verb::IsCancelled,
            Self::Rules => Verb::Rules,
            Self::PreviewRule { .. } => Verb::PreviewRule,
            Self::AddRule { .. } => Verb::AddRule,
            Self::RevokeRule { .. } => Verb::RevokeRule,
            Self::ConfirmLoosening { .. } => Verb::ConfirmLoosening,
            Self::Settings => Verb::Settings,
            Self::AllowNotificationApprovals { .. } => Verb::AllowNotificationApprovals,
            Self::Diagnose => Verb::Diagnose,
            Self::ShowWindow => Verb::ShowWindow,
            Self::StopHost => Verb::StopHost,
        }
    }
}
