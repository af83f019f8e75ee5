//! The one writer: a batch of changes as one transaction.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nod_core::ids::{AttemptNumber, EventNumber, OperationId, TaskId, Timestamp};
use nod_core::progress::Progress;
use nod_core::protocol::AuditRow;
use nod_core::schedule::Schedule;
use nod_core::task::Task;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::audit;
use super::remove::{forget_events, remove_task};
use super::rows::{AttemptRow, Bound, ClockChange, GroupRow, OperationResult, RequestRow, TaskRow};
use super::rules::{self, RuleChange};
use super::seal::SealedEnvironment;
use super::talk::{self, TalkChange};
use super::{StoreError, open_writer};
use crate::process;

/// Everything that one turn of the dispatcher changes.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub environments: Vec<SealedEnvironment>,
    pub new_tasks: Vec<TaskRow>,
    pub tasks: Vec<TaskRow>,
    /// Tasks of which more changes than where they stand.
    pub edited: Vec<TaskRow>,
    /// Tasks that ended and are to run again: the search knows the ended ones only.
    pub reopened: Vec<TaskId>,
    pub removed: Vec<TaskId>,
    /// All that is said of groups beside the config file, where it changed.
    pub groups: Option<Vec<GroupRow>>,
    pub attempts: Vec<AttemptRow>,
    pub requests: Vec<RequestRow>,
    pub progress: Vec<(TaskId, Option<Progress>)>,
    pub events: Vec<EventRow>,
    pub operations: Vec<(OperationId, Timestamp, OperationResult)>,
    pub audit: Vec<AuditRow>,
    pub rules: Vec<RuleChange>,
    pub talk: Vec<TalkChange>,
    pub clock: Option<ClockChange>,
    /// When this is, by the history's own clock: from then on what ends is kept.
    pub history: Option<Timestamp>,
    /// Lost attempts whose processes are to be ended.
    pub sweeps: Vec<(TaskId, AttemptNumber)>,
    /// The end of the output of tasks that ended.
    pub tails: Vec<(TaskId, String)>,
    /// Survives a power cut once it is written. What a restart repairs by itself need not.
    pub durable: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    pub seq: EventNumber,
    pub at: Timestamp,
    /// Nothing where it concerns no task.
    pub task: Option<TaskId>,
    pub what: String,
    pub detail: Option<String>,
}

/// The writer's connection.
pub(crate) struct Store {
    pub(super) connection: Connection,
    synchronous_full: bool,
    /// Where the file lies, and which one it is.
    path: PathBuf,
    file: Option<(u64, u64)>,
}

/// Statements run by writers of this process, for the test that bounds them.
static STATEMENTS: AtomicU64 = AtomicU64::new(0);

/// Returns how many statements the writers of this process have run, triggers included.
#[must_use]
pub fn statements_run() -> u64 {
    STATEMENTS.load(Ordering::Relaxed)
}

impl Store {
    /// Opens the database of the path, and makes or updates its tables.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = open_writer(path)?;
        connection.trace_v2(
            rusqlite::trace::TraceEventCodes::SQLITE_TRACE_STMT,
            Some(|_event| {
                STATEMENTS.fetch_add(1, Ordering::Relaxed);
            }),
        );
        let file = process::file_of(path);
        Ok(Self { connection, synchronous_full: true, path: path.to_owned(), file })
    }

    /// Looks through the whole file for damage.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        check(&self.connection)
    }

    /// Writes all of `commit`, or nothing.
    pub(crate) fn write(&mut self, commit: &Commit) -> Result<(), StoreError> {
        // SQLite would go on in a file that nobody finds any more.
        if process::file_of(&self.path) != self.file {
            return Err(StoreError::Gone(self.path.clone()));
        }
        if self.synchronous_full != commit.durable {
            let mode = if commit.durable { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", mode)?;
            self.synchronous_full = commit.durable;
        }
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        write_all(&transaction, commit)?;
        transaction.commit()?;
        Ok(())
    }

    /// Finds out whether `commit` could be written, and writes nothing.
    pub(crate) fn would_write(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        write_all(&transaction, commit)?;
        transaction.rollback()?;
        Ok(())
    }

    /// Bounds the size of the database, as a full disk does.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        let set = self.connection.pragma_update(None, "max_page_count", pages);
        set.expect("the number of pages can be bounded");
    }

    /// Changes the database by hand.
    #[cfg(test)]
    pub(crate) fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).expect("a test's SQL is right");
    }

    /// Takes no change at all, as a disk without a free byte does.
    #[cfg(test)]
    pub(crate) fn refuse_writes(&self, refuse: bool) {
        let set = self.connection.pragma_update(None, "query_only", refuse);
        set.expect("writes can be refused");
    }

    /// Forgets operations that nobody will send again.
    pub(crate) fn forget_operations(&mut self, before: Timestamp) -> Result<(), StoreError> {
        self.connection.execute("DELETE FROM operations WHERE at < ?1", [before.0])?;
        Ok(())
    }
}

/// Looks through a whole file for damage.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Unsound(found)) }
}

fn write_all(transaction: &Transaction<'_>, commit: &Commit) -> Result<(), StoreError> {
    // Before anything that goes by the new time.
    if let Some(clock) = &commit.clock {
        set_clock(transaction, clock)?;
    }
    for environment in &commit.environments {
        transaction
            .prepare_cached(
                "INSERT INTO environments (digest, sealed) VALUES (?1, ?2)
                 ON CONFLICT (digest) DO NOTHING",
            )?
            .execute(params![environment.digest, environment.sealed])?;
    }
    // Those that end first: a new one may have the key of one of them.
    for row in &commit.tasks {
        update_task(transaction, row, commit.history)?;
    }
    for row in &commit.new_tasks {
        insert_task(transaction, row, commit.history)?;
    }
    for (id, progress) in &commit.progress {
        transaction
            .prepare_cached("UPDATE tasks SET progress = ?2 WHERE id = ?1")?
            .execute(params![id.0, progress.as_ref().map(text)])?;
    }
    for row in &commit.attempts {
        put_attempt(transaction, row)?;
    }
    for row in &commit.requests {
        put_request(transaction, row)?;
    }
    for row in &commit.events {
        transaction
            .prepare_cached(
                "INSERT INTO events (seq, at, task_id, what, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![signed(row.seq.0), row.at.0, event_task(row), row.what, row.detail])?;
    }
    for (operation, at, result) in &commit.operations {
        transaction
            .prepare_cached("INSERT INTO operations (id, at, result) VALUES (?1, ?2, ?3)")?
            .execute(params![operation.0, at.0, text(result)])?;
    }
    for row in &commit.audit {
        audit::append(transaction, row)?;
    }
    for change in &commit.rules {
        rules::write(transaction, change)?;
    }
    write_rare(transaction, commit)?;
    for change in &commit.talk {
        talk::write(transaction, change)?;
    }
    for (id, tail) in &commit.tails {
        if let Err(error) = put_search(transaction, *id, tail) {
            // What is looked for is worth less than what is: an end is never refused for it.
            if !error.is_lasting() {
                return Err(error);
            }
            tracing::error!(task = id.0, "the search does not find the task: {error}");
        }
    }
    Ok(())
}

/// Has the search find a task that has ended. A row that it has already is put right, and costs
/// nothing where there is none.
fn put_search(transaction: &Transaction<'_>, id: TaskId, tail: &str) -> Result<(), StoreError> {
    let insert = || -> Result<usize, StoreError> {
        let sql = "INSERT INTO task_search (rowid, label, command, tail)
             SELECT id, label, command_text, ?2 FROM tasks WHERE id = ?1";
        Ok(transaction.prepare_cached(sql)?.execute(params![id.0, tail])?)
    };
    if let Err(error) = insert() {
        if !error.is_lasting() {
            return Err(error);
        }
        transaction.execute("DELETE FROM task_search WHERE rowid = ?1", [id.0])?;
        insert()?;
    }
    Ok(())
}

/// The first version's column takes no NULL, and no task has the number 0.
fn event_task(row: &EventRow) -> i64 {
    row.task.map_or(0, |task| task.0)
}

/// Writes what few turns have.
fn write_rare(transaction: &Transaction<'_>, commit: &Commit) -> Result<(), StoreError> {
    for row in &commit.edited {
        edit_task(transaction, row)?;
    }
    if let Some(groups) = &commit.groups {
        put_groups(transaction, groups)?;
    }
    for (id, number) in &commit.sweeps {
        transaction.execute(
            "INSERT OR IGNORE INTO sweeps (task_id, number) VALUES (?1, ?2)",
            params![id.0, number.0],
        )?;
    }
    for id in &commit.reopened {
        transaction.prepare_cached("DELETE FROM task_search WHERE rowid = ?1")?.execute([id.0])?;
    }
    for id in &commit.removed {
        remove_task(transaction, *id)?;
    }
    if !commit.removed.is_empty() {
        forget_events(transaction)?;
    }
    Ok(())
}

fn insert_task(
    transaction: &Transaction<'_>,
    row: &TaskRow,
    history: Option<Timestamp>,
) -> Result<(), StoreError> {
    let task = &row.task;
    transaction
        .prepare_cached(
            "INSERT INTO tasks (id, kind, label, command, command_text, cwd, output, session,
                 parent, timeout_ms, ask_first, attempt, state, state_json, progress, environment,
                 environment_changes, created_at, started_at, ended_at, options, condition,
                 schedule, key, bound, kept_since)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                 ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)",
        )?
        .execute(params![
            task.id.0,
            task.kind,
            task.label,
            text(&task.command),
            task.command.display(),
            task.cwd,
            text(&task.output),
            task.session.as_ref().map(|session| &session.0),
            task.parent.map(|parent| parent.0),
            task.timeout_ms.map(signed),
            task.ask_first,
            task.attempt.0,
            task.state.name().as_str(),
            text(&task.state),
            task.progress.as_ref().map(text),
            row.environment,
            text(&row.environment_changes),
            task.created_at.0,
            task.started_at.map(|at| at.0),
            task.ended_at.map(|at| at.0),
            text(&task.options),
            text(&task.condition),
            schedule(task),
            task.schedule.key,
            bound(row),
            task.ended_at.and(history).map(|at| at.0),
        ])?;
    Ok(())
}

/// Returns what a task is bound to; nothing where that is nothing.
fn bound(row: &TaskRow) -> Option<String> {
    (row.bound != Bound::default()).then(|| text(&row.bound))
}

/// Returns a task's schedule; nothing where it is as usual.
fn schedule(task: &Task) -> Option<String> {
    (task.schedule != Schedule::default()).then(|| text(&task.schedule))
}

/// Stores what an edit or another try changes, beside where the task stands.
fn edit_task(transaction: &Transaction<'_>, row: &TaskRow) -> Result<(), StoreError> {
    let task = &row.task;
    transaction
        .prepare_cached(
            "UPDATE tasks SET label = ?2, command = ?3, command_text = ?4, cwd = ?5,
                 timeout_ms = ?6, schedule = ?7, ask_first = ?8, bound = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            task.id.0,
            task.label,
            text(&task.command),
            task.command.display(),
            task.cwd,
            task.timeout_ms.map(signed),
            schedule(task),
            task.ask_first,
            bound(row),
        ])?;
    Ok(())
}

fn set_clock(transaction: &Transaction<'_>, clock: &ClockChange) -> Result<(), StoreError> {
    let ClockChange { now, jump_ms } = clock;
    transaction.execute(
        "INSERT OR REPLACE INTO clock (id, boot_id, offset_ms, history_ms, seen_ms)
         VALUES (1, ?1, ?2, ?3, ?4)",
        params![now.boot_id, now.offset_ms, now.history.0, now.seen.0],
    )?;
    if *jump_ms != 0 {
        // Each is as old as it was, or it would be forgotten too soon or never.
        transaction.execute("UPDATE operations SET at = at + ?1", [jump_ms])?;
    }
    Ok(())
}

fn put_groups(transaction: &Transaction<'_>, groups: &[GroupRow]) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM groups", [])?;
    let sql = "INSERT INTO groups (name, slots, paused) VALUES (?1, ?2, ?3)";
    for group in groups {
        transaction.prepare_cached(sql)?.execute(params![group.name, group.slots, group.paused])?;
    }
    Ok(())
}

fn update_task(
    transaction: &Transaction<'_>,
    row: &TaskRow,
    history: Option<Timestamp>,
) -> Result<(), StoreError> {
    let task = &row.task;
    transaction
        .prepare_cached(
            "UPDATE tasks SET attempt = ?2, state = ?3, state_json = ?4, progress = ?5,
                 started_at = ?6, ended_at = ?7, condition = ?8,
                 kept_since = CASE WHEN ?7 IS NULL THEN NULL
                     ELSE coalesce(kept_since, ended_at, ?9) END
             WHERE id = ?1",
        )?
        .execute(params![
            task.id.0,
            task.attempt.0,
            task.state.name().as_str(),
            text(&task.state),
            task.progress.as_ref().map(text),
            task.started_at.map(|at| at.0),
            task.ended_at.map(|at| at.0),
            text(&task.condition),
            history.map(|at| at.0),
        ])?;
    Ok(())
}

fn put_attempt(transaction: &Transaction<'_>, row: &AttemptRow) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO attempts (task_id, number, folder, token_hash, boot_id, process,
                 started_at, exited_at, ended_at, exit, peak_memory, cpu_ms, left_processes, size,
                 outcome, deadline, tail, disk)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                 ?17, ?18)
             ON CONFLICT (task_id, number) DO UPDATE SET
                 process = excluded.process, started_at = excluded.started_at,
                 exited_at = excluded.exited_at, ended_at = excluded.ended_at,
                 exit = excluded.exit, peak_memory = excluded.peak_memory,
                 cpu_ms = excluded.cpu_ms, left_processes = excluded.left_processes,
                 size = excluded.size, outcome = excluded.outcome,
                 deadline = excluded.deadline, tail = excluded.tail,
                 disk = excluded.disk",
        )?
        .execute(params![
            row.task.0,
            row.number.0,
            row.folder,
            row.token_hash,
            row.boot_id,
            row.process,
            row.started_at.map(|at| at.0),
            row.exited_at.map(|at| at.0),
            row.ended_at.map(|at| at.0),
            row.exit.as_ref().map(text),
            row.peak_memory.map(signed),
            row.cpu_ms.map(signed),
            text(&row.left),
            signed(row.size),
            row.outcome.as_ref().map(text),
            row.deadline.map(signed),
            row.tail,
            row.disk.map(signed),
        ])?;
    Ok(())
}

fn put_request(transaction: &Transaction<'_>, row: &RequestRow) -> Result<(), StoreError> {
    let request = &row.request;
    transaction
        .prepare_cached(
            "INSERT INTO requests (id, operation, task_id, attempt, origin, shown, hash,
                 created_at, expires_at, closure, asked_by, on_timeout, remind_ms, asked_for,
                 also_asked)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT (id) DO UPDATE SET closure = excluded.closure,
                 operation = excluded.operation, expires_at = excluded.expires_at,
                 asked_by = excluded.asked_by, also_asked = excluded.also_asked",
        )?
        .execute(params![
            request.id.0,
            row.operation.as_ref().map(|operation| &operation.0),
            request.task.map(|task| task.0),
            request.attempt.0,
            text(&request.origin),
            text(&request.shown),
            request.hash,
            request.created_at.0,
            request.expires_at.map(|at| at.0),
            request.closure.as_ref().map(text),
            request.asked_by.as_ref().map(text),
            text(&request.on_timeout),
            request.remind_ms.map(signed),
            row.asked_for.as_ref().map(text),
            (!row.folded.is_empty()).then(|| text(&row.folded_rows())),
        ])?;
    Ok(())
}

pub(super) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own types are JSON")
}

/// SQLite's integers are signed; what Nod counts never comes near the limit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
