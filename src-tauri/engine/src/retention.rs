//! Removing the oldest ended tasks once there are more than the config file wants to keep.
//!
//! Whatever is to be kept, the folders of tasks that were removed before go.
//!
//! A few at a time: to delete thousands of files at once makes some file systems slow for everyone
//! who creates one next. The dispatcher removes the rows, and this thread the folders after that;
//! folders that are left by a crash in between are in the database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use nod_core::ids::{TaskId, Timestamp};

use crate::config::Retention;
use crate::dispatcher::Message;
use crate::history_clock;
use crate::process;
use crate::store::{Readers, StoreError};

/// How many tasks go at once.
pub(crate) const AT_ONCE: u32 = 20;
/// How long the sum of all logs is believed: it takes a look at every attempt.
const SUM_KEPT: Duration = Duration::from_secs(600);

pub(crate) struct Pruner {
    wanted: Retention,
    readers: Readers,
    inbox: Sender<Message>,
    tasks: PathBuf,
    sum: Option<(Instant, u64)>,
    /// The last folder of a removed task that was tried.
    tried: String,
    boot_id: String,
}

impl Pruner {
    pub(crate) fn new(
        wanted: Retention,
        readers: Readers,
        inbox: Sender<Message>,
        tasks: PathBuf,
    ) -> Self {
        let (tried, boot_id) = (String::new(), process::boot_id());
        Self { wanted, readers, inbox, tasks, sum: None, tried, boot_id }
    }

    /// Begins to prune, until `stop` is closed. Where everything is to be kept that is over once
    /// each folder that was left of removed tasks was tried.
    pub(crate) fn begin(mut self, stop: Receiver<()>) -> io::Result<JoinHandle<()>> {
        let every = Duration::from_millis(self.wanted.every_ms.max(1));
        let work = move || {
            let mut is_over = false;
            while !is_over && stop.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                is_over = self.now().and_then(|now| self.prune(now)).unwrap_or_else(|error| {
                    tracing::warn!("failed to prune the history: {error}");
                    false
                });
            }
        };
        thread::Builder::new().name("retention".into()).spawn(work)
    }

    /// Returns what the history's own clock shows; nothing before it is known in this boot.
    fn now(&self) -> Result<Option<Timestamp>, StoreError> {
        let stored = self.readers.lend()?.clock()?;
        let of_this_boot = stored.filter(|row| row.boot_id == self.boot_id);
        Ok(of_this_boot.map(|row| history_clock::since(row.history, process::since_boot_ms())))
    }

    /// Removes a little of what is not to be kept, and returns whether nothing can be left to do.
    /// Without a time nothing is old.
    pub(crate) fn prune(&mut self, now: Option<Timestamp>) -> Result<bool, StoreError> {
        let tried_all = self.remove_folders()?;
        if self.wanted.keeps_everything() {
            return Ok(tried_all);
        }
        let ids = self.surplus(now)?;
        if !ids.is_empty() {
            // Nobody to tell means that the host is ending.
            drop(self.inbox.send(Message::Prune(ids)));
        }
        Ok(false)
    }

    /// Returns the next tasks that are not to be kept, oldest first.
    fn surplus(&mut self, now: Option<Timestamp>) -> Result<Vec<TaskId>, StoreError> {
        let (ended, oldest) = {
            let reader = self.readers.lend()?;
            let counts = reader.counts()?;
            let ended = counts.iter().filter(|(name, _)| name.is_terminal()).map(|(_, n)| n).sum();
            (ended, reader.oldest_ended(AT_ONCE)?)
        };
        let mut kept = Kept { tasks: ended, bytes: self.bytes()? };
        let mut surplus = Vec::new();
        for (id, ended_at, size) in oldest {
            if self.wanted.keeps(&kept, now.map_or(0, |now| now.since(ended_at))) {
                continue;
            }
            surplus.push(id);
            kept.tasks = kept.tasks.saturating_sub(1);
            kept.bytes = kept.bytes.saturating_sub(size);
        }
        if let Some((_, sum)) = &mut self.sum {
            *sum = kept.bytes;
        }
        Ok(surplus)
    }

    fn bytes(&mut self) -> Result<u64, StoreError> {
        if self.wanted.mib.is_none() {
            return Ok(0);
        }
        if let Some((_, sum)) = self.sum.filter(|(at, _)| at.elapsed() < self.sum_kept()) {
            return Ok(sum);
        }
        let sum = self.readers.lend()?.size_of_tries()?;
        self.sum = Some((Instant::now(), sum));
        Ok(sum)
    }

    /// A test that looks often wants to see what has changed.
    fn sum_kept(&self) -> Duration {
        SUM_KEPT.min(Duration::from_millis(self.wanted.every_ms.saturating_mul(60)))
    }

    /// Removes some folders of removed tasks, and returns whether each was tried by now. One that
    /// cannot be removed is tried again after the others.
    fn remove_folders(&mut self) -> Result<bool, StoreError> {
        let folders = self.readers.lend()?.leftovers(&self.tried, AT_ONCE)?;
        let tried_all = folders.len() < AT_ONCE as usize;
        self.tried = folders.last().filter(|_| !tried_all).cloned().unwrap_or_default();
        let removed: Vec<String> =
            folders.into_iter().filter(|folder| remove(&self.tasks, folder)).collect();
        if !removed.is_empty() {
            drop(self.inbox.send(Message::Swept(removed)));
        }
        Ok(tried_all)
    }
}

/// What there is of ended tasks.
pub(crate) struct Kept {
    pub(crate) tasks: u64,
    pub(crate) bytes: u64,
}

/// Removes an attempt's folder, and that of its day when it was the last; returns whether it is gone.
pub(crate) fn remove(tasks: &Path, folder: &str) -> bool {
    let path = tasks.join(folder);
    match fs::remove_dir_all(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!("failed to remove {}: {error}", path.display());
            return false;
        }
    }
    if let Some(day) = path.parent().filter(|day| *day != tasks) {
        // One with other folders in it stays.
        fs::remove_dir(day).ok();
    }
    true
}
