//! Turns that the disk has no room for: their callers are told, but a cancel is carried out at
//! once and recorded when there is room.

use std::sync::Arc;

use nod_core::protocol::Reply;
use nod_core::task::{StateName, TaskState};
use nod_core::transition::{Effect, Input};

use super::turn::Turn;
use super::{Dispatcher, answer};
use crate::error::EngineError;
use crate::store::StoreError;

impl Dispatcher {
    /// Tells shims to end what was cancelled in a turn that could not be stored.
    ///
    /// The one thing that is done before it is stored: what fills the disk may
    /// be the very task that is to end. A host that dies meanwhile leaves a shim
    /// that says it was asked to.
    pub(super) fn stop_unstored(&mut self, turn: &Turn) {
        let stops = turn.effects.iter().filter(|(_, _, effect)| *effect == Effect::Stop);
        for (id, attempt, effect) in stops {
            let state = self.live.task(*id).map(|live| &live.task().state);
            if let Some(by) = state.and_then(TaskState::cancelled_by)
                && self.unstored_cancels.insert(*id, by.clone()).is_none()
            {
                self.effects.carry_out(*id, *attempt, effect);
            }
        }
    }

    /// Decides anew on the cancels that could not be stored.
    pub(super) fn cancel_again(&mut self, turn: &mut Turn) {
        for (id, by) in self.unstored_cancels.clone() {
            turn.durable = true;
            if let Err(rejected) = self.advance(id, Input::CancelRequested { by }, turn) {
                tracing::debug!(task = id.0, "a cancel comes to nothing: {rejected}");
            }
        }
    }
}

/// Tells every caller of a turn that nothing of it happened.
pub(super) fn refuse(turn: Turn, error: StoreError) {
    let error = Arc::new(error);
    for (reply, said) in turn.replies {
        let error = Arc::clone(&error);
        answer(
            reply,
            Err(match said {
                Ok(Reply::Cancelling { task }) if task.state.name() == StateName::Stopping => {
                    EngineError::StopNotStored(error)
                }
                Ok(_) | Err(_) => EngineError::NotStored(error),
            }),
        );
    }
    let waiting = turn.waiting.into_iter().map(|(_, reply)| reply);
    let readers = turn.readers.into_iter().map(|(_, reply)| reply);
    let typing = turn.typing.into_iter().flat_map(|(_, _, under_way)| under_way.replies);
    for reply in waiting.chain(readers).chain(typing) {
        answer(reply, Err(EngineError::NotStored(Arc::clone(&error))));
    }
    for (_, asker) in turn.askers {
        answer(asker.reply, Err(EngineError::NotStored(Arc::clone(&error))));
    }
}
