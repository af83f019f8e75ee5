//! Questions: how they are put, reminded of, and closed. How they are answered is in `answering`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nod_core::access::Actor;
use nod_core::ids::{AttemptNumber, OperationId, RequestId, TaskId, Timestamp};
use nod_core::protocol::{Ask, EventChange, Reply};
use nod_core::request::{Answer, Closure, Origin, Request, Shown, Wants};
use nod_core::task::{Denial, TaskState};
use nod_core::transition::Input;

use super::answering::decision;
use super::calls::Said;
use super::folding::Same;
use super::live::{Judged, Live, LiveTask};
use super::message::Program;
use super::silence::Unanswered;
use super::turn::Turn;
use super::waiters::Asker;
use super::{Dispatcher, hex};
use crate::error::EngineError;
use crate::process::Lineage;
use crate::store::{OperationResult, RequestRow};

/// How long a question waits for the one who asked it to come back.
pub(super) const ASKER_GRACE: Duration = Duration::from_secs(2);

/// How often a person is reminded of a question at the most, in milliseconds.
const LEAST_REMINDER_MS: u64 = 60_000;

/// When a person is to be reminded of which question.
pub(crate) type Reminders = BTreeSet<(Timestamp, RequestId)>;

/// Returns the reminders of the questions that are open.
pub(crate) fn reminders_of(live: &Live, now: Timestamp) -> Reminders {
    live.open_requests()
        .filter_map(|request| Some((request.next_reminder(request.created_at, now)?, request.id)))
        .collect()
}

impl Dispatcher {
    pub(super) fn ask(
        &mut self,
        actor: &Actor,
        ask: Ask,
        program: Option<Program>,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let task = self.asking_task(actor)?;
        match self.operation(&ask.operation)? {
            // Asked before a connection was lost: go on waiting for the same answer.
            Some(OperationResult::Asked { request }) => {
                let lineage = program.as_ref().and_then(|program| program.lineage.as_ref());
                return self.asked_again((actor, lineage), request, &ask.operation, turn);
            }
            Some(_) => return Err(EngineError::OperationReused(ask.operation.0)),
            None => {}
        }
        ask.check()?;
        self.check_goes_on(task)?;
        let source = self.source(task, program.as_ref());
        let lineage = program.as_ref().and_then(|program| program.lineage.clone());
        let (shown, digest, attempt) = self.to_be_shown(task, program, &ask)?;
        let hash = shown.hash(&digest);
        turn.durable = true;
        let new = Same { task, source, lineage: lineage.as_ref(), hash: &hash, ask: &ask };
        if let Some(same) = self.same_question(&new, turn.now) {
            self.fold(same, actor, &ask.operation, turn);
            let (request, _) = same;
            let result = OperationResult::Asked { request };
            turn.operation(&mut self.live, ask.operation, result);
            return Ok(Said::OnClosing(request));
        }
        self.check_open(source)?;
        if !matches!(ask.wants, Wants::Form { .. }) {
            // A form was counted before its schema was looked at.
            self.pace.check(source, turn.now)?;
        }
        let number = self.live.next_request();
        self.pace.note(number, source);
        let origin = if task.is_some() { Origin::Task } else { Origin::Program };
        let request = Request {
            id: number,
            task,
            attempt,
            origin,
            asked_by: Some(actor.clone()),
            also_asked_by: vec![],
            hash,
            shown,
            created_at: turn.now,
            expires_at: ask.timeout_ms.map(|limit| turn.now.plus(limit)),
            on_timeout: ask.on_timeout,
            remind_ms: ask.remind_ms.map(|every| every.max(LEAST_REMINDER_MS)),
            closure: None,
        };
        if let Some(id) = task {
            self.note_wants(id, Some(&request.shown.wants));
            self.advance(id, Input::Asked { request: number }, turn)?;
        }
        let operation = Some(ask.operation.clone());
        let asked_for = lineage.map(|lineage| lineage.own);
        self.open_request(RequestRow::new(request, operation, asked_for), turn);
        turn.operation(&mut self.live, ask.operation, OperationResult::Asked { request: number });
        Ok(Said::OnClosing(number))
    }

    /// Notes whether all that a task waits for, and one question more, is no approval.
    fn note_wants(&mut self, id: TaskId, more: Option<&Wants>) {
        let open = self.live.open_requests_of(Some(id)).filter(|request| request.is_open());
        let open = open.map(|request| &request.shown.wants);
        let approvals: Vec<bool> =
            open.chain(more).map(|wants| *wants == Wants::Approval).collect();
        let wants_input = !approvals.is_empty() && !approvals.contains(&true);
        let Some(live) = self.live.task(id) else { return };
        if live.task().condition.wants_input != wants_input {
            let mut live = live.clone();
            live.row.task.condition.wants_input = wants_input;
            self.live.put_task(live);
        }
    }

    /// Returns the task that asks; nothing for a program that is none.
    pub(super) fn asking_task(&self, actor: &Actor) -> Result<Option<TaskId>, EngineError> {
        match actor {
            Actor::Peer { .. } => Ok(None),
            Actor::Task { .. } | Actor::Person { .. } | Actor::Host => {
                self.calling_task(actor).map(Some)
            }
        }
    }

    /// Refuses the question of a task that is being ended: its end would withdraw it at once.
    fn check_goes_on(&self, task: Option<TaskId>) -> Result<(), EngineError> {
        let live = task.and_then(|id| self.live.task(id));
        match live.map(LiveTask::task) {
            Some(task) if matches!(task.state, TaskState::Stopping { .. }) => {
                let hint = "nobody is asked any more, and this question was not shown to anybody; \
                            the task ends when its time for that is up";
                Err(EngineError::WrongState { id: task.id, state: task.state.words(), hint })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn to_be_shown(
        &self,
        task: Option<TaskId>,
        program: Option<Program>,
        ask: &Ask,
    ) -> Result<(Shown, String, AttemptNumber), EngineError> {
        let (mut shown, digest, attempt) = match task {
            Some(id) => {
                let live = self.live.task(id).ok_or(EngineError::TaskNotFound(id))?;
                let shown = shown(live, ask.question.clone(), ask.detail.clone());
                (shown, hex(&live.row.environment), live.task().attempt)
            }
            None => {
                let program = program.ok_or(EngineError::Bad("it is not known who asks"))?;
                (shown_of_program(program, ask), String::new(), AttemptNumber::FIRST)
            }
        };
        shown.diff = ask.diff.clone();
        shown.wants = ask.wants.clone();
        Ok((shown, digest, attempt))
    }

    fn asked_again(
        &mut self,
        (actor, lineage): (&Actor, Option<&Lineage>),
        id: RequestId,
        operation: &OperationId,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let row = self.any_request_row(id)?;
        self.check_asker(&row, actor, lineage)?;
        let Some(closure) = row.request.closure else {
            self.ask_anew(id, operation, turn);
            return Ok(Said::OnClosing(id));
        };
        Ok(Said::Now(Reply::Closed { request: id, closure }))
    }

    pub(super) fn withdraw(
        &mut self,
        (actor, lineage): (&Actor, Option<&Lineage>),
        operation: &OperationId,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        self.asking_task(actor)?;
        if let Some(OperationResult::Asked { request }) = self.operation(operation)? {
            self.check_asker(&self.any_request_row(request)?, actor, lineage)?;
            self.leave(request, operation, "the asker no longer asks", turn);
        }
        Ok(Said::Now(Reply::Done))
    }

    /// Closes a question that nobody waits for any more.
    pub(super) fn withdraw_request(&mut self, request: RequestId, why: &str, turn: &mut Turn) {
        let closure = Closure::Withdrawn { why: why.to_owned(), at: turn.now };
        self.close_request(request, closure, turn);
    }

    /// Notes that one who asked is gone. It may be back in a moment, on another connection.
    pub(super) fn asker_gone(&mut self, operation: &OperationId) {
        match self.operation(operation) {
            // Who let go of its question does not take it along, nor does who asked what is closed.
            Ok(Some(OperationResult::Asked { request })) if self.live.holds(request, operation) => {
                let until = Instant::now() + ASKER_GRACE;
                self.orphans.entry(operation.clone()).or_insert((request, until));
            }
            Ok(_) => {}
            // The question stays open until it expires or its task ends.
            Err(error) => tracing::error!("failed to find a question: {error}"),
        }
    }

    /// Lets those go who have been gone for long enough, and with the last of them their question.
    pub(super) fn withdraw_orphans(&mut self, turn: &mut Turn) {
        let (live, waiters) = (&self.live, &self.waiters);
        let is_gone = |operation: &OperationId, request: RequestId| {
            live.holds(request, operation) && !waiters.has_asker(request, operation)
        };
        self.orphans.retain(|operation, (request, _)| is_gone(operation, *request));
        let now = Instant::now();
        let due = self.orphans.iter().filter(|(_, (_, until))| *until <= now);
        let due: Vec<_> = due.map(|(operation, (id, _))| (operation.clone(), *id)).collect();
        for (operation, request) in due {
            let is_back = |(id, asker): &(RequestId, Asker)| {
                *id == request && asker.operation.as_ref().is_none_or(|own| *own == operation)
            };
            if !turn.askers.iter().any(is_back) {
                self.leave(request, &operation, "the process that asked is gone", turn);
            }
        }
    }

    pub(crate) fn open_request(&mut self, row: RequestRow, turn: &mut Turn) {
        let id = row.request.id;
        self.reminders.extend(row.request.next_reminder(turn.now, turn.now).map(|at| (at, id)));
        self.live.put_request(row);
        self.tell_of_request(id, turn);
    }

    /// Closes an open question, and moves its task on.
    pub(crate) fn close_request(&mut self, id: RequestId, closure: Closure, turn: &mut Turn) {
        let Some(mut row) = self.live.request(id).filter(|row| row.request.is_open()).cloned()
        else {
            return;
        };
        row.request.closure = Some(closure.clone());
        let request = Box::new(row.request.clone());
        self.live.put_request(row);
        if !matches!(closure, Closure::Answered { .. }) {
            turn.audit(decision(&request, &closure));
        }
        let change = EventChange::Request { request: request.clone() };
        let what = ("request_closed", Some(closure.words()));
        turn.event(&mut self.live, request.task, what, change);
        turn.closed.push((id, closure.clone()));
        turn.durable = true;
        let is_yes = closure.approves();
        let (Some(task), Some(input)) = (request.task, follows(request.origin, id, closure)) else {
            return;
        };
        self.note_wants(task, None);
        if let Err(rejected) = self.advance(task, input, turn) {
            // The task is ending, which is what closed the question.
            tracing::debug!(request = id.0, "a closed question moves nothing: {rejected}");
        }
        if request.origin == Origin::Gate {
            self.judge(task, if is_yes { Judged::Approved } else { Judged::Unknown });
            // Approved or not, other things may hold it back.
            self.place(task, turn);
        }
    }

    pub(super) fn expire(&mut self, turn: &mut Turn) {
        while let Some((_, id)) = self.live.first_expiry().filter(|(at, _)| *at <= turn.now) {
            let Some(row) = self.live.request(id) else { return };
            match self.unanswered(&row.request, turn) {
                Unanswered::Closes(closure) => self.close_request(id, closure, turn),
                Unanswered::Waits { until } => self.postpone(id, until, turn),
            }
        }
    }

    /// Has a question end later than it said.
    fn postpone(&mut self, id: RequestId, until: Timestamp, turn: &mut Turn) {
        let Some(mut row) = self.live.request(id).cloned() else { return };
        row.request.expires_at = Some(until);
        let (task, request) = (row.request.task, Box::new(row.request.clone()));
        self.live.put_request(row);
        let what = ("request_postponed", Some("the window did not show it so long".to_owned()));
        turn.event(&mut self.live, task, what, EventChange::Request { request });
    }

    /// Tells of the questions that a person is to be reminded of, once more.
    pub(super) fn remind(&mut self, turn: &mut Turn) {
        while let Some((at, id)) = self.reminders.first().copied().filter(|(at, _)| *at <= turn.now)
        {
            self.reminders.remove(&(at, id));
            let Some(row) = self.live.request(id).filter(|row| row.request.is_open()) else {
                continue;
            };
            let request = Box::new(row.request.clone());
            // Not by when it was asked: the clock may have been set since.
            self.reminders.extend(request.next_reminder(at, turn.now).map(|at| (at, id)));
            let question = request.shown.question.clone();
            let (task, change) = (request.task, EventChange::Request { request });
            turn.event(&mut self.live, task, ("request_reminded", Some(question)), change);
        }
    }

    /// Returns a question, open or closed.
    pub(super) fn any_request(&self, id: RequestId) -> Result<Request, EngineError> {
        Ok(self.any_request_row(id)?.request)
    }

    pub(super) fn any_request_row(&self, id: RequestId) -> Result<RequestRow, EngineError> {
        if let Some(row) = self.live.request(id) {
            return Ok(row.clone());
        }
        self.readers.lend()?.request_row(id)?.ok_or(EngineError::RequestNotFound(id))
    }
}

/// Returns what a closed question means for its task.
fn follows(origin: Origin, request: RequestId, closure: Closure) -> Option<Input> {
    match (origin, closure) {
        (Origin::Task, _) => Some(Input::Closed { request }),
        (Origin::Program, _) => None,
        // Withdrawn because the task itself is gone.
        (Origin::Gate, Closure::Withdrawn { .. }) => None,
        (
            Origin::Gate,
            Closure::Answered { answer: Answer::Approve, .. }
            | Closure::Defaulted { answer: Answer::Approve, .. },
        ) => Some(Input::GateOpened { request }),
        (Origin::Gate, Closure::Answered { answer: Answer::Deny { reason }, by, .. }) => {
            Some(Input::GateShut { request, denial: Denial::ByPerson { by, reason } })
        }
        (
            Origin::Gate,
            // A gate wants an approval, so no other answer is ever taken.
            Closure::Expired { .. } | Closure::Defaulted { .. } | Closure::Answered { .. },
        ) => Some(Input::GateShut { request, denial: Denial::Expired }),
    }
}

pub(super) fn shown(live: &LiveTask, question: String, detail: Option<String>) -> Shown {
    Shown {
        task_name: live.task().name(),
        question,
        detail,
        diff: None,
        wants: Default::default(),
        argv: live.task().command.argv(),
        cwd: live.task().cwd.clone(),
        environment: live.row.environment_changes.clone(),
        terms: vec![],
    }
}

fn shown_of_program(program: Program, ask: &Ask) -> Shown {
    Shown {
        task_name: program.name,
        question: ask.question.clone(),
        detail: ask.detail.clone(),
        diff: None,
        wants: Default::default(),
        argv: program.argv,
        cwd: program.cwd,
        environment: vec![],
        terms: vec![],
    }
}
