//! The host's own log: one file a day, the last week kept, `host.log` the newest of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::process;
use nod_core::paths::Paths;
use tracing_appender::rolling::{Builder, Rotation};
use tracing_subscriber::EnvFilter;

/// The link to the newest file.
const LATEST: &str = "host.log";

/// What is before the day in a file's name, and after it.
const PREFIX: &str = "host";
const SUFFIX: &str = "log";

/// How many days are kept.
pub(crate) const DAYS: usize = 7;

/// Sends what the host has to say to its log from now on; once in a process.
///
/// `NOD_LOG` sets what is told, as `tracing` filters are written.
pub fn write_to(paths: &Paths) -> bool {
    process::strict_umask();
    let appender = Builder::new()
        .rotation(Rotation::DAILY)
        .filename_prefix(PREFIX)
        .filename_suffix(SUFFIX)
        .latest_symlink(LATEST)
        .max_log_files(DAYS)
        .build(&paths.data);
    let Ok(appender) = appender else { return false };
    let filter = EnvFilter::try_from_env("NOD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::sync::Mutex::new(appender))
        .with_env_filter(filter)
        .with_ansi(false)
        .try_init()
        .is_ok()
}

/// Returns the files of the log in a data directory, the one that was written last first.
pub(crate) fn files(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        // The link to the newest is no file of its own.
        let Some(metadata) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&format!("{PREFIX}.")) && name.ends_with(&format!(".{SUFFIX}")) {
            // Not by their names: the clock may have been set back.
            files.push((metadata.modified().unwrap_or(UNIX_EPOCH), entry.path()));
        }
    }
    files.sort();
    Ok(files.into_iter().rev().map(|(_, path)| path).collect())
}
