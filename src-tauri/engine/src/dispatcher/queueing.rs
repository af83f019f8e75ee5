//! What queued tasks wait for, and when they start.

use std::collections::BTreeSet;

use nod_core::access::Actor;
use nod_core::ids::{RequestId, TaskId};
use nod_core::schedule::Dependency;
use nod_core::task::{Outcome, QueueReason, TaskState};
use nod_core::transition::{Again, Input, retried};

use super::Dispatcher;
use super::live::{Judged, LiveTask};
use super::questions::gate_request;
use super::turn::Turn;
use crate::config::{Kind, OnLost};
use crate::error::EngineError;
use crate::store::RequestRow;

/// How soon a task whose process was lost is run again, in milliseconds.
const LOST_PAUSE_MS: u64 = 1_000;

impl Dispatcher {
    /// Starts all that may start, and says of the others what they wait for.
    pub(super) fn admit(&mut self, turn: &mut Turn) {
        while let Some(id) = self.live.queue().next_start() {
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
        match self.unfinished(&schedule.after) {
            Err(failed) => self.follow(id, Input::DependencyFailed { task: failed }, turn),
            Ok(_) if gated => {}
            Ok(unfinished) => {
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

    /// Returns which of the tasks have not ended; or one that should have succeeded and has not.
    fn unfinished(&self, after: &[Dependency]) -> Result<BTreeSet<TaskId>, TaskId> {
        let mut unfinished = BTreeSet::new();
        for Dependency { task: id, any } in after {
            let ended = match self.live.task(*id) {
                Some(live) => live.task().state.outcome().cloned(),
                None => match self.stored_task(*id) {
                    Ok(task) => task.state.outcome().cloned(),
                    // It ended, or there would be no such dependency; it was removed since.
                    Err(EngineError::TaskNotFound(_)) => Some(Outcome::Succeeded),
                    Err(error) => {
                        tracing::error!(task = id.0, "failed to look at a dependency: {error}");
                        None
                    }
                },
            };
            match ended {
                None => {
                    unfinished.insert(*id);
                }
                Some(Outcome::Succeeded) => {}
                Some(_) if *any => {}
                Some(_) => return Err(*id),
            }
        }
        Ok(unfinished)
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
        if let Some(row) = &mut live.attempt {
            row.outcome = Some(outcome.clone());
        }
        let retry = live.task().schedule.retry.and_then(nod_core::schedule::Retry::next);
        let on_lost = self.kind_of(live).map(|kind| kind.on_lost);
        let pause = retry.map_or(LOST_PAUSE_MS, |(_, pause)| pause);
        let again = Again {
            at: turn.now.plus(pause),
            when_failed: retry.is_some(),
            when_lost: on_lost == Some(OnLost::Requeue),
        };
        let Some(state) = retried(&next, again) else { return next };
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
        self.judge(id, Judged::Unknown);
        let Some(live) = self.live.task(id).cloned() else { return };
        if let TaskState::Queued { reason: QueueReason::Gate { request } } = live.task().state {
            self.withdraw_request(request, "the task was changed, and is asked about anew", turn);
        }
        let number: RequestId = self.live.next_request();
        let request = gate_request(&live, by, number, why, turn);
        let reason = QueueReason::Gate { request: number };
        self.follow(id, Input::Requeued { reason }, turn);
        self.open_gate(RequestRow { request, operation: None }, by, turn);
    }
}

fn reason_may_change(reason: &QueueReason) -> bool {
    !matches!(reason, QueueReason::Gate { .. })
}
