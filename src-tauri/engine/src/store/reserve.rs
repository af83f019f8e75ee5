//! Room on the disk for a history that is opened when there is no other: what fills the disk is to
//! be seen and ended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// More than what SQLite keeps beside a history, and the first changes of a host.
const SIZE: u64 = 1 << 20;

/// Takes the room, where there is enough.
pub(super) fn keep(data: &Path) {
    let path = path(data);
    if fs::metadata(&path).is_ok_and(|file| file.len() == SIZE) {
        return;
    }
    if let Err(error) = take(&path) {
        tracing::warn!("no room on the disk is kept in reserve: {error}");
        give_up(data);
    }
}

/// Gives the room back, and returns whether there was any.
pub(super) fn give_up(data: &Path) -> bool {
    fs::remove_file(path(data)).is_ok()
}

fn path(data: &Path) -> PathBuf {
    data.join("reserve")
}

fn take(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
        Ok(()) => Ok(()),
        // The file system cannot reserve: as posix_fallocate(3) does, write.
        Err(error) if error == Errno::OPNOTSUPP => fill(&file),
        Err(error) => Err(error.into()),
    }
}

fn fill(mut file: &File) -> io::Result<()> {
    let part = [0; 64 * 1024];
    (0..SIZE / part.len() as u64).try_for_each(|_| file.write_all(&part))
}
