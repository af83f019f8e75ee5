//! `nod resume`: letting halted tasks go on.

use clap::Args;
use nod_core::ids::TaskId;
use nod_core::protocol::Call;

use super::pause::change_all;
use crate::failure::Failure;

/// Let tasks go on that `nod pause` has halted
#[derive(Args)]
pub(crate) struct Arguments {
    /// The numbers of the tasks
    #[arg(value_parser = super::task_id, required = true, allow_negative_numbers = true)]
    ids: Vec<TaskId>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    change_all(&arguments.ids, |operation, id| Call::Resume { operation, id })
}
