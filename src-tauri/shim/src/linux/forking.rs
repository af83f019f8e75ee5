//! Starting a program inside of a cgroup from its first instruction on.
//!
//! No safe wrapper does it. To move a process that runs already would take the kernel ten
//! milliseconds and more, and miss what that has started before.
#![expect(unsafe_code, reason = "clone3(2) has no safe wrapper")]

use std::env;
use std::ffi::{CString, OsStr, c_char};
use std::io::{self, PipeWriter, Read as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::ptr;

use super::system;

/// The flag of clone(2); what libc has under that name is cut to 32 bits.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the child is to become, and what it has for input and output.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) argv: &'a [String],
    pub(crate) input: BorrowedFd<'a>,
    pub(crate) output: BorrowedFd<'a>,
    /// Its input is a terminal, and it leads the session there.
    pub(crate) leads_terminal: bool,
}

/// Starts a program and returns its pid once it runs; nothing where the cgroup cannot be used.
///
/// Otherwise like a [`std::process::Command`] that leads a process group of its own.
pub(crate) fn start_in(cgroup: BorrowedFd<'_>, start: Start<'_>) -> Option<io::Result<i32>> {
    let prepared = Image::of(start.argv).and_then(|image| Ok((image, io::pipe()?)));
    let (image, (mut report, childs)) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Some(Err(error)),
    };
    let unblocked = system::block_signals();
    let pid = clone_into(cgroup);
    if pid == 0 {
        become_program(start, &image, &childs);
    }
    system::set_signal_mask(&unblocked);
    drop(childs);
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let mut errno = [0; 4];
    if report.read_exact(&mut errno).is_err() {
        // Its end was closed by the program's start.
        return Some(Ok(pid));
    }
    system::wait_for(pid);
    Some(Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))))
}

/// Returns twice: 0 in the child. Below 0, there is no child.
fn clone_into(cgroup: BorrowedFd<'_>) -> libc::c_long {
    // SAFETY: a zeroed clone_args asks for nothing and is valid. The child gets a copy of all memory,
    // as of fork(2), in a process with one thread.
    unsafe {
        let mut arguments: libc::clone_args = std::mem::zeroed();
        arguments.flags = INTO_CGROUP;
        arguments.exit_signal = libc::SIGCHLD as u64;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
        libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>())
    }
}

/// The rest of the child's life before its program: nothing here allocates.
fn become_program(start: Start<'_>, image: &Image, report: &PipeWriter) -> ! {
    let error = match take_place(start) {
        Ok(()) => image.run(),
        Err(error) => error,
    };
    let errno = error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
    // SAFETY: write(2) and _exit(2) are async-signal-safe, and the bytes outlive the call.
    unsafe {
        libc::write(report.as_raw_fd(), errno.as_ptr().cast(), errno.len());
        libc::_exit(127)
    }
}

fn take_place(start: Start<'_>) -> io::Result<()> {
    if start.leads_terminal {
        rustix::process::setsid()?;
    } else {
        rustix::process::setpgid(None, None)?;
    }
    rustix::stdio::dup2_stdin(start.input)?;
    rustix::stdio::dup2_stdout(start.output)?;
    rustix::stdio::dup2_stderr(start.output)?;
    if start.leads_terminal {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
    }
    system::forget_handlers();
    system::open_signal_mask();
    Ok(())
}

/// A program, its arguments and its environment, as execve(2) wants them.
struct Image {
    /// Where the program may be, in order.
    paths: Vec<CString>,
    argv: Strings,
    environment: Strings,
}

impl Image {
    fn of(argv: &[String]) -> io::Result<Self> {
        let program = argv.first().map(String::as_str).unwrap_or_default();
        let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let mut line = name.into_vec();
            line.push(b'=');
            line.extend(value.into_vec());
            line
        };
        Ok(Self {
            paths: places_of(program).into_iter().map(CString::new).collect::<Result<_, _>>()?,
            argv: Strings::of(argv.iter().map(|word| word.clone().into_bytes()))?,
            environment: Strings::of(env::vars_os().map(variable))?,
        })
    }

    /// Returns only where the program cannot be run, with the reason that execvp(3) would give.
    fn run(&self) -> io::Error {
        let mut reason = libc::ENOENT;
        for path in &self.paths {
            // SAFETY: all three are strings and lists of strings that end with a null.
            unsafe {
                libc::execve(path.as_ptr(), self.argv.as_ptr(), self.environment.as_ptr());
            }
            match io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) {
                libc::EACCES => reason = libc::EACCES,
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                errno => return io::Error::from_raw_os_error(errno),
            }
        }
        io::Error::from_raw_os_error(reason)
    }
}

/// Returns where a program may be: at its path, or in each folder of PATH.
fn places_of(program: &str) -> Vec<Vec<u8>> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.contains('/') {
        return vec![program.as_bytes().to_owned()];
    }
    let path = env::var_os("PATH").unwrap_or_else(|| OsStr::new("/bin:/usr/bin").to_owned());
    let place = |folder: &[u8]| match folder {
        [] => program.as_bytes().to_owned(),
        folder => [folder, b"/", program.as_bytes()].concat(),
    };
    path.as_bytes().split(|byte| *byte == b':').map(place).collect()
}

/// Strings, and the list of pointers to them that ends with a null.
struct Strings {
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    fn of(strings: impl Iterator<Item = Vec<u8>>) -> io::Result<Self> {
        let strings = strings.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let pointers = strings.iter().map(|string| string.as_ptr());
        Ok(Self { pointers: pointers.chain([ptr::null()]).collect(), _strings: strings })
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_where_its_name_says() {
        assert_eq!(places_of("/bin/ls"), [b"/bin/ls".to_vec()]);
        assert_eq!(places_of("./run"), [b"./run".to_vec()]);
        assert!(places_of("").is_empty());
        assert!(places_of("ls").iter().any(|place| place.ends_with(b"/ls")));
    }
}
