//! `nod run-again`: a new task that is the same as an earlier one.

use clap::Args;
use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};

use super::submit::submitted;
use crate::failure::Failure;
use crate::host::Host;
use crate::output;

/// Submit a task once more, with the same command, folder and environment
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id, allow_negative_numbers = true)]
    id: TaskId,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let call = Call::RunAgain { operation: new_operation()?, id: arguments.id };
    let reply = Host::find()?.call(&call)?;
    let Reply::Submitted { id, gated, note, .. } = reply else {
        return Err(Failure::unexpected(&reply));
    };
    output::maybe_note(note.as_deref());
    submitted(id, gated, &format!("task {} once more", arguments.id))
}
