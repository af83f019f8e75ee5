//! The lines of a connection, and which process wrote each of them.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use nod_core::protocol::MESSAGE_LIMIT;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::intake::{Guest, Intake, LineRoom, SHORT_LINE};

/// How much is read at once.
const READ_SIZE: usize = 8 << 10;

/// The reading end of a connection whose socket passes credentials.
pub(super) struct Lines {
    stream: Arc<UnixStream>,
    buffer: Vec<u8>,
    unread: Range<usize>,
    /// Who wrote what is in the buffer, as the system says: never two of them at once.
    writer: Option<u32>,
    line: Vec<u8>,
    intake: Intake,
    guest: Arc<Guest>,
}

/// What the next line turned out to be.
pub(super) enum Line<'a> {
    /// A whole line without its end, the one process that wrote it, and the room it takes.
    Whole(&'a [u8], Option<u32>, Option<LineRoom>),
    /// It is longer than a message can be.
    TooLong,
    /// The stream ended, be it within a line.
    End,
}

impl Lines {
    pub(super) fn new(stream: Arc<UnixStream>, intake: Intake, guest: Arc<Guest>) -> Self {
        let buffer = vec![0; READ_SIZE];
        Self { stream, buffer, unread: 0..0, writer: None, line: Vec::new(), intake, guest }
    }

    pub(super) async fn next(&mut self) -> io::Result<Line<'_>> {
        self.line.clear();
        self.line.shrink_to(SHORT_LINE);
        let (mut writer, mut room) = (None, None);
        let mut is_first = true;
        loop {
            if self.unread.is_empty() {
                self.fill().await?;
            }
            let available = &self.buffer[self.unread.clone()];
            if available.is_empty() {
                return Ok(Line::End);
            }
            writer = if is_first { self.writer } else { writer.filter(|_| writer == self.writer) };
            is_first = false;
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(available.len());
            if self.line.len() + taken >= MESSAGE_LIMIT {
                return Ok(Line::TooLong);
            }
            if room.is_none() && self.line.len() + taken > SHORT_LINE {
                room = Some(self.intake.room(&self.guest).await);
            }
            self.line.extend_from_slice(&available[..taken]);
            self.unread.start += end.map_or(taken, |end| end + 1);
            if end.is_some() {
                self.guest.line_ended();
                return Ok(Line::Whole(&self.line, writer, room));
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        let Self { stream, buffer, .. } = self;
        let (size, writer) =
            stream.async_io(Interest::READABLE, || receive(stream, buffer)).await?;
        (self.unread, self.writer) = (0..size, writer);
        Ok(())
    }
}

/// Reads what one process wrote, and returns how much that is and which process.
fn receive(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(stream, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let writer = control.drain().find_map(|message| {
        let RecvAncillaryMessage::ScmCredentials(writer) = message else { return None };
        u32::try_from(writer.pid.as_raw_nonzero().get()).ok()
    });
    Ok((received.bytes, writer))
}

pub(super) async fn write_whole(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
