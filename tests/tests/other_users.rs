//! What a task leaves to another user: it cannot be ended, that is said, and the task ends.
//!
//! All of Nod runs as an ordinary user here; a program that is root's by its file makes the rest.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply, TaskDetail};
use nod_core::task::{StateName, TaskState};
use nod_tests::wait::until_equal;
use nod_tests::{Home, TestHost, has_means, processes, until};

/// Nobody, as most systems call this user.
const USER: u32 = 65_534;

/// Runs what follows as root, in every respect.
const AS_ROOT: &str = "../programs/as-root --reuid 0 --regid 0 --clear-groups";

/// Starts a host of an ordinary user who can start something as root; not where that cannot be.
fn start() -> Option<TestHost> {
    if !has_means("root", rustix::process::geteuid().is_root()) {
        return None;
    }
    let home = Home::of_user(USER);
    let program = home.program("as-root");
    fs::copy("/usr/bin/setpriv", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let tried = home.command("sh").args(["-c", &format!("{AS_ROOT} id -u")]).output().unwrap();
    has_means("setuid", tried.stdout == b"0\n").then(|| TestHost::start_in(home))
}

fn detail(host: &mut TestHost, id: TaskId) -> TaskDetail {
    match host.person(&Call::Show { id }) {
        Ok(Reply::Task(detail)) => *detail,
        other => panic!("{other:?}"),
    }
}

fn ended(host: &mut TestHost, id: TaskId) -> TaskDetail {
    until("the end", || Some(detail(host, id)).filter(|it| it.task.state.outcome().is_some()))
}

/// Returns root's process that runs the words.
#[track_caller]
fn of_root(words: &str) -> i32 {
    let mark = words.replace(' ', "\0");
    until(words, || {
        let mut found = processes::with_mark(&mark).into_iter();
        found.find(|pid| {
            let folder = format!("/proc/{pid}");
            fs::metadata(&folder).is_ok_and(|folder| folder.uid() == 0)
                && fs::read(format!("{folder}/cmdline")).is_ok_and(|it| it.starts_with(b"sleep"))
        })
    })
}

/// Waits for the end of a task, of which `pid` is left; returns its state in words.
#[track_caller]
fn end_with(host: &mut TestHost, id: TaskId, pid: i32) -> String {
    let ended = ended(host, id);
    let words = format!("sleep ({pid}), cannot kill pid {pid} of root");
    assert_eq!(ended.attempts[0].left, [words.as_str()]);
    let shown = host.run(&["show", &id.to_string()]);
    assert!(shown.out.contains(&words), "{shown:?}");
    // The end is one: the shim goes, and nothing is wrong with the host.
    assert!(processes::is_alive(pid));
    let log = ended.log_path.unwrap();
    let shim = host.program("nod-shim");
    until("its shim to go", || {
        let mut of_task = processes::with_mark(log.trim_end_matches("/out.log")).into_iter();
        let is_shim = |pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|it| it == shim);
        (!of_task.any(is_shim)).then_some(())
    });
    let doctor = host.run(&["doctor"]);
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    ended.task.state.words()
}

#[test]
fn a_cancel_names_what_it_may_not_end_and_comes_to_its_end() {
    let Some(mut host) = start() else { return };
    let line = format!("{AS_ROOT} sleep 6190 & wait");
    let id = host.submit_with(&["--grace", "300ms"], &[&line]);
    let pid = of_root("sleep 6190");
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    let words = format!("cannot kill pid {pid} of root");
    until("the refusal", || {
        let TaskState::Stopping { stage, .. } = detail(&mut host, id).task.state else {
            return None;
        };
        stage.filter(|stage| stage.refused == [words.as_str()]).map(drop)
    });
    let shown = host.run(&["show", &id.to_string()]);
    assert!(shown.out.contains(&words), "{shown:?}");
    assert_eq!(end_with(&mut host, id, pid), "Cancelled");
    // What is queued behind it has its place.
    let next = host.submit("true");
    until_equal("its end", &StateName::Succeeded, || detail(&mut host, next).task.state.name());
    processes::kill_9(pid);
}

#[test]
fn whatever_ends_a_task_what_it_may_not_end_is_named_and_does_not_hold_it_up() {
    let Some(mut host) = start() else { return };
    let of = |options: &[&str], line: &str, number: u32| {
        let sleep = format!("sleep {number}");
        let options = [&["--grace", "100ms"], options].concat();
        let id =
            host.submit_with(&options, &[&line.replace("ROOT", &format!("{AS_ROOT} {sleep}"))]);
        (id, of_root(&sleep))
    };
    let late = of(&["--timeout", "1s"], "ROOT & wait", 6191);
    let left = of(&[], "ROOT & while [ ! -e go ]; do sleep 0.02; done; exit 3", 6192);
    let detached = of(&[], "setsid ROOT & while [ ! -e go ]; do sleep 0.02; done", 6193);
    // The main process itself: nobody will ever know how it ends.
    let main = of(&["--timeout", "1s"], "exec ROOT", 6194);
    fs::write(host.work().join("go"), "").unwrap();
    let cases = [
        (late, "Timed out"),
        (left, "Failed (exit 3)"),
        (detached, "Succeeded"),
        (main, "Timed out"),
    ];
    for ((id, pid), words) in cases {
        assert_eq!(end_with(&mut host, id, pid), words);
        processes::kill_9(pid);
    }
}

#[test]
fn what_was_to_be_left_alone_is_not_said_to_refuse() {
    let Some(mut host) = start() else { return };
    let line = format!("{AS_ROOT} sleep 6195 & while [ ! -e go ]; do sleep 0.02; done");
    let id = host.submit_with(&["--keep-children"], &[&line]);
    let pid = of_root("sleep 6195");
    fs::write(host.work().join("go"), "").unwrap();
    let words = format!("sleep ({pid}), left alone");
    assert_eq!(ended(&mut host, id).attempts[0].left, [words]);
    processes::kill_9(pid);
}

#[test]
fn what_a_lost_task_left_to_another_user_is_named() {
    let Some(mut host) = start() else { return };
    let id = host.submit(&format!("{AS_ROOT} sleep 6196 & wait"));
    let pid = of_root("sleep 6196");
    let main = until("the process", || detail(&mut host, id).attempts.first()?.process);
    processes::kill_9(processes::parent(main));
    // It is lost at once, and what it left is looked for then.
    until("what is left", || (!ended(&mut host, id).attempts[0].left.is_empty()).then_some(()));
    assert!(end_with(&mut host, id, pid).starts_with("Lost"));
    processes::kill_9(pid);
}
