//! What the tables hold, as values.

use nod_core::access::Verb;
use nod_core::environment::EnvironmentChange;
use nod_core::ids::{AttemptNumber, OperationId, RequestId, TaskId, Timestamp};
use nod_core::protocol::{Attempt, WaitEnd};
use nod_core::request::{AlsoAsked, Request};
use nod_core::shim::ProcessIdentity;
use nod_core::task::{ExitStatus, Outcome, Task};
use serde::{Deserialize, Serialize};

use crate::process::{AskedFor, Files, Place};

/// A task and what belongs to it but is not for everybody.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskRow {
    pub task: Task,
    pub environment: Vec<u8>,
    pub environment_changes: Vec<EnvironmentChange>,
    pub bound: Bound,
}

/// What a task is bound to beside what everybody sees of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Bound {
    /// Its folder as it was when a person was asked.
    pub place: Option<Place>,
    /// What it would have run then; nothing where nobody was asked.
    #[serde(deserialize_with = "Files::stored")]
    pub files: Option<Files>,
    /// Where its programs are looked for: its PATH.
    pub path: String,
    /// The program that may type into it; nothing where a person submitted it, or it has a session.
    pub typist: Option<ProcessIdentity>,
    /// What a deadline that was moved stands for until the end of its try.
    pub own_limit: Option<OwnLimit>,
    /// A person submitted it in the window: it is theirs alone to take out of the history.
    pub by_person: bool,
    /// The task that it descends from in the end; nothing where no task submitted it.
    pub root: Option<TaskId>,
}

/// How long every try of a task may run, in milliseconds, unless somebody says otherwise of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnLimit {
    pub timeout_ms: Option<u64>,
}

impl TaskRow {
    /// Sets how long the try that goes on may run; the next one has the task's own limit again.
    pub(crate) fn move_limit(&mut self, timeout_ms: Option<u64>) {
        self.bound.own_limit.get_or_insert(OwnLimit { timeout_ms: self.task.timeout_ms });
        self.task.timeout_ms = timeout_ms;
    }

    /// Sets how long each try from now on may run.
    pub(crate) fn set_limit(&mut self, timeout_ms: Option<u64>) {
        self.bound.own_limit = None;
        self.task.timeout_ms = timeout_ms;
    }

    /// Returns how long a try may run of which nobody has said otherwise.
    pub(crate) fn own_limit(&self) -> Option<u64> {
        self.bound.own_limit.map_or(self.task.timeout_ms, |own| own.timeout_ms)
    }
}

/// A try of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttemptRow {
    pub task: TaskId,
    pub number: AttemptNumber,
    /// Below the folder of all tasks.
    pub folder: String,
    pub token_hash: Vec<u8>,
    /// The boot of the machine that it started in.
    pub boot_id: String,
    pub process: Option<i32>,
    pub started_at: Option<Timestamp>,
    pub exited_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub exit: Option<ExitStatus>,
    /// Nothing while it lasts.
    pub outcome: Option<Outcome>,
    pub peak_memory: Option<u64>,
    pub cpu_ms: Option<u64>,
    pub left: Vec<String>,
    pub size: u64,
    /// Where its deadline was moved to, in milliseconds since boot; 0 where it was taken away.
    pub deadline: Option<u64>,
    /// What it printed last, as text; nothing while it lasts.
    pub tail: Option<String>,
    /// How many bytes of the disk its files take; nothing while it lasts.
    pub disk: Option<u64>,
}

/// A question and the operation that asked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestRow {
    pub request: Request,
    /// What the answer is waited for under: a gate has none, nor has a question that was let go.
    pub operation: Option<OperationId>,
    /// The processes that it is for, where no task asked.
    pub asked_for: Option<AskedFor>,
    /// The operations of those who asked the same, in the order of `also_asked_by`.
    pub folded: Vec<OperationId>,
}

/// One who asked the same, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FoldedRow {
    operation: OperationId,
    #[serde(flatten)]
    asked: AlsoAsked,
}

impl RequestRow {
    /// Returns a question that nobody else asks.
    pub(crate) fn new(
        request: Request,
        operation: Option<OperationId>,
        asked_for: Option<AskedFor>,
    ) -> Self {
        Self { request, operation, asked_for, folded: vec![] }
    }

    /// Returns those who asked the same, as they are stored.
    pub(super) fn folded_rows(&self) -> Vec<FoldedRow> {
        let askers = self.folded.iter().zip(&self.request.also_asked_by);
        let row = |(operation, asked): (&OperationId, &AlsoAsked)| FoldedRow {
            operation: operation.clone(),
            asked: asked.clone(),
        };
        askers.map(row).collect()
    }

    /// Takes in those who asked the same.
    pub(super) fn with_folded(mut self, rows: Vec<FoldedRow>) -> Self {
        let askers = rows.into_iter().map(|row| (row.operation, row.asked));
        (self.folded, self.request.also_asked_by) = askers.unzip();
        self
    }

    /// Returns the operations under which somebody waits for the answer.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &OperationId> {
        let also = self.folded.iter().zip(&self.request.also_asked_by);
        let folded = also.filter(|(_, asked)| !asked.gone).map(|(operation, _)| operation);
        self.operation.iter().chain(folded)
    }
}

/// An unfinished task as it is found at the start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LiveRow {
    pub task: TaskRow,
    pub attempt: Option<AttemptRow>,
}

/// What an operation came to, for when it is sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OperationResult {
    Submitted {
        id: TaskId,
        /// It was there already, under the key that it was asked for.
        #[serde(default)]
        known: bool,
    },
    Cancelled {
        id: TaskId,
    },
    Paused {
        id: TaskId,
        paused: bool,
    },
    Asked {
        request: RequestId,
    },
    Answered {
        request: RequestId,
    },
    Awaited {
        task: TaskId,
        end: WaitEnd,
    },
    Notified {
        woken: u32,
        kept: bool,
    },
    /// Words that reached whom they were for.
    Told,
    /// What was typed into a task, but for so many bytes.
    Typed {
        task: TaskId,
        lost: u64,
    },
    /// A change of the rules.
    Rules,
    /// A task was changed by a verb that says nothing but how it is afterwards.
    Changed {
        verb: Verb,
        id: TaskId,
    },
    CancelledMany {
        count: u64,
    },
    GroupChanged {
        name: String,
    },
}

/// What was said of a group beside the config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRow {
    pub name: String,
    /// Nothing where the config file says it.
    pub slots: Option<u32>,
    pub paused: bool,
}

impl AttemptRow {
    /// Returns an attempt of which nothing is known yet.
    #[must_use]
    pub(crate) fn new(
        (task, number): (TaskId, AttemptNumber),
        folder: String,
        token_hash: Vec<u8>,
        boot_id: String,
    ) -> Self {
        Self {
            task,
            number,
            folder,
            token_hash,
            boot_id,
            process: None,
            started_at: None,
            exited_at: None,
            ended_at: None,
            exit: None,
            peak_memory: None,
            cpu_ms: None,
            left: vec![],
            size: 0,
            outcome: None,
            deadline: None,
            tail: None,
            disk: None,
        }
    }

    #[must_use]
    pub(crate) fn into_public(self, log_path: String) -> Attempt {
        Attempt {
            number: self.number,
            process: self.process,
            started_at: self.started_at,
            exited_at: self.exited_at,
            ended_at: self.ended_at,
            exit: self.exit,
            outcome: self.outcome,
            peak_memory: self.peak_memory,
            cpu_ms: self.cpu_ms,
            left: self.left,
            tail: self.tail,
            log_path,
        }
    }
}

/// How the wall clock stands to the time since a boot of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClockRow {
    pub boot_id: String,
    /// When that boot was, as the wall clock would have it.
    pub offset_ms: i64,
    /// What the history's own clock showed at that boot, and when this was stored.
    pub history: Timestamp,
    pub seen: Timestamp,
}

/// A clock that was set, or is seen for the first time.
#[derive(Debug, Clone)]
pub(crate) struct ClockChange {
    pub now: ClockRow,
    /// By how much it was set.
    pub jump_ms: i64,
}
