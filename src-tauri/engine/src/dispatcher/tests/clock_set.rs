//! The clock is set while things count down.

use nod_core::protocol::Await;
use nod_core::schedule::Retry;

use super::*;

/// An hour on, two hours back.
const JUMPS: [i64; 2] = [3_600_000, -7_200_000];

impl Table {
    /// Takes a turn as if the clock had just been set by so much.
    fn set_clock(&mut self, jump: i64) {
        self.set_clock_unseen(jump);
        self.dispatcher.turn(vec![]);
    }

    /// Sets the clock, which is seen in the next turn.
    fn set_clock_unseen(&mut self, jump: i64) {
        let wall = &mut self.dispatcher.steady.wall;
        *wall = wall.moved(-jump);
    }

    pub(super) fn waits(&self) -> Vec<crate::store::WaitRow> {
        self.dispatcher.readers.lend().unwrap().talk().unwrap().waits
    }
}

fn assert_moved(from: Option<Timestamp>, to: Option<Timestamp>, by: i64) {
    let moved = to.unwrap().0 - from.unwrap().0 - by;
    assert!(moved.abs() < 2_000, "{from:?} {to:?} by {by}");
}

#[test]
fn a_clock_that_is_set_takes_no_time_from_an_open_question() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    let _asked = table.ask(id, Some(10_800_000));
    for jump in JUMPS {
        let before = table.open_request().expires_at;
        table.set_clock(jump);
        let after = table.open_request().expires_at;
        assert_moved(before, after, jump);
        table.dispatcher.turn(vec![]);
        assert_eq!(table.open_request().expires_at, after, "it jumped once");
    }
}

#[test]
fn a_clock_that_is_set_takes_no_time_from_a_wait() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    let operation = table.operation();
    let wait = Await {
        operation: operation.clone(),
        key: "go".into(),
        timeout_ms: Some(10_800_000),
        resume_at: Some(clock::now().plus(9_000_000)),
    };
    let mut waiting = table.begin(&Actor::Task { id, attempt: None }, Change::Await(wait));
    for jump in JUMPS {
        let before = table.waits().remove(0);
        table.set_clock(jump);
        let after = table.waits().remove(0);
        assert_moved(before.expires_at, after.expires_at, jump);
        assert_moved(before.resume_at, after.resume_at, jump);
        assert!(waiting.try_recv().is_err(), "it goes on waiting");
    }
    // A waiter that loses its host in that moment has its time to come back.
    drop(waiting);
    table.dispatcher.turn(vec![Message::AskerGone(operation)]);
    table.set_clock(JUMPS[0]);
    assert_eq!(table.waits().len(), 1);
}

#[test]
fn a_clock_that_is_set_takes_no_time_from_a_delay_and_moves_no_time_of_day() {
    let mut table = Table::with_slots(10);
    let delayed = table.submit_with(|new| new.delay_ms = Some(10_800_000));
    let at = clock::now().plus(10_800_000);
    let timed = table.submit_with(|new| new.schedule.not_before = Some(at));
    let behind = table.submit_with(|new| {
        new.delay_ms = Some(14_400_000);
        new.schedule.after = vec![nod_core::schedule::Dependency { task: delayed, any: true }];
    });
    let until = |table: &Table, id| table.stored(id).schedule.not_before;
    for jump in JUMPS {
        let before = [delayed, behind].map(|id| until(&table, id));
        table.set_clock(jump);
        for (id, before) in [delayed, behind].into_iter().zip(before) {
            assert_moved(before, until(&table, id), jump);
        }
        let TaskState::Queued { reason: QueueReason::Delay { until: held } } =
            table.stored(delayed).state
        else {
            panic!("it waits for its time");
        };
        assert_eq!(Some(held), until(&table, delayed));
        assert_eq!(table.stored(behind).state.name(), StateName::Queued);
    }
    assert_eq!(until(&table, timed), Some(at));
}

#[test]
fn a_clock_that_is_set_takes_no_time_from_the_pause_before_another_try() {
    let mut table = Table::with_slots(10);
    let id = table.submit_with(|new| new.schedule.retry = Some(Retry::new(3, 10_800_000)));
    table.run(id);
    table.end(id, 1);
    assert_eq!(table.stored(id).state.name(), StateName::Queued);
    for jump in JUMPS {
        let before = table.stored(id).schedule.not_before;
        table.set_clock(jump);
        assert_moved(before, table.stored(id).schedule.not_before, jump);
    }
    assert_eq!(table.stored(id).state.name(), StateName::Queued);
}

#[test]
fn a_clock_that_goes_back_silences_nobody() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    let _first = table.ask(id, None);
    table.set_clock(-86_400_000);
    // As many as may come at once come at once, as before.
    let (_, mut second) = table.ask(id, None);
    assert!(second.try_recv().is_err(), "it is asked");
}

#[test]
fn what_a_full_disk_holds_up_moves_once() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    let _asked = table.ask(id, Some(10_800_000));
    let before = table.open_request().expires_at;
    table.dispatcher.store.refuse_writes(true);
    table.set_clock(JUMPS[0]);
    table.dispatcher.turn(vec![]);
    assert_eq!(table.open_request().expires_at, before);
    table.dispatcher.store.refuse_writes(false);
    table.dispatcher.turn(vec![]);
    assert_moved(before, table.open_request().expires_at, JUMPS[0]);
}

#[test]
fn what_a_task_takes_is_what_passes_however_the_clock_is_set_meanwhile() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    let queued = table.submit_with(|new| new.delay_ms = Some(10_800_000));
    let started = |table: &Table| {
        let attempts = table.dispatcher.readers.lend().unwrap().attempts(id).unwrap();
        (table.stored(id).started_at, attempts[0].started_at)
    };
    for jump in JUMPS {
        let before = started(&table);
        table.published();
        table.set_clock(jump);
        let after = started(&table);
        assert_moved(before.0, after.0, jump);
        assert_moved(before.1, after.1, jump);
        // Whoever shows how long it runs takes that in.
        let told: Vec<_> = table.published().into_iter().map(|event| event.change).collect();
        assert!(told.contains(&EventChange::Lagged), "{told:?}");
        assert_eq!(table.stored(queued).started_at, None);
        table.dispatcher.turn(vec![]);
        assert_eq!(started(&table), after, "it jumped once");
    }
}

#[test]
fn what_a_task_took_is_what_passed_though_the_clock_was_set_since_its_shim_wrote_that() {
    const HOUR: i64 = 3_600_000;
    let now = clock::now();
    let boot = crate::process::since_boot_ms();
    // How far off the clock of the report is; it ended a minute ago, and ran for ten seconds.
    for off in [0, HOUR, -26 * HOUR] {
        let mut table = Table::with_slots(1);
        let id = table.submit();
        table.run(id);
        let message::Said::Ended { mut report, tail } = ended(id, 4) else { panic!("no end") };
        let end = now.moved(off - 60_000);
        report.ended_boot_ms = Some(boot.saturating_sub(60_000));
        (report.ended_at, report.exited_at) = (end, Some(end.moved(-1_000)));
        report.started_at = Some(end.moved(-10_000));
        let mut row = table.dispatcher.live.task(id).unwrap().clone();
        row.row.task.started_at = Some(now.moved(-70_000));
        row.attempt.as_mut().unwrap().started_at = Some(now.moved(-70_000));
        table.dispatcher.live.put_task(row);
        table.hear(id, message::Said::Ended { report, tail });
        let (task, attempts) =
            (table.stored(id), table.dispatcher.readers.lend().unwrap().attempts(id).unwrap());
        assert_moved(Some(now), task.ended_at, -60_000);
        assert_moved(task.started_at, task.ended_at, 10_000);
        assert_moved(attempts[0].started_at, attempts[0].exited_at, 9_000);
        assert_moved(attempts[0].exited_at, attempts[0].ended_at, 1_000);
    }
}

#[test]
fn what_comes_in_the_turn_that_sees_the_clock_set_goes_by_the_new_time() {
    for jump in JUMPS {
        let mut table = Table::with_slots(10);
        let (asks, ends) = (table.submit(), table.submit());
        table.run(asks);
        table.run(ends);
        table.set_clock_unseen(jump);
        let _asked = table.ask(asks, Some(3_600_000));
        assert_moved(Some(clock::now()), table.open_request().expires_at, 3_600_000);
        table.set_clock_unseen(jump);
        let message::Said::Ended { mut report, tail } = ended(ends, 0) else { panic!("no end") };
        let now = clock::now();
        report.ended_boot_ms = Some(crate::process::since_boot_ms());
        (report.started_at, report.exited_at, report.ended_at) = (Some(now), Some(now), now);
        table.hear(ends, message::Said::Ended { report, tail });
        let attempts = table.dispatcher.readers.lend().unwrap().attempts(ends).unwrap();
        assert_moved(Some(now), attempts[0].started_at, 0);
        assert_moved(Some(now), attempts[0].ended_at, 0);
    }
}
