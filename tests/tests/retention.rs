//! Old tasks are removed as the config file says, and nothing else is.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, ListQuery, Reply};
use nod_core::request::Answer;
use nod_core::task::StateName;
use nod_tests::{Home, TestHost, until};

fn host(retention: &str) -> TestHost {
    host_with(retention, 1)
}

fn host_with(retention: &str, slots: usize) -> TestHost {
    let config =
        format!("[retention]\n{retention}\nevery_ms = 20\n[groups.default]\nslots = {slots}\n");
    TestHost::start_in(Home::new().with_config(&config))
}

fn ids(host: &TestHost) -> Vec<i64> {
    host.tasks().into_iter().map(|task| task.id.0).collect()
}

fn until_ids(host: &TestHost, expected: &[i64]) {
    until(&format!("the tasks {expected:?}"), || (ids(host) == expected).then_some(()));
}

fn folders(host: &TestHost) -> Vec<String> {
    let days = std::fs::read_dir(host.data().join("tasks")).unwrap().flatten();
    let mut names: Vec<String> = days
        .flat_map(|day| std::fs::read_dir(day.path()).unwrap().flatten())
        .map(|folder| folder.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn more_than_the_wanted_number_goes_with_folders_rows_and_search_and_the_audit_stays() {
    let mut host = host("tasks = 2");
    let asked = host.submit_with(&["--env", "ONLY=here"], &["nod ask 'Deploy?'; echo uniqueword"]);
    let request = host.wait_for_request(asked);
    host.answer(&request, Answer::Approve);
    host.wait_for_end(asked);
    let rest: Vec<TaskId> = (0..3).map(|number| host.submit(&format!("echo {number}"))).collect();
    rest.iter().for_each(|id| drop(host.wait_for_end(*id)));
    until_ids(&host, &[rest[2].0, rest[1].0]);
    until("the folders to go", || (folders(&host).len() == 2).then_some(()));
    assert_eq!(folders(&host), [format!("{}-1", rest[1]), format!("{}-1", rest[2])]);

    let search = ListQuery { search: Some("uniqueword".into()), ..ListQuery::default() };
    let Reply::Tasks(page) = host.call(&Call::List(search)) else { panic!("no tasks") };
    assert!(page.tasks.is_empty());
    assert_eq!(host.run(&["show", &asked.to_string()]).code, Some(1));
    let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
    assert_eq!(snapshot.counts.get(&StateName::Succeeded), Some(&2));
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let count =
        |sql: &str| -> i64 { database.query_row(sql, [asked.0], |row| row.get(0)).unwrap() };
    for table in ["attempts", "requests"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE task_id = ?1");
        assert_eq!(count(&sql), 0, "{table}");
    }
    let events = "SELECT count(*) FROM events WHERE task_id = ?1 AND what <> 'removed'";
    assert_eq!(count(events), 0);
    let told = "SELECT count(*) FROM events WHERE task_id = ?1";
    assert_eq!(count(told), 1, "who watches, or was away, hears that it was removed");
    assert!(count("SELECT count(*) FROM audit WHERE task_id = ?1") > 0);
    let orphans = "SELECT count(*) FROM environments WHERE digest NOT IN
        (SELECT environment FROM tasks) AND ?1 = ?1";
    assert_eq!(count(orphans), 0, "an environment goes with its last task");
    assert_eq!(host.submit("true").0, rest[2].0 + 1, "no number is given again");
}

#[test]
fn unfinished_tasks_stay_however_old_they_are() {
    let host = host("days = 0");
    let running = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let queued = host.submit("true");
    let gate = host.submit_with(&["--ask-first"], &["true"]);
    host.wait_for_state(running, StateName::Running);
    let short = host.submit("true");
    assert_eq!(host.run(&["cancel", &short.to_string()]).code, Some(0));
    until_ids(&host, &[gate.0, queued.0, running.0]);
    std::fs::write(host.work().join("go"), "").unwrap();
    until_ids(&host, &[gate.0]);
}

#[test]
fn the_oldest_go_when_all_together_have_printed_too_much() {
    let host = host("mib = 1");
    let large = ["--no-tty"];
    let tasks: Vec<TaskId> =
        (0..3).map(|_| host.submit_with(&large, &["head -c 600000 /dev/zero"])).collect();
    tasks.iter().take(1).for_each(|id| drop(host.wait_for_end(*id)));
    until_ids(&host, &[tasks[2].0]);
}

#[test]
fn what_ended_last_stays_whatever_its_number_is() {
    let host = host_with("tasks = 2", 2);
    let long = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let short: Vec<TaskId> = (0..3).map(|_| host.submit("true")).collect();
    short.iter().for_each(|id| drop(host.wait_for_end(*id)));
    until_ids(&host, &[short[2].0, short[1].0, long.0]);
    std::fs::write(host.work().join("go"), "").unwrap();
    until_ids(&host, &[short[2].0, long.0]);
}

#[test]
fn no_number_of_an_event_is_given_twice_though_the_newest_were_removed() {
    let mut host = host("tasks = 0");
    let seq = |host: &TestHost| {
        let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
        snapshot.seq
    };
    let _removed_soon = host.submit("true");
    until_ids(&host, &[]);
    let before = seq(&host);
    host.stop();
    host.restart();
    assert_eq!(seq(&host), before);
}

#[test]
fn a_removed_task_leaves_no_folder_and_nothing_to_hand_over() {
    let host = host("");
    let id = host.submit_with(&["--session", "s1"], &["nod tell 'half done'"]);
    host.wait_for_end(id);
    let folder = std::path::PathBuf::from(host.detail(id).log_path.unwrap());
    let folder = folder.parent().unwrap().to_owned();
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        database.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert!(count("notices") > 0);
    let removed = host.run(&["remove", &id.to_string(), "--session", "s1"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    until("the folder to go", || (!folder.exists()).then_some(()));
    until("nothing to be left of it", || (count("leftovers") == 0).then_some(()));
    for table in ["tasks", "attempts", "notices", "environments", "task_search"] {
        assert_eq!(count(table), 0, "{table}");
    }
}

#[test]
fn what_a_bounded_log_takes_on_the_disk_is_stored_and_not_what_was_printed() {
    let host = TestHost::start_in(Home::new().with_config("[output]\nlimit_mib = 1\n"));
    let id = host.submit_with(&["--no-tty"], &["head -c 16000000 /dev/zero"]);
    host.wait_for_end(id);
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let sql = "SELECT size, disk FROM attempts";
    let (size, disk): (i64, i64) =
        database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(size, 16_000_000);
    assert!((1..4_000_000).contains(&disk), "{disk}");
}

#[test]
fn folders_that_a_crash_left_are_removed_by_the_next_host_also_where_all_is_to_be_kept() {
    for retention in ["tasks = 100", ""] {
        folders_that_a_crash_left_are_removed(retention);
    }
}

fn folders_that_a_crash_left_are_removed(retention: &str) {
    let mut host = host(retention);
    let folder = host.data().join("tasks/2020-01-01/999-1");
    std::fs::create_dir_all(&folder).unwrap();
    host.stop();
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    database.execute("INSERT INTO leftovers VALUES ('2020-01-01/999-1')", []).unwrap();
    drop(database);
    host.restart();
    until("the folder to go", || (!folder.parent().unwrap().exists()).then_some(()));
}
