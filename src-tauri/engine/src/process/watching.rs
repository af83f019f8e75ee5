//! Notices changes in a folder, without looking again and again.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// A folder that is looked after.
pub(crate) struct FolderWatch {
    watch: AsyncFd<OwnedFd>,
}

impl FolderWatch {
    /// Begins to notice what is meant by `what`. Needs a tokio runtime around it.
    pub(crate) fn new(folder: &Path, what: WatchFlags) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&watch, folder, what)?;
        #[expect(
            unsafe_code,
            reason = "tokio cannot tell by itself that a descriptor stays what it is"
        )]
        // SAFETY: an OwnedFd is open until it is dropped, and always the same.
        let watch = unsafe { AsyncFd::register(watch) }.map_err(io::Error::from)?;
        Ok(Self { watch })
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
