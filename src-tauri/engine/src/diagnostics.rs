//! The host's own log: one file a day, the last week kept, `host.log` the newest of them.

use crate::process;
use nod_core::paths::Paths;
use tracing_appender::rolling::{Builder, Rotation};
use tracing_subscriber::EnvFilter;

/// The link to the newest file.
const LATEST: &str = "host.log";

/// How many days are kept.
const DAYS: usize = 7;

/// Sends what the host has to say to its log from now on; once in a process.
///
/// `NOD_LOG` sets what is told, as `tracing` filters are written.
pub fn write_to(paths: &Paths) -> bool {
    process::strict_umask();
    let appender = Builder::new()
        .rotation(Rotation::DAILY)
        .filename_prefix("host")
        .filename_suffix("log")
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
