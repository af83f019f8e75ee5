//! Cancelling: afterwards no process of the task is left.

use nod_core::access::Actor;
use nod_core::protocol::{Call, Reply};
use nod_core::task::{ExitStatus, Outcome, StateName, StopCause, TaskState};
use nod_tests::{Home, TestHost, processes, until};

/// A host whose ladder climbs quickly.
fn quick() -> TestHost {
    TestHost::start_in(Home::new().with_config("[cancel]\ngrace_ms = 300\n"))
}

#[test]
fn a_polite_task_ends_at_the_first_signal() {
    let host = TestHost::start();
    let id = host.submit("trap 'echo bye; exit 0' INT; touch ready; while :; do sleep 0.02; done");
    host.wait_for_file("ready");
    let ran = host.run(&["cancel", &id.to_string()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ended = host.wait_for_end(id);
    let Some(Outcome::Cancelled { by: Actor::Peer { .. } }) = ended.state.outcome() else {
        panic!("{ended:?}")
    };
    assert_eq!(host.plain_log(id).lines().last(), Some("bye"));
    assert_eq!(host.run(&["wait", &id.to_string()]).code, Some(130));
}

#[test]
fn descendants_that_ignore_signals_or_detach_are_gone_after_a_cancel() {
    let host = quick();
    let script = r#"
import os, signal, time
def grandchild(detach):
    if os.fork(): return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if detach:
        os.setsid()
        if os.fork(): os._exit(0)
    open(f"ready{detach}", "w").close()
    time.sleep(600)
grandchild(0)
grandchild(1)
time.sleep(600)
"#;
    let mark = format!("MARK={}", host.path().display());
    let id = host.submit_with(&["--env", &mark], &["python3", "-c", script]);
    host.wait_for_file("ready0");
    host.wait_for_file("ready1");
    let of_the_task = || {
        let mut pids = processes::with_mark(&mark);
        pids.retain(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim_end() == "python3"
        });
        pids
    };
    // The one between the two forks of the second may still be going.
    until("three processes", || (of_the_task().len() == 3).then_some(()));
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
    assert_eq!(of_the_task(), [0; 0]);
    until("the shim to go", || processes::with_mark(&mark).is_empty().then_some(()));
}

#[test]
fn stopping_says_what_it_waits_for() {
    let host = TestHost::start_in(Home::new().with_config("[cancel]\ngrace_ms = 2000\n"));
    let id = host.submit("trap '' INT TERM; touch ready; while :; do sleep 0.05; done");
    host.wait_for_file("ready");
    let Reply::Cancelling { task } =
        host.call(&Call::Cancel { operation: nod_client::new_operation().unwrap(), id })
    else {
        panic!("not cancelled")
    };
    assert_eq!(task.state.name(), StateName::Stopping);
    let stage = until("a stage", || {
        let TaskState::Stopping { stage, .. } = host.task(id).state else { return None };
        stage
    });
    assert_eq!(stage.signal, "SIGINT");
    assert!(stage.next_at.is_some() && stage.waits_for[0].starts_with("sh ("), "{stage:?}");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
}

#[test]
fn stopping_counts_down_to_the_next_signal() {
    const GRACE_MS: i64 = 600_000;
    let host = TestHost::start_in(Home::new().with_config("[cancel]\ngrace_ms = 600000\n"));
    let id = host.submit("trap '' INT; touch ready; while [ ! -e go ]; do sleep 0.05; done");
    host.wait_for_file("ready");
    let before = now();
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    let shown = |words: &[&str]| {
        let ran = host.run(&[&["show", &id.to_string()], words].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    let next_at = until("a stage", || {
        let detail: serde_json::Value = serde_json::from_str(&shown(&["--json"])).ok()?;
        detail["task"]["state"]["stage"]["next_at"].as_i64()
    });
    // A moment that stays where it is, and comes nearer.
    assert!((before + GRACE_MS..=now() + GRACE_MS).contains(&next_at), "{before} {next_at}");
    let seconds_left = || -> i64 {
        let text = shown(&[]);
        let line = text.lines().find(|line| line.starts_with("stopping")).expect("it is stopping");
        assert!(line.contains("SIGINT, waits for sh ("), "{line}");
        let left = line.rsplit_once(", SIGTERM in ").expect("what follows is told").1;
        let left = nod_core::duration::parse(left).expect("a duration");
        i64::try_from(left.as_secs()).expect("a few minutes")
    };
    let mut last = seconds_left();
    assert!((1..=GRACE_MS / 1_000).contains(&last), "{last}");
    for _ in 0..2 {
        let least = until("less to be left", || Some(seconds_left()).filter(|left| *left < last));
        last = least;
    }
    std::fs::write(host.work().join("go"), "").expect("a file can be made");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("before the year 292 million")
}

#[test]
fn a_queued_task_is_cancelled_without_a_process() {
    let host = TestHost::start_in(Home::new().with_config("[groups.default]\nslots = 1\n"));
    let first = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let queued = host.submit("touch ran");
    assert_eq!(host.state(queued), StateName::Queued);
    assert_eq!(host.run(&["cancel", &queued.to_string()]).code, Some(0));
    std::fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(first).state.name(), StateName::Succeeded);
    assert_eq!(host.wait_for_end(queued).state.name(), StateName::Cancelled);
    assert!(!host.work().join("ran").exists());
}

#[test]
fn a_cancel_that_comes_too_late_says_how_the_task_ended() {
    let host = TestHost::start();
    let id = host.submit("exit 2");
    host.wait_for_end(id);
    let ran = host.run(&["cancel", &id.to_string()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("Failed (exit 2)"), "{ran:?}");
    assert_eq!(host.task(id).state.words(), "Failed (exit 2)");
}

#[test]
fn what_a_task_leaves_behind_is_ended_and_reported() {
    let host = quick();
    // A fork bears its parent's name until it becomes a program of its own.
    let id = host.submit("sleep 6099 & until grep -q sleep /proc/$!/comm; do :; done; echo quick");
    let ended = host.wait_for_end(id);
    assert_eq!(ended.state.outcome(), Some(&Outcome::Succeeded));
    let attempt = host.detail(id).attempts.pop().unwrap();
    assert!(attempt.left[0].starts_with("sleep ("), "{attempt:?}");
    assert!(processes::with_mark("sleep\u{0}6099").is_empty());
}

#[test]
fn a_cancelled_question_makes_a_cancelled_task_however_quickly_it_gives_up() {
    let host = TestHost::start();
    for _ in 0..10 {
        // Its question is withdrawn by the cancel, and it exits at once, by itself.
        let id = host.submit("exec nod ask 'Deploy?'");
        let _request = host.wait_for_request(id);
        assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
    }
}

#[test]
fn how_the_main_process_ended_is_known_while_what_it_left_is_being_ended() {
    let mut host = TestHost::start_in(Home::new().with_config("[cancel]\ngrace_ms = 600000\n"));
    let left = "trap '' TERM INT HUP; touch trapped; while [ ! -e go ]; do sleep 0.02; done";
    let id = host.submit_with(
        &["--no-tty"],
        &["sh", "-c", &format!("({left}) & while [ ! -e trapped ]; do sleep 0.02; done; exit 5")],
    );
    let exit = |host: &TestHost| host.detail(id).attempts.pop().unwrap().exit;
    until("the exit", || exit(&host).is_some().then_some(()));
    assert_eq!(exit(&host), Some(ExitStatus::Code { code: 5 }));
    host.wait_for_state(id, StateName::Stopping);
    let TaskState::Stopping { cause, .. } = host.task(id).state else { panic!("not stopping") };
    assert_eq!(cause, StopCause::LeftProcesses);
    let exited_at = host.detail(id).attempts[0].exited_at.unwrap();
    assert_eq!(host.detail(id).attempts[0].ended_at, None);
    // The next host knows it as well.
    host.kill();
    host.restart();
    host.wait_for_state(id, StateName::Stopping);
    until("the exit", || exit(&host).is_some().then_some(()));
    std::fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(id).state.words(), "Failed (exit 5)");
    let attempt = host.detail(id).attempts.pop().unwrap();
    assert_eq!(attempt.exited_at, Some(exited_at));
    assert!(attempt.ended_at.unwrap() >= exited_at && !attempt.left.is_empty(), "{attempt:?}");
}

#[test]
fn a_question_of_a_task_that_is_being_cancelled_is_shown_to_nobody_and_says_so() {
    // The next signal would end it in the middle of what it does at the first.
    let host = TestHost::start_in(Home::new().with_config("[cancel]\ngrace_ms = 600000\n"));
    let ask = "nod ask Really? > answer 2> said; echo $? > code";
    let line = format!("trap '{ask}; exit' INT; touch up; while true; do sleep 0.02; done");
    let id = host.submit(&line);
    host.wait_for_file("up");
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    host.wait_for_end(id);
    let read = |name: &str| std::fs::read_to_string(host.work().join(name)).unwrap();
    assert_eq!(read("code"), "75\n");
    assert!(read("answer").contains("not_asked"), "{}", read("answer"));
    let said = read("said");
    assert!(said.contains("nobody is asked any more, and this question was not shown"), "{said}");
    assert_eq!(host.detail(id).requests, []);
}
