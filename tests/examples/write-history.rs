//! Makes what `tests/released` holds: a history of each version of the tables.
//!
//! Without an argument it writes one of the tables as they are now, by a host that does something of
//! everything. With a number it writes one of older tables: the oldest history that fits, brought to
//! that version by the migrations up to it, with rows that use what each of them brought.
//!
//!     cargo build --workspace
//!     cargo run -p nod-tests --example write-history [NUMBER]
#![expect(clippy::unwrap_used, reason = "a person runs it, and looks at what it says")]

use std::fs;
use std::path::{Path, PathBuf};

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply, Submit};
use nod_core::request::{Answer, Shown};
use nod_core::schedule::Retry;
use nod_tests::TestHost;
use rusqlite::Connection;

/// What is in the folder of a version.
const FILES: [&str; 2] = ["nod.db", "seal.key"];

/// Which question was asked by a program that is no task, as versions from 2 on have it.
const QUESTION: &str = r#"{"task_name":"release.py (process 4711)","question":"Publish?",
    "detail":null,"diff":null,"wants":{"type":"approval"},"argv":["python3","release.py"],
    "cwd":"/","environment":[]}"#;

/// What uses what each version brought.
const BROUGHT: [(usize, &str); 9] = [
    (
        2,
        r#"INSERT INTO audit (at, what, actor, from_where, task_id, request_id, answer, comment)
           VALUES (1795278698500, 'answered', '{"type":"person","surface":"terminal"}', 'tty 3', 6,
               2, '{"type":"approve"}', 'ship it');"#,
    ),
    (
        3,
        r#"UPDATE tasks SET options = '{"grace_ms":2000,"keep_children":true}',
               condition = '{"paused":false,"said":{"type":"result","data":{"built":3}}}'
           WHERE id = 7;"#,
    ),
    (
        4,
        r#"INSERT INTO rules (rule, made_at, made_by)
           VALUES ('{"name":null,"match":["git","push"],"then":"ask_first","expires_at":null}',
               1795278698600, '{"type":"person","surface":"window"}');
           INSERT INTO guards (id, held)
           VALUES (1, '{"terminal_approvals":false,"rules":[],"gated_kinds":[]}');"#,
    ),
    (
        5,
        r#"UPDATE tasks SET key = 'nightly',
               schedule = '{"group":"default","priority":3,"after":[],"uses":{},"key":"nightly"}'
           WHERE id = 7;
           UPDATE attempts SET deadline = 0,
               outcome = '{"type":"failed","failure":{"type":"exit","code":2}}'
           WHERE task_id = 2;
           INSERT INTO groups (name, slots, paused) VALUES ('build', 2, 1);"#,
    ),
    (
        6,
        r#"INSERT INTO signals (task_id, key, data, at) VALUES (5, 'go', '{"x":7}', 1795278698700);
           INSERT INTO messages (task_id, at, actor, content, interrupt)
           VALUES (5, 1795278698800, '{"type":"peer","uid":0,"pid":4711}', 'please hurry', 0);
           INSERT INTO notices (session, task_id, at, urgent, content)
           VALUES ('s1', 7, 1795278698900, 0, 'half done');"#,
    ),
    (7, "INSERT INTO leftovers VALUES ('2020-01-01/999-1');"),
    (8, "INSERT INTO clock VALUES (1, '00000000-0000-4000-8000-000000000000', 1795265376375);"),
    (
        9,
        r#"UPDATE tasks SET bound = '{"place":null,"typist":{"pid":4711,"start_time":123456}}'
           WHERE id = 5;"#,
    ),
    (
        10,
        "UPDATE attempts SET tail = 'error: unused', disk = 8192 WHERE task_id = 2;
         INSERT INTO last_event VALUES (1, 500);",
    ),
];

/// And what uses what came after the history that a host of version 11 has left.
const BROUGHT_LATER: [(usize, &str); 1] =
    [(12, "INSERT INTO settings VALUES ('notification_approvals', 'true');")];

fn main() {
    let number = std::env::args().nth(1).map(|number| number.parse().unwrap());
    match number {
        None => write_newest(),
        Some(number @ 2..=10) => write_older(1, &BROUGHT, number),
        Some(number @ 12) => write_older(11, &BROUGHT_LATER, number),
        Some(number) => panic!("{number} was left by a host, or is none"),
    }
}

fn released(version: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("released").join(version.to_string())
}

/// Makes a history of an older version out of that of `base`.
fn write_older(base: usize, brought: &[(usize, &str)], version: usize) {
    let folder = released(version);
    fs::create_dir_all(&folder).unwrap();
    for name in FILES {
        fs::copy(released(base).join(name), folder.join(name)).unwrap();
    }
    let history = Connection::open(folder.join("nod.db")).unwrap();
    history.pragma_update(None, "journal_mode", "DELETE").unwrap();
    for number in base + 1..=version {
        let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src-tauri/engine/src/store");
        let migration = fs::read_to_string(store.join(format!("{number:04}.sql"))).unwrap();
        history.execute_batch(&migration).unwrap();
        history.pragma_update(None, "user_version", number as i64).unwrap();
        if number == 2 {
            ask(&history);
        }
        let rows = brought.iter().find(|(of, _)| *of == number).unwrap().1;
        history.execute_batch(rows).unwrap();
    }
    history.execute_batch("VACUUM").unwrap();
    // As a host leaves it.
    history.pragma_update(None, "journal_mode", "WAL").unwrap();
}

/// Adds an open question of a program that is no task.
fn ask(history: &Connection) {
    let shown: Shown = serde_json::from_str(QUESTION).unwrap();
    let sql = "INSERT INTO requests (operation, task_id, attempt, origin, asked_by, shown, hash,
            created_at, remind_ms)
        VALUES ('00000000000000000000000000004711', NULL, 1, '\"program\"',
            '{\"type\":\"peer\",\"uid\":0,\"pid\":4711}', ?1, ?2, 1795278698450, 600000)";
    let json = serde_json::to_string(&shown).unwrap();
    history.execute(sql, (json, shown.hash(""))).unwrap();
}

/// Makes a history of the tables as they are now.
fn write_newest() {
    let mut host = TestHost::start();
    host.wait_for_end(submit(&host, "echo 完了", &|new| new.label = Some("Unit tests".into())));
    let again = |new: &mut Submit| new.scheduling.retry = Some(Retry::new(1, 0));
    host.wait_for_end(submit(&host, "exit 2", &again));
    let cancelled = submit(&host, "sleep 6174", &|_| {});
    assert_eq!(host.run(&["cancel", &cancelled.to_string()]).code, Some(0));
    host.wait_for_end(cancelled);
    host.wait_for_end(submit(&host, "sleep 6175", &|new| new.timeout_ms = Some(100)));
    submit(&host, "echo $COLOUR", &|new| {
        new.ask_first = true;
        coloured(new, "blue");
    });
    let asks = submit(&host, "nod ask 'Go on?'", &|_| {});
    let request = host.wait_for_request(asks);
    host.answer(&request, Answer::Approve);
    host.wait_for_end(asks);
    let last = submit(&host, "echo $COLOUR", &|new| {
        new.scheduling.priority = Some(3);
        coloured(new, "green");
    });
    host.wait_for_end(last);
    assert_eq!(host.run(&["group", "add", "build", "--slots", "2"]).code, Some(0));
    assert_eq!(host.run(&["group", "pause", "build"]).code, Some(0));
    host.stop();
    let history = Connection::open(host.data().join("nod.db")).unwrap();
    history.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    let version: i64 = history.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    drop(history);
    let folder = released(usize::try_from(version).unwrap());
    fs::create_dir_all(&folder).unwrap();
    for name in FILES {
        fs::copy(host.data().join(name), folder.join(name)).unwrap();
    }
}

fn submit(host: &TestHost, line: &str, change: &dyn Fn(&mut Submit)) -> TaskId {
    let mut submit = host.shell_submit(line);
    // Nothing of the machine that it is made on.
    submit.cwd = "/".to_owned();
    submit.environment = Some([("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into());
    change(&mut submit);
    let reply = host.call(&Call::Submit(Box::new(submit)));
    let Reply::Submitted { id, .. } = reply else { panic!("{reply:?}") };
    id
}

fn coloured(submit: &mut Submit, colour: &str) {
    submit.extra_environment = [("COLOUR".to_owned(), colour.to_owned())].into();
}
