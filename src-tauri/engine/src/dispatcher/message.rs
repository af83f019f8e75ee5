//! What reaches the dispatcher, from callers, shims and the engine itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nod_core::access::Actor;
use nod_core::command::CommandLine;
use nod_core::environment::{Environment, EnvironmentChange};
use nod_core::ids::{AttemptNumber, OperationId, SessionId, TaskId, Timestamp};
use nod_core::progress::Progress;
use nod_core::protocol::{
    Ask, Await, AwaitAnswer, Edit, ErrorReply, Feedback, GiveAnswer, GroupChange, Notify,
    ReadInbox, Reply, SayOutcome, Tell, TypeIn, Which,
};
use nod_core::rule::{Rule, RuleId};
use nod_core::schedule::Schedule;
use nod_core::shim::{ProcessIdentity, Report, ShimStop, Status, Typed};
use nod_core::task::{ExitStatus, OutputMode, RunOptions, SpawnError, StopStage};
use tokio::sync::oneshot;

use super::pace::Source;
use crate::config::Config;
use crate::error::EngineError;
use crate::process::Lineage;
use crate::store::SealedEnvironment;

/// One thing for the dispatcher to decide on.
#[derive(Debug)]
pub(crate) enum Message {
    Call(Box<Incoming>),
    Shim(TaskId, AttemptNumber, Said),
    /// The process that asked is gone, so nobody waits for the answer.
    AskerGone(OperationId),
    /// A time has come, or the clock was set.
    Rung,
    /// Another configuration is in force, or something else is wrong with its file.
    Config(Arc<Config>, Option<String>),
    /// Ended tasks that are not to be kept.
    Prune(Vec<TaskId>),
    /// Folders of removed tasks that are gone.
    Swept(Vec<String>),
    /// The processes of a lost attempt are gone, but for these.
    SweptTry(TaskId, AttemptNumber, Vec<String>),
    /// The data directory was taken away, or is there again.
    DataMoved,
    /// The host is to end; the tasks go on.
    Stop,
}

impl Message {
    /// Returns whether this may be stored a little later: a shim that goes on knows it as well.
    pub(crate) fn can_wait(&self) -> bool {
        matches!(
            self,
            Self::Shim(_, _, Said::Started { .. } | Said::Exited { .. } | Said::Files { .. })
        )
    }
}

/// A call that changes something or waits, checked and ready to be decided: once more and by itself
/// where the history refuses the turn that it came in.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) actor: Actor,
    pub(crate) change: Change,
    pub(crate) reply: ReplyTo,
}

type Way = oneshot::Sender<Result<Reply, EngineError>>;

/// The way back to a caller, who hears what is said first.
#[derive(Debug, Clone)]
pub(crate) struct ReplyTo(Arc<Mutex<Option<Way>>>);

impl ReplyTo {
    /// Replies; a caller that has gone away or has its reply needs none.
    pub(crate) fn say(&self, said: Result<Reply, EngineError>) {
        if let Some(way) = self.lock().take() {
            drop(way.send(said));
        }
    }

    /// Returns whether nobody waits for a reply any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Way>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Way> for ReplyTo {
    fn from(way: Way) -> Self {
        Self(Arc::new(Mutex::new(Some(way))))
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Submit(Box<NewTask>),
    /// In their order, those included that were refused before they came here.
    SubmitMany(Vec<Result<NewTask, ErrorReply>>),
    Cancel {
        operation: OperationId,
        id: TaskId,
    },
    /// Halts the task, or lets it go on.
    Pause {
        operation: OperationId,
        id: TaskId,
        paused: bool,
    },
    /// With the program that types, where it is one.
    Input(TypeIn, Vec<ProcessIdentity>),
    Resize {
        id: TaskId,
        columns: u16,
        rows: u16,
    },
    Progress(Progress),
    /// With the program that asks, where it is no task.
    Ask(Box<Ask>, Option<Program>),
    /// Whether one more question would be taken, before any work is put into it.
    MayAsk(OperationId, Source),
    /// With who comes for the answer, where it is no task.
    AwaitAnswer(AwaitAnswer, Option<Lineage>),
    Withdraw(OperationId, Option<Lineage>),
    Answer(Box<Answering>),
    Wait(TaskId),
    Await(Await),
    Notify(Notify),
    Feedback(Feedback),
    Inbox(ReadInbox),
    Tell(Tell),
    SayOutcome(SayOutcome),
    IsCancelled,
    Rules,
    AddRule(OperationId, Box<Rule>),
    RevokeRule(OperationId, RuleId),
    /// With the hash of what the person saw, and for how many milliseconds they have.
    ConfirmLoosening(OperationId, String, Option<u64>),
    /// Whether Approve is a button of notifications from now on.
    AllowButtons(OperationId, bool),
    CancelMany {
        operation: OperationId,
        which: Which,
    },
    Edit(Box<Edit>),
    Retry {
        operation: OperationId,
        id: TaskId,
    },
    Remove {
        operation: OperationId,
        id: TaskId,
        session: Option<SessionId>,
    },
    Deadline {
        operation: OperationId,
        id: TaskId,
        timeout_ms: Option<u64>,
    },
    Groups,
    Group {
        operation: OperationId,
        name: String,
        change: GroupChange,
    },
}

/// A person's answer on its way to be decided on.
#[derive(Debug, Clone)]
pub(crate) struct Answering {
    pub(crate) given: GiveAnswer,
    /// More of where it comes from than its surface.
    pub(crate) from: Option<String>,
    /// For how many milliseconds the question has been in sight there; nothing when it never was.
    pub(crate) shown_ms: Option<u64>,
}

/// A program of the same user that is no task, as it is shown to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) source: Source,
    /// Nothing where the process has gone.
    pub(crate) lineage: Option<Lineage>,
}

/// A task to be made, with everything that takes time to find out already found out.
#[derive(Debug, Clone)]
pub(crate) struct NewTask {
    pub(crate) operation: OperationId,
    pub(crate) command: CommandLine,
    pub(crate) cwd: String,
    pub(crate) label: Option<String>,
    pub(crate) session: Option<SessionId>,
    pub(crate) output: OutputMode,
    pub(crate) options: RunOptions,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) ask_first: bool,
    pub(crate) kind: String,
    pub(crate) schedule: Schedule,
    /// Counted from when it is taken in.
    pub(crate) delay_ms: Option<u64>,
    pub(crate) environment: NewEnvironment,
    pub(crate) environment_changes: Vec<EnvironmentChange>,
    /// Where its programs are looked for.
    pub(crate) path: String,
    /// The program that may type into it.
    pub(crate) typist: Option<ProcessIdentity>,
}

#[derive(Debug, Clone)]
pub(crate) enum NewEnvironment {
    Given {
        sealed: SealedEnvironment,
        plain: Arc<Environment>,
    },
    /// That of an earlier task, by its digest.
    Kept {
        digest: Vec<u8>,
    },
}

impl NewEnvironment {
    pub(crate) fn digest(&self) -> &[u8] {
        match self {
            Self::Given { sealed, .. } => &sealed.digest,
            Self::Kept { digest } => digest,
        }
    }
}

impl Said {
    /// Returns whether it must be taken in again where it could not be stored. The rest is in
    /// memory alone, or is said once more by itself.
    pub(crate) fn is_kept(&self) -> bool {
        match self {
            Self::Progress(_) | Self::DiskFull(_) | Self::InputLost(_) | Self::Typed(_) => false,
            Self::Status(_)
            | Self::Started { .. }
            | Self::Exited { .. }
            | Self::Prompt(_)
            | Self::Unbounded
            | Self::Unanswering { .. }
            | Self::Stopping { .. }
            | Self::Ended { .. }
            | Self::Files { .. }
            | Self::Gone { .. }
            | Self::StartFailed { .. }
            | Self::NoRoom { .. }
            | Self::NeverStarted => true,
        }
    }
}

/// What was heard of an attempt.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Status(Box<Status>),
    Started {
        process: ProcessIdentity,
        at: Timestamp,
    },
    Progress(Progress),
    Exited {
        status: ExitStatus,
        at: Timestamp,
    },
    /// Whether the output has no room on the disk.
    DiskFull(bool),
    Unbounded,
    /// The shim did not answer: what was done about it.
    Unanswering {
        what: String,
    },
    /// The task asks something and is silent since, or is so no more.
    Prompt(Option<String>),
    /// So many bytes were not typed.
    InputLost(u64),
    /// What was to be typed was taken.
    Typed(Typed),
    Stopping {
        cause: ShimStop,
        stage: StopStage,
        /// No host asked for it.
        terminated: bool,
    },
    /// What its files come to, now that it is over: the end of its output, and their bytes.
    Files {
        tail: String,
        disk: u64,
    },
    Ended {
        report: Box<Report>,
        tail: String,
    },
    /// The shim is gone and left no report.
    Gone {
        why: String,
    },
    /// No shim could be started.
    StartFailed {
        error: SpawnError,
    },
    /// No shim ever claimed the attempt.
    NeverStarted,
    /// No shim could be started, for want of something that comes back.
    NoRoom {
        error: SpawnError,
    },
}
