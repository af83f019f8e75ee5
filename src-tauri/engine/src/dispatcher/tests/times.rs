//! When a task was over, whoever stores it and however late.

use super::*;

/// Returns the end of a task that began and ended at these times by its shim's clock.
fn ended_at(id: TaskId, from: Timestamp, to: Timestamp) -> message::Said {
    let message::Said::Ended { mut report, tail } = ended(id, 4) else { panic!("no end") };
    (report.started_at, report.exited_at, report.ended_at) = (Some(from), Some(to), to);
    message::Said::Ended { report, tail }
}

#[test]
fn a_task_was_over_when_its_processes_were_and_not_when_that_was_stored() {
    let hour = 3_600_000;
    let now = clock::now();
    let ago = |ms: i64| now.moved(-ms);
    let cases = [
        ("no host ran for a night", ago(9 * hour), ago(8 * hour), Some(ago(8 * hour))),
        ("the clock was set back since", ago(hour), ago(-hour), None),
        ("the clock was set back meanwhile", ago(hour), ago(2 * hour), Some(ago(hour))),
    ];
    for (name, from, to, expected) in cases {
        let mut table = Table::with_slots(1);
        let id = table.submit();
        table.run(id);
        let mut row = table.dispatcher.live.task(id).unwrap().clone();
        row.row.task.started_at = Some(from);
        table.dispatcher.live.put_task(row);
        table.hear(id, ended_at(id, from, to));
        let task = table.stored(id);
        assert_eq!(task.state.words(), "Failed (exit 4)", "{name}");
        let over = task.ended_at.unwrap();
        match expected {
            Some(expected) => assert_eq!(over, expected, "{name}"),
            None => assert!((now..=clock::now()).contains(&over), "{name}: {over:?}"),
        }
    }
}
