//! The task's processes, found in proc(5) and signalled without hitting a stranger.
//!
//! This process adopts every orphan below it, so the task is what descends
//! from it, whatever sessions and groups there are. Kernels without
//! `CONFIG_PROC_CHILDREN` are common: the whole of /proc is read.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::OnceLock;

use crate::contract::shim::ProcessIdentity;
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::own_programs::OwnPrograms;
use super::system;

/// How many bytes of /proc's listing to take at once.
const ENTRIES: usize = 8192;
/// The same where it must not be old by the time it is used: some ten processes.
const FRESH_ENTRIES: usize = 320;

/// One process, as it was when /proc was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) start_time: u64,
    pub(crate) alive: bool,
    /// Stopped by a signal or a debugger: it acts on nothing before it is continued.
    pub(crate) stopped: bool,
}

impl Process {
    pub(crate) fn identity(&self) -> ProcessIdentity {
        ProcessIdentity { pid: self.pid, start_time: self.start_time }
    }

    /// Returns whether this very process, and not one that got its number, is alive.
    pub(crate) fn still_lives(&self) -> bool {
        read(self.pid).is_some_and(|now| now.alive && now.start_time == self.start_time)
    }
}

/// Returns what /proc says about one process.
pub(crate) fn read(pid: i32) -> Option<Process> {
    let mut stat = [0; 1024];
    let count = read_start(CWD, &format!("/proc/{pid}/stat"), &mut stat)?;
    parse(&stat[..count])
}

/// Returns the living descendants of this process, parents before children.
///
/// Leaves out hosts and other shims with everything below them, unless it is
/// `main`: a person who runs a host as a task can also stop it.
pub(crate) fn descendants(main: i32) -> Vec<Process> {
    read_family(main).own
}

/// Returns the hosts and other shims that [`descendants`] leaves out, and not what is below them.
pub(crate) fn spared(main: i32) -> Vec<Process> {
    read_family(main).spared
}

struct Family {
    own: Vec<Process>,
    spared: Vec<Process>,
}

fn read_family(main: i32) -> Family {
    let mut all = read_all();
    all.sort_unstable_by_key(|process| process.parent);
    let children_of = |parent: i32| {
        let first = all.partition_point(|process| process.parent < parent);
        all[first..].iter().take_while(move |process| process.parent == parent)
    };
    let mut own = Vec::new();
    let mut spared = Vec::new();
    let mut parent = rustix::process::getpid().as_raw_nonzero().get();
    let mut next = 0;
    loop {
        for child in children_of(parent) {
            let is_own = child.pid == main || !is_guarded(child.pid);
            if is_own { &mut own } else { &mut spared }.push(*child);
        }
        let Some(process) = own.get(next) else { break };
        parent = process.pid;
        next += 1;
    }
    own.retain(|process| process.alive);
    spared.retain(|process| process.alive);
    Family { own, spared }
}

/// Calls `visit` with each living descendant at the moment it is read.
///
/// Sees only those whose parents come before them in /proc, which is nearly all of them; the
/// same are left out as by [`descendants`]. Who is found to be none is added to `strangers`, and
/// not read again: what makes a second look so fast that hardly anyone can run away from it.
pub(crate) fn see_descendants(
    main: i32,
    strangers: &mut BTreeSet<i32>,
    mut visit: impl FnMut(&Process),
) {
    let mut known = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let mut entries = [MaybeUninit::uninit(); FRESH_ENTRIES];
    for_each_pid(&mut entries, |pid| {
        if strangers.contains(&pid) {
            return;
        }
        let Some(process) = read(pid) else { return };
        if known.contains(&process.parent) && (pid == main || !is_guarded(pid)) {
            known.push(pid);
            if process.alive {
                visit(&process);
            }
        } else {
            strangers.insert(pid);
        }
    });
}

/// Returns the numbers of a group's processes; much cheaper than reading all of /proc.
pub(crate) fn in_group(group: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for_each_with_group(|pid, its_group| {
        if its_group == group {
            found.push(pid);
        }
    });
    found
}

/// Calls `visit` with each process's number and its group's.
pub(crate) fn for_each_with_group(mut visit: impl FnMut(i32, i32)) {
    let mut entries = [MaybeUninit::uninit(); ENTRIES];
    for_each_pid(&mut entries, |pid| {
        if let Some(group) = system::group_of(pid) {
            visit(pid, group);
        }
    });
}

/// Returns whether a process is a Nod host or a shim, which a ladder never enters.
pub(crate) fn is_guarded(pid: i32) -> bool {
    static OWN: OnceLock<OwnPrograms> = OnceLock::new();
    let own = OWN.get_or_init(|| OwnPrograms::beside(Path::new("/proc/self/exe")));
    own.are_run_by(Path::new(&format!("/proc/{pid}")))
}

/// Sends a signal to this very process. One that is gone is no error.
pub(crate) fn signal(process: &Process, signal: Signal) -> Result<(), Errno> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(()) };
    // Held open, the number cannot become another process between the look and the signal.
    let sent = rustix::process::pidfd_open(pid, PidfdFlags::empty()).and_then(|handle| {
        if read(process.pid).is_none_or(|now| now.start_time != process.start_time) {
            return Ok(());
        }
        rustix::process::pidfd_send_signal(handle.as_fd(), signal)
    });
    match sent {
        Err(Errno::SRCH) => Ok(()),
        sent => sent,
    }
}

/// Returns a process's name as it can be shown: of the process's own choosing, so not trusted.
pub(crate) fn name(pid: i32) -> String {
    let mut comm = [0; 64];
    let count = read_start(CWD, &format!("/proc/{pid}/comm"), &mut comm).unwrap_or(0);
    let name = String::from_utf8_lossy(&comm[..count]);
    name.chars().filter(|character| !character.is_control()).collect()
}

fn read_all() -> Vec<Process> {
    let mut all = Vec::new();
    let mut entries = [MaybeUninit::uninit(); ENTRIES];
    for_each_pid(&mut entries, |pid| all.extend(read(pid)));
    all
}

/// Calls `visit` with each number in /proc, of which `entries` holds the next few.
fn for_each_pid(entries: &mut [MaybeUninit<u8>], mut visit: impl FnMut(i32)) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(proc) = rustix::fs::open("/proc", flags, Mode::empty()) else { return };
    let mut entries = RawDir::new(proc, entries);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_str().unwrap_or_default();
        if name.starts_with(|first: char| first.is_ascii_digit())
            && let Ok(pid) = name.parse()
        {
            visit(pid);
        }
    }
}

fn read_start(folder: impl AsFd, path: &str, buffer: &mut [u8]) -> Option<usize> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, path, flags, Mode::empty()).ok()?;
    rustix::io::read(&file, buffer).ok()
}

/// Reads proc_pid_stat(5). The name in the second field may itself hold spaces and brackets,
/// so what follows it begins after the last closing one.
fn parse(stat: &[u8]) -> Option<Process> {
    let text = String::from_utf8_lossy(stat);
    let (head, tail) = text.rsplit_once(')')?;
    let pid = head.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().take(20).collect();
    let state = *fields.first()?;
    let threads: u32 = fields.get(17)?.parse().ok()?;
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
        // A process whose first thread has ended is shown as a zombie while the others run.
        alive: !matches!(state, "Z" | "X" | "x") || threads > 1,
        stopped: matches!(state, "T" | "t"),
    })
}
