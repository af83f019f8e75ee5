//! The `nod` command line.
//!
//! Each verb is a file in `verbs/`. What they share: the way to a host
//! (`host`), what is printed (`output`), and the exit codes (`exit`).

mod ancestors;
mod bytes;
mod exit;
mod failure;
mod host;
mod moment;
mod output;
mod plain;
mod scheduling;
mod start;
mod table;
mod text;
mod verbs;

use std::process::ExitCode;

use clap::Parser;
use nod_core::duration;

use crate::failure::Failure;
use crate::verbs::Verb;

/// Runs slow commands in the background and asks a person where one needs a decision.
#[derive(Parser)]
#[command(name = "nod", version)]
struct Nod {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    let code = Nod::parse().verb.run().unwrap_or_else(|failure: Failure| {
        if !failure.is_silent() {
            output::note(&failure.to_string());
        }
        failure.exit_code()
    });
    ExitCode::from(code)
}
