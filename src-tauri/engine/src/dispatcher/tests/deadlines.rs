//! A deadline that is moved is that of one try.

use nod_core::schedule::Retry;

use super::*;

const OWN: Option<u64> = Some(600_000);

impl Table {
    fn move_deadline(&mut self, id: TaskId, timeout_ms: Option<u64>) {
        let operation = self.operation();
        let moved = self.call(&PERSON, Change::Deadline { operation, id, timeout_ms });
        assert!(matches!(moved, Ok(Reply::Changed { .. })), "{moved:?}");
    }

    fn limit(&self, id: TaskId) -> Option<u64> {
        self.stored(id).timeout_ms
    }
}

#[test]
fn another_try_has_the_limit_of_the_submit_whatever_was_said_of_the_last_one() {
    for (name, said) in [
        ("moved", vec![Some(1_000)]),
        ("extended", vec![Some(6_000_000)]),
        ("moved twice", vec![Some(1_000), Some(2_000)]),
        ("taken away", vec![None]),
        ("taken away and given back", vec![None, Some(3_000)]),
    ] {
        let mut table = Table::with_slots(10);
        let id = table.submit_with(|new| {
            new.timeout_ms = OWN;
            new.schedule.retry = Some(Retry::new(1, 0));
        });
        for attempt in [1, 2] {
            table.run_try(id, attempt);
            said.iter().for_each(|timeout| table.move_deadline(id, *timeout));
            assert_ne!(table.limit(id), OWN, "{name}, try {attempt}");
            table.end_try(id, attempt, 1);
        }
        assert_eq!(table.stored(id).state.words(), "Failed (exit 1)", "{name}");
        assert_ne!(table.limit(id), OWN, "{name}: what the last try had is in the history");
        table.retry(id).unwrap();
        assert_eq!((table.limit(id), table.stored(id).attempt), (OWN, AttemptNumber(3)), "{name}");
    }
}

#[test]
fn the_try_that_follows_by_itself_starts_with_the_limit_of_the_submit() {
    let mut table = Table::with_slots(10);
    let id = table.submit_with(|new| {
        new.timeout_ms = OWN;
        new.schedule.retry = Some(Retry::new(1, 0));
    });
    table.run(id);
    table.move_deadline(id, None);
    table.end_try(id, 1, 1);
    assert_eq!((table.limit(id), table.stored(id).attempt), (OWN, AttemptNumber(2)));
}

#[test]
fn what_is_said_of_a_queued_task_holds_for_every_try() {
    let deadline: fn(&mut Table, TaskId) = |table, id| table.move_deadline(id, Some(5_000));
    let edit: fn(&mut Table, TaskId) = |table, id| {
        table.edit_with(id, |edit| edit.timeout_ms = Some(5_000)).unwrap();
    };
    for said in [deadline, edit] {
        let mut table = Table::with_slots(10);
        let id = table.submit_with(|new| {
            (new.timeout_ms, new.delay_ms) = (OWN, Some(3_600_000));
            new.schedule.retry = Some(Retry::new(1, 0));
        });
        said(&mut table, id);
        table.edit_with(id, |edit| edit.delay_ms = Some(0)).unwrap();
        table.run(id);
        table.move_deadline(id, None);
        table.end_try(id, 1, 1);
        assert_eq!((table.limit(id), table.stored(id).attempt), (Some(5_000), AttemptNumber(2)));
    }
}

#[test]
fn a_try_that_found_no_room_keeps_the_deadline_that_it_was_given() {
    let mut table = Table::with_slots(10);
    let id = table.submit_with(|new| new.timeout_ms = OWN);
    table.move_deadline(id, Some(7_000));
    table.hear(id, message::Said::NeverStarted);
    assert_eq!((table.limit(id), table.stored(id).attempt), (Some(7_000), AttemptNumber(2)));
    table.run_try(id, 2);
    table.end_try(id, 2, 1);
    table.retry(id).unwrap();
    assert_eq!(table.limit(id), OWN);
}
