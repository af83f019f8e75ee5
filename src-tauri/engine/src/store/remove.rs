//! Taking tasks out of the history, with all that belongs to them. What was answered stays in the
//! audit, which only grows.

use nod_core::ids::TaskId;
use rusqlite::{OptionalExtension as _, Transaction};

use super::StoreError;

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
