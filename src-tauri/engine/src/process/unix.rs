//! Processes on Unix; what is read from /proc is Linux's.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nod_core::environment::Environment;
use nod_core::shim::{CLAIM_FILE, SHIM_SOCKET};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, getuid, kill_process_group, setrlimit,
    test_kill_process_group,
};

use super::StartedShim;
use super::stopped::{identity, is_stopped};

/// How often a login shell that was told to end is looked at, and how soon again.
const LOOKS_AT_LOGIN: u32 = 200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// How long a login shell may take to say its environment.
const LOGIN_SHELL: Duration = Duration::from_secs(10);

pub(crate) fn user_id() -> u32 {
    getuid().as_raw()
}

/// Returns the name of a user, or the number where the system knows no name.
pub(super) fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("user {uid}"))
}

/// Returns whether a folder is this user's and nobody else can look into it.
pub(crate) fn is_own_private_folder(path: &Path) -> io::Result<bool> {
    let data = fs::symlink_metadata(path)?;
    Ok(data.is_dir() && data.uid() == user_id() && data.mode() & 0o077 == 0)
}

/// Returns how long ago the machine booted, in milliseconds; the time that it slept counts.
#[must_use]
pub(crate) fn since_boot_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec * 1000 + time.tv_nsec / 1_000_000).unwrap_or(0)
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

/// Returns how many files this process may have open, once it has raised that as far as it can.
pub(crate) fn open_files() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
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

/// Starts a shim on an attempt's folder, with a connection as its standard input. An error is the
/// system's own.
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
        .spawn()?;
    Ok(StartedShim { child, socket })
}

/// Connects to the shim of an attempt, however long the path of its folder is.
pub(crate) fn connect_shim(folder: &Path) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    // A socket's address holds 107 bytes; through the open folder it is always short.
    UnixStream::connect(format!("/proc/self/fd/{}/{SHIM_SOCKET}", folder.as_raw_fd()))
}

/// A shim that runs, and the folder of its attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningShim {
    pub(crate) pid: i32,
    /// Somebody has stopped it: it ends nothing and hears nobody.
    pub(crate) is_stopped: bool,
    pub(crate) folder: PathBuf,
}

/// Returns every shim that runs on an attempt below `tasks`.
pub(crate) fn running_shims(tasks: &Path) -> Vec<RunningShim> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = processes.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0);
        let program = Path::new(OsStr::from_bytes(words.next()?)).file_name()?;
        let folder = PathBuf::from(OsStr::from_bytes(words.next()?));
        let is_shim = program == "nod-shim" && folder.starts_with(tasks);
        let is_stopped = identity(pid).is_some_and(is_stopped);
        (is_shim && is_alive(&entry.path())).then_some(RunningShim { pid, is_stopped, folder })
    });
    found.collect()
}

/// Returns whether an error is for want of something that comes back: room on the disk, files,
/// processes or memory.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno as E;
    let short = [E::NOSPC, E::DQUOT, E::ROFS, E::MFILE, E::NFILE, E::AGAIN, E::NOMEM];
    error.raw_os_error().is_some_and(|number| short.contains(&E::from_raw_os_error(number)))
}

/// Returns whether somebody has claimed an attempt.
pub(crate) fn is_claimed(folder: &Path) -> bool {
    folder.join(CLAIM_FILE).exists()
}

/// Claims an attempt, so that no shim starts it any more; returns whether nobody had.
pub(crate) fn claim(folder: &Path) -> io::Result<bool> {
    // A worker of the host before may be about to make it.
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let claimed =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(CLAIM_FILE));
    match claimed {
        Ok(_file) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether a process is more than a zombie: field 3 of proc(5) stat.
pub(super) fn is_alive(process: &Path) -> bool {
    let Ok(stat) = fs::read_to_string(process.join("stat")) else { return false };
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some(Some('Z' | 'X') | None) | None)
}

/// Returns what a login begins with: what the system knows of this user's account.
pub(crate) fn account_environment() -> Environment {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = user_id().to_string();
    // name:password:uid:gid:comment:home:shell, as passwd(5) has it.
    let mut account = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let account = account.find(|fields| fields.len() == 7 && fields[2] == uid);
    let field = |number: usize| account.as_ref().map(|fields| fields[number].to_owned());
    let variables = [
        ("HOME", field(5).or_else(|| env::var("HOME").ok())),
        ("USER", field(0)),
        ("LOGNAME", field(0)),
        ("SHELL", field(6).filter(|shell| !shell.is_empty())),
        ("PATH", Some("/usr/local/bin:/usr/bin:/bin".to_owned())),
    ];
    variables.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Returns the environment that a login shell sets up from that of the account.
pub(crate) fn login_environment(shell: &Path, account: &Environment) -> io::Result<Environment> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let marker = format!("nod-{:032x}", u128::from_be_bytes(random));
    login_environment_within((shell, account), LOGIN_SHELL, &marker)
}

/// Takes what the shell prints between two `marker`s: a profile may print text before, and after.
fn login_environment_within(
    (shell, account): (&Path, &Environment),
    patience: Duration,
    marker: &str,
) -> io::Result<Environment> {
    let deadline = Instant::now() + patience;
    let mut child = Command::new(shell)
        .env_clear()
        .envs(account)
        .args(["-l", "-c", &format!("printf %s {marker}; env -0; printf %s {marker}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let output = child.stdout.take().expect("the output was asked for as a pipe");
    let said = read_between(output, marker.as_bytes(), deadline);
    end_login(&mut child)?;
    Ok(parse_environment(&said?))
}

/// Ends a login shell and whatever the profile left behind: gently first, since a profile that is
/// killed in the middle may leave a lock of its own that the next login waits for.
fn end_login(child: &mut Child) -> io::Result<()> {
    let group = Pid::from_child(child);
    for signal in [Signal::TERM, Signal::KILL] {
        if let Err(error) = kill_process_group(group, signal) {
            tracing::debug!("failed to end the login shell: {error}");
        }
        for _ in 0..LOOKS_AT_LOGIN {
            // Its number is not given again while anything is in its group. Nothing tells of a group
            // that has become empty, so it is looked at.
            if child.try_wait()?.is_some() && test_kill_process_group(group).is_err() {
                return Ok(());
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }
    child.wait()?;
    Ok(())
}

/// Returns what lies between two `marker`s, as soon as the second is there: the end of the output
/// may never come, since a daemon of the profile can hold it open.
fn read_between(mut output: ChildStdout, marker: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut part = vec![0; 64 * 1024];
    loop {
        let timed_out =
            || io::Error::new(io::ErrorKind::TimedOut, "the shell did not get to its end in time");
        // Checked here as well: a shell that prints without end always has something ready.
        let left = deadline.checked_duration_since(Instant::now()).ok_or_else(timed_out)?;
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(timed_out()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        // Something is there, be it the end: this does not block.
        let size = output.read(&mut part)?;
        if size == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the shell ended too early"));
        }
        said.extend_from_slice(&part[..size]);
        if let Some(between) = between(&said, marker) {
            return Ok(between.to_vec());
        }
    }
}

fn between<'a>(said: &'a [u8], marker: &[u8]) -> Option<&'a [u8]> {
    let find = |bytes: &[u8]| bytes.windows(marker.len()).position(|window| window == marker);
    let rest = &said[find(said)? + marker.len()..];
    Some(&rest[..find(rest)?])
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_claim_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        assert!(claim(folder.path()).unwrap());
        assert!(!claim(folder.path()).unwrap());
    }

    #[test]
    fn the_login_shell_says_its_environment() {
        let environment = login_environment(Path::new("/bin/sh"), &account_environment()).unwrap();
        assert!(environment.contains_key("PATH"), "{environment:?}");
    }

    /// Reads the environment of a shell whose profile is `profile`.
    fn with_profile(profile: &str, patience: Duration) -> io::Result<Environment> {
        let folder = tempfile::tempdir().unwrap();
        let shell = folder.path().join("shell");
        // Called as a login shell is: `shell -l -c LINE`.
        fs::write(&shell, format!("#!/bin/sh\n{profile}\neval \"$3\"\n")).unwrap();
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o700)).unwrap();
        login_environment_within((&shell, &account_environment()), patience, "nod-0123456789abcdef")
    }

    #[test]
    fn what_a_profile_prints_is_no_part_of_the_environment() {
        let profile = "export NOD_FIRST=one; echo 'Welcome=back'; trap 'echo LAST=words' EXIT";
        let environment = with_profile(profile, LOGIN_SHELL).unwrap();
        assert_eq!(environment.get("NOD_FIRST").map(String::as_str), Some("one"));
        assert!(environment.contains_key("PATH"), "{environment:?}");
        for name in environment.keys() {
            assert!(!name.contains("Welcome") && !name.contains("LAST"), "{environment:?}");
        }
    }

    #[test]
    fn a_profile_that_leaves_a_process_behind_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let profile = format!("sleep 600 & echo $! > {}", file.display());
        let environment = with_profile(&profile, LOGIN_SHELL).unwrap();
        assert!(environment.contains_key("PATH"), "{environment:?}");
        let process = Path::new("/proc").join(fs::read_to_string(file).unwrap().trim());
        let deadline = Instant::now() + LOGIN_SHELL;
        while is_alive(&process) {
            assert!(Instant::now() < deadline, "the process stays");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_profile_that_is_given_up_can_give_back_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        let hold = "trap 'rm $LOCK; exit' TERM; : > $LOCK; while :; do sleep 0.01; done";
        let profile = format!("LOCK={}; {hold}", lock.display());
        let error = with_profile(&profile, Duration::from_millis(500)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!lock.exists());
    }

    #[test]
    fn a_profile_that_hangs_is_given_up_whatever_it_printed() {
        for profile in
            ["sleep 600", "echo hello; sleep 600", "while :; do echo x; sleep 0.01; done"]
        {
            let error = with_profile(profile, Duration::from_millis(300)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{profile}");
        }
        let error = with_profile("exit 3", LOGIN_SHELL).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
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
