//! Ending what a task left whose shim is gone.
//!
//! Its processes are known by its cgroup, where it had one; by their variables; and those that cleared
//! them, by the session that the shim, or a main process with a terminal of its own, has led.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::shim::Claimant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::cgroups::Cgroup;
use super::links::Stat;
use super::own_programs::OwnPrograms;
use super::unix::{is_alive, user_name};

/// How often the processes of a dead shim are looked for again: they may fork meanwhile.
const SWEEPS: usize = 50;

/// How far two looks at two clocks can be apart, in milliseconds.
const CLOCKS_DIFFER_MS: u64 = 100;

/// An attempt whose shim is gone.
#[derive(Debug)]
pub(crate) struct Lost<'a> {
    /// Where the host listened that started it.
    pub(crate) socket: &'a Path,
    pub(crate) id: TaskId,
    pub(crate) attempt: AttemptNumber,
    /// Nothing where its sessions are not known, or were those of another boot.
    pub(crate) sessions: Option<Sessions>,
    /// Nothing where it was started in none, or the machine has been restarted.
    pub(crate) cgroup: Option<Cgroup>,
}

/// What an attempt's sessions are known by.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) shim: Claimant,
    pub(crate) main: Option<i32>,
    /// A moment at which the shim lived, in milliseconds since the boot.
    pub(crate) lived_ms: u64,
}

/// A process of a lost attempt.
struct Process {
    pid: Pid,
    folder: PathBuf,
}

/// Ends the processes of an attempt, and returns what of them could not be ended.
pub(crate) fn sweep(lost: &Lost<'_>) -> Vec<String> {
    // Before anything is ended: what lives proves whose the sessions are.
    let sessions = lost.sessions.as_ref().map(Sessions::still_its_own).unwrap_or_default();
    let mut refused = BTreeSet::new();
    for _ in 0..SWEEPS {
        let mut left = processes_of(lost, &sessions);
        left.retain(|process| !refused.contains(&process.pid.as_raw_nonzero()));
        if left.is_empty() {
            break;
        }
        for Process { pid, .. } in left {
            if let Err(error) = end(pid) {
                tracing::warn!("failed to end process {}: {error}", pid.as_raw_nonzero());
                refused.insert(pid.as_raw_nonzero());
            }
        }
    }
    let left: Vec<String> = processes_of(lost, &sessions).iter().map(Process::words).collect();
    if !left.is_empty() {
        tracing::warn!(task = lost.id.0, "could not be ended: {}", left.join("; "));
    }
    if let Some(cgroup) = &lost.cgroup {
        cgroup.remove();
    }
    left
}

impl Sessions {
    /// Returns the sessions that are surely still the attempt's.
    ///
    /// The number of a session is not given again while anything is in it. So the session is the
    /// attempt's as long as something is in it that was there while the shim lived; or the shim
    /// itself is, dead and not yet taken off the process table.
    fn still_its_own(&self) -> BTreeSet<i32> {
        let processes: Vec<(i32, Stat)> = all()
            .filter_map(|(pid, folder)| Some((pid.as_raw_nonzero().get(), Stat::of(&folder)?)))
            .collect();
        let is_shim =
            |pid: i32, stat: &Stat| pid == self.shim.pid && stat.started == self.shim.start_time;
        let ticks = self.shim.start_time;
        let was_there = |stat: &Stat| {
            stat.started >= ticks && stat.started_ms() <= self.lived_ms + CLOCKS_DIFFER_MS
        };
        [Some(self.shim.pid), self.main]
            .into_iter()
            .flatten()
            .filter(|session| {
                let mut members = processes.iter().filter(|(_, stat)| stat.session == *session);
                members.any(|(pid, stat)| is_shim(*pid, stat) || was_there(stat))
            })
            .collect()
    }
}

impl Process {
    fn words(&self) -> String {
        let pid = self.pid.as_raw_nonzero();
        let name = fs::read_to_string(self.folder.join("comm")).unwrap_or_default();
        let user = fs::metadata(&self.folder).map(|folder| user_name(folder.uid()));
        let user = user.unwrap_or_else(|_gone| "somebody".to_owned());
        format!("{} ({pid}), cannot kill pid {pid} of {user}", name.trim_end())
    }
}

/// Kills a process and waits, not for long, until it is gone.
fn end(pid: Pid) -> io::Result<()> {
    // The open descriptor keeps the pid from being given again. One that is gone is ended.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    let wait = Timespec { tv_sec: 1, tv_nsec: 0 };
    if let Err(error) = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&wait)) {
        tracing::debug!("failed to wait for a killed process: {error}");
    }
    Ok(())
}

fn processes_of(lost: &Lost<'_>, sessions: &BTreeSet<i32>) -> Vec<Process> {
    let marks = [
        format!("NOD_SOCKET={}", lost.socket.display()),
        format!("NOD_TASK_ID={}", lost.id),
        format!("NOD_ATTEMPT={}", lost.attempt),
    ];
    let is_marked = |process: &Path| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        let holds = |mark: &String| {
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        marks.iter().all(holds)
    };
    let inside = lost.cgroup.as_ref().map(Cgroup::processes).unwrap_or_default();
    let is_of_session = |process: &Path| {
        !sessions.is_empty()
            && Stat::of(process).is_some_and(|stat| sessions.contains(&stat.session))
    };
    all()
        .filter(|(pid, folder)| inside.contains(pid) || is_marked(folder) || is_of_session(folder))
        .filter(|(_, folder)| !is_ours(folder) && is_alive(folder))
        .map(|(pid, folder)| Process { pid, folder })
        .collect()
}

/// Returns every process and its folder in /proc.
fn all() -> impl Iterator<Item = (Pid, PathBuf)> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        Some((pid, entry.path()))
    })
}

/// Returns whether a process is a shim or a host, which nothing of a task's may end.
fn is_ours(process: &Path) -> bool {
    static OWN: OnceLock<OwnPrograms> = OnceLock::new();
    OWN.get_or_init(|| OwnPrograms::beside(Path::new("/proc/self/exe"))).are_run_by(process)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::super::{boot_id, since_boot_ms};
    use super::*;

    fn lost(socket: &Path, id: i64) -> Lost<'_> {
        Lost { socket, id: TaskId(id), attempt: AttemptNumber(1), sessions: None, cgroup: None }
    }

    /// Waits until a process has its variables: a spawn returns in the middle of the exec.
    fn until_seen(lost: &Lost<'_>) {
        while processes_of(lost, &BTreeSet::new()).is_empty() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_a_lost_task_left_is_found_by_its_environment_and_ended() {
        let socket = tempfile::tempdir().unwrap();
        let spawn = |attempt: &str| {
            Command::new("sleep")
                .arg("600")
                .env("NOD_SOCKET", socket.path())
                .env("NOD_TASK_ID", "7")
                .env("NOD_ATTEMPT", attempt)
                .spawn()
                .unwrap()
        };
        let (mut lost_one, mut other) = (spawn("1"), spawn("2"));
        let lost = lost(socket.path(), 7);
        until_seen(&lost);
        assert_eq!(sweep(&lost), [] as [String; 0]);
        assert!(!lost_one.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_name_of_nods_saves_no_process_that_a_lost_task_left() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("nod-shim");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut process = Command::new(program)
            .arg("600")
            .env("NOD_SOCKET", folder.path())
            .env("NOD_TASK_ID", "8")
            .env("NOD_ATTEMPT", "1")
            .spawn()
            .unwrap();
        let lost = lost(folder.path(), 8);
        until_seen(&lost);
        sweep(&lost);
        let ended = process.try_wait().unwrap().is_some();
        process.kill().ok();
        process.wait().unwrap();
        assert!(ended);
    }

    /// Starts the leader of a session whose child clears its variables; returns the two.
    fn session() -> (Child, i32) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let line = "env -i sleep 600 & echo $! > $0.new; mv $0.new $0; wait";
        let leader = Command::new("setsid").args(["sh", "-c", line]).arg(&file).spawn().unwrap();
        while !file.exists() {
            std::thread::yield_now();
        }
        (leader, fs::read_to_string(file).unwrap().trim().parse().unwrap())
    }

    #[test]
    fn a_session_is_swept_where_something_in_it_was_there_while_the_shim_lived() {
        let (mut leader, member) = session();
        let folder = Path::new("/proc").join(member.to_string());
        let stat = Stat::of(&folder).unwrap();
        let socket = tempfile::tempdir().unwrap();
        let known = |start_time: u64, lived_ms: u64| {
            let shim = Claimant { pid: stat.session, start_time, boot_id: boot_id() };
            let sessions = Some(Sessions { shim, main: None, lived_ms });
            Lost { sessions, ..lost(socket.path(), 9) }
        };
        kill_process(Pid::from_raw(stat.session).unwrap(), Signal::KILL).unwrap();
        leader.wait().unwrap();
        // All that is in it came later, or before there was that shim: it may be another session.
        sweep(&known(stat.started, stat.started_ms().saturating_sub(CLOCKS_DIFFER_MS + 1)));
        sweep(&known(stat.started + 1, since_boot_ms()));
        assert!(is_alive(&folder));
        assert_eq!(sweep(&known(stat.started, since_boot_ms())), [] as [String; 0]);
        assert!(!is_alive(&folder));
    }
}
