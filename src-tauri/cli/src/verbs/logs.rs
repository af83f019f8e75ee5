//! `nod logs`: what a task printed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use nod_client::{ClientError, Connection, Incoming};
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, ErrorCode, LogPart, Notification, Reply};

use crate::failure::Failure;
use crate::host::Host;
use crate::plain::PlainLog;
use crate::{exit, output};

/// How much is asked for at once, in bytes; as base64 it stays well below a message's limit.
const PART: u64 = 512 * 1024;

/// Print what a task printed, byte by byte
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id)]
    id: TaskId,
    /// Go on until the task has ended
    #[arg(short, long)]
    follow: bool,
    /// Leave out escape sequences, and print lines that were redrawn as they last were
    #[arg(long)]
    plain: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    let mut log = Log { offset: 0, plain: arguments.plain.then(PlainLog::default) };
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
    loop {
        let call = Call::ReadLog { id, offset: log.offset, limit: PART };
        let reply = match host.call(&call) {
            Err(failure) if is_conflict(&failure) => return without_output(host, id, failure),
            reply => reply?,
        };
        let Reply::Log(part) = reply else { return Err(Failure::unexpected(&reply)) };
        let end = *size.get_or_insert(part.size);
        if part.data.is_empty() {
            return Ok(());
        }
        log.take(&part)?;
        if log.offset >= end {
            return Ok(());
        }
    }
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
    connection.send(&Call::FollowLog { id, offset: log.offset })?;
    loop {
        match connection.receive()? {
            Incoming::Notification(notification) => match *notification {
                Notification::Log(part) => {
                    if let Err(failure) = log.take(&part) {
                        return Ok(Err(failure));
                    }
                }
                Notification::Event(_) => {}
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
    offset: u64,
    plain: Option<PlainLog>,
}

impl Log {
    fn take(&mut self, part: &LogPart) -> Result<(), Failure> {
        let bytes = STANDARD
            .decode(&part.data)
            .map_err(|error| ClientError::Protocol { what: format!("no base64: {error}") })?;
        // A part of a log that was bounded lies beyond what was asked for.
        self.offset = part.offset + bytes.len() as u64;
        match &mut self.plain {
            Some(plain) => output::bytes(&plain.feed(&bytes))?,
            None => output::bytes(&bytes)?,
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
