//! What is old enough to be removed, and what removed and lost tasks have left.

use nod_core::ids::{AttemptNumber, TaskId, Timestamp};
use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::StoreError;
use super::read::Reader;
use super::write::{Store, text};
use crate::history_clock::LastUse;

const ENDED: &str = "state NOT IN ('queued', 'starting', 'running', 'waiting', 'stopping')";

impl Store {
    /// Notes that folders are gone.
    pub(crate) fn forget_leftovers(&mut self, folders: &[String]) -> Result<(), StoreError> {
        for folder in folders {
            self.connection.execute("DELETE FROM leftovers WHERE folder = ?1", [folder])?;
        }
        Ok(())
    }
}

impl Store {
    /// Notes that the processes of a lost attempt are gone, but for those that are `left`.
    pub(crate) fn forget_sweep(
        &mut self,
        id: TaskId,
        number: AttemptNumber,
        left: &[String],
    ) -> Result<(), StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let of = (id.0, number.0);
        transaction.execute("DELETE FROM sweeps WHERE task_id = ?1 AND number = ?2", of)?;
        if !left.is_empty() {
            let sql = "UPDATE attempts SET left_processes = ?3 WHERE task_id = ?1 AND number = ?2";
            transaction.execute(sql, params![id.0, number.0, text(&left)])?;
        }
        transaction.commit()?;
        Ok(())
    }
}

impl Reader {
    /// Returns the lost attempts whose processes may not be ended yet.
    pub(crate) fn sweeps(&self) -> Result<Vec<(TaskId, AttemptNumber)>, StoreError> {
        self.rows("SELECT task_id, number FROM sweeps", [], |row| {
            Ok((TaskId(row.get(0)?), AttemptNumber(row.get(1)?)))
        })
    }

    /// Returns folders of removed tasks that may still be there, by their names after `after`.
    pub(crate) fn leftovers(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT folder FROM leftovers WHERE folder > ?1 ORDER BY folder LIMIT ?2";
        self.rows(sql, params![after, limit], |row| Ok(row.get(0)?))
    }

    /// Returns whether a folder is that of a removed task.
    pub(crate) fn is_leftover(&self, folder: &str) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM leftovers WHERE folder = ?1";
        let count: i64 = self.connection.query_row(sql, [folder], |row| row.get(0))?;
        Ok(count > 0)
    }

    /// Returns the tasks that ended first, with when they did by the history's own clock and how
    /// much of the disk they take.
    pub(crate) fn oldest_ended(
        &self,
        limit: u32,
    ) -> Result<Vec<(TaskId, Timestamp, u64)>, StoreError> {
        let sql = format!(
            "SELECT id, coalesce(kept_since, ended_at, created_at),
                 (SELECT coalesce(sum(coalesce(disk, size)), 0)
                  FROM attempts WHERE task_id = tasks.id)
             FROM tasks WHERE {ENDED}
             ORDER BY coalesce(kept_since, ended_at, created_at), id LIMIT ?1"
        );
        self.rows(&sql, params![limit], |row| {
            let size: i64 = row.get(2)?;
            Ok((TaskId(row.get(0)?), Timestamp(row.get(1)?), u64::try_from(size).unwrap_or(0)))
        })
    }

    /// Returns when something happened last, and when the task that ended last did.
    pub(crate) fn last_use(&self) -> Result<LastUse, StoreError> {
        let at = |sql: &str| -> Result<Option<Timestamp>, StoreError> {
            let found = self.connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
            Ok(found.optional()?.flatten().map(Timestamp))
        };
        let event = at("SELECT at FROM events ORDER BY seq DESC LIMIT 1")?;
        let end = at(&format!(
            "SELECT max(coalesce(kept_since, ended_at, created_at)) FROM tasks WHERE {ENDED}"
        ))?;
        Ok(LastUse { event, end })
    }

    /// Returns how many bytes of the disk all tries take; what each printed, where only that is known.
    pub(crate) fn size_of_tries(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(coalesce(disk, size)), 0) FROM attempts";
        let size: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(u64::try_from(size).unwrap_or(0))
    }
}
