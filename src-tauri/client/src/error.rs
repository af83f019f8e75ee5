//! What can go wrong between a client and its host, each with what to do about it.

use std::io;
use std::path::PathBuf;

use nod_core::protocol::{ErrorCode, ErrorReply, MESSAGE_LIMIT, PROTOCOL};

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no Nod host listens on {}: open the Nod window or run `nod serve`", socket.display())]
    NoHost { socket: PathBuf, source: io::Error },
    #[error("failed to reach the Nod host on {}: {source}", socket.display())]
    Unreachable { socket: PathBuf, source: io::Error },
    #[error(
        "the socket {} belongs to user {uid}, not to you: remove it, then try again",
        socket.display()
    )]
    Foreign { socket: PathBuf, uid: u32 },
    #[error("the Nod host closed the connection before it answered: try again")]
    Lost { source: Option<io::Error> },
    #[error(
        "the Nod host (process {pid}) did not answer in time: look into its host.log; \
         if it hangs, end it with `kill -9 {pid}` (its tasks go on)"
    )]
    Silent { pid: i32 },
    #[error(transparent)]
    Refused(#[from] ErrorReply),
    #[error(
        "the Nod host (process {pid}) does not speak protocol {PROTOCOL} of this `nod`: \
         quit that host (its tasks go on), then try again"
    )]
    Version { pid: i32 },
    #[error("the Nod host sent something that this `nod` cannot read ({what}): update both")]
    Protocol { what: String },
    #[error(
        "the call has {size} bytes and a message may have {MESSAGE_LIMIT}: \
         make the environment or the text smaller"
    )]
    TooLarge { size: usize },
    #[error("failed to get random bytes for the name of an operation")]
    Random { source: getrandom::Error },
}

impl ClientError {
    /// Returns whether another host, or the same one a little later, may take the call.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoHost { .. } | Self::Lost { .. } => true,
            Self::Refused(error) => error.code == ErrorCode::Stopping,
            // An older host makes way for a newer one, where somebody asks it to.
            Self::Version { .. } => true,
            Self::Unreachable { .. }
            | Self::Foreign { .. }
            | Self::Silent { .. }
            | Self::Protocol { .. }
            | Self::TooLarge { .. }
            | Self::Random { .. } => false,
        }
    }

    /// Returns whether the host that failed like this may have taken the call: one that does not
    /// speak to this program takes nothing.
    #[must_use]
    pub fn may_have_taken(&self) -> bool {
        !matches!(self, Self::NoHost { .. } | Self::Version { .. })
    }
}
