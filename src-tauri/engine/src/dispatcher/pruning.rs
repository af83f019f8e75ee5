//! Removing ended tasks from the history, and what they left of processes.
//!
//! No task changes by this, so it is no part of a turn: what cannot be removed now is found again.

use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::protocol::{Event, EventChange};

use super::Dispatcher;
use crate::clock;

impl Dispatcher {
    pub(super) fn prune(&mut self, ids: &[TaskId]) {
        let ids: Vec<TaskId> =
            ids.iter().copied().filter(|id| self.live.task(*id).is_none()).collect();
        match self.store.prune(&ids) {
            Ok(0) => {}
            Ok(removed) => {
                tracing::info!(removed, "old tasks were removed");
                // Whoever shows them asks for what there is now.
                let (seq, at) = (self.live.last_event(), clock::now());
                self.events.publish(Event { seq, at, change: EventChange::Lagged });
            }
            Err(error) => tracing::warn!("failed to remove old tasks: {error}"),
        }
    }

    pub(super) fn swept(&mut self, folders: &[String]) {
        if let Err(error) = self.store.forget_leftovers(folders) {
            tracing::warn!("failed to forget removed folders: {error}");
        }
    }

    /// Has what is left of lost attempts ended, where an earlier host stored the loss and came no
    /// further.
    pub(crate) fn sweep_again(&self) {
        let sweeps = self.readers.lend().and_then(|reader| reader.sweeps());
        match sweeps {
            Ok(sweeps) => sweeps.into_iter().for_each(|(id, attempt)| {
                self.effects.sweep(id, attempt);
            }),
            Err(error) => tracing::error!("failed to look for what lost tasks left: {error}"),
        }
    }

    /// Notes that the processes of a lost attempt are gone, but for those that are `left`.
    pub(super) fn swept_try(&mut self, id: TaskId, attempt: AttemptNumber, left: &[String]) {
        if let Err(error) = self.store.forget_sweep(id, attempt, left) {
            // The next host looks again, and finds nothing or the same.
            tracing::warn!(task = id.0, "failed to store what a lost task left: {error}");
        }
    }
}
