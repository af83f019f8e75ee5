//! Lists, filters and searches in a long history, within the engine.

use std::path::Path;
use std::time::Duration;

use nod_core::access::{Actor, Surface};
use nod_core::command::CommandLine;
use nod_core::protocol::{Call, HostKind, ListQuery, Reply};
use nod_core::task::{Failure, Outcome, StateName, TaskState};
use nod_engine::{Host, HostOptions, Programs};
use rusqlite::{Connection, params};

use crate::options::Options;
use crate::output;
use crate::place::{Medium, Place};
use crate::samples::Samples;
use crate::table::{Goal, Row, Value};

const GOAL: Duration = Duration::from_millis(2);

/// How often each query is asked.
const TIMES: usize = 200;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let rows = options.pick(20_000, 100_000, 1_000_000);
    let place = Place::new(Medium::Disk, "")?;
    drop(host(&place)?);
    output::note(&format!("  writing {rows} rows"));
    fill(&place.paths()?.database(), rows)?;
    let host = host(&place)?;
    let runtime = host.runtime();
    let handle = host.handle();
    let person = Actor::Person { surface: Surface::Window };
    let mut table = Vec::new();
    for (name, query) in queries(rows) {
        let mut samples = Samples::default();
        let mut found = 0;
        for _ in 0..TIMES {
            let call = Call::List(query.clone());
            let reply = samples.time(|| runtime.block_on(handle.call(&person, call)))?;
            let Reply::Tasks(page) = reply else { anyhow::bail!("no list") };
            found = page.tasks.len();
        }
        table.push(Row {
            measure: format!("{name} in {rows} rows ({found} found)"),
            nod: Value::from(&samples),
            limit: Value::None,
            goal: Goal::P50AtMost(GOAL),
        });
    }
    Ok(table)
}

fn queries(rows: i64) -> Vec<(&'static str, ListQuery)> {
    let search = |text: &str| ListQuery { search: Some(text.to_owned()), ..ListQuery::default() };
    let middle = Some(nod_core::ids::TaskId(rows / 2));
    vec![
        ("list, first page", ListQuery::default()),
        ("list, a page in the middle", ListQuery { before: middle, ..ListQuery::default() }),
        ("filter, failed", ListQuery { states: vec![StateName::Failed], ..ListQuery::default() }),
        ("search, a rare word", search("needle")),
        ("search, a word in every row", search("cargo build")),
        ("search, two characters", search("完了")),
    ]
}

fn host(place: &Place) -> anyhow::Result<Host> {
    Ok(Host::start(HostOptions {
        paths: place.paths()?,
        programs: Programs::beside_this()?,
        kind: HostKind::Headless,
        show_window: None,
        identity: Default::default(),
        notification_server: None,
        arming: Default::default(),
    })?)
}

/// Writes a history as the engine would have, in the tables that a list reads.
fn fill(database: &Path, rows: i64) -> anyhow::Result<()> {
    let mut connection = Connection::open(database)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    let transaction = connection.transaction()?;
    transaction.execute("INSERT INTO environments (digest, sealed) VALUES (x'00', x'00')", [])?;
    {
        let mut task = transaction.prepare(
            "INSERT INTO tasks (id, kind, label, command, command_text, cwd, output, ask_first,
                 attempt, state, state_json, environment, environment_changes, created_at,
                 started_at, ended_at)
             VALUES (?1, 'command', ?2, ?3, ?4, '/work', '\"terminal\"', 0, 1, ?5, ?6, x'00', '[]',
                 ?1, ?1, ?1)",
        )?;
        let mut search = transaction.prepare(
            "INSERT INTO task_search (rowid, label, command, tail) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for id in 1..=rows {
            let text = format!("cargo build --package part-{}", id % 997);
            let argv = text.split(' ').map(str::to_owned).collect();
            let command = serde_json::to_string(&CommandLine::Argv { argv })?;
            let label = format!("build {id}");
            let state = state(id);
            let (name, json) = (state.name().as_str(), serde_json::to_string(&state)?);
            task.execute(params![id, label, command, text, name, json])?;
            search.execute(params![id, label, text, tail(id)])?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn state(id: i64) -> TaskState {
    let outcome = if id % 100 == 0 {
        Outcome::Failed { failure: Failure::Exit { code: 2 } }
    } else {
        Outcome::Succeeded
    };
    TaskState::Ended { outcome }
}

fn tail(id: i64) -> String {
    let end = match id % 1_000 {
        0 => "needle",
        1 => "全部完了",
        _ => "finished",
    };
    format!("Compiling part-{} v0.1.0\nwarning: unused variable\n{end} in {id} ms\n", id % 997)
}
