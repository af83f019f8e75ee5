//! One row a commit, in a database of its own.

use std::path::Path;

use rusqlite::Connection;

/// Whether a commit survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synchronous {
    Normal,
    Full,
}

/// A database with one table of tasks.
pub(crate) struct Rows {
    connection: Connection,
}

impl Rows {
    pub(crate) fn create(path: &Path, synchronous: Synchronous) -> anyhow::Result<Self> {
        let connection = Connection::open(path)?;
        let mode = match synchronous {
            Synchronous::Normal => "NORMAL",
            Synchronous::Full => "FULL",
        };
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", mode)?;
        connection.execute_batch(
            "CREATE TABLE tasks (id INTEGER PRIMARY KEY, command TEXT, state TEXT, code INTEGER)
             STRICT",
        )?;
        Ok(Self { connection })
    }

    /// Adds so many tasks in one commit.
    pub(crate) fn add(&mut self, n: usize) -> anyhow::Result<()> {
        let transaction = self.connection.transaction()?;
        for _ in 0..n {
            transaction
                .prepare_cached("INSERT INTO tasks (command, state) VALUES ('true', 'queued')")?
                .execute([])?;
        }
        Ok(transaction.commit()?)
    }

    /// Sets the state of these tasks in one commit.
    pub(crate) fn set(&mut self, ids: &[i64], state: &str) -> anyhow::Result<()> {
        let transaction = self.connection.transaction()?;
        for id in ids {
            transaction
                .prepare_cached("UPDATE tasks SET state = ?2, code = 0 WHERE id = ?1")?
                .execute((id, state))?;
        }
        Ok(transaction.commit()?)
    }
}
