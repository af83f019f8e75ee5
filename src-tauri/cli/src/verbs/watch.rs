//! `nod watch`: what happens, as it happens.

use clap::Args;
use nod_client::{ClientError, Connection, Incoming};
use nod_core::ids::EventNumber;
use nod_core::protocol::{Call, Notification, Reply, WatchedEvent};

use crate::failure::Failure;
use crate::host::Host;
use crate::output;

/// Print what happens as JSON, one event a line
///
/// Each has its number as `seq`. What came after an event that was seen before
/// is printed with --since, so that no event is missed and none is seen twice.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Begin after this event, rather than with the next one
    #[arg(long, value_name = "NUMBER")]
    since: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    let mut last = match arguments.since {
        Some(since) => EventNumber(since),
        None => newest(&host)?,
    };
    let mut closed = None;
    // A host that goes is followed by the next one: the events go on where they were.
    let ended: Result<(), Failure> = host.keep_asking(|connection| {
        follow(connection, &mut last, |event| match output::json(event) {
            Ok(()) => true,
            Err(error) => {
                closed = Some(error);
                false
            }
        })
    });
    ended?;
    Err(Failure::from(closed.expect("it ends only where nothing can be printed")))
}

/// Returns the number of the last event there is.
fn newest(host: &Host) -> Result<EventNumber, Failure> {
    let reply = host.keep_asking(|connection| {
        connection.send(&Call::Subscribe)?;
        loop {
            if let Incoming::Reply(reply) = connection.receive()? {
                return Ok(*reply);
            }
        }
    })?;
    let Reply::Subscribed { seq, .. } = reply else { return Err(Failure::unexpected(&reply)) };
    Ok(seq)
}

/// Prints events until that is no longer possible.
fn follow(
    connection: &mut Connection,
    last: &mut EventNumber,
    mut print: impl FnMut(&WatchedEvent) -> bool,
) -> Result<(), ClientError> {
    connection.send(&Call::Watch { since: Some(*last) })?;
    loop {
        let Incoming::Notification(notification) = connection.receive()? else { continue };
        let Notification::Watched(event) = *notification else { continue };
        *last = event.seq;
        if !print(&event) {
            return Ok(());
        }
    }
}
