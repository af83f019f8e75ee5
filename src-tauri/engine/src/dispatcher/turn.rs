//! What one turn of the dispatcher has decided and not yet done.

use std::collections::{BTreeSet, HashMap};

use nod_core::ids::{AttemptNumber, OperationId, RequestId, TaskId, Timestamp};
use nod_core::protocol::{AuditRow, Event, EventChange, Reply, WaitEnd};
use nod_core::request::Closure;
use nod_core::shim::ToShim;
use nod_core::task::Outcome;
use nod_core::transition::Effect;

use super::cards::Card;
use super::live::Live;
use super::looking::Look;
use super::message::ReplyTo;
use super::pace::Source;
use super::typing::UnderWay;
use super::waiters::Asker;
use crate::effects::Start;
use crate::error::EngineError;
use crate::guards::Posted;
use crate::store::{
    AttemptRow, ClockChange, Commit, EventRow, OperationResult, RuleChange, SealedEnvironment,
    TalkChange, TaskRow,
};

/// The decisions of a turn, in the order in which they were taken.
pub(crate) struct Turn {
    pub(crate) now: Timestamp,
    events: Vec<(EventRow, EventChange)>,
    pub(crate) replies: Vec<(ReplyTo, Result<Reply, EngineError>)>,
    /// Callers that only look.
    pub(super) looks: Vec<(ReplyTo, Look)>,
    /// Callers that wait for a question to be closed.
    pub(crate) askers: Vec<(RequestId, Asker)>,
    /// Askers who have gone from a question that others still ask.
    pub(crate) left: Vec<(RequestId, OperationId, Closure)>,
    /// Questions for whose answer somebody waits no longer.
    pub(crate) resumed: BTreeSet<RequestId>,
    pub(crate) effects: Vec<(TaskId, AttemptNumber, Effect)>,
    pub(crate) starts: Vec<Start>,
    /// What shims are told beside the effects.
    pub(crate) orders: Vec<(TaskId, AttemptNumber, ToShim)>,
    pub(crate) closed: Vec<(RequestId, Closure)>,
    /// New gates, and earlier ones that are shown from now on.
    pub(super) gates: Vec<(RequestId, Card)>,
    pub(super) shown: Vec<RequestId>,
    /// Where the processes that submitted gated tasks count, by their numbers.
    pub(super) sources: HashMap<u32, Source>,
    /// New tasks, whose output can be waited for from now on.
    pub(crate) begun: Vec<TaskId>,
    pub(crate) ended: Vec<TaskId>,
    /// Queued tasks that were looked at once more, and are to be again if this is not stored.
    pub(crate) placed: BTreeSet<TaskId>,
    /// Tasks whose try is over, and another follows.
    pub(crate) tried: Vec<(TaskId, Outcome)>,
    /// Ended tasks that are to run again.
    pub(crate) reopened: Vec<TaskId>,
    /// The tries that are over and were no task's last one.
    pub(crate) earlier: Vec<AttemptRow>,
    /// Folders of tasks that are in the history no more.
    pub(crate) folders: Vec<String>,
    environments: Vec<SealedEnvironment>,
    operations: Vec<(OperationId, Timestamp, OperationResult)>,
    audit: Vec<AuditRow>,
    talk: Vec<TalkChange>,
    /// How the clock stands, where that is not stored yet.
    pub(crate) clock: Option<ClockChange>,
    /// Who waits for a signal from now on, who is woken, and who never will be.
    pub(crate) waiting: Vec<(OperationId, ReplyTo)>,
    pub(crate) woken: Vec<(OperationId, WaitEnd)>,
    pub(crate) deaf: Vec<OperationId>,
    /// What is to be typed from now on, and who waits for that.
    pub(super) typing: Vec<(TaskId, AttemptNumber, UnderWay)>,
    /// Who waits for a message from now on, and which tasks have one.
    pub(crate) readers: Vec<(TaskId, ReplyTo)>,
    pub(crate) read: BTreeSet<TaskId>,
    /// Tasks that read nothing any more.
    pub(crate) over: Vec<TaskId>,
    rule_changes: Vec<RuleChange>,
    /// The rules after this turn, where it changes them.
    pub(crate) rules: Option<Posted>,
    /// The end of the output of tasks that ended, where they had any.
    pub(crate) tails: HashMap<TaskId, String>,
    /// More has changed than is told one by one: who shows what there is asks for all of it again.
    pub(super) look_again: bool,
    /// Something in this turn was promised to somebody, so it must survive a power cut.
    pub(crate) durable: bool,
}

impl Turn {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            events: Vec::new(),
            replies: Vec::new(),
            looks: Vec::new(),
            askers: Vec::new(),
            left: Vec::new(),
            resumed: BTreeSet::new(),
            effects: Vec::new(),
            starts: Vec::new(),
            orders: Vec::new(),
            closed: Vec::new(),
            gates: Vec::new(),
            shown: Vec::new(),
            sources: HashMap::new(),
            begun: Vec::new(),
            ended: Vec::new(),
            placed: BTreeSet::new(),
            tried: Vec::new(),
            reopened: Vec::new(),
            earlier: Vec::new(),
            folders: Vec::new(),
            environments: Vec::new(),
            operations: Vec::new(),
            audit: Vec::new(),
            talk: Vec::new(),
            clock: None,
            waiting: Vec::new(),
            woken: Vec::new(),
            deaf: Vec::new(),
            typing: Vec::new(),
            readers: Vec::new(),
            read: BTreeSet::new(),
            over: Vec::new(),
            rule_changes: Vec::new(),
            rules: None,
            tails: HashMap::new(),
            look_again: false,
            durable: false,
        }
    }

    /// Adds an event and gives it its number.
    pub(crate) fn event(
        &mut self,
        live: &mut Live,
        task: impl Into<Option<TaskId>>,
        (what, detail): (&str, Option<String>),
        change: EventChange,
    ) {
        let (seq, at, task) = (live.next_event(), self.now, task.into());
        let row = EventRow { seq, at, task, what: what.to_owned(), detail };
        self.events.push((row, change));
    }

    /// Adds an event that concerns no single task.
    pub(crate) fn event_of_host(
        &mut self,
        live: &mut Live,
        what: &str,
        detail: String,
        change: EventChange,
    ) {
        self.event(live, None, (what, Some(detail)), change);
    }

    /// Notes what an operation came to.
    pub(crate) fn operation(
        &mut self,
        live: &mut Live,
        operation: OperationId,
        result: OperationResult,
    ) {
        live.put_operation(operation.clone(), result.clone());
        self.operations.push((operation, self.now, result));
    }

    pub(crate) fn environment(&mut self, sealed: SealedEnvironment) {
        self.environments.push(sealed);
    }

    pub(crate) fn talk(&mut self, change: TalkChange) {
        self.talk.push(change);
    }

    pub(crate) fn rule(&mut self, change: RuleChange) {
        self.rule_changes.push(change);
    }

    pub(crate) fn audit(&mut self, row: AuditRow) {
        self.audit.push(row);
    }

    /// Returns what is to be stored, and leaves the events to be published.
    pub(crate) fn commit(&mut self, live: &Live) -> (Commit, Vec<Event>) {
        let mut commit = Commit {
            environments: std::mem::take(&mut self.environments),
            operations: std::mem::take(&mut self.operations),
            audit: std::mem::take(&mut self.audit),
            rules: std::mem::take(&mut self.rule_changes),
            talk: std::mem::take(&mut self.talk),
            clock: self.clock.take(),
            tails: self.searchable(),
            requests: live.touched_requests().cloned().collect(),
            attempts: std::mem::take(&mut self.earlier),
            reopened: self.reopened.clone(),
            removed: live.removed().to_vec(),
            groups: live.touched_groups(),
            sweeps: self.sweeps(),
            durable: self.durable,
            ..Commit::default()
        };
        for touched in live.touched_tasks() {
            match touched.before {
                None if self.reopened.contains(&touched.after.row.task.id) => {
                    commit.tasks.push(touched.after.row.clone());
                    commit.edited.push(touched.after.row.clone());
                }
                None => commit.new_tasks.push(touched.after.row.clone()),
                Some(before) if before.row != touched.after.row => {
                    commit.tasks.push(touched.after.row.clone());
                    if is_edited(&before.row, &touched.after.row) {
                        commit.edited.push(touched.after.row.clone());
                    }
                }
                Some(_) => {}
            }
            if touched.before.is_none_or(|before| before.attempt != touched.after.attempt) {
                commit.attempts.extend(touched.after.attempt.clone());
            }
        }
        let mut published = Vec::with_capacity(self.events.len());
        for (row, change) in self.events.drain(..) {
            published.push(Event { seq: row.seq, at: row.at, change });
            commit.events.push(row);
        }
        (commit, published)
    }

    /// Returns the lost attempts whose processes are to be ended.
    fn sweeps(&self) -> Vec<(TaskId, AttemptNumber)> {
        let sweeps = self.effects.iter().filter(|(_, _, effect)| *effect == Effect::Sweep);
        sweeps.map(|(id, attempt, _)| (*id, *attempt)).collect()
    }

    /// Returns what the search is to find of each task that ended, with output or without.
    fn searchable(&mut self) -> Vec<(TaskId, String)> {
        let tails = &mut self.tails;
        self.ended.iter().map(|id| (*id, tails.remove(id).unwrap_or_default())).collect()
    }

    /// Returns whether there is nothing to store.
    pub(crate) fn stores_nothing(&self, live: &Live) -> bool {
        self.events.is_empty()
            && self.operations.is_empty()
            && self.audit.is_empty()
            && self.rule_changes.is_empty()
            && live.touched_groups().is_none()
            && self.talk.is_empty()
            && self.clock.is_none()
            && live.touched_tasks().next().is_none()
            && live.touched_requests().next().is_none()
    }
}

/// Returns whether more has changed than where a task stands.
fn is_edited(before: &TaskRow, after: &TaskRow) -> bool {
    let is_bound_otherwise = before.bound != after.bound;
    let (before, after) = (&before.task, &after.task);
    is_bound_otherwise
        || before.schedule != after.schedule
        || before.timeout_ms != after.timeout_ms
        || before.ask_first != after.ask_first
        || before.label != after.label
        || before.command != after.command
        || before.cwd != after.cwd
}
