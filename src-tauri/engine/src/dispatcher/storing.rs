//! Storing a turn: as a whole, or not at all.
//!
//! What cannot be stored now is refused, and what was heard decided again; what
//! never can is looked at thing by thing in `unstorable`.

use super::message::Incoming;
use super::turn::Turn;
use super::{Dispatcher, Heard, unstored};
use crate::store::{Commit, StoreError};

/// What a turn has taken in, to be decided again where it cannot be stored.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) heard: Vec<Heard>,
    pub(super) calls: Vec<Incoming>,
}

/// A turn that was taken back, and why.
pub(super) struct Refused {
    pub(super) turn: Turn,
    pub(super) commit: Commit,
    pub(super) error: StoreError,
}

impl Dispatcher {
    pub(super) fn settle(&mut self, mut turn: Turn, taken: Taken) {
        let looks = std::mem::take(&mut turn.looks);
        match self.store(turn) {
            Ok(()) => {}
            Err(refused) if refused.error.is_lasting() => self.settle_each(taken),
            Err(refused) => {
                unstored::refuse(refused.turn, refused.error);
                self.again = taken.heard;
            }
        }
        self.show(looks);
    }

    /// Stores a turn, and then publishes and acts; or takes it back, as if it had never been.
    pub(super) fn store(&mut self, mut turn: Turn) -> Result<(), Box<Refused>> {
        if turn.stores_nothing(&self.live) {
            // What could not be stored was refused, and nothing is left to try.
            self.stuck = false;
            self.act(turn, vec![]);
            return Ok(());
        }
        let (mut commit, events) = turn.commit(&self.live);
        commit.history = Some(self.steady.history());
        self.cards.hide(&turn);
        // Whoever finds a new task in the history finds that its output can be waited for.
        turn.begun.iter().for_each(|id| self.outputs.begin(*id, None));
        if let Err(error) = self.store.write(&commit) {
            if !std::mem::replace(&mut self.stuck, true) {
                tracing::error!("failed to store a turn, and will try again: {error}");
            }
            self.stop_unstored(&turn);
            self.live.undo();
            self.cards.forget(&turn);
            turn.begun.iter().for_each(|id| self.outputs.end(*id));
            self.apply_limits();
            self.forget_unstored_talk();
            self.unplaced.append(&mut turn.placed);
            return Err(Box::new(Refused { turn, commit, error }));
        }
        self.stuck = false;
        self.unstored_cancels.clear();
        self.unstored_guards = None;
        if commit.clock.is_some() {
            self.steady.settled();
        }
        self.live.keep();
        self.act(turn, events);
        Ok(())
    }
}
