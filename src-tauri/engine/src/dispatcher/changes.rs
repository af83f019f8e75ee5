//! Deciding on changes of tasks that are there: edit, retry, remove, a deadline, a cancel of many.

use std::collections::BTreeSet;

use nod_core::access::{Actor, Refusal, Verb};
use nod_core::ids::{OperationId, SessionId, TaskId};
use nod_core::protocol::{AuditRow, AuditWhat, Edit, EventChange, Reply, Which};
use nod_core::schedule::{Dependency, Retry};
use nod_core::shim::ToShim;
use nod_core::task::{Outcome, QueueReason, Task, TaskState};
use nod_core::text::one_line;
use nod_core::transition::Input;

use super::Dispatcher;
use super::calls::Said;
use super::gates::said;
use super::live::{Judged, LiveTask};
use super::turn::Turn;
use crate::error::EngineError;
use crate::process;
use crate::store::OperationResult;

/// How much of a removed task's name the audit has, in characters.
const NAME_SHOWN: usize = 200;

impl Dispatcher {
    pub(super) fn cancel_many(
        &mut self,
        by: &Actor,
        operation: OperationId,
        which: &Which,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        match self.operation(&operation)? {
            Some(OperationResult::CancelledMany { count }) => {
                return Ok(Said::Now(Reply::Cancelled { count }));
            }
            Some(_) => return Err(EngineError::OperationReused(operation.0)),
            None => {}
        }
        let tasks = self.live.tasks().map(LiveTask::task).filter(|task| meant(task, which));
        let ids: Vec<_> = tasks.map(|task| task.id).collect();
        for id in &ids {
            self.advance(*id, Input::CancelRequested { by: by.clone() }, turn)?;
        }
        let count = ids.len() as u64;
        turn.operation(&mut self.live, operation, OperationResult::CancelledMany { count });
        turn.durable = true;
        Ok(Said::Now(Reply::Cancelled { count }))
    }

    pub(super) fn edit(
        &mut self,
        by: &Actor,
        edit: Edit,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let (operation, id) = (edit.operation.clone(), edit.id);
        if let Some(said) = self.done_before(&operation, Verb::Edit, id)? {
            return Ok(said);
        }
        let mut live = self.queued(id)?.clone();
        self.check_asked_again(by, live.task(), turn)?;
        let known = live.task().schedule.after.clone();
        if let Some(timeout) = edit.timeout_ms {
            live.row.set_limit(Some(timeout).filter(|limit| *limit > 0));
        }
        apply(&mut live.row.task, edit, turn);
        self.check_schedule(&live.task().schedule)?;
        let mut new = live.task().schedule.after.clone();
        new.retain(|dependency| known.iter().all(|known| known.task != dependency.task));
        self.check_dependencies(&new)?;
        self.check_circle(id, &live.task().schedule.after)?;
        self.put_changed(live, "edited", turn);
        self.settle_change(id, by, turn);
        self.changed(operation, Verb::Edit, id, turn)
    }

    /// Refuses a program that has a person asked about one task faster than anybody reads.
    fn check_asked_again(
        &mut self,
        by: &Actor,
        task: &Task,
        turn: &Turn,
    ) -> Result<(), EngineError> {
        if matches!(by, Actor::Person { .. }) || !task.ask_first {
            return Ok(());
        }
        self.pace.check_again(task.id, turn.now)
    }

    /// Asks anew about a task that is gated, or is by now: it is another one than was shown.
    fn settle_change(&mut self, id: TaskId, by: &Actor, turn: &mut Turn) {
        let Some(mut live) = self.live.task(id).cloned() else { return };
        let because = self.asks_first(&mut live, by, turn);
        self.live.put_task(live);
        if let Some(rule) = because {
            self.ask_gate(id, by, rule, turn);
        }
        self.place(id, turn);
    }

    pub(super) fn retry(
        &mut self,
        by: &Actor,
        operation: OperationId,
        id: TaskId,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        if let Some(said) = self.done_before(&operation, Verb::Retry, id)? {
            return Ok(said);
        }
        if let Some(live) = self.live.task(id) {
            let state = live.task().state.words();
            let hint = "only a task that has ended gets another try";
            return Err(EngineError::WrongState { id, state, hint });
        }
        let reader = self.readers.lend()?;
        let mut row = reader.task(id)?.ok_or(EngineError::TaskNotFound(id))?;
        let attempt = reader.attempts(id)?.pop();
        drop(reader);
        // A deadline that was moved was that of the last try.
        row.set_limit(row.own_limit());
        let task = &mut row.task;
        if let Some(key) = &task.schedule.key
            && let Some(other) = self.live.keyed(&task.kind, key)
        {
            return Err(EngineError::KeyTaken { key: key.clone(), id: other });
        }
        self.check_schedule(&task.schedule)?;
        self.check_dependency_is_there(task)?;
        self.check_asked_again(by, task, turn)?;
        // What it came after may have been told meanwhile to come after it.
        self.check_circle(id, &task.schedule.after)?;
        task.state = TaskState::Queued { reason: QueueReason::Slot };
        (task.started_at, task.ended_at, task.progress) = (None, None, None);
        // What the last try said is not what this one comes to.
        task.condition = Default::default();
        task.schedule.hold_until(None);
        let retry = task.schedule.retry;
        task.schedule.retry = retry.map(|retry| Retry::new(retry.retries, retry.backoff_ms));
        turn.reopened.push(id);
        turn.begun.push(id);
        self.put_changed(
            LiveTask { row, attempt, environment: None, judged: Judged::Unknown },
            "retried",
            turn,
        );
        self.settle_change(id, by, turn);
        // What comes after it and has not started waits for this try.
        for dependent in self.live.dependents(id) {
            self.place(dependent, turn);
        }
        self.changed(operation, Verb::Retry, id, turn)
    }

    /// Refuses another try of a task that was skipped for want of one that is no more: it did not
    /// succeed, and never will.
    fn check_dependency_is_there(&self, task: &Task) -> Result<(), EngineError> {
        let Some(Outcome::Skipped { dependency }) = task.state.outcome() else { return Ok(()) };
        let (id, dependency) = (task.id, *dependency);
        if self.live.task(dependency).is_some() {
            return Ok(());
        }
        match self.stored_task(dependency) {
            Ok(_) => Ok(()),
            Err(EngineError::TaskNotFound(_)) => {
                Err(EngineError::DependencyGone { id, dependency })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove(
        &mut self,
        actor: &Actor,
        operation: OperationId,
        (id, session): (TaskId, Option<SessionId>),
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        match self.operation(&operation)? {
            Some(OperationResult::Changed { verb: Verb::Remove, id: same }) if same == id => {
                return Ok(Said::Now(Reply::Done));
            }
            Some(_) => return Err(EngineError::OperationReused(operation.0)),
            None => {}
        }
        if let Some(live) = self.live.task(id) {
            let (state, hint) = (live.task().state.words(), "cancel it first");
            return Err(EngineError::WrongState { id, state, hint });
        }
        let row = self.readers.lend()?.task(id)?.ok_or(EngineError::TaskNotFound(id))?;
        let (task, by_person) = (row.task, row.bound.by_person);
        let is_person = matches!(actor, Actor::Person { .. });
        if !is_person && by_person && task.session.is_none() {
            return Err(EngineError::Refused(Refusal::OfPerson(id)));
        }
        if !is_person && task.session.is_some() && task.session != session {
            let hint = "name its session with --session, or remove it in the window";
            return Err(EngineError::OtherSession { id, hint });
        }
        let attempts = self.readers.lend()?.attempts(id)?;
        turn.folders.extend(attempts.into_iter().map(|attempt| attempt.folder));
        self.live.remove(id);
        turn.audit(AuditRow {
            task: Some(id),
            detail: Some(one_line(&task.name(), NAME_SHOWN)),
            ..said(AuditWhat::Removed, actor.clone(), turn)
        });
        let what = ("removed", Some(task.name()));
        turn.event(&mut self.live, id, what, EventChange::Removed { id });
        let result = OperationResult::Changed { verb: Verb::Remove, id };
        turn.operation(&mut self.live, operation, result);
        turn.durable = true;
        Ok(Said::Now(Reply::Done))
    }

    pub(super) fn move_deadline(
        &mut self,
        by: &Actor,
        operation: OperationId,
        (id, timeout_ms): (TaskId, Option<u64>),
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        if let Some(said) = self.done_before(&operation, Verb::Deadline, id)? {
            return Ok(said);
        }
        let live = self.live.task(id);
        let live = live.ok_or_else(|| self.not_live(id, "it has no time left to set"))?;
        let mut live = live.clone();
        match &live.task().state {
            TaskState::Queued { .. } => live.row.set_limit(timeout_ms),
            TaskState::Starting | TaskState::Running | TaskState::Waiting { .. } => {
                let at_ms = timeout_ms.map(|left| process::since_boot_ms().saturating_add(left));
                let started = live.task().started_at.unwrap_or(turn.now);
                let so_far = turn.now.since(started);
                live.row.move_limit(timeout_ms.map(|left| so_far.saturating_add(left)));
                if let Some(row) = &mut live.attempt {
                    row.deadline = Some(at_ms.unwrap_or(0));
                    let attempt = row.number;
                    let at_boot_ms = at_ms;
                    self.order(id, attempt, ToShim::Deadline { at_boot_ms }, turn)?;
                }
            }
            TaskState::Stopping { .. } | TaskState::Ended { .. } => {
                let (state, hint) = (live.task().state.words(), "it is being ended already");
                return Err(EngineError::WrongState { id, state, hint });
            }
        }
        let is_queued = matches!(live.task().state, TaskState::Queued { .. });
        self.put_changed(live, "deadline_moved", turn);
        if is_queued {
            // How long it may run is a part of what a person was shown.
            self.settle_change(id, by, turn);
        }
        self.changed(operation, Verb::Deadline, id, turn)
    }

    fn put_changed(&mut self, live: LiveTask, what: &str, turn: &mut Turn) {
        let task = Box::new(live.task().clone());
        self.live.put_task(live);
        turn.event(&mut self.live, task.id, (what, None), EventChange::Task { task });
    }

    /// Returns the reply to an operation that was carried out before.
    fn done_before(
        &self,
        operation: &OperationId,
        verb: Verb,
        id: TaskId,
    ) -> Result<Option<Said>, EngineError> {
        match self.operation(operation)? {
            None => Ok(None),
            Some(known) if known == (OperationResult::Changed { verb, id }) => {
                Ok(Some(self.as_it_is(id)?))
            }
            Some(_) => Err(EngineError::OperationReused(operation.0.clone())),
        }
    }

    fn changed(
        &mut self,
        operation: OperationId,
        verb: Verb,
        id: TaskId,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        turn.operation(&mut self.live, operation, OperationResult::Changed { verb, id });
        turn.durable = true;
        self.as_it_is(id)
    }

    fn as_it_is(&self, id: TaskId) -> Result<Said, EngineError> {
        let task = match self.live.task(id) {
            Some(live) => live.task().clone(),
            None => self.stored_task(id)?,
        };
        Ok(Said::Now(Reply::Changed { task: Box::new(task) }))
    }

    fn queued(&self, id: TaskId) -> Result<&LiveTask, EngineError> {
        let hint = "only a queued task can be edited";
        let live = self.live.task(id).ok_or_else(|| self.not_live(id, hint))?;
        let state = &live.task().state;
        if matches!(state, TaskState::Queued { .. }) {
            return Ok(live);
        }
        Err(EngineError::WrongState { id, state: state.words(), hint })
    }

    /// Refuses a task that would wait for itself.
    fn check_circle(&self, id: TaskId, after: &[Dependency]) -> Result<(), EngineError> {
        let mut seen = BTreeSet::new();
        let mut todo: Vec<TaskId> = after.iter().map(|dependency| dependency.task).collect();
        while let Some(next) = todo.pop() {
            if next == id {
                return Err(EngineError::Circle(id));
            }
            if seen.insert(next)
                && let Some(live) = self.live.task(next)
            {
                todo.extend(live.task().schedule.after.iter().map(|dependency| dependency.task));
            }
        }
        Ok(())
    }
}

/// Returns whether a cancel of many concerns the task: one that has not ended, and is not being
/// cancelled.
fn meant(task: &Task, which: &Which) -> bool {
    task.state.cancelled_by().is_none()
        && task.state.outcome().is_none()
        && which.kind.as_ref().is_none_or(|kind| *kind == task.kind)
        && which.group.as_ref().is_none_or(|group| *group == task.schedule.group)
        && which.session.as_ref().is_none_or(|session| task.session.as_ref() == Some(session))
}

fn apply(task: &mut Task, edit: Edit, turn: &Turn) {
    if let Some(command) = edit.command {
        task.command = command;
    }
    if let Some(label) = edit.label {
        task.label = Some(label).filter(|label| !label.is_empty());
    }
    if let Some(cwd) = edit.cwd {
        task.cwd = cwd;
    }
    let schedule = &mut task.schedule;
    if let Some(group) = edit.group {
        schedule.group = group;
    }
    if let Some(priority) = edit.priority {
        schedule.priority = priority;
    }
    if let Some(after) = edit.after {
        schedule.after = after;
    }
    if let Some(uses) = edit.uses {
        schedule.uses = uses;
        schedule.uses.retain(|_, weight| *weight > 0);
    }
    if let Some(retry) = edit.retry {
        schedule.retry = Some(retry).filter(|retry| retry.retries > 0);
    }
    match (edit.not_before, edit.delay_ms) {
        (_, Some(delay)) => {
            schedule.hold_until(None);
            if delay > 0 {
                schedule.delay(turn.now, delay);
            }
        }
        (at @ Some(_), None) => schedule.hold_until(at),
        (None, None) => {}
    }
}
