//! `nod doctor`: what it finds, and what it mends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nod_core::ids::TaskId;
use nod_core::task::StateName;
use nod_tests::{Home, Ran, TestHost, processes, until};
use rusqlite::Connection;
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
    for name in ["lock", "permissions", "disk", "history", "shims", "tasks", "configuration"] {
        assert_eq!(check(&ran, name)["health"], "good", "{name}: {ran:?}");
    }
    assert_eq!(check(&ran, "notifications")["health"], "note");
    host.kill();
    // The task goes on without a host, and that is no fault.
    assert_eq!(doctor(&host, false).code, Some(0));
    assert!(processes::is_alive(process));
    assert!(host.run(&["doctor"]).out.contains("ok      tasks"));
}

#[test]
fn a_damaged_history_is_found_and_mended() {
    let mut host = TestHost::start();
    let ended = host.submit_with(&["--label", "kept"], &["exit 2"]);
    host.wait_for_end(ended);
    host.stop();
    let database = host.data().join("nod.db");
    let connection = Connection::open(&database).unwrap();
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    let page: i64 = connection
        .query_row("SELECT max(pageno) FROM dbstat WHERE name = 'events_by_task'", [], |row| {
            row.get(0)
        })
        .unwrap();
    drop(connection);
    let mut bytes = fs::read(&database).unwrap();
    let at = (usize::try_from(page).unwrap() - 1) * 4096;
    bytes[at..at + 4096].fill(0x5a);
    fs::write(&database, bytes).unwrap();

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
fn files_that_others_can_read_are_found_and_closed_again() {
    let host = TestHost::start();
    let mode = || fs::metadata(host.data()).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(host.data(), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = doctor(&host, false);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(check(&ran, "permissions")["health"], "bad");
    assert_eq!(mode(), 0o755);
    let ran = doctor(&host, true);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(mode(), 0o700);
}

#[test]
fn a_wrong_configuration_is_told() {
    let host = TestHost::start();
    fs::write(host.data().join("config.toml"), "[groups.default]\nslotz = 2\n").unwrap();
    let ran = doctor(&host, false);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = check(&ran, "configuration")["said"].as_str().unwrap().to_owned();
    assert!(said.contains("slotz") && said.contains("config.toml"), "{said}");
}
