//! Copying what the task prints into its log.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::bound::Bound;
use super::clock::Moment;

const PIECE: usize = 64 * 1024;
const RETRY_MS: u64 = 1000;

/// What a look at the task's output came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// There may be more to read at once.
    More,
    /// Nothing is there now.
    Empty,
    /// Nothing will ever come.
    Closed,
    /// The log takes no more bytes.
    Full,
}

/// The task's output on its way into the log.
pub(crate) struct Copying {
    source: OwnedFd,
    /// The other end of a terminal, held so that the source does not close while the task lives.
    terminal: Option<OwnedFd>,
    /// Nothing will come from the source any more.
    closed: bool,
    log: File,
    bound: Bound,
    /// What was read last.
    piece: Vec<u8>,
    /// How many bytes of the piece the log has taken.
    written: usize,
    size: u64,
    retry_at: Option<Moment>,
}

impl Copying {
    pub(crate) fn new(
        source: OwnedFd,
        terminal: Option<OwnedFd>,
        log: File,
        limit: Option<u64>,
    ) -> Self {
        let size = log.metadata().map_or(0, |metadata| metadata.len());
        Self {
            source,
            terminal,
            closed: false,
            log,
            bound: Bound::new(limit),
            // Reserved and not zeroed: a silent task's shim never touches these pages.
            piece: Vec::with_capacity(PIECE),
            written: 0,
            size,
            retry_at: None,
        }
    }

    /// Returns the size of the log.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn is_unbounded(&self) -> bool {
        self.bound.is_lost()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.retry_at.is_some()
    }

    /// Returns what to wait on. Nothing on a full disk: the writer has to wait.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        (!self.closed && !self.is_full()).then(|| self.source.as_fd())
    }

    /// Returns when to try a full disk again.
    pub(crate) fn retry_at(&self) -> Option<Moment> {
        self.retry_at
    }

    /// Copies one piece.
    pub(crate) fn copy(&mut self, now: Moment) -> Flow {
        if !self.write_held(now) {
            return Flow::Full;
        }
        let flow = self.fill();
        if self.write_held(now) { flow } else { Flow::Full }
    }

    /// Copies what is there, but not much more than `limit` bytes, when the task is over.
    pub(crate) fn drain(&mut self, now: Moment, limit: u64) -> Flow {
        self.terminal = None;
        let end = self.size.saturating_add(limit);
        loop {
            let flow = self.copy(now);
            if flow != Flow::More || self.size >= end {
                return flow;
            }
        }
    }

    /// Reads until the piece is full or nothing is there: a terminal gives 4 KiB at most at once.
    fn fill(&mut self) -> Flow {
        self.piece.clear();
        self.written = 0;
        let flow = loop {
            if self.piece.len() == self.piece.capacity() {
                break Flow::More;
            }
            match rustix::io::read(&self.source, spare_capacity(&mut self.piece)) {
                Ok(0) => break Flow::Closed,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Flow::Empty,
                // A terminal's way to say that nobody holds its other end: EIO.
                Err(_) => break Flow::Closed,
            }
        };
        self.closed = flow == Flow::Closed;
        flow
    }

    /// Returns whether the log took everything.
    ///
    /// Whatever the reason is, no byte is thrown away and the writer waits: on a full disk, over
    /// a quota or a limit of file size, while a network drive is away.
    fn write_held(&mut self, now: Moment) -> bool {
        while self.written < self.piece.len() {
            match self.log.write(&self.piece[self.written..]) {
                Ok(count) if count > 0 => {
                    self.written += count;
                    self.size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    self.retry_at = Some(now.plus(RETRY_MS));
                    return false;
                }
            }
        }
        self.retry_at = None;
        self.bound.keep(&self.log, self.size);
        true
    }
}
