//! When a progress is published and stored: at most ten times and once a second a task.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use nod_core::ids::TaskId;

const PUBLISH_EVERY: Duration = Duration::from_millis(100);
const STORE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Publish,
    Store,
}

#[derive(Debug, Default)]
struct Entry {
    published: Option<Instant>,
    stored: Option<Instant>,
    /// Whether a telling of the newest change is already due.
    will_publish: bool,
    will_store: bool,
}

/// The tasks whose progress has changed, and when the change is to be told.
#[derive(Debug, Default)]
pub(crate) struct ProgressBoard {
    entries: HashMap<TaskId, Entry>,
    due: BTreeSet<(Instant, TaskId, Step)>,
}

/// What is to be told now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) publish: Vec<TaskId>,
    pub(crate) store: Vec<TaskId>,
}

impl ProgressBoard {
    /// Notes that the progress of a task changed.
    pub(crate) fn changed(&mut self, id: TaskId, now: Instant) {
        let entry = self.entries.entry(id).or_default();
        if !std::mem::replace(&mut entry.will_publish, true) {
            let at = entry.published.map_or(now, |at| now.max(at + PUBLISH_EVERY));
            self.due.insert((at, id, Step::Publish));
        }
        if !std::mem::replace(&mut entry.will_store, true) {
            // The first one waits too: a short task is then stored with its end alone.
            let at = entry.stored.map_or(now + STORE_EVERY, |at| now.max(at + STORE_EVERY));
            self.due.insert((at, id, Step::Store));
        }
    }

    /// Returns when something is next to be told.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _, _)| *at)
    }

    /// Returns what is to be told by `now`, once.
    pub(crate) fn take(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        while let Some((at, id, step)) = self.due.first().copied().filter(|(at, _, _)| *at <= now) {
            self.due.remove(&(at, id, step));
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            match step {
                Step::Publish => {
                    entry.published = Some(now);
                    entry.will_publish = false;
                    due.publish.push(id);
                }
                Step::Store => {
                    entry.stored = Some(now);
                    entry.will_store = false;
                    due.store.push(id);
                }
            }
        }
        due
    }

    /// Forgets a task that has ended.
    pub(crate) fn forget(&mut self, id: TaskId) {
        if self.entries.remove(&id).is_some() {
            self.due.retain(|(_, task, _)| *task != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_changes_is_told_ten_times_and_stored_once_a_second() {
        let mut board = ProgressBoard::default();
        let start = Instant::now();
        let (mut published, mut stored) = (0, 0);
        for millisecond in 0..2_000 {
            let now = start + Duration::from_millis(millisecond);
            board.changed(TaskId(1), now);
            let due = board.take(now);
            published += due.publish.len();
            stored += due.store.len();
        }
        assert_eq!((published, stored), (20, 1));
    }

    #[test]
    fn the_last_change_is_told_and_then_nothing_is_due() {
        let mut board = ProgressBoard::default();
        let start = Instant::now();
        board.changed(TaskId(1), start);
        assert_eq!(board.take(start).publish, [TaskId(1)]);
        board.changed(TaskId(1), start + Duration::from_millis(1));
        assert_eq!(board.take(start + Duration::from_millis(99)), Due::default());
        let due = board.take(start + Duration::from_secs(5));
        assert_eq!((due.publish, due.store), (vec![TaskId(1)], vec![TaskId(1)]));
        assert_eq!(board.next(), None);
    }

    #[test]
    fn an_ended_task_is_not_told_of() {
        let mut board = ProgressBoard::default();
        board.changed(TaskId(1), Instant::now());
        board.forget(TaskId(1));
        assert_eq!(board.next(), None);
    }
}
