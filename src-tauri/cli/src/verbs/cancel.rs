//! `nod cancel`: the early end of tasks.

use clap::Args;
use nod_client::new_operation;
use nod_core::ids::{SessionId, TaskId};
use nod_core::protocol::{Call, Reply, Which};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output};

/// End tasks: first politely, then with SIGTERM, then with SIGKILL
///
/// Returns when the tasks are being ended; `nod wait` waits for their end. With
/// a kind, a group, a session or --all it prints how many tasks that were.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The numbers of the tasks
    #[arg(
        value_parser = super::task_id,
        allow_negative_numbers = true,
        required_unless_present_any = ["kind", "group", "session", "all"],
        conflicts_with_all = ["kind", "group", "session", "all"],
    )]
    ids: Vec<TaskId>,
    /// Every unfinished task of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Every unfinished task of this group
    #[arg(long)]
    group: Option<String>,
    /// Every unfinished task of this agent conversation
    #[arg(long)]
    session: Option<String>,
    /// Every unfinished task
    #[arg(long, conflicts_with_all = ["kind", "group", "session"])]
    all: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    if arguments.ids.is_empty() {
        return cancel_many(&host, arguments);
    }
    super::for_each(&arguments.ids, |id| cancel(&host, id))
}

fn cancel(host: &Host, id: TaskId) -> Result<String, Failure> {
    let reply = host.call(&Call::Cancel { operation: new_operation()?, id })?;
    let Reply::Cancelling { task } = reply else { return Err(Failure::unexpected(&reply)) };
    Ok(task.words())
}

fn cancel_many(host: &Host, arguments: &Arguments) -> Result<u8, Failure> {
    let which = Which {
        kind: arguments.kind.clone(),
        group: arguments.group.clone(),
        session: arguments.session.clone().map(SessionId),
    };
    let reply = host.call(&Call::CancelMany { operation: new_operation()?, which })?;
    let Reply::Cancelled { count } = reply else { return Err(Failure::unexpected(&reply)) };
    output::line(&count.to_string())?;
    Ok(exit::OK)
}
