//! The desktop app: wiring between the engine, the window and the desktop.
//!
//! It hosts the engine for its data directory. Everything the window wants
//! goes through one command to the engine; nothing is decided here.

mod automation;
mod commands;
mod display;
mod follows;
mod hosting;
mod notifications;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use nod_core::ids::RequestId;
use tauri::{App, AppHandle, Manager as _, RunEvent};

use crate::commands::Window;
use crate::hosting::{Hosting, Taken};

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
    let running = RunningApp::default();
    let paths = nod_client::find_paths()?;
    nod_engine::write_to(&paths);
    // Before anybody is asked to let go: without a window we would not go on in their place.
    display::check()?;
    let app = build()?;
    let hosting = match hosting::take(&paths, &running)? {
        Taken::Here(host) => Hosting::new(*host),
        Taken::ByAnotherWindow => {
            // To a terminal that may be gone: nobody to tell is no failure.
            drop(writeln!(io::stdout(), "Nod is open already: its window is in front now"));
            return Ok(());
        }
    };
    open(app, hosting, &running)
}

#[expect(clippy::exit, reason = "what tauri's macro makes of the context holds one")]
fn build() -> anyhow::Result<App> {
    tauri::Builder::default()
        .invoke_handler(tauri::generate_handler![
            commands::rpc,
            commands::events,
            commands::follow_log,
            commands::unfollow_log,
        ])
        .build(tauri::generate_context!())
        .context("failed to open the window")
}

/// Runs the app; its window is made now, and closed when this returns.
fn open(app: App, mut hosting: Hosting, running: &RunningApp) -> anyhow::Result<()> {
    let host = hosting.host();
    let events = host.take_events().context("the events of a host are taken once")?;
    let app_to_review = Arc::clone(running);
    let review = Box::new(move |request| review(&app_to_review, request));
    notifications::begin(&host.runtime(), events, host.handle(), review);
    app.manage(Window::new(host.handle()));
    running.get_or_init(|| app.handle().clone());
    let mut hosting = Some(hosting);
    app.run(move |_app, event| {
        if matches!(event, RunEvent::Exit) {
            hosting.take();
        }
    });
    Ok(())
}

/// Brings the window to the front, at a question, or at what waits for the person.
fn review(app: &RunningApp, request: Option<RequestId>) {
    show(app);
    let Some(window) = app.get().and_then(|app| app.get_webview_window("main")) else { return };
    let detail = request.map_or("null".to_owned(), |request| request.0.to_string());
    let told =
        format!("window.dispatchEvent(new CustomEvent('nod:review', {{ detail: {detail} }}))");
    if let Err(error) = window.eval(told) {
        tracing::warn!("failed to show what waits: {error}");
    }
}

/// Brings the window to the front.
fn show(app: &RunningApp) {
    let Some(window) = app.get().and_then(|app| app.get_webview_window("main")) else { return };
    let shown = window.unminimize().and_then(|()| window.show()).and_then(|()| window.set_focus());
    if let Err(error) = shown {
        tracing::warn!("failed to bring the window to the front: {error}");
    }
}
