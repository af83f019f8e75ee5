//! Retention beside those who read, and under hosts that die: what goes goes whole.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_client::ClientError;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, ErrorCode, Reply};
use nod_tests::{Home, TestHost, until};
use rusqlite::Connection;

fn retention(tasks: u32, every_ms: u32) -> Home {
    Home::new().with_config(&format!("[retention]\ntasks = {tasks}\nevery_ms = {every_ms}\n"))
}

fn folder(host: &TestHost, id: TaskId) -> PathBuf {
    let log = PathBuf::from(host.detail(id).log_path.unwrap());
    log.parent().unwrap().to_owned()
}

/// Returns what `seq` prints up to a number.
fn numbers(last: u32) -> Vec<u8> {
    (1..=last).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

#[test]
fn who_follows_a_task_while_it_is_removed_gets_all_of_it() {
    let host = TestHost::start_in(retention(1, 20));
    // More than all buffers on the way hold.
    let id = host.submit_with(&["--no-tty"], &["seq 1 4000000"]);
    host.wait_for_end(id);
    let place = folder(&host, id);
    let mut nod = host.nod(&["logs", "-f", &id.to_string()]);
    let mut following = nod.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = following.stdout.take().unwrap();
    let mut read = vec![0; 100];
    out.read_exact(&mut read).unwrap();
    // It has begun, and waits to be read from.
    host.wait_for_end(host.submit("true"));
    until("the folder to go", || (!place.exists()).then_some(()));
    assert_eq!(host.run(&["show", &id.to_string()]).code, Some(1));
    out.read_to_end(&mut read).unwrap();
    let ended = following.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(read == numbers(4_000_000), "{} bytes", read.len());
}

#[test]
fn who_reads_a_task_by_range_gets_it_as_it_was_or_hears_that_it_is_gone() {
    let host = TestHost::start_in(retention(1, 20));
    let expected = numbers(400_000);
    let id = host.submit_with(&["--no-tty"], &["seq 1 400000"]);
    host.wait_for_end(id);
    let mut reading = host.connect();
    let mut next = Some(());
    let (mut offset, mut pieces) = (0, 0);
    let error = loop {
        let limit = 100_000;
        match reading.call(&Call::ReadLog { id, offset, limit, attempt: None }) {
            Ok(Reply::Log(part)) => {
                let bytes = BASE64.decode(&part.data).unwrap();
                let from = usize::try_from(offset).unwrap();
                assert!(expected[from..].starts_with(&bytes), "at {offset}");
                assert_eq!((part.offset, part.size), (offset, expected.len() as u64));
                offset = (offset + bytes.len() as u64) % expected.len() as u64;
                pieces += 1;
            }
            Ok(reply) => panic!("{reply:?}"),
            Err(error) => break error,
        }
        if pieces > 10 && next.take().is_some() {
            // From here on it may go at any moment.
            let _newer = host.submit("true");
        }
    };
    let ClientError::Refused(refused) = error else { panic!("{error}") };
    assert_eq!(refused.code, ErrorCode::NotFound, "{refused:?}");
    // And it is gone for good.
    let again = reading.call(&Call::ReadLog { id, offset: 0, limit: 10, attempt: None });
    assert!(matches!(again, Err(ClientError::Refused(_))), "{again:?}");
}

/// How many tasks there are, how many of them are kept, and how many hosts die over that.
const TASKS: i64 = 3_000;
const KEPT: i64 = 200;
const DEATHS: i64 = 6;

/// Makes many more of the one task that is there, each with its folder.
fn multiply(host: &TestHost) {
    let history = Connection::open(host.data().join("nod.db")).unwrap();
    let place: String =
        history.query_row("SELECT folder FROM attempts", [], |row| row.get(0)).unwrap();
    let columns = |table: &str| -> Vec<String> {
        let sql = format!("SELECT name FROM pragma_table_info('{table}')");
        let mut statement = history.prepare(&sql).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    };
    history.execute_batch("BEGIN").unwrap();
    for (table, changed) in [
        ("tasks", [("id", "n.i"), ("ended_at", "ended_at + n.i")]),
        (
            "attempts",
            [("task_id", "n.i"), ("folder", "'2026-01-0' || (n.i % 9 + 1) || '/' || n.i || '-1'")],
        ),
        ("events", [("task_id", "n.i"), ("seq", "seq + 100 * n.i")]),
    ] {
        let values = columns(table).into_iter().map(|name| {
            let new = changed.iter().find(|(column, _)| *column == name);
            new.map_or(name.clone(), |(_, value)| (*value).to_owned())
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let of = if table == "tasks" { "id" } else { "task_id" };
        let sql = format!(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {TASKS})
             INSERT INTO {table} SELECT {values} FROM {table}, n WHERE {of} = 1"
        );
        history.execute_batch(&sql).unwrap();
    }
    let found = "INSERT INTO task_search (rowid, label, command, tail)
        SELECT id, 'number ' || id, command_text, '' FROM tasks WHERE id > 1";
    history.execute_batch(found).unwrap();
    history.execute_batch("COMMIT").unwrap();
    let tasks = host.data().join("tasks");
    for id in 2..=TASKS {
        let copy = tasks.join(format!("2026-01-0{}/{id}-1", id % 9 + 1));
        fs::create_dir_all(&copy).unwrap();
        for file in ["out.log", "exit.json", "spec.json"] {
            fs::copy(tasks.join(&place).join(file), copy.join(file)).unwrap();
        }
    }
}

/// What a data directory holds of tasks, by its database and by its folders.
struct Holds {
    /// The folders of tasks that are there, and of those that are removed.
    named: BTreeSet<String>,
    leftovers: BTreeSet<String>,
    /// The folders with all their files, and the others.
    whole: BTreeSet<String>,
    broken: BTreeSet<String>,
}

impl Holds {
    fn of(home: &Home) -> Self {
        let history = Connection::open(home.data().join("nod.db")).unwrap();
        let folders = |table: &str| -> BTreeSet<String> {
            let mut statement = history.prepare(&format!("SELECT folder FROM {table}")).unwrap();
            let names = statement.query_map([], |row| row.get(0)).unwrap();
            names.collect::<Result<_, _>>().unwrap()
        };
        let (named, leftovers) = (folders("attempts"), folders("leftovers"));
        let (mut whole, mut broken) = (BTreeSet::new(), BTreeSet::new());
        for day in fs::read_dir(home.data().join("tasks")).unwrap() {
            for folder in fs::read_dir(day.unwrap().path()).unwrap() {
                let path = folder.unwrap().path();
                let is_whole = ["out.log", "exit.json", "spec.json"]
                    .iter()
                    .all(|name| path.join(name).exists());
                let name = path.strip_prefix(home.data().join("tasks")).unwrap();
                let name = name.to_str().unwrap().to_owned();
                if is_whole {
                    whole.insert(name)
                } else {
                    broken.insert(name)
                };
            }
        }
        Self { named, leftovers, whole, broken }
    }

    /// Says that each task has its files, and that all other files are known to be too many.
    #[track_caller]
    fn is_consistent(&self) {
        let without_files: Vec<_> = self.named.difference(&self.whole).collect();
        assert!(without_files.is_empty(), "tasks without files: {without_files:?}");
        let there: BTreeSet<_> = self.whole.union(&self.broken).cloned().collect();
        let of_nobody: Vec<_> = there
            .iter()
            .filter(|it| !self.named.contains(*it) && !self.leftovers.contains(*it))
            .collect();
        assert!(of_nobody.is_empty(), "files that nobody knows of: {of_nobody:?}");
    }
}

fn is_sound(home: &Home) {
    let history = Connection::open(home.data().join("nod.db")).unwrap();
    let check: String = history.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let broken = "SELECT count(*) FROM pragma_foreign_key_check";
    let number = |sql: &str| -> i64 { history.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(number(broken), 0);
    // Nothing is left of a task that is gone, and a task that is there has all of it.
    for table in ["attempts", "events", "requests", "task_search"] {
        let (id, all) = match table {
            "task_search" => ("rowid", ""),
            "events" => ("task_id", "AND what <> 'removed'"),
            _ => ("task_id", ""),
        };
        let sql =
            format!("SELECT count(*) FROM {table} WHERE {id} NOT IN (SELECT id FROM tasks) {all}");
        assert_eq!(number(&sql), 0, "{table}");
    }
    for of in [
        "SELECT task_id FROM attempts",
        "SELECT rowid FROM task_search",
        "SELECT task_id FROM events",
    ] {
        let sql = format!("SELECT count(*) FROM tasks WHERE id NOT IN ({of})");
        assert_eq!(number(&sql), 0, "{of}");
    }
    assert_eq!(number("SELECT sum(n) FROM counts"), number("SELECT count(*) FROM tasks"));
}

#[test]
fn a_host_that_is_killed_while_it_removes_thousands_leaves_no_task_without_files_and_no_files_without_task()
 {
    let mut host = TestHost::start();
    let first = host.submit("echo kept");
    host.wait_for_end(first);
    host.stop();
    multiply(&host);
    let config = format!("[retention]\ntasks = {KEPT}\nevery_ms = 1\n");
    fs::write(host.data().join("config.toml"), config).unwrap();
    let history = Connection::open(host.data().join("nod.db")).unwrap();
    let count = || -> i64 {
        history.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)).unwrap()
    };
    for death in 1..=DEATHS {
        host.restart();
        // Half of what goes is still there at the last death: the host goes on until it is hit.
        let some = TASKS - (TASKS - KEPT) * death / (2 * DEATHS);
        until("some to be removed", || (count() <= some).then_some(()));
        host.kill();
        assert!(count() > KEPT, "it was killed in the middle of it");
        Holds::of(&host).is_consistent();
        is_sound(&host);
    }
    host.restart();
    until("the rest to be removed", || {
        let holds = Holds::of(&host);
        let is_over = holds.named.len() as i64 == KEPT && holds.leftovers.is_empty();
        (is_over && holds.named == holds.whole && holds.broken.is_empty()).then_some(())
    });
    is_sound(&host);
    // Those that ended last, as they were.
    let mut statement = history.prepare("SELECT id FROM tasks ORDER BY id").unwrap();
    let ids: Vec<i64> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(ids, (TASKS - KEPT + 1..=TASKS).collect::<Vec<_>>());
    for id in [ids[0], TASKS] {
        assert_eq!(host.plain_log(TaskId(id)), "kept\n");
        let found = host.run(&["list", "--search", &format!("number {id}"), "--json"]);
        assert!(found.out.contains(&format!("\"id\":{id},")), "{found:?}");
    }
    assert_eq!(host.submit("true").0, TASKS + 1);
}
