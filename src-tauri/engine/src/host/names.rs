//! Keeping the names that a host goes by: somebody may remove its lock file, or all of its data.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::dispatcher::Message;
use crate::process::{Hold, Names};

/// How long a name is gone before something is done about it: a folder that is being removed must
/// not be filled again meanwhile.
const SETTLE: Duration = Duration::from_secs(1);

/// The data directory of a host that runs.
#[derive(Clone)]
pub(crate) struct Data {
    pub(crate) hold: Arc<Hold>,
    pub(crate) folder: PathBuf,
    pub(crate) database: PathBuf,
}

impl Data {
    /// Returns whether the history is still where a later host looks for it.
    pub(crate) fn is_there(&self) -> bool {
        let has_folder = match self.hold.names() {
            Ok(names) => names != Names::NoFolder,
            Err(error) => {
                tracing::warn!("failed to look for the data directory: {error}");
                true
            }
        };
        has_folder && self.database.exists()
    }

    /// Returns what a person should know of a data directory that is gone.
    pub(crate) fn loss(&self) -> Option<String> {
        (!self.is_there()).then(|| {
            format!(
                "the data directory {} was removed or moved while this host uses it: nothing new \
                 can be kept, and no task starts. Running tasks go on. Put it back, or end this \
                 host (`nod stop`)",
                self.folder.display()
            )
        })
    }

    /// Puts the lock file back each time it is taken away, and tells when the data goes or comes.
    pub(crate) async fn keep_names(self, inbox: Sender<Message>) {
        if let Err(error) = self.watch(&inbox).await {
            tracing::warn!("failed to watch the data directory: {error}");
        }
    }

    async fn watch(&self, inbox: &Sender<Message>) -> std::io::Result<()> {
        let mut watch = self.hold.watch()?;
        let mut is_lost = false;
        loop {
            // Looked at after the watch began: what went before it is seen here.
            if self.hold.names()? != Names::InPlace {
                tokio::time::sleep(SETTLE).await;
            }
            let loss = self.loss();
            if loss.is_none() && self.hold.names()? == Names::NoLock {
                tracing::warn!("the lock file was taken away: it is made again");
                self.hold.put_lock_back()?;
            }
            if std::mem::replace(&mut is_lost, loss.is_some()) != loss.is_some() {
                let said = loss.as_deref().unwrap_or("the data directory is there again");
                tracing::error!("{said}");
                if inbox.send(Message::DataMoved).is_err() {
                    return Ok(());
                }
            }
            watch.changed().await?;
        }
    }
}
