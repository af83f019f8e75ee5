//! Removing ended tasks from the history, and what they left of processes.
//!
//! What cannot be removed now is found again.

use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::protocol::{Event, EventChange};

use super::Dispatcher;
use super::turn::Turn;
use crate::clock;
use crate::error::EngineError;

impl Dispatcher {
    /// Removes tasks that have ended, and tells of each; its folders go later, a few at a time.
    pub(super) fn prune(&mut self, ids: &[TaskId], turn: &mut Turn) {
        for id in ids.iter().copied() {
            if self.live.task(id).is_some() || self.live.removed().contains(&id) {
                continue;
            }
            match self.stored_task(id) {
                Ok(task) if task.state.outcome().is_some() => {
                    self.live.remove(id);
                    let what = ("removed", Some(task.name()));
                    turn.event(&mut self.live, id, what, EventChange::Removed { id });
                }
                // It was removed meanwhile.
                Ok(_) | Err(EngineError::TaskNotFound(_)) => {}
                Err(error) => tracing::warn!("failed to remove an old task: {error}"),
            }
        }
    }

    /// Has whoever shows what there is ask for it once more.
    pub(super) fn tell_to_look_again(&self) {
        let (seq, at) = (self.live.last_event(), clock::now());
        self.events.publish(Event { seq, at, change: EventChange::Lagged });
    }

    pub(super) fn swept(&mut self, folders: &[String]) {
        if let Err(error) = self.store.forget_leftovers(folders) {
            tracing::warn!("failed to forget removed folders: {error}");
        }
    }

    /// Forgets what happened to tasks that are long removed, where an earlier host kept more of it.
    pub(crate) fn forget_events(&mut self) {
        if let Err(error) = self.store.forget_events() {
            tracing::warn!("failed to forget what happened to removed tasks: {error}");
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
