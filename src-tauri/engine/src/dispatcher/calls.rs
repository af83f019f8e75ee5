//! Deciding on what callers want.

use nod_core::access::{Actor, Refusal};
use nod_core::ids::{AttemptNumber, OperationId, RequestId, TaskId, Timestamp};
use nod_core::progress::Progress;
use nod_core::protocol::{Ask, EventChange, GiveAnswer, Reply};
use nod_core::request::{Closure, DETAIL_LIMIT, Origin, QUESTION_LIMIT, Request, Shown};
use nod_core::task::{PLAIN_KIND, QueueReason, Task, TaskState};
use nod_core::text::is_visible;
use nod_core::transition::Input;

use super::live::LiveTask;
use super::message::{Change, Incoming, NewEnvironment, NewTask, ReplyTo};
use super::turn::Turn;
use super::{Dispatcher, hex};
use crate::error::EngineError;
use crate::store::{AuditRow, OperationResult, RequestRow, TaskRow};

/// How long a question waits for the one who asked it to come back, in milliseconds.
const ASKER_GRACE_MS: u64 = 2_000;

/// What a decision says to its caller: now, or later when a question is closed.
enum Said {
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
            Change::Progress(progress) => self.report(&actor, progress),
            Change::Ask(ask) => self.ask(&actor, ask, turn),
            Change::Withdraw(operation) => self.withdraw(&actor, &operation, turn),
            Change::Answer(answer) => self.answer(actor, answer, turn),
            Change::Wait(id) => self.wait(id),
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
        let digest = hex(new.environment.digest());
        let live = self.new_task(id, actor, new, turn);
        let gate = live
            .task()
            .ask_first
            .then(|| gate_request(&live, self.live.next_request(), &digest, turn));
        let mut live = live;
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

    fn ask(&mut self, actor: &Actor, ask: Ask, turn: &mut Turn) -> Result<Said, EngineError> {
        let id = self.calling_task(actor)?;
        match self.operation(&ask.operation)? {
            // Asked before a connection was lost: go on waiting for the same answer.
            Some(OperationResult::Asked { request }) => return self.asked_again(id, request),
            Some(_) => return Err(EngineError::OperationReused(ask.operation.0)),
            None => {}
        }
        check_question(&ask)?;
        let live = self.live.task(id).ok_or(EngineError::TaskNotFound(id))?;
        let digest = hex(&live.row.environment);
        let attempt = live.task().attempt;
        let shown = shown(live, ask.question, ask.detail);
        let request = Request {
            id: self.live.next_request(),
            task: id,
            attempt,
            origin: Origin::Task,
            hash: shown.hash(&digest),
            shown,
            created_at: turn.now,
            expires_at: ask.timeout_ms.map(|limit| turn.now.plus(limit)),
            closure: None,
        };
        let number = request.id;
        self.advance(id, Input::Asked { request: number }, turn)?;
        self.open_request(RequestRow { request, operation: Some(ask.operation.clone()) }, turn);
        turn.operation(&mut self.live, ask.operation, OperationResult::Asked { request: number });
        turn.durable = true;
        Ok(Said::OnClosing(number))
    }

    fn asked_again(&self, task: TaskId, id: RequestId) -> Result<Said, EngineError> {
        let request = match self.live.request(id) {
            Some(row) => row.request.clone(),
            None => self.stored_request(id)?,
        };
        if request.task != task {
            return Err(EngineError::Refused(Refusal::AnotherTask(request.task)));
        }
        let Some(closure) = request.closure else { return Ok(Said::OnClosing(id)) };
        Ok(Said::Now(Reply::Closed { request: id, closure }))
    }

    fn withdraw(
        &mut self,
        actor: &Actor,
        operation: &OperationId,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let id = self.calling_task(actor)?;
        if let Some(OperationResult::Asked { request }) = self.operation(operation)? {
            let theirs = self.live.request(request).map(|row| row.request.task);
            if let Some(other) = theirs.filter(|task| *task != id) {
                return Err(EngineError::Refused(Refusal::AnotherTask(other)));
            }
            self.withdraw_request(request, "the task no longer asks", turn);
        }
        Ok(Said::Now(Reply::Done))
    }

    /// Closes a question that nobody waits for any more.
    pub(super) fn withdraw_request(&mut self, request: RequestId, why: &str, turn: &mut Turn) {
        let closure = Closure::Withdrawn { why: why.to_owned(), at: turn.now };
        self.close_request(request, closure, turn);
    }

    /// Notes that one who asked is gone. It may be back in a moment, on another connection.
    pub(super) fn asker_gone(&mut self, operation: &OperationId, turn: &Turn) {
        match self.operation(operation) {
            Ok(Some(OperationResult::Asked { request })) => {
                self.orphans.entry(request).or_insert(turn.now.plus(ASKER_GRACE_MS));
            }
            Ok(_) => {}
            // The question stays open until it expires or its task ends.
            Err(error) => tracing::error!("failed to find a question: {error}"),
        }
    }

    /// Withdraws the questions that nobody has waited for long enough.
    pub(super) fn withdraw_orphans(&mut self, turn: &mut Turn) {
        let waiters = &self.waiters;
        self.orphans.retain(|request, _| !waiters.has_asker(*request));
        let due = |(request, at): (&RequestId, &Timestamp)| (*at <= turn.now).then_some(*request);
        let due: Vec<_> = self.orphans.iter().filter_map(due).collect();
        for request in due {
            if turn.askers.iter().all(|(waiting, _)| *waiting != request) {
                self.withdraw_request(request, "the process that asked is gone", turn);
            }
        }
    }

    /// Returns what an operation came to, if it was carried out before.
    fn operation(&self, id: &OperationId) -> Result<Option<OperationResult>, EngineError> {
        let known = self.live.operation(id).cloned();
        if known.is_some() || !self.live.has_forgotten_operations() {
            return Ok(known);
        }
        Ok(self.readers.lend()?.operation(id)?)
    }

    fn answer(
        &mut self,
        by: Actor,
        given: GiveAnswer,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let id = given.request;
        if let Some(OperationResult::Answered { request }) = self.operation(&given.operation)? {
            let closure = self.stored_closure(request)?;
            return Ok(Said::Now(Reply::Closed { request, closure }));
        }
        let request = match self.live.request(id) {
            Some(row) => row.request.clone(),
            None => self.stored_request(id)?,
        };
        let closure = request.answered(given.answer.clone(), &given.shown, by.clone(), turn.now)?;
        turn.audit(AuditRow { at: turn.now, request, actor: by, answer: given.answer });
        self.close_request(id, closure.clone(), turn);
        turn.operation(&mut self.live, given.operation, OperationResult::Answered { request: id });
        turn.durable = true;
        Ok(Said::Now(Reply::Closed { request: id, closure }))
    }

    fn wait(&self, id: TaskId) -> Result<Said, EngineError> {
        if self.live.task(id).is_some() {
            return Ok(Said::OnEnd(id));
        }
        Ok(Said::Now(Reply::Ended { task: Box::new(self.stored_task(id)?) }))
    }

    fn calling_task(&self, actor: &Actor) -> Result<TaskId, EngineError> {
        match actor {
            Actor::Task { id } if self.live.task(*id).is_some() => Ok(*id),
            Actor::Task { id } => Err(EngineError::TaskNotFound(*id)),
            Actor::Person { .. } | Actor::Peer { .. } | Actor::Host => {
                Err(EngineError::Bad("only a running task can do this"))
            }
        }
    }

    fn not_live(&self, id: TaskId, hint: &'static str) -> EngineError {
        match self.stored_task(id) {
            Ok(task) => EngineError::WrongState { id, state: task.state.words(), hint },
            Err(error) => error,
        }
    }
}

fn check_question(ask: &Ask) -> Result<(), EngineError> {
    if !is_visible(&ask.question) {
        return Err(EngineError::Bad("the question is empty: say what is to be decided"));
    }
    if ask.question.len() > QUESTION_LIMIT {
        return Err(EngineError::TooLong { what: "the question", limit: QUESTION_LIMIT });
    }
    if ask.detail.as_ref().is_some_and(|detail| detail.len() > DETAIL_LIMIT) {
        return Err(EngineError::TooLong { what: "the detail", limit: DETAIL_LIMIT });
    }
    Ok(())
}

fn gate_request(live: &LiveTask, id: RequestId, digest: &str, turn: &Turn) -> Request {
    let shown = shown(live, "Start this task?".to_owned(), None);
    Request {
        id,
        task: live.task().id,
        attempt: live.task().attempt,
        origin: Origin::Gate,
        hash: shown.hash(digest),
        shown,
        created_at: turn.now,
        expires_at: None,
        closure: None,
    }
}

fn shown(live: &LiveTask, question: String, detail: Option<String>) -> Shown {
    Shown {
        task_name: live.task().name(),
        question,
        detail,
        argv: live.task().command.argv(),
        cwd: live.task().cwd.clone(),
        environment: live.row.environment_changes.clone(),
    }
}
