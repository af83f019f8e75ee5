//! Calls that outlive the host they were first sent to.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::error::ClientError;

/// The first pause between two tries, and the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The way to a host: a new connection can be opened at any time.
#[derive(Clone, PartialEq, Eq)]
pub struct Door {
    pub socket: PathBuf,
    /// A task's own token, to speak for that task.
    pub token: Option<String>,
}

/// When the next try is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once: something was done about the reason of the failure.
    Now,
    /// After a pause, as long as the deadline allows.
    Later,
}

impl Door {
    /// Connects.
    pub fn open(&self) -> Result<Connection, ClientError> {
        Connection::open(&self.socket, self.token.clone())
    }
}

/// Does `attempt` on new connections until it succeeds or fails for good.
///
/// A call that is sent again carries the operation that names it, so a host
/// that took it before it died replies with the first result.
///
/// A first try is made even when the deadline has passed. `between` is told
/// each passing failure and may end the tries with an error of its own.
pub fn persist<T, E: From<ClientError>>(
    door: &Door,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(&mut Connection) -> Result<T, ClientError>,
    mut between: impl FnMut(&ClientError) -> Result<Next, E>,
) -> Result<T, E> {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let error = match door.open().and_then(|mut connection| attempt(&mut connection)) {
            Ok(result) => return Ok(result),
            Err(error) if error.is_passing() => error,
            Err(error) => return Err(error.into()),
        };
        // A host was there: the next one is likely to be there soon.
        if !matches!(error, ClientError::NoHost { .. }) {
            pause = SHORTEST_PAUSE;
        }
        match between(&error)? {
            Next::Now => continue,
            Next::Later => {}
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(error.into());
        }
        thread::sleep(left.map_or(pause, |left| pause.min(left)));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
