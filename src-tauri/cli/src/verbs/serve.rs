//! `nod serve`: a host without a window.

use clap::Args;
use nod_client::find_paths;

use crate::exit;
use crate::failure::Failure;

/// Run a host without a window, until `nod stop`
///
/// Other commands start one by themselves where none runs.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print `ready` when the host listens, and outlive the terminal
    #[arg(long, hide = true)]
    announce: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if arguments.announce {
        // Refused to the leader of a group, which is what a shell made of a command typed in.
        rustix::process::setsid().ok();
    }
    let options = nod_engine::ServeOptions { paths: find_paths()?, announce: arguments.announce };
    nod_engine::serve(options)?;
    Ok(exit::OK)
}
