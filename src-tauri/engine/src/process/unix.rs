//! Processes on Unix; what is read from /proc is Linux's.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nod_core::environment::Environment;
use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::shim::{CLAIM_FILE, SHIM_SOCKET};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, flock};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, getuid, kill_process, pidfd_open,
    setrlimit,
};

use super::StartedShim;

/// How long a login shell may take to say its environment.
const LOGIN_SHELL: Duration = Duration::from_secs(10);

/// How often the processes of a dead shim are looked for again: they may fork meanwhile.
const SWEEPS: usize = 50;

pub(crate) fn user_id() -> u32 {
    getuid().as_raw()
}

/// Takes the lock of a data directory; returns nothing when another process has it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether a folder is this user's and nobody else can look into it.
pub(crate) fn is_own_private_folder(path: &Path) -> io::Result<bool> {
    let data = fs::symlink_metadata(path)?;
    Ok(data.is_dir() && data.uid() == user_id() && data.mode() & 0o077 == 0)
}

/// Returns a name of this boot of the machine.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// Makes what this process creates its user's alone, and returns the mask it had at first.
pub(crate) fn strict_umask() -> u32 {
    static AT_FIRST: OnceLock<u32> = OnceLock::new();
    *AT_FIRST.get_or_init(|| rustix::process::umask(Mode::from_raw_mode(0o077)).as_raw_mode())
}

/// Lets this process open as many files as it may, and returns how many it could before.
pub(crate) fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("failed to raise the number of open files: {error}");
    }
    limit.current
}

/// Starts a shim on an attempt's folder, with a connection as its standard input.
pub(crate) fn start_shim(
    program: &Path,
    folder: &Path,
    environment: &Environment,
) -> io::Result<StartedShim> {
    let (socket, theirs) = UnixStream::pair()?;
    // No current_dir: a static program would then fork, which copies the host's page tables,
    // where it can use posix_spawn. The shim goes to its folder by itself.
    let child = Command::new(program)
        .arg(folder)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("failed to start {}: {error}", program.display()))
        })?;
    Ok(StartedShim { child, socket })
}

/// Connects to the shim of an attempt, however long the path of its folder is.
pub(crate) fn connect_shim(folder: &Path) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    // A socket's address holds 107 bytes; through the open folder it is always short.
    UnixStream::connect(format!("/proc/self/fd/{}/{SHIM_SOCKET}", folder.as_raw_fd()))
}

/// Claims an attempt, so that no shim starts it any more; returns whether nobody had.
pub(crate) fn claim(folder: &Path) -> io::Result<bool> {
    let claimed =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(CLAIM_FILE));
    match claimed {
        Ok(_file) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // Without its folder no shim can start it either.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Ends the processes of an attempt whose shim is gone, known by their environment.
pub(crate) fn sweep(socket: &Path, id: TaskId, attempt: AttemptNumber) {
    for _ in 0..SWEEPS {
        let left = processes_of(socket, id, attempt);
        if left.is_empty() {
            return;
        }
        for pid in left {
            end(pid);
        }
    }
    tracing::warn!(task = id.0, "some processes of a lost task could not be ended");
}

/// Kills a process and waits, not for long, until it is gone.
fn end(pid: Pid) {
    // The open descriptor keeps the pid from being given again.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if let Err(error) = kill_process(pid, Signal::KILL) {
        tracing::warn!("failed to end process {}: {error}", pid.as_raw_nonzero());
        return;
    }
    let wait = Timespec { tv_sec: 1, tv_nsec: 0 };
    if let Err(error) = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&wait)) {
        tracing::debug!("failed to wait for a killed process: {error}");
    }
}

fn processes_of(socket: &Path, id: TaskId, attempt: AttemptNumber) -> Vec<Pid> {
    let marks = [
        format!("NOD_SOCKET={}", socket.display()),
        format!("NOD_TASK_ID={id}"),
        format!("NOD_ATTEMPT={attempt}"),
    ];
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let holds = |mark: &String| {
                environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
            };
            (marks.iter().all(holds) && !is_ours(&entry.path()) && is_alive(&entry.path()))
                .then_some(pid)
        })
        .collect()
}

/// Returns whether a process is a shim or a host, which nothing of a task's may end.
fn is_ours(process: &Path) -> bool {
    let Ok(program) = fs::read_link(process.join("exe")) else { return false };
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let serves = || {
        fs::read(process.join("cmdline"))
            .is_ok_and(|words| words.split(|byte| *byte == 0).any(|word| word == b"serve"))
    };
    match name.as_ref() {
        "nod-shim" | "nod-desktop" | "nod-test-host" => true,
        "nod" => serves(),
        _ => false,
    }
}

/// Returns whether a process is more than a zombie: field 3 of proc(5) stat.
fn is_alive(process: &Path) -> bool {
    let Ok(stat) = fs::read_to_string(process.join("stat")) else { return false };
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some(Some('Z' | 'X') | None) | None)
}

/// Returns the environment that the person's login shell sets up.
pub(crate) fn login_environment(shell: &Path) -> io::Result<Environment> {
    let mut child = Command::new(shell)
        .args(["-l", "-c", "env -0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = child.stdout.take().expect("the output was asked for as a pipe");
    let deadline = Timespec { tv_sec: LOGIN_SHELL.as_secs().cast_signed(), tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&deadline))?;
    if ready == 0 {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the shell says nothing"));
    }
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes)?;
    child.wait()?;
    Ok(parse_environment(&bytes))
}

fn parse_environment(bytes: &[u8]) -> Environment {
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|variable| {
            let variable = std::str::from_utf8(variable).ok()?;
            let (name, value) = variable.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect::<BTreeMap<_, _>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        assert!(claim(folder.path()).unwrap());
        assert!(!claim(folder.path()).unwrap());
    }

    #[test]
    fn a_lock_is_given_once_and_again_when_it_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.lock");
        let first = lock(&path).unwrap();
        assert!(first.is_some());
        assert!(lock(&path).unwrap().is_none());
        drop(first);
        assert!(lock(&path).unwrap().is_some());
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
        let (mut lost, mut other) = (spawn("1"), spawn("2"));
        sweep(socket.path(), TaskId(7), AttemptNumber(1));
        assert!(!lost.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn the_login_shell_says_its_environment() {
        let environment = login_environment(Path::new("/bin/sh")).unwrap();
        assert!(environment.contains_key("PATH"), "{environment:?}");
    }

    #[test]
    fn a_shim_is_reached_through_a_folder_with_a_long_path() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("x".repeat(200));
        fs::create_dir(&folder).unwrap();
        let open = File::open(&folder).unwrap();
        let path = format!("/proc/self/fd/{}/{SHIM_SOCKET}", open.as_raw_fd());
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        connect_shim(&folder).unwrap();
        drop(listener);
        assert_eq!(connect_shim(&folder).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
