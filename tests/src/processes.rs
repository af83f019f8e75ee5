//! Looking at the system's processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use crate::wait::within;

/// What a host has a login shell run begins so.
const LOGIN: &[u8] = b"-l\0-c\0printf %s nod-";

/// Returns the living processes whose environment or command line holds `mark`.
#[must_use]
pub fn with_mark(mark: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let holds = |file: &str| {
                fs::read(entry.path().join(file)).is_ok_and(|bytes| {
                    bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
                })
            };
            let found = pid != std::process::id().cast_signed()
                && (holds("environ") || holds("cmdline"))
                && is_alive(pid);
            found.then_some(pid)
        })
        .collect()
}

/// Returns whether a process is there and more than a zombie.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    state(pid).is_some_and(|state| !"ZX".contains(state))
}

/// Returns whether a process is halted.
#[must_use]
pub fn is_halted(pid: i32) -> bool {
    state(pid) == Some('T')
}

/// Returns the letter that says what a process is doing; nothing when it is gone.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next())
}

/// Returns the parent of a process.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn parent(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
    parent.expect("a process has a parent").parse().unwrap()
}

/// Returns when a process was started, in clock ticks since the boot.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn start_time(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The twenty-second field of proc_pid_stat(5); the third comes after the name.
    let started = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    started.expect("a process has a start time").parse().unwrap()
}

/// Returns how much memory a process has to itself, with its share of what others have too, in KiB.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn memory_kib(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.expect("the system says it").parse().unwrap()
}

/// Returns the most memory that a process ever had, in KiB; nothing when it is gone.
#[must_use]
pub fn peak_kib(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Ends a process at once, as `kill -9` does.
pub fn kill_9(pid: i32) {
    // One that is gone already is what was wanted.
    Pid::from_raw(pid).and_then(|pid| kill_process(pid, Signal::KILL).ok());
}

/// Asks a process to end, as a shutdown does.
pub fn terminate(pid: i32) {
    // One that is gone already is what was wanted.
    Pid::from_raw(pid).and_then(|pid| kill_process(pid, Signal::TERM).ok());
}

/// Halts a process.
pub fn stop(pid: i32) {
    signal(pid, Signal::STOP);
}

/// Lets a process go on that was halted.
pub fn go_on(pid: i32) {
    signal(pid, Signal::CONT);
}

fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process has a number");
    kill_process(pid, signal).expect("the process is there");
}

/// Returns how often each thread of a process has given up the processor by itself, by its id.
#[must_use]
pub fn voluntary_switches(pid: i32) -> BTreeMap<String, u64> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    threads
        .filter_map(|thread| {
            let thread = thread.ok()?;
            let status = fs::read_to_string(thread.path().join("status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            let switches = line.split_whitespace().nth(1)?.parse().ok()?;
            Some((thread.file_name().to_string_lossy().into_owned(), switches))
        })
        .collect()
}

/// How long a login shell may take to end.
const OF_LOGIN: Duration = Duration::from_secs(2);

/// Ends the login shells that hosts of a test's folder have begun, as gently as a logout does: the
/// person's own profile runs in them, and may hold a lock that it gives back only so.
pub fn end_logins(folder: &Path) {
    let mark = folder.to_string_lossy().into_owned();
    let is_login = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.windows(LOGIN.len()).any(|window| window == LOGIN)
    };
    for shell in with_mark(&mark).into_iter().filter(is_login) {
        let Some(group) = Pid::from_raw(shell) else { continue };
        kill_process_group(group, Signal::TERM).ok();
        // What is left is killed with the rest.
        within(OF_LOGIN, || test_kill_process_group(group).is_err());
    }
}

/// Ends every process that belongs to a folder of a test, shims last: they would end the rest slowly.
pub fn end_all_of(folder: &Path) {
    end_logins(folder);
    let mark = folder.to_string_lossy().into_owned();
    // Killed processes may have forked meanwhile; nothing forks without end in a test.
    while let pids @ [_, ..] = with_mark(&mark).as_slice() {
        for pid in pids {
            kill_9(*pid);
        }
    }
}
