//! Processes that somebody has stopped, and the shim of an attempt as a process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nod_core::shim::{CLAIM_FILE, Claimant, ProcessIdentity};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::links::Stat;
use super::unix::{boot_id, is_alive};

/// Returns the process that has a number now; nothing where there is none.
pub(crate) fn identity(pid: i32) -> Option<ProcessIdentity> {
    let stat = Stat::of(&folder(pid)).filter(|_| is_alive(&folder(pid)))?;
    Some(ProcessIdentity { pid, start_time: stat.started })
}

/// Returns the shim that has claimed an attempt, where it lives.
pub(crate) fn claimant(attempt: &Path) -> Option<ProcessIdentity> {
    // A host's claim is empty, and so is one on a full disk.
    let claim = fs::read(attempt.join(CLAIM_FILE)).ok()?;
    let claim: Claimant = serde_json::from_slice(&claim).ok()?;
    let known = identity(claim.pid)?;
    (claim.boot_id == boot_id() && claim.start_time == known.start_time).then_some(known)
}

/// Returns whether a process was stopped with a signal, or by who looks into it.
pub(crate) fn is_stopped(process: ProcessIdentity) -> bool {
    Stat::of(&folder(process.pid))
        .is_some_and(|stat| stat.started == process.start_time && matches!(stat.state, 'T' | 't'))
}

/// Lets a process go on that was stopped.
pub(crate) fn let_go_on(process: ProcessIdentity) -> io::Result<()> {
    send(process, Signal::CONT)
}

/// Kills a process, and no other that has come to its number.
pub(crate) fn kill_exactly(process: ProcessIdentity) -> io::Result<()> {
    send(process, Signal::KILL)
}

/// Sends a signal to that very process; one that is gone needs none.
fn send(process: ProcessIdentity, signal: Signal) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(()) };
    // Looked at once it is held: the number cannot be given again from then on.
    let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if identity(process.pid) != Some(process) {
        return Ok(());
    }
    match pidfd_send_signal(&held, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn folder(pid: i32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::kill_process;

    use super::*;

    #[test]
    fn only_the_very_process_is_let_go_on_and_killed() {
        let mut child = Command::new("sleep").arg("8802").spawn().unwrap();
        let known = identity(child.id().cast_signed()).unwrap();
        kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
        while !is_stopped(known) {
            std::thread::yield_now();
        }
        let other = ProcessIdentity { start_time: known.start_time + 1, ..known };
        assert!(!is_stopped(other));
        let_go_on(other).unwrap();
        kill_exactly(other).unwrap();
        assert!(is_stopped(known));
        let_go_on(known).unwrap();
        while is_stopped(known) {
            std::thread::yield_now();
        }
        kill_exactly(known).unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(identity(known.pid), None);
        kill_exactly(known).unwrap();
    }
}
