//! What the config file no longer says, while tasks run and wait by what it said before.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;

use nod_core::ids::TaskId;
use nod_core::task::{Outcome, QueueReason, StateName, TaskState};
use nod_tests::{Home, TestHost, until};

/// Holds its place until the file is there.
const HOLD: &str = "while [ ! -e go ]; do sleep 0.01; done";

fn with_config(text: &str) -> TestHost {
    TestHost::start_in(Home::new().with_config(text))
}

/// Writes another config file, and waits until the groups are listed as they are then.
fn change(host: &TestHost, text: &str, listed: &str) {
    let file = host.data().join("config.toml");
    let fresh = file.with_extension("fresh");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, file).unwrap();
    until(listed, || groups(host).contains(listed).then_some(()));
}

fn groups(host: &TestHost) -> String {
    let ran = host.run(&["group", "list"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out
}

fn reason(host: &TestHost, id: TaskId) -> QueueReason {
    let TaskState::Queued { reason } = host.task(id).state else { panic!("{id} is not queued") };
    reason
}

fn succeeds(host: &TestHost, id: TaskId) {
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}

fn submitted(host: &TestHost, words: &[&str]) -> TaskId {
    let ran = host.run(words);
    let said: serde_json::Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    TaskId(said["task_id"].as_i64().unwrap())
}

fn go(host: &TestHost) {
    fs::write(host.work().join("go"), "").unwrap();
}

#[test]
fn a_paused_group_that_is_taken_out_of_the_file_still_starts_nothing_until_it_is_resumed() {
    let mut host = with_config("[groups.build]\nslots = 2\n");
    assert_eq!(host.run(&["group", "pause", "build"]).code, Some(0));
    let ids = [0, 1].map(|_| host.submit_with(&["--group", "build"], &[HOLD]));
    change(&host, "[groups.other]\n", "other: ");
    for _ in 0..2 {
        assert!(groups(&host).contains("build: 0 of 1 slots taken, 2 queued, paused"));
        assert!(ids.iter().all(|id| reason(&host, *id) == QueueReason::Paused));
        host.kill();
        host.restart();
    }
    // Others do not wait for it, and nobody gets into it any more.
    succeeds(&host, host.submit("true"));
    let refused = host.run(&["submit", "--group", "build", "--", "true"]);
    assert!(refused.code == Some(1) && refused.err.contains("nod group add build"), "{refused:?}");
    assert_eq!(host.run(&["group", "resume", "build"]).code, Some(0));
    // Its last tasks start one by one.
    host.wait_for_state(ids[0], StateName::Running);
    assert_eq!(reason(&host, ids[1]), QueueReason::Slot);
    assert!(groups(&host).contains("build: 1 of 1 slots taken, 1 queued\n"), "{}", groups(&host));
    go(&host);
    ids.iter().for_each(|id| succeeds(&host, *id));
    assert!(!groups(&host).contains("build"), "{}", groups(&host));
}

#[test]
fn fewer_slots_than_tasks_that_run_end_none_and_start_none() {
    let host = with_config("[groups.build]\nslots = 3\n");
    let line = |n: usize| format!("while [ ! -e go{n} ]; do sleep 0.01; done");
    let ids = [0, 1, 2, 3].map(|n| host.submit_with(&["--group", "build"], &[&line(n)]));
    ids[..3].iter().for_each(|id| host.wait_for_state(*id, StateName::Running));
    change(&host, "[groups.build]\nslots = 1\n", "build: 3 of 1 slots taken, 1 queued");
    for (n, id) in ids[..2].iter().enumerate() {
        fs::write(host.work().join(format!("go{n}")), "").unwrap();
        succeeds(&host, *id);
        assert_eq!(reason(&host, ids[3]), QueueReason::Slot);
    }
    assert_eq!(host.state(ids[2]), StateName::Running);
    fs::write(host.work().join("go2"), "").unwrap();
    succeeds(&host, ids[2]);
    host.wait_for_state(ids[3], StateName::Running);
    fs::write(host.work().join("go3"), "").unwrap();
    succeeds(&host, ids[3]);
}

#[test]
fn resources_and_kinds_that_are_taken_out_of_the_file_hold_nothing_back_and_lose_nothing() {
    let before = format!(
        "[resources]\ngpu = 1\n[kinds.deploy]\nargv = [\"sh\", \"-c\", \"{HOLD}\"]\ncap = 1\n\
         retries = 1\nbackoff = \"10ms\"\n"
    );
    let mut host = with_config(&before);
    let gpu = [0, 1].map(|_| host.submit_with(&["--uses", "gpu"], &[HOLD]));
    let deploys = [0, 1].map(|_| submitted(&host, &["submit", "--kind", "deploy"]));
    host.wait_for_state(gpu[0], StateName::Running);
    host.wait_for_state(deploys[0], StateName::Running);
    assert_eq!(reason(&host, gpu[1]), QueueReason::Resource { name: "gpu".into() });
    assert!(matches!(reason(&host, deploys[1]), QueueReason::Cap { .. }));
    change(&host, "[groups.other]\n", "other: ");
    host.wait_for_state(gpu[1], StateName::Running);
    host.wait_for_state(deploys[1], StateName::Running);
    let refused = host.run(&["submit", "--kind", "deploy"]);
    assert!(refused.code == Some(2) && refused.err.contains("deploy"), "{refused:?}");
    // And a smaller resource than what runs takes holds the next one back.
    change(&host, "[resources]\ngpu = 1\n[groups.more]\n", "more: ");
    let third = host.submit_with(&["--uses", "gpu"], &["true"]);
    assert_eq!(reason(&host, third), QueueReason::Resource { name: "gpu".into() });
    host.kill();
    host.restart();
    assert_eq!(reason(&host, third), QueueReason::Resource { name: "gpu".into() });
    go(&host);
    gpu.iter().chain(&deploys).chain([&third]).for_each(|id| succeeds(&host, *id));
    let detail = host.detail(deploys[1]);
    assert_eq!((detail.task.kind.as_str(), detail.attempts.len()), ("deploy", 1));
    assert_eq!(detail.task.schedule.retry.map(|retry| retry.retries), Some(1));
}

#[test]
fn what_a_kind_says_of_time_tries_and_resources_holds_for_its_tasks() {
    let host = with_config(
        "[resources]\ngpu = 2\n[kinds.flaky]\nargv = [\"sh\", \"-c\", \"echo x >> tries; exit 3\"]\n\
         retries = 2\nbackoff = \"10ms\"\n\
         [kinds.slow]\nargv = [\"sleep\", \"6173\"]\ntimeout = \"300ms\"\nuses = { gpu = 2 }\n\
         [kinds.patient]\nargv = [\"false\"]\nretries = 1\nbackoff = \"1h\"\n",
    );
    let flaky = submitted(&host, &["submit", "--kind", "flaky"]);
    assert_eq!(host.wait_for_end(flaky).state.words(), "Failed (exit 3)");
    assert_eq!(fs::read_to_string(host.work().join("tries")).unwrap().lines().count(), 3);
    let retry = host.task(flaky).schedule.retry.unwrap();
    assert_eq!((retry.retries, retry.backoff_ms), (2, 10));

    let slow = submitted(&host, &["submit", "--kind", "slow"]);
    let task = host.task(slow);
    assert_eq!(task.schedule.uses, [("gpu".to_owned(), 2)].into());
    assert_eq!(task.timeout_ms, Some(300));
    let behind = host.submit_with(&["--uses", "gpu:1"], &["true"]);
    assert_eq!(host.wait_for_end(slow).state.outcome(), Some(&Outcome::TimedOut));
    succeeds(&host, behind);
    let (slow, behind) = (host.detail(slow).attempts, host.detail(behind).attempts);
    assert!(slow[0].ended_at <= behind[0].started_at, "they shared what one of them uses whole");

    let patient = submitted(&host, &["submit", "--kind", "patient"]);
    until("the pause", || {
        let TaskState::Queued { reason } = host.task(patient).state else { return None };
        matches!(reason, QueueReason::Delay { .. }).then_some(())
    });
    // What is said at the submit holds over its kind.
    let own = ["submit", "--kind", "slow", "--timeout", "1h", "--uses", "gpu:1", "--retries", "4"];
    let task = host.task(submitted(&host, &own));
    assert_eq!(task.timeout_ms, Some(3_600_000));
    assert_eq!(task.schedule.uses, [("gpu".to_owned(), 1)].into());
    assert_eq!(task.schedule.retry.map(|retry| retry.retries), Some(4));
}

#[test]
fn a_key_is_one_task_s_among_those_of_its_kind() {
    let kinds = ["build", "deploy"]
        .map(|name| format!("[kinds.{name}]\nargv = [\"sh\", \"-c\", \"{HOLD}\"]\n"));
    let host = with_config(&kinds.concat());
    let submit = |kind: &str| submitted(&host, &["submit", "--kind", kind, "--key", "nightly"]);
    let plain = || submitted(&host, &["submit", "--key", "nightly", "--", HOLD]);
    let ids = [submit("build"), submit("deploy"), plain()];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    assert_eq!([submit("build"), submit("deploy"), plain()], ids);
    go(&host);
    ids.iter().for_each(|id| succeeds(&host, *id));
}
