//! Waiting for signals, messages to a task, and what a task says of itself.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, ErrorCode, Notify};
use nod_core::task::{Failure, Outcome, StateName, TaskSaid};
use nod_tests::{TestHost, until};
use serde_json::{Value, json};

fn read(host: &TestHost, name: &str) -> String {
    std::fs::read_to_string(host.work().join(name)).unwrap_or_default()
}

fn notify(host: &TestHost, id: TaskId, key: &str, data: &str) -> Value {
    let ran = host.run(&["notify", &id.to_string(), key, data]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn all_who_wait_for_a_key_wake_with_the_same_data_and_nobody_else_does() {
    let host = TestHost::start();
    let id = host.submit("nod await go > one & nod await go > two & nod await other > three; wait");
    host.wait_for_waits(3);
    assert_eq!(notify(&host, id, "go", r#"{"n":1}"#), json!({ "woken": 2, "kept": false }));
    host.wait_for_waits(1);
    assert_eq!(notify(&host, id, "other", "null"), json!({ "woken": 1, "kept": false }));
    host.wait_for_end(id);
    let heard = [read(&host, "one"), read(&host, "two"), read(&host, "three")];
    assert_eq!(heard, ["{\"n\":1}\n", "{\"n\":1}\n", "null\n"]);
}

#[test]
fn an_early_signal_is_kept_for_the_next_wait_and_for_one_only() {
    let host = TestHost::start();
    let id = host.submit(
        "while [ ! -e go ]; do sleep 0.02; done; nod await k > one; nod await k > two; \
         nod await k --timeout 0 2> none; echo $? > code",
    );
    host.wait_for_state(id, StateName::Running);
    for n in ["1", "2"] {
        assert_eq!(notify(&host, id, "k", n), json!({ "woken": 0, "kept": true }));
    }
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    assert_eq!((read(&host, "one"), read(&host, "two")), ("1\n".into(), "2\n".into()));
    assert_eq!(read(&host, "code"), "124\n");
    let late = host.run(&["notify", &id.to_string(), "k"]);
    assert_eq!(late.code, Some(1), "{late:?}");
}

#[test]
fn a_wait_ends_by_itself_or_goes_on_by_itself() {
    let host = TestHost::start();
    let id = host.submit(
        "nod await k --timeout 100ms; echo $? > expired; \
         nod await k --timeout 1h --resume-after 100ms > resumed; echo $? >> resumed",
    );
    host.wait_for_end(id);
    assert_eq!(
        (read(&host, "expired"), read(&host, "resumed")),
        ("124\n".into(), "null\n0\n".into())
    );
}

#[test]
fn without_a_host_what_waits_ends_in_its_own_time() {
    let mut host = TestHost::start();
    let id = host.submit(
        "(NOD_SOCKET=/nowhere nod await k --resume-after 50ms; echo $? > await) & \
         (NOD_SOCKET=/nowhere nod inbox; echo $? > inbox) & \
         nod await k --resume-after 3s > resumed; echo $? > code; wait",
    );
    host.wait_for_waits(1);
    host.kill();
    // It was heard by a host, so that it goes on is no failure.
    until("it to go on", || (read(&host, "code") == "0\n").then_some(()));
    assert_eq!(read(&host, "resumed"), "null\n");
    host.restart();
    host.wait_for_end(id);
    assert_eq!((read(&host, "await"), read(&host, "inbox")), ("69\n".into(), "69\n".into()));
}

#[test]
fn a_wait_that_its_task_did_not_outlive_is_no_mistake_of_the_caller() {
    let host = TestHost::start();
    let line = "(nod await k 2> why; echo $? > code) & while [ ! -e go ]; do sleep 0.02; done";
    let id = host.submit_with(&["--keep-children"], &[line]);
    host.wait_for_waits(1);
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    until("the code", || (read(&host, "code") == "1\n").then_some(()));
    assert_eq!(read(&host, "why"), "nod: the task has ended\n");
}

#[test]
fn a_signal_for_a_waiter_that_died_is_kept_for_the_next() {
    let host = TestHost::start();
    let id = host.submit(
        "nod await k & asker=$!; while [ ! -e dead ]; do sleep 0.02; done; kill -9 $asker; \
         wait; touch killed; while [ ! -e go ]; do sleep 0.02; done; nod await k > heard",
    );
    host.wait_for_waits(1);
    std::fs::write(host.work().join("dead"), "").unwrap();
    host.wait_for_waits(0);
    assert_eq!(notify(&host, id, "k", "1"), json!({ "woken": 0, "kept": true }));
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    assert_eq!(read(&host, "heard"), "1\n");
}

#[test]
fn no_signal_is_an_approval() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Deploy?'");
    let request = host.wait_for_request(id);
    for key in ["approval", " Approval"] {
        let ran = host.run(&["notify", &id.to_string(), key, r#"{"type":"approve"}"#]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    assert!(host.request(id, request.id).is_open());
    host.answer(&request, nod_core::request::Answer::Approve);
    host.wait_for_end(id);
}

#[test]
fn messages_come_in_order_each_once_and_one_that_is_urgent_ends_a_wait() {
    let mut host = TestHost::start();
    let id = host.submit(
        "nod await k; echo $? > code; nod inbox > first; nod inbox > second; \
         nod inbox --follow > third & while [ ! -e go ]; do sleep 0.02; done; kill $!; true",
    );
    host.wait_for_waits(1);
    let say = |host: &TestHost, words: &[&str]| {
        let id = id.to_string();
        let ran = host.run(&[&["feedback", &id], words].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    say(&host, &["one"]);
    host.kill();
    host.restart();
    say(&host, &["two\u{1b}[2J"]);
    assert_eq!(read(&host, "code"), "");
    say(&host, &["three", "--interrupt"]);
    until("the wait to end", || (read(&host, "code") == "75\n").then_some(()));
    until("an empty inbox", || host.work().join("third").exists().then_some(()));
    let messages = |name: &str| -> Vec<String> {
        let text = read(&host, name);
        let line = |line| serde_json::from_str::<Value>(line).unwrap()["message"].clone();
        text.lines().map(line).map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(messages("first"), ["one", "two\u{1b}[2J", "three"]);
    assert!(!read(&host, "first").contains('\u{1b}'));
    assert_eq!(messages("second"), Vec::<String>::new());
    say(&host, &["four"]);
    say(&host, &["five"]);
    until("the rest", || (messages("third").len() == 2).then_some(()));
    assert_eq!(messages("third"), ["four", "five"]);
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
}

#[test]
fn a_task_says_how_it_ended() {
    let host = TestHost::start();
    let id = host.submit(r#"nod result '{"url":"x"}' --message 'All there'"#);
    let ended = host.wait_for_end(id);
    assert_eq!(ended.state.outcome(), Some(&Outcome::Succeeded));
    let message = Some("All there".to_owned());
    let said = TaskSaid::Result { data: json!({ "url": "x" }), message };
    assert_eq!(ended.condition.said, Some(said));
    let shown = host.run(&["show", &id.to_string()]).out;
    assert!(shown.contains("result       All there: {\"url\":\"x\"}\n"), "{shown}");

    let id = host.submit("nod fail 'no disk'");
    let ended = host.wait_for_end(id);
    let said = Failure::Said { message: "no disk".into() };
    assert_eq!(ended.state.outcome(), Some(&Outcome::Failed { failure: said }));
    assert_eq!(host.run(&["wait", &id.to_string()]).code, Some(1));

    let id = host.submit("nod fail 'no disk'; exit 3");
    let ended = host.wait_for_end(id);
    assert_eq!(
        ended.state.outcome(),
        Some(&Outcome::Failed { failure: Failure::Exit { code: 3 } })
    );
    let message = "no disk".to_owned();
    assert_eq!(ended.condition.said, Some(TaskSaid::Failed { message }));

    let id = host.submit("nod result '{'; echo $? > bad; nod cancelled; echo $? > before");
    host.wait_for_end(id);
    assert_eq!((read(&host, "bad"), read(&host, "before")), ("2\n".into(), "1\n".into()));
    let line = "trap 'nod cancelled; echo $? > after; exit' INT; touch up; while true; do sleep 0.02; done";
    let id = host.submit(line);
    until("the trap", || host.work().join("up").exists().then_some(()));
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    host.wait_for_end(id);
    assert_eq!(read(&host, "after"), "0\n");
}

#[test]
fn what_a_task_tells_is_in_the_outbox_of_its_session() {
    let host = TestHost::start();
    let id = host.submit_with(&["--session", "s"], &["nod tell halfway; nod tell 'now!' --urgent"]);
    host.wait_for_end(id);
    let session = Some("s".to_owned());
    let told = [(session.clone(), "halfway".into(), false), (session, "now!".into(), true)];
    assert_eq!(host.notices(), told);
}

#[test]
fn what_is_for_tasks_is_for_nobody_else_and_what_is_kept_is_bounded() {
    let host = TestHost::start();
    let words: [&[&str]; 6] = [
        &["await", "k"],
        &["inbox"],
        &["tell", "x"],
        &["result", "1"],
        &["fail", "x"],
        &["cancelled"],
    ];
    for words in words {
        assert_eq!(host.run(words).code, Some(2), "{words:?}");
    }
    let id = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let mut connection = host.connect();
    let mut signal = || {
        let operation = nod_client::new_operation().unwrap();
        let notify = Notify { operation, id, key: "k".into(), data: Value::Null };
        connection.call(&Call::Notify(notify))
    };
    for _ in 0..100 {
        signal().unwrap();
    }
    let nod_client::ClientError::Refused(refused) = signal().unwrap_err() else { panic!() };
    assert_eq!(refused.code, ErrorCode::Busy, "{refused}");
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let left: i64 = database.query_row("SELECT count(*) FROM signals", [], |r| r.get(0)).unwrap();
    assert_eq!(left, 0, "nothing is kept for a task that has ended");
}

#[test]
fn a_wait_without_a_host_in_its_time_says_so() {
    let mut host = TestHost::start();
    let id = host.submit(
        "while [ ! -e gone ]; do sleep 0.02; done; \
         nod await go --timeout 300ms; echo $? > code.new; mv code.new code",
    );
    host.wait_for_state(id, StateName::Running);
    host.kill();
    std::fs::write(host.work().join("gone"), "").unwrap();
    let code =
        until("the end of the wait", || Some(read(&host, "code")).filter(|it| !it.is_empty()));
    assert_eq!(code, "69\n");
}
