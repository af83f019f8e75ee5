//! What people type into a task that has its terminal as input.
//!
//! The terminal takes what the task has not read only up to a few KiB. The rest waits here, and
//! a task that never reads is not typed at without end. What was typed under an operation is known
//! again: this process outlives the host that said it, and hears it from the next one once more.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nod_core::ids::OperationId;
use nod_core::shim::{TYPED_KEPT, TYPED_REPORTED, Typed};
use rustix::process::Signal;
use rustix::termios::Winsize;

const MOST_PENDING: usize = 1024 * 1024;

pub(crate) struct Input {
    /// The same end of the terminal as the output is read from.
    terminal: OwnedFd,
    pending: VecDeque<u8>,
}

/// What was typed last, by the operation under which it was said.
#[derive(Default)]
pub(crate) struct Account {
    typed: VecDeque<Typed>,
}

impl Account {
    pub(crate) fn find(&self, operation: &OperationId) -> Option<&Typed> {
        self.typed.iter().find(|typed| typed.operation == *operation)
    }

    pub(crate) fn add(&mut self, typed: Typed) {
        if self.typed.len() == TYPED_KEPT {
            self.typed.pop_front();
        }
        self.typed.push_back(typed);
    }

    pub(crate) fn all(&self) -> Vec<Typed> {
        self.typed.iter().cloned().collect()
    }

    /// Returns as much of it as a report has room for.
    pub(crate) fn newest(&self) -> Vec<Typed> {
        self.typed.iter().skip(self.typed.len().saturating_sub(TYPED_REPORTED)).cloned().collect()
    }
}

impl Input {
    pub(crate) fn new(terminal: &OwnedFd) -> io::Result<Self> {
        Ok(Self { terminal: terminal.try_clone()?, pending: VecDeque::new() })
    }

    /// Returns what to wait on until more can be typed, if something waits.
    pub(crate) fn sink(&self) -> Option<BorrowedFd<'_>> {
        (!self.pending.is_empty()).then(|| self.terminal.as_fd())
    }

    /// Types, and returns how many bytes had no room.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let room = MOST_PENDING - self.pending.len();
        let taken = bytes.len().min(room);
        self.pending.extend(&bytes[..taken]);
        self.flush();
        bytes.len() - taken
    }

    /// Types Ctrl-C before everything that waits. A terminal that is full does not take it: then
    /// it is signalled, as the terminal would do.
    pub(crate) fn interrupt(&mut self) {
        self.pending.clear();
        self.write(b"\x03");
        if !self.pending.is_empty()
            && let Ok(group) = rustix::termios::tcgetpgrp(&self.terminal)
        {
            self.pending.clear();
            // A group that is gone has no need of it.
            rustix::process::kill_process_group(group, Signal::INT).ok();
        }
    }

    /// Hands over what the terminal takes.
    pub(crate) fn flush(&mut self) {
        while !self.pending.is_empty() {
            let (first, _) = self.pending.as_slices();
            match rustix::io::write(&self.terminal, first) {
                Ok(count) if count > 0 => drop(self.pending.drain(..count)),
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(rustix::io::Errno::AGAIN) => return,
                // Nobody will ever read it.
                Err(_) => return self.pending.clear(),
            }
        }
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        // A size of nothing makes programs print nothing.
        let size = Winsize {
            ws_row: rows.clamp(1, 1000),
            ws_col: columns.clamp(1, 1000),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // One whose other end is closed has no size to change.
        rustix::termios::tcsetwinsize(&self.terminal, size).ok();
    }
}
