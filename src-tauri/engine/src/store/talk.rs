//! Signals, waits, messages and notices: what is still to be handed over.

use nod_core::ids::{OperationId, SessionId, TaskId, Timestamp};
use nod_core::protocol::InboxMessage;
use rusqlite::{Transaction, params};
use serde_json::Value;

use super::StoreError;
use super::read::{Reader, json};
use super::write::text;

/// A signal that nobody waited for yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SignalRow {
    pub(crate) id: i64,
    pub(crate) task: TaskId,
    pub(crate) key: String,
    pub(crate) data: Value,
    pub(crate) at: Timestamp,
}

/// A task that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WaitRow {
    pub(crate) operation: OperationId,
    pub(crate) task: TaskId,
    pub(crate) key: String,
    pub(crate) began_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) resume_at: Option<Timestamp>,
}

/// Words of a task for a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoticeRow {
    pub(crate) session: Option<SessionId>,
    pub(crate) task: TaskId,
    pub(crate) at: Timestamp,
    pub(crate) urgent: bool,
    pub(crate) text: String,
}

/// A change of what is still to be handed over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TalkChange {
    Kept(SignalRow),
    Taken(i64),
    Waits(WaitRow),
    WaitsNoMore(OperationId),
    Message(TaskId, InboxMessage),
    /// Messages up to this one were taken in.
    Seen(TaskId, i64),
    Notice(NoticeRow),
    /// The task has ended: nobody takes anything any more.
    Over(TaskId),
}

/// Everything that is still to be handed over.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) signals: Vec<SignalRow>,
    pub(crate) waits: Vec<WaitRow>,
    pub(crate) messages: Vec<(TaskId, InboxMessage)>,
    pub(crate) last_signal: i64,
    pub(crate) last_message: i64,
}

pub(super) fn write(transaction: &Transaction<'_>, change: &TalkChange) -> Result<(), StoreError> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<(), StoreError> {
        transaction.prepare_cached(sql)?.execute(values)?;
        Ok(())
    };
    match change {
        TalkChange::Kept(row) => run(
            "INSERT INTO signals (id, task_id, key, data, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![row.id, row.task.0, row.key, text(&row.data), row.at.0],
        ),
        TalkChange::Taken(id) => run("DELETE FROM signals WHERE id = ?1", params![id]),
        TalkChange::Waits(row) => run(
            "INSERT INTO waits (operation, task_id, key, began_at, expires_at, resume_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                row.operation.0,
                row.task.0,
                row.key,
                row.began_at.0,
                row.expires_at.map(|at| at.0),
                row.resume_at.map(|at| at.0),
            ],
        ),
        TalkChange::WaitsNoMore(operation) => {
            run("DELETE FROM waits WHERE operation = ?1", params![operation.0])
        }
        TalkChange::Message(task, row) => run(
            "INSERT INTO messages (id, task_id, at, actor, content, interrupt)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![row.id, task.0, row.at.0, text(&row.by), row.text, row.interrupt],
        ),
        TalkChange::Seen(task, last) => {
            run("DELETE FROM messages WHERE task_id = ?1 AND id <= ?2", params![task.0, last])
        }
        TalkChange::Notice(row) => run(
            "INSERT INTO notices (session, task_id, at, urgent, content)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                row.session.as_ref().map(|session| &session.0),
                row.task.0,
                row.at.0,
                row.urgent,
                row.text,
            ],
        ),
        TalkChange::Over(task) => {
            for table in ["signals", "waits", "messages"] {
                run(&format!("DELETE FROM {table} WHERE task_id = ?1"), params![task.0])?;
            }
            Ok(())
        }
    }
}

impl Reader {
    /// Returns everything that is still to be handed over.
    pub(crate) fn talk(&self) -> Result<Talk, StoreError> {
        let signals = "SELECT id, task_id, key, data, at FROM signals ORDER BY id";
        let waits = "SELECT operation, task_id, key, began_at, expires_at, resume_at FROM waits";
        let messages =
            "SELECT id, task_id, at, actor, content, interrupt FROM messages ORDER BY id";
        let signals = self.rows(signals, [], |row| {
            let id = row.get(0)?;
            Ok(SignalRow {
                id,
                task: TaskId(row.get(1)?),
                key: row.get(2)?,
                data: json("signals", id, &row.get::<_, String>(3)?)?,
                at: Timestamp(row.get(4)?),
            })
        })?;
        let waits = self.rows(waits, [], |row| {
            Ok(WaitRow {
                operation: OperationId(row.get(0)?),
                task: TaskId(row.get(1)?),
                key: row.get(2)?,
                began_at: Timestamp(row.get(3)?),
                expires_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
                resume_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
            })
        })?;
        let messages = self.rows(messages, [], |row| {
            let id = row.get(0)?;
            let message = InboxMessage {
                id,
                at: Timestamp(row.get(2)?),
                by: json("messages", id, &row.get::<_, String>(3)?)?,
                text: row.get(4)?,
                interrupt: row.get(5)?,
            };
            Ok((TaskId(row.get(1)?), message))
        })?;
        let (last_signal, last_message) = (self.given("signals")?, self.given("messages")?);
        Ok(Talk { signals, waits, messages, last_signal, last_message })
    }
}
