//! Who hears of everything: in order, without gaps, and from which host.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use nod_client::{Connection, Incoming};
use nod_core::ids::EventNumber;
use nod_core::protocol::{Call, Event, EventChange, Notification, Reply, Snapshot};
use nod_core::task::StateName;
use nod_tests::{Home, TestHost, until};
use serde_json::Value;

/// Subscribes, and returns the epoch and the last event before.
fn subscribe(watching: &mut Connection) -> (String, EventNumber) {
    watching.send(&Call::Subscribe).unwrap();
    let Incoming::Reply(reply) = watching.receive().unwrap() else { panic!("no reply") };
    let Reply::Subscribed { epoch, seq } = *reply else { panic!("{reply:?}") };
    (epoch, seq)
}

fn next(watching: &mut Connection) -> Event {
    loop {
        let Incoming::Notification(said) = watching.receive().unwrap() else {
            panic!("the subscription ended")
        };
        if let Notification::Event(event) = *said {
            return event;
        }
    }
}

fn snapshot(watching: &mut Connection) -> Snapshot {
    let Reply::Snapshot(snapshot) = watching.call(&Call::Snapshot).unwrap() else {
        panic!("no snapshot")
    };
    *snapshot
}

#[test]
fn a_subscriber_sees_every_change_in_order_without_gaps() {
    let host = TestHost::start();
    let mut watching = host.connect();
    let (_, mut last) = subscribe(&mut watching);
    let id = host.submit("nod progress 10; while [ ! -e go ]; do sleep 0.02; done; exit 3");
    let (mut states, mut percents) = (vec![], vec![]);
    while states.last() != Some(&StateName::Failed) {
        let event = next(&mut watching);
        match event.change {
            EventChange::Task { task } => {
                assert_eq!(event.seq.0, last.0 + 1);
                last = event.seq;
                assert_eq!(task.id, id);
                // One that spoke before its start was known is told of twice.
                if states.last() != Some(&task.state.name()) {
                    states.push(task.state.name());
                }
            }
            // It is the number of the last one that is stored, and takes none.
            EventChange::Progress { id: of, progress } => {
                assert_eq!((event.seq, of), (last, id));
                percents.push(progress.unwrap().percent);
                fs::write(host.work().join("go"), "").unwrap();
            }
            EventChange::Request { .. }
            | EventChange::Rules { .. }
            | EventChange::Removed { .. }
            | EventChange::Groups { .. }
            | EventChange::Config { .. }
            | EventChange::DiskFull { .. }
            | EventChange::Lagged => panic!("{event:?}"),
        }
    }
    use StateName::{Failed, Queued, Running, Starting};
    assert_eq!(states, [Queued, Starting, Running, Failed]);
    assert_eq!(percents, [Some(10.0)]);
}

#[test]
fn each_host_has_an_epoch_of_its_own_and_its_snapshot_continues_in_its_events() {
    let mut host = TestHost::start();
    let mut epochs = vec![];
    for round in 1..=3 {
        let mut watching = host.connect();
        let (epoch, seq) = subscribe(&mut watching);
        let mut other = host.connect();
        let shown = snapshot(&mut other);
        assert_eq!((&shown.epoch, shown.seq), (&epoch, seq));
        assert_eq!(other.welcome().unwrap().epoch, epoch);
        assert_eq!(watching.welcome().unwrap().epoch, epoch);
        assert!(!epochs.contains(&epoch), "{epochs:?}");
        epochs.push(epoch);
        let id = host.submit("true");
        host.wait_for_end(id);
        let event = next(&mut watching);
        assert_eq!(event.seq.0, seq.0 + 1);
        let EventChange::Task { task } = event.change else { panic!("{event:?}") };
        assert_eq!(task.id, id);
        if round % 2 == 0 {
            host.stop();
        } else {
            host.kill();
        }
        // Whoever listens is told by the end of the connection, and not by silence.
        until("the end", || watching.receive().is_err().then_some(()));
        host.restart();
    }
}

#[test]
fn a_watch_whose_reader_stands_still_misses_nothing() {
    const TASKS: u64 = 3_000;
    let host = TestHost::start_in(Home::new().with_config("[groups.default]\nslots = 1\n"));
    assert_eq!(host.run(&["group", "pause", "default"]).code, Some(0));
    let mut watch = host.nod(&["watch", "--since", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut read = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(read()["seq"], 1);
    // Far more than fits between the two, while nobody reads.
    let file = host.path().join("tasks.jsonl");
    let line = format!("{{\"command\": [\"true\"], \"label\": \"{}\"}}\n", "x".repeat(200));
    fs::write(&file, line.repeat(TASKS as usize)).unwrap();
    assert_eq!(host.run(&["submit", "--from", file.to_str().unwrap()]).code, Some(0));
    assert_eq!(host.run(&["cancel", "--all"]).code, Some(0));
    let end = snapshot(&mut host.connect()).seq;
    assert!(end.0 > 2 * TASKS, "{end:?}");
    let mut cancelled = 0;
    for seq in 2..=end.0 {
        let event = read();
        assert_eq!(event["seq"], seq);
        cancelled += u64::from(event["event"] == "cancelled");
    }
    assert_eq!(cancelled, TASKS);
    // And it goes on with what comes next.
    assert_eq!(host.run(&["group", "resume", "default"]).code, Some(0));
    assert_eq!(read()["seq"], end.0 + 1);
    watch.kill().unwrap();
    watch.wait().unwrap();
}
