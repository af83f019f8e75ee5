//! The hosts that are connected: what each has sent in part, and what it has not read yet.
//!
//! A host that reads slowly or not at all never makes the shim wait. What is
//! said in one turn of the loop goes out together: the host wakes up once.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::contract::shim::{FromShim, ToShim};

/// More would be of no use, but a newcomer is never the one to go: it may be the host.
const MOST: usize = 16;
const LONGEST_LINE: usize = 64 * 1024;
const MOST_UNSENT: usize = 256 * 1024;

pub(crate) struct Connections {
    all: Vec<Connection>,
    /// Counts arrivals and what is heard, in their order.
    clock: u64,
}

/// How a host came to be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It started this shim.
    Starter,
    /// It came to the socket, as anyone of this user can.
    Socket,
}

struct Connection {
    origin: Origin,
    /// When it came or was last heard.
    heard_at: u64,
    stream: UnixStream,
    /// The beginning of a line whose end has not come.
    unread: Vec<u8>,
    /// What the host has not taken yet.
    unsent: Vec<u8>,
    /// The host did not take all that was written last.
    behind: bool,
    /// A size that was left out while the host was behind.
    owed_size: Option<u64>,
    lost: bool,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { all: Vec::new(), clock: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes a host in, with the message that must come first. Where there are too many, whoever
    /// has been silent longest has to go, but not the host that started this shim.
    pub(crate) fn add(&mut self, stream: UnixStream, origin: Origin, first: &FromShim) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.all.len() >= MOST {
            self.drop_most_silent();
        }
        self.clock += 1;
        let mut connection = Connection {
            origin,
            heard_at: self.clock,
            stream,
            unread: Vec::new(),
            unsent: Vec::new(),
            behind: false,
            owed_size: None,
            lost: false,
        };
        connection.send(&line_of(first));
        self.all.push(connection);
    }

    /// Says something to every host, with the next [`Self::flush`].
    pub(crate) fn send(&mut self, message: &FromShim) {
        let line = line_of(message);
        for connection in &mut self.all {
            connection.send(&line);
        }
    }

    /// Writes what was said. To be called before anything is waited for.
    pub(crate) fn flush(&mut self) {
        for connection in &mut self.all {
            connection.flush();
        }
        self.drop_lost();
    }

    /// Tells the log's size to those who have read what came before; the others get it later.
    pub(crate) fn send_size(&mut self, size: u64) {
        let line = line_of(&FromShim::Output { size });
        for connection in &mut self.all {
            if connection.behind {
                connection.owed_size = Some(size);
            } else {
                connection.send(&line);
            }
        }
    }

    /// Returns what to wait on, in a fixed order: a stream, and whether it has bytes to send.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        self.all.iter().map(|connection| (connection.stream.as_fd(), !connection.unsent.is_empty()))
    }

    /// Reads and writes where bit n of `ready` says that the nth stream can.
    pub(crate) fn exchange(&mut self, ready: u32) -> Vec<ToShim> {
        let mut messages = Vec::new();
        for (index, connection) in self.all.iter_mut().enumerate() {
            if ready & (1 << index) != 0 {
                connection.flush();
                if connection.receive(&mut messages) {
                    self.clock += 1;
                    connection.heard_at = self.clock;
                }
            }
        }
        self.drop_lost();
        messages
    }

    fn drop_most_silent(&mut self) {
        let others = self.all.iter().enumerate().filter(|(_, it)| it.origin == Origin::Socket);
        if let Some((index, _)) = others.min_by_key(|(_, connection)| connection.heard_at) {
            self.all.remove(index);
        }
    }

    fn drop_lost(&mut self) {
        self.all.retain(|connection| !connection.lost);
    }
}

impl Connection {
    fn send(&mut self, line: &[u8]) {
        if self.unsent.len() + line.len() > MOST_UNSENT {
            self.lost = true;
            return;
        }
        self.unsent.extend_from_slice(line);
    }

    fn flush(&mut self) {
        self.write();
        if !self.behind
            && let Some(size) = self.owed_size.take()
        {
            self.send(&line_of(&FromShim::Output { size }));
            self.write();
        }
    }

    fn write(&mut self) {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.write(&self.unsent[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.lost |= error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.unsent.drain(..sent);
        self.behind = !self.unsent.is_empty();
    }

    /// Reads once: a host that talks without end must not keep the shim from its task. Returns
    /// whether it said something.
    fn receive(&mut self, messages: &mut Vec<ToShim>) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.lost = true,
            Ok(count) => {
                self.unread.extend_from_slice(&bytes[..count]);
                self.take_lines(messages);
                return true;
            }
            Err(error) => {
                let kind = error.kind();
                self.lost |=
                    kind != io::ErrorKind::WouldBlock && kind != io::ErrorKind::Interrupted;
            }
        }
        false
    }

    /// Whoever says something that is no message is no host of ours.
    fn take_lines(&mut self, messages: &mut Vec<ToShim>) {
        let mut rest = self.unread.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            match serde_json::from_slice(&rest[..end]) {
                Ok(message) => messages.push(message),
                Err(_) => {
                    self.lost = true;
                    return;
                }
            }
            rest = &rest[end + 1..];
        }
        self.lost |= rest.len() > LONGEST_LINE;
        let taken = self.unread.len() - rest.len();
        self.unread.drain(..taken);
    }
}

fn line_of(message: &FromShim) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("a message of the shim has string keys only");
    line.push(b'\n');
    line
}
