//! Answers: which are taken, and what the audit says of those and of the others.

use nod_core::access::{Actor, Surface};
use nod_core::ids::RequestId;
use nod_core::notification;
use nod_core::protocol::{AuditRow, AuditWhat, GiveAnswer, Reply};
use nod_core::request::{Answer, AnswerError, COMMENT_LIMIT, Closure, Given, Request};

use super::Dispatcher;
use super::calls::Said;
use super::gates::said;
use super::message::Answering;
use super::turn::Turn;
use crate::error::EngineError;
use crate::store::OperationResult;

impl Dispatcher {
    pub(super) fn answer(
        &mut self,
        by: Actor,
        answering: Answering,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let Answering { given, from, shown_ms } = answering;
        let id = given.request;
        if let Some(OperationResult::Answered { request }) = self.operation(&given.operation)? {
            if request != id {
                return Err(EngineError::OperationReused(given.operation.0));
            }
            let closure = self.stored_closure(request)?;
            return Ok(Said::Now(Reply::Closed { request, closure }));
        }
        let request = self.any_request(id)?;
        let GiveAnswer { operation, answer, comment, shown, .. } = given;
        let denies = matches!(answer, Answer::Deny { .. });
        let button = (by == Actor::Person { surface: Surface::Notification })
            .then(|| notification::check(&answer, &request.shown, self.allows_buttons(turn)));
        let given = Given { answer, comment, shown, by };
        let closure = match request.answered(given.clone(), turn.now) {
            Ok(closure) => closure,
            Err(error) => {
                self.note_refused(&request, (given, from), &error, turn);
                return Err(error.into());
            }
        };
        button.transpose()?;
        if !denies {
            self.settings.arming.check(shown_ms)?;
        }
        turn.audit(AuditRow { from, ..decision(&request, &closure) });
        self.close_request(id, closure.clone(), turn);
        turn.operation(&mut self.live, operation, OperationResult::Answered { request: id });
        Ok(Said::Now(Reply::Closed { request: id, closure }))
    }

    /// Notes in the audit that somebody answered what was closed or changed meanwhile: two people who
    /// decide at once, or a card that was left open, look like one decision otherwise. What was not
    /// in sight for long enough, or does not fit, is put right by whoever gave it, and is no decision.
    fn note_refused(
        &mut self,
        request: &Request,
        (given, from): (Given, Option<String>),
        error: &AnswerError,
        turn: &mut Turn,
    ) {
        match error {
            AnswerError::Closed { .. } | AnswerError::Changed(_) => {}
            AnswerError::OfAnotherSort { .. } | AnswerError::LongComment => return,
        }
        let Given { answer, comment, shown, by } = given;
        let saw_this = shown == request.hash;
        let why = error.to_string();
        turn.audit(AuditRow {
            from,
            task: request.task,
            request: Some(request.id),
            asked_by: request.asked_by.clone(),
            also_asked_by: request.also_asked_by.clone(),
            // What else they saw is in the row of that.
            shown: saw_this.then(|| request.shown.clone()),
            answer: Some(answer).filter(|answer| request.shown.wants.takes(answer)),
            comment: comment.filter(|comment| comment.len() <= COMMENT_LIMIT),
            detail: Some(why.clone()),
            hash: saw_this.then_some(shown),
            ..said(AuditWhat::Refused, by, turn)
        });
        if let Some(id) = request.task {
            self.tell(id, "answer_refused", why, turn);
        }
        turn.durable = true;
    }

    fn stored_closure(&self, id: RequestId) -> Result<Closure, EngineError> {
        self.any_request(id)?.closure.ok_or(EngineError::RequestNotFound(id))
    }
}

/// Returns what the audit says of a question that is closed so.
pub(super) fn decision(request: &Request, closure: &Closure) -> AuditRow {
    let (what, actor, answer, comment, detail) = match closure.clone() {
        Closure::Answered { answer, comment, by, .. } => {
            (AuditWhat::Answered, by, Some(answer), comment, None)
        }
        Closure::Expired { .. } => (AuditWhat::Expired, Actor::Host, None, None, None),
        Closure::Defaulted { answer, .. } => {
            (AuditWhat::Defaulted, Actor::Host, Some(answer), None, None)
        }
        Closure::Withdrawn { why, .. } => {
            (AuditWhat::Withdrawn, Actor::Host, None, None, Some(why))
        }
    };
    AuditRow {
        // The store numbers its rows.
        id: 0,
        at: closure.at(),
        what,
        actor,
        from: None,
        task: request.task,
        request: Some(request.id),
        asked_by: request.asked_by.clone(),
        also_asked_by: request.also_asked_by.clone(),
        shown: Some(request.shown.clone()),
        hash: Some(request.hash.clone()),
        answer,
        comment,
        detail,
    }
}
