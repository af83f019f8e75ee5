//! Cancels that the disk has no room for: carried out at once, recorded when there is.

use nod_core::task::TaskState;
use nod_core::transition::{Effect, Input};

use super::Dispatcher;
use super::turn::Turn;

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
