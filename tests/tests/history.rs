//! What is remembered.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use nod_core::request::Answer;
use nod_core::task::{StateName, Task};
use nod_tests::TestHost;

fn listed(host: &TestHost, words: &[&str]) -> Vec<i64> {
    let all: Vec<&str> = [&["list", "--json"], words].concat();
    let ran = host.run(&all);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let tasks: Vec<Task> = serde_json::from_str(&ran.out).unwrap();
    tasks.iter().map(|task| task.id.0).collect()
}

#[test]
fn every_task_attempt_event_request_and_answer_is_in_the_history() {
    let mut host = TestHost::start();
    let line = "while [ ! -e go ]; do sleep 0.02; done; nod ask 'Deploy?' && exit 4";
    let id = host.submit_with(&["--label", "deploy"], &[line]);
    host.wait_for_state(id, StateName::Running);
    std::fs::write(host.work().join("go"), "").unwrap();
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Approve);
    host.wait_for_end(id);
    host.stop();
    host.restart();
    let detail = host.detail(id);
    assert_eq!(detail.task.state.words(), "Failed (exit 4)");
    assert_eq!(detail.attempts.len(), 1);
    assert_eq!(detail.requests.len(), 1);
    assert!(detail.requests[0].closure.is_some());
    let what: Vec<_> = detail.events.iter().map(|event| event.what.as_str()).collect();
    let expected = [
        "submitted",
        "starting",
        "running",
        "waiting",
        "request_opened",
        "request_closed",
        "running",
        "failed",
    ];
    assert_eq!(what, expected);
    let numbers: Vec<_> = detail.events.iter().map(|event| event.seq.0).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn search_finds_labels_commands_and_output() {
    let host = TestHost::start();
    let build = host.submit_with(&["--label", "夜間ビルド"], &["echo compiled 完了"]);
    let lint = host.submit("echo clean; exit 1");
    host.wait_for_end(build);
    host.wait_for_end(lint);
    let cases = [("夜間", build), ("完了", build), ("compiled", build), ("clean", lint)];
    for (text, id) in cases {
        assert_eq!(listed(&host, &["--search", text]), [id.0], "{text}");
    }
    assert_eq!(listed(&host, &["--state", "failed"]), [lint.0]);
    assert_eq!(listed(&host, &["--search", "echo", "--limit", "1"]), [lint.0]);
}

#[test]
fn running_again_repeats_the_task_with_its_environment() {
    let host = TestHost::start();
    let options = ["--env", "COLOUR=blue", "--label", "paint", "--no-tty"];
    let first = host.submit_with(&options, &["echo $COLOUR"]);
    host.wait_for_end(first);
    let ran = host.run(&["run-again", &first.to_string()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let second = nod_core::ids::TaskId(said["task_id"].as_i64().unwrap());
    assert_ne!(first, second);
    let ended = host.wait_for_end(second);
    assert_eq!(ended.state.name(), StateName::Succeeded);
    assert_eq!(ended.label.as_deref(), Some("paint"));
    assert_eq!(host.plain_log(second), "blue\n");
    assert_eq!(host.plain_log(first), "blue\n");
}

#[test]
fn running_a_gated_task_again_asks_again() {
    let mut host = TestHost::start();
    let first = host.submit_with(&["--ask-first"], &["true"]);
    let request = host.wait_for_request(first);
    host.answer(&request, Answer::Approve);
    host.wait_for_end(first);
    let ran = host.run(&["run-again", &first.to_string()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let second = host.tasks()[0].id;
    assert_eq!(host.state(second), StateName::Queued);
    assert_eq!(host.wait_for_request(second).task, Some(second));
}

#[test]
fn search_finds_tasks_that_never_ran_too() {
    let mut host = TestHost::start();
    let denied = host.submit_with(&["--ask-first", "--label", "forbidden fruit"], &["true"]);
    let request = host.wait_for_request(denied);
    assert_eq!(listed(&host, &["--search", "fruit"]), [denied.0], "while it waits");
    host.answer(&request, Answer::Deny { reason: None });
    host.wait_for_end(denied);
    let unknown = host.submit_with(&[], &["no-such-program-at-all", "x"]);
    host.wait_for_end(unknown);
    assert_eq!(listed(&host, &["--search", "fruit"]), [denied.0]);
    assert_eq!(listed(&host, &["--search", "no-such-program"]), [unknown.0]);
}

#[test]
fn tasks_with_long_commands_are_listed_in_pages_that_fit() {
    let host = TestHost::start();
    let long = "x".repeat(100_000);
    let ids: Vec<_> = (0..12).map(|_| host.submit_with(&[], &["true", &long]).0).collect();
    let newest_first: Vec<_> = ids.into_iter().rev().collect();
    assert_eq!(listed(&host, &[]), newest_first);
    let too_long = "x".repeat(129 * 1024);
    let mut submit = host.shell_submit(&too_long);
    submit.environment = Some(Default::default());
    let refused = host.connect().call(&nod_core::protocol::Call::Submit(Box::new(submit)));
    assert!(refused.unwrap_err().to_string().contains("too long"));
}
