//! The cgroup of an attempt: what a dead shim has left is found, whatever it did to hide.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::path::PathBuf;

use nod_core::ids::TaskId;
use nod_core::task::StateName;
use nod_tests::means::cgroup_folder;
use nod_tests::{TestHost, has_means, processes, until};

fn can_make_cgroups() -> bool {
    has_means("cgroups", cgroup_folder().is_some())
}

fn text(log: Vec<u8>) -> String {
    String::from_utf8(log).unwrap()
}

/// Returns the cgroup that a task has said it is in, and that it may not be in any more.
fn cgroup_in(log: &str) -> PathBuf {
    let path = log.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    let folder = cgroup_folder().unwrap();
    folder.join(path.trim_end().rsplit('/').next().unwrap())
}

/// Kills the shim of a task that runs, and waits until the host has seen it.
fn lose(host: &TestHost, id: TaskId) {
    let main = until("the process", || host.detail(id).attempts.first()?.process);
    processes::kill_9(processes::parent(main));
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Lost);
}

#[test]
fn what_a_lost_task_left_is_ended_though_nothing_but_its_cgroup_tells_whose_it_is() {
    if !can_make_cgroups() {
        return;
    }
    let host = TestHost::start();
    let id = host.submit("cat /proc/self/cgroup; env -i setsid -f sleep 6151; exec sleep 6152");
    let left = until("the process", || processes::with_mark("sleep\u{0}6151").first().copied());
    // The one that setsid was has ended, so the process is a child of the shim.
    until("its parent's end", || {
        let main = host.detail(id).attempts.first()?.process?;
        (processes::parent(left) == processes::parent(main)).then_some(())
    });
    let log = until("output", || Some(text(host.log(id))).filter(|log| log.ends_with("\n")));
    let cgroup = cgroup_in(&log);
    assert!(cgroup.is_dir());
    lose(&host, id);
    until("the sweep", || (!processes::is_alive(left)).then_some(()));
    until("the cgroup's end", || (!cgroup.exists()).then_some(()));
}

#[test]
fn the_next_host_finds_what_a_task_left_that_was_lost_while_none_ran() {
    if !can_make_cgroups() {
        return;
    }
    let mut host = TestHost::start();
    let id = host.submit("env -i setsid -f sleep 6153; exec sleep 6154");
    let left = until("the process", || processes::with_mark("sleep\u{0}6153").first().copied());
    let main = until("the process", || host.detail(id).attempts.first()?.process);
    host.kill();
    processes::kill_9(processes::parent(main));
    assert!(processes::is_alive(left));
    host.restart();
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Lost);
    until("the sweep", || (!processes::is_alive(left)).then_some(()));
}

#[test]
fn every_try_has_a_cgroup_that_goes_when_it_ends() {
    if !can_make_cgroups() {
        return;
    }
    let host = TestHost::start();
    for options in [&[][..], &["-i"], &["--no-tty"], &["--direct"]] {
        let id = host.submit_with(options, &["cat /proc/self/cgroup; exit 3"]);
        host.wait_for_end(id);
        let cgroup = cgroup_in(&text(host.log(id)));
        let name = cgroup.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("nod-") && name.ends_with(&format!("-{id}-1")), "{name}");
        until("the cgroup's end", || (!cgroup.exists()).then_some(()));
    }
    // Where no program comes to be, none stays either.
    let id = host.submit_with(&[], &["/nowhere/program", "word"]);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Failed);
    let name = format!("-{id}-1");
    let is_there = || {
        let all = std::fs::read_dir(cgroup_folder().unwrap()).unwrap().flatten();
        let host = host.cgroup_prefix();
        all.map(|entry| entry.file_name().into_string().unwrap())
            .any(|entry| entry.starts_with(&host) && entry.ends_with(&name))
    };
    until("the cgroup's end", || (!is_there()).then_some(()));
}

#[test]
fn a_host_and_its_tasks_inside_of_a_lost_task_go_on() {
    if !can_make_cgroups() {
        return;
    }
    let host = TestHost::start();
    let id = host.submit(
        "inner() { env -i PATH=\"$PATH\" HOME=\"$HOME\" XDG_RUNTIME_DIR=\"$PWD\" NOD_HOME=\"$PWD/inner\" \"$@\"; }; \
         inner setsid nod serve & \
         while ! inner nod list; do sleep 0.02; done; \
         inner nod submit sleep 6155; exec sleep 6156",
    );
    // What submits it has the same words in its command line.
    let is_sleep = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    };
    let found = || processes::with_mark("sleep\u{0}6155").into_iter().find(is_sleep);
    let theirs = until("the process", found);
    let shim = processes::parent(theirs);
    lose(&host, id);
    until("the sweep", || processes::with_mark("sleep\u{0}6156").is_empty().then_some(()));
    // What the sweep has left, a second look has left, too.
    assert!(processes::is_alive(theirs) && processes::is_alive(shim));
}
