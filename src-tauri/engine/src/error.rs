//! What can go wrong when a host is asked for something.

use nod_core::access::Refusal;
use nod_core::command::CommandError;
use nod_core::ids::{AttemptNumber, EventNumber, RequestId, TaskId};
use nod_core::notification::ButtonError;
use nod_core::progress::ProgressError;
use nod_core::protocol::{ErrorCode, ErrorReply, TalkError};
use nod_core::question::{FieldError, QuestionError};
use nod_core::request::{AnswerError, Early};
use nod_core::rule::RuleError;

use crate::forms::FormError;
use crate::store::StoreError;
use crate::terminals::Distrust;

/// Why a call was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("no task has id {0}: `nod list` shows which there are")]
    TaskNotFound(TaskId),
    #[error("the task has ended")]
    TaskEnded,
    #[error("no request has id {0}")]
    RequestNotFound(RequestId),
    #[error("task {id} is {state}: {hint}")]
    WrongState { id: TaskId, state: String, hint: &'static str },
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Distrusted(#[from] Distrust),
    #[error("{0}")]
    Command(#[from] CommandError),
    #[error("the folder {0} is not there: give the path of a folder")]
    NoFolder(String),
    #[error("{0}")]
    Progress(#[from] ProgressError),
    #[error("{0}")]
    Answer(#[from] AnswerError),
    #[error("{0}")]
    Early(#[from] Early),
    #[error("{0}")]
    Button(#[from] ButtonError),
    #[error("{what} is too long: {limit} bytes at most")]
    TooLong { what: &'static str, limit: usize },
    #[error("the operation id {0} was used for something else")]
    OperationReused(String),
    #[error("this host has no window: start the Nod app")]
    NoWindow,
    #[error("the Nod app is the host: quit it there")]
    NotHeadless,
    #[error("the host is stopping: try again")]
    Stopping,
    #[error("task {0} does not read what is typed: submit it with -i")]
    NotInteractive(TaskId),
    #[error("task {0} was started by an older Nod, whose shim cannot do this: wait for its end")]
    OldShim(TaskId),
    #[error("`{text}` is no regular expression: {why}")]
    Pattern { text: String, why: String },
    #[error("task {0} has not started, so it has no output yet")]
    NoOutput(TaskId),
    #[error("task {id} has no try {attempt} (`nod show {id}` lists them)")]
    NoAttempt { id: TaskId, attempt: AttemptNumber },
    #[error("failed to read the output of task {id}: {source}")]
    Log { id: TaskId, source: std::io::Error },
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Nothing of the call happened.
    #[error("{0}")]
    NotStored(std::sync::Arc<StoreError>),
    #[error("the task is being ended, but that cannot be recorded yet: {0}")]
    StopNotStored(std::sync::Arc<StoreError>),
    #[error("failed to read the environment of your login shell: {0}")]
    LoginShell(String),
    #[error("no group is named `{name}`: `nod group add {name} --slots N` makes it; {known}")]
    GroupNotFound { name: String, known: String },
    #[error("there is a group `{0}` already: `nod group set {0} --slots N` changes it")]
    GroupExists(String),
    #[error("group `{name}` {why}")]
    GroupStays { name: String, why: String },
    #[error("a group's name has 1 to 64 letters, digits, `-`, `_` or `.`, not `{0}`")]
    GroupName(String),
    #[error(
        "no resource is named `{name}`: the config file sets its size under [resources]; {known}"
    )]
    ResourceNotFound { name: String, known: String },
    #[error("there are only {size} of {name}, so a task that uses {wanted} could never start")]
    ResourceTooSmall { name: String, size: u32, wanted: u32 },
    #[error("{0}")]
    Kind(#[from] crate::config::KindError),
    #[error("task {id} is not one of your session: {hint}")]
    OtherSession { id: TaskId, hint: &'static str },
    #[error("the key `{key}` belongs to task {id}, which has not ended")]
    KeyTaken { key: String, id: TaskId },
    #[error("there is no event {since} yet: the last one is {last}")]
    NoSuchEvent { since: EventNumber, last: EventNumber },
    #[error(
        "task {id} comes after task {dependency}, which did not succeed and was removed since: \
         `nod run-again {id}` runs the same without waiting for it"
    )]
    DependencyGone { id: TaskId, dependency: TaskId },
    #[error("task {0} would wait for itself")]
    Circle(TaskId),
    #[error("{0}")]
    Question(#[from] QuestionError),
    #[error("{0}")]
    Talk(#[from] TalkError),
    #[error("{0}")]
    Rule(#[from] RuleError),
    #[error("no rule made in the window has the number {0}: `nod rules` shows which there are")]
    RuleNotFound(i64),
    #[error("this is not the change that waits to be confirmed: look at it again")]
    NotTheLoosening,
    #[error("{0}")]
    Form(#[from] FormError),
    #[error("the answer does not fit: {}", first_of(.0))]
    Invalid(Vec<FieldError>),
    #[error(
        "{0} bytes were not typed: the task has not read what was typed before, or reads nothing"
    )]
    NotTyped(u64),
    #[error("{0}")]
    Busy(&'static str),
    #[error("{0}")]
    Bad(&'static str),
}

impl EngineError {
    /// Returns whether a config file that can be read may have what is missing.
    pub(crate) fn is_of_config(&self) -> bool {
        matches!(
            self,
            Self::Kind(_)
                | Self::GroupNotFound { .. }
                | Self::ResourceNotFound { .. }
                | Self::ResourceTooSmall { .. }
        )
    }

    /// The part of an error that a client may branch on.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TaskNotFound(_)
            | Self::NoAttempt { .. }
            | Self::RequestNotFound(_)
            | Self::RuleNotFound(_)
            | Self::GroupNotFound { .. } => ErrorCode::NotFound,
            Self::GroupExists(_)
            | Self::GroupStays { .. }
            | Self::KeyTaken { .. }
            | Self::DependencyGone { .. } => ErrorCode::Conflict,
            Self::OtherSession { .. } | Self::Button(_) => ErrorCode::Forbidden,
            Self::Early(_) => ErrorCode::TooEarly,
            Self::WrongState { .. } | Self::Answer(_) | Self::NoOutput(_) => ErrorCode::Conflict,
            Self::TaskEnded
            | Self::NoWindow
            | Self::NotHeadless
            | Self::NotTheLoosening
            | Self::NotInteractive(_)
            | Self::OldShim(_) => ErrorCode::Conflict,
            Self::Refused(_) | Self::Distrusted(_) => ErrorCode::Forbidden,
            Self::Command(_)
            | Self::NoFolder(_)
            | Self::Progress(_)
            | Self::TooLong { .. }
            | Self::Pattern { .. }
            | Self::OperationReused(_)
            | Self::Question(_)
            | Self::Form(_)
            | Self::Rule(_)
            | Self::GroupName(_)
            | Self::ResourceNotFound { .. }
            | Self::ResourceTooSmall { .. }
            | Self::Kind(_)
            | Self::Circle(_)
            | Self::NoSuchEvent { .. }
            | Self::Talk(_)
            | Self::Bad(_) => ErrorCode::BadRequest,
            Self::Invalid(_) => ErrorCode::Invalid,
            Self::Busy(_) | Self::NotTyped(_) => ErrorCode::Busy,
            Self::Stopping => ErrorCode::Stopping,
            Self::Store(_) | Self::NotStored(_) | Self::StopNotStored(_) => ErrorCode::Storage,
            Self::Log { .. } | Self::LoginShell(_) => ErrorCode::Internal,
        }
    }
}

impl From<EngineError> for ErrorReply {
    fn from(error: EngineError) -> Self {
        let mut reply = Self::new(error.code(), error.to_string());
        if let EngineError::Rule(error) = &error {
            reply.fields = vec![FieldError { field: error.field(), message: error.to_string() }];
        }
        if let EngineError::Invalid(fields) = error {
            reply.fields = fields;
        }
        reply
    }
}

fn first_of(fields: &[FieldError]) -> String {
    match fields {
        [] => String::new(),
        [only] => format!("{} {}", only.field, only.message),
        [first, rest @ ..] => {
            format!("{} {} (and {} more)", first.field, first.message, rest.len())
        }
    }
}
