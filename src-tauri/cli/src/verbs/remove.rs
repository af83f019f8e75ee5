//! `nod remove`: taking tasks out of the history.

use clap::Args;
use nod_client::new_operation;
use nod_core::ids::{SessionId, TaskId};
use nod_core::protocol::{Call, Reply};

use crate::failure::Failure;
use crate::host::Host;

/// Take tasks that have ended out of the history, their output included
#[derive(Args)]
pub(crate) struct Arguments {
    /// The numbers of the tasks
    #[arg(value_parser = super::task_id, required = true)]
    ids: Vec<TaskId>,
    /// The agent conversation whose tasks they are, where they belong to one
    #[arg(long)]
    session: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    super::for_each(&arguments.ids, |id| {
        let session = arguments.session.clone().map(SessionId);
        let reply = host.call(&Call::Remove { operation: new_operation()?, id, session })?;
        let Reply::Done = reply else { return Err(Failure::unexpected(&reply)) };
        Ok("removed".to_owned())
    })
}
