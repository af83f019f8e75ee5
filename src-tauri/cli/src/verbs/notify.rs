//! `nod notify`: a signal to a task.

use clap::Args;
use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Notify, Reply};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output};

/// Send a signal to a task that waits for it, or will
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id)]
    id: TaskId,
    /// The signal's name
    key: String,
    /// What the task gets, as JSON
    #[arg(default_value = "null", value_parser = super::json)]
    data: Value,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let notify = Notify {
        operation: new_operation()?,
        id: arguments.id,
        key: arguments.key.clone(),
        data: arguments.data.clone(),
    };
    let reply = Host::find()?.call(&Call::Notify(notify))?;
    let Reply::Notified { woken, kept } = reply else { return Err(Failure::unexpected(&reply)) };
    output::json(&json!({ "woken": woken, "kept": kept }))?;
    Ok(exit::OK)
}
