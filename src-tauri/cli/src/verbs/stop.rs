//! `nod stop`: the end of a host without a window.

use std::time::Duration;

use clap::Args;
use nod_client::{ClientError, Door, stop_host};
use nod_core::protocol::{Call, ErrorCode};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output};

/// How long the host may take to let go of everything before we stop watching.
const PATIENCE: Duration = Duration::from_secs(10);

/// End the host that runs without a window; its tasks go on
#[derive(Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    match stop(&host.door(), PATIENCE) {
        Ok(true) => output::line("the host has ended; its tasks go on")?,
        Ok(false) => output::line("the host is ending; its tasks go on")?,
        Err(ClientError::NoHost { .. }) => output::line("no host runs; tasks go on without one")?,
        Err(error) => return Err(host.about_silence(error.into(), &Call::StopHost)),
    }
    Ok(exit::OK)
}

/// Returns whether the host is gone; not when it only said that it goes.
fn stop(door: &Door, patience: Duration) -> Result<bool, ClientError> {
    match stop_host(door, patience) {
        Ok(mut connection) => Ok(matches!(connection.receive(), Err(ClientError::Lost { .. }))),
        // It was on its way already.
        Err(ClientError::Lost { .. }) => Ok(true),
        Err(ClientError::Refused(error)) if error.code == ErrorCode::Stopping => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_frozen_host_is_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("host.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        let door = Door { socket, token: None };
        let error = stop(&door, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
    }
}
