//! What outlives a host: waits and questions go on with the next one, and nothing happens twice.

use std::fs;

use nod_core::request::Answer;
use nod_tests::{TestHost, until};
use serde_json::json;

use crate::{ends_well, nod, submit, touch, written};

const WAITS: &str = r#"
def hear():
    write("heard", nod_task.wait("k", timeout=3600))
    write("once", caught(nod_task.wait, "k", timeout=0)[0])
hearing = threading.Thread(target=hear)
hearing.start()
write("answer", nod_task.ask("Deploy?", timeout=3600).kind)
hearing.join()
"#;

#[test]
fn a_wait_and_a_question_outlive_a_host_that_is_killed() {
    let mut host = TestHost::start();
    let id = submit(&host, WAITS);
    let request = host.wait_for_request(id);
    host.wait_for_waits(1);
    host.kill();
    host.restart();
    // Said at once, mostly before those who wait are back.
    host.answer(&request, Answer::Approve);
    nod(&host, &["notify", &id.to_string(), "k", "7"]);
    assert_eq!(written(&host, "answer"), "approved");
    assert_eq!((written(&host, "heard"), written(&host, "once")), (json!(7), json!("Expired")));
    ends_well(&host, id);
    assert_eq!(host.detail(id).requests.len(), 1);
}

#[test]
fn whoever_waits_notices_nothing_of_a_host_that_takes_over() {
    let mut host = TestHost::start();
    let id = submit(&host, WAITS);
    let request = host.wait_for_request(id);
    host.wait_for_waits(1);
    for _ in 0..2 {
        host.stop();
        host.restart();
    }
    host.answer(&request, Answer::Deny { reason: None });
    nod(&host, &["notify", &id.to_string(), "k", "null"]);
    assert_eq!((written(&host, "answer"), written(&host, "heard")), (json!("denied"), json!(null)));
    ends_well(&host, id);
    assert_eq!(host.detail(id).requests.len(), 1);
}

#[test]
fn a_host_that_does_not_speak_the_protocol_is_waited_out() {
    let mut host = TestHost::start();
    let id = submit(
        &host,
        r#"
until("older")
write("progress", nod_task.progress(10))
write("mismatch", caught(nod_task.wait, "k", timeout=0))
nod_task.success("told to the next host")
"#,
    );
    host.stop();
    host.restart_as(Some(&json!({ "protocol": 1 })));
    touch(&host, "older");
    assert_eq!(written(&host, "progress"), false);
    // As with `nod await`: nobody has waited who could have heard a signal.
    assert_eq!(written(&host, "mismatch")[0], "WrongProtocol");
    host.stop();
    host.restart();
    ends_well(&host, id);
}

#[test]
fn a_change_that_no_host_answered_is_made_once_by_the_next() {
    let mut host = TestHost::start();
    let id = submit(
        &host,
        r#"write("up", True); until("gone"); nod_task.notify_agent("halfway"); write("told", True)"#,
    );
    assert_eq!(written(&host, "up"), true);
    host.kill();
    touch(&host, "gone");
    host.restart();
    assert_eq!(written(&host, "told"), true);
    ends_well(&host, id);
    let log = fs::read_to_string(host.data().join("host.log")).unwrap();
    assert_eq!(log.matches("the host serves").count(), 2, "no host was started from the task");
    assert_eq!(told(&host, "halfway"), 1);
}

/// Returns how often something is in an outbox.
fn told(host: &TestHost, text: &str) -> i64 {
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let sql = "SELECT count(*) FROM notices WHERE content = ?1";
    database.query_row(sql, [text], |row| row.get(0)).unwrap()
}

#[test]
fn what_was_said_on_a_connection_that_is_lost_is_heard_once_on_the_next() {
    let mut host = TestHost::start();
    let id = submit(
        &host,
        r#"
real, lost = nod_task._reply, []
def losing(lines, number):
    reply = real(lines, number)
    if number == 2 and not lost:
        lost.append(reply)
        raise nod_task.NoHost("lost on the way")
    return reply
nod_task._reply = losing
heard = [nod_task.wait("k")]
for call in (lambda: nod_task.ask("Go?").kind, lambda: nod_task.notify_agent("halfway")):
    heard.append(len(lost))
    lost.clear()
    heard.append(call())
heard.append(caught(nod_task.wait, "k", timeout=0)[0])
write("heard", heard)
"#,
    );
    host.wait_for_waits(1);
    nod(&host, &["notify", &id.to_string(), "k", "7"]);
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Approve);
    assert_eq!(written(&host, "heard"), json!([7, 1, "approved", 1, null, "Expired"]));
    ends_well(&host, id);
    assert_eq!(host.detail(id).requests.len(), 1);
    assert_eq!(told(&host, "halfway"), 1);
}

#[test]
fn without_a_host_a_wait_ends_with_its_own_time_and_starts_none() {
    let mut host = TestHost::start();
    let id = submit(
        &host,
        r#"
write("up", True)
until("gone")
write("without", [caught(nod_task.wait, "k", timeout=0.05)[0],
                  caught(nod_task.ask, "Go?", timeout=0.05)[0],
                  caught(nod_task.ask, "Go?", resume_after=0.05)[0], nod_task.progress(5)])
"#,
    );
    assert_eq!(written(&host, "up"), true);
    host.kill();
    touch(&host, "gone");
    assert_eq!(written(&host, "without"), json!(["NoHost", "NoHost", "NoHost", false]));
    host.restart();
    ends_well(&host, id);
    assert!(host.detail(id).requests.is_empty());
}

#[test]
fn a_question_that_its_program_was_interrupted_in_is_withdrawn() {
    let host = TestHost::start();
    let id = submit(
        &host,
        r#"
write("pid", os.getpid())
try:
    nod_task.ask("Go?")
except KeyboardInterrupt:
    write("interrupted", True)
until("go")
"#,
    );
    let request = host.wait_for_request(id);
    let pid = i32::try_from(written(&host, "pid").as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(written(&host, "interrupted"), true);
    until("the question to close", || (!host.request(id, request.id).is_open()).then_some(()));
    touch(&host, "go");
    ends_well(&host, id);
}
