//! What is remembered.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use nod_core::command::CommandLine;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply, TaskDetail};
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
fn search_finds_what_is_in_the_last_4_kib_of_the_output_and_nothing_before() {
    let host = TestHost::start();
    // Put together by the shell, so that neither word is in the command.
    let line = "printf '%s-word\\n%05000d\\n%s-word\\n%03500d\\n' early 0 within 0";
    let id = host.submit(line);
    host.wait_for_end(id);
    let log = host.plain_log(id);
    assert!(log.contains("early-word") && log.contains("within-word"), "{log}");
    assert_eq!(listed(&host, &["--search", "within-word"]), [id.0]);
    assert_eq!(listed(&host, &["--search", "early-word"]), [] as [i64; 0]);
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

/// Returns what `nod show` prints, as text and as JSON.
fn shown(host: &TestHost, id: TaskId) -> (String, TaskDetail) {
    let id = id.to_string();
    let (text, json) = (host.run(&["show", &id]), host.run(&["show", &id, "--json"]));
    assert!(text.code == Some(0) && json.code == Some(0), "{text:?} {json:?}");
    (text.out, serde_json::from_str(&json.out).unwrap())
}

#[test]
fn a_task_of_many_tries_is_shown_with_the_newest_whole_and_the_others_counted() {
    const TRIES: i64 = 5_000;
    let host = TestHost::start();
    let id = host.submit("echo first; exit 1");
    host.wait_for_end(id);
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    // As many tries with as much at the end of their output as each may have.
    let tries = "INSERT INTO attempts (task_id, number, folder, token_hash, boot_id, started_at,
            exited_at, ended_at, exit, left_processes, size, outcome, tail)
        WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
        SELECT task_id, i, 'none/' || i, token_hash, boot_id, started_at, exited_at, ended_at, exit,
            left_processes, size, outcome, replace(hex(zeroblob(2048)), '0', 'x')
        FROM attempts, n WHERE task_id = ?1 AND number = 1";
    let events = "INSERT INTO events (seq, at, task_id, what, detail)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
        SELECT 1000 + i, 0, ?1, 'starting', 'try ' || i FROM n";
    for (last, earlier) in [(400, false), (TRIES, true)] {
        history.execute("DELETE FROM attempts WHERE task_id = ?1 AND number > 1", [id.0]).unwrap();
        history.execute(tries, [id.0, last]).unwrap();
        history.execute("UPDATE tasks SET attempt = ?2 WHERE id = ?1", [id.0, last]).unwrap();
        history.execute("DELETE FROM events WHERE seq > 1000", []).unwrap();
        history.execute(events, [id.0, last]).unwrap();
        let (text, detail) = shown(&host, id);
        let numbers: Vec<_> = detail.attempts.iter().map(|it| i64::from(it.number.0)).collect();
        let first = last + 1 - i64::try_from(numbers.len()).unwrap();
        assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
        let newest = detail.attempts.last().unwrap();
        assert_eq!(newest.tail.as_ref().map(String::len), Some(4_096));
        let cut = detail.attempts.iter().filter(|it| it.tail.is_none()).count();
        assert!(cut > 0, "all of it has room");
        assert_eq!(detail.left_out.tails as usize, cut);
        assert_eq!(i64::from(detail.left_out.attempts), first - 1);
        assert_eq!(detail.left_out.attempts > 0, earlier);
        let words = format!("{} earlier attempts are not shown", first - 1);
        assert_eq!(text.contains(&words), earlier, "{words}");
        assert_eq!(detail.events.last().unwrap().detail, Some(format!("try {last}")));
        let words = format!("{} earlier events are not shown", detail.left_out.events);
        assert_eq!(text.contains(&words), detail.left_out.events > 0, "{words}");
    }
}

#[test]
fn a_task_with_a_large_environment_and_a_long_word_is_shown_with_every_name() {
    let mut host = TestHost::start();
    let word = "w".repeat(112_000);
    let mut submit = host.shell_submit("");
    submit.command = CommandLine::Argv { argv: vec!["true".into(), word.clone()] };
    submit.ask_first = true;
    let large = (0..83).map(|n| (format!("LARGE_{n:02}"), "é".repeat(5_000)));
    submit.environment = Some(large.collect());
    let Reply::Submitted { id, .. } = host.call(&Call::Submit(Box::new(submit))) else {
        panic!("it is taken in")
    };
    let check = |host: &TestHost| {
        let (text, detail) = shown(host, id);
        assert_eq!(detail.argv, ["true", &word]);
        let names = detail.environment.iter().filter(|it| it.name.starts_with("LARGE_")).count();
        assert_eq!((names, detail.left_out.variables), (83, 0));
        let said = detail.environment.iter().find(|it| it.name == "LARGE_07").unwrap();
        assert!(said.value.as_ref().unwrap().ends_with("… (10000 bytes)"), "{said:?}");
        assert!(text.contains("LARGE_82=é"), "{}", text.len());
        (text, detail)
    };
    // The question shows all of it: it alone has no room beside the rest.
    let (text, detail) = check(&host);
    assert_eq!((detail.requests.len(), detail.left_out.requests), (0, 1));
    assert!(text.contains("1 earlier question is not shown"));
    // Whoever begins with what there is gets all of it, in a message of its own.
    let asked = host.connect().snapshot().unwrap().requests;
    let shown: Vec<_> = asked.iter().map(|it| it.shown.environment.len()).collect();
    assert!(shown.len() == 1 && shown[0] >= 83, "{shown:?}");
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    host.stop();
    host.restart();
    check(&host);
}
