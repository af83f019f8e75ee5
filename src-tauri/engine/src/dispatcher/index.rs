//! The unfinished tasks by what they wait for and what they are called.

use std::collections::{BTreeSet, HashMap};

use nod_core::ids::{TaskId, Timestamp};
use nod_core::schedule::{Need, Standing};
use nod_core::task::{QueueReason, Task, TaskState};

/// Kept with every change of a task.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Queued tasks by what they come after.
    dependents: HashMap<TaskId, BTreeSet<TaskId>>,
    /// Queued tasks that wait for their time.
    delays: BTreeSet<(Timestamp, TaskId)>,
    /// The unfinished task of each kind and key.
    keys: HashMap<(String, String), TaskId>,
}

impl Index {
    pub(super) fn dependents(&self, id: TaskId) -> Vec<TaskId> {
        self.dependents.get(&id).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    pub(super) fn first_delay(&self) -> Option<(Timestamp, TaskId)> {
        self.delays.first().copied()
    }

    pub(super) fn keyed(&self, kind: &str, key: &str) -> Option<TaskId> {
        self.keys.get(&(kind.to_owned(), key.to_owned())).copied()
    }

    pub(super) fn insert(&mut self, task: &Task) {
        if let Some(key) = key(task) {
            self.keys.insert(key, task.id);
        }
        let TaskState::Queued { reason } = &task.state else { return };
        for dependency in &task.schedule.after {
            self.dependents.entry(dependency.task).or_default().insert(task.id);
        }
        if let QueueReason::Delay { until } = reason {
            self.delays.insert((*until, task.id));
        }
    }

    pub(super) fn remove(&mut self, task: &Task) {
        if let Some(key) = key(task)
            && self.keys.get(&key) == Some(&task.id)
        {
            self.keys.remove(&key);
        }
        let TaskState::Queued { reason } = &task.state else { return };
        for dependency in &task.schedule.after {
            if let Some(waiting) = self.dependents.get_mut(&dependency.task) {
                waiting.remove(&task.id);
                if waiting.is_empty() {
                    self.dependents.remove(&dependency.task);
                }
            }
        }
        if let QueueReason::Delay { until } = reason {
            self.delays.remove(&(*until, task.id));
        }
    }
}

fn key(task: &Task) -> Option<(String, String)> {
    let key = task.schedule.key.clone().filter(|_| task.state.outcome().is_none())?;
    Some((task.kind.clone(), key))
}

/// Returns what a task is to the queue.
pub(super) fn standing(task: &Task) -> Option<Standing> {
    match &task.state {
        TaskState::Queued { reason } if reason.is_ready() => {
            Some(Standing::Ready { priority: task.schedule.priority })
        }
        TaskState::Queued { .. } | TaskState::Ended { .. } => None,
        TaskState::Starting
        | TaskState::Running
        | TaskState::Waiting { .. }
        | TaskState::Stopping { .. } => Some(Standing::Running),
    }
}

/// Returns what a task takes of the room.
pub(super) fn need(task: &Task) -> Need {
    Need {
        group: task.schedule.group.clone(),
        kind: task.kind.clone(),
        session: task.session.clone(),
        uses: task.schedule.uses.clone(),
    }
}
