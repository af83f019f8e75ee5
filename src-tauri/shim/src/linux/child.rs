//! Starting the child: its output's two ends, its limits, and why it did not start.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nod_core::shim::{Spec, TERMINAL_COLUMNS, TERMINAL_ROWS};
use nod_core::task::{OutputMode, SpawnError};
use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::cgroup::Cgroup;
use super::forking::{self, Start};
use super::system;

/// A child that runs, or has already ended.
pub(crate) struct Child {
    pub(crate) pid: i32,
    /// Where its output can be read, without blocking; nothing where it is the log itself.
    pub(crate) output: Option<OwnedFd>,
    /// The child's end of the terminal: while it is held, whoever closes all of theirs can open
    /// the terminal again by its name, and what they write there is read.
    pub(crate) terminal: Option<OwnedFd>,
}

/// The ends of the child's output: ours to read, and what the child gets.
struct Ends {
    output: Option<OwnedFd>,
    childs: OwnedFd,
}

/// Starts the spec's program in a process group of its own, and in `cgroup` where that can be.
/// `log` is what a direct output is.
pub(crate) fn start(spec: &Spec, log: &File, cgroup: Option<&Cgroup>) -> Result<Child, SpawnError> {
    let Some(program) = spec.argv.first() else {
        return Err(spawn_error(spec, "there is no command to run".to_owned(), false));
    };
    let failed = |error: io::Error| spawn_error(spec, error.to_string(), false);
    let Ends { output, childs } = open_output(spec.output, log).map_err(failed)?;
    let held = spec.output.is_terminal().then(|| childs.try_clone());
    let terminal = held.transpose().map_err(failed)?;
    // A pipe's end must live in the child alone, or its closing would never show: it goes with this.
    let spawn = || spawn(spec, childs, cgroup);
    let spawned =
        with_umask(spec.umask, || with_open_files(spec.open_files, || in_folder(&spec.cwd, spawn)));
    match spawned {
        Ok(pid) => Ok(Child { pid, output, terminal }),
        Err(error) => Err(explain(spec, program, &error)),
    }
}

/// Starts the program of a spec, and returns its pid once it runs.
fn spawn(spec: &Spec, output: OwnedFd, cgroup: Option<&Cgroup>) -> io::Result<i32> {
    let is_interactive = spec.output == OutputMode::Interactive;
    let input = if is_interactive { output.try_clone()? } else { File::open("/dev/null")?.into() };
    let started = cgroup.and_then(|cgroup| {
        let start = Start {
            argv: &spec.argv,
            input: input.as_fd(),
            output: output.as_fd(),
            leads_terminal: is_interactive,
        };
        forking::start_in(cgroup.as_fd(), start)
    });
    if let Some(started) = started {
        return started;
    }
    // No pre_exec and no current_dir where neither must be: std then uses posix_spawn, which copies
    // no page tables. For a folder it would look posix_spawn up at run time, and a static program
    // finds nothing so.
    let (program, arguments) = spec.argv.split_first().ok_or(ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(input).stdout(output.try_clone()?).stderr(output);
    if is_interactive {
        // A session of its own is a group of its own.
        system::lead_terminal_session(&mut command);
    } else {
        command.process_group(0);
    }
    let child = command.spawn()?;
    Ok(i32::try_from(child.id()).unwrap_or(0))
}

fn open_output(mode: OutputMode, log: &File) -> io::Result<Ends> {
    let (output, childs) = match mode {
        OutputMode::Terminal | OutputMode::Interactive => open_terminal()?,
        OutputMode::Pipe => {
            let (reader, writer) = io::pipe()?;
            (reader.into(), writer.into())
        }
        OutputMode::Direct => return Ok(Ends { output: None, childs: log.try_clone()?.into() }),
    };
    let flags = rustix::fs::fcntl_getfl(&output)?;
    rustix::fs::fcntl_setfl(&output, flags | OFlags::NONBLOCK)?;
    Ok(Ends { output: Some(output), childs })
}

fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&master)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    let size =
        Winsize { ws_row: TERMINAL_ROWS, ws_col: TERMINAL_COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size)?;
    Ok((master, slave))
}

/// Stands in a folder while `spawn` starts something: one thread runs, so nobody else sees it.
fn in_folder<T>(folder: &str, spawn: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = rustix::fs::open(".", flags, Mode::empty())?;
    rustix::process::chdir(folder)?;
    let result = spawn();
    rustix::process::fchdir(own).expect("the attempt's own folder can be entered again");
    result
}

/// Gives what `spawn` starts the mask of permissions that the host had before it set its own.
fn with_umask<T>(mask: Option<u32>, spawn: impl FnOnce() -> T) -> T {
    let Some(mask) = mask else { return spawn() };
    let own = rustix::process::umask(Mode::from_raw_mode(mask));
    let result = spawn();
    rustix::process::umask(own);
    result
}

/// Lowers the limit of open files for what `spawn` starts; a host raises its own, and this
/// process has it from there.
fn with_open_files<T>(limit: Option<u64>, spawn: impl FnOnce() -> T) -> T {
    let Some(limit) = limit else { return spawn() };
    let own = rustix::process::getrlimit(Resource::Nofile);
    let childs = Rlimit {
        current: Some(own.maximum.map_or(limit, |maximum| limit.min(maximum))),
        maximum: own.maximum,
    };
    // A soft limit below the hard one is never refused.
    rustix::process::setrlimit(Resource::Nofile, childs).ok();
    let result = spawn();
    rustix::process::setrlimit(Resource::Nofile, own).ok();
    result
}

/// Returns an error that stands for a task that was never started.
pub(crate) fn spawn_error(spec: &Spec, message: String, not_found: bool) -> SpawnError {
    let program = spec.argv.first().cloned().unwrap_or_default();
    SpawnError { program, cwd: spec.cwd.clone(), message, not_found }
}

/// Says whose fault an error of spawn is: it does not tell the folder from the program.
fn explain(spec: &Spec, program: &str, error: &io::Error) -> SpawnError {
    let (message, not_found) = match folder_fault(&spec.cwd) {
        Some(fault) => fault,
        None => program_fault(spec, program, error),
    };
    spawn_error(spec, message, not_found)
}

fn folder_fault(cwd: &str) -> Option<(String, bool)> {
    match fs::metadata(cwd) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Some((format!("the folder {cwd} does not exist"), true))
        }
        Err(error) => Some((format!("the folder {cwd} cannot be entered: {error}"), false)),
        Ok(found) if !found.is_dir() => Some((format!("{cwd} is not a folder"), false)),
        Ok(_) => match rustix::fs::access(cwd, Access::EXEC_OK) {
            Ok(()) => None,
            Err(error) => Some((format!("the folder {cwd} cannot be entered: {error}"), false)),
        },
    }
}

fn program_fault(spec: &Spec, program: &str, error: &io::Error) -> (String, bool) {
    let errno = Errno::from_io_error(error);
    if errno == Some(Errno::NOENT) {
        return match find(spec, program) {
            Some(path) => (format!("the interpreter that {path} asks for does not exist"), false),
            None if program.contains('/') => (format!("{program} does not exist"), true),
            None => (format!("there is no program {program} on the PATH"), true),
        };
    }
    if errno == Some(Errno::NOEXEC) {
        let why = "is not a program; a script needs a first line such as #!/bin/sh";
        return (format!("{program} {why}"), false);
    }
    if errno == Some(Errno::TOOBIG) {
        return ("the arguments and the environment are too long".to_owned(), false);
    }
    if errno == Some(Errno::ACCESS) {
        let is_folder =
            find(spec, program).is_some_and(|path| Path::new(&spec.cwd).join(path).is_dir());
        let what = if is_folder { "is a folder, not a program" } else { "is not executable" };
        return (format!("{program} {what}"), false);
    }
    (format!("{program} cannot be run: {error}"), false)
}

/// Returns where the program is, whether or not it can be run.
fn find(spec: &Spec, program: &str) -> Option<String> {
    let exists = |path: &str| Path::new(&spec.cwd).join(path).exists();
    if program.is_empty() {
        return None;
    }
    if program.contains('/') {
        return exists(program).then(|| program.to_owned());
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').map(|folder| format!("{folder}/{program}")).find(|path| exists(path))
}
