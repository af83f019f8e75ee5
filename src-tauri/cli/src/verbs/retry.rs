//! `nod retry`: another try of tasks that have ended.

use clap::Args;
use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::Call;

use crate::failure::Failure;
use crate::host::Host;

/// Give tasks that have ended another try, under the same number
///
/// The earlier tries stay, with their output and their answers. One that a
/// person had to approve is asked about again.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The numbers of the tasks
    #[arg(value_parser = super::task_id, required = true)]
    ids: Vec<TaskId>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    super::for_each(&arguments.ids, |id| {
        let call = Call::Retry { operation: new_operation()?, id };
        super::change(&host, &call)
    })
}
