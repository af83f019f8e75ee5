//! Deciding on what callers want.

use nod_core::access::Actor;
use nod_core::ids::{AttemptNumber, OperationId, RequestId, TaskId};
use nod_core::progress::Progress;
use nod_core::protocol::{EventChange, Reply};
use nod_core::task::{PLAIN_KIND, QueueReason, Task, TaskState};
use nod_core::transition::Input;

use super::Dispatcher;
use super::live::LiveTask;
use super::message::{Change, Incoming, NewEnvironment, NewTask, ReplyTo};
use super::questions::gate_request;
use super::turn::Turn;
use crate::error::EngineError;
use crate::guards::Gate;
use crate::store::{OperationResult, RequestRow, TaskRow};

/// What a decision says to its caller: now, or later when a question is closed.
pub(super) enum Said {
    Now(Reply),
    OnClosing(RequestId),
    OnEnd(TaskId),
}

impl Dispatcher {
    pub(super) fn decide_call(&mut self, incoming: Incoming, turn: &mut Turn) {
        let Incoming { actor, change, reply } = incoming;
        let said = match change {
            Change::Submit(new) => self.submit(&actor, *new, turn),
            Change::Cancel { operation, id } => self.cancel(actor, operation, id, turn),
            Change::Pause { operation, id, paused } => self.pause(operation, id, paused, turn),
            Change::Input(typed) => self.type_in(&actor, typed, turn),
            Change::Resize { id, columns, rows } => self.resize(id, columns, rows, turn),
            Change::Progress(progress) => self.report(&actor, progress),
            Change::Ask(ask, program) => self.ask(&actor, *ask, program, turn),
            Change::Withdraw(operation) => self.withdraw(&actor, &operation, turn),
            Change::Answer(answer, from) => self.answer(actor, *answer, from, turn),
            Change::Wait(id) => self.wait(id),
            Change::Rules => Ok(self.rule_list()),
            Change::AddRule(operation, rule) => self.add_rule(actor, operation, *rule, turn),
            Change::RevokeRule(operation, id) => self.revoke_rule(actor, operation, id, turn),
            Change::ConfirmLoosening(operation, shown) => {
                self.confirm_loosening(actor, operation, &shown, turn)
            }
        };
        self.say(said, reply, turn);
    }

    fn say(&mut self, said: Result<Said, EngineError>, reply: ReplyTo, turn: &mut Turn) {
        match said {
            Ok(Said::Now(now)) => turn.replies.push((reply, Ok(now))),
            Ok(Said::OnClosing(request)) => turn.askers.push((request, reply)),
            Ok(Said::OnEnd(id)) => self.waiters.ends.entry(id).or_default().push(reply),
            Err(error) => turn.replies.push((reply, Err(error))),
        }
    }

    fn submit(
        &mut self,
        actor: &Actor,
        new: NewTask,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        match self.operation(&new.operation)? {
            Some(OperationResult::Submitted { id }) => {
                return Ok(Said::Now(Reply::Submitted { id }));
            }
            Some(_) => return Err(EngineError::OperationReused(new.operation.0)),
            None => {}
        }
        if let Actor::Task { id } = actor
            && self.live.task(*id).is_none()
        {
            // Its token died with it; only the connection is still there.
            return Err(EngineError::TaskNotFound(*id));
        }
        let id = self.live.next_task();
        turn.begun.push(id);
        let operation = new.operation.clone();
        let live = self.new_task(id, actor, new, turn);
        let mut live = live;
        let because = self.asks_first(&mut live, actor, turn);
        let gate =
            because.map(|why| gate_request(&live, actor, self.live.next_request(), why, turn));
        if let Some(gate) = &gate {
            live.row.task.state =
                TaskState::Queued { reason: QueueReason::Gate { request: gate.id } };
        }
        let task = Box::new(live.task().clone());
        self.live.put_task(live);
        turn.event(&mut self.live, id, ("submitted", None), EventChange::Task { task });
        if let Some(gate) = gate {
            self.open_request(RequestRow { request: gate, operation: None }, turn);
        }
        turn.operation(&mut self.live, operation, OperationResult::Submitted { id });
        turn.durable = true;
        Ok(Said::Now(Reply::Submitted { id }))
    }

    /// Returns whether a person is asked before the task starts, and for which rule's sake if for one.
    fn asks_first(
        &self,
        live: &mut LiveTask,
        actor: &Actor,
        turn: &mut Turn,
    ) -> Option<Option<String>> {
        if live.task().ask_first {
            return Some(None);
        }
        match self.gate_of(live, turn) {
            Gate::Open => None,
            Gate::Asks(rule) => {
                live.row.task.ask_first = true;
                Some(Some(rule))
            }
            Gate::Passes(rule) => {
                self.note_pass(live.task().id, actor, rule, turn);
                None
            }
        }
    }

    fn new_task(&self, id: TaskId, actor: &Actor, new: NewTask, turn: &mut Turn) -> LiveTask {
        let digest = new.environment.digest().to_vec();
        let plain = match new.environment {
            NewEnvironment::Given { sealed, plain } => {
                turn.environment(sealed);
                Some(plain)
            }
            NewEnvironment::Kept { .. } => None,
        };
        let parent = match actor {
            Actor::Task { id } => self.live.task(*id),
            Actor::Person { .. } | Actor::Peer { .. } | Actor::Host => None,
        };
        // A task's children are for the conversation that the task is for.
        let session = parent.and_then(|parent| parent.task().session.clone()).or(new.session);
        let task = Task {
            id,
            kind: PLAIN_KIND.to_owned(),
            label: new.label,
            command: new.command,
            cwd: new.cwd,
            output: new.output,
            options: new.options,
            condition: Default::default(),
            session,
            parent: parent.map(|parent| parent.task().id),
            timeout_ms: new.timeout_ms,
            ask_first: new.ask_first,
            attempt: AttemptNumber::FIRST,
            state: TaskState::Queued { reason: QueueReason::Slot },
            progress: None,
            created_at: turn.now,
            started_at: None,
            ended_at: None,
        };
        let environment_changes = new.environment_changes;
        let row = TaskRow { task, environment: digest, environment_changes };
        LiveTask { row, attempt: None, environment: plain }
    }

    fn cancel(
        &mut self,
        by: Actor,
        operation: OperationId,
        id: TaskId,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let known = self.operation(&operation)?;
        if known.as_ref().is_some_and(|known| *known != OperationResult::Cancelled { id }) {
            return Err(EngineError::OperationReused(operation.0));
        }
        if known.is_none() {
            if self.live.task(id).is_none() {
                return Err(self.not_live(id, "there is nothing to cancel"));
            }
            self.advance(id, Input::CancelRequested { by }, turn)?;
            turn.operation(&mut self.live, operation, OperationResult::Cancelled { id });
            turn.durable = true;
        }
        let task = match self.live.task(id) {
            Some(live) => live.task().clone(),
            None => self.stored_task(id)?,
        };
        Ok(Said::Now(Reply::Cancelling { task: Box::new(task) }))
    }

    fn report(&mut self, actor: &Actor, progress: Progress) -> Result<Said, EngineError> {
        let id = self.calling_task(actor)?;
        self.note_progress(id, progress);
        Ok(Said::Now(Reply::Done))
    }

    /// Takes in a progress from whatever source.
    pub(super) fn note_progress(&mut self, id: TaskId, progress: Progress) {
        let Some(live) = self.live.task(id) else { return };
        if !live.task().state.holds_slot() {
            return;
        }
        if let Some(merged) = Progress::merged(live.task().progress.as_ref(), progress) {
            self.live.set_progress(id, merged);
            self.board.changed(id, std::time::Instant::now());
        }
    }

    /// Returns what an operation came to, if it was carried out before.
    pub(super) fn operation(
        &self,
        id: &OperationId,
    ) -> Result<Option<OperationResult>, EngineError> {
        let known = self.live.operation(id).cloned();
        if known.is_some() || !self.live.has_forgotten_operations() {
            return Ok(known);
        }
        Ok(self.readers.lend()?.operation(id)?)
    }

    fn wait(&self, id: TaskId) -> Result<Said, EngineError> {
        if self.live.task(id).is_some() {
            return Ok(Said::OnEnd(id));
        }
        Ok(Said::Now(Reply::Ended { task: Box::new(self.stored_task(id)?) }))
    }

    pub(super) fn calling_task(&self, actor: &Actor) -> Result<TaskId, EngineError> {
        match actor {
            Actor::Task { id } if self.live.task(*id).is_some() => Ok(*id),
            Actor::Task { id } => Err(EngineError::TaskNotFound(*id)),
            Actor::Person { .. } | Actor::Peer { .. } | Actor::Host => {
                Err(EngineError::Bad("only a running task can do this"))
            }
        }
    }

    pub(super) fn not_live(&self, id: TaskId, hint: &'static str) -> EngineError {
        match self.stored_task(id) {
            Ok(task) => EngineError::WrongState { id, state: task.state.words(), hint },
            Err(error) => error,
        }
    }
}
