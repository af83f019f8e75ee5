//! What queued tasks wait for, and when they start.

use std::collections::BTreeSet;

use nod_core::access::Actor;
use nod_core::ids::{RequestId, TaskId};
use nod_core::schedule::{Dependency, Retry};
use nod_core::task::{Outcome, QueueReason, TaskState};
use nod_core::transition::{Again, Input, retried};

use super::Dispatcher;
use super::live::{Live, LiveTask};
use super::silence::gate_request;
use super::turn::Turn;
use crate::config::{Kind, OnLost};
use crate::error::EngineError;
use crate::store::{AttemptRow, RequestRow};

/// How soon a task whose process was lost is run again, in milliseconds: twice as late each time.
const LOST_PAUSE_MS: u64 = 1_000;

/// How often in a row a task is run again that was lost soon after its start.
const MOST_LOSSES: u32 = 10;

/// A process that ran for so long, in milliseconds, was not lost by its own doing.
const STEADY_MS: u64 = 10 * 60 * 1000;

/// How far the tasks are that another comes after.
enum Dependencies {
    /// These have not ended.
    Unfinished(BTreeSet<TaskId>),
    /// This one should have succeeded and has not.
    Failed(TaskId),
}

impl Dispatcher {
    /// Starts all that may start, and says of the others what they wait for.
    pub(super) fn admit(&mut self, turn: &mut Turn) {
        while !self.room.is_short()
            && let Some(id) = self.live.queue().next_start()
        {
            turn.durable = true;
            if self.holds_back(id, turn) {
                continue;
            }
            self.advance(id, Input::Admitted, turn).expect("a task that is ready can be admitted");
        }
        for id in self.live.queue().looked_at() {
            if let Some(reason) = self.live.queue_reason(id) {
                self.requeue(id, reason, turn);
            }
        }
    }

    /// Moves on what waited for the tasks that have ended in this turn.
    pub(super) fn settle_ends(&mut self, turn: &mut Turn) {
        let mut settled = 0;
        // What is skipped has ended too, and others may wait for that.
        while let Some(id) = turn.ended.get(settled).copied() {
            settled += 1;
            for dependent in self.live.dependents(id) {
                self.place(dependent, turn);
            }
        }
    }

    /// Moves on those whose time has come.
    pub(super) fn end_delays(&mut self, turn: &mut Turn) {
        while let Some((_, id)) = self.live.first_delay().filter(|(at, _)| *at <= turn.now) {
            self.place(id, turn);
        }
    }

    /// Decides what a queued task waits for, now that something has changed.
    pub(super) fn place(&mut self, id: TaskId, turn: &mut Turn) {
        let Some(live) = self.live.task(id) else { return };
        let TaskState::Queued { reason } = &live.task().state else { return };
        let (gated, schedule) = (!reason_may_change(reason), live.task().schedule.clone());
        let waited_for =
            if let QueueReason::Dependency { tasks } = reason { tasks.clone() } else { [].into() };
        match self.dependencies(&schedule.after, &waited_for) {
            Err(error) => {
                tracing::error!(task = id.0, "failed to look at its dependencies: {error}");
                self.unplaced.insert(id);
            }
            Ok(Dependencies::Failed(failed)) => {
                self.follow(id, Input::DependencyFailed { task: failed }, turn);
            }
            Ok(Dependencies::Unfinished(_)) if gated => {}
            Ok(Dependencies::Unfinished(unfinished)) => {
                let held = schedule.held_by(unfinished, turn.now);
                let reason = held.or_else(|| self.live.queue_reason(id));
                self.requeue(id, reason.unwrap_or(QueueReason::Slot), turn);
            }
        }
    }

    pub(super) fn requeue(&mut self, id: TaskId, reason: QueueReason, turn: &mut Turn) {
        let state = self.live.task(id).map(|live| &live.task().state);
        if state.is_some_and(|state| *state != TaskState::Queued { reason: reason.clone() }) {
            self.follow(id, Input::Requeued { reason }, turn);
        }
    }

    fn follow(&mut self, id: TaskId, input: Input, turn: &mut Turn) {
        if let Err(rejected) = self.advance(id, input, turn) {
            tracing::error!(task = id.0, "a queued task cannot be moved: {rejected}");
        }
    }

    /// Returns the queued tasks that come after others, which an earlier host may have lost.
    pub(crate) fn dependent(live: &Live) -> BTreeSet<TaskId> {
        let queued = live.tasks().map(LiveTask::task).filter(|task| {
            matches!(task.state, TaskState::Queued { .. }) && !task.schedule.after.is_empty()
        });
        queued.map(|task| task.id).collect()
    }

    /// Decides once more on those that an earlier host or an earlier turn could not place.
    pub(super) fn place_again(&mut self, turn: &mut Turn) {
        turn.placed = std::mem::take(&mut self.unplaced);
        for id in turn.placed.clone() {
            self.place(id, turn);
        }
    }

    /// Returns how far the tasks that another comes after are; of those that are no more, it is
    /// known which were still `waited_for`.
    fn dependencies(
        &self,
        after: &[Dependency],
        waited_for: &BTreeSet<TaskId>,
    ) -> Result<Dependencies, EngineError> {
        let mut unfinished = BTreeSet::new();
        for Dependency { task: id, any } in after {
            let state = match self.live.task(*id) {
                Some(live) => Some(live.task().state.clone()),
                None => match self.stored_task(*id) {
                    Ok(task) => Some(task.state),
                    Err(EngineError::TaskNotFound(_)) => None,
                    Err(error) => return Err(error),
                },
            };
            let (ended, succeeded) = match &state {
                Some(state) => {
                    (state.outcome().is_some(), state.outcome() == Some(&Outcome::Succeeded))
                }
                // Only what has ended is removed, and whoever waited for it heard of its end: one
                // that is waited for and gone was lost with a damaged history.
                None => (true, !waited_for.contains(id)),
            };
            if !ended {
                unfinished.insert(*id);
            } else if !succeeded && !*any {
                return Ok(Dependencies::Failed(*id));
            }
        }
        Ok(Dependencies::Unfinished(unfinished))
    }

    /// Returns what a task comes to when a try is over: the end, or another try.
    pub(super) fn after_try(
        &self,
        live: &mut LiveTask,
        next: TaskState,
        turn: &mut Turn,
    ) -> TaskState {
        let Some(outcome) = next.outcome().filter(|_| live.task().state.holds_slot()) else {
            return next;
        };
        let outcome = outcome.clone();
        let is_lost = matches!(outcome, Outcome::Lost { .. });
        if let Some(row) = &mut live.attempt {
            row.outcome = Some(outcome.clone());
            if is_lost && row.boot_id == self.settings.boot_id {
                row.ended_at.get_or_insert(turn.now);
            }
        }
        let retry = live.task().schedule.retry.filter(|_| !is_lost).and_then(Retry::next);
        let requeues = self.kind_of(live).is_some_and(|kind| kind.on_lost == OnLost::Requeue);
        let loss = if is_lost && requeues { self.pause_after_loss(live) } else { None };
        let pause = loss.or(retry.map(|(_, pause)| pause)).unwrap_or(0);
        let again = Again {
            at: turn.now.plus(pause),
            when_failed: retry.is_some(),
            when_lost: loss.is_some(),
        };
        let Some(state) = retried(&live.task().state, &next, again) else { return next };
        live.row.set_limit(live.row.own_limit());
        let task = &mut live.row.task;
        if let Some((left, _)) = retry {
            task.schedule.retry = Some(left);
        }
        task.schedule.hold_until(None);
        task.schedule.delay(turn.now, pause);
        (task.started_at, task.progress) = (None, None);
        task.condition = Default::default();
        turn.earlier.extend(live.attempt.clone());
        turn.tried.push((task.id, outcome));
        turn.durable = true;
        state
    }

    /// Returns how late a task runs again that was lost; nothing where that has happened too often.
    fn pause_after_loss(&self, live: &LiveTask) -> Option<u64> {
        let earlier = self.readers.lend().and_then(|reader| reader.attempts(live.task().id));
        let earlier = earlier.unwrap_or_else(|error| {
            tracing::error!(task = live.task().id.0, "failed to count its losses: {error}");
            vec![]
        });
        let current = live.attempt.as_ref();
        let before =
            earlier.iter().rev().filter(|row| current.is_none_or(|now| row.number < now.number));
        let in_a_row = current.into_iter().chain(before).take_while(|row| self.is_early_loss(row));
        let losses = u32::try_from(in_a_row.count()).unwrap_or(u32::MAX);
        let left = (MOST_LOSSES + 1).checked_sub(losses.max(1))?;
        Retry { left, ..Retry::new(MOST_LOSSES, LOST_PAUSE_MS) }.next().map(|(_, pause)| pause)
    }

    /// Returns whether a try was lost soon after its start, and not with the machine.
    fn is_early_loss(&self, row: &AttemptRow) -> bool {
        let lasted = row.started_at.zip(row.ended_at).map(|(from, to)| to.since(from));
        matches!(row.outcome, Some(Outcome::Lost { .. }))
            && row.boot_id == self.settings.boot_id
            && lasted.is_none_or(|lasted| lasted < STEADY_MS)
    }

    fn kind_of(&self, live: &LiveTask) -> Option<&Kind> {
        self.settings.config.kinds.get(&live.task().kind)
    }

    /// Asks a person whether a queued task may start; an older question is withdrawn.
    pub(super) fn ask_gate(
        &mut self,
        id: TaskId,
        by: &Actor,
        why: Option<String>,
        turn: &mut Turn,
    ) {
        self.bind_folder(id);
        let Some(live) = self.live.task(id).cloned() else { return };
        if let TaskState::Queued { reason: QueueReason::Gate { request } } = live.task().state {
            self.withdraw_request(request, "the task was changed, and is asked about anew", turn);
        }
        let number: RequestId = self.live.next_request();
        let limit = self.limit_of(&live, turn);
        let request = gate_request(&live, by, number, why, (limit, turn));
        let reason = QueueReason::Gate { request: number };
        self.follow(id, Input::Requeued { reason }, turn);
        self.open_gate(RequestRow::new(request, None, None), by, turn);
    }
}

fn reason_may_change(reason: &QueueReason) -> bool {
    !matches!(reason, QueueReason::Gate { .. })
}
