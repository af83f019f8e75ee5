//! The output of tasks: where it is, how far it has grown, reading and following it.

mod holes;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nod_core::ids::TaskId;
use tokio::sync::watch;

pub(crate) use holes::kept;

/// How much is read at once.
pub(crate) const PIECE: usize = 64 * 1024;

/// How far the output of an unfinished task is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// The log of the current attempt; nothing before the first one.
    pub path: Option<PathBuf>,
    /// How many bytes it has, as the shim last said.
    pub size: u64,
    /// The task has ended: the log grows no more.
    pub ended: bool,
    /// There is no room for more on the disk.
    pub full: bool,
}

/// The output of every unfinished task.
#[derive(Clone, Default)]
pub(crate) struct Outputs {
    live: Arc<Mutex<HashMap<TaskId, watch::Sender<Output>>>>,
}

impl Outputs {
    /// Notes where the output of a task's current attempt is.
    pub(crate) fn begin(&self, id: TaskId, path: Option<PathBuf>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = live.entry(id).or_insert_with(|| watch::Sender::new(Output::default()));
        sender.send_modify(|output| {
            output.size = 0;
            output.path = path;
        });
    }

    /// Notes that the log has grown.
    pub(crate) fn grown(&self, id: TaskId, size: u64) {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = live.get(&id) {
            sender.send_modify(|output| output.size = size);
        }
    }

    /// Notes whether the disk is full, and returns whether that is news.
    pub(crate) fn set_full(&self, id: TaskId, full: bool) -> bool {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get(&id).is_some_and(|sender| {
            sender.send_if_modified(|output| std::mem::replace(&mut output.full, full) != full)
        })
    }

    /// Returns whether the disk is full for the output of a task.
    pub(crate) fn is_full(&self, id: TaskId) -> bool {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get(&id).is_some_and(|sender| sender.borrow().full)
    }

    /// Notes that the task has ended.
    pub(crate) fn end(&self, id: TaskId) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = live.remove(&id) {
            sender.send_modify(|output| output.ended = true);
        }
    }

    /// Returns a view of a task's output that changes with it; nothing for an ended task.
    #[must_use]
    pub(crate) fn watch(&self, id: TaskId) -> Option<watch::Receiver<Output>> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get(&id).map(watch::Sender::subscribe)
    }
}

/// A reader of one log, from an offset to the task's end.
pub struct Follow {
    watch: Option<watch::Receiver<Output>>,
    path: Option<PathBuf>,
    file: Option<File>,
    offset: u64,
}

impl Follow {
    /// Returns a reader that begins at `offset`. `path` is the log of a task that has ended.
    #[must_use]
    pub fn new(watch: Option<watch::Receiver<Output>>, path: Option<PathBuf>, offset: u64) -> Self {
        Self { watch, path, file: None, offset }
    }

    /// Returns the next bytes and their offset; nothing after the last ones of an ended task. The
    /// offset lies beyond the bytes before where a bounded log has lost what was between.
    pub async fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            // Read what is known before looking at the file: an end that comes
            // between the two is then seen on the next turn, with all its bytes.
            let ended = self.look();
            let (offset, bytes) = self.read()?;
            if !bytes.is_empty() {
                self.offset = offset + bytes.len() as u64;
                return Ok(Some((offset, bytes)));
            }
            if ended {
                return Ok(None);
            }
            if let Some(watch) = &mut self.watch
                && watch.changed().await.is_err()
            {
                self.watch = None;
            }
        }
    }

    /// Returns how far the follower has read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes in what is known of the output, and returns whether the task has ended.
    fn look(&mut self) -> bool {
        let Some(watch) = &mut self.watch else { return true };
        let output = watch.borrow_and_update();
        if self.path != output.path {
            self.path.clone_from(&output.path);
            self.file = None;
        }
        output.ended
    }

    fn read(&mut self) -> io::Result<(u64, Vec<u8>)> {
        let nothing = (self.offset, Vec::new());
        if self.file.is_none() {
            let Some(path) = &self.path else { return Ok(nothing) };
            match File::open(path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
                Err(error) => return Err(error),
            }
        }
        match &self.file {
            Some(file) => kept(file, self.offset, PIECE),
            None => Ok(nothing),
        }
    }
}

/// A part of a log as it was read.
pub(crate) struct Part {
    /// Where the bytes begin: beyond what was asked for, where that is no longer there.
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    /// How long the log is.
    pub(crate) size: u64,
}

/// Returns up to `limit` bytes of the log from `offset` on.
pub(crate) fn read_range(path: &Path, offset: u64, limit: usize) -> io::Result<Part> {
    let file = File::open(path)?;
    let (offset, bytes) = kept(&file, offset, limit)?;
    Ok(Part { offset, bytes, size: file.metadata()?.len() })
}

/// Returns the last bytes of the log, at most `limit`, and the offset they begin at.
pub(crate) fn read_tail(path: &Path, limit: usize) -> io::Result<(u64, Vec<u8>)> {
    let file = File::open(path)?;
    let offset = file.metadata()?.len().saturating_sub(limit as u64);
    kept(&file, offset, limit)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_follower_gets_every_byte_once_and_then_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.log");
        let outputs = Outputs::default();
        outputs.begin(TaskId(1), None);
        let mut follow = Follow::new(outputs.watch(TaskId(1)), None, 0);
        let writer = tokio::spawn({
            let (outputs, path) = (outputs.clone(), path.clone());
            async move {
                outputs.begin(TaskId(1), Some(path.clone()));
                let mut file = File::create(&path).unwrap();
                for part in 0..100_u64 {
                    file.write_all(format!("line {part}\n").as_bytes()).unwrap();
                    outputs.grown(TaskId(1), part);
                    tokio::task::yield_now().await;
                }
                outputs.end(TaskId(1));
            }
        });
        let mut bytes = Vec::new();
        while let Some((offset, piece)) = follow.next().await.unwrap() {
            assert_eq!(offset, bytes.len() as u64);
            bytes.extend(piece);
        }
        writer.await.unwrap();
        assert_eq!(bytes, fs::read(&path).unwrap());
    }

    #[tokio::test]
    async fn the_log_of_an_ended_task_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.log");
        fs::write(&path, vec![b'x'; PIECE + 5]).unwrap();
        let mut follow = Follow::new(None, Some(path.clone()), 3);
        let mut total = 0;
        while let Some((_, piece)) = follow.next().await.unwrap() {
            total += piece.len();
        }
        assert_eq!(total, PIECE + 2);
        assert_eq!(read_tail(&path, 4).unwrap(), (PIECE as u64 + 1, b"xxxx".to_vec()));
        assert_eq!(read_range(&path, PIECE as u64, 10).unwrap().bytes.len(), 5);
    }
}
