//! Typing into tasks: what is under way to a shim, and what is known to have been typed.
//!
//! The shim keeps the account, since it outlives every host: what it is told
//! twice it types once. A caller hears that something is typed when the shim
//! has taken it, and not before. Nothing of this is stored while the task
//! runs; what the shim knows last is in its report, and then in the history.

use std::collections::{HashMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_core::access::{Actor, may_type};
use nod_core::ids::{AttemptNumber, OperationId, TaskId};
use nod_core::protocol::{Reply, TypeIn};
use nod_core::shim::{INPUT_LIMIT, ProcessIdentity, Status, TYPED_KEPT, ToShim, Typed};

use super::message::ReplyTo;
use super::turn::Turn;
use super::{Dispatcher, answer};
use crate::error::EngineError;
use crate::store::OperationResult;

/// The longest name of an operation that a shim is to keep, in bytes.
const NAME_LIMIT: usize = 64;

/// What is typed into the tasks that run.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    tasks: HashMap<TaskId, OfTask>,
}

#[derive(Debug, Default)]
struct OfTask {
    /// What the shim was told and has not acknowledged, in its order.
    under_way: Vec<UnderWay>,
    /// What it has acknowledged, the newest last.
    taken: VecDeque<Typed>,
}

/// Something that a shim is told to type, and who waits for it.
#[derive(Debug)]
pub(crate) struct UnderWay {
    operation: OperationId,
    pub(super) order: ToShim,
    pub(super) replies: Vec<ReplyTo>,
}

impl Typing {
    fn find(&self, id: TaskId, operation: &OperationId) -> Option<&Typed> {
        self.tasks.get(&id)?.taken.iter().find(|typed| typed.operation == *operation)
    }

    fn under_way(&mut self, id: TaskId, operation: &OperationId) -> Option<&mut UnderWay> {
        let of = self.tasks.get_mut(&id)?;
        of.under_way.iter_mut().find(|under_way| under_way.operation == *operation)
    }

    pub(super) fn begin(&mut self, id: TaskId, under_way: UnderWay) {
        self.tasks.entry(id).or_default().under_way.push(under_way);
    }

    /// Takes in what became of something that was to be typed, and tells who waits for it.
    pub(super) fn taken(&mut self, id: TaskId, typed: Typed) {
        let of = self.tasks.entry(id).or_default();
        let is_it = |under_way: &mut UnderWay| under_way.operation == typed.operation;
        for under_way in of.under_way.extract_if(.., is_it) {
            for reply in under_way.replies {
                answer(reply, said_of(typed.lost));
            }
        }
        if of.taken.iter().any(|known| known.operation == typed.operation) {
            return;
        }
        if of.taken.len() == TYPED_KEPT {
            of.taken.pop_front();
        }
        of.taken.push_back(typed);
    }

    /// Forgets a try that is over. What its shim has not taken by then it never does.
    pub(super) fn end(&mut self, id: TaskId) {
        let under_way = self.tasks.remove(&id).map(|of| of.under_way).unwrap_or_default();
        for reply in under_way.into_iter().flat_map(|under_way| under_way.replies) {
            answer(reply, Err(EngineError::Bad("the task ended before this was typed")));
        }
    }
}

impl Dispatcher {
    /// Has the shim type something; the caller is told once that is done.
    pub(super) fn type_in(
        &mut self,
        by: (&Actor, Vec<ProcessIdentity>),
        typed: TypeIn,
        reply: ReplyTo,
        turn: &mut Turn,
    ) {
        let known = match &typed.operation {
            Some(operation) => self.typed_before(typed.id, operation),
            None => Ok(None),
        };
        let attempt = match known {
            Ok(Some(lost)) => return turn.replies.push((reply, said_of(lost))),
            Ok(None) => self.typed_attempt(by, &typed),
            Err(error) => Err(error),
        };
        match attempt {
            Ok(attempt) => self.note_typing((typed, attempt), reply, turn),
            Err(error) => turn.replies.push((reply, Err(error))),
        }
    }

    /// Returns how many bytes were lost of what was typed under an operation, if it was.
    fn typed_before(
        &self,
        id: TaskId,
        operation: &OperationId,
    ) -> Result<Option<u64>, EngineError> {
        if let Some(typed) = self.typing.find(id, operation) {
            return Ok(Some(typed.lost));
        }
        match self.operation(operation)? {
            Some(OperationResult::Typed { task, lost }) if task == id => Ok(Some(lost)),
            Some(_) => Err(EngineError::OperationReused(operation.0.clone())),
            None => Ok(None),
        }
    }

    /// Returns the attempt that is to be typed into, where the caller may.
    fn typed_attempt(
        &self,
        (actor, by): (&Actor, Vec<ProcessIdentity>),
        typed: &TypeIn,
    ) -> Result<AttemptNumber, EngineError> {
        if typed.data.len() > INPUT_LIMIT.div_ceil(3) * 4 {
            return Err(EngineError::TooLong { what: "the input of one call", limit: INPUT_LIMIT });
        }
        if typed.operation.as_ref().is_some_and(|operation| operation.0.len() > NAME_LIMIT) {
            return Err(EngineError::TooLong { what: "the operation", limit: NAME_LIMIT });
        }
        if BASE64.decode(&typed.data).is_err() {
            return Err(EngineError::Bad("what is typed is given in base64"));
        }
        let attempt = self.interactive_attempt(typed.id)?;
        let row = self.live.task(typed.id).map(|live| &live.row);
        let its = row.and_then(|row| row.task.session.as_ref());
        let typist = row.and_then(|row| row.bound.typist);
        let is_submitter = typist.is_some_and(|typist| by.contains(&typist));
        let sessions = (typed.session.as_ref(), its);
        may_type(actor, typed.id, sessions, is_submitter).map_err(EngineError::from)?;
        Ok(attempt)
    }

    fn note_typing(
        &mut self,
        (typed, attempt): (TypeIn, AttemptNumber),
        reply: ReplyTo,
        turn: &mut Turn,
    ) {
        let (id, data) = (typed.id, typed.data);
        // An older client names no operation, and an older shim says nothing of what it typed.
        let operation = typed.operation.filter(|_| self.effects.types_once(id, attempt));
        let Some(operation) = operation else {
            let told = self.order(id, attempt, ToShim::Input { data, operation: None }, turn);
            return turn.replies.push((reply, told.map(|()| Reply::Done)));
        };
        let mut in_turn = turn.typing.iter_mut();
        let same = in_turn.find(|(task, _, it)| *task == id && it.operation == operation);
        let same = same.map(|(_, _, under_way)| under_way);
        if let Some(under_way) = same.or_else(|| self.typing.under_way(id, &operation)) {
            return under_way.replies.push(reply);
        }
        let order = ToShim::Input { data, operation: Some(operation.clone()) };
        turn.typing.push((id, attempt, UnderWay { operation, order, replies: vec![reply] }));
    }

    /// Takes in what a shim has typed that this host did not hear of, and tells it once more what
    /// it may not have heard, since that was said on a connection that is lost.
    pub(super) fn type_again(
        &mut self,
        id: TaskId,
        attempt: AttemptNumber,
        status: &Status,
        turn: &mut Turn,
    ) {
        let Some(typed) = &status.typed else {
            // It has typed without a word, if it types at all.
            return self.typing.end_untold(id, status.protocol);
        };
        for typed in typed {
            self.typing.taken(id, typed.clone());
        }
        let under_way = self.typing.tasks.get(&id).map(|of| of.under_way.iter());
        let orders = under_way.into_iter().flatten().map(|under_way| under_way.order.clone());
        turn.orders.extend(orders.map(|order| (id, attempt, order)));
    }

    /// Keeps what a shim that goes has typed last: somebody may still ask for it.
    pub(super) fn keep_typed(&mut self, id: TaskId, typed: &[Typed], turn: &mut Turn) {
        for Typed { operation, lost } in typed {
            self.typing.taken(id, Typed { operation: operation.clone(), lost: *lost });
            match self.operation(operation) {
                Ok(None) => {
                    let result = OperationResult::Typed { task: id, lost: *lost };
                    turn.operation(&mut self.live, operation.clone(), result);
                }
                Ok(Some(_)) => {}
                Err(error) => tracing::warn!("failed to look for an operation: {error}"),
            }
        }
    }
}

impl Typing {
    /// Tells those who wait for a shim that says nothing of what it typed.
    fn end_untold(&mut self, id: TaskId, protocol: u32) {
        let under_way = self.tasks.remove(&id).map(|of| of.under_way).unwrap_or_default();
        for under_way in under_way {
            let is_understood = protocol >= under_way.order.since();
            for reply in under_way.replies {
                let said =
                    if is_understood { Ok(Reply::Done) } else { Err(EngineError::OldShim(id)) };
                answer(reply, said);
            }
        }
    }
}

/// Returns what is said of something that was typed but for so many bytes.
fn said_of(lost: u64) -> Result<Reply, EngineError> {
    if lost == 0 { Ok(Reply::Done) } else { Err(EngineError::NotTyped(lost)) }
}
