//! Starting a host for a command that found none.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nod_core::environment::LEAKS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::failure::Failure;

/// What a host prints when it listens.
const READY: &[u8] = b"ready";

/// How long a host may take to take over what an earlier one left.
const LONGEST_START: Duration = Duration::from_secs(60);

/// What came of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    Ready,
    /// It went without a word, as it does when another host was first.
    Gone,
}

/// Starts `nod serve` and returns when it listens, or is gone.
pub(crate) fn start_host() -> Result<Started, Failure> {
    let program = std::env::current_exe().unwrap_or_else(|_| "nod".into());
    keep_files_from_host();
    let mut command = Command::new(&program);
    command.args(["serve", "--announce"]).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for name in LEAKS {
        command.env_remove(name);
    }
    let mut child = command
        .spawn()
        .map_err(|source| Failure::StartHost { program: program.clone(), source })?;
    let started = match child.stdout.take() {
        Some(stdout) => wait_for_ready(stdout)
            .map_err(|source| Failure::StartHost { program: program.clone(), source })?,
        None => Started::Gone,
    };
    if started == Started::Gone {
        // Closing its output comes right before its end: this does not block.
        child.wait().map_err(|source| Failure::StartHost { program, source })?;
    }
    Ok(started)
}

/// Keeps files that this process was given, such as a pipe of a Makefile, from the host.
///
/// A host lives on, and would keep a reader of that pipe waiting for its end.
#[expect(unsafe_code, reason = "a file that is open can be named by its number only")]
fn keep_files_from_host() {
    let Ok(files) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = files.flatten().filter_map(|file| file.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|number: &RawFd| *number > 2) {
        // SAFETY: one thread runs, and it closes nothing while the number is in use; a number
        // that is closed already is refused by the system.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        // Refused for what is no longer open, which the host does not get either.
        fcntl_setfd(file, FdFlags::CLOEXEC).ok();
    }
}

fn wait_for_ready(mut stdout: ChildStdout) -> io::Result<Started> {
    let deadline = Instant::now() + LONGEST_START;
    let mut said = Vec::new();
    loop {
        if !readable_before(stdout.as_fd(), deadline)? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not get ready in time"));
        }
        let mut bytes = [0; 64];
        let size = stdout.read(&mut bytes)?;
        if size == 0 {
            return gone(&said);
        }
        said.extend_from_slice(&bytes[..size]);
        if said.split(|byte| *byte == b'\n').any(|line| line == READY) {
            return Ok(Started::Ready);
        }
    }
}

/// Tells a host that said why it did not start from one that came second.
fn gone(said: &[u8]) -> io::Result<Started> {
    let why = String::from_utf8_lossy(said);
    if why.trim().is_empty() { Ok(Started::Gone) } else { Err(io::Error::other(why.trim())) }
}

fn readable_before(file: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut files = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
        match poll(&mut files, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
