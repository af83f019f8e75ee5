//! Submitting, and what is said to bad input.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use nod_client::Connection;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};
use nod_core::request::Answer;
use nod_core::task::{Failure, Outcome, StateName};
use nod_tests::{Home, TestHost};

#[test]
fn a_submitted_task_is_on_the_disk_before_its_id_is_said() {
    let mut host = TestHost::start();
    let id = host.submit("true");
    // Killed at once: nothing of the host's memory can help.
    host.kill();
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let found: i64 = database.query_row("SELECT id FROM tasks", [], |row| row.get(0)).unwrap();
    assert_eq!(TaskId(found), id);
}

#[test]
fn submit_says_one_line_of_json_and_all_options_arrive() {
    let host = TestHost::start();
    let work = host.work().join("sub folder");
    std::fs::create_dir(&work).unwrap();
    let cwd = work.to_str().unwrap();
    let options = [
        "--label",
        "ビルド 🎛️",
        "--cwd",
        cwd,
        "--env",
        "COLOUR=blue",
        "--timeout",
        "10m",
        "--session",
        "s1",
        "--no-tty",
    ];
    let id = host.submit_with(&options, &["sh", "-c", "pwd; echo $COLOUR"]);
    let task = host.wait_for_end(id);
    assert_eq!(task.label.as_deref(), Some("ビルド 🎛️"));
    assert_eq!(task.timeout_ms, Some(600_000));
    assert_eq!(task.session.map(|session| session.0).as_deref(), Some("s1"));
    assert_eq!(host.plain_log(id), format!("{cwd}\nblue\n"));
}

#[test]
fn words_are_handed_over_as_they_are_and_one_word_is_a_shell_string() {
    let host = TestHost::start();
    let argv = host.submit_with(&[], &["printf", "%s|", "a b", "$HOME", "'"]);
    let shell = host.submit("printf '%s|' a b");
    assert_eq!(host.wait_for_end(argv).state.name(), StateName::Succeeded);
    assert_eq!(host.wait_for_end(shell).state.name(), StateName::Succeeded);
    assert_eq!(host.plain_log(argv), "a b|$HOME|'|");
    assert_eq!(host.plain_log(shell), "a|b|");
}

#[test]
fn the_same_operation_sent_twice_makes_one_task() {
    let host = TestHost::start();
    let mut submit = host.shell_submit("true");
    submit.environment = Some(Default::default());
    let call = Call::Submit(Box::new(submit));
    assert_eq!(host.call(&call), host.call(&call));
    assert_eq!(host.tasks().len(), 1);
}

#[test]
fn the_same_operation_makes_one_task_across_a_restart_too() {
    let mut host = TestHost::start();
    let mut submit = host.shell_submit("true");
    submit.environment = Some(Default::default());
    let call = Call::Submit(Box::new(submit));
    let first = host.call(&call);
    host.kill();
    host.restart();
    assert_eq!(host.call(&call), first);
    assert_eq!(host.tasks().len(), 1);
}

#[test]
fn an_unknown_program_fails_with_its_name_and_the_folder() {
    let host = TestHost::start();
    let id = host.submit_with(&[], &["no-such-program", "x"]);
    let task = host.wait_for_end(id);
    let Some(Outcome::Failed { failure: Failure::Spawn { error } }) = task.state.outcome() else {
        panic!("{:?}", task.state)
    };
    assert!(error.not_found);
    assert_eq!(error.program, "no-such-program");
    let waited = host.run(&["wait", &id.to_string()]);
    assert_eq!(waited.code, Some(127));
    let shown = host.run(&["show", &id.to_string()]);
    assert!(shown.out.contains("no-such-program"), "{shown:?}");
}

#[test]
fn bad_input_is_refused_with_what_to_do_and_leaves_nothing() {
    let host = TestHost::start();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["submit", "--cwd", "/no/such/folder", "--", "true"], 2, "/no/such/folder"),
        (&["submit", "--timeout", "soon", "--", "true"], 2, "soon"),
        (&["submit", "--env", "NOVALUE", "--", "true"], 2, "NOVALUE"),
        (&["submit"], 2, "submit"),
        (&["show", "99"], 1, "no task has id 99"),
        (&["logs", "99"], 1, "no task has id 99"),
        (&["wait", "99"], 1, "no task has id 99"),
        (&["cancel", "99"], 1, "no task has id 99"),
        (&["run-again", "99"], 1, "no task has id 99"),
    ];
    for (words, code, text) in cases {
        let ran = host.run(words);
        assert_eq!(ran.code, Some(code), "{words:?}: {ran:?}");
        assert!(ran.err.contains(text), "{words:?}: {ran:?}");
    }
    assert_eq!(host.tasks().len(), 0);
}

#[test]
fn a_secret_of_the_environment_reaches_the_task_and_not_the_database() {
    let host = TestHost::start();
    let options = ["--env", "API_TOKEN=hunter2-secret", "--ask-first"];
    let gated = host.submit_with(&options, &["true"]);
    let id = host.submit_with(&options[..2], &["printf %s $API_TOKEN > seen"]);
    host.wait_for_end(id);
    assert_eq!(std::fs::read_to_string(host.work().join("seen")).unwrap(), "hunter2-secret");
    assert!(!format!("{:?}", host.wait_for_request(gated)).contains("hunter2-secret"));
    let holding: Vec<_> = files_below(&host.data())
        .into_iter()
        .filter(|path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            bytes.windows(14).any(|part| part == b"hunter2-secret")
        })
        .collect();
    assert!(holding.is_empty(), "{holding:?}");
    let changes = host.detail(id).environment;
    let token = changes.iter().find(|change| change.name == "API_TOKEN").unwrap();
    assert!(token.masked && token.value.is_none());
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| match entry.file_type().unwrap() {
            kind if kind.is_dir() => files_below(&entry.path()),
            kind if kind.is_file() => vec![entry.path()],
            _ => vec![],
        })
        .collect()
}

#[test]
fn a_task_does_not_speak_for_the_one_that_submitted_it() {
    let host = TestHost::start();
    let id = host.submit_with(
        &["--session", "s1"],
        &["nod submit --session another -- 'echo child $NOD_TASK_ID; nod progress 10' > child.json"],
    );
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let said = std::fs::read_to_string(host.work().join("child.json")).unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let child = TaskId(said["task_id"].as_i64().unwrap());
    let ended = host.wait_for_end(child);
    assert_eq!(ended.parent, Some(id));
    assert_eq!(ended.session.map(|session| session.0).as_deref(), Some("s1"));
    assert_eq!(host.plain_log(child), format!("child {child}\n"));
}

#[test]
fn the_socket_has_no_way_to_answer() {
    let mut host = TestHost::start();
    let id = host.submit_with(&["--ask-first"], &["true"]);
    let request = host.wait_for_request(id);
    let answer = serde_json::json!({
        "operation": "x", "request": request.id, "answer": {"type": "approve"},
        "shown": request.hash,
    });
    let call: Call =
        serde_json::from_value(serde_json::json!({"method": "answer", "params": answer})).unwrap();
    let refused = Connection::open(&host.socket(), None).unwrap().call(&call).unwrap_err();
    assert!(refused.to_string().contains("only a person"), "{refused}");
    assert_eq!(host.state(id), StateName::Queued);
    let Reply::Closed { .. } = host.try_answer(&request, Answer::Approve).unwrap() else {
        panic!("the person was refused")
    };
}

#[test]
fn tasks_beyond_the_slots_wait_and_then_run_in_order() {
    let home = Home::new().with_config("[groups.default]\nslots = 1\n");
    let host = TestHost::start_in(home);
    let ids: Vec<_> = (0..4).map(|n| host.submit(&format!("echo {n} >> order"))).collect();
    for id in &ids {
        assert_eq!(host.wait_for_end(*id).state.name(), StateName::Succeeded);
    }
    let order = std::fs::read_to_string(host.work().join("order")).unwrap();
    assert_eq!(order, "0\n1\n2\n3\n");
}
