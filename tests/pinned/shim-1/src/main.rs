//! A shim as it was shipped with protocol 1, kept so that tests can show that today's host
//! understands it. It is never changed: a mistake in it is one that is out there.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "of what it says, it hears only the half; it is kept as it was"
)]

mod contract;
mod linux;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use linux::run;

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
