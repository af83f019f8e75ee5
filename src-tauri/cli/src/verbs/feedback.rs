//! `nod feedback`: a message to a running task.

use clap::Args;
use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Feedback, Reply};

use crate::exit;
use crate::failure::Failure;
use crate::host::Host;

/// Send a message to a task, which reads it with `nod inbox`
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id)]
    id: TaskId,
    /// The message
    text: String,
    /// Also end a wait of the task
    #[arg(long)]
    interrupt: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let feedback = Feedback {
        operation: new_operation()?,
        id: arguments.id,
        text: arguments.text.clone(),
        interrupt: arguments.interrupt,
    };
    let reply = Host::find()?.call(&Call::Feedback(feedback))?;
    let Reply::Done = reply else { return Err(Failure::unexpected(&reply)) };
    Ok(exit::OK)
}
