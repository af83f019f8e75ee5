//! Notices when the host's socket is taken away, as the end of a login session does.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Returns once there is nothing at the path any more.
pub(crate) async fn vanished(path: &Path) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a socket lies in a folder"))?;
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let what = WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVE_SELF;
    inotify::add_watch(&watch, folder, what)?;
    #[expect(
        unsafe_code,
        reason = "tokio cannot tell by itself that a descriptor stays what it is"
    )]
    // SAFETY: an OwnedFd is open until it is dropped, and always the same.
    let watch = unsafe { AsyncFd::register(watch) }.map_err(io::Error::from)?;
    // Looked at after the watch began: what went before it is seen here.
    while path.exists() {
        let mut ready = watch.readable().await?;
        forget_events(watch.get_ref())?;
        ready.clear_ready();
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_file_that_goes_is_noticed_and_another_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
        for path in [&ours, &other] {
            fs::write(path, "").unwrap();
        }
        let watched = ours.clone();
        let mut watching = tokio::spawn(async move { vanished(&watched).await });
        fs::remove_file(&other).unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), &mut watching).await;
        assert!(early.is_err());
        fs::remove_dir_all(folder.path()).unwrap();
        watching.await.unwrap().unwrap();
    }
}
