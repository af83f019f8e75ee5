//! The attempt's folder: its spec, its socket and who may start it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nod_core::shim::{CLAIM_FILE, Claimant, LOG_FILE, SHIM_PROTOCOL, SHIM_SOCKET, SPEC_FILE, Spec};
use rustix::fs::{FlockOperation, Mode};

use super::ShimError;
use super::processes;

/// An attempt that this process, and no other, may start.
///
/// The process stands in the attempt's folder: all paths are relative, which
/// also keeps the socket's under the 107 bytes that unix(7) allows.
pub(crate) struct Attempt {
    pub(crate) spec: Spec,
    pub(crate) listener: UnixListener,
}

impl Attempt {
    /// Enters `folder` and claims the attempt in it.
    ///
    /// Returns [`ShimError::Claimed`], having touched nothing, when it is claimed already.
    pub(crate) fn claim(folder: &Path) -> Result<Self, ShimError> {
        std::env::set_current_dir(folder)
            .map_err(|source| ShimError::Folder { folder: folder.to_owned(), source })?;
        let spec = read_spec()?;
        let listener = listen_and_claim()?;
        Ok(Self { spec, listener })
    }
}

/// Opens the log for appending; the task's output is nobody else's to read.
pub(crate) fn open_log() -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(LOG_FILE)
}

fn read_spec() -> Result<Spec, ShimError> {
    let content = fs::read(SPEC_FILE).map_err(ShimError::Spec)?;
    let spec: Spec = serde_json::from_slice(&content).map_err(ShimError::SpecContent)?;
    if spec.protocol > SHIM_PROTOCOL {
        return Err(ShimError::Protocol(spec.protocol));
    }
    Ok(spec)
}

/// Listens first and claims second, so that at every instant a shim's claim
/// whose socket refuses connections is the claim of a dead shim.
///
/// The lock on the folder makes the two steps one for other shims: without a
/// claim, under the lock, a socket that is there belongs to nobody and may go,
/// and a second shim never gets as far as touching the first one's. A host
/// takes the claim without the lock; then this shim removes what it made.
fn listen_and_claim() -> Result<UnixListener, ShimError> {
    let folder = File::open(".").map_err(ShimError::Claim)?;
    rustix::fs::flock(&folder, FlockOperation::LockExclusive)
        .map_err(|error| ShimError::Claim(error.into()))?;
    if fs::symlink_metadata(CLAIM_FILE).is_ok() {
        return Err(ShimError::Claimed);
    }
    let listener = listen().map_err(ShimError::Claim)?;
    match create_claim() {
        Ok(()) => Ok(listener),
        Err(error) => {
            remove_socket();
            let is_claimed = error.kind() == io::ErrorKind::AlreadyExists;
            Err(if is_claimed { ShimError::Claimed } else { ShimError::Claim(error) })
        }
    }
}

fn listen() -> io::Result<UnixListener> {
    remove_socket();
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(SHIM_SOCKET);
    rustix::process::umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes the socket, if there is one.
pub(crate) fn remove_socket() {
    // What cannot be removed refuses connections, which says the same.
    fs::remove_file(SHIM_SOCKET).ok();
}

/// Returns whether the folder that this process works in was removed.
pub(crate) fn is_folder_gone() -> bool {
    match fs::metadata(".") {
        // One that has a name has a link by that.
        Ok(folder) => folder.nlink() == 0,
        Err(error) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
        }
    }
}

fn create_claim() -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(CLAIM_FILE)?;
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let claimant = Claimant {
        pid,
        start_time: processes::read(pid).map_or(0, |process| process.start_time),
        boot_id: boot_id(),
    };
    // The claim is the file itself. Where the disk is too full to say whose it is, it holds.
    if let Ok(content) = serde_json::to_vec(&claimant) {
        file.write_all(&content).ok();
    }
    Ok(())
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim_end().to_owned()
}
