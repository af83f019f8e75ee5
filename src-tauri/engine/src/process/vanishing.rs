//! Notices when the host's socket is taken away, as the end of a login session does.

use std::io;
use std::path::Path;

use rustix::fs::inotify::WatchFlags;

use super::watching::FolderWatch;

/// Returns once there is nothing at the path any more.
pub(crate) async fn vanished(path: &Path) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a socket lies in a folder"))?;
    let what = WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVE_SELF;
    let mut watch = FolderWatch::new(folder, what)?;
    // Looked at after the watch began: what went before it is seen here.
    while path.exists() {
        watch.changed().await?;
    }
    Ok(())
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
