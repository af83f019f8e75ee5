//! Asking a host to make way for another one; its tasks go on.

use std::time::Duration;

use nod_core::protocol::{Call, Reply};

use crate::connection::Connection;
use crate::error::ClientError;
use crate::retrying::Door;

/// Asks the host to let go, an older one in its own protocol, and returns the connection, whose
/// end tells that it is gone.
pub fn stop_host(door: &Door, patience: Duration) -> Result<Connection, ClientError> {
    match stop(door.open()?, patience) {
        Err(ClientError::Version { .. }) => stop(door.open()?.speaking_older(), patience),
        stopped => stopped,
    }
}

fn stop(mut connection: Connection, patience: Duration) -> Result<Connection, ClientError> {
    let reply = connection.call_within(patience, &Call::StopHost)?;
    if reply != Reply::Done {
        return Err(ClientError::Protocol { what: format!("{reply:?}") });
    }
    Ok(connection)
}
