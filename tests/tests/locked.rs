//! Another program holds the history for a while: who changes something waits, and nothing is lost.

use std::fs;
use std::process::Stdio;

use nod_core::ids::TaskId;
use nod_core::task::{Outcome, StateName};
use nod_tests::{Home, Ran, TestHost, until};
use rusqlite::{Connection, TransactionBehavior};

#[test]
fn a_submit_waits_for_who_holds_the_history_and_a_task_ends_meanwhile() {
    let home = Home::new();
    let sleeps = home.path().join("sleeps");
    // Between two tries to get the lock SQLite sleeps, and nothing else of a host does.
    let host = TestHost::start_traced(home, "nanosleep,clock_nanosleep", &sleeps);
    let ends = host.submit("while [ ! -e go ]; do sleep 0.02; done; exit 3");
    host.wait_for_state(ends, StateName::Running);
    // Its tasks are looked at as well, and sleep: a line begins with whose thread it was.
    let is_of_host = |line: &&str| {
        let thread = line.split_whitespace().next().unwrap_or_default();
        let folder = format!("/proc/{}/task/{thread}", host.pid());
        line.contains("nanosleep(") && fs::exists(folder).is_ok_and(|is_there| is_there)
    };
    let slept = || {
        let lines = fs::read_to_string(&sleeps).unwrap_or_default();
        lines.lines().filter(is_of_host).count()
    };
    let before = slept();
    let mut other = Connection::open(host.data().join("nod.db")).unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let mut nod = host.nod(&["submit", "--", "echo", "kept"]);
    let submitting = nod.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the host to try again", || (slept() > before + 2).then_some(()));
    // Who only reads has no need to wait.
    assert!(host.run(&["show", &ends.to_string()]).out.contains("Running"));
    fs::write(host.work().join("go"), "").unwrap();
    drop(held);
    let ran = Ran::from(submitting.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let submitted = TaskId(ends.0 + 1);
    assert_eq!(host.wait_for_end(submitted).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(host.plain_log(submitted), "kept\n");
    assert_eq!(host.wait_for_end(ends).state.words(), "Failed (exit 3)");
}
