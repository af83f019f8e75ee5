//! Looking a data directory over, with or without a host, and mending what can be mended.

mod log;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::paths::Paths;
use nod_core::protocol::{Check, Health};
use nod_core::shim::{EXIT_FILE, FromShim, ToShim};
use rustix::fs::statvfs;

use crate::config;
use crate::host::open_history;
use crate::process::{self, Hold, RunningShim};
use crate::serve;
use crate::store::{self, LiveRow, Readers, StoreError};
use crate::strays;

/// How long a shim may take to begin to end its task.
const PATIENCE: Duration = Duration::from_secs(5);

/// Below this much room, in bytes, tasks soon wait for the disk.
const LITTLE_ROOM: u64 = 256 << 20;

/// Looks everything over, and mends what it may where `repair` is set.
#[must_use]
pub fn examine(paths: &Paths, repair: bool) -> Vec<Check> {
    let mut doctor = Doctor { paths, repair, is_free: false, lock: None, checks: vec![] };
    if !paths.data.exists() {
        doctor.good("data", format!("{} is not there yet", paths.data.display()));
        return doctor.checks;
    }
    doctor.lock();
    doctor.configuration();
    doctor.permissions();
    doctor.disk();
    if doctor.history() {
        doctor.attempts();
    }
    doctor.set_aside();
    doctor.log();
    doctor.checks
}

/// Returns whether a host has the lock of a data directory, or is just about to let it go.
#[must_use]
pub fn has_host(paths: &Paths) -> bool {
    paths.host_lock().is_file() && matches!(Hold::take(&paths.data, &paths.host_lock()), Ok(None))
}

struct Doctor<'a> {
    paths: &'a Paths,
    repair: bool,
    /// No host has the lock.
    is_free: bool,
    /// Held while something may be mended, so that no host begins meanwhile.
    lock: Option<Hold>,
    checks: Vec<Check>,
}

impl Doctor<'_> {
    fn lock(&mut self) {
        match Hold::take(&self.paths.data, &self.paths.host_lock()) {
            Ok(Some(lock)) => {
                self.is_free = true;
                self.lock = Some(lock).filter(|_| self.repair);
                self.good("lock", "no host has it".to_owned());
            }
            Ok(None) => self.good("lock", "the running host has it".to_owned()),
            Err(error) => self.bad("lock", format!("it cannot be used: {error}")),
        }
    }

    /// A host that runs says by itself what of the file is in force.
    fn configuration(&mut self) {
        if !self.is_free {
            return;
        }
        match config::check(&self.paths.config) {
            Ok(()) => self.good("configuration", "the file has no error".to_owned()),
            Err(error) => {
                let after = "the next host begins with the last good configuration";
                self.bad("configuration", format!("{error}\n{after}"));
            }
        }
    }

    fn permissions(&mut self) {
        let places = [
            (self.paths.data.clone(), 0o700),
            (self.paths.tasks(), 0o700),
            (self.paths.database(), 0o600),
            (self.paths.seal_key(), 0o600),
        ];
        let mut open = vec![];
        for (path, mode) in places {
            let Ok(found) = fs::metadata(&path) else { continue };
            if found.permissions().mode() & 0o077 != 0 {
                open.push((path, mode));
            }
        }
        if open.is_empty() {
            return self.good("permissions", "all of it is for its user alone".to_owned());
        }
        let names: Vec<_> = open.iter().map(|(path, _)| path.display().to_string()).collect();
        let what = format!("others can read {}", names.join(", "));
        self.mend("permissions", what, |_| {
            open.iter().try_for_each(|(path, mode)| {
                fs::set_permissions(path, Permissions::from_mode(*mode))
            })
        });
    }

    fn disk(&mut self) {
        match statvfs(&self.paths.data) {
            Ok(_) if self.is_read_only() => {
                self.bad("disk", "it can only be read: nothing new can be kept".to_owned());
            }
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let what = format!("{} MiB are free", free >> 20);
                if free < LITTLE_ROOM { self.bad("disk", what) } else { self.good("disk", what) }
            }
            Err(error) => self.bad("disk", format!("it cannot be looked at: {error}")),
        }
    }

    /// Tries it: what a kernel makes of a failing disk shows nowhere else.
    fn is_read_only(&self) -> bool {
        let probe = self.paths.data.join("doctor.probe");
        let written = fs::write(&probe, "");
        // Where it could be made it can be removed.
        fs::remove_file(&probe).ok();
        written.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }

    /// Returns whether the history can be read.
    fn history(&mut self) -> bool {
        let database = self.paths.database();
        if !database.exists() {
            self.good("history", "there is none yet".to_owned());
            return false;
        }
        match store::examine(&database) {
            Ok(summary) => {
                self.good("history", summary);
                true
            }
            Err(error) => {
                self.mend("history", error.to_string(), |doctor| {
                    if !doctor.is_free {
                        return Err(io::Error::other("stop the host first (`nod stop`)"));
                    }
                    doctor.rescue().map_err(io::Error::other)
                });
                self.checks.last().is_some_and(|check| check.health == Health::Repaired)
            }
        }
    }

    /// Opens the history as the next host would, which sets a damaged one aside.
    fn rescue(&self) -> Result<(), crate::host::StartError> {
        store::suspect(&self.paths.data)
            .map_err(|source| crate::host::StartError::folder(&self.paths.data, source))?;
        drop(open_history(self.paths)?);
        store::close(&self.paths.data);
        Ok(())
    }

    /// Compares the shims that run with the tasks that should.
    fn attempts(&mut self) {
        let (live, last) = match self.tasks() {
            Ok(found) => found,
            Err(error) => return self.bad("tasks", error.to_string()),
        };
        let shims = process::running_shims(&self.paths.tasks());
        self.shims_without_tasks(&live, &last, &shims);
        let (ended, lost) = self.without_shims(&live, &shims);
        // One that is just ending is recorded by now: its shim goes after that.
        let ended = match self.tasks() {
            Ok((now, _)) => ended.into_iter().filter(|it| now.contains(it)).collect::<Vec<_>>(),
            Err(error) => return self.bad("tasks", error.to_string()),
        };
        if !ended.is_empty() {
            self.unrecorded(&numbers(&ended));
        }
        if lost.is_empty() && ended.is_empty() {
            self.good("tasks", format!("{} unfinished, each as it should be", live.len()));
        }
        if lost.is_empty() {
            return;
        }
        let lost = numbers(&lost);
        if self.is_free {
            let what = "have no shim any more; the next host settles them (`nod list` starts it)";
            self.bad("tasks", format!("{lost} {what}"));
        } else {
            self.bad("tasks", format!("{lost} have no shim, and no end yet"));
        }
    }

    /// Returns the tasks that should have a shim and have none: those that have ended, and the rest.
    fn without_shims(
        &self,
        live: &[LiveRow],
        shims: &[RunningShim],
    ) -> (Vec<LiveRow>, Vec<LiveRow>) {
        let folder = |row: &LiveRow| {
            let attempt = row.attempt.as_ref().filter(|_| row.task.task.state.holds_slot())?;
            Some(self.paths.tasks().join(&attempt.folder))
        };
        let has_none = |row: &&LiveRow| {
            folder(row).is_some_and(|it| shims.iter().all(|shim| shim.folder != it))
        };
        let has_ended =
            |row: &LiveRow| folder(row).is_some_and(|folder| folder.join(EXIT_FILE).exists());
        live.iter().filter(has_none).cloned().partition(has_ended)
    }

    /// Tells of tasks that have ended without the history saying so.
    fn unrecorded(&mut self, ended: &str) {
        let what = format!("{ended} have ended, and the history does not say so");
        if !self.is_free {
            return self.mend("tasks", what, |_| {
                Err(io::Error::other("stop the host first (`nod stop`)"))
            });
        }
        if !self.repair {
            // As it is while no host runs.
            let said = format!("{what} yet: the next host records it (`nod list` starts it)");
            return self.checks.push(Check {
                name: "tasks".to_owned(),
                health: Health::Note,
                said,
            });
        }
        self.mend("tasks", what, Self::settle);
    }

    /// Has a host record what became of tasks, and ends it again.
    fn settle(&mut self) -> io::Result<()> {
        // It takes the lock itself.
        self.lock = None;
        drop(serve::start(self.paths.clone()).map_err(io::Error::other)?);
        let (live, _) = self.tasks().map_err(io::Error::other)?;
        let shims = process::running_shims(&self.paths.tasks());
        let (ended, _) = self.without_shims(&live, &shims);
        if ended.is_empty() {
            return Ok(());
        }
        let still = numbers(&ended);
        Err(io::Error::other(format!("the history refuses what became of {still}")))
    }

    fn tasks(&self) -> Result<(Vec<LiveRow>, BTreeMap<TaskId, AttemptNumber>), StoreError> {
        let reader = Readers::new(self.paths.database());
        let reader = reader.lend()?;
        Ok((reader.live()?, reader.last_attempts()?))
    }

    fn shims_without_tasks(
        &mut self,
        live: &[LiveRow],
        last: &BTreeMap<TaskId, AttemptNumber>,
        shims: &[RunningShim],
    ) {
        let name = |shim: &RunningShim| {
            let folder = shim.folder.file_name()?.to_str()?;
            strays::numbers(folder)
        };
        let mut ended = vec![];
        let mut unknown = vec![];
        for shim in shims {
            match name(shim) {
                Some((id, _)) if live.iter().any(|row| row.task.task.id == id) => {}
                Some((id, _)) if last.contains_key(&id) => ended.push(shim),
                Some(_) | None => unknown.push(shim),
            }
        }
        let pids = |shims: &[&RunningShim]| {
            shims.iter().map(|shim| shim.pid.to_string()).collect::<Vec<_>>().join(", ")
        };
        let stopped: Vec<_> = shims.iter().filter(|shim| shim.is_stopped).collect();
        if !stopped.is_empty() {
            let what = format!("processes {} are stopped: their tasks do not end", pids(&stopped));
            self.mend("shims", what, |_| stopped.iter().try_for_each(|shim| let_go_on(shim.pid)));
        } else if ended.is_empty() && unknown.is_empty() {
            return self.good("shims", format!("{} run, each for its task", shims.len()));
        }
        if !ended.is_empty() {
            let what = format!("processes {} run for tasks that have ended", pids(&ended));
            self.mend("shims", what, |_| ended.iter().try_for_each(|shim| stop(&shim.folder)));
        }
        if !unknown.is_empty() {
            let what = format!("processes {} run tasks that the history lost", pids(&unknown));
            self.mend("shims", what, |doctor| {
                if !doctor.is_free {
                    return Err(io::Error::other("stop the host first (`nod stop`)"));
                }
                doctor.rescue().map_err(io::Error::other)
            });
        }
    }

    fn set_aside(&mut self) {
        let folder = self.paths.data.join(store::DAMAGED);
        let mut found: Vec<PathBuf> =
            fs::read_dir(&folder).into_iter().flatten().flatten().map(|it| it.path()).collect();
        found.sort();
        for aside in found {
            let report = fs::read_to_string(aside.join(store::REPORT)).unwrap_or_default();
            self.checks.push(Check {
                name: "set aside".to_owned(),
                health: Health::Note,
                said: format!("{}: {}", aside.display(), report.trim().replace('\n', "; ")),
            });
        }
    }

    /// What the host said itself: an error in it may be long over, so it is no fault by itself.
    fn log(&mut self) {
        let (health, said) = log::look(self.paths, !self.is_free);
        self.checks.push(Check { name: "log".to_owned(), health, said });
    }

    /// Notes what is wrong; mends it where that is asked for and can be done.
    fn mend(&mut self, name: &str, what: String, mend: impl FnOnce(&mut Self) -> io::Result<()>) {
        if !self.repair {
            return self.bad(name, format!("{what} (`nod doctor --repair` mends it)"));
        }
        let (health, said) = match mend(self) {
            Ok(()) => (Health::Repaired, what),
            Err(error) => (Health::Bad, format!("{what}; it cannot be mended: {error}")),
        };
        self.checks.push(Check { name: name.to_owned(), health, said });
    }

    fn good(&mut self, name: &str, said: String) {
        self.checks.push(Check { name: name.to_owned(), health: Health::Good, said });
    }

    fn bad(&mut self, name: &str, said: String) {
        self.checks.push(Check { name: name.to_owned(), health: Health::Bad, said });
    }
}

/// Returns the numbers of tasks, as a person reads them.
fn numbers(rows: &[LiveRow]) -> String {
    let numbers: Vec<_> = rows.iter().map(|row| row.task.task.id.to_string()).collect();
    numbers.join(", ")
}

/// Lets a shim go on that somebody has stopped.
fn let_go_on(pid: i32) -> io::Result<()> {
    process::identity(pid).map_or(Ok(()), process::let_go_on)
}

/// Tells a shim to end its task's processes, and waits until it has begun to.
fn stop(folder: &Path) -> io::Result<()> {
    let mut line = serde_json::to_string(&ToShim::Stop)?;
    line.push('\n');
    let mut shim = process::connect_shim(folder)?;
    shim.set_read_timeout(Some(PATIENCE))?;
    shim.write_all(line.as_bytes())?;
    // It hears only who listens: a connection that is gone is not read.
    for line in BufReader::new(shim).lines() {
        if let FromShim::Stopping { .. } | FromShim::Ended { .. } = serde_json::from_str(&line?)? {
            break;
        }
    }
    Ok(())
}
