//! A log as a stream of plain lines, and where each of them is in the file.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;

use crate::logs;

const PIECE: usize = 64 * 1024;
/// A line that is longer is read as several, so that no line needs much memory.
const LINE: usize = 64 * 1024;
/// How far behind the reader lines may still be asked for: more than the searcher holds.
const KEPT: u64 = 512 * 1024;

/// Where lines begin: in the plain text, and in the file.
#[derive(Clone, Default)]
pub(super) struct Places(Rc<RefCell<VecDeque<(u64, u64)>>>);

impl Places {
    /// Returns where in the file the line begins that begins there in the text.
    pub(super) fn of(&self, text: u64) -> u64 {
        let places = self.0.borrow();
        let index = places.partition_point(|(start, _)| *start <= text);
        index.checked_sub(1).map_or(0, |index| places[index].1)
    }

    fn add(&self, text: u64, file: u64) {
        let mut places = self.0.borrow_mut();
        while places.get(1).is_some_and(|(start, _)| start + KEPT < text) {
            places.pop_front();
        }
        places.push_back((text, file));
    }
}

/// Which part of an escape sequence comes next (ECMA-48, 5.4 and 5.6).
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Escape,
    Control,
    /// A string, up to BEL or ST.
    String,
    StringEscape,
}

pub(super) struct Text {
    file: File,
    offset: u64,
    start: u64,
    /// How much of the file to read at the most.
    limit: u64,
    places: Places,
    state: State,
    /// How many bytes were handed over or are about to be.
    made: u64,
    line: usize,
    returned: bool,
    /// Where the line begins in the file.
    begins: u64,
    ready: VecDeque<u8>,
    ended: bool,
}

impl Text {
    pub(super) fn new(file: File, offset: u64, limit: u64, places: Places) -> Self {
        Self {
            file,
            offset,
            start: offset,
            limit,
            places,
            state: State::Text,
            made: 0,
            line: 0,
            returned: false,
            begins: offset,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Returns how many bytes of the file were passed.
    pub(super) fn passed(&self) -> u64 {
        self.offset - self.start
    }

    /// Returns where reading stopped before the end.
    pub(super) fn stopped(&self) -> Option<u64> {
        (!self.ended && self.passed() >= self.limit).then_some(self.offset)
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.ready.is_empty() && !self.ended && self.passed() < self.limit {
            let (offset, bytes) = logs::kept(&self.file, self.offset, PIECE)?;
            if bytes.is_empty() {
                self.ended = true;
                return Ok(());
            }
            for (at, byte) in (offset..).zip(&bytes) {
                self.take(*byte, at);
            }
            self.offset = offset + bytes.len() as u64;
        }
        Ok(())
    }

    fn take(&mut self, byte: u8, at: u64) {
        self.state = match (self.state, byte) {
            (State::Text, 0x1b) | (State::Escape, 0x1b) => State::Escape,
            (State::Escape, b'[') => State::Control,
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
            (State::Escape, 0x20..=0x2f) => State::Escape,
            (State::Control, 0x40..=0x7e) => State::Text,
            (State::String, 0x07) | (State::StringEscape, b'\\') => State::Text,
            (State::String | State::StringEscape, 0x1b) => State::StringEscape,
            // A line end inside: it was no sequence, or it was cut off.
            (State::Control | State::String | State::StringEscape, b'\n') => State::Text,
            (State::Escape, _) => State::Text,
            (State::StringEscape, _) => State::String,
            (state @ (State::Control | State::String), _) => state,
            (State::Text, _) => {
                self.show(byte, at);
                return;
            }
        };
        if byte == b'\n' {
            self.end(at);
        }
    }

    fn show(&mut self, byte: u8, at: u64) {
        match byte {
            b'\r' => self.returned = true,
            b'\n' => self.end(at),
            _ => {
                if self.returned || self.line >= LINE {
                    self.end(at - 1);
                }
                if self.line == 0 {
                    self.places.add(self.made, self.begins);
                }
                self.push(byte);
                self.line += 1;
            }
        }
    }

    /// Ends a line whose last byte is `at`.
    fn end(&mut self, at: u64) {
        self.push(b'\n');
        self.line = 0;
        self.returned = false;
        self.begins = at + 1;
    }

    fn push(&mut self, byte: u8) {
        self.ready.push_back(byte);
        self.made += 1;
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        self.ready.read(buffer)
    }
}
