//! The one place that prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this is for")]

use std::io::{self, Write as _};

/// Prints a line for whoever reads the result, be it a program at a pipe.
pub(crate) fn say(line: &str) {
    println!("{line}");
    // A reader that has gone away needs nothing more.
    io::stdout().flush().ok();
}

/// Prints what is going on meanwhile.
pub(crate) fn note(line: &str) {
    eprintln!("{line}");
}

pub(crate) fn complain(line: &str) {
    eprintln!("nod-bench: {line}");
}
