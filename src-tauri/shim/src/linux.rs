//! The shim on Linux: from the empty process to the supervising loop.

mod attempt;
mod attending;
mod bound;
mod cgroup;
mod child;
mod clock;
mod connections;
mod copying;
mod direct;
mod error;
mod exit_file;
mod finish;
mod forking;
mod input;
mod ladder;
mod output;
mod own_programs;
mod pausing;
mod processes;
mod stopping;
mod supervise;
mod system;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use attempt::Attempt;
use connections::Origin;
pub(crate) use error::ShimError;
use supervise::Supervisor;

/// Runs the attempt in `folder` to its end.
pub(crate) fn run(folder: &Path) -> Result<(), ShimError> {
    let signals = detach().map_err(ShimError::System)?;
    let host = host_connection().map_err(ShimError::System)?;
    let attempt = Attempt::claim(folder)?;
    let mut supervisor = Supervisor::new(attempt, signals)?;
    if let Some(host) = host {
        supervisor.greet(host, Origin::Starter);
    }
    supervisor.start_child();
    supervisor.supervise();
    supervisor.finish();
    Ok(())
}

/// Cuts what ties this process to its host, and makes it the parent of every orphan below it.
fn detach() -> std::io::Result<system::Signals> {
    // Fails where the host has already given this process its own session.
    rustix::process::setsid().ok();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    system::close_inherited_files();
    system::catch_signals()
}

/// Takes the connection that the host made as standard input, if it made one.
fn host_connection() -> std::io::Result<Option<UnixStream>> {
    let stdin = std::io::stdin();
    let is_socket = rustix::fs::fstat(&stdin)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
    if !is_socket {
        return Ok(None);
    }
    let connection: OwnedFd = rustix::io::fcntl_dupfd_cloexec(&stdin, 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(Some(UnixStream::from(connection)))
}
