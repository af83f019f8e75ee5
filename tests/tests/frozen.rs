//! Shims that somebody has stopped, be it their own task.

use nod_core::ids::TaskId;
use nod_core::task::{StateName, TaskState};
use nod_tests::{Home, TestHost, processes, until};

fn stopped(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|it| it.contains(") T "))
}

/// Submits a task that stops its own shim; returns it and the shim.
fn freezing(host: &TestHost, options: &[&str], mark: &str) -> (TaskId, i32) {
    let line = format!("echo $PPID > {mark}; kill -STOP $PPID; sleep {mark}");
    let id = host.submit_with(options, &[&line]);
    let written = || std::fs::read_to_string(host.work().join(mark)).ok()?.trim().parse().ok();
    let shim = until("the shim", written);
    until("it to be stopped", || stopped(shim).then_some(()));
    (id, shim)
}

fn was_told(host: &TestHost, id: TaskId, shim: i32) {
    let told = host.detail(id).events.into_iter().filter(|it| it.what == "shim_silent");
    let told: Vec<_> = told.filter_map(|it| it.detail).collect();
    assert_eq!(told, [format!("its shim (process {shim}) was stopped: it is let go on")]);
    assert!(host.run(&["show", &id.to_string()]).out.contains("was stopped"));
}

#[test]
fn a_stopped_shim_is_let_go_on_when_its_tasks_time_is_up_and_when_it_is_cancelled() {
    let home = Home::new().with_config("[cancel]\ngrace_ms = 200\n");
    let host = TestHost::start_in(home);
    let (late, first) = freezing(&host, &["--timeout", "1s"], "8804");
    let (unwanted, second) = freezing(&host, &[], "8805");
    let doctor = host.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(doctor.out.contains("are stopped") && doctor.out.contains(&second.to_string()));
    assert_eq!(host.run(&["cancel", &unwanted.to_string()]).code, Some(0));
    assert_eq!(host.wait_for_end(late).state.name(), StateName::TimedOut);
    assert_eq!(host.wait_for_end(unwanted).state.name(), StateName::Cancelled);
    was_told(&host, late, first);
    was_told(&host, unwanted, second);
    for mark in ["8804", "8805"] {
        assert_eq!(processes::with_mark(&format!("sleep\u{0}{mark}")), [] as [i32; 0]);
    }
}

#[test]
fn the_next_host_sees_to_a_stopped_shim_whose_task_was_cancelled() {
    let home = Home::new().with_config("[cancel]\ngrace_ms = 200\n");
    let mut host = TestHost::start_in(home);
    let (id, shim) = freezing(&host, &[], "8806");
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    assert!(matches!(host.task(id).state, TaskState::Stopping { .. }));
    host.kill();
    host.restart();
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
    until("the shim to go", || (!processes::is_alive(shim)).then_some(()));
}

#[test]
fn the_doctor_lets_a_stopped_shim_go_on() {
    let host = TestHost::start();
    let (id, shim) = freezing(&host, &[], "8807");
    let mended = host.run(&["doctor", "--repair"]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    assert!(mended.out.contains("mended  shims"), "{mended:?}");
    until("it goes on", || (!stopped(shim)).then_some(()));
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
}
