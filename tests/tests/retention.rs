//! Old tasks are removed as the config file says, and nothing else is.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, ListQuery, Reply};
use nod_core::request::Answer;
use nod_core::task::StateName;
use nod_tests::{Home, TestHost, until};

fn host(retention: &str) -> TestHost {
    let config = format!("[retention]\n{retention}\nevery_ms = 20\n[groups.default]\nslots = 1\n");
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
    for table in ["attempts", "requests", "events"] {
        assert_eq!(
            count(&format!("SELECT count(*) FROM {table} WHERE task_id = ?1")),
            0,
            "{table}"
        );
    }
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
fn folders_that_a_crash_left_are_removed_by_the_next_host() {
    let mut host = host("tasks = 100");
    let folder = host.data().join("tasks/2020-01-01/999-1");
    std::fs::create_dir_all(&folder).unwrap();
    host.stop();
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    database.execute("INSERT INTO leftovers VALUES ('2020-01-01/999-1')", []).unwrap();
    drop(database);
    host.restart();
    until("the folder to go", || (!folder.parent().unwrap().exists()).then_some(()));
}
