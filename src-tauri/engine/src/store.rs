//! The only SQL there is: opening the database, and its one writer.
//!
//! What is written comes as a [`Commit`], one transaction each. Reading beside
//! the writer is in [`read`].

mod audit;
mod read;
mod rows;
mod seal;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, MigrationDefinitionError, Migrations};

pub(crate) use read::{Reader, Readers};
pub(crate) use rows::{AttemptRow, LiveRow, OperationResult, RequestRow, TaskRow};
pub(crate) use seal::{Seal, SealedEnvironment};
pub use write::statements_run;
pub(crate) use write::{Commit, EventRow, Store};

const MIGRATIONS: &[&str] = &[
    include_str!("store/0001.sql"),
    include_str!("store/0002.sql"),
    include_str!("store/0003.sql"),
];

/// How long a statement waits for another connection's lock.
const BUSY: Duration = Duration::from_secs(5);

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("failed to open {}: {source}", path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error(
        "{} was written by a newer version of Nod: start that version, or move the file away",
        .0.display()
    )]
    Newer(PathBuf),
    #[error("failed to bring {} up to date: {source}", path.display())]
    Migrate { path: PathBuf, source: rusqlite_migration::Error },
    #[error("the disk is full: free some space, then try again")]
    Full,
    #[error("failed to use the history: {0}")]
    Sql(rusqlite::Error),
    #[error("row {id} of {table} cannot be understood: {source}")]
    Damaged { table: &'static str, id: i64, source: serde_json::Error },
    #[error("row {id} of audit is about `{what}`, which this version does not know")]
    UnknownAudit { id: i64, what: String },
    #[error("failed to read the key {}: {source}", path.display())]
    Key { path: PathBuf, source: std::io::Error },
    #[error("an environment cannot be opened: the file seal.key is not the one it was sealed with")]
    Seal,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(_) | None => Self::Sql(error),
        }
    }
}

/// Opens the writer's connection, and makes or updates the tables.
fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let opened = |source| StoreError::Open { path: path.to_owned(), source };
    let mut connection = Connection::open(path).map_err(opened)?;
    configure(&connection).map_err(opened)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let steps = MIGRATIONS.iter().map(|sql| M::up(sql)).collect();
    let newer = rusqlite_migration::Error::MigrationDefinition(
        MigrationDefinitionError::DatabaseTooFarAhead,
    );
    Migrations::new(steps).to_latest(connection).map_err(|source| {
        if source == newer {
            return StoreError::Newer(path.to_owned());
        }
        StoreError::Migrate { path: path.to_owned(), source }
    })
}

/// Opens a connection that can only read.
fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = |source| StoreError::Open { path: path.to_owned(), source };
    let connection = Connection::open_with_flags(path, flags).map_err(opened)?;
    connection.busy_timeout(BUSY).map_err(opened)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

#[cfg(test)]
mod tests;
