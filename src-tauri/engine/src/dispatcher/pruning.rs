//! Removing ended tasks from the history.
//!
//! No task changes by this, so it is no part of a turn: what cannot be removed now is found again.

use nod_core::ids::TaskId;
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
}
