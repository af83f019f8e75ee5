//! Why a shim gives up before it has a child.

use std::io;
use std::path::PathBuf;

use nod_core::shim::SHIM_NO_ROOM;
use rustix::io::Errno;

/// The shim itself failed; it started no process.
const FAILED: u8 = 1;
/// Another shim or a host owns the attempt.
const CLAIMED: u8 = 3;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ShimError {
    #[error("failed to enter {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("failed to read the spec: {0}")]
    Spec(io::Error),
    #[error("failed to understand the spec: {0}")]
    SpecContent(serde_json::Error),
    #[error("the spec has protocol {0}, which is newer than this shim")]
    Protocol(u32),
    #[error("the attempt is already claimed")]
    Claimed,
    #[error("failed to claim the attempt: {0}")]
    Claim(io::Error),
    #[error("a system call failed: {0}")]
    System(io::Error),
}

impl ShimError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Claimed => CLAIMED,
            Self::Claim(error) | Self::System(error) | Self::Spec(error) if is_shortage(error) => {
                SHIM_NO_ROOM
            }
            Self::Folder { .. } | Self::Spec(_) | Self::SpecContent(_) | Self::Protocol(_) => {
                crate::UNUSABLE
            }
            Self::Claim(_) | Self::System(_) => FAILED,
        }
    }
}

/// Returns whether an error is for want of something that comes back: room on the disk, or files.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::MFILE | Errno::NFILE))
}
