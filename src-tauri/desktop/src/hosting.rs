//! Becoming the host of the data directory, and giving it back.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nod_client::{ClientError, Door, stop_host};
use nod_core::paths::Paths;
use nod_core::protocol::{Call, ErrorCode, HostKind};
use nod_engine::{Host, HostOptions, Programs, StartError};

use crate::{RunningApp, show};

/// How long a headless host may take to let go.
const LETTING_GO: Duration = Duration::from_secs(10);
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Who the host is.
pub(crate) enum Taken {
    Here(Box<Host>),
    ByAnotherWindow,
}

/// Becomes the host: a headless one is asked to let go, another window to come to the front.
pub(crate) fn take(paths: &Paths, app: &RunningApp) -> anyhow::Result<Taken> {
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match Host::start(options(paths, app)?) {
            Ok(host) => return Ok(Taken::Here(Box::new(host))),
            Err(StartError::Held(_)) => {}
            Err(error) => return Err(error).context("failed to start the engine"),
        }
        match ask_for_it(&nod_client::find_socket(paths), LETTING_GO) {
            Ok(HostKind::Desktop) => return Ok(Taken::ByAnotherWindow),
            Ok(HostKind::Headless) => {}
            // It is starting or ending just now.
            Err(error) if Instant::now() < deadline => tracing::debug!("not yet: {error}"),
            Err(error) => {
                let log = paths.host_log();
                return Err(error).with_context(|| {
                    format!("another host does not let go (log: {})", log.display())
                });
            }
        }
        if Instant::now() >= deadline {
            bail!("another host does not let go of {}: end it first", paths.data.display());
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
}

fn options(paths: &Paths, app: &RunningApp) -> anyhow::Result<HostOptions> {
    let app = Arc::clone(app);
    Ok(HostOptions {
        paths: paths.clone(),
        programs: Programs::beside_this().context("failed to find the programs of Nod")?,
        kind: HostKind::Desktop,
        show_window: Some(Box::new(move || show(&app))),
        identity: Default::default(),
        notification_server: Some(Box::new(crate::notifications::who_is_it)),
        arming: Default::default(),
    })
}

/// Asks the present host to make way; another window is asked to come to the front instead.
fn ask_for_it(socket: &Path, patience: Duration) -> Result<HostKind, ClientError> {
    let door = Door { socket: socket.to_owned(), token: None };
    match stop_host(&door, patience) {
        Ok(_) => Ok(HostKind::Headless),
        Err(ClientError::Refused(error)) if error.code == ErrorCode::Conflict => {
            match door.open()?.call_within(patience, &Call::ShowWindow) {
                // An older window: it is in front in its own protocol.
                Err(ClientError::Version { .. }) => {
                    door.open()?.speaking_older().call_within(patience, &Call::ShowWindow)?;
                }
                shown => drop(shown?),
            }
            Ok(HostKind::Desktop)
        }
        Err(error) => Err(error),
    }
}

/// Being the host. Its end, of whatever kind, leaves a headless host where tasks go on.
pub(crate) struct Hosting {
    /// Taken at the end alone.
    host: Option<Host>,
}

impl Hosting {
    pub(crate) fn new(host: Host) -> Self {
        Self { host: Some(host) }
    }

    pub(crate) fn host(&mut self) -> &mut Host {
        self.host.as_mut().expect("the host is there until the end")
    }
}

impl Drop for Hosting {
    fn drop(&mut self) {
        if let Some(host) = self.host.take() {
            leave(host);
        }
    }
}

/// Lets go of the data directory. Where tasks go on, a headless host goes on with them.
fn leave(host: Host) {
    let unfinished = host.has_unfinished_tasks();
    drop(host);
    if !unfinished {
        return;
    }
    let started = Programs::beside_this().and_then(|programs| {
        Command::new(programs.nod)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    });
    if let Err(error) = started {
        tracing::error!("failed to leave a host for the running tasks: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_frozen_host_is_not_waited_for_without_end() {
        let name = format!("nod-frozen-{}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        // It accepts nothing, as a host that was stopped with a signal.
        let _listener = UnixListener::bind(&socket).unwrap();
        let asked = ask_for_it(&socket, Duration::from_millis(20));
        std::fs::remove_file(&socket).unwrap();
        let Err(error) = asked else { panic!("nobody answered") };
        assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
    }
}
