//! `nod logs`: what a task printed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use nod_client::{ClientError, Connection, Incoming};
use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::protocol::{Call, ErrorCode, LogPart, Notification, Reply};

use crate::bytes::words;
use crate::failure::Failure;
use crate::host::Host;
use crate::plain::PlainLog;
use crate::{exit, output};

/// How much is asked for at once, in bytes; as base64 it stays well below a message's limit.
const PART: u64 = 512 * 1024;
/// How much is looked through at once for the start of the last lines; a host gives no more.
const STEP: u64 = 64 * 1024;

/// Print what a task printed, byte by byte
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id, allow_negative_numbers = true)]
    id: TaskId,
    /// The try that printed it, such as one that `nod search` names; the last one by default
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Go on until the task has ended, through the tries that follow
    #[arg(short, long)]
    follow: bool,
    /// Leave out escape sequences, and print lines that were redrawn as they last were
    #[arg(long)]
    plain: bool,
    /// Only the first lines
    #[arg(long, value_name = "LINES", conflicts_with_all = ["tail", "range"])]
    head: Option<u64>,
    /// Only the last lines, and with -f what follows
    #[arg(long, value_name = "LINES", conflicts_with = "range")]
    tail: Option<u64>,
    /// Only the bytes from one offset up to another, such as 4096..8192 or 4096..
    #[arg(long, value_name = "FROM..TO", value_parser = range)]
    range: Option<(u64, Option<u64>)>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    let mut log = Log::new(arguments);
    if let Some(lines) = arguments.tail {
        let read = |offset| part(&host, arguments.id, (log.attempt, offset));
        log.offset = start_of_last(lines, read)?;
    } else if log.attempt.is_some() {
        // One that there never was is told at once, and not waited for.
        part(&host, arguments.id, (log.attempt, u64::MAX))?;
    }
    if log.is_complete() {
        // No line, or no byte, was asked for.
        return Ok(exit::OK);
    }
    if arguments.follow {
        follow(&host, arguments.id, &mut log)?;
    } else {
        read(&host, arguments.id, &mut log)?;
    }
    log.finish()?;
    Ok(exit::OK)
}

/// Prints the log as long as it was at the first look; a task may print faster than we read.
fn read(host: &Host, id: TaskId, log: &mut Log) -> Result<(), Failure> {
    let mut size = None;
    while !log.is_complete() {
        let part = match part(host, id, (log.attempt, log.offset)) {
            Err(failure) if is_conflict(&failure) => return without_output(host, id, failure),
            part => part?,
        };
        let end = *size.get_or_insert(part.size);
        if part.data.is_empty() {
            return Ok(());
        }
        log.take(&part)?;
        if log.offset >= end {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns what the log of a try, or of the last one, has from an offset on.
fn part(
    host: &Host,
    id: TaskId,
    (attempt, offset): (Option<AttemptNumber>, u64),
) -> Result<LogPart, Failure> {
    let reply = host.call(&Call::ReadLog { id, offset, limit: PART, attempt })?;
    let Reply::Log(part) = reply else { return Err(Failure::unexpected(&reply)) };
    Ok(part)
}

/// Returns whether the task has no output since it was never started.
fn is_conflict(failure: &Failure) -> bool {
    matches!(failure, Failure::Client(ClientError::Refused(e)) if e.code == ErrorCode::Conflict)
}

/// Says of a task that has ended that it never started; of another, `failure` says that it may yet.
fn without_output(host: &Host, id: TaskId, failure: Failure) -> Result<(), Failure> {
    let reply = host.call(&Call::Show { id })?;
    let Reply::Task(detail) = reply else { return Err(Failure::unexpected(&reply)) };
    if detail.task.state.outcome().is_none() {
        return Err(failure);
    }
    output::note(&format!("task {id} never started: {}", detail.task.state.words()));
    Ok(())
}

/// Prints the log until the task's end; goes on where it was when the host is lost.
fn follow(host: &Host, id: TaskId, log: &mut Log) -> Result<(), Failure> {
    host.keep_asking(|connection| follow_on(connection, id, log))?
}

/// Returns a failure of the output inside of the result: another host would not mend it.
fn follow_on(
    connection: &mut Connection,
    id: TaskId,
    log: &mut Log,
) -> Result<Result<(), Failure>, ClientError> {
    connection.send(&Call::FollowLog { id, offset: log.offset, attempt: log.attempt })?;
    loop {
        match connection.receive()? {
            Incoming::Notification(notification) => match *notification {
                Notification::Log(part) => {
                    if let Err(failure) = log.take(&part) {
                        return Ok(Err(failure));
                    }
                    if log.is_complete() {
                        return Ok(Ok(()));
                    }
                }
                Notification::Event(_) | Notification::Watched(_) => {}
            },
            Incoming::Reply(reply) if matches!(*reply, Reply::LogEnded { .. }) => {
                return Ok(Ok(()));
            }
            Incoming::Reply(reply) => return Ok(Err(Failure::unexpected(&reply))),
        }
    }
}

/// How much of the log was printed, and how.
struct Log {
    /// Which try is printed, once that is known.
    attempt: Option<AttemptNumber>,
    offset: u64,
    /// Where to end, if not with the log.
    end: Option<u64>,
    /// How many line ends are still to be printed, if not all.
    lines: Option<u64>,
    plain: Option<PlainLog>,
}

impl Log {
    fn new(arguments: &Arguments) -> Self {
        let (offset, end) = arguments.range.unwrap_or((0, None));
        let plain = arguments.plain.then(PlainLog::default);
        let attempt = arguments.attempt.map(AttemptNumber);
        Self { attempt, offset, end, lines: arguments.head, plain }
    }

    fn is_complete(&self) -> bool {
        self.lines == Some(0) || self.end.is_some_and(|end| self.offset >= end)
    }

    fn take(&mut self, part: &LogPart) -> Result<(), Failure> {
        if let Some(attempt) = part.attempt
            && self.attempt.replace(attempt).is_some_and(|before| before != attempt)
        {
            self.begin_again(attempt)?;
        }
        let bytes = decoded(part)?;
        if part.offset > self.offset {
            self.tell_gap(part.offset - self.offset)?;
        }
        self.offset = part.offset + bytes.len() as u64;
        let bytes = self.wanted(&bytes, part.offset);
        match &mut self.plain {
            Some(plain) => output::bytes(&plain.feed(bytes))?,
            None => output::bytes(bytes)?,
        }
        Ok(())
    }

    /// Goes on with the log of another try.
    fn begin_again(&mut self, attempt: AttemptNumber) -> Result<(), Failure> {
        self.offset = 0;
        if let Some(plain) = &mut self.plain {
            output::bytes(&std::mem::take(plain).finish())?;
        }
        output::note(&format!("try {attempt} begins"));
        Ok(())
    }

    /// Returns as much of the bytes as lies before the end.
    fn wanted<'a>(&mut self, bytes: &'a [u8], offset: u64) -> &'a [u8] {
        let room = self.end.map_or(u64::MAX, |end| end.saturating_sub(offset));
        let bytes = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let Some(lines) = &mut self.lines else { return bytes };
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            *lines -= 1;
            if *lines == 0 {
                return &bytes[..=at];
            }
        }
        bytes
    }

    /// Says that a part of the output is gone: where text is wanted in the text, and beside the
    /// bytes where those are.
    fn tell_gap(&mut self, size: u64) -> Result<(), Failure> {
        let gap = format!("{} of output are gone here, over the limit of the log", words(size));
        match &mut self.plain {
            Some(plain) => {
                let rest = std::mem::take(plain).finish();
                let end = if rest.is_empty() { "" } else { "\n" };
                output::bytes(&rest)?;
                output::text(&format!("{end}[{gap}]\n"))?;
            }
            None => output::note(&gap),
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        match self.plain {
            Some(plain) => Ok(output::bytes(&plain.finish())?),
            None => Ok(()),
        }
    }
}

fn decoded(part: &LogPart) -> Result<Vec<u8>, ClientError> {
    let failed = |error| ClientError::Protocol { what: format!("no base64: {error}") };
    STANDARD.decode(&part.data).map_err(failed)
}

/// Returns where the last `lines` lines begin, as far back as the log is there in one piece.
fn start_of_last(
    lines: u64,
    read: impl Fn(u64) -> Result<LogPart, Failure>,
) -> Result<u64, Failure> {
    let size = match read(u64::MAX) {
        Err(failure) if is_conflict(&failure) => return Ok(0),
        part => part?.size,
    };
    let (mut start, mut missing) = (size, lines);
    // The end of the last line begins no other one.
    let mut is_last_byte = true;
    while start > 0 && missing > 0 {
        let from = start.saturating_sub(STEP);
        let part = read(from)?;
        let mut bytes = decoded(&part)?;
        bytes.truncate(usize::try_from(start.saturating_sub(part.offset)).unwrap_or(0));
        for (at, byte) in bytes.iter().enumerate().rev() {
            if *byte == b'\n' && !std::mem::take(&mut is_last_byte) {
                missing -= 1;
                if missing == 0 {
                    return Ok(part.offset + at as u64 + 1);
                }
            }
            is_last_byte = false;
        }
        if bytes.is_empty() || part.offset > from {
            return Ok(part.offset.min(start));
        }
        start = from;
    }
    Ok(start)
}

/// Returns the offsets that are written as `text`.
fn range(text: &str) -> Result<(u64, Option<u64>), &'static str> {
    let wrong = "write a range of bytes as 4096..8192, 4096.. or ..8192";
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong);
    let (from, to) = text.split_once("..").ok_or(wrong)?;
    let from = if from.is_empty() { 0 } else { number(from)? };
    let to = if to.is_empty() { None } else { Some(number(to)?) };
    if to.is_some_and(|to| to < from) { Err(wrong) } else { Ok((from, to)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns where the last lines begin of a log whose `lost` first bytes are gone.
    fn start(log: &str, lost: usize, lines: u64) -> u64 {
        let read = |offset: u64| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX).clamp(lost, log.len());
            let end = log.len().min(offset + usize::try_from(STEP).unwrap());
            let data = STANDARD.encode(&log[offset..end]);
            Ok(LogPart { offset: offset as u64, data, size: log.len() as u64, attempt: None })
        };
        start_of_last(lines, read).unwrap()
    }

    #[test]
    fn the_last_lines_begin_after_a_line_end_or_with_the_log() {
        let cases = [("a\nb\nc\n", 1, 4), ("a\nb\nc", 1, 4), ("a\nb\nc\n", 3, 0), ("a\n", 9, 0)];
        for (log, lines, expected) in cases {
            assert_eq!(start(log, 0, lines), expected, "{log:?}");
        }
        assert_eq!((start("", 0, 5), start("a\nb\n", 0, 0)), (0, 4));
        let long = "line\n".repeat(100_000);
        assert_eq!(start(&long, 0, 60_000), 200_000);
        assert_eq!(start(&long, 450_000, 60_000), 450_000, "what is gone is not looked for");
    }

    #[test]
    fn a_range_has_a_beginning_or_an_end() {
        assert_eq!(range("4..8"), Ok((4, Some(8))));
        assert_eq!(range("4.."), Ok((4, None)));
        assert_eq!(range("..8"), Ok((0, Some(8))));
        for wrong in ["", "4", "8..4", "a..b", "-1..2"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_lines_end_with_a_line() {
        let mut log = Log { attempt: None, offset: 0, end: None, lines: Some(2), plain: None };
        assert_eq!(log.wanted(b"a\nb\nc\n", 0), b"a\nb\n");
        assert!(log.is_complete());
        let mut log = Log { attempt: None, offset: 0, end: Some(5), lines: None, plain: None };
        assert_eq!(log.wanted(b"abcdef", 2), b"abc");
    }
}
