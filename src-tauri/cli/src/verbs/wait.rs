//! `nod wait`: the end of a task.

use clap::Args;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};

use crate::failure::Failure;
use crate::host::Host;
use crate::output;

/// Wait until a task has ended and exit as it did
///
/// Exits with the code of the command; with 128 + signal when a signal ended
/// it, 130 when it was cancelled, 124 when its time was up, 77 when it was
/// denied, 78 when it was skipped, 125 when it was lost, and 126 or 127 when
/// it could not be started.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id, allow_negative_numbers = true)]
    id: TaskId,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let call = Call::Wait { id: arguments.id };
    let reply = Host::find()?.keep_asking(|connection| connection.call(&call))?;
    let Reply::Ended { task } = reply else { return Err(Failure::unexpected(&reply)) };
    let Some(outcome) = task.state.outcome() else {
        return Err(Failure::unexpected(&Reply::Ended { task }));
    };
    let more = outcome.explanation().map(|more| format!(": {more}")).unwrap_or_default();
    output::note(&format!("task {}: {}{more}", task.id, outcome.words()));
    Ok(outcome.exit_code())
}
