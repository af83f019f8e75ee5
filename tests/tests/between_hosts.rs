//! What is said while a host dies, and while there is none: kept where it was said, heard once.
//!
//! A process that is halted at the right moment stands for bad luck: a reader that is not back, or a
//! host that has not read what lies before it.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use nod_client::{ClientError, Connection, Door, Next, new_operation, persist};
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Feedback, Notify, ReadInbox, Reply};
use nod_core::request::Answer;
use nod_core::task::StateName;
use nod_tests::home::{LENDS_TOKEN, program};
use nod_tests::{TestHost, processes, until};
use serde_json::Value;

fn read(host: &TestHost, name: &str) -> String {
    fs::read_to_string(host.work().join(name)).unwrap_or_default()
}

fn touch(host: &TestHost, name: &str) {
    fs::write(host.work().join(name), "").unwrap();
}

/// Returns the texts of the messages that `nod inbox` wrote to a file.
fn messages(host: &TestHost, name: &str) -> Vec<String> {
    let text = read(host, name);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let message = |line| serde_json::from_str::<Value>(line).unwrap()["message"].clone();
    whole.lines().map(message).map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// Returns the `nod` of a task here that was started with this verb, once it runs.
fn nod_of(host: &TestHost, verb: &str) -> i32 {
    until(verb, || nods_of(host, verb).first().copied())
}

/// Returns each `nod` of a task here that was started with this verb and runs.
fn nods_of(host: &TestHost, verb: &str) -> Vec<i32> {
    let (nod, mark) = (program("nod").canonicalize().unwrap(), host.path().display().to_string());
    let is_it = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_verb = words.split(|byte| *byte == 0).nth(1) == Some(verb.as_bytes());
        is_verb && fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == nod)
    };
    processes::with_mark(&mark).into_iter().filter(is_it).collect()
}

fn count(host: &TestHost, sql: &str) -> i64 {
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn notify(id: TaskId, data: Value) -> Call {
    Call::Notify(Notify { operation: new_operation().unwrap(), id, key: "k".into(), data })
}

fn feedback(id: TaskId, text: &str) -> Call {
    let (operation, text) = (new_operation().unwrap(), text.to_owned());
    Call::Feedback(Feedback { operation, id, text, interrupt: false })
}

#[test]
fn a_signal_that_comes_before_the_waiter_is_back_is_heard_once() {
    let mut host = TestHost::start();
    let id = host.submit("nod await k > one; nod await k --timeout 0; echo $? > code");
    host.wait_for_waits(1);
    let waiter = nod_of(&host, "await");
    processes::stop(waiter);
    host.kill();
    host.restart();
    let Reply::Notified { woken, kept } = host.call(&notify(id, 7.into())) else { panic!() };
    assert_eq!((woken, kept), (0, true), "it is kept for who comes back");
    processes::go_on(waiter);
    host.wait_for_end(id);
    assert_eq!((read(&host, "one"), read(&host, "code")), ("7\n".into(), "124\n".into()));
}

#[test]
fn an_answer_that_comes_before_the_asker_is_back_is_heard_once() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Deploy?' > answer; echo $? > code");
    let request = host.wait_for_request(id);
    let asker = nod_of(&host, "ask");
    processes::stop(asker);
    host.kill();
    host.restart();
    host.answer(&request, Answer::Approve);
    // And once more: what was answered is on the disk.
    host.kill();
    host.restart();
    processes::go_on(asker);
    host.wait_for_end(id);
    assert_eq!(
        (read(&host, "answer"), read(&host, "code")),
        ("{\"answer\":\"approved\"}\n".into(), "0\n".into())
    );
    assert_eq!(host.detail(id).requests.len(), 1);
}

/// Says something as a program does, to whichever host there is.
fn say(host: &TestHost, call: Call, begun: &'static AtomicU64) -> JoinHandle<Reply> {
    let door = Door { socket: host.socket(), token: None };
    thread::spawn(move || {
        let attempt = |connection: &mut Connection| {
            begun.fetch_add(1, Ordering::Relaxed);
            connection.call(&call)
        };
        persist(&door, None, attempt, |_| Ok::<_, ClientError>(Next::Later)).unwrap()
    })
}

#[test]
fn what_lies_unread_before_a_host_that_dies_is_said_to_the_next_once() {
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    let mut host = TestHost::start();
    let line = "touch up; while [ ! -e tells ]; do sleep 0.02; done; nod tell halfway; \
                echo $? > told; nod await k > one; nod await k --timeout 0; echo $? > code; \
                nod inbox > messages";
    let id = host.submit_with(&["--session", "s"], &[line]);
    host.wait_for_file("up");
    processes::stop(host.pid());
    touch(&host, "tells");
    nod_of(&host, "tell");
    let said = [notify(id, 7.into()), feedback(id, "hello")].map(|call| say(&host, call, &BEGUN));
    until("all to speak", || (BEGUN.load(Ordering::Relaxed) == 2).then_some(()));
    host.kill();
    assert_eq!(read(&host, "told"), "", "nobody has heard it");
    host.restart();
    for said in said {
        said.join().unwrap();
    }
    host.wait_for_end(id);
    assert_eq!((read(&host, "told"), read(&host, "one")), ("0\n".into(), "7\n".into()));
    assert_eq!(read(&host, "code"), "124\n", "the signal came once");
    assert_eq!(messages(&host, "messages"), ["hello"]);
    assert_eq!(count(&host, "SELECT count(*) FROM notices WHERE content = 'halfway'"), 1);
}

#[test]
fn who_follows_the_inbox_reads_on_at_the_next_host_with_nothing_twice() {
    let mut host = TestHost::start();
    let id = host.submit(
        "nod inbox --follow > heard & while [ ! -e go ]; do sleep 0.02; done; kill $!; true",
    );
    let reader = nod_of(&host, "inbox");
    for (n, words) in [["one", "two"], ["three", "four"], ["five", "six"]].iter().enumerate() {
        host.call(&feedback(id, words[0]));
        until("what was said", || (messages(&host, "heard").len() == 2 * n + 1).then_some(()));
        // Whether or not it has said that it has it.
        processes::stop(reader);
        host.kill();
        host.restart();
        host.call(&feedback(id, words[1]));
        processes::go_on(reader);
        until("the rest", || (messages(&host, "heard").len() == 2 * n + 2).then_some(()));
    }
    assert_eq!(messages(&host, "heard"), ["one", "two", "three", "four", "five", "six"]);
    // All of it was taken in.
    let left = "SELECT count(*) FROM messages";
    until("an empty inbox", || (count(&host, left) == 0).then_some(()));
    touch(&host, "go");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
}

#[test]
fn what_a_reader_could_not_hand_on_is_there_for_the_next_one() {
    let host = TestHost::start();
    let id = host.submit(&format!(
        "{LENDS_TOKEN}while [ ! -e go ]; do sleep 0.02; done; nod inbox > /dev/full; \
         echo $? > full; nod inbox > first; nod inbox > second",
    ));
    let token = host.token();
    for text in ["one", "two"] {
        host.call(&feedback(id, text));
    }
    // One that dies with them in its hands has not said that it has them.
    for _ in 0..2 {
        let mut dying = Connection::open(&host.socket(), Some(token.clone())).unwrap();
        let read = Call::Inbox(ReadInbox { seen: None, follow: false });
        let Ok(Reply::Inbox { messages }) = dying.call(&read) else { panic!("no messages") };
        assert_eq!(messages.len(), 2);
    }
    touch(&host, "go");
    host.wait_for_end(id);
    assert!(!["", "0\n"].contains(&read(&host, "full").as_str()), "it cannot write");
    assert_eq!(messages(&host, "first"), ["one", "two"]);
    assert_eq!(messages(&host, "second"), [""; 0]);
}

#[test]
fn all_that_waited_for_a_signal_hear_it_though_they_come_back_one_after_the_other() {
    let mut host = TestHost::start();
    let line =
        "nod await k > one & nod await k > two; wait; nod await k --timeout 0; echo $? > code";
    let id = host.submit(line);
    host.wait_for_waits(2);
    let waiters = nods_of(&host, "await");
    let [first, second] = waiters[..] else { panic!("{waiters:?}") };
    // Neither is back when it is said: who comes first leaves the other what it is waiting for.
    waiters.iter().for_each(|pid| processes::stop(*pid));
    host.kill();
    host.restart();
    host.call(&notify(id, 7.into()));
    processes::go_on(first);
    host.wait_for_waits(0);
    processes::go_on(second);
    host.wait_for_end(id);
    let heard = ["one", "two", "code"].map(|name| read(&host, name));
    assert_eq!(heard, ["7\n", "7\n", "124\n"]);
}
