//! What is true of a running task beside its state: paused, out of disk, or asking at its terminal.

use nod_core::ids::{AttemptNumber, OperationId, TaskId};
use nod_core::protocol::{Event, EventChange, Reply};
use nod_core::shim::ToShim;
use nod_core::task::{Condition, OutputMode, TaskState};

use super::Dispatcher;
use super::calls::Said;
use super::turn::Turn;
use crate::clock;
use crate::error::EngineError;
use crate::store::OperationResult;

/// Forgets what does not hold in the state that a task comes to.
pub(super) fn settle(condition: &mut Condition, state: &TaskState) {
    match state {
        TaskState::Stopping { .. } => {
            // The first signal lets it go on.
            condition.paused = false;
            condition.prompt = None;
            condition.wants_input = false;
        }
        TaskState::Ended { .. } => {
            *condition = Condition { said: condition.said.take(), ..Condition::default() };
        }
        // What an earlier try said is not what the next one comes to.
        TaskState::Queued { .. } => condition.said = None,
        TaskState::Starting | TaskState::Running => condition.wants_input = false,
        TaskState::Waiting { .. } => {}
    }
}

impl Dispatcher {
    pub(super) fn pause(
        &mut self,
        operation: OperationId,
        id: TaskId,
        paused: bool,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let result = OperationResult::Paused { id, paused };
        let known = self.operation(&operation)?;
        if known.as_ref().is_some_and(|known| *known != result) {
            return Err(EngineError::OperationReused(operation.0));
        }
        if known.is_none() {
            let hint = "only a running task can be paused and resumed";
            let attempt = self.running_attempt(id, hint)?;
            let order = if paused { ToShim::Pause } else { ToShim::Resume };
            self.order(id, attempt, order, turn)?;
            let what = if paused { "paused" } else { "resumed" };
            self.change_condition(id, (what, None), turn, |now| now.paused = paused);
            turn.operation(&mut self.live, operation, result);
            turn.durable = true;
        }
        let task = match self.live.task(id) {
            Some(live) => live.task().clone(),
            None => self.stored_task(id)?,
        };
        Ok(Said::Now(Reply::Changed { task: Box::new(task) }))
    }

    pub(super) fn resize(
        &mut self,
        id: TaskId,
        columns: u16,
        rows: u16,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let attempt = self.interactive_attempt(id)?;
        self.order(id, attempt, ToShim::Resize { columns, rows }, turn)?;
        Ok(Said::Now(Reply::Done))
    }

    /// Tells at once that a task's output has no room, or has again: a full disk stores nothing.
    pub(super) fn note_disk(&mut self, id: TaskId, full: bool) {
        if self.outputs.set_full(id, full) {
            let (seq, at) = (self.live.last_event(), clock::now());
            self.events.publish(Event { seq, at, change: EventChange::DiskFull { id, full } });
        }
    }

    /// Notes that a log grows past its bound.
    pub(super) fn note_unbounded(&mut self, id: TaskId, turn: &mut Turn) {
        let what = ("log_unbounded", None);
        self.change_condition(id, what, turn, |condition| condition.unbounded_log = true);
    }

    /// Notes what a task seems to wait for somebody to type, or that it goes on; each such wait is one
    /// notice for its session.
    pub(super) fn note_prompt(&mut self, id: TaskId, prompt: Option<String>, turn: &mut Turn) {
        let Some(before) = self.live.task(id).map(|live| &live.task().condition.prompt) else {
            return;
        };
        let what = match &prompt {
            Some(line) if *before != prompt => {
                self.leave_notice(id, (format!("needs input: {line}"), true), turn);
                "needs_input"
            }
            Some(_) => return,
            None => "goes_on",
        };
        let what = (what, prompt.clone());
        self.change_condition(id, what, turn, |now| now.prompt = prompt);
    }

    /// Changes what is beside the state, and tells it; nothing where that is so already.
    pub(super) fn change_condition(
        &mut self,
        id: TaskId,
        (what, detail): (&str, Option<String>),
        turn: &mut Turn,
        change: impl FnOnce(&mut Condition),
    ) {
        let Some(mut live) = self.live.task(id).cloned() else { return };
        let before = live.row.task.condition.clone();
        change(&mut live.row.task.condition);
        if live.row.task.condition != before {
            self.live.put_task(live);
            self.tell_task(id, (what, detail), turn);
        }
    }

    /// Tells a shim something that its build must know of.
    pub(super) fn order(
        &self,
        id: TaskId,
        attempt: AttemptNumber,
        order: ToShim,
        turn: &mut Turn,
    ) -> Result<(), EngineError> {
        if self.effects.shim_protocol(id, attempt) < order.since() {
            return Err(EngineError::OldShim(id));
        }
        turn.orders.push((id, attempt, order));
        Ok(())
    }

    /// Returns the attempt of a task that has a terminal as its input.
    pub(super) fn interactive_attempt(&self, id: TaskId) -> Result<AttemptNumber, EngineError> {
        let attempt = self.running_attempt(id, "nobody reads what is typed")?;
        let output = self.live.task(id).map(|live| live.task().output);
        if output != Some(OutputMode::Interactive) {
            return Err(EngineError::NotInteractive(id));
        }
        Ok(attempt)
    }

    /// Returns the attempt of a task that has a process and is not being ended.
    fn running_attempt(
        &self,
        id: TaskId,
        hint: &'static str,
    ) -> Result<AttemptNumber, EngineError> {
        let Some(live) = self.live.task(id) else { return Err(self.not_live(id, hint)) };
        match live.task().state {
            TaskState::Running | TaskState::Waiting { .. } => Ok(live.task().attempt),
            TaskState::Queued { .. }
            | TaskState::Starting
            | TaskState::Stopping { .. }
            | TaskState::Ended { .. } => {
                Err(EngineError::WrongState { id, state: live.task().state.words(), hint })
            }
        }
    }
}
