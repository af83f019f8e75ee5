//! A plain loop that runs many programs: posix_spawn, a log file each, rows in batches.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, WaitOptions, waitpid};

use super::commit::{Rows, Synchronous};
use crate::wire::AT_ONCE;

/// Runs `true` so many times with so many at once, and returns how long that took.
///
/// What has ended together is committed together, and only then are the next
/// ones started: the order that a program has to keep which must not lose any.
pub(crate) fn run(
    folder: &Path,
    synchronous: Synchronous,
    (tasks, slots): (usize, usize),
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut rows = Rows::create(&folder.join("loop.db"), synchronous)?;
    for first in (0..tasks).step_by(AT_ONCE) {
        rows.add(AT_ONCE.min(tasks - first))?;
    }
    let mut running = HashMap::new();
    let mut ids = 1..=i64::try_from(tasks)?;
    loop {
        let free = slots - running.len();
        for id in ids.by_ref().take(free) {
            running.insert(spawn(folder, id)?, id);
        }
        if running.is_empty() {
            return Ok(start.elapsed());
        }
        let ended = ended(&mut running)?;
        rows.set(&ended, "succeeded")?;
    }
}

fn spawn(folder: &Path, id: i64) -> anyhow::Result<Pid> {
    let log = File::create(folder.join(format!("{id}.log")))?;
    let errors = log.try_clone()?;
    let child =
        Command::new("true").arg("x").stdin(Stdio::null()).stdout(log).stderr(errors).spawn()?;
    Pid::from_raw(child.id().cast_signed()).context("a child has a process id")
}

/// Waits until one has ended, and takes all that have.
fn ended(running: &mut HashMap<Pid, i64>) -> anyhow::Result<Vec<i64>> {
    let mut ended = Vec::new();
    let mut options = WaitOptions::empty();
    while !running.is_empty()
        && let Some((pid, _status)) = waitpid(None, options)?
    {
        ended.extend(running.remove(&pid));
        options = WaitOptions::NOHANG;
    }
    Ok(ended)
}
