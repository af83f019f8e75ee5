//! Notices changes in a folder, without looking again and again.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Folders that are looked after.
pub(crate) struct FolderWatch {
    watch: AsyncFd<OwnedFd>,
}

impl FolderWatch {
    /// Begins to notice what is meant by `what`. Needs a tokio runtime around it.
    pub(crate) fn new(folder: &Path, what: WatchFlags) -> io::Result<Self> {
        let watch = Self::none()?;
        watch.add(folder, what)?;
        Ok(watch)
    }

    /// Begins with no folder.
    pub(crate) fn none() -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        #[expect(
            unsafe_code,
            reason = "tokio cannot tell by itself that a descriptor stays what it is"
        )]
        // SAFETY: an OwnedFd is open until it is dropped, and always the same.
        let watch = unsafe { AsyncFd::register(watch) }.map_err(io::Error::from)?;
        Ok(Self { watch })
    }

    /// Notices more; of a folder that was added before both.
    pub(crate) fn add(&self, folder: &Path, what: WatchFlags) -> io::Result<()> {
        inotify::add_watch(self.watch.get_ref(), folder, what | WatchFlags::MASK_ADD)?;
        Ok(())
    }

    /// Returns once something has changed since the last call.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        let mut ready = self.watch.readable().await?;
        forget_events(self.watch.get_ref())?;
        ready.clear_ready();
        Ok(())
    }
}

fn forget_events(watch: &OwnedFd) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut events = inotify::Reader::new(watch, &mut buffer);
    loop {
        match events.next() {
            Ok(_event) => {}
            Err(Errno::WOULDBLOCK) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
