//! Going on without an answer: the question stays open, and its answer can be waited for again.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use nod_core::ids::TaskId;
use nod_core::request::{Answer, Request};
use nod_core::task::{Outcome, StateName};
use nod_tests::{TestHost, until};
use serde_json::{Value, json};

/// Waits until a file is there.
const WAIT: &str = "while [ ! -e go ]; do sleep 0.02; done";

/// Waits for the answer to the question that the file `open` names.
const AGAIN: &str = "nod ask --request \"$(sed 's/.*\"request\":\\([0-9]*\\).*/\\1/' open)\" \
                     > answer 2> again; echo $? > code";

fn read(host: &TestHost, name: &str) -> String {
    std::fs::read_to_string(host.work().join(name)).unwrap_or_default()
}

fn go(host: &TestHost) {
    std::fs::write(host.work().join("go"), "").unwrap();
}

/// Returns the question once its task has gone on without the answer.
#[track_caller]
fn gone_on(host: &TestHost, id: TaskId) -> Request {
    until("the task to go on", || (read(host, "resumed") == "75\n").then_some(()));
    let request = host.wait_for_request(id);
    let open: Value = serde_json::from_str(&read(host, "open")).unwrap();
    assert_eq!(open, json!({ "answer": "open", "request": request.id }));
    let note = read(host, "note");
    let words = format!("request {} is still open", request.id);
    assert!(note.contains(&words) && note.contains("nod ask --request"), "{note}");
    request
}

/// Submits a task that asks, goes on, and later waits again.
fn submit(host: &TestHost, options: &str) -> TaskId {
    let ask = format!("nod ask 'Deploy?' {options} > open 2> note; echo $? > resumed.new");
    host.submit(&format!("{ask}; mv resumed.new resumed; {WAIT}; {AGAIN}"))
}

#[test]
fn a_task_that_goes_on_finds_the_answer_that_was_given_meanwhile() {
    let mut host = TestHost::start();
    let id = submit(&host, "--resume-after 100ms");
    let request = gone_on(&host, id);
    assert_eq!(host.state(id), StateName::Waiting);
    host.answer(&request, Answer::Approve);
    go(&host);
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!((read(&host, "code"), read(&host, "again")), ("0\n".into(), String::new()));
    assert!(read(&host, "answer").contains("approved"));
}

#[test]
fn the_answer_is_waited_for_again_across_hosts() {
    let mut host = TestHost::start();
    let id = submit(&host, "--resume-after 100ms");
    let request = gone_on(&host, id);
    host.kill();
    host.restart();
    go(&host);
    until("the task to wait again", || host.work().join("again").exists().then_some(()));
    host.stop();
    host.restart();
    assert!(host.request(id, request.id).is_open());
    host.answer(&request, Answer::Deny { reason: Some("not today".into()) });
    host.wait_for_end(id);
    assert_eq!(read(&host, "code"), "1\n");
    assert!(read(&host, "again").contains("denied: not today"));
}

#[test]
fn a_host_that_dies_before_it_is_time_changes_nothing() {
    let mut host = TestHost::start();
    let id = submit(&host, "--resume-after 400ms");
    let asked = host.wait_for_request(id);
    host.kill();
    host.restart();
    let request = gone_on(&host, id);
    assert_eq!(request.id, asked.id);
    host.answer(&request, Answer::Approve);
    host.kill();
    host.restart();
    go(&host);
    host.wait_for_end(id);
    assert_eq!(read(&host, "code"), "0\n");
}

#[test]
fn it_goes_on_at_a_time_of_day_and_the_questions_own_time_goes_on_too() {
    let host = TestHost::start();
    let at = "--resume-at \"$(date -d '+2 seconds' '+%Y-%m-%d %H:%M:%S')\" --timeout 4s";
    let id = submit(&host, at);
    let request = gone_on(&host, id);
    assert!(request.expires_at.is_some());
    go(&host);
    host.wait_for_end(id);
    assert_eq!(read(&host, "code"), "124\n");
    assert!(!host.request(id, request.id).is_open());
}

#[test]
fn a_question_that_was_let_go_ends_with_its_task() {
    let host = TestHost::start();
    let line = "nod ask 'Deploy?' --resume-after 0s > open; echo $? > resumed; \
                nod ask --request 1 --resume-after 0s >> open; echo $? >> resumed";
    let id = host.submit(line);
    host.wait_for_end(id);
    assert_eq!(read(&host, "resumed"), "75\n75\n");
    let open = "{\"answer\":\"open\",\"request\":1}\n";
    assert_eq!(read(&host, "open"), open.repeat(2));
    let detail = host.detail(id);
    let closure = detail.requests[0].closure.as_ref().unwrap().words();
    assert!(closure.contains("withdrawn"), "{closure}");
}

#[test]
fn nobody_waits_for_the_answer_to_anothers_question() {
    let mut host = TestHost::start();
    let theirs = host.submit("nod ask 'Theirs?'");
    let request = host.wait_for_request(theirs);
    let gated = host.submit_with(&["--ask-first"], &["true", "x"]);
    let gate = host.wait_for_request(gated);
    let id = host.submit(&format!(
        "nod ask --request {} 2> theirs; echo $? >> theirs; \
         nod ask --request {} 2> gate; echo $? >> gate; \
         nod ask --request 999 2> none; echo $? >> none",
        request.id, gate.id
    ));
    host.wait_for_end(id);
    for (file, words, code) in
        [("theirs", "another", "77"), ("gate", "task", "77"), ("none", "no request", "75")]
    {
        let said = read(&host, file);
        assert!(said.ends_with(&format!("{code}\n")), "{file}: {said}");
        assert!(said.contains(words) || said.contains("on itself only"), "{file}: {said}");
    }
    // A program that is no task waits for no task either.
    let ran = host.run(&["ask", "--request", &request.id.to_string()]);
    assert!(ran.code == Some(2) && ran.err.contains("it alone"), "{ran:?}");
    assert!(host.request(theirs, request.id).is_open());
    host.answer(&request, Answer::Approve);
}

#[test]
fn a_program_that_is_no_task_goes_on_as_well() {
    let mut host = TestHost::start();
    let ran = host.run(&["ask", "Publish?", "--resume-after", "0s"]);
    assert_eq!(ran.code, Some(75), "{ran:?}");
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let number = said["request"].to_string();
    host.kill();
    host.restart();
    let reply = host.call(&nod_core::protocol::Call::Snapshot);
    let nod_core::protocol::Reply::Snapshot(snapshot) = reply else { panic!("no snapshot") };
    host.answer(&snapshot.requests[0], Answer::Approve);
    let ran = host.run(&["ask", "--request", &number]);
    assert!(ran.code == Some(0) && ran.out.contains("approved"), "{ran:?}");
}

#[test]
fn what_makes_no_sense_beside_a_request_is_refused() {
    let host = TestHost::start();
    for words in [
        &["ask"][..],
        &["ask", "Deploy?", "--request", "1"],
        &["ask", "--request", "1", "--timeout", "1h"],
        &["ask", "--request", "1", "--text"],
        &["ask", "Deploy?", "--resume-after", "1s", "--resume-at", "18:30"],
    ] {
        assert_eq!(host.run(words).code, Some(2), "{words:?}");
    }
}
