//! The only SQL there is: opening the database, and its one writer.
//!
//! What is written comes as a [`Commit`], one transaction each. Reading beside
//! the writer is in [`read`].

mod audit;
mod care;
mod find;
mod prune;
mod read;
mod remove;
mod rescue;
mod reserve;
mod rows;
mod rules;
mod seal;
mod talk;
mod wal;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

pub(crate) use care::{DAMAGED, Opened, REPORT, close, examine, open, settled, suspect};
pub(crate) use read::{Reader, Readers};
use rescue::Rescued;
pub(crate) use rows::{
    AttemptRow, Bound, ClockChange, ClockRow, GroupRow, LiveRow, OperationResult, RequestRow,
    TaskRow,
};
pub(crate) use rules::{KeptGuards, RuleChange};
pub(crate) use seal::{Seal, SealedEnvironment};
pub(crate) use talk::{NoticeRow, SignalRow, Talk, TalkChange, WaitRow};
pub use write::statements_run;
pub(crate) use write::{Commit, EventRow, Store};

const MIGRATIONS: &[&str] = &[
    include_str!("store/0001.sql"),
    include_str!("store/0002.sql"),
    include_str!("store/0003.sql"),
    include_str!("store/0004.sql"),
    include_str!("store/0005.sql"),
    include_str!("store/0006.sql"),
    include_str!("store/0007.sql"),
    include_str!("store/0008.sql"),
    include_str!("store/0009.sql"),
    include_str!("store/0010.sql"),
    include_str!("store/0011.sql"),
    include_str!("store/0012.sql"),
    include_str!("store/0013.sql"),
    include_str!("store/0014.sql"),
    include_str!("store/0015.sql"),
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
    #[error(
        "the data directory was removed or moved while the host uses it ({} is gone): put it back, \
         or end the host (`nod stop`), whose running tasks go on",
        .0.display()
    )]
    Gone(PathBuf),
    #[error("failed to copy {} before it is brought up to date: {source}", path.display())]
    Copy { path: PathBuf, source: rusqlite::Error },
    #[error("failed to set {} aside: {source}", path.display())]
    Aside { path: PathBuf, source: std::io::Error },
    #[error(
        "the history is damaged ({0}): the next start of the host sets it aside and keeps what \
         can be read"
    )]
    Unsound(String),
    #[error(
        "the disk of the data directory cannot be written ({0}): make it writable, then try again \
         (`nod doctor` tells more)"
    )]
    Unwritable(String),
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
        if is_full(&error) {
            return Self::Full;
        }
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::SystemIoFailure) => {
                Self::Unwritable(error.to_string())
            }
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                DAMAGE_SEEN.store(true, Ordering::Relaxed);
                Self::Unsound(error.to_string())
            }
            Some(_) | None => Self::Sql(error),
        }
    }
}

/// Some connection of this process has met damage.
static DAMAGE_SEEN: AtomicBool = AtomicBool::new(false);

fn damage_was_seen() -> bool {
    DAMAGE_SEEN.load(Ordering::Relaxed)
}

impl StoreError {
    /// Returns whether the same write would be refused whenever it is tried.
    pub(crate) fn is_lasting(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        let Self::Sql(error) = self else { return false };
        match error.sqlite_error_code() {
            Some(code) => matches!(
                code,
                Code::ConstraintViolation
                    | Code::TypeMismatch
                    | Code::TooBig
                    | Code::ParameterOutOfRange
            ),
            // It did not come as far as to SQLite.
            None => true,
        }
    }

    /// Returns whether all that is missing is room on the disk.
    fn is_full(&self) -> bool {
        if let Self::Aside { source, .. } = self {
            return source.kind() == std::io::ErrorKind::StorageFull;
        }
        matches!(self, Self::Full)
    }

    /// Makes of an error that has a name of its own that one, and else what `other` does.
    fn of(error: rusqlite::Error, other: impl FnOnce(rusqlite::Error) -> Self) -> Self {
        if is_full(&error) { Self::Full } else { other(error) }
    }

    /// Returns whether the file itself is damaged, rather than what surrounds it.
    fn is_damage(&self) -> bool {
        match self {
            Self::Unsound(_) => true,
            Self::Open { source, .. } | Self::Copy { source, .. } => is_damage(source),
            Self::Migrate {
                source: rusqlite_migration::Error::RusqliteError { err, .. }, ..
            } => is_damage(err),
            Self::Newer(_)
            | Self::Migrate { .. }
            | Self::Full
            | Self::Unwritable(_)
            | Self::Gone(_)
            | Self::Aside { .. }
            | Self::Sql(_)
            | Self::Damaged { .. }
            | Self::UnknownAudit { .. }
            | Self::Key { .. }
            | Self::Seal => false,
        }
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    // What SQLite keeps in shared memory beside the file has no room: it calls that a failure of the
    // disk.
    let has_no_memory = error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
    has_no_memory || error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}

/// Opens the writer's connection, and makes or updates the tables.
fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let opened =
        |error| StoreError::of(error, |source| StoreError::Open { path: path.to_owned(), source });
    let mut connection = Connection::open(path).map_err(opened)?;
    // Before anything is set, which would change the file.
    if version(&connection).map_err(opened)? > MIGRATIONS.len() {
        return Err(StoreError::Newer(path.to_owned()));
    }
    configure(&connection).map_err(opened)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Returns how many migrations the tables have seen.
fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(0))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrations() -> Migrations<'static> {
    Migrations::new(MIGRATIONS.iter().map(|sql| M::up(sql)).collect())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    copy_before(connection, path)?;
    migrations().to_latest(connection).map_err(|source| {
        if let rusqlite_migration::Error::RusqliteError { err, .. } = &source
            && is_full(err)
        {
            return StoreError::Full;
        }
        StoreError::Migrate { path: path.to_owned(), source }
    })
}

/// Leaves a copy of a history whose tables are about to change, for who must go back.
fn copy_before(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed =
        |error| StoreError::of(error, |source| StoreError::Copy { path: path.to_owned(), source });
    let version = version(connection).map_err(failed)?;
    let copy = path.with_extension(format!("schema-{version}.db"));
    if version == 0 || version >= MIGRATIONS.len() || copy.exists() {
        return Ok(());
    }
    // By another name until it is whole: a copy that was cut short would be taken for one.
    let half = copy.with_extension("half");
    if half.exists() {
        std::fs::remove_file(&half)
            .map_err(|source| StoreError::Aside { path: half.clone(), source })?;
    }
    connection.execute("VACUUM INTO ?1", [half.to_string_lossy()]).map_err(failed)?;
    std::fs::rename(&half, &copy).map_err(|source| StoreError::Aside { path: half, source })
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
