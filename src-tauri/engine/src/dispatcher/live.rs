//! The unfinished tasks and open questions, in memory, and how to take a turn back.
//!
//! Every change of a turn is made here at once, and undone when the
//! transaction that was to store it fails: memory and disk never disagree.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use nod_core::environment::Environment;
use nod_core::ids::{EventNumber, OperationId, RequestId, TaskId, Timestamp};
use nod_core::request::{Origin, Request};
use nod_core::task::{QueueReason, Task, TaskState};

use crate::store::{AttemptRow, OperationResult, RequestRow, TaskRow};

/// An unfinished task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LiveTask {
    pub(crate) row: TaskRow,
    pub(crate) attempt: Option<AttemptRow>,
    /// Kept from the submit to the start; read from the store when it is missing.
    pub(crate) environment: Option<Arc<Environment>>,
}

impl LiveTask {
    pub(crate) fn task(&self) -> &Task {
        &self.row.task
    }
}

/// The last numbers given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) task: TaskId,
    pub(crate) request: RequestId,
    pub(crate) event: EventNumber,
}

pub(crate) struct Live {
    tasks: BTreeMap<TaskId, LiveTask>,
    requests: BTreeMap<RequestId, RequestRow>,
    operations: Operations,
    /// Queued for nothing but a slot.
    ready: BTreeSet<TaskId>,
    /// How many tasks hold a slot.
    taken: usize,
    expiries: BTreeSet<(Timestamp, RequestId)>,
    /// The open questions of programs that are no tasks.
    of_programs: BTreeSet<RequestId>,
    last: Numbers,
    undo: Undo,
}

/// How many operations are kept in memory.
const OPERATIONS_KEPT: usize = 10_000;

/// The newest operations; older ones are in the store.
#[derive(Debug, Default)]
struct Operations {
    results: HashMap<OperationId, OperationResult>,
    order: VecDeque<OperationId>,
    forgot: bool,
}

impl Operations {
    fn new(operations: impl IntoIterator<Item = (OperationId, OperationResult)>) -> Self {
        let mut kept = Self::default();
        for (id, result) in operations {
            kept.insert(id, result);
        }
        kept
    }

    fn insert(&mut self, id: OperationId, result: OperationResult) {
        self.order.push_back(id.clone());
        self.results.insert(id, result);
        while self.order.len() > OPERATIONS_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.results.remove(&oldest);
            self.forgot = true;
        }
    }
}

/// What was there before the turn.
#[derive(Debug, Default)]
struct Undo {
    tasks: BTreeMap<TaskId, Option<LiveTask>>,
    requests: BTreeMap<RequestId, Option<RequestRow>>,
    operations: Vec<OperationId>,
    last: Option<Numbers>,
}

/// A task that the turn touched, before and after.
pub(crate) struct Touched<'a> {
    pub(crate) before: Option<&'a LiveTask>,
    pub(crate) after: &'a LiveTask,
}

impl Live {
    pub(crate) fn new(
        last: Numbers,
        operations: impl IntoIterator<Item = (OperationId, OperationResult)>,
    ) -> Self {
        Self {
            tasks: BTreeMap::new(),
            requests: BTreeMap::new(),
            operations: Operations::new(operations),
            ready: BTreeSet::new(),
            taken: 0,
            expiries: BTreeSet::new(),
            of_programs: BTreeSet::new(),
            last,
            undo: Undo::default(),
        }
    }

    pub(crate) fn task(&self, id: TaskId) -> Option<&LiveTask> {
        self.tasks.get(&id)
    }

    pub(crate) fn request(&self, id: RequestId) -> Option<&RequestRow> {
        self.requests.get(&id)
    }

    /// Returns what an operation came to; nothing when it is not known here.
    pub(crate) fn operation(&self, id: &OperationId) -> Option<&OperationResult> {
        self.operations.results.get(id)
    }

    /// Returns whether there are operations that only the store knows any more.
    pub(crate) fn has_forgotten_operations(&self) -> bool {
        self.operations.forgot
    }

    pub(crate) fn ready(&self) -> impl Iterator<Item = TaskId> {
        self.ready.iter().copied()
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Returns the open question that runs out first.
    pub(crate) fn first_expiry(&self) -> Option<(Timestamp, RequestId)> {
        self.expiries.first().copied()
    }

    /// Returns the open questions that running tasks and other programs asked.
    pub(crate) fn asked(&self) -> impl Iterator<Item = RequestId> {
        self.open_requests()
            .filter(|request| request.origin != Origin::Gate)
            .map(|request| request.id)
    }

    pub(crate) fn open_requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.values().map(|row| &row.request).filter(|request| request.is_open())
    }

    /// Returns the open questions of a task; without one, those of programs that are no tasks.
    pub(crate) fn open_requests_of(&self, task: Option<TaskId>) -> impl Iterator<Item = &Request> {
        let ids = match task {
            None => Some(&self.of_programs),
            Some(id) => self.task(id).and_then(|live| live.task().state.open()),
        };
        ids.into_iter().flatten().filter_map(|id| self.request(*id)).map(|row| &row.request)
    }

    pub(crate) fn last_event(&self) -> EventNumber {
        self.last.event
    }

    pub(crate) fn next_task(&mut self) -> TaskId {
        self.remember_numbers();
        self.last.task.0 += 1;
        self.last.task
    }

    pub(crate) fn next_request(&mut self) -> RequestId {
        self.remember_numbers();
        self.last.request.0 += 1;
        self.last.request
    }

    pub(crate) fn next_event(&mut self) -> EventNumber {
        self.remember_numbers();
        self.last.event.0 += 1;
        self.last.event
    }

    pub(crate) fn put_task(&mut self, task: LiveTask) {
        let id = task.task().id;
        let before = self.replace_task(id, Some(task));
        self.undo.tasks.entry(id).or_insert(before);
    }

    /// Sets a progress without making it part of the turn: nothing waits for its storing.
    pub(crate) fn set_progress(&mut self, id: TaskId, progress: nod_core::progress::Progress) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.row.task.progress = Some(progress);
        }
    }

    pub(crate) fn put_request(&mut self, row: RequestRow) {
        let id = row.request.id;
        let before = self.replace_request(id, Some(row));
        self.undo.requests.entry(id).or_insert(before);
    }

    pub(crate) fn put_operation(&mut self, id: OperationId, result: OperationResult) {
        self.undo.operations.push(id.clone());
        self.operations.insert(id, result);
    }

    /// Returns the tasks that the turn touched.
    pub(crate) fn touched_tasks(&self) -> impl Iterator<Item = Touched<'_>> {
        self.undo.tasks.iter().filter_map(|(id, before)| {
            let after = self.tasks.get(id)?;
            Some(Touched { before: before.as_ref(), after })
        })
    }

    /// Returns the questions that the turn touched.
    pub(crate) fn touched_requests(&self) -> impl Iterator<Item = &RequestRow> {
        self.undo.requests.keys().filter_map(|id| self.requests.get(id))
    }

    /// Makes the turn's changes final; what has ended is forgotten.
    pub(crate) fn keep(&mut self) {
        let undo = std::mem::take(&mut self.undo);
        for id in undo.tasks.into_keys() {
            if self.tasks.get(&id).is_some_and(|task| task.task().state.outcome().is_some()) {
                self.replace_task(id, None);
            }
        }
        for id in undo.requests.into_keys() {
            if self.requests.get(&id).is_some_and(|row| !row.request.is_open()) {
                self.replace_request(id, None);
            }
        }
    }

    /// Takes the turn's changes back.
    pub(crate) fn undo(&mut self) {
        let undo = std::mem::take(&mut self.undo);
        for (id, before) in undo.tasks {
            self.replace_task(id, before);
        }
        for (id, before) in undo.requests {
            self.replace_request(id, before);
        }
        for id in undo.operations {
            self.operations.results.remove(&id);
        }
        if let Some(last) = undo.last {
            self.last = last;
        }
    }

    fn remember_numbers(&mut self) {
        self.undo.last.get_or_insert(self.last);
    }

    fn replace_task(&mut self, id: TaskId, task: Option<LiveTask>) -> Option<LiveTask> {
        let is_ready = |task: &LiveTask| {
            matches!(task.task().state, TaskState::Queued { reason: QueueReason::Slot })
        };
        if task.as_ref().is_some_and(is_ready) {
            self.ready.insert(id);
        } else {
            self.ready.remove(&id);
        }
        self.taken += usize::from(task.as_ref().is_some_and(|task| task.task().state.holds_slot()));
        let before = match task {
            Some(task) => self.tasks.insert(id, task),
            None => self.tasks.remove(&id),
        };
        self.taken -=
            usize::from(before.as_ref().is_some_and(|task| task.task().state.holds_slot()));
        before
    }

    fn replace_request(&mut self, id: RequestId, row: Option<RequestRow>) -> Option<RequestRow> {
        let expiry = |row: &RequestRow| {
            let at = row.request.expires_at.filter(|_| row.request.is_open())?;
            Some((at, id))
        };
        let next = row.as_ref().and_then(expiry);
        let of_program = |row: &RequestRow| row.request.task.is_none() && row.request.is_open();
        if row.as_ref().is_some_and(of_program) {
            self.of_programs.insert(id);
        } else {
            self.of_programs.remove(&id);
        }
        let before = match row {
            Some(row) => self.requests.insert(id, row),
            None => self.requests.remove(&id),
        };
        if let Some(expiry) = before.as_ref().and_then(expiry) {
            self.expiries.remove(&expiry);
        }
        self.expiries.extend(next);
        before
    }
}
