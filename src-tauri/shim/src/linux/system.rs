//! What only libc offers: signal handlers, wait4(2), getpgid(2), close_range(2), and what a
//! child does before it becomes its program.
//!
//! With `forking.rs` the only file of the shim with `unsafe` in it.
#![expect(unsafe_code, reason = "libc calls that have no safe wrapper")]

use std::io::{self, PipeReader, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nod_core::task::ExitStatus;
use rustix::fs::OFlags;

/// Signals that would end a process that does nothing about them.
///
/// They get a handler and are not ignored, because exec keeps what is ignored
/// and gives what is handled its default back: the child starts clean.
const CAUGHT: [i32; 10] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGALRM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGXFSZ,
    libc::SIGPIPE,
];

static WAKE: AtomicI32 = AtomicI32::new(-1);
static TERMINATE: AtomicBool = AtomicBool::new(false);

/// Becomes readable when a child ended or somebody asked this process to stop.
pub(crate) struct Signals {
    wake: PipeReader,
}

impl Signals {
    /// Forgets what made it readable, and returns whether SIGTERM was among it.
    pub(crate) fn take(&mut self) -> bool {
        let mut bytes = [0; 64];
        while self.wake.read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
        TERMINATE.swap(false, Ordering::Relaxed)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Installs the handlers, and gives every other signal its default and an open mask.
pub(crate) fn catch_signals() -> io::Result<Signals> {
    let (wake, write_end) = io::pipe()?;
    rustix::fs::fcntl_setfl(&wake, OFlags::NONBLOCK)?;
    rustix::fs::fcntl_setfl(&write_end, OFlags::NONBLOCK)?;
    WAKE.store(write_end.into_raw_fd(), Ordering::Relaxed);
    for signal in 1..=libc::SIGRTMAX() {
        let handler: extern "C" fn(i32) = on_signal;
        let action = if CAUGHT.contains(&signal) { handler as usize } else { libc::SIG_DFL };
        set_action(signal, action);
    }
    open_signal_mask();
    Ok(Signals { wake })
}

/// Gives what is caught its default back. For a child that is about to be its program: a signal that
/// comes before that must not be lost in a handler.
pub(crate) fn forget_handlers() {
    for signal in CAUGHT {
        set_action(signal, libc::SIG_DFL);
    }
}

/// Lets every signal through.
pub(crate) fn open_signal_mask() {
    // SAFETY: the set is initialised by sigemptyset before it is read.
    unsafe {
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// Holds every signal back, and returns what was held back before.
pub(crate) fn block_signals() -> libc::sigset_t {
    // SAFETY: sigfillset initialises the one set, sigprocmask the other.
    unsafe {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

pub(crate) fn set_signal_mask(mask: &libc::sigset_t) {
    // SAFETY: the set was initialised by whoever made it.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, mask, ptr::null_mut());
    }
}

/// Waits until a child that is about to end is off the process table.
pub(crate) fn wait_for(pid: i32) {
    let interrupted = || io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
    // SAFETY: waitpid(2) may be told nowhere to write the status to.
    while unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } < 0 && interrupted() {}
}

/// SIGKILL, SIGSTOP and those that libc keeps for itself refuse, which is fine.
fn set_action(signal: i32, action: libc::sighandler_t) {
    // SAFETY: a zeroed sigaction is valid, and the handler only does what
    // signal-safety(7) allows.
    unsafe {
        let mut new: libc::sigaction = MaybeUninit::zeroed().assume_init();
        new.sa_sigaction = action;
        new.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
        libc::sigaction(signal, &raw const new, ptr::null_mut());
    }
}

extern "C" fn on_signal(signal: i32) {
    if signal == libc::SIGTERM {
        TERMINATE.store(true, Ordering::Relaxed);
    } else if signal != libc::SIGCHLD {
        return;
    }
    // SAFETY: write(2) is async-signal-safe, the byte outlives the call, and
    // errno is given back as it was. A full pipe is readable anyway.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(WAKE.load(Ordering::Relaxed), [0_u8].as_ptr().cast(), 1);
        *libc::__errno_location() = errno;
    }
}

/// Closes what the host left open by mistake: a shim lives longer than a host's locks should.
pub(crate) fn close_inherited_files() {
    // SAFETY: nothing of this process has opened a file of its own yet.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
}

/// Makes what `command` starts the leader of a session whose terminal is its standard input.
pub(crate) fn lead_terminal_session(command: &mut Command) {
    let lead = || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls, and allocates nothing.
    unsafe {
        command.pre_exec(lead);
    }
}

/// Returns the process group of a process; none where there is no such process.
///
/// A thread of the kernel is in group 0, which rustix takes for impossible.
pub(crate) fn group_of(pid: i32) -> Option<i32> {
    // SAFETY: getpgid(2) takes and returns plain numbers.
    let group = unsafe { libc::getpgid(pid) };
    (group > 0).then_some(group)
}

/// What wait4(2) says about this process's children.
pub(crate) enum Reaped {
    Child {
        pid: i32,
        status: ExitStatus,
        usage: Usage,
    },
    /// There are children, and all of them run.
    AllRun,
    /// There is no child. As this process adopts every orphan, there is no descendant either.
    NoChildren,
}

/// What a process and those it waited for have used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// The largest resident set, in bytes.
    pub(crate) peak_memory: u64,
    /// User and system time, in milliseconds.
    pub(crate) cpu_ms: u64,
}

/// Takes one child that has ended off the process table, without waiting for any.
pub(crate) fn reap() -> Reaped {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are valid for writes, and a zeroed rusage is a valid one.
        let (pid, usage) = unsafe {
            let pid = libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr());
            (pid, usage.assume_init())
        };
        return match pid {
            0 => Reaped::AllRun,
            1.. => Reaped::Child { pid, status: exit_status(status), usage: usage_of(&usage) },
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => continue,
            _ => Reaped::NoChildren,
        };
    }
}

fn exit_status(status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(status) {
        ExitStatus::Signal { signal: libc::WTERMSIG(status) }
    } else {
        ExitStatus::Code { code: libc::WEXITSTATUS(status) }
    }
}

fn usage_of(usage: &libc::rusage) -> Usage {
    let milliseconds =
        |time: libc::timeval| u64::try_from(time.tv_sec * 1000 + time.tv_usec / 1000).unwrap_or(0);
    Usage {
        // Linux counts ru_maxrss in KiB: getrusage(2).
        peak_memory: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        cpu_ms: milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime),
    }
}
