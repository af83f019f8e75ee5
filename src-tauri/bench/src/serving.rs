//! A host that runs for a measure, and what it is asked.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nod_client::{Connection, new_operation};
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, ListQuery, Reply};
use nod_core::task::StateName;
use rusqlite::{Connection as Database, OpenFlags, OptionalExtension as _};

use crate::place::{Place, program};
use crate::wire::Wire;

/// How long anything may take before the measure is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running host. Ends with its tasks when it is dropped.
pub(crate) struct Serving<'a> {
    pub(crate) place: &'a Place,
    child: Child,
    out: BufReader<ChildStdout>,
    database: Database,
}

impl<'a> Serving<'a> {
    /// Starts the host that is shipped.
    pub(crate) fn start(place: &'a Place) -> anyhow::Result<Self> {
        Self::start_program(place, "nod", &["serve", "--announce"])
    }

    /// Starts a host whose person approves everything.
    pub(crate) fn start_with_person(place: &'a Place) -> anyhow::Result<Self> {
        Self::start_program(place, "nod-bench", &["person"])
    }

    fn start_program(place: &'a Place, name: &str, words: &[&str]) -> anyhow::Result<Self> {
        let mut command = place.command(program(name)?);
        let mut child = command.args(words).stdout(Stdio::piped()).spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("a piped output")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        if line.trim_end() != "ready" {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("the host did not start");
        }
        let database = Database::open_with_flags(
            place.paths()?.database(),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        Ok(Self { place, child, out, database })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the next line that the host prints.
    pub(crate) fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(line)
    }

    pub(crate) fn connect(&self) -> anyhow::Result<Connection> {
        Ok(Connection::open(&self.place.paths()?.socket(), None)?)
    }

    pub(crate) fn wire(&self) -> anyhow::Result<Wire> {
        Wire::open(&self.place.paths()?.socket())
    }

    /// Returns how many tasks are in a state, without asking the host.
    pub(crate) fn count(&self, state: StateName) -> anyhow::Result<u64> {
        let sql = "SELECT n FROM counts WHERE state = ?1";
        let mut statement = self.database.prepare_cached(sql)?;
        let n: Option<i64> = statement.query_row([state.as_str()], |row| row.get(0)).optional()?;
        Ok(u64::try_from(n.unwrap_or(0))?)
    }

    /// Waits until so many tasks are in a state, looking every so often.
    pub(crate) fn wait_for(&self, state: StateName, n: u64, every: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.count(state)? != n {
            ensure!(start.elapsed() < PATIENCE, "waited in vain for {n} tasks that are {state:?}");
            thread::sleep(every);
        }
        Ok(())
    }

    /// Returns the time on a processor that the host has used so far.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        processor_time(self.pid())
    }

    /// Returns the tasks that have processes; those that are queued end with the host.
    fn running(connection: &mut Connection) -> anyhow::Result<Vec<TaskId>> {
        use StateName::{Running, Starting, Stopping, Waiting};
        let states = vec![Starting, Running, Waiting, Stopping];
        let query = ListQuery { states, limit: Some(500), ..ListQuery::default() };
        let Reply::Tasks(page) = connection.call(&Call::List(query))? else { return Ok(vec![]) };
        Ok(page.tasks.into_iter().map(|task| task.id).collect())
    }

    fn end_tasks(&self) -> anyhow::Result<()> {
        let mut connection = self.connect()?;
        connection.set_timeout(Some(PATIENCE))?;
        loop {
            let running = Self::running(&mut connection)?;
            if running.is_empty() {
                return Ok(());
            }
            for id in &running {
                // One that has just ended cannot be cancelled, which is as well.
                connection.call(&Call::Cancel { operation: new_operation()?, id: *id }).ok();
            }
            for id in running {
                connection.call(&Call::Wait { id })?;
            }
        }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end_tasks() {
            crate::output::complain(&format!("failed to end the tasks: {error:#}"));
        }
        // A host that is gone already is what was wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns the time that all threads of a process have been on a processor.
pub(crate) fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // The first field of schedstat, in nanoseconds. A thread may have ended meanwhile.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        sum += text.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(Duration::from_nanos(sum))
}

/// Returns a process's share of memory, in bytes: Pss of proc(5) smaps_rollup.
pub(crate) fn memory(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024.0)
}
