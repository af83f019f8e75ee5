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
        let cases: [(&str, &[i64], usize, usize, &[i64]); 4] = [
            ("all fit", &[1, 2], 0, 2, &[1, 2]),
            ("oldest first", &[3, 4, 5], 1, 3, &[3, 4]),
            ("no slot is free", &[7], 1, 1, &[]),
            ("slots that were taken away stop nobody", &[7], 5, 1, &[]),
        ];
        for (name, ready, taken, slots, expected) in cases {
            let actual = admitted(ready.iter().copied().map(TaskId), taken, slots);
            assert_eq!(actual, expected.iter().copied().map(TaskId).collect::<Vec<_>>(), "{name}");
        }
    }
}
