//! Holding a data directory for one host.
//!
//! Its lock file says where the host listens, but a file that is removed locks nothing any more.
//! So the folder itself is locked as well: that lock goes with no name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::WatchFlags;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::watching::FolderWatch;

/// A data directory that is held, until this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    data: PathBuf,
    lock: PathBuf,
    folder: File,
    file: Mutex<File>,
}

/// What has become of the names that a host goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// All is where it was.
    InPlace,
    /// The lock file is gone, or is another file.
    NoLock,
    /// The data directory itself is gone, or is another folder.
    NoFolder,
}

impl Hold {
    /// Takes a data directory and its lock file; returns nothing when another host has either.
    pub(crate) fn take(data: &Path, lock: &Path) -> io::Result<Option<Self>> {
        let folder = File::open(data)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            // A network's file system may lock nothing that is not open for writing.
            Err(error @ (Errno::BADF | Errno::INVAL | Errno::NOLCK | Errno::OPNOTSUPP)) => {
                tracing::debug!("the data directory is held by its lock file alone: {error}");
            }
            Err(error) => return Err(error.into()),
        }
        // After the folder: who comes second does not make another lock file.
        let mut open = OpenOptions::new();
        let file = open.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(lock)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let (data, lock, file) = (data.to_owned(), lock.to_owned(), Mutex::new(file));
        Ok(Some(Self { data, lock, folder, file }))
    }

    /// Returns what the lock file says.
    pub(crate) fn read(&self) -> io::Result<String> {
        let mut file = self.file();
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Has the lock file say `text`.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        let mut file = self.file();
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(text.as_bytes())
    }

    /// Returns what has become of the names.
    pub(crate) fn names(&self) -> io::Result<Names> {
        if !is_at(&self.folder, &self.data)? {
            return Ok(Names::NoFolder);
        }
        let has_lock = is_at(&self.file(), &self.lock)?;
        Ok(if has_lock { Names::InPlace } else { Names::NoLock })
    }

    /// Makes a lock file in the place of the one whose name was taken away.
    pub(crate) fn put_lock_back(&self) -> io::Result<()> {
        let text = self.read()?;
        let fresh = self.lock.with_extension("lock.new");
        let mut open = OpenOptions::new();
        let made = open.read(true).write(true).create(true).truncate(true).mode(0o600);
        let mut made = made.open(&fresh)?;
        // By another name until it is locked and whole: nobody finds it free, or empty.
        flock(&made, FlockOperation::NonBlockingLockExclusive)?;
        made.write_all(text.as_bytes())?;
        fs::rename(&fresh, &self.lock)?;
        *self.file() = made;
        Ok(())
    }

    /// Begins to notice what happens to the names. Needs a tokio runtime around it.
    pub(crate) fn watch(&self) -> io::Result<FolderWatch> {
        let what = WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        FolderWatch::new(&self.data, what)
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a file that is open is the one that has the name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let of = |data: fs::Metadata| (data.dev(), data.ino());
    match fs::metadata(path) {
        Ok(named) => Ok(of(named) == of(file.metadata()?)),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether an error says that there is nothing of the name.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(data: &Path) -> Option<Hold> {
        Hold::take(data, &data.join("host.lock")).unwrap()
    }

    #[test]
    fn a_directory_is_held_once_and_again_when_it_is_free() {
        let data = tempfile::tempdir().unwrap();
        let first = hold(data.path());
        assert!(first.is_some());
        assert!(hold(data.path()).is_none());
        drop(first);
        assert!(hold(data.path()).is_some());
    }

    #[test]
    fn a_directory_is_held_whatever_becomes_of_its_lock_file() {
        let data = tempfile::tempdir().unwrap();
        let lock = data.path().join("host.lock");
        let first = hold(data.path()).unwrap();
        first.write("/run/nod/socket\n").unwrap();
        fs::remove_file(&lock).unwrap();
        assert!(hold(data.path()).is_none());
        assert!(!lock.exists(), "who comes second makes no other one");
        assert_eq!(first.names().unwrap(), Names::NoLock);
        first.put_lock_back().unwrap();
        assert_eq!(first.names().unwrap(), Names::InPlace);
        assert_eq!(fs::read_to_string(&lock).unwrap(), "/run/nod/socket\n");
        assert!(hold(data.path()).is_none());
        drop(first);
        assert!(hold(data.path()).is_some());
    }

    #[test]
    fn a_folder_that_was_moved_away_is_missed_and_known_again() {
        let base = tempfile::tempdir().unwrap();
        let (data, away) = (base.path().join("data"), base.path().join("away"));
        fs::create_dir(&data).unwrap();
        let first = hold(&data).unwrap();
        fs::rename(&data, &away).unwrap();
        assert_eq!(first.names().unwrap(), Names::NoFolder);
        fs::create_dir(&data).unwrap();
        assert_eq!(first.names().unwrap(), Names::NoFolder);
        fs::remove_dir(&data).unwrap();
        fs::rename(&away, &data).unwrap();
        assert_eq!(first.names().unwrap(), Names::InPlace);
    }
}
