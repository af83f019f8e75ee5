//! A host without a window: `nod serve`.

use std::io::{self, Write as _};

use nod_core::paths::Paths;
use nod_core::protocol::HostKind;
use tokio::signal::unix::{SignalKind, signal};

use crate::diagnostics;
use crate::host::{Host, HostOptions, StartError};
use crate::process::Programs;

/// What a headless host is started with.
pub struct ServeOptions {
    pub paths: Paths,
    /// Write the line `ready` to the standard output once calls are answered, or why not.
    pub announce: bool,
}

/// Runs a host until it is asked to end, by a call, SIGTERM or SIGINT. Its tasks go on.
pub fn serve(options: ServeOptions) -> Result<(), StartError> {
    diagnostics::write_to(&options.paths);
    let announces = options.announce;
    let served = start(options.paths).and_then(|host| {
        if announces {
            say("ready").map_err(StartError::Threads)?;
        }
        host.runtime().block_on(until_stopped(&host)).map_err(StartError::Threads)
    });
    if let Err(error) = &served {
        tracing::error!("the host did not start: {error}");
        // Who comes second says nothing: the first one is there to be asked.
        if announces && !matches!(error, StartError::Held(_)) {
            say(&error.to_string()).map_err(StartError::Threads)?;
        }
    }
    served
}

/// Starts a host without a window, with the programs that lie beside this one.
pub(crate) fn start(paths: Paths) -> Result<Host, StartError> {
    let mut host = Host::start(HostOptions {
        paths,
        programs: Programs::beside_this().map_err(StartError::Threads)?,
        kind: HostKind::Headless,
        show_window: None,
        identity: Default::default(),
        notification_server: None,
        arming: Default::default(),
    })?;
    // Nobody listens here: a window that comes later asks for a snapshot.
    drop(host.take_events());
    Ok(host)
}

/// Tells the one who started this host, through its standard output.
fn say(what: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{what}")?;
    out.flush()
}

async fn until_stopped(host: &Host) -> io::Result<()> {
    let mut stop = host.stop_requested();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        // An error says that the host is gone, which ends it as well.
        _ = stop.wait_for(|stop| *stop) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
