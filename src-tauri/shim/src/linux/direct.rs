//! The log that the task itself writes: noticing that it has grown, without copying a byte.
//!
//! inotify(7) tells of the first write after a silence; what follows is looked at ten times a
//! second, however often the task writes.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nod_core::shim::LOG_FILE;
use rustix::fs::inotify;

use super::bound::Bound;
use super::clock::Moment;

const QUIET_MS: u64 = 100;
/// How often to look where inotify is used up: a user has 128 of them by default.
const BLIND_MS: u64 = 500;

pub(crate) struct Direct {
    log: File,
    bound: Bound,
    watch: Option<OwnedFd>,
    /// When to look again; nothing while the watch will say so.
    look_at: Option<Moment>,
    size: u64,
}

impl Direct {
    pub(crate) fn new(log: File, limit: Option<u64>, now: Moment) -> Self {
        let watch = watch();
        Self {
            size: size_of(&log),
            log,
            bound: Bound::new(limit),
            // What was written before the watch was there is not told by it.
            look_at: Some(now),
            watch,
        }
    }

    pub(crate) fn is_unbounded(&self) -> bool {
        self.bound.is_lost()
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().filter(|_| self.look_at.is_none()).map(AsFd::as_fd)
    }

    pub(crate) fn next_moment(&self) -> Option<Moment> {
        self.look_at
    }

    /// Takes in how far the log has grown.
    pub(crate) fn look(&mut self, now: Moment) {
        if let Some(watch) = &self.watch {
            let mut events = [0; 4096];
            // There may be nothing: this look was for the clock.
            while rustix::io::read(watch, &mut events).is_ok_and(|count| count > 0) {}
        }
        let before = std::mem::replace(&mut self.size, size_of(&self.log));
        self.bound.keep(&self.log, self.size);
        let blind = self.watch.is_none().then(|| now.plus(BLIND_MS));
        self.look_at = if self.size == before { blind } else { Some(now.plus(QUIET_MS)) };
    }
}

fn watch() -> Option<OwnedFd> {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let watch = inotify::init(flags).ok()?;
    inotify::add_watch(&watch, LOG_FILE, inotify::WatchFlags::MODIFY).ok()?;
    Some(watch)
}

fn size_of(log: &File) -> u64 {
    log.metadata().map_or(0, |metadata| metadata.len())
}
