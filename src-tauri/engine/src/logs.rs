//! The output of tasks: where it is, how far it has grown, reading and following it.

mod holes;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::shim::LOG_FILE;
use tokio::sync::watch;

pub(crate) use holes::kept;

use crate::store::AttemptRow;

/// How much is read at once.
pub(crate) const PIECE: usize = 64 * 1024;

/// How many tries a follower may be behind.
const TRIES: usize = 64;

/// One try of a task, and where its log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Try {
    pub attempt: AttemptNumber,
    pub log: PathBuf,
}

impl Try {
    /// Returns the try of an attempt.
    pub(crate) fn of(row: &AttemptRow, tasks: &Path) -> Self {
        Self { attempt: row.number, log: tasks.join(&row.folder).join(LOG_FILE) }
    }
}

/// How far the output of an unfinished task is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Output {
    /// The current try; nothing before the first one.
    pub current: Option<Try>,
    /// Those before it that this host has seen, as far as a follower can be behind.
    earlier: VecDeque<Try>,
    /// How many bytes its log has, as the shim last said.
    pub size: u64,
    /// The task has ended: the log grows no more.
    pub ended: bool,
    /// There is no room for more on the disk.
    pub full: bool,
}

impl Output {
    /// Returns the tries that this host has seen, in their order.
    fn tries(&self) -> impl DoubleEndedIterator<Item = &Try> {
        self.earlier.iter().chain(&self.current)
    }

    fn newest(&self) -> Option<AttemptNumber> {
        self.tries().next_back().map(|newest| newest.attempt)
    }
}

/// The output of every unfinished task.
#[derive(Clone, Default)]
pub(crate) struct Outputs {
    live: Arc<Mutex<HashMap<TaskId, watch::Sender<Output>>>>,
}

impl Outputs {
    /// Notes which try of a task is the current one.
    pub(crate) fn begin(&self, id: TaskId, current: Option<Try>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = live.entry(id).or_insert_with(|| watch::Sender::new(Output::default()));
        sender.send_modify(|output| {
            (output.size, output.full) = (0, false);
            let before = std::mem::replace(&mut output.current, current);
            output.earlier.extend(before);
            if output.earlier.len() > TRIES {
                output.earlier.pop_front();
            }
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

/// A reader of a task's output to the task's end: one log, and those of all tries that follow.
pub struct Follow {
    watch: Option<watch::Receiver<Output>>,
    /// The try that is being read.
    current: Option<Try>,
    file: Option<File>,
    offset: u64,
    /// The tries that are still to be read after it.
    next: VecDeque<Try>,
    /// The newest try that is known.
    newest: Option<AttemptNumber>,
}

/// Some bytes of a task's output.
pub struct Piece {
    pub attempt: AttemptNumber,
    pub offset: u64,
    pub bytes: Vec<u8>,
}

impl Follow {
    /// Returns a reader of the tries so far, from an offset of one of them on; where it is not said
    /// of which, from one of the last.
    pub(crate) fn new(
        mut watch: Option<watch::Receiver<Output>>,
        tries: Vec<Try>,
        (first, offset): (Option<AttemptNumber>, u64),
    ) -> Self {
        let last = tries.last().map(|last| last.attempt);
        let (next, newest) = match (first, &mut watch) {
            (Some(first), _) => {
                let next = tries.into_iter().filter(|it| it.attempt >= first);
                (next.collect::<VecDeque<_>>(), last)
            }
            // Where another try is to come, the last one is not what is waited for; and one that is
            // stored may be the one to come.
            (None, Some(watch)) => {
                let output = watch.borrow_and_update();
                (output.current.clone().into_iter().collect(), output.newest())
            }
            (None, None) => (tries.into_iter().last().into_iter().collect(), last),
        };
        // One that is over and gone is followed by the next one from its beginning.
        let is_there = first.is_none() || next.front().map(|it| it.attempt) == first;
        let offset = if is_there { offset } else { 0 };
        let mut follow = Self { watch, current: None, file: None, offset, next, newest };
        follow.current = follow.next.pop_front();
        follow
    }

    /// Returns the next bytes; nothing after the last ones of an ended task. Their offset lies beyond
    /// the bytes before where a bounded log has lost what was between.
    pub async fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            // Read what is known before looking at the file: an end that comes
            // between the two is then seen on the next turn, with all its bytes.
            let ended = self.look();
            if let Some(piece) = self.read()? {
                self.offset = piece.offset + piece.bytes.len() as u64;
                return Ok(Some(piece));
            }
            if let Some(next) = self.next.pop_front() {
                // A try begins when the one before it has printed its last.
                self.offset = if self.current.is_some() { 0 } else { self.offset };
                (self.current, self.file) = (Some(next), None);
                continue;
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

    /// Returns how far the follower has read in the try that it reads.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes in what is known of the output, and returns whether the task has ended.
    fn look(&mut self) -> bool {
        let Some(watch) = &mut self.watch else { return true };
        let output = watch.borrow_and_update();
        for it in output.tries() {
            if self.newest.is_none_or(|newest| newest < it.attempt) {
                self.newest = Some(it.attempt);
                self.next.push_back(it.clone());
            }
        }
        output.ended
    }

    fn read(&mut self) -> io::Result<Option<Piece>> {
        let Some(Try { attempt, log }) = &self.current else { return Ok(None) };
        if self.file.is_none() {
            match File::open(log) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &self.file else { return Ok(None) };
        let (offset, bytes) = kept(file, self.offset, PIECE)?;
        Ok((!bytes.is_empty()).then_some(Piece { attempt: *attempt, offset, bytes }))
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

    fn first(path: &Path) -> Try {
        Try { attempt: AttemptNumber::FIRST, log: path.to_owned() }
    }

    #[tokio::test]
    async fn a_follower_gets_every_byte_once_and_then_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.log");
        let outputs = Outputs::default();
        outputs.begin(TaskId(1), None);
        let mut follow = Follow::new(outputs.watch(TaskId(1)), vec![], (None, 0));
        let writer = tokio::spawn({
            let (outputs, path) = (outputs.clone(), path.clone());
            async move {
                outputs.begin(TaskId(1), Some(first(&path)));
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
        while let Some(piece) = follow.next().await.unwrap() {
            assert_eq!(piece.offset, bytes.len() as u64);
            bytes.extend(piece.bytes);
        }
        writer.await.unwrap();
        assert_eq!(bytes, fs::read(&path).unwrap());
    }

    #[tokio::test]
    async fn a_try_that_is_stored_before_it_begins_is_followed_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let nth = |n: u32| {
            let log = folder.path().join(n.to_string());
            fs::write(&log, format!("try {n}")).unwrap();
            Try { attempt: AttemptNumber(n), log }
        };
        // The first of a new task, and the second of one that was begun by this host or another.
        for (begun, stored) in [(None, 1), (None, 2), (Some(nth(1)), 2)] {
            let outputs = Outputs::default();
            outputs.begin(TaskId(1), begun);
            outputs.begin(TaskId(1), None);
            let tries = (1..=stored).map(nth).collect::<Vec<_>>();
            let mut follow = Follow::new(outputs.watch(TaskId(1)), tries, (None, 4));
            outputs.begin(TaskId(1), Some(nth(stored)));
            outputs.end(TaskId(1));
            let piece = follow.next().await.unwrap().expect("what the try says");
            assert_eq!((piece.attempt.0, piece.bytes), (stored, stored.to_string().into_bytes()));
            assert!(follow.next().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn the_log_of_an_ended_task_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.log");
        fs::write(&path, vec![b'x'; PIECE + 5]).unwrap();
        let mut follow = Follow::new(None, vec![first(&path)], (None, 3));
        let mut total = 0;
        while let Some(piece) = follow.next().await.unwrap() {
            total += piece.bytes.len();
        }
        assert_eq!(total, PIECE + 2);
        assert_eq!(read_tail(&path, 4).unwrap(), (PIECE as u64 + 1, b"xxxx".to_vec()));
        assert_eq!(read_range(&path, PIECE as u64, 10).unwrap().bytes.len(), 5);
    }

    #[tokio::test]
    async fn every_try_is_followed_to_its_end_however_late() {
        let folder = tempfile::tempdir().unwrap();
        let nth = |n: u32| {
            let log = folder.path().join(n.to_string());
            fs::write(&log, format!("{n}").repeat(10)).unwrap();
            Try { attempt: AttemptNumber(n), log }
        };
        let outputs = Outputs::default();
        outputs.begin(TaskId(1), Some(nth(2)));
        let follow = |first, offset| {
            let first = Option::map(first, AttemptNumber);
            Follow::new(outputs.watch(TaskId(1)), vec![nth(1), nth(2)], (first, offset))
        };
        // One that asks for the last, one that was lost within the first, and one whose is gone.
        let mut followers = [follow(None, 3), follow(Some(1), 4), follow(Some(0), 5)];
        outputs.set_full(TaskId(1), true);
        for n in 3..=5 {
            outputs.begin(TaskId(1), Some(nth(n)));
        }
        assert!(!outputs.is_full(TaskId(1)), "what was said of another try");
        outputs.end(TaskId(1));
        let mut seen = vec![];
        for follow in &mut followers {
            let mut pieces = vec![];
            while let Some(piece) = follow.next().await.unwrap() {
                pieces.push((piece.attempt.0, piece.offset, piece.bytes.len()));
            }
            seen.push(pieces);
        }
        let rest = [(3, 0, 10), (4, 0, 10), (5, 0, 10)];
        assert_eq!(seen[0], [&[(2, 3, 7)], &rest[..]].concat());
        assert_eq!(seen[1], [&[(1, 4, 6), (2, 0, 10)], &rest[..]].concat());
        assert_eq!(seen[2], [&[(1, 0, 10), (2, 0, 10)], &rest[..]].concat());
    }
}
