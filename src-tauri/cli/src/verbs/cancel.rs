//! `nod cancel`: the early end of tasks.

use clap::Args;
use nod_client::{ClientError, new_operation};
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output};

/// End tasks: first politely, then with SIGTERM, then with SIGKILL
///
/// Returns when the tasks are being ended; `nod wait` waits for their end.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The numbers of the tasks
    #[arg(value_parser = super::task_id, required = true, allow_negative_numbers = true)]
    ids: Vec<TaskId>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    let mut code = exit::OK;
    for id in &arguments.ids {
        match cancel(&host, *id) {
            Ok(words) => output::line(&format!("task {id}: {words}"))?,
            // One that has ended already must not save the others.
            Err(failure @ Failure::Client(ClientError::Refused(_))) => {
                output::note(&failure.to_string());
                code = if code == exit::OK { failure.exit_code() } else { code };
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(code)
}

fn cancel(host: &Host, id: TaskId) -> Result<String, Failure> {
    let reply = host.call(&Call::Cancel { operation: new_operation()?, id })?;
    let Reply::Cancelling { task } = reply else { return Err(Failure::unexpected(&reply)) };
    Ok(task.words())
}
