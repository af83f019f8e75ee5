//! Removing tasks from the history, with all that belongs to them but the audit.

use nod_core::ids::{TaskId, Timestamp};
use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::StoreError;
use super::read::Reader;
use super::write::Store;

const ENDED: &str = "state NOT IN ('queued', 'starting', 'running', 'waiting', 'stopping')";

impl Store {
    /// Removes tasks that have ended; what else is among `ids` stays. Their folders are
    /// [`Reader::leftovers`] from then on.
    pub(crate) fn prune(&mut self, ids: &[TaskId]) -> Result<usize, StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut removed = 0;
        for id in ids {
            let sql = format!("SELECT environment FROM tasks WHERE id = ?1 AND {ENDED}");
            let environment: Option<Vec<u8>> =
                transaction.query_row(&sql, [id.0], |row| row.get(0)).optional()?;
            let Some(environment) = environment else { continue };
            let statements = [
                "INSERT OR IGNORE INTO leftovers SELECT folder FROM attempts WHERE task_id = ?1",
                "DELETE FROM attempts WHERE task_id = ?1",
                "DELETE FROM requests WHERE task_id = ?1",
                "DELETE FROM events WHERE task_id = ?1",
                "DELETE FROM signals WHERE task_id = ?1",
                "DELETE FROM waits WHERE task_id = ?1",
                "DELETE FROM messages WHERE task_id = ?1",
                "DELETE FROM task_search WHERE rowid = ?1",
                "DELETE FROM tasks WHERE id = ?1",
            ];
            for sql in statements {
                transaction.prepare_cached(sql)?.execute([id.0])?;
            }
            let sql = "DELETE FROM environments WHERE digest = ?1
                AND NOT EXISTS (SELECT 1 FROM tasks WHERE environment = ?1)";
            transaction.prepare_cached(sql)?.execute([environment])?;
            removed += 1;
        }
        transaction.commit()?;
        Ok(removed)
    }

    /// Notes that folders are gone.
    pub(crate) fn forget_leftovers(&mut self, folders: &[String]) -> Result<(), StoreError> {
        for folder in folders {
            self.connection.execute("DELETE FROM leftovers WHERE folder = ?1", [folder])?;
        }
        Ok(())
    }
}

impl Reader {
    /// Returns folders of removed tasks that may still be there.
    pub(crate) fn leftovers(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.rows("SELECT folder FROM leftovers LIMIT ?1", [limit], |row| Ok(row.get(0)?))
    }

    /// Returns the oldest tasks that have ended, with when they did and how large their logs are.
    pub(crate) fn oldest_ended(
        &self,
        limit: u32,
    ) -> Result<Vec<(TaskId, Timestamp, u64)>, StoreError> {
        let sql = format!(
            "SELECT id, coalesce(ended_at, created_at),
                 (SELECT coalesce(sum(size), 0) FROM attempts WHERE task_id = tasks.id)
             FROM tasks WHERE {ENDED} ORDER BY id LIMIT ?1"
        );
        self.rows(&sql, params![limit], |row| {
            let size: i64 = row.get(2)?;
            Ok((TaskId(row.get(0)?), Timestamp(row.get(1)?), u64::try_from(size).unwrap_or(0)))
        })
    }

    /// Returns how many bytes all logs have been.
    pub(crate) fn size_of_logs(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(size), 0) FROM attempts";
        let size: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(u64::try_from(size).unwrap_or(0))
    }
}
