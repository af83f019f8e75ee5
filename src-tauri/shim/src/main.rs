//! `nod-shim <attempt folder>`: owns one task's child, its output and its exit code.
//!
//! Outlives the host that started it, and is found again through the socket in
//! the attempt's folder. What is said there is defined in [`nod_core::shim`].
//! Windows and macOS have no shim yet.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux::run;

#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(not(target_os = "linux"))]
use unsupported::run;

/// There was nothing that could be run: no folder, or no spec in it.
const UNUSABLE: u8 = 2;
fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        complain("usage: nod-shim <attempt folder>");
        return ExitCode::from(UNUSABLE);
    };
    match run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

fn complain(text: &str) {
    // Where stderr is closed there is nobody left to tell.
    writeln!(std::io::stderr(), "nod-shim: {text}").ok();
}
