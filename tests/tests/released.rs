//! Histories that other versions of Nod have left: `examples/write-history.rs` makes them.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::path::{Path, PathBuf};

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply, Snapshot};
use nod_core::request::{Answer, Request};
use nod_core::task::{Outcome, StateName, TaskSaid};
use nod_tests::{Home, TestHost, until};
use rusqlite::Connection;
use rusqlite::types::Value;

/// How many tasks each of them holds.
const TASKS: i64 = 7;

/// What a history holds for a while only, or what each host says anew.
const PASSING: [&str; 5] = ["operations", "clock", "leftovers", "last_event", "guards"];

fn released(version: i64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("released").join(version.to_string())
}

fn snapshot(host: &mut TestHost) -> Snapshot {
    let reply = host.person(&Call::Snapshot).unwrap();
    let Reply::Snapshot(snapshot) = reply else { panic!("{reply:?}") };
    *snapshot
}

fn database(home: &Home) -> PathBuf {
    home.data().join("nod.db")
}

fn version(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Returns the versions of the tables that a history is checked in of, in order, and that of this
/// Nod.
fn versions() -> (Vec<i64>, i64) {
    let folders = fs::read_dir(released(1).parent().unwrap()).unwrap();
    let number = |name: std::ffi::OsString| name.to_str().unwrap().parse().unwrap();
    let mut checked_in: Vec<i64> =
        folders.map(|folder| number(folder.unwrap().file_name())).collect();
    checked_in.sort_unstable();
    (checked_in, version(&database(&TestHost::start())))
}

#[test]
fn there_is_a_history_of_every_version_of_the_tables_up_to_that_of_now() {
    let (checked_in, newest) = versions();
    let all: Vec<i64> = (1..=newest).collect();
    assert_eq!(
        checked_in, all,
        "`cargo run -p nod-tests --example write-history` writes the newest"
    );
}

#[test]
fn a_history_of_every_version_opens_with_every_row_that_it_holds() {
    let (checked_in, newest) = versions();
    for before in checked_in {
        let home = Home::new().with_config("[retention]\nevery_ms = 20\n");
        for file in fs::read_dir(released(before)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), home.data().join(file.file_name())).unwrap();
        }
        let old = home.path().join("old.db");
        fs::copy(database(&home), &old).unwrap();
        assert_eq!(version(&old), before, "its folder is its version");
        let mut host = TestHost::start_in(home);
        assert_eq!(snapshot(&mut host).findings, [] as [String; 0]);
        assert_eq!(version(&database(&host)), newest);
        let lost = lost_rows(&old, &database(&host));
        assert!(lost.is_empty(), "of version {before}: {lost:#?}");
        // What it was before its tables changed is kept beside it.
        let copy = host.data().join(format!("nod.schema-{before}.db"));
        assert_eq!(copy.exists(), before < newest);
        if copy.exists() {
            assert_eq!(version(&copy), before);
            let tasks = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
            let copy = Connection::open(&copy).unwrap();
            let tasks = copy.query_row("SELECT count(*) FROM tasks", [], tasks);
            assert_eq!(tasks.unwrap(), TASKS);
        }
        holds_what_was_kept(&mut host, before);
    }
}

/// Returns the rows of `old` that `new` has not, in what both have of tables and columns.
fn lost_rows(old: &Path, new: &Path) -> Vec<String> {
    let (old, new) = (Connection::open(old).unwrap(), Connection::open(new).unwrap());
    let names = |history: &Connection, sql: &str| -> Vec<String> {
        let mut statement = history.prepare(sql).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    };
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'
        AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'task_search_%'";
    let mut lost = vec![];
    for table in names(&old, tables) {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let kept = names(&new, &columns);
        let columns: Vec<String> =
            names(&old, &columns).into_iter().filter(|column| kept.contains(column)).collect();
        assert!(!columns.is_empty(), "{table} is gone");
        let rows = |history: &Connection| -> Vec<Vec<Value>> {
            let sql = format!("SELECT {} FROM {table}", columns.join(", "));
            let mut statement = history.prepare(&sql).unwrap();
            let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|n| row.get(n)).collect();
            statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let now = rows(&new);
        let gone = rows(&old).into_iter().filter(|row| !now.contains(row));
        let gone = gone.filter(|_| !PASSING.contains(&table.as_str()));
        lost.extend(gone.map(|row| format!("{table}: {row:?}")));
    }
    lost
}

/// Checks the seven tasks of a checked-in history, and does something with them.
fn holds_what_was_kept(host: &mut TestHost, before: i64) {
    let words: Vec<_> = host.tasks().iter().rev().map(|task| task.state.words()).collect();
    let expected = [
        "Succeeded",
        "Failed (exit 2)",
        "Cancelled",
        "Timed out",
        "Needs approval",
        "Succeeded",
        "Succeeded",
    ];
    assert_eq!(words, expected);
    let found = host.run(&["list", "--search", "完了"]);
    assert!(found.out.contains("Unit tests"), "{found:?}");
    assert_eq!(host.detail(TaskId(6)).requests.len(), 1);
    let gate = host.wait_for_request(TaskId(5));
    if before <= 10 {
        holds_what_versions_brought(host, before);
        // The gate is answered and its environment opened, as if nothing had happened.
        host.answer(&gate, Answer::Approve);
        let ended = host.wait_for_end(TaskId(5));
        assert_eq!(ended.state.outcome(), Some(&Outcome::Succeeded), "{before}: {ended:?}");
        assert_eq!(host.plain_log(TaskId(5)), "blue\n");
        return;
    }
    let Reply::Settings(settings) = host.call(&Call::Settings) else { panic!("no settings") };
    assert_eq!(settings.notification_approvals, before == 12);
    // Its folder is bound to what it was on the machine where it was submitted.
    host.answer(&gate, Answer::Deny { reason: None });
    assert_eq!(host.wait_for_end(TaskId(5)).state.name(), StateName::Denied);
    assert_eq!(host.run(&["retry", "7"]).code, Some(0));
    assert_eq!(host.wait_for_end(TaskId(7)).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(host.plain_log(TaskId(7)), "green\n");
    assert_eq!(host.detail(TaskId(2)).attempts.len(), 2);
    assert_eq!(host.task(TaskId(7)).schedule.priority, 3);
    assert_paused_group(host);
    assert_eq!(host.submit("true").0, TASKS + 1, "no number is given again");
}

fn assert_paused_group(host: &TestHost) {
    let groups = host.run(&["group", "list"]);
    assert!(groups.out.contains("build: 0 of 2 slots taken, 0 queued, paused"), "{groups:?}");
}

/// Checks what the versions up to `before` brought, and what the histories use of it.
fn holds_what_versions_brought(host: &mut TestHost, before: i64) {
    type Check = fn(&mut TestHost);
    let checks: [(i64, Check); 7] = [
        (2, holds_the_question_of_a_program),
        (3, |host| {
            let task = host.task(TaskId(7));
            assert_eq!((task.options.grace_ms, task.options.keep_children), (Some(2_000), true));
            let said = TaskSaid::Result { data: serde_json::json!({ "built": 3 }), message: None };
            assert_eq!(task.condition.said, Some(said));
        }),
        (4, |host| {
            let asked = host.submit_with(&[], &["git", "push"]);
            let request = host.wait_for_request(asked);
            host.answer(&request, Answer::Deny { reason: None });
            assert_eq!(asked.0, TASKS + 1, "no number is given again");
        }),
        (5, |host| {
            let task = host.task(TaskId(7));
            assert_eq!(
                (task.schedule.priority, task.schedule.key.as_deref()),
                (3, Some("nightly"))
            );
            let tries = host.detail(TaskId(2)).attempts;
            assert_eq!(
                tries[0].outcome.as_ref().map(Outcome::words).as_deref(),
                Some("Failed (exit 2)")
            );
            assert_paused_group(host);
        }),
        (6, |host| assert!(rows(host, "notices", "content = 'half done' AND session = 's1'"))),
        (7, |host| {
            until("the name of a folder that is gone", || {
                (!rows(host, "leftovers", "true")).then_some(())
            });
        }),
        (10, |host| assert!(snapshot(host).seq.0 > 500, "no number is given again")),
    ];
    if before < 4 {
        assert_eq!(host.submit("true").0, TASKS + 1, "no number is given again");
    }
    for (_, check) in checks.iter().filter(|(since, _)| *since <= before) {
        check(host);
    }
}

fn rows(host: &TestHost, table: &str, which: &str) -> bool {
    let history = Connection::open(database(host)).unwrap();
    let sql = format!("SELECT count(*) FROM {table} WHERE {which}");
    history.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap() > 0
}

fn holds_the_question_of_a_program(host: &mut TestHost) {
    let open = |request: &Request| request.task.is_none() && request.is_open();
    let asked: Vec<Request> = snapshot(host).requests.into_iter().filter(open).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].shown.question, "Publish?");
    host.answer(&asked[0], Answer::Deny { reason: Some("not today".into()) });
    let audit = host.run(&["audit"]).out;
    assert!(audit.contains("not today") && audit.contains("ship it"), "{audit}");
}

#[test]
fn a_history_of_a_newer_version_is_refused_and_left_alone() {
    let home = Home::new();
    let connection = Connection::open(database(&home)).unwrap();
    connection.pragma_update(None, "user_version", 4_000).unwrap();
    drop(connection);
    let before = fs::read(database(&home)).unwrap();
    let ran = home.run(&["list"]);
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains("newer version of Nod"), "{ran:?}");
    assert!(fs::read(database(&home)).unwrap() == before, "the file was changed");
    assert!(!home.data().join("damaged").exists());
}
