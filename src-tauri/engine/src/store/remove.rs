//! Taking a task out of the history. What was answered stays in the audit, which only grows.

use nod_core::ids::TaskId;
use rusqlite::Transaction;

use super::StoreError;

/// Removes a task that has ended, and all that belongs to it alone.
pub(super) fn remove_task(transaction: &Transaction<'_>, id: TaskId) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM requests WHERE task_id = ?1",
        "DELETE FROM attempts WHERE task_id = ?1",
        // What says that it was removed comes later, so no number of an event is given twice.
        "DELETE FROM events WHERE task_id = ?1 AND what <> 'removed'",
        "DELETE FROM task_search WHERE rowid = ?1",
        "DELETE FROM tasks WHERE id = ?1",
    ] {
        transaction.prepare_cached(sql)?.execute([id.0])?;
    }
    Ok(())
}
