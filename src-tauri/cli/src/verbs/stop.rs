//! `nod stop`: the end of a host without a window.

use std::time::Duration;

use clap::Args;
use nod_client::{ClientError, Connection};
use nod_core::protocol::{Call, Reply};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output};

/// How long the host may take to let go of everything before we stop watching.
const PATIENCE: Duration = Duration::from_secs(10);

/// End the host that runs without a window; its tasks go on
#[derive(Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<u8, Failure> {
    let stopped = Host::find()?.door().open().and_then(|mut connection| stop(&mut connection));
    match stopped {
        Ok(true) => output::line("the host has ended; its tasks go on")?,
        Ok(false) => output::line("the host is ending; its tasks go on")?,
        Err(ClientError::NoHost { .. }) => output::line("no host runs; tasks go on without one")?,
        Err(error) => return Err(error.into()),
    }
    Ok(exit::OK)
}

/// Returns whether the host is gone; not when it only said that it goes.
fn stop(connection: &mut Connection) -> Result<bool, ClientError> {
    match connection.call(&Call::StopHost) {
        Ok(Reply::Done) => {}
        Ok(reply) => return Err(ClientError::Protocol { what: format!("{reply:?}") }),
        // It was on its way already.
        Err(error) if error.is_passing() => return Ok(matches!(error, ClientError::Lost { .. })),
        Err(error) => return Err(error),
    }
    connection.set_timeout(Some(PATIENCE))?;
    Ok(matches!(connection.receive(), Err(ClientError::Lost { .. })))
}
