//! `nod pause`: halting tasks.

use clap::Args;
use nod_client::{ClientError, new_operation};
use nod_core::ids::{OperationId, TaskId};
use nod_core::protocol::{Call, Reply};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output};

/// Halt tasks with all their processes
///
/// `nod resume` lets them go on. A time limit goes on meanwhile.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The numbers of the tasks
    #[arg(value_parser = super::task_id, required = true, allow_negative_numbers = true)]
    pub(super) ids: Vec<TaskId>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    change_all(&arguments.ids, |operation, id| Call::Pause { operation, id })
}

/// Changes one task after the other, and says how each is then. One that cannot be changed does
/// not save the others.
pub(super) fn change_all(
    ids: &[TaskId],
    call: fn(OperationId, TaskId) -> Call,
) -> Result<u8, Failure> {
    let host = Host::find()?;
    let mut code = exit::OK;
    for id in ids {
        match host.call(&call(new_operation()?, *id)) {
            Ok(Reply::Changed { task }) => output::line(&format!("task {id}: {}", task.words()))?,
            Ok(reply) => return Err(Failure::unexpected(&reply)),
            Err(failure @ Failure::Client(ClientError::Refused(_))) => {
                output::note(&failure.to_string());
                code = if code == exit::OK { failure.exit_code() } else { code };
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(code)
}
