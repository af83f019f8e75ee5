//! The unfinished tasks and open questions, in memory, and how to take a turn back.
//!
//! Every change of a turn is made here at once, and undone when the
//! transaction that was to store it fails: memory and disk never disagree.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use nod_core::environment::Environment;
use nod_core::ids::{AttemptNumber, EventNumber, OperationId, RequestId, TaskId, Timestamp};
use nod_core::request::Request;
use nod_core::schedule::{Limits, Queue};
use nod_core::task::{QueueReason, Task};

use super::index::{Index, need, standing};
use crate::store::{AttemptRow, GroupRow, OperationResult, RequestRow, TaskRow};

/// An unfinished task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LiveTask {
    pub(crate) row: TaskRow,
    pub(crate) attempt: Option<AttemptRow>,
    /// Kept from the submit to the start; read from the store when it is missing.
    pub(crate) environment: Option<Arc<Environment>>,
    pub(crate) judged: Judged,
}

/// What was decided of the try that comes next, as far as this host knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    Unknown,
    /// This rule let it pass, and the audit says so.
    Passed(String),
    /// A person has approved it.
    Approved,
}

impl LiveTask {
    pub(crate) fn task(&self) -> &Task {
        &self.row.task
    }

    /// Returns the number of the try that would start next.
    pub(crate) fn next_attempt(&self) -> AttemptNumber {
        match &self.attempt {
            Some(earlier) => AttemptNumber(earlier.number.0 + 1),
            None => AttemptNumber::FIRST,
        }
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
    /// The tasks that wait for room, and those that have it.
    queue: Queue,
    /// What was said of groups beside the config file.
    groups: BTreeMap<String, GroupRow>,
    index: Index,
    removed: Vec<TaskId>,
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
    groups: Option<BTreeMap<String, GroupRow>>,
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
            queue: Queue::default(),
            groups: BTreeMap::new(),
            index: Index::default(),
            removed: vec![],
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

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &LiveTask> {
        self.tasks.values()
    }

    pub(crate) fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// Returns why a task waits for room.
    pub(crate) fn queue_reason(&self, id: TaskId) -> Option<QueueReason> {
        self.queue.reason(id)
    }

    pub(crate) fn running_in(&self, group: &str) -> u64 {
        self.queue.running_in(group)
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.queue.limits()
    }

    /// Makes the queue anew, with other limits.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.queue = Queue::new(limits);
        for (id, task) in &self.tasks {
            self.queue.set(*id, standing(task.task()).map(|it| (it, need(task.task()))));
        }
    }

    pub(crate) fn groups(&self) -> &BTreeMap<String, GroupRow> {
        &self.groups
    }

    /// Takes in what an earlier host stored of groups.
    pub(crate) fn restore_groups(&mut self, rows: Vec<GroupRow>) {
        self.groups = rows.into_iter().map(|row| (row.name.clone(), row)).collect();
    }

    pub(crate) fn put_groups(&mut self, groups: BTreeMap<String, GroupRow>) {
        let before = std::mem::replace(&mut self.groups, groups);
        self.undo.groups.get_or_insert(before);
    }

    /// Returns all that was said of groups, where the turn changed it.
    pub(crate) fn touched_groups(&self) -> Option<Vec<GroupRow>> {
        self.undo.groups.as_ref().map(|_| self.groups.values().cloned().collect())
    }

    /// Returns the queued tasks that come after this one.
    pub(crate) fn dependents(&self, id: TaskId) -> Vec<TaskId> {
        self.index.dependents(id)
    }

    /// Returns the queued task whose time comes first.
    pub(crate) fn first_delay(&self) -> Option<(Timestamp, TaskId)> {
        self.index.first_delay()
    }

    /// Returns the unfinished task of a kind that has the key.
    pub(crate) fn keyed(&self, kind: &str, key: &str) -> Option<TaskId> {
        self.index.keyed(kind, key)
    }

    pub(crate) fn remove(&mut self, id: TaskId) {
        self.removed.push(id);
    }

    pub(crate) fn removed(&self) -> &[TaskId] {
        &self.removed
    }

    /// Returns the open questions that run out some time.
    pub(crate) fn timed_requests(&self) -> impl Iterator<Item = RequestId> {
        self.expiries.iter().map(|(_, id)| *id)
    }

    /// Returns the open question that runs out first.
    pub(crate) fn first_expiry(&self) -> Option<(Timestamp, RequestId)> {
        self.expiries.first().copied()
    }

    /// Returns whether a question stays open only while somebody waits for its answer.
    pub(crate) fn is_held(&self, id: RequestId) -> bool {
        self.request(id).is_some_and(|row| row.operation.is_some())
    }

    /// Returns whether somebody waits for the answer to an open question under an operation.
    pub(crate) fn holds(&self, id: RequestId, operation: &OperationId) -> bool {
        let open = self.request(id).filter(|row| row.request.is_open());
        open.is_some_and(|row| row.holders().any(|holder| holder == operation))
    }

    /// Returns the operations under which somebody waits for an answer, with their questions.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (&OperationId, RequestId)> {
        let open = self.requests.values().filter(|row| row.request.is_open());
        open.flat_map(|row| row.holders().map(|operation| (operation, row.request.id)))
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
        self.removed.clear();
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
        self.removed.clear();
        if let Some(groups) = undo.groups {
            self.groups = groups;
        }
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

    /// Goes on after numbers that were given already.
    pub(crate) fn catch_up(&mut self, given: Numbers) {
        let last = &mut self.last;
        last.task = last.task.max(given.task);
        last.request = last.request.max(given.request);
        last.event = last.event.max(given.event);
    }

    /// Forgets a task outside of any turn.
    pub(crate) fn forget(&mut self, id: TaskId) {
        self.replace_task(id, None);
    }

    /// Forgets a question outside of any turn.
    pub(crate) fn forget_request(&mut self, id: RequestId) {
        self.replace_request(id, None);
    }

    fn remember_numbers(&mut self) {
        self.undo.last.get_or_insert(self.last);
    }

    fn replace_task(&mut self, id: TaskId, task: Option<LiveTask>) -> Option<LiveTask> {
        let before = match task {
            Some(task) => self.tasks.insert(id, task),
            None => self.tasks.remove(&id),
        };
        let after = self.tasks.get(&id).map(LiveTask::task);
        let was = before.as_ref().map(LiveTask::task);
        let same = |(was, after): (&Task, &Task)| {
            was.state == after.state && was.schedule == after.schedule
        };
        if !was.zip(after).is_some_and(same) {
            let place = after.and_then(|task| Some((standing(task)?, need(task))));
            self.queue.set(id, place);
            if let Some(was) = was {
                self.index.remove(was);
            }
            if let Some(after) = after {
                self.index.insert(after);
            }
        }
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
