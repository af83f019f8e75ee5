//! `nod deadline`: how long a task may still take.

use std::time::Duration;

use clap::Args;
use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::Call;

use crate::failure::Failure;
use crate::host::Host;
use crate::{duration, exit, output};

/// Set, move or take away the time that a task has
///
/// It counts from now for a task that runs, and holds for this try of it: another
/// one has the limit of the submit again. For a task that is queued it counts from
/// the start, of every try. The time that the machine sleeps counts.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id)]
    id: TaskId,
    /// How long, such as 90s, 20m or 1h30m; or `none`
    #[arg(value_name = "DURATION|none", value_parser = limit)]
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    After(Duration),
    None,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let timeout_ms = match arguments.limit {
        Limit::After(limit) => Some(duration::in_milliseconds(limit)),
        Limit::None => None,
    };
    let call = Call::Deadline { operation: new_operation()?, id: arguments.id, timeout_ms };
    let words = super::change(&Host::find()?, &call)?;
    output::line(&format!("task {}: {words}", arguments.id))?;
    Ok(exit::OK)
}

fn limit(text: &str) -> Result<Limit, duration::DurationError> {
    if text == "none" { Ok(Limit::None) } else { duration::parse_positive(text).map(Limit::After) }
}
