//! When tasks start: groups, priority, dependencies, delays, retries, resources, kinds and caps.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};
use nod_core::request::Answer;
use nod_core::task::{Outcome, QueueReason, StateName, TaskState};
use nod_tests::{Home, TestHost, processes, until};

/// Holds its place until the file is there.
const HOLD: &str = "while [ ! -e go ]; do sleep 0.01; done";

fn with_config(text: &str) -> TestHost {
    TestHost::start_in(Home::new().with_config(text))
}

fn go(host: &TestHost) {
    std::fs::write(host.work().join("go"), "").unwrap();
}

fn reason(host: &TestHost, id: TaskId) -> QueueReason {
    let TaskState::Queued { reason } = host.task(id).state else { panic!("{id} is not queued") };
    reason
}

fn words(host: &TestHost, words: &[&str]) -> String {
    let ran = host.run(words);
    assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
    ran.out
}

fn succeeds(host: &TestHost, id: TaskId) {
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn a_group_has_slots_of_its_own_and_starts_nothing_new_while_it_is_paused() {
    let mut host = TestHost::start();
    words(&host, &["group", "add", "build", "--slots", "1"]);
    let first = host.submit_with(&["--group", "build"], &[HOLD]);
    let second = host.submit_with(&["--group", "build"], &["true", "x"]);
    host.wait_for_state(first, StateName::Running);
    assert_eq!(reason(&host, second), QueueReason::Slot);
    let other = host.submit("true");
    succeeds(&host, other);
    let listed = words(&host, &["list"]);
    assert!(listed.contains("waits for a slot of build"), "{listed}");

    words(&host, &["group", "pause", "build"]);
    assert_eq!(reason(&host, second), QueueReason::Paused);
    go(&host);
    succeeds(&host, first);
    assert_eq!(reason(&host, second), QueueReason::Paused);
    assert!(words(&host, &["show", &second.to_string()]).contains("group build is paused"));
    // Neither the pause nor the slots are lost with the host.
    host.kill();
    host.restart();
    assert_eq!(reason(&host, second), QueueReason::Paused);
    let groups = words(&host, &["group", "list"]);
    assert!(groups.contains("build: 0 of 1 slots taken, 1 queued, paused"), "{groups}");
    words(&host, &["group", "resume", "build"]);
    succeeds(&host, second);
    words(&host, &["group", "remove", "build"]);
    let refused = host.run(&["submit", "--group", "build", "--", "true"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("nod group add build"), "{refused:?}");
}

#[test]
fn more_slots_start_more_at_once() {
    let host = with_config("[groups.default]\nslots = 1\n");
    let ids = [host.submit(HOLD), host.submit(HOLD)];
    host.wait_for_state(ids[0], StateName::Running);
    assert_eq!(reason(&host, ids[1]), QueueReason::Slot);
    words(&host, &["group", "set", "default", "--slots", "2"]);
    host.wait_for_state(ids[1], StateName::Running);
    go(&host);
    ids.iter().for_each(|id| succeeds(&host, *id));
}

#[test]
fn a_higher_priority_starts_first_and_an_edit_can_change_it() {
    let host = with_config("[groups.default]\nslots = 1\n");
    let first = host.submit(HOLD);
    let submit = |name: &str, priority: &str| {
        host.submit_with(&["--priority", priority], &[&format!("echo {name} >> order")])
    };
    let ids = [submit("low", "-1"), submit("usual", "0"), submit("high", "5"), submit("late", "0")];
    words(&host, &["edit", &ids[3].to_string(), "--priority", "9", "--label", "now"]);
    go(&host);
    succeeds(&host, first);
    ids.iter().for_each(|id| succeeds(&host, *id));
    let order = std::fs::read_to_string(host.work().join("order")).unwrap();
    assert_eq!(order, "late\nhigh\nusual\nlow\n");
    assert_eq!(host.task(ids[3]).label.as_deref(), Some("now"));
}

#[test]
fn a_task_comes_after_others_and_is_skipped_where_one_did_not_succeed() {
    let mut host = TestHost::start();
    let good = host.submit(HOLD);
    let bad = host.submit(&format!("{HOLD}; exit 3"));
    let (good_id, bad_id) = (good.to_string(), bad.to_string());
    let after_good = host.submit_with(&["--after", &good_id], &["echo after"]);
    let after_bad = host.submit_with(&["--after", &good_id, &bad_id], &["touch never"]);
    let after_that =
        host.submit_with(&["--after", &after_bad.to_string()], &["touch never either"]);
    let after_any = host.submit_with(&["--after-any", &bad_id], &["true", "x"]);
    let tasks = [good, bad].into();
    assert_eq!(reason(&host, after_bad), QueueReason::Dependency { tasks });
    let listed = words(&host, &["list"]);
    assert!(listed.contains(&format!("waits for task {good}, {bad}")), "{listed}");
    host.kill();
    host.restart();
    go(&host);
    succeeds(&host, after_good);
    succeeds(&host, after_any);
    let skipped = host.wait_for_end(after_bad);
    assert_eq!(skipped.state.outcome(), Some(&Outcome::Skipped { dependency: bad }));
    let skipped = host.wait_for_end(after_that);
    assert_eq!(skipped.state.outcome(), Some(&Outcome::Skipped { dependency: after_bad }));
    assert!(!host.work().join("never").exists());
    let waited = host.run(&["wait", &after_that.to_string()]);
    assert_eq!(waited.code, Some(78));
    assert!(waited.err.contains(&format!("task {after_bad} did not succeed")), "{waited:?}");
    // What has ended already counts at once.
    let late = host.submit_with(&["--after", &bad_id], &["true", "x"]);
    assert_eq!(host.wait_for_end(late).state.name(), StateName::Skipped);
    let unknown = host.run(&["submit", "--after", "9999", "--", "true"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("no task has id 9999"), "{unknown:?}");
}

#[test]
fn a_delay_holds_a_task_back_for_its_time_and_an_edit_takes_it_away() {
    let mut host = TestHost::start();
    let soon = host.submit_with(&["--delay", "1s"], &["true", "x"]);
    let late = host.submit_with(&["--delay", "1h"], &["true", "x"]);
    assert!(matches!(reason(&host, late), QueueReason::Delay { .. }));
    assert!(words(&host, &["list"]).contains("starts in 59m"));
    host.kill();
    host.restart();
    let ended = host.wait_for_end(soon);
    assert!(ended.started_at.unwrap().since(ended.created_at) >= 1_000, "{ended:?}");
    words(&host, &["edit", &late.to_string(), "--delay", "0s"]);
    succeeds(&host, late);
    let at = host.submit_with(&["--at", "2099-01-01 18:30"], &["true", "x"]);
    assert!(matches!(reason(&host, at), QueueReason::Delay { .. }));
    let wrong = host.run(&["submit", "--at", "teatime", "--", "true"]);
    assert!(wrong.code == Some(2) && wrong.err.contains("18:30"), "{wrong:?}");
}

#[test]
fn a_task_that_fails_is_tried_again_and_keeps_the_output_of_each_try() {
    let host = TestHost::start();
    let line = "echo try $NOD_ATTEMPT; [ $NOD_ATTEMPT = 3 ]";
    let id = host.submit_with(&["--retries", "3", "--backoff", "10ms"], &[line]);
    succeeds(&host, id);
    let detail = host.detail(id);
    let outcomes: Vec<_> =
        detail.attempts.iter().map(|a| a.outcome.as_ref().unwrap().words()).collect();
    assert_eq!(outcomes, ["Failed (exit 1)", "Failed (exit 1)", "Succeeded"]);
    for (number, attempt) in (1..).zip(&detail.attempts) {
        let log = std::fs::read_to_string(&attempt.log_path).unwrap();
        assert_eq!(log.trim_end(), format!("try {number}"));
    }
    let ends = detail.events.iter().filter(|event| event.what == "succeeded").count();
    assert_eq!(ends, 1);
    let never = host.submit_with(&["--retries", "1", "--backoff", "0s"], &["exit 7"]);
    assert_eq!(host.wait_for_end(never).state.words(), "Failed (exit 7)");
    assert_eq!(host.detail(never).attempts.len(), 2);
    // Between two tries it can be cancelled, and says what it waits for.
    let waits = host.submit_with(&["--retries", "1", "--backoff", "1h"], &["exit 7"]);
    let between = |state| matches!(state, TaskState::Queued { reason: QueueReason::Delay { .. } });
    until("the second try", || between(host.task(waits).state).then_some(()));
    words(&host, &["cancel", &waits.to_string()]);
    assert_eq!(host.wait_for_end(waits).state.name(), StateName::Cancelled);
}

#[test]
fn a_task_that_has_ended_gets_another_try_under_its_number() {
    let mut host = TestHost::start();
    let id = host.submit("echo try $NOD_ATTEMPT; [ -e go ]");
    assert_eq!(host.wait_for_end(id).state.words(), "Failed (exit 1)");
    go(&host);
    words(&host, &["retry", &id.to_string()]);
    succeeds(&host, id);
    let detail = host.detail(id);
    let logs: Vec<_> =
        detail.attempts.iter().map(|a| std::fs::read_to_string(&a.log_path).unwrap()).collect();
    assert_eq!(logs, ["try 1\r\n", "try 2\r\n"]);
    assert_eq!(detail.attempts[0].outcome.as_ref().unwrap().words(), "Failed (exit 1)");
    let found = words(&host, &["list", "--search", "try 2", "--json"]);
    assert_eq!(found.matches("\"id\":").count(), 1, "{found}");

    // One that was approved before is asked about again.
    let gated = host.submit_with(&["--ask-first"], &["exit 4"]);
    let first = host.wait_for_request(gated);
    host.answer(&first, Answer::Approve);
    assert_eq!(host.wait_for_end(gated).state.words(), "Failed (exit 4)");
    words(&host, &["retry", &gated.to_string()]);
    let second = host.wait_for_request(gated);
    assert!(second.id > first.id && second.attempt.0 == 2, "{second:?}");
    assert!(host.request(gated, first.id).closure.is_some(), "the earlier answer is kept");
    host.answer(&second, Answer::Deny { reason: None });
    assert_eq!(host.wait_for_end(gated).state.name(), StateName::Denied);
}

#[test]
fn an_edit_of_a_gated_task_asks_again_about_what_it_is_now() {
    let mut host = TestHost::start();
    let id = host.submit_with(&["--ask-first"], &["touch", "old"]);
    let old = host.wait_for_request(id);
    words(&host, &["edit", &id.to_string(), "--", "touch", "new"]);
    let new = host.wait_for_request(id);
    assert_eq!(new.shown.argv, ["touch", "new"]);
    assert!(new.id > old.id && new.hash != old.hash);
    let closed = host.request(id, old.id).closure.unwrap();
    assert!(closed.words().starts_with("withdrawn"), "{closed:?}");
    let late = host.try_answer(&old, Answer::Approve).unwrap_err();
    assert!(late.message.contains("closed"), "{late}");
    host.answer(&new, Answer::Approve);
    succeeds(&host, id);
    assert!(host.work().join("new").exists() && !host.work().join("old").exists());
}

#[test]
fn a_deadline_can_be_set_moved_and_taken_away_while_a_task_runs() {
    let mut host = TestHost::start();
    let endless = host.submit("sleep 600");
    let spared = host.submit_with(&["--timeout", "4s"], &["sleep 5"]);
    let queued = host.submit_with(&["--delay", "1h"], &["sleep 600"]);
    host.wait_for_state(endless, StateName::Running);
    host.wait_for_state(spared, StateName::Running);
    words(&host, &["deadline", &spared.to_string(), "none"]);
    words(&host, &["deadline", &queued.to_string(), "50ms"]);
    words(&host, &["deadline", &endless.to_string(), "20m"]);
    // The shim keeps the deadline, and another host can move it on.
    host.kill();
    host.restart();
    until("the adopted task", || {
        let moved = host.run(&["deadline", &endless.to_string(), "50ms"]);
        (moved.code == Some(0)).then_some(())
    });
    assert_eq!(host.wait_for_end(endless).state.name(), StateName::TimedOut);
    words(&host, &["edit", &queued.to_string(), "--delay", "0s"]);
    assert_eq!(host.wait_for_end(queued).state.name(), StateName::TimedOut);
    succeeds(&host, spared);
    let late = host.run(&["deadline", &endless.to_string(), "1h"]);
    assert!(late.code == Some(1) && late.err.contains("is Timed out"), "{late:?}");
}

#[test]
fn resources_and_caps_queue_and_never_refuse() {
    let host = with_config(
        "[resources]\ngpu = 2\n[sessions]\ncap = 1\n\
         [kinds.deploy]\nargv = [\"sh\", \"-c\", \"while [ ! -e go ]; do sleep 0.01; done\"]\ncap = 1\n",
    );
    let gpu = |weight: &str| host.submit_with(&["--uses", weight], &[HOLD]);
    let (one, two) = (gpu("gpu:1"), gpu("gpu:2"));
    let said = ["submit", "--session", "s", "--", HOLD];
    let in_session = [words(&host, &said), words(&host, &said)];
    let deploys = [0, 1].map(|_| words(&host, &["submit", "--kind", "deploy"]));
    let id = |json: &String| {
        let said: serde_json::Value = serde_json::from_str(json).unwrap();
        TaskId(said["task_id"].as_i64().unwrap())
    };
    let (second_of_session, second_deploy) = (id(&in_session[1]), id(&deploys[1]));
    for running in [one, id(&in_session[0]), id(&deploys[0])] {
        host.wait_for_state(running, StateName::Running);
    }
    assert_eq!(reason(&host, two), QueueReason::Resource { name: "gpu".into() });
    for (task, text) in [
        (two, "waits for gpu"),
        (second_of_session, "as many tasks of session s"),
        (second_deploy, "as many tasks of kind deploy"),
    ] {
        let shown = words(&host, &["show", &task.to_string()]);
        assert!(shown.contains(text), "{shown}");
    }
    go(&host);
    for task in [one, two, second_of_session, second_deploy] {
        succeeds(&host, task);
    }
    for (uses, text) in [("tpu", "no resource is named `tpu`"), ("gpu:3", "only 2 of gpu")] {
        let refused = host.run(&["submit", "--uses", uses, "--", "true"]);
        assert!(refused.code == Some(2) || refused.code == Some(1), "{refused:?}");
        assert!(refused.err.contains(text), "{refused:?}");
    }
}

#[test]
fn a_kind_fills_in_words_that_no_shell_reads_and_its_gate_holds() {
    let mut host = with_config(
        "[kinds.print]\nargv = [\"printf\", \"%s|\", \"{what}\", \"{*}\"]\nlabel = \"Print\"\n\
         [kinds.deploy]\nargv = [\"true\"]\ngate = true\n",
    );
    let what = "what=$(touch pwned); a b";
    let printed = ["submit", "--kind", "print", "--set", what, "--", "x y", "{what}"];
    let said: serde_json::Value = serde_json::from_str(&words(&host, &printed)).unwrap();
    let id = TaskId(said["task_id"].as_i64().unwrap());
    succeeds(&host, id);
    assert_eq!(host.plain_log(id), "$(touch pwned); a b|x y|{what}|");
    assert!(!host.work().join("pwned").exists());
    let task = host.task(id);
    assert_eq!((task.kind.as_str(), task.label.as_deref()), ("print", Some("Print")));

    let said: serde_json::Value =
        serde_json::from_str(&words(&host, &["submit", "--kind", "deploy"])).unwrap();
    let gated = TaskId(said["task_id"].as_i64().unwrap());
    let request = host.wait_for_request(gated);
    host.answer(&request, Answer::Approve);
    succeeds(&host, gated);
    let cases: [(&[&str], &str); 3] = [
        (&["submit", "--kind", "print"], "--set what=…"),
        (&["submit", "--kind", "nope"], "in the config file; there are: deploy, print"),
        (&["submit", "--kind", "deploy", "--", "more"], "takes no words"),
    ];
    for (line, text) in cases {
        let refused = host.run(line);
        assert!(refused.code == Some(2) && refused.err.contains(text), "{refused:?}");
    }
}

#[test]
fn the_config_file_names_the_group_of_a_task_that_names_none() {
    let host = with_config("default_group = \"slow\"\n[groups.slow]\nslots = 1\n");
    let first = host.submit(HOLD);
    host.wait_for_state(first, StateName::Running);
    let second = host.submit("true");
    let elsewhere = host.submit_with(&["--group", "default"], &["true"]);
    succeeds(&host, elsewhere);
    assert_eq!(host.task(second).schedule.group, "slow");
    assert_eq!(host.state(second), StateName::Queued);
    go(&host);
    succeeds(&host, second);
}

#[test]
fn what_a_task_leaves_goes_on_where_its_kind_says_so() {
    let host = with_config(
        "[kinds.daemon]\nargv = [\"sh\", \"-c\", \"sleep 6144 & echo $! > left\"]\n\
         keep_children = true\n",
    );
    let said = words(&host, &["submit", "--kind", "daemon"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    succeeds(&host, TaskId(said["task_id"].as_i64().unwrap()));
    let left = std::fs::read_to_string(host.work().join("left")).unwrap();
    let left = left.trim().parse().unwrap();
    assert!(processes::is_alive(left));
    processes::kill_9(left);
}

#[test]
fn a_key_returns_the_task_that_is_there_until_it_has_ended() {
    let mut host = TestHost::start();
    let submit = |host: &TestHost| -> (i64, String) {
        let said = words(host, &["submit", "--key", "nightly", "--", HOLD]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        (said["task_id"].as_i64().unwrap(), said["status"].as_str().unwrap().to_owned())
    };
    let (first, status) = submit(&host);
    assert_eq!(status, "submitted");
    assert_eq!(submit(&host), (first, "exists".to_owned()));
    host.kill();
    host.restart();
    assert_eq!(submit(&host), (first, "exists".to_owned()));
    go(&host);
    succeeds(&host, TaskId(first));
    let (second, status) = submit(&host);
    assert!(second > first && status == "submitted");
    succeeds(&host, TaskId(second));
}

#[test]
fn a_config_file_with_an_error_is_named_and_the_last_good_one_stays_in_force() {
    let host = with_config("[groups.small]\nslots = 1\n");
    let config = host.data().join("config.toml");
    let write = |text: &str| {
        let fresh = host.data().join("fresh.toml");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, &config).unwrap();
    };
    write("[groups.small]\nslots = 2\n");
    until("the change", || {
        words(&host, &["group", "list"]).contains("small: 0 of 2").then_some(())
    });
    write("[groups.small]\nslots = many\n");
    let listed = host.run(&["group", "list"]);
    assert!(listed.out.contains("small: 0 of 2"), "{listed:?}");
    assert!(listed.err.contains("config.toml") && listed.err.contains("line 2"), "{listed:?}");
    assert!(listed.err.contains("the last good configuration stays in force"), "{listed:?}");
    let submitted = host.run(&["submit", "--group", "small", "--", "true", "x"]);
    assert_eq!(submitted.code, Some(0));
    assert!(submitted.err.contains("line 2"), "{submitted:?}");
    succeeds(&host, TaskId(1));
    write("[groups.small]\nslots = 3\n");
    let listed = host.run(&["group", "list"]);
    assert!(listed.out.contains("small: 0 of 3") && listed.err.is_empty(), "{listed:?}");
}

#[test]
fn a_lost_task_of_a_kind_that_may_run_again_does() {
    let host = with_config(
        "[kinds.safe]\nargv = [\"sh\", \"-c\", \"[ -e go ] || sleep 6203\"]\non_lost = \"requeue\"\n",
    );
    let said: serde_json::Value =
        serde_json::from_str(&words(&host, &["submit", "--kind", "safe"])).unwrap();
    let id = TaskId(said["task_id"].as_i64().unwrap());
    let process = until("the process", || host.detail(id).attempts.first()?.process);
    go(&host);
    processes::kill_9(processes::parent(process));
    succeeds(&host, id);
    let outcomes: Vec<_> =
        host.detail(id).attempts.iter().map(|a| a.outcome.as_ref().unwrap().words()).collect();
    assert_eq!(outcomes, ["Lost", "Succeeded"]);
}

#[test]
fn a_gate_that_the_config_file_drops_holds_until_the_person_confirms_it() {
    let gated = "[kinds.deploy]\nargv = [\"true\"]\ngate = true\n";
    let mut host = with_config(gated);
    let submit = |host: &TestHost| {
        let said: serde_json::Value =
            serde_json::from_str(&words(host, &["submit", "--kind", "deploy"])).unwrap();
        TaskId(said["task_id"].as_i64().unwrap())
    };
    assert!(matches!(reason(&host, submit(&host)), QueueReason::Gate { .. }));
    let fresh = host.data().join("fresh.toml");
    std::fs::write(&fresh, gated.replace("gate = true", "cap = 5")).unwrap();
    std::fs::rename(fresh, host.data().join("config.toml")).unwrap();
    assert!(matches!(reason(&host, submit(&host)), QueueReason::Gate { .. }));
    let Ok(Reply::Rules(rules)) = host.person(&Call::Rules) else { panic!("no rules") };
    let loosening = rules.loosening.unwrap();
    assert_eq!(loosening.changes, ["no longer asked first: tasks of kind deploy"]);
    let operation = nod_client::new_operation().unwrap();
    host.person(&Call::ConfirmLoosening { operation, shown: loosening.hash }).unwrap();
    succeeds(&host, submit(&host));
}

#[test]
fn an_edit_does_not_get_around_a_rule() {
    let rule = "[[rules]]\nmatch = [\"touch\", \"ran\"]\nthen = \"ask_first\"\n";
    let host = with_config(rule);
    let id = host.submit_with(&["--delay", "1h"], &["true", "x"]);
    words(&host, &["edit", &id.to_string(), "--delay", "0s", "--", "touch", "ran"]);
    assert!(matches!(reason(&host, id), QueueReason::Gate { .. }));
    assert_eq!(host.wait_for_request(id).shown.argv, ["touch", "ran"]);
    assert!(!host.work().join("ran").exists());
}

#[test]
fn a_message_that_is_no_call_or_too_long_is_refused_and_harms_nobody() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let host = TestHost::start();
    let said = |bytes: &[u8]| {
        let mut socket = std::os::unix::net::UnixStream::connect(host.socket()).unwrap();
        // A host that refuses in the middle closes its end.
        drop(socket.write_all(bytes));
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).unwrap();
        line
    };
    assert!(said(b"{not json\n").contains("this is no call that Nod knows"));
    assert!(
        said(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"groups\"}\n").contains("say hello first")
    );
    let mut long = vec![b' '; 1 << 20];
    long.push(b'\n');
    assert!(said(&long).contains("a message holds 1048576 bytes at most"));
    let line = "x".repeat(2 << 20);
    let file = host.work().join("long.jsonl");
    std::fs::write(&file, serde_json::json!({"command": line}).to_string()).unwrap();
    let refused = host.run(&["submit", "--from", file.to_str().unwrap()]);
    assert!(refused.code != Some(0) && refused.err.contains("bytes"), "{refused:?}");
    let after = host.submit("true");
    succeeds(&host, after);
}
