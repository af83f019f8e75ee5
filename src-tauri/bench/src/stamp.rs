//! Times that two processes can compare: CLOCK_MONOTONIC in a file.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

/// A reading of CLOCK_MONOTONIC, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        Self(time.tv_sec * 1_000_000_000 + time.tv_nsec)
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(Self(text.trim().parse().context("a stamp is a number")?))
    }

    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        Self::parse(&text)
    }

    pub(crate) fn text(self) -> String {
        self.0.to_string()
    }
}

/// Waits, and then writes the time as the last thing that this process does.
pub(crate) fn wait_and_write(file: &Path, after: Duration) -> anyhow::Result<()> {
    if !after.is_zero() {
        thread::sleep(after);
    }
    fs::write(file, Moment::now().text())?;
    Ok(())
}

/// Runs a command, and writes when it had ended.
pub(crate) fn run_and_write(file: &Path, command: &[OsString]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("there is no command")?;
    Command::new(program).args(arguments).status()?;
    fs::write(file, Moment::now().text())?;
    Ok(())
}
