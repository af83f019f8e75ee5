//! Who hears of everything: in order, without gaps, and from which host.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use nod_client::{Connection, Incoming};
use nod_core::ids::EventNumber;
use nod_core::protocol::{
    Call, Event, EventChange, MESSAGE_LIMIT, Notification, PROTOCOL, Reply, Snapshot, SubmitMany,
};
use nod_core::task::StateName;
use nod_tests::{Home, TestHost, until};
use serde_json::{Value, json};

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

/// Returns the events after `since`, up to that of a number.
fn watched(host: &TestHost, since: i64, last: i64) -> Vec<Value> {
    let mut watching =
        host.nod(&["watch", "--since", &since.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut events: Vec<Value> = vec![];
    for line in BufReader::new(watching.stdout.take().unwrap()).lines() {
        events.push(serde_json::from_str(&line.unwrap()).unwrap());
        if events.last().unwrap()["seq"] == last {
            break;
        }
    }
    watching.kill().unwrap();
    watching.wait().unwrap();
    events
}

#[test]
fn so_many_removals_are_kept_and_who_was_away_for_longer_is_told_to_look_anew() {
    /// How many are kept, and how many there were.
    const KEPT: i64 = 10_000;
    const WERE: i64 = 10_700;
    let mut host = TestHost::start();
    let stays = host.submit("true");
    let goes = host.submit("true");
    [stays, goes].iter().for_each(|id| drop(host.wait_for_end(*id)));
    host.stop();
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let number = |sql: &str| -> i64 { history.query_row(sql, [], |row| row.get(0)).unwrap() };
    let first = number("SELECT max(seq) FROM events");
    // What a host that forgot nothing has left of tasks that were removed.
    let removed = "INSERT INTO events (seq, at, task_id, what)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
        SELECT ?1 + i, 0, 1000000 + i, 'removed' FROM n";
    history.execute(removed, [first, WERE]).unwrap();
    host.restart();
    let last = first + WERE;
    let removals = "SELECT count(*) FROM events WHERE what = 'removed'";
    assert_eq!(number(removals), KEPT);

    let (seen, gap) = (watched(&host, 0, last), last - KEPT);
    assert_eq!((&seen[0]["event"], &seen[0]["seq"]), (&"lagged".into(), &0.into()));
    assert_eq!(seen[0]["task_id"], Value::Null);
    let why = seen[0]["detail"].as_str().unwrap();
    assert_eq!(
        why,
        format!("some events up to {gap} are no longer kept: look anew at what there is")
    );
    // All of what is there is told, and of the rest what is kept.
    let numbers: Vec<_> = seen[1..].iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    let expected: Vec<_> = (1..=first).chain(gap + 1..=last).collect();
    assert!(numbers == expected, "{:?}", numbers.len());
    // Who was away for less has missed nothing.
    let of = |since: i64| watched(&host, since, last)[0].clone();
    assert_eq!((&of(gap)["event"], &of(gap)["seq"]), (&"removed".into(), &(gap + 1).into()));
    assert_eq!((&of(gap - 1)["event"], &of(gap - 1)["seq"]), (&"lagged".into(), &(gap - 1).into()));

    // And each that comes makes one more go.
    let mut watching =
        host.nod(&["watch", "--since", &gap.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().contains("\"removed\""));
    assert_eq!(host.run(&["remove", &goes.to_string()]).code, Some(0));
    assert_eq!(number(removals), KEPT);
    assert_eq!(number("SELECT min(seq) FROM events WHERE what = 'removed'"), gap + 2);
    let one_more = told.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let told: Vec<Value> = one_more.take(KEPT as usize).collect();
    watching.kill().unwrap();
    watching.wait().unwrap();
    // It was past all that is forgotten.
    assert!(told.iter().all(|event| event["event"] == "removed"));
    assert_eq!(told.last().unwrap()["task_id"], goes.0);
}

/// Says one call on a connection of one's own making, and returns its result.
fn said_raw(stream: &mut BufReader<UnixStream>, method: &str, params: &Value) -> Value {
    let mut message = json!({ "jsonrpc": "2.0", "id": 1, "method": method });
    if !params.is_null() {
        message["params"] = params.clone();
    }
    stream.get_mut().write_all(format!("{message}\n").as_bytes()).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.len() <= MESSAGE_LIMIT, "{method}: {} bytes", line.len());
    let mut reply: Value = serde_json::from_str(&line).unwrap();
    assert!(reply["error"].is_null(), "{method}: {}", reply["error"]);
    reply["result"].take()
}

fn ids(tasks: &Value) -> Vec<i64> {
    let tasks = tasks.as_array().unwrap().iter();
    tasks.map(|task| task["id"].as_i64().unwrap()).collect()
}

#[test]
fn a_snapshot_of_any_number_of_tasks_comes_in_messages_that_fit() {
    const TASKS: i64 = 4_000;
    let host = TestHost::start();
    let ended = host.submit("true");
    host.wait_for_end(ended);
    assert_eq!(host.run(&["group", "pause", "default"]).code, Some(0));
    let mut connection = host.connect();
    for number in 0..TASKS / 500 {
        let tasks = (0..500).map(|_| host.shell_submit("true")).map(|mut submit| {
            submit.environment = None;
            submit.label = Some(format!("{number:0100}"));
            submit
        });
        let many = SubmitMany { environment: Some([].into()), tasks: tasks.collect() };
        let reply = connection.call(&Call::SubmitMany(many)).unwrap();
        assert!(matches!(reply, Reply::SubmittedMany { .. }), "{reply:?}");
    }
    let gates: Vec<_> = (0..3).map(|_| host.submit_with(&["--ask-first"], &["true"])).collect();
    gates.iter().for_each(|id| drop(host.wait_for_request(*id)));
    let newest_first: Vec<_> = (1..=TASKS + 4).rev().collect();
    let asked: BTreeSet<_> = gates.iter().map(|id| id.0).collect();

    let whole = connection.snapshot().unwrap();
    assert_eq!(whole.tasks.iter().map(|task| task.id.0).collect::<Vec<_>>(), newest_first);
    assert_eq!(whole.more, None);
    let open: BTreeSet<_> = whole.requests.iter().map(|it| it.task.unwrap().0).collect();
    assert_eq!(open, asked);
    let first = snapshot(&mut host.connect());
    assert!(first.tasks.len() < whole.tasks.len() && first.more.is_some());
    assert_eq!((first.seq, first.counts), (whole.seq, whole.counts));

    // Whoever speaks to the socket by themselves follows what is said there.
    let mut stream = BufReader::new(UnixStream::connect(host.socket()).unwrap());
    said_raw(&mut stream, "hello", &json!({ "protocol": PROTOCOL, "token": null }));
    let mut part = said_raw(&mut stream, "snapshot", &Value::Null);
    let mut found = ids(&part["tasks"]);
    let mut requests = part["requests"].as_array().unwrap().len();
    while !part["more"].is_null() {
        part = said_raw(&mut stream, "snapshot_rest", &part["more"]);
        found.extend(ids(&part["tasks"]));
        requests += part["requests"].as_array().unwrap().len();
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(found, newest_first);
    assert_eq!(requests, asked.len());
}

#[test]
fn what_changes_while_a_snapshot_comes_in_parts_is_told_by_its_events() {
    let host = TestHost::start();
    assert_eq!(host.run(&["group", "pause", "default"]).code, Some(0));
    let file = host.path().join("tasks.jsonl");
    let line = format!("{{\"command\": [\"true\"], \"label\": \"{}\"}}\n", "x".repeat(900));
    fs::write(&file, line.repeat(1_000)).unwrap();
    assert_eq!(host.run(&["submit", "--from", file.to_str().unwrap()]).code, Some(0));
    let mut watching = host.connect();
    subscribe(&mut watching);
    let mut connection = host.connect();
    let first = snapshot(&mut connection);
    let mut known: BTreeSet<_> = first.tasks.iter().map(|task| task.id.0).collect();
    let mut more = first.more;
    // One of those that have not been told yet.
    assert_eq!(host.run(&["cancel", "1"]).code, Some(0));
    while let Some(place) = more {
        let reply = connection.call(&Call::SnapshotRest(place)).unwrap();
        let Reply::SnapshotRest(rest) = reply else { panic!("{reply:?}") };
        known.extend(rest.tasks.iter().map(|task| task.id.0));
        more = rest.more;
    }
    assert!(first.more.is_some() && !known.contains(&1));
    let event = next(&mut watching);
    assert!(event.seq > first.seq);
    let EventChange::Task { task } = event.change else { panic!("{event:?}") };
    assert_eq!(task.state.name(), StateName::Cancelled);
    known.insert(task.id.0);
    assert_eq!(known.len(), 1_000);
}
