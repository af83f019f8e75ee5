//! Which queued tasks may start.

use crate::ids::TaskId;

/// Returns the tasks that may start now.
///
/// `ready` are the queued tasks that wait for nothing but a slot, oldest
/// first; `taken` counts the tasks that hold one. A task that has a process
/// holds its slot, also while it waits for a person.
#[must_use]
pub fn admitted(ready: impl Iterator<Item = TaskId>, taken: usize, slots: usize) -> Vec<TaskId> {
    ready.take(slots.saturating_sub(taken)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_slots_go_to_the_oldest_tasks() {
        let cases = [
            ("all fit", vec![1, 2], 0, 2, vec![1, 2]),
            ("oldest first", vec![3, 4, 5], 1, 3, vec![3, 4]),
            ("no slot is free", vec![7], 1, 1, vec![]),
            ("slots that were taken away stop nobody", vec![7], 5, 1, vec![]),
        ];
        for (name, ready, taken, slots, expected) in cases {
            let actual = admitted(ready.into_iter().map(TaskId), taken, slots);
            assert_eq!(actual, expected.into_iter().map(TaskId).collect::<Vec<_>>(), "{name}");
        }
    }
}
