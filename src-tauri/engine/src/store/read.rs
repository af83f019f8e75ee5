//! Reading the history, beside the writer and never in its way.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nod_core::ids::{
    AttemptNumber, EventNumber, OperationId, RequestId, SessionId, TaskId, Timestamp,
};
use nod_core::protocol::{MESSAGE_LIMIT, StoredEvent, WatchedEvent};
use nod_core::request::Request;
use nod_core::task::{StateName, Task};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use super::rows::{AttemptRow, ClockRow, GroupRow, LiveRow, OperationResult, RequestRow, TaskRow};
use super::seal::SealedEnvironment;
use super::{StoreError, open_reader};

/// How large a page is at the most: half a message.
pub(super) const PAGE_BYTES: usize = MESSAGE_LIMIT / 2;

/// Connections that can only read, opened as they are needed and kept.
#[derive(Clone)]
pub(crate) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Reader>>>,
}

/// A lent connection; goes back when it is dropped.
pub(crate) struct Lent {
    reader: Option<Reader>,
    readers: Readers,
}

/// One read-only connection.
pub(crate) struct Reader {
    pub(super) connection: Connection,
}

impl Readers {
    #[must_use]
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default() }
    }

    /// Returns a connection for one reading.
    pub(crate) fn lend(&self) -> Result<Lent, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::over(open_reader(&self.path)?),
        };
        Ok(Lent { reader: Some(reader), readers: self.clone() })
    }
}

impl Deref for Lent {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.reader.as_ref().expect("a lent reader is there until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut idle = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.reader.take());
    }
}

pub(super) const TASK: &str =
    "tasks.id, kind, tasks.label, tasks.command, cwd, output, session, parent,
    timeout_ms, ask_first, attempt, state_json, progress, created_at, started_at, ended_at,
    environment, environment_changes, options, condition, schedule, bound";

const ATTEMPT: &str = "task_id, number, folder, token_hash, boot_id, process, started_at,
    exited_at, ended_at, exit, peak_memory, cpu_ms, left_processes, size, outcome, deadline,
    tail, disk";

const REQUEST: &str = "id, operation, task_id, attempt, origin, shown, hash, created_at,
    expires_at, closure, asked_by, on_timeout, remind_ms, asked_for,
    also_asked";

pub(super) const UNFINISHED: &str =
    "state IN ('queued', 'starting', 'running', 'waiting', 'stopping')";

impl Reader {
    pub(super) fn over(connection: Connection) -> Self {
        Self { connection }
    }

    /// Returns whether all that is kept of a task can be understood.
    pub(super) fn can_read(&self, id: TaskId) -> bool {
        self.task(id).is_ok_and(|task| task.is_some())
            && self.attempts(id).is_ok()
            && self.requests(id).is_ok()
            && self.events(id).is_ok()
    }

    /// Runs `read` on one unchanging view of the database.
    pub(crate) fn at_one_moment<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        let value = read(self)?;
        transaction.finish()?;
        Ok(value)
    }

    /// Returns the task, or nothing when there is none of this id.
    pub(crate) fn task(&self, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
        let sql = format!("SELECT {TASK} FROM tasks WHERE id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement.query_row([id.0], |row| Ok(task_row(row))).optional()?.transpose()
    }

    /// Returns every task that has not ended, oldest first.
    pub(crate) fn unfinished(&self) -> Result<Vec<TaskRow>, StoreError> {
        let sql = format!("SELECT {TASK} FROM tasks WHERE {UNFINISHED} ORDER BY id");
        self.rows(&sql, [], task_row)
    }

    /// Returns so many of the tasks before one that have not ended, newest first.
    pub(crate) fn unfinished_before(
        &self,
        before: TaskId,
        limit: u32,
    ) -> Result<Vec<Task>, StoreError> {
        let sql = format!(
            "SELECT {TASK} FROM tasks WHERE {UNFINISHED} AND id < ?1 ORDER BY id DESC LIMIT ?2"
        );
        let rows = self.rows(&sql, params![before.0, limit], task_row)?;
        Ok(rows.into_iter().map(|row| row.task).collect())
    }

    /// Returns every task that has not ended with its current try, oldest first.
    pub(crate) fn live(&self) -> Result<Vec<LiveRow>, StoreError> {
        self.unfinished()?
            .into_iter()
            .map(|task| {
                let id = task.task.id;
                let attempt =
                    self.attempts(id)?.into_iter().find(|row| row.number == task.task.attempt);
                Ok(LiveRow { task, attempt })
            })
            .collect()
    }

    /// Returns the tries of a task, first to last.
    pub(crate) fn attempts(&self, id: TaskId) -> Result<Vec<AttemptRow>, StoreError> {
        let sql = format!("SELECT {ATTEMPT} FROM attempts WHERE task_id = ?1 ORDER BY number");
        self.rows(&sql, [id.0], attempt_row)
    }

    /// Returns where logs are, the newest first, from one attempt on.
    pub(crate) fn logs(
        &self,
        task: Option<TaskId>,
        from: (TaskId, AttemptNumber),
        limit: u32,
    ) -> Result<Vec<(TaskId, AttemptNumber, String)>, StoreError> {
        let sql = "SELECT task_id, number, folder FROM attempts
            WHERE (task_id, number) <= (?1, ?2) AND task_id >= ?3
            ORDER BY task_id DESC, number DESC LIMIT ?4";
        let (last, number) = task.map_or(from, |id| (id, from.1));
        let first = task.map_or(0, |id| id.0);
        self.rows(sql, params![last.0, number.0, first, limit], |row| {
            Ok((TaskId(row.get(0)?), AttemptNumber(row.get(1)?), row.get(2)?))
        })
    }

    /// Returns the questions of a task, oldest first.
    pub(crate) fn requests(&self, id: TaskId) -> Result<Vec<Request>, StoreError> {
        let sql = format!("SELECT {REQUEST} FROM requests WHERE task_id = ?1 ORDER BY id");
        let rows = self.rows(&sql, [id.0], request_row)?;
        Ok(rows.into_iter().map(|row| row.request).collect())
    }

    /// Returns one question.
    pub(crate) fn request(&self, id: RequestId) -> Result<Option<Request>, StoreError> {
        Ok(self.request_row(id)?.map(|row| row.request))
    }

    /// Returns one question, and what is not for everybody.
    pub(crate) fn request_row(&self, id: RequestId) -> Result<Option<RequestRow>, StoreError> {
        let sql = format!("SELECT {REQUEST} FROM requests WHERE id = ?1");
        Ok(self.rows(&sql, [id.0], request_row)?.into_iter().next())
    }

    /// Returns every open question, oldest first.
    pub(crate) fn open_requests(&self) -> Result<Vec<RequestRow>, StoreError> {
        let sql = format!("SELECT {REQUEST} FROM requests WHERE closure IS NULL ORDER BY id");
        self.rows(&sql, [], request_row)
    }

    /// Returns what happened to a task, in order.
    pub(crate) fn events(&self, id: TaskId) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = "SELECT seq, at, what, detail FROM events WHERE task_id = ?1 ORDER BY seq";
        self.rows(sql, [id.0], |row| {
            Ok(StoredEvent {
                seq: EventNumber(unsigned(row.get(0)?)),
                at: Timestamp(row.get(1)?),
                what: row.get(2)?,
                detail: row.get(3)?,
            })
        })
    }

    /// Returns what happened after an event, in order.
    pub(crate) fn events_after(
        &self,
        since: EventNumber,
        limit: u32,
    ) -> Result<Vec<WatchedEvent>, StoreError> {
        let sql = "SELECT seq, at, task_id, what, detail FROM events WHERE seq > ?1
             ORDER BY seq LIMIT ?2";
        let since = i64::try_from(since.0).unwrap_or(i64::MAX);
        self.rows(sql, [since, i64::from(limit)], |row| {
            Ok(WatchedEvent {
                seq: EventNumber(unsigned(row.get(0)?)),
                at: Timestamp(row.get(1)?),
                task_id: Some(row.get(2)?).filter(|id| *id != 0).map(TaskId),
                event: row.get(3)?,
                detail: row.get(4)?,
            })
        })
    }

    /// Returns up to which event some are forgotten that no task has any more.
    pub(crate) fn forgotten_events(&self) -> Result<EventNumber, StoreError> {
        let sql = "SELECT coalesce((SELECT forgotten FROM last_event), 0)";
        Ok(EventNumber(unsigned(self.one(sql, |row| row.get(0))?)))
    }

    /// Returns how the clock stood when a host looked last.
    pub(crate) fn clock(&self) -> Result<Option<ClockRow>, StoreError> {
        let sql = "SELECT boot_id, offset_ms, history_ms, seen_ms FROM clock WHERE id = 1";
        let row = self.one(sql, |row| {
            let (history, seen) = (Timestamp(row.get(2)?), Timestamp(row.get(3)?));
            Ok(ClockRow { boot_id: row.get(0)?, offset_ms: row.get(1)?, history, seen })
        });
        Ok(row.optional()?)
    }

    /// Returns what was said of groups beside the config file.
    pub(crate) fn groups(&self) -> Result<Vec<GroupRow>, StoreError> {
        self.rows("SELECT name, slots, paused FROM groups ORDER BY name", [], |row| {
            Ok(GroupRow { name: row.get(0)?, slots: row.get(1)?, paused: row.get(2)? })
        })
    }

    /// Returns what an operation came to, if it was carried out.
    pub(crate) fn operation(
        &self,
        id: &OperationId,
    ) -> Result<Option<OperationResult>, StoreError> {
        let sql = "SELECT result FROM operations WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let result: Option<String> = statement.query_row([&id.0], |row| row.get(0)).optional()?;
        result.map(|result| json("operations", 0, &result)).transpose()
    }

    /// Returns the operations that may be sent again, oldest first.
    pub(crate) fn operations(&self) -> Result<Vec<(OperationId, OperationResult)>, StoreError> {
        self.rows("SELECT id, result FROM operations ORDER BY at", [], |row| {
            Ok((OperationId(row.get(0)?), json("operations", 0, &row.get::<_, String>(1)?)?))
        })
    }

    /// Returns the last number that a table has given.
    pub(super) fn given(&self, table: &str) -> Result<i64, StoreError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        let last = self.connection.query_row(sql, [table], |row| row.get(0)).optional()?;
        Ok(last.unwrap_or(0))
    }

    /// Returns the last numbers given: of a task, a request and an event.
    pub(crate) fn last_numbers(&self) -> Result<(TaskId, RequestId, EventNumber), StoreError> {
        let seq = self.one(
            "SELECT max(coalesce((SELECT max(seq) FROM events), 0),
                     coalesce((SELECT seq FROM last_event), 0))",
            |row| row.get(0),
        )?;
        Ok((
            TaskId(self.given("tasks")?),
            RequestId(self.given("requests")?),
            EventNumber(unsigned(seq)),
        ))
    }

    /// Returns the last attempt of each task that has any.
    pub(crate) fn last_attempts(&self) -> Result<BTreeMap<TaskId, AttemptNumber>, StoreError> {
        let rows =
            self.rows("SELECT task_id, max(number) FROM attempts GROUP BY 1", [], |row| {
                Ok((TaskId(row.get(0)?), AttemptNumber(row.get(1)?)))
            })?;
        Ok(rows.into_iter().collect())
    }

    /// Returns the folder of the newest task's last attempt.
    pub(crate) fn newest_folder(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT folder FROM attempts ORDER BY task_id DESC, number DESC LIMIT 1";
        Ok(self.connection.query_row(sql, [], |row| row.get(0)).optional()?)
    }

    /// Returns how many tasks are in each state.
    pub(crate) fn counts(&self) -> Result<BTreeMap<StateName, u64>, StoreError> {
        let rows = self.rows("SELECT state, n FROM counts WHERE n > 0", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })?;
        Ok(rows
            .into_iter()
            .filter_map(|(state, n)| Some((StateName::parse(&state)?, unsigned(n))))
            .collect())
    }

    /// Returns an environment as it was sealed.
    pub(crate) fn environment(
        &self,
        digest: &[u8],
    ) -> Result<Option<SealedEnvironment>, StoreError> {
        let sql = "SELECT sealed FROM environments WHERE digest = ?1";
        let sealed = self
            .connection
            .prepare_cached(sql)?
            .query_row([digest], |row| row.get(0))
            .optional()?;
        Ok(sealed.map(|sealed| SealedEnvironment { digest: digest.to_vec(), sealed }))
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.prepare_cached(sql)?.query_row([], read)
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            values.push(read(row)?);
        }
        Ok(values)
    }
}

pub(super) fn task_row(row: &Row<'_>) -> Result<TaskRow, StoreError> {
    let id: i64 = row.get(0)?;
    let text = |column: usize| row.get::<_, String>(column);
    let progress: Option<String> = row.get(12)?;
    let schedule: Option<String> = row.get(20)?;
    let task = Task {
        id: TaskId(id),
        kind: text(1)?,
        label: row.get(2)?,
        command: json("tasks", id, &text(3)?)?,
        cwd: text(4)?,
        output: json("tasks", id, &text(5)?)?,
        options: json("tasks", id, &text(18)?)?,
        session: row.get::<_, Option<String>>(6)?.map(SessionId),
        parent: row.get::<_, Option<i64>>(7)?.map(TaskId),
        timeout_ms: row.get::<_, Option<i64>>(8)?.map(unsigned),
        ask_first: row.get(9)?,
        schedule: schedule.map(|text| json("tasks", id, &text)).transpose()?.unwrap_or_default(),
        attempt: AttemptNumber(row.get(10)?),
        state: json("tasks", id, &text(11)?)?,
        condition: json("tasks", id, &text(19)?)?,
        progress: progress.map(|progress| json("tasks", id, &progress)).transpose()?,
        created_at: Timestamp(row.get(13)?),
        started_at: row.get::<_, Option<i64>>(14)?.map(Timestamp),
        ended_at: row.get::<_, Option<i64>>(15)?.map(Timestamp),
    };
    let environment = row.get(16)?;
    let environment_changes = json("tasks", id, &text(17)?)?;
    let bound: Option<String> = row.get(21)?;
    let bound = bound.map(|text| json("tasks", id, &text)).transpose()?.unwrap_or_default();
    Ok(TaskRow { task, environment, environment_changes, bound })
}

fn attempt_row(row: &Row<'_>) -> Result<AttemptRow, StoreError> {
    let id: i64 = row.get(0)?;
    let time = |column: usize| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
    };
    let exit: Option<String> = row.get(9)?;
    let outcome: Option<String> = row.get(14)?;
    Ok(AttemptRow {
        task: TaskId(id),
        number: AttemptNumber(row.get(1)?),
        folder: row.get(2)?,
        token_hash: row.get(3)?,
        boot_id: row.get(4)?,
        process: row.get(5)?,
        started_at: time(6)?,
        exited_at: time(7)?,
        ended_at: time(8)?,
        exit: exit.map(|exit| json("attempts", id, &exit)).transpose()?,
        outcome: outcome.map(|outcome| json("attempts", id, &outcome)).transpose()?,
        peak_memory: row.get::<_, Option<i64>>(10)?.map(unsigned),
        cpu_ms: row.get::<_, Option<i64>>(11)?.map(unsigned),
        left: json("attempts", id, &row.get::<_, String>(12)?)?,
        size: unsigned(row.get(13)?),
        deadline: row.get::<_, Option<i64>>(15)?.map(unsigned),
        tail: row.get(16)?,
        disk: row.get::<_, Option<i64>>(17)?.map(unsigned),
    })
}

fn request_row(row: &Row<'_>) -> Result<RequestRow, StoreError> {
    let id: i64 = row.get(0)?;
    let closure: Option<String> = row.get(9)?;
    let asked_by: Option<String> = row.get(10)?;
    let request = Request {
        id: RequestId(id),
        task: row.get::<_, Option<i64>>(2)?.map(TaskId),
        attempt: AttemptNumber(row.get(3)?),
        origin: json("requests", id, &row.get::<_, String>(4)?)?,
        shown: json("requests", id, &row.get::<_, String>(5)?)?,
        hash: row.get(6)?,
        created_at: Timestamp(row.get(7)?),
        expires_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        closure: closure.map(|closure| json("requests", id, &closure)).transpose()?,
        asked_by: asked_by.map(|asker| json("requests", id, &asker)).transpose()?,
        also_asked_by: vec![],
        on_timeout: json("requests", id, &row.get::<_, String>(11)?)?,
        remind_ms: row.get::<_, Option<i64>>(12)?.map(unsigned),
    };
    let operation = row.get::<_, Option<String>>(1)?.map(OperationId);
    let asked_for: Option<String> = row.get(13)?;
    let asked_for = asked_for.map(|who| json("requests", id, &who)).transpose()?;
    let folded: Option<String> = row.get(14)?;
    let folded = folded.map(|folded| json("requests", id, &folded)).transpose()?;
    Ok(RequestRow::new(request, operation, asked_for).with_folded(folded.unwrap_or_default()))
}

pub(super) fn json<T: DeserializeOwned>(
    table: &'static str,
    id: i64,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Damaged { table, id, source })
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
