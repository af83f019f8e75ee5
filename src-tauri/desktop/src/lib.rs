//! The desktop app: wiring between the engine, the window and the desktop.
//!
//! It hosts the engine for its data directory. Everything the window wants
//! goes through one command to the engine; nothing is decided here.

mod automation;
mod commands;
mod hosting;
mod notifications;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use nod_engine::Host;
use tauri::{AppHandle, Manager as _, RunEvent};

use crate::commands::Window;
use crate::hosting::Taken;

/// The running app, once there is one: another start asks it to come to the front.
type RunningApp = Arc<OnceLock<AppHandle>>;

/// Runs the app until its window is closed.
#[must_use]
pub fn main() -> ExitCode {
    automation::disarm();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "there is no window yet to say it in")]
fn complain(error: &anyhow::Error) {
    eprintln!("nod: {error:#}");
}

fn run() -> anyhow::Result<()> {
    let app = RunningApp::default();
    let paths = nod_client::find_paths()?;
    nod_engine::write_to(&paths);
    let host = match hosting::take(&paths, &app)? {
        Taken::Here(host) => host,
        // The window of the other one is in front now.
        Taken::ByAnotherWindow => return Ok(()),
    };
    open(*host, &app)
}

#[expect(clippy::exit, reason = "what tauri's macro makes of the context holds one")]
fn open(mut host: Host, running: &RunningApp) -> anyhow::Result<()> {
    let events = host.take_events().context("the events of a host are taken once")?;
    notifications::begin(&host.runtime(), events)?;
    let app = tauri::Builder::default()
        .manage(Window::new(host.handle()))
        .invoke_handler(tauri::generate_handler![
            commands::rpc,
            commands::events,
            commands::follow_log,
            commands::unfollow_log,
        ])
        .build(tauri::generate_context!())
        .context("failed to open the window")?;
    running.get_or_init(|| app.handle().clone());
    let mut host = Some(host);
    app.run(move |_app, event| {
        if matches!(event, RunEvent::Exit)
            && let Some(host) = host.take()
        {
            hosting::leave(host);
        }
    });
    Ok(())
}

/// Brings the window to the front.
fn show(app: &RunningApp) {
    let Some(window) = app.get().and_then(|app| app.get_webview_window("main")) else { return };
    let shown = window.unminimize().and_then(|()| window.show()).and_then(|()| window.set_focus());
    if let Err(error) = shown {
        tracing::warn!("failed to bring the window to the front: {error}");
    }
}
