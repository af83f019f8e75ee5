//! The store against a real file.

use nod_core::access::{Actor, Surface};
use nod_core::command::CommandLine;
use nod_core::environment::Environment;
use nod_core::ids::{AttemptNumber, EventNumber, OperationId, RequestId, TaskId, Timestamp};
use nod_core::protocol::{AuditPage, AuditQuery, AuditRow, AuditWhat, ListQuery};
use nod_core::request::{Answer, OnTimeout, Request, Wants};
use nod_core::task::{Outcome, OutputMode, QueueReason, StateName, Task, TaskState};
use rusqlite::Connection;

use super::*;
use crate::samples;

struct Opened {
    store: Store,
    readers: Readers,
    folder: tempfile::TempDir,
}

fn opened() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nod.db");
    let store = Store::open(&path).unwrap();
    Opened { store, readers: Readers::new(path), folder }
}

fn sealed(folder: &Path) -> SealedEnvironment {
    Seal::load(&folder.join("seal.key")).unwrap().seal(&Environment::new())
}

fn row(id: i64, label: &str, state: TaskState, environment: &SealedEnvironment) -> TaskRow {
    let task = Task {
        id: TaskId(id),
        kind: "command".into(),
        label: Some(label.to_owned()),
        command: CommandLine::Argv { argv: vec!["make".into(), format!("target{id}")] },
        cwd: "/".into(),
        output: OutputMode::Terminal,
        options: Default::default(),
        condition: Default::default(),
        session: None,
        parent: None,
        timeout_ms: Some(5),
        ask_first: false,
        schedule: Default::default(),
        attempt: AttemptNumber::FIRST,
        state,
        progress: None,
        created_at: Timestamp(id),
        started_at: None,
        ended_at: None,
    };
    TaskRow {
        task,
        environment: environment.digest.clone(),
        environment_changes: vec![],
        bound: Default::default(),
    }
}

fn queued() -> TaskState {
    TaskState::Queued { reason: QueueReason::Slot }
}

fn succeeded() -> TaskState {
    TaskState::Ended { outcome: Outcome::Succeeded }
}

fn filled() -> Opened {
    let mut opened = opened();
    let environment = sealed(opened.folder.path());
    let labels = ["build 完了", "deploy", "100% done", "build again", "完"];
    let new_tasks: Vec<_> = labels
        .iter()
        .zip(1..)
        .map(|(label, id)| {
            row(id, label, if id == 4 { queued() } else { succeeded() }, &environment)
        })
        .collect();
    let tails = [1, 2, 3, 5].map(|id| (TaskId(id), format!("output of {id}: ok"))).to_vec();
    let commit = Commit {
        environments: vec![environment],
        new_tasks,
        tails,
        durable: true,
        ..Commit::default()
    };
    opened.store.write(&commit).unwrap();
    opened
}

fn ids(opened: &Opened, query: &ListQuery) -> Vec<i64> {
    let page = opened.readers.lend().unwrap().list(query).unwrap();
    page.tasks.iter().map(|task| task.id.0).collect()
}

#[test]
fn a_task_reads_back_as_it_was_written() {
    let opened = filled();
    let environment = sealed(opened.folder.path());
    let found = opened.readers.lend().unwrap().task(TaskId(4)).unwrap();
    assert_eq!(found, Some(row(4, "build again", queued(), &environment)));
    assert_eq!(opened.readers.lend().unwrap().task(TaskId(99)).unwrap(), None);
    let sealed_again =
        opened.readers.lend().unwrap().environment(&environment.digest).unwrap().unwrap();
    assert_eq!(sealed_again, environment);
}

#[test]
fn an_end_is_stored_though_the_search_has_the_task_already() {
    let mut opened = filled();
    let environment = sealed(opened.folder.path());
    let end = |tail: &str| Commit {
        tasks: vec![row(4, "build again", succeeded(), &environment)],
        tails: vec![(TaskId(4), tail.to_owned())],
        ..Commit::default()
    };
    opened.store.run("INSERT INTO task_search (rowid, label) VALUES (4, 'of another host')");
    opened.store.write(&end("needle")).unwrap();
    let state = |opened: &Opened| {
        opened.readers.lend().unwrap().task(TaskId(4)).unwrap().unwrap().task.state
    };
    assert_eq!(state(&opened), succeeded());
    let search = |text: &str| ListQuery { search: Some(text.into()), ..ListQuery::default() };
    assert_eq!(ids(&opened, &search("needle")), [4]);
    assert_eq!(ids(&opened, &search("of another host")), [0; 0]);
    // What the search refuses for good is missing there, and nowhere else.
    opened.store.run(
        "UPDATE tasks SET state = 'queued', state_json = '{}' WHERE id = 4;
         ALTER TABLE task_search RENAME TO real_search;
         CREATE TABLE task_search (label, command, tail CHECK (tail <> 'refused'))",
    );
    opened.store.write(&end("refused")).unwrap();
    assert_eq!(state(&opened), succeeded());
}

#[test]
fn nothing_is_stored_in_a_file_that_nobody_finds_any_more() {
    let mut opened = filled();
    let environment = sealed(opened.folder.path());
    let commit = Commit {
        new_tasks: vec![row(9, "late", queued(), &environment)],
        durable: true,
        ..Commit::default()
    };
    let (path, away) = (opened.folder.path().join("nod.db"), opened.folder.path().join("away.db"));
    std::fs::rename(&path, &away).unwrap();
    let refused = opened.store.write(&commit).unwrap_err();
    assert!(matches!(&refused, StoreError::Gone(gone) if *gone == path), "{refused}");
    assert!(!refused.is_lasting(), "it may come back");
    std::fs::copy(&away, &path).unwrap();
    assert!(matches!(opened.store.write(&commit), Err(StoreError::Gone(_))), "another file");
    std::fs::rename(&away, &path).unwrap();
    opened.store.write(&commit).unwrap();
}

#[test]
fn search_finds_labels_commands_and_output_of_any_length() {
    let opened = filled();
    let cases: [(&str, &[i64]); 9] = [
        ("build", &[4, 1]),
        ("BUILD", &[4, 1]),
        ("target2", &[2]),
        ("output of 3", &[3]),
        ("完了", &[1]),
        ("完", &[5, 1]),
        ("100%", &[3]),
        ("%", &[3]),
        ("\"", &[]),
    ];
    for (text, expected) in cases {
        let query = ListQuery { search: Some(text.to_owned()), ..ListQuery::default() };
        assert_eq!(ids(&opened, &query), expected, "{text}");
    }
}

#[test]
fn pages_follow_each_other_without_gaps() {
    let opened = filled();
    let mut query = ListQuery { limit: Some(2), ..ListQuery::default() };
    let mut pages = Vec::new();
    loop {
        let page = opened.readers.lend().unwrap().list(&query).unwrap();
        pages.push(page.tasks.iter().map(|task| task.id.0).collect::<Vec<_>>());
        query.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![5, 4], vec![3, 2], vec![1]]);
    let only_queued = ListQuery { states: vec![StateName::Queued], ..ListQuery::default() };
    assert_eq!(ids(&opened, &only_queued), [4]);
}

#[test]
fn counts_follow_every_change() {
    let mut opened = filled();
    let environment = sealed(opened.folder.path());
    let counts = |opened: &Opened| opened.readers.lend().unwrap().counts().unwrap();
    assert_eq!(counts(&opened), [(StateName::Queued, 1), (StateName::Succeeded, 4)].into());
    let tasks = vec![row(4, "build again", succeeded(), &environment)];
    opened.store.write(&Commit { tasks, ..Commit::default() }).unwrap();
    assert_eq!(counts(&opened), [(StateName::Succeeded, 5)].into());
}

#[test]
fn a_commit_is_all_or_nothing() {
    let mut opened = filled();
    let environment = sealed(opened.folder.path());
    let event = |seq| EventRow {
        seq: EventNumber(seq),
        at: Timestamp(1),
        task: Some(TaskId(9)),
        what: "submitted".into(),
        detail: None,
    };
    let commit = Commit {
        new_tasks: vec![row(9, "ninth", queued(), &environment)],
        events: vec![event(1), event(1)],
        ..Commit::default()
    };
    opened.store.write(&commit).unwrap_err();
    assert_eq!(opened.readers.lend().unwrap().task(TaskId(9)).unwrap(), None);
}

#[test]
fn numbers_are_not_given_twice_even_after_a_removal() {
    let opened = filled();
    let raw = Connection::open(opened.folder.path().join("nod.db")).unwrap();
    raw.execute("DELETE FROM tasks WHERE id = 5", []).unwrap();
    let (task, _, _) = opened.readers.lend().unwrap().last_numbers().unwrap();
    assert_eq!(task, TaskId(5));
}

#[test]
fn the_audit_can_only_grow() {
    let mut opened = filled();
    let request = Request { task: Some(TaskId(2)), ..samples::request(Wants::Approval) };
    let row = AuditRow {
        id: 0,
        at: Timestamp(2),
        what: AuditWhat::Answered,
        actor: Actor::Person { surface: Surface::Window },
        from: None,
        task: request.task,
        request: Some(request.id),
        asked_by: request.asked_by,
        also_asked_by: request.also_asked_by,
        shown: Some(request.shown),
        hash: Some(request.hash),
        answer: Some(Answer::Approve),
        comment: Some("carefully".into()),
        detail: None,
    };
    let audit = vec![row.clone()];
    opened.store.write(&Commit { audit, durable: true, ..Commit::default() }).unwrap();
    let of_task = |task: i64| {
        let query = AuditQuery { task: Some(TaskId(task)), ..AuditQuery::default() };
        opened.readers.lend().unwrap().audit(&query).unwrap()
    };
    assert_eq!(of_task(2), AuditPage { rows: vec![AuditRow { id: 1, ..row }], next: None });
    assert_eq!(of_task(3).rows, []);
    let raw = Connection::open(opened.folder.path().join("nod.db")).unwrap();
    let replace =
        "INSERT OR REPLACE INTO audit (id, at, what, actor) VALUES (1, 2, 'expired', '{}')";
    for sql in ["DELETE FROM audit", "UPDATE audit SET answer = 'x'", replace] {
        let error = raw.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}

#[test]
fn operations_are_remembered_until_they_are_forgotten() {
    let mut opened = filled();
    let operation = |name: &str, at| {
        (
            OperationId(name.into()),
            Timestamp(at),
            OperationResult::Submitted { id: TaskId(1), known: false },
        )
    };
    let operations = vec![operation("old", 1), operation("new", 10)];
    opened.store.write(&Commit { operations, ..Commit::default() }).unwrap();
    opened.store.forget_operations(Timestamp(5)).unwrap();
    let left = opened.readers.lend().unwrap().operations().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].0, OperationId("new".into()));
}

#[test]
fn the_writer_is_strict_and_patient_and_readers_only_read() {
    let mut opened = filled();
    let path = opened.folder.path().join("nod.db");
    let is = |connection: &Connection, name: &str| -> i64 {
        connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    };
    let reader = open_reader(&path).unwrap();
    for connection in [&opened.store.connection, &reader] {
        assert_eq!(is(connection, "busy_timeout"), 5_000);
        let mode: String =
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
    assert_eq!(is(&opened.store.connection, "foreign_keys"), 1);
    // Of the tables of the search, which SQLite makes itself, none can be strict.
    let loose: Vec<String> = reader
        .prepare(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
             AND strict = 0 AND name NOT LIKE 'sqlite%'",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(loose, [] as [String; 0]);
    let refused = |sql: &str| opened.store.connection.execute_batch(sql).unwrap_err().to_string();
    let orphan = "INSERT INTO attempts (task_id, number, folder, token_hash, boot_id)
                  VALUES (99, 1, 'f', x'00', 'b')";
    assert!(refused(orphan).contains("FOREIGN KEY"), "{}", refused(orphan));
    let text = "UPDATE tasks SET created_at = 'yesterday' WHERE id = 1";
    assert!(refused(text).contains("TEXT"), "{}", refused(text));
    let written = reader.execute("DELETE FROM tasks", []).unwrap_err().to_string();
    assert!(written.contains("readonly"), "{written}");

    // 2 is FULL, 1 is NORMAL.
    for (durable, synchronous) in [(true, 2), (false, 1), (true, 2), (false, 1)] {
        opened.store.write(&Commit { durable, ..Commit::default() }).unwrap();
        assert_eq!(is(&opened.store.connection, "synchronous"), synchronous);
    }
}

#[test]
fn a_newer_database_is_refused() {
    let opened = filled();
    let path = opened.folder.path().join("nod.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&path).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("newer version of Nod"), "{error}");
}

#[test]
fn what_the_first_version_kept_is_there_after_the_update() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nod.db");
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(MIGRATIONS[0]).unwrap();
    raw.execute_batch(
        r#"PRAGMA user_version = 1;
        INSERT INTO environments VALUES (x'00', x'00');
        INSERT INTO tasks (id, kind, command, command_text, cwd, output, ask_first, attempt, state,
            state_json, environment, environment_changes, created_at)
        VALUES (7, 'command', '{"type":"shell","line":"make"}', 'make', '/', '"terminal"', 0, 1,
            'waiting', '{"name":"waiting","open":[4]}', x'00', '[]', 1);
        INSERT INTO requests VALUES (4, 'op', 7, 1, '"task"', '{"task_name":"make","question":"Go on?",
            "detail":null,"argv":["make"],"cwd":"/","environment":[]}', 'h', 2, 9, NULL);
        INSERT INTO audit VALUES (3, 2, 1, 7, '{"type":"person","surface":"window"}',
            '{"type":"deny","reason":"no"}', '{"task_name":"make","question":"Really?",
            "detail":null,"argv":["make"],"cwd":"/","environment":[]}', 'g');"#,
    )
    .unwrap();
    drop(raw);
    drop(Store::open(&path).unwrap());
    let reader = Readers::new(path);
    let reader = reader.lend().unwrap();
    let open = reader.open_requests().unwrap();
    assert_eq!(open.len(), 1);
    let request = &open[0].request;
    assert_eq!((request.id, request.task), (RequestId(4), Some(TaskId(7))));
    assert_eq!((&request.shown.wants, request.on_timeout), (&Wants::Approval, OnTimeout::Deny));
    assert_eq!(reader.last_numbers().unwrap().1, RequestId(4), "no number is given twice");
    let audit = reader.audit(&AuditQuery::default()).unwrap().rows;
    assert_eq!((audit.len(), audit[0].id, audit[0].what), (1, 3, AuditWhat::Answered));
    assert_eq!(audit[0].answer, Some(Answer::Deny { reason: Some("no".into()) }));
}
