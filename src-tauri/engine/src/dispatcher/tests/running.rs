//! What a try is started with, and what is told and stored of it while it runs.

use std::sync::atomic::{AtomicBool, Ordering};

use nod_core::shim::ShimStop;

use super::lives::stopping;
use super::*;

#[test]
fn the_ladder_and_the_bound_of_a_start_are_those_of_the_config_file_or_the_task() {
    let spec = |table: &mut Table, change: fn(&mut NewTask)| {
        let id = table.submit_with(change);
        let task = table.stored(id);
        table.dispatcher.spec(&task)
    };
    let mut usual = Table::with_config("");
    let plain = spec(&mut usual, |_| {});
    assert_eq!((plain.grace_ms, plain.log_limit), (5_000, Some(256 << 20)));
    assert_eq!((plain.timeout_ms, plain.keep_children), (None, false));
    let own = spec(&mut usual, |new| new.options.grace_ms = Some(7));
    assert_eq!(own.grace_ms, 7);
    let mut set = Table::with_config("[cancel]\ngrace_ms = 9\n[output]\nlimit_mib = 0\n");
    let plain = spec(&mut set, |_| {});
    assert_eq!((plain.grace_ms, plain.log_limit), (9, None));
}

#[test]
fn a_flood_of_progress_is_told_ten_times_and_stored_once_a_second() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    table.published();
    // By a clock that is ahead of all that happens here, however long that takes: two seconds.
    let ahead = Instant::now() + Duration::from_secs(3_600);
    let mut stored = vec![];
    for said in 0..200 {
        let progress = Progress {
            percent: Some(f64::from(said % 90)),
            message: Some(said.to_string()),
            source: nod_core::progress::Source::Reported,
            phase: 0,
            phase_name: None,
        };
        table.hear(id, message::Said::Progress(progress));
        // As after each turn.
        table.dispatcher.tell_progress(ahead + Duration::from_millis(10) * said);
        stored.extend(table.stored(id).progress.and_then(|progress| progress.message));
    }
    let told = table.published();
    let is_progress =
        |event: &&Event| matches!(event.change, EventChange::Progress { id: of, .. } if of == id);
    assert_eq!((told.len(), told.iter().filter(is_progress).count()), (20, 20), "{told:?}");
    // None takes a number.
    assert!(told.iter().all(|event| event.seq == table.dispatcher.live.last_event()));
    stored.dedup();
    assert_eq!(stored, ["0", "100"]);
    // The newest goes with the end.
    table.end(id, 0);
    let stored = table.stored(id).progress.unwrap();
    assert_eq!(stored.message.as_deref(), Some("199"));
}

#[test]
fn an_exit_is_stored_while_what_was_left_is_being_ended() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let (status, at) = (ExitStatus::Code { code: 5 }, Timestamp(7));
    table.hear(id, message::Said::Exited { status, at });
    table.hear(id, stopping(ShimStop::LeftProcesses));
    let attempts = table.dispatcher.readers.lend().unwrap().attempts(id).unwrap();
    assert_eq!((attempts[0].exit, attempts[0].exited_at), (Some(status), Some(at)));
    assert_eq!(attempts[0].ended_at, None);
    assert_eq!(table.stored(id).state.name(), StateName::Stopping);
}

#[test]
fn the_output_of_a_new_task_can_be_waited_for_before_anybody_finds_it_in_the_history() {
    let mut table = Table::with_slots(1);
    let (outputs, first) = (table.dispatcher.outputs.clone(), TaskId(1));
    let is_done = AtomicBool::new(false);
    let other = Store::open(&table.folder.path().join("nod.db")).unwrap();
    other.run("BEGIN IMMEDIATE");
    std::thread::scope(|threads| {
        let (outputs, is_done) = (&outputs, &is_done);
        threads.spawn(move || {
            // What is not stored is not found, and is not while the database is held.
            while outputs.watch(first).is_none() && !is_done.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            other.run("ROLLBACK");
        });
        let change = table.new_task(false);
        let said = table.call(&PERSON, change);
        is_done.store(true, Ordering::Relaxed);
        assert!(matches!(said, Ok(Reply::Submitted { id, .. }) if id == first), "{said:?}");
    });
    table.refuse("INSERT ON tasks");
    let change = table.new_task(false);
    table.call(&PERSON, change).unwrap_err();
    assert!(outputs.watch(TaskId(2)).is_none(), "what is not in the history has no output");
}
