//! Callers that are told later: of a task's end, or of the answer to a question.
//!
//! One who waits for an answer may go on without it at a time of its own. Its
//! question is then nobody's any more: it stays open until it is answered, its
//! own time is up, or its task ends.

use std::collections::{BTreeSet, HashMap};

use nod_core::access::Actor;
use nod_core::ids::{OperationId, RequestId, TaskId, Timestamp};
use nod_core::protocol::{Reply, Resume};
use nod_core::request::{APPROVAL_KEY, Closure, Origin};

use super::calls::Said;
use super::message::ReplyTo;
use super::turn::Turn;
use super::{Dispatcher, answer};
use crate::error::EngineError;
use crate::process::Lineage;

/// Callers that are told later.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    pub(super) ends: HashMap<TaskId, Vec<ReplyTo>>,
    /// Who waits for a signal, by its key and the request it answers.
    pub(super) signals: HashMap<(&'static str, RequestId), Vec<Asker>>,
    /// When somebody goes on without an answer. May name what is answered already.
    resumes: BTreeSet<(Timestamp, RequestId)>,
}

/// One who waits for an answer.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(super) reply: ReplyTo,
    /// What it asked under; nothing where it waits for what was asked before.
    pub(super) operation: Option<OperationId>,
    pub(super) resume: Option<Due>,
}

/// When one who waits goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(super) at: Timestamp,
    /// It is so long from the asking, whatever the clock is set to.
    counts: bool,
}

impl Due {
    pub(super) fn of(resume: Resume, now: Timestamp) -> Self {
        match resume {
            Resume::After { milliseconds } => Self { at: now.plus(milliseconds), counts: true },
            Resume::At { at } => Self { at, counts: false },
        }
    }
}

impl Waiters {
    /// Returns whether anybody still waits for the answer to a question.
    pub(super) fn has_any_asker(&self, request: RequestId) -> bool {
        let waiting = self.signals.get(&(APPROVAL_KEY, request));
        waiting.is_some_and(|waiting| waiting.iter().any(|asker| !asker.reply.is_closed()))
    }

    /// Returns whether one who asked, or whoever came to wait in its stead, still waits.
    pub(super) fn has_asker(&self, request: RequestId, operation: &OperationId) -> bool {
        let waiting = self.signals.get(&(APPROVAL_KEY, request));
        let is_it = |asker: &Asker| {
            !asker.reply.is_closed()
                && asker.operation.as_ref().is_none_or(|asked| asked == operation)
        };
        waiting.is_some_and(|waiting| waiting.iter().any(is_it))
    }

    /// Tells one asker that it is not waited with any more.
    pub(super) fn leave(&mut self, request: RequestId, operation: &OperationId, closure: &Closure) {
        let Some(waiting) = self.signals.get_mut(&(APPROVAL_KEY, request)) else { return };
        let is_it = |asker: &mut Asker| asker.operation.as_ref() == Some(operation);
        let left: Vec<_> = waiting.extract_if(.., is_it).collect();
        for asker in left {
            answer(asker.reply, Ok(Reply::Closed { request, closure: closure.clone() }));
        }
    }

    pub(super) fn wait(&mut self, request: RequestId, asker: Asker) {
        self.resumes.extend(asker.resume.map(|due| (due.at, request)));
        join(self.signals.entry((APPROVAL_KEY, request)).or_default(), asker);
    }

    /// Wakes everyone who waits for the signal.
    pub(super) fn notify(&mut self, key: &'static str, request: RequestId, closure: &Closure) {
        for asker in self.signals.remove(&(key, request)).unwrap_or_default() {
            answer(asker.reply, Ok(Reply::Closed { request, closure: closure.clone() }));
        }
    }

    /// Returns those who wait for the answer to a question that comes no more.
    pub(super) fn forget(&mut self, request: RequestId) -> impl Iterator<Item = ReplyTo> {
        let waiting = self.signals.remove(&(APPROVAL_KEY, request)).unwrap_or_default();
        waiting.into_iter().map(|asker| asker.reply)
    }

    /// Returns when somebody goes on without an answer.
    pub(super) fn next_resume(&self) -> Option<Timestamp> {
        self.resumes.first().map(|(at, _)| *at)
    }

    /// Has those go on whose time has come.
    pub(super) fn resume(&mut self, request: RequestId, now: Timestamp) {
        self.resumes.retain(|(at, id)| *id != request || *at > now);
        let Some(waiting) = self.signals.get_mut(&(APPROVAL_KEY, request)) else { return };
        let is_due = |asker: &mut Asker| asker.resume.is_some_and(|due| due.at <= now);
        let due: Vec<_> = waiting.extract_if(.., is_due).collect();
        for asker in due {
            answer(asker.reply, Ok(Reply::StillOpen { request }));
        }
    }

    /// Moves what counts a length of time along with a clock that was set.
    pub(super) fn follow_clock(&mut self, jump: i64) {
        self.resumes.clear();
        for ((_, request), waiting) in &mut self.signals {
            for due in waiting.iter_mut().filter_map(|asker| asker.resume.as_mut()) {
                if due.counts {
                    due.at = due.at.moved(jump);
                }
                self.resumes.insert((due.at, *request));
            }
        }
    }
}

/// Who may go away while it waits.
pub(super) trait MayGo {
    fn is_gone(&self) -> bool;
}

impl MayGo for ReplyTo {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

impl MayGo for Asker {
    fn is_gone(&self) -> bool {
        self.reply.is_closed()
    }
}

/// Adds one who waits, and now and then forgets those who have gone away meanwhile.
pub(super) fn join<T: MayGo>(waiting: &mut Vec<T>, one: T) {
    if waiting.len().is_power_of_two() {
        waiting.retain(|waiting| !waiting.is_gone());
    }
    waiting.push(one);
}

impl Dispatcher {
    /// Waits for the answer to a question that the same asker put before.
    pub(super) fn await_answer(
        &self,
        actor: &Actor,
        lineage: Option<&Lineage>,
        id: RequestId,
    ) -> Result<Said, EngineError> {
        let row = self.any_request_row(id)?;
        self.check_asker(&row, actor, lineage)?;
        let request = row.request;
        if request.origin == Origin::Gate {
            return Err(EngineError::Bad("Nod itself asked this, before the task started"));
        }
        let Some(closure) = request.closure else { return Ok(Said::OnClosing(id)) };
        Ok(Said::Now(Reply::Closed { request: id, closure }))
    }

    /// Has a caller wait for an answer, or go on where it is time already.
    pub(super) fn say_on_closing(&mut self, request: RequestId, asker: Asker, turn: &mut Turn) {
        if asker.resume.is_some_and(|due| due.at <= turn.now) {
            self.let_go(request, turn);
            turn.replies.push((asker.reply, Ok(Reply::StillOpen { request })));
        } else {
            turn.askers.push((request, asker));
        }
    }

    /// Notes who goes on without an answer.
    pub(super) fn resume_askers(&mut self, turn: &mut Turn) {
        let due = self.waiters.resumes.range(..=(turn.now, RequestId(i64::MAX)));
        turn.resumed = due.map(|(_, request)| *request).collect();
        for request in turn.resumed.clone() {
            self.let_go(request, turn);
        }
    }

    /// Notes that a question stays open though nobody waits for its answer.
    fn let_go(&mut self, id: RequestId, turn: &mut Turn) {
        if !self.live.is_held(id) {
            return;
        }
        if let Some(mut row) = self.live.request(id).cloned() {
            row.operation = None;
            self.live.put_request(row);
            turn.durable = true;
            self.thin_out(turn);
        }
    }
}
