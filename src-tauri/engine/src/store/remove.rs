//! Taking tasks out of the history, with all that belongs to them. What was answered stays in the
//! audit, which only grows.

use nod_core::ids::TaskId;
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior};

use super::StoreError;
use super::write::Store;

/// How many events are kept of removed tasks and of none, for those who were away meanwhile. Those
/// of a task that is there stay with it.
const EVENTS_KEPT: i64 = 10_000;

/// How many events are forgotten at once at the most.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

impl Store {
    /// Forgets some events that no task has any more, where there are more than are kept.
    pub(crate) fn forget_events(&mut self) -> Result<(), StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        keep_last_event(&transaction)?;
        forget_events(&transaction)?;
        transaction.commit()?;
        Ok(())
    }
}

/// Removes a task that has ended, and all that belongs to it alone. Its folders are
/// [`super::Reader::leftovers`] from then on.
pub(super) fn remove_task(transaction: &Transaction<'_>, id: TaskId) -> Result<(), StoreError> {
    keep_last_event(transaction)?;
    let environment: Option<Vec<u8>> = transaction
        .prepare_cached("SELECT environment FROM tasks WHERE id = ?1")?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    for sql in [
        "INSERT OR IGNORE INTO leftovers SELECT folder FROM attempts WHERE task_id = ?1",
        "DELETE FROM attempts WHERE task_id = ?1",
        "DELETE FROM sweeps WHERE task_id = ?1",
        "DELETE FROM requests WHERE task_id = ?1",
        // Those who watch are still to hear that it was removed.
        "DELETE FROM events WHERE task_id = ?1 AND what <> 'removed'",
        "DELETE FROM signals WHERE task_id = ?1",
        "DELETE FROM waits WHERE task_id = ?1",
        "DELETE FROM messages WHERE task_id = ?1",
        "DELETE FROM notices WHERE task_id = ?1",
        "DELETE FROM task_search WHERE rowid = ?1",
        "DELETE FROM tasks WHERE id = ?1",
    ] {
        transaction.prepare_cached(sql)?.execute([id.0])?;
    }
    let sql = "DELETE FROM environments WHERE digest = ?1
        AND NOT EXISTS (SELECT 1 FROM tasks WHERE environment = ?1)";
    transaction.prepare_cached(sql)?.execute([environment])?;
    Ok(())
}

/// Notes the last number of an event, which is not given again when the event goes.
pub(super) fn keep_last_event(connection: &rusqlite::Connection) -> Result<(), StoreError> {
    let sql = "INSERT INTO last_event (id, seq) SELECT 1, max(seq) FROM events WHERE true HAVING max(seq) > 0
         ON CONFLICT (id) DO UPDATE SET seq = max(seq, excluded.seq)";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Forgets the oldest events that no task has any more, and notes up to where.
pub(super) fn forget_events(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let newest = "SELECT seq FROM events WHERE (what = 'removed' OR task_id = 0)
        ORDER BY seq DESC LIMIT 1 OFFSET ?1";
    let newest: Option<i64> = transaction
        .prepare_cached(newest)?
        .query_row([EVENTS_KEPT], |row| row.get(0))
        .optional()?;
    let Some(newest) = newest else { return Ok(()) };
    let some = "SELECT max(seq) FROM (SELECT seq FROM events
        WHERE (what = 'removed' OR task_id = 0) AND seq <= ?1 ORDER BY seq LIMIT ?2)";
    let last: i64 = transaction
        .prepare_cached(some)?
        .query_row([newest, FORGOTTEN_AT_ONCE], |row| row.get(0))?;
    for sql in [
        "DELETE FROM events WHERE (what = 'removed' OR task_id = 0) AND seq <= ?1",
        "UPDATE last_event SET forgotten = ?1",
    ] {
        transaction.prepare_cached(sql)?.execute([last])?;
    }
    Ok(())
}
