//! The attempt's cgroup, in which all that its child starts stays.
//!
//! It is for the host that finds this process dead. While this process lives it sees every process
//! of the task as its descendant and needs none.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

pub(crate) struct Cgroup {
    path: PathBuf,
    folder: OwnedFd,
}

impl Cgroup {
    /// Makes the cgroup that the host has named. Without one the task runs all the same.
    pub(crate) fn make(path: &str) -> io::Result<Self> {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.into(), folder })
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // One that still holds processes stays; a host takes it away once they are gone.
        fs::remove_dir(&self.path).ok();
    }
}
