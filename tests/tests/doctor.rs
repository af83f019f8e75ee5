//! `nod doctor`: what it finds, and what it mends.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;

use nod_core::ids::TaskId;
use nod_core::task::StateName;
use nod_tests::{Home, Ran, TestHost, processes, until};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn check(ran: &Ran, name: &str) -> Value {
    let checks: Vec<Value> = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let found = checks.into_iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {ran:?}"))
}

fn doctor(home: &Home, repair: bool) -> Ran {
    let words: &[&str] =
        if repair { &["doctor", "--json", "--repair"] } else { &["doctor", "--json"] };
    home.run(words)
}

fn running(host: &TestHost) -> (TaskId, i32) {
    let id = host.submit("while [ ! -e end ]; do sleep 0.02; done; exit 3");
    host.wait_for_state(id, StateName::Running);
    (id, until("the process", || host.detail(id).attempts.first()?.process))
}

#[test]
fn a_healthy_host_and_none_at_all_have_nothing_wrong() {
    let home = Home::new();
    let ran = doctor(&home, false);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(check(&ran, "socket")["health"], "note");
    let mut host = TestHost::start_in(home);
    let (_, process) = running(&host);
    let ran = doctor(&host, false);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let named = check(&ran, "host")["said"].as_str().unwrap().to_owned();
    assert!(named.contains(&format!("process {}", host.pid())), "{named}");
    let names =
        ["lock", "permissions", "disk", "history", "shims", "tasks", "configuration", "log"];
    for name in names {
        assert_eq!(check(&ran, name)["health"], "good", "{name}: {ran:?}");
    }
    assert_eq!(check(&ran, "notifications")["health"], "note");
    host.kill();
    // The task goes on without a host, and that is no fault.
    assert_eq!(doctor(&host, false).code, Some(0));
    assert!(processes::is_alive(process));
    assert!(host.run(&["doctor"]).out.contains("ok      tasks"));
}

/// Says that what a check of this name finds is wrong, and returns what it finds.
#[track_caller]
fn wrong(ran: &Ran, name: &str) -> String {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let check = check(ran, name);
    assert_eq!(check["health"], "bad", "{name}: {ran:?}");
    check["said"].as_str().unwrap().to_owned()
}

#[test]
fn a_host_that_hangs_or_cannot_be_reached_is_told_with_what_it_does_not_see() {
    let host = TestHost::start();
    let (id, process) = running(&host);
    let frozen = Pid::from_raw(host.pid()).unwrap();
    kill_process(frozen, Signal::STOP).unwrap();
    let shim = processes::parent(process);
    processes::kill_9(shim);
    until("its end", || (!processes::is_alive(shim)).then_some(()));
    let ran = doctor(&host, false);
    assert!(wrong(&ran, "socket").contains("did not answer in time"), "{ran:?}");
    assert!(wrong(&ran, "tasks").starts_with(&format!("{id} have no shim")), "{ran:?}");
    assert_eq!(check(&ran, "lock")["said"], "the running host has it");
    // There is nothing that could be mended from here, and nothing is.
    fs::remove_dir_all(host.socket().parent().unwrap()).unwrap();
    let ran = doctor(&host, true);
    assert!(wrong(&ran, "socket").contains("cannot be reached"), "{ran:?}");
    assert!(wrong(&ran, "tasks").starts_with(&format!("{id} have no shim")), "{ran:?}");
    kill_process(frozen, Signal::CONT).unwrap();
    until("all to be well", || (doctor(&host, false).code == Some(0)).then_some(()));
    host.wait_for_state(id, StateName::Lost);
}

#[test]
fn a_lock_that_cannot_be_used_is_told() {
    let home = Home::new();
    let lock = home.data().join("host.lock");
    fs::create_dir(&lock).unwrap();
    for repair in [false, true] {
        assert!(wrong(&doctor(&home, repair), "lock").starts_with("it cannot be used"));
    }
    fs::remove_dir(&lock).unwrap();
    assert_eq!(doctor(&home, false).code, Some(0));
}

/// Overwrites what one of the tables or indexes has in the history.
fn garble(database: &Path, name: &str) {
    let connection = Connection::open(database).unwrap();
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    let pages = "SELECT max(pageno) FROM dbstat WHERE name = ?1";
    let page: i64 = connection.query_row(pages, [name], |row| row.get(0)).unwrap();
    drop(connection);
    let file = fs::File::options().write(true).open(database).unwrap();
    file.write_all_at(&[0x5a; 4096], (u64::try_from(page).unwrap() - 1) * 4096).unwrap();
}

#[test]
fn a_damaged_history_is_found_and_mended() {
    let mut host = TestHost::start();
    let ended = host.submit_with(&["--label", "kept"], &["exit 2"]);
    host.wait_for_end(ended);
    garble(&host.data().join("nod.db"), "events_by_task");

    // Not under the feet of a host.
    assert!(wrong(&doctor(&host, true), "history").contains("stop the host first"));
    assert!(!host.data().join("damaged").exists());
    host.stop();
    let ran = doctor(&host, false);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let history = check(&ran, "history");
    assert_eq!(history["health"], "bad");
    assert!(history["said"].as_str().unwrap().contains("--repair"), "{history}");
    assert!(!host.data().join("damaged").exists(), "it only looked");
    let ran = doctor(&host, true);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(check(&ran, "history")["health"], "repaired");
    let aside = check(&ran, "set aside")["said"].as_str().unwrap().to_owned();
    assert!(aside.contains("the history was damaged"), "{aside}");
    host.restart();
    assert_eq!(host.task(ended).label.as_deref(), Some("kept"));
}

#[test]
fn shims_and_tasks_that_do_not_fit_each_other_are_found_and_mended() {
    let mut host = TestHost::start();
    let (lost, lost_process) = running(&host);
    let (ended, process) = running(&host);
    let (orphan, orphan_process) = running(&host);
    host.kill();
    // One task is taken out of the history, one is ended there, and one loses its shim.
    let history = Connection::open(host.data().join("nod.db")).unwrap();
    history.pragma_update(None, "foreign_keys", false).unwrap();
    for table in ["events", "attempts"] {
        history.execute(&format!("DELETE FROM {table} WHERE task_id = ?1"), [lost.0]).unwrap();
    }
    history.execute("DELETE FROM tasks WHERE id = ?1", [lost.0]).unwrap();
    let succeeded = r#"{"name":"ended","outcome":{"type":"succeeded"}}"#;
    let end = "UPDATE tasks SET state = 'succeeded', state_json = ?2 WHERE id = ?1";
    history.execute(end, (ended.0, succeeded)).unwrap();
    drop(history);
    processes::kill_9(processes::parent(orphan_process));

    let ran = doctor(&host, false);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(check(&ran, "shims")["health"], "bad");
    let tasks = check(&ran, "tasks");
    assert_eq!(tasks["health"], "bad");
    assert!(tasks["said"].as_str().unwrap().starts_with(&orphan.to_string()), "{tasks}");
    let ran = doctor(&host, true);
    assert_eq!(check(&ran, "shims")["health"], "repaired", "{ran:?}");
    until("the shim of the ended task to go", || (!processes::is_alive(process)).then_some(()));
    assert!(processes::is_alive(lost_process), "what the history lost goes on");
    host.restart();
    host.wait_for_state(lost, StateName::Running);
    host.wait_for_state(orphan, StateName::Lost);
    fs::write(host.work().join("end"), "").unwrap();
    assert_eq!(host.wait_for_end(lost).state.words(), "Failed (exit 3)");
    assert_eq!(doctor(&host, false).code, Some(0));
}

#[test]
fn tasks_that_ended_without_the_history_saying_so_are_found_and_mended() {
    let mut host = TestHost::start();
    let (id, process) = running(&host);
    host.kill();
    fs::write(host.work().join("end"), "").unwrap();
    until("the shim to go", || (!processes::is_alive(process)).then_some(()));
    // As two hosts at once have left it: the search knows of an end that the task has not.
    let history = Connection::open(host.data().join("nod.db")).unwrap();
    history.execute("INSERT INTO task_search (rowid, label) VALUES (?1, 'x')", [id.0]).unwrap();
    let exit = || fs::read_dir(host.data().join("tasks")).unwrap().flatten().next().unwrap().path();
    until("the report", || exit().join(format!("{id}-1/exit.json")).exists().then_some(()));
    until("no shim", || (check(&doctor(&host, false), "tasks")["health"] == "note").then_some(()));
    let ran = doctor(&host, true);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(check(&ran, "tasks")["health"], "repaired");
    assert!(check(&ran, "tasks")["said"].as_str().unwrap().starts_with(&id.to_string()));
    host.restart();
    assert_eq!(host.task(id).state.words(), "Failed (exit 3)");
    // A host that runs should have recorded it long ago.
    let before = r#"{"name":"running"}"#;
    let back = "UPDATE tasks SET state = 'running', state_json = ?2 WHERE id = ?1";
    history.execute(back, (id.0, before)).unwrap();
    let ran = doctor(&host, true);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = check(&ran, "tasks")["said"].as_str().unwrap().to_owned();
    assert!(said.contains("stop the host first"), "{said}");
    host.stop();
    assert_eq!(check(&doctor(&host, true), "tasks")["health"], "repaired");
    host.restart();
    assert_eq!(host.task(id).state.words(), "Failed (exit 3)");
}

#[test]
fn files_that_others_can_read_are_found_and_closed_again() {
    let host = TestHost::start();
    drop(host.wait_for_end(host.submit("true")));
    let data = host.data();
    let places = [
        (data.clone(), 0o755, 0o700),
        (data.join("tasks"), 0o701, 0o700),
        (data.join("nod.db"), 0o644, 0o600),
        (data.join("seal.key"), 0o640, 0o600),
    ];
    for (path, open, closed) in places {
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let said = wrong(&doctor(&host, false), "permissions");
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert_eq!(mode(), open);
        let ran = doctor(&host, true);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(
            (check(&ran, "permissions")["health"].as_str(), mode()),
            (Some("repaired"), closed)
        );
    }
}

#[test]
fn what_a_running_host_has_in_hand_is_not_mended_behind_its_back() {
    let mut host = TestHost::start();
    let (lost, process) = running(&host);
    let history = Connection::open(host.data().join("nod.db")).unwrap();
    history.pragma_update(None, "foreign_keys", false).unwrap();
    for table in ["events", "attempts"] {
        history.execute(&format!("DELETE FROM {table} WHERE task_id = ?1"), [lost.0]).unwrap();
    }
    history.execute("DELETE FROM tasks WHERE id = ?1", [lost.0]).unwrap();
    drop(history);
    let said = wrong(&doctor(&host, true), "shims");
    assert!(
        said.contains("that the history lost") && said.contains("stop the host first"),
        "{said}"
    );
    host.stop();
    let ran = doctor(&host, true);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(check(&ran, "shims")["health"], "repaired");
    assert!(processes::is_alive(process));
    host.restart();
    host.wait_for_state(lost, StateName::Running);
}

#[test]
fn a_configuration_that_is_wrong_or_waits_for_a_person_is_told_and_left_as_it_is() {
    let rule = "[[rules]]\nmatch = [\"x\"]\nthen = \"ask_first\"\n";
    let mut host = TestHost::start_in(Home::new().with_config(rule));
    let file = host.data().join("config.toml");
    let write = |text: &str| {
        let fresh = host.data().join("fresh.toml");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, &file).unwrap();
    };
    let faulty = "[groups.default]\nslotz = 2\n";
    let is_told = |ran: &Ran, what_then: &str| {
        let said = wrong(ran, "configuration");
        for words in ["config.toml", "line 2", "slotz", "expected `slots`", what_then] {
            assert!(said.contains(words), "{words}: {said}");
        }
    };
    write(faulty);
    for repair in [false, true] {
        is_told(&doctor(&host, repair), "the last good configuration stays in force");
    }
    // Asked for less than before: nothing is wrong, but somebody has to know.
    write("");
    let ran = until("the change", || {
        let ran = doctor(&host, true);
        ran.out.contains("waits to be confirmed").then_some(ran)
    });
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("no longer asked first: x"), "{ran:?}");
    write(rule);
    until("the rule", || (!doctor(&host, false).out.contains("waits to be")).then_some(()));
    // And where there is no host to say it.
    host.stop();
    let write = |text: &str| fs::write(&file, text).unwrap();
    write(faulty);
    for repair in [false, true] {
        is_told(&doctor(&host, repair), "the next host begins with the last good configuration");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), faulty);
    write(rule);
    let ran = doctor(&host, false);
    assert_eq!(
        (ran.code, check(&ran, "configuration")["health"].as_str()),
        (Some(0), Some("good"))
    );
}
