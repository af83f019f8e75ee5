//! Which queued tasks may start.

use crate::ids::TaskId;
use crate::task::{QueueReason, TaskState};

/// Returns the queued tasks that may start now, oldest first.
///
/// `tasks` is in the order of their ids. A task that has a process holds a
/// slot, also while it waits for a person.
#[must_use]
pub fn admitted<'a>(
    tasks: impl Iterator<Item = (TaskId, &'a TaskState)> + Clone,
    slots: usize,
) -> Vec<TaskId> {
    let taken = tasks.clone().filter(|(_, state)| state.holds_slot()).count();
    tasks
        .filter(|(_, state)| matches!(state, TaskState::Queued { reason: QueueReason::Slot }))
        .map(|(id, _)| id)
        .take(slots.saturating_sub(taken))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RequestId;

    #[test]
    fn free_slots_go_to_the_oldest_tasks_that_wait_for_one() {
        let queued = || TaskState::Queued { reason: QueueReason::Slot };
        let gated = || TaskState::Queued { reason: QueueReason::Gate { request: RequestId(1) } };
        let waiting = || TaskState::Waiting { open: [RequestId(2)].into() };
        let cases = [
            ("all fit", vec![queued(), queued()], 2, vec![1, 2]),
            ("oldest first", vec![queued(), queued(), queued()], 2, vec![1, 2]),
            ("a gate holds a task but no slot", vec![gated(), queued()], 1, vec![2]),
            ("a waiting task keeps its slot", vec![waiting(), queued()], 1, vec![]),
            ("a slot that was taken away stops nobody", vec![waiting(), waiting()], 1, vec![]),
        ];
        for (name, states, slots, expected) in cases {
            let tasks = states.iter().zip(1..).map(|(state, id)| (TaskId(id), state));
            let actual = admitted(tasks, slots);
            assert_eq!(actual, expected.into_iter().map(TaskId).collect::<Vec<_>>(), "{name}");
        }
    }
}
