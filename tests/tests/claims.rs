//! Whose an attempt is, and whose a process: by a claim that is given once, and by more than a number.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nod_core::ids::TaskId;
use nod_core::shim::Claimant;
use nod_core::task::{Outcome, StateName};
use nod_tests::home::program;
use nod_tests::{Home, TestHost, processes, until};
use serde_json::json;

/// Makes a shim that comes to its attempt once it is let, and then says how it ended.
fn late_shim(home: &Home) -> PathBuf {
    let folder = home.path().join("late");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("nod-shim");
    let (work, shim) = (home.work().display().to_string(), program("nod-shim"));
    let script = format!(
        "#!/bin/sh\ntouch {work}/comes\nwhile [ ! -e {work}/let ]; do sleep 0.02; done\n\
         '{}' \"$@\" <&0 2> {work}/shim-said\necho $? > {work}/code.new\n\
         mv {work}/code.new {work}/code\n",
        shim.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn read(host: &TestHost, name: &str) -> String {
    fs::read_to_string(host.work().join(name)).unwrap()
}

/// Starts a task whose shim is on its way when the host is killed.
fn killed_before_the_claim() -> (TestHost, TaskId) {
    let home = Home::new();
    let shim = late_shim(&home);
    let mut host = TestHost::start_as(home, &json!({ "shim": shim }));
    let id = host.submit("echo $NOD_ATTEMPT >> runs; while [ ! -e go ]; do sleep 0.02; done");
    host.wait_for_file("comes");
    assert_eq!(host.state(id), StateName::Starting);
    host.kill();
    (host, id)
}

#[test]
fn an_attempt_whose_shim_comes_after_the_next_host_is_started_once() {
    let (mut host, id) = killed_before_the_claim();
    host.restart();
    // The host has taken the claim, and starts the task anew with a shim of its own.
    host.wait_for_file("runs");
    host.wait_for_state(id, StateName::Running);
    fs::write(host.work().join("let"), "").unwrap();
    host.wait_for_file("code");
    assert_eq!(read(&host, "code"), "3\n", "{}", read(&host, "shim-said"));
    assert_eq!(host.state(id), StateName::Running);
    fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(read(&host, "runs").lines().count(), 1);
}

#[test]
fn an_attempt_whose_shim_comes_before_the_next_host_is_adopted() {
    let (mut host, id) = killed_before_the_claim();
    fs::write(host.work().join("let"), "").unwrap();
    host.wait_for_file("runs");
    host.restart();
    host.wait_for_state(id, StateName::Running);
    fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(read(&host, "runs"), "1\n");
    assert_eq!(host.detail(id).attempts.len(), 1);
}

#[test]
fn a_cancel_of_what_no_shim_has_come_to_holds_when_one_comes() {
    let home = Home::new();
    let shim = late_shim(&home);
    let mut host = TestHost::start_as(home, &json!({ "shim": shim }));
    let id = host.submit("touch runs");
    host.wait_for_file("comes");
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    host.kill();
    host.restart();
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
    fs::write(host.work().join("let"), "").unwrap();
    host.wait_for_file("code");
    assert_eq!(read(&host, "code"), "3\n");
    assert!(!host.work().join("runs").exists());
}

/// Has the files and the history say that a process was the task's, which has only its number.
fn give_the_number_away(host: &TestHost, id: TaskId, claim: &Path, said: &Claimant) {
    fs::write(claim, serde_json::to_vec(said).unwrap()).unwrap();
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let changed = history
        .execute("UPDATE attempts SET process = ?2 WHERE task_id = ?1", [id.0, i64::from(said.pid)])
        .unwrap();
    assert_eq!(changed, 1);
}

/// Kills a task and its shim between two hosts, and gives its number to a process that has nothing
/// to do with it: `claim` makes of the task's claim and the stranger what the next host finds.
fn is_left_alone(seconds: [&str; 2], claim: impl Fn(Claimant, i32) -> Claimant) {
    let mut host = TestHost::start();
    let id = host.submit(&format!("touch begun; exec sleep {}", seconds[0]));
    host.wait_for_file("begun");
    let process = until("the process", || host.detail(id).attempts.first()?.process);
    let log = host.detail(id).log_path.unwrap();
    let path = Path::new(&log).with_file_name("claim");
    host.kill();
    processes::kill_9(processes::parent(process));
    processes::kill_9(process);
    let [tasks, strangers] =
        seconds.map(|it| move || processes::with_mark(&format!("sleep\0{it}")));
    until("no process of it", || tasks().is_empty().then_some(()));
    // Two clocks are not compared more closely than this; no number comes round as soon.
    let seen = Instant::now();
    until("a later moment", || (seen.elapsed() > Duration::from_millis(300)).then_some(()));
    // As processes' numbers are given again, with a session and a process group of the same number.
    let mut stranger = Command::new("setsid");
    // Nothing in it is of a task; that it is of this test's home ends it with that, at the latest.
    stranger.args(["sleep", seconds[1]]).env_clear().env("HOME", host.path());
    let mut stranger = stranger.spawn().unwrap();
    let pid = stranger.id().cast_signed();
    until("the stranger", || strangers().contains(&pid).then_some(()));
    let said = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    give_the_number_away(&host, id, &path, &claim(said, pid));
    host.restart();
    let ended = host.wait_for_end(id);
    assert_eq!(ended.state.name(), StateName::Lost, "{ended:?}");
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let sweeps = || -> i64 {
        history.query_row("SELECT count(*) FROM sweeps", [], |row| row.get(0)).unwrap()
    };
    until("the sweep", || (sweeps() == 0).then_some(()));
    assert!(processes::is_alive(pid), "the stranger was ended");
    assert_ne!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    assert!(processes::is_alive(pid), "the stranger was ended");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_process_that_got_the_number_of_a_task_s_is_left_alone() {
    is_left_alone(["6171", "6172"], |said, pid| Claimant { pid, ..said });
}

/// Start times count from the boot, so that they come round with the numbers.
#[test]
fn a_process_that_got_number_and_start_time_of_another_boot_s_is_left_alone() {
    is_left_alone(["6173", "6174"], |_, pid| Claimant {
        pid,
        start_time: processes::start_time(pid),
        boot_id: "the one before".to_owned(),
    });
}
