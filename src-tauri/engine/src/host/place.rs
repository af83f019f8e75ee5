//! Taking a data directory: its folders, its lock, and where to listen.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self};
use std::time::Duration;

use nod_core::paths::Paths;
use nod_core::protocol::{Call, CallMessage, Hello, PROTOCOL};

use crate::process::{Hold, Programs};
use crate::socket;

use super::StartError;

/// How often a lock whose holder answers nobody is tried again, and how soon.
const LOCK_TRIES: u32 = 30;
const BETWEEN_LOCKS: Duration = Duration::from_millis(20);

/// How long a host may take to say that it is there, before it is asked again.
const SOON: Duration = Duration::from_millis(100);

/// Makes the folders, and takes the lock.
pub(super) fn prepare(paths: &Paths, programs: &Programs) -> Result<Hold, StartError> {
    for program in [&programs.shim, &programs.nod] {
        if !program.is_file() {
            return Err(StartError::Program { path: program.clone() });
        }
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Folder { path, source }
    };
    for folder in [&paths.data, &paths.tasks(), &paths.bin()] {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
    }
    // It may have been there before, open to others.
    fs::set_permissions(&paths.data, Permissions::from_mode(0o700)).map_err(failed(&paths.data))?;
    let lock = lock(paths).map_err(failed(&paths.host_lock()))?;
    let lock = lock.ok_or_else(|| StartError::Held(paths.data.clone()))?;
    link_program(&paths.bin().join("nod"), &programs.nod).map_err(failed(&paths.bin()))?;
    Ok(lock)
}

/// Takes the lock; returns nothing when another host has it.
///
/// A host that was killed in the middle of starting a process leaves its lock
/// with that process until it runs its own program: an instant, or longer where
/// the machine is busy. It answers nobody, so there the lock is waited for.
fn lock(paths: &Paths) -> io::Result<Option<Hold>> {
    let take = || Hold::take(&paths.data, &paths.host_lock());
    for _ in 0..LOCK_TRIES {
        let lock = take()?;
        if lock.is_some() {
            return Ok(lock);
        }
        if answers(&said_socket(paths)) {
            return Ok(None);
        }
        thread::sleep(BETWEEN_LOCKS);
    }
    take()
}

/// Returns where a host listens by its lock file, or where it would if that is gone.
fn said_socket(paths: &Paths) -> PathBuf {
    let written = fs::read_to_string(paths.host_lock()).unwrap_or_default();
    let socket = PathBuf::from(written.trim_end());
    if socket.is_absolute() { socket } else { paths.socket() }
}

/// Returns whether a host says anything at all on its socket. That somebody holds the socket open
/// is not enough: what holds a dead host's lock holds that too.
fn answers(socket: &Path) -> bool {
    let hello =
        Call::Hello(Hello { protocol: PROTOCOL, token: None, terminal: false, nonce: None });
    let asked = || -> io::Result<bool> {
        let mut host = UnixStream::connect(socket)?;
        host.set_read_timeout(Some(SOON))?;
        writeln!(host, "{}", serde_json::to_string(&CallMessage::new(0, hello))?)?;
        Ok(host.read(&mut [0])? > 0)
    };
    asked().unwrap_or(false)
}

/// Returns where to listen, and writes it into the lock file for those who look for a host.
///
/// The running tasks know the socket of the host that started them, so a later
/// host listens there too, wherever its own environment would put it.
pub(super) fn choose_socket(lock: &Hold, paths: &Paths) -> Result<PathBuf, StartError> {
    let failed = |source| StartError::Folder { path: paths.host_lock(), source };
    let written = lock.read().map_err(failed)?;
    let before = PathBuf::from(written.trim_end());
    let socket = if before.is_absolute() && socket::make_folder(&before).is_ok() {
        before
    } else {
        let socket = paths.socket();
        socket::make_folder(&socket)
            .map_err(|source| StartError::Socket { path: socket.clone(), source })?;
        socket
    };
    let text = format!("{}\n", socket.display());
    // A full disk must not take away what is right already.
    if text != written {
        lock.write(&text).map_err(failed)?;
    }
    Ok(socket)
}

/// Puts `nod` where every task finds it first.
fn link_program(link: &Path, program: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|target| target == program) {
        return Ok(());
    }
    let fresh = link.with_extension("new");
    if let Err(error) = fs::remove_file(&fresh)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    symlink(program, &fresh)?;
    fs::rename(fresh, link)
}
