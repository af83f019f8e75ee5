//! `nod search`: looking for text in what tasks printed.

use clap::Args;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, LogMatch, LogQuery, Reply};

use crate::failure::Failure;
use crate::host::Host;
use crate::text::neutralised;
use crate::{exit, output};

/// Look for text in the output of all tasks, newest first, or of one
///
/// Prints `TASK.TRY:OFFSET:` before each line, for `nod logs TASK --attempt TRY --range OFFSET..`.
/// Exits with 1 when nothing was found.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The text; in either case, unless it has a capital letter
    text: String,
    /// Only the output of this task
    #[arg(value_parser = super::task_id)]
    id: Option<TaskId>,
    /// The text is a regular expression
    #[arg(short = 'e', long)]
    regex: bool,
    /// How many lines to print at the most
    #[arg(long, default_value_t = 1_000)]
    limit: u32,
    /// Print each line as a JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    let mut left = arguments.limit;
    let mut after = None;
    while left > 0 {
        let query = LogQuery {
            text: arguments.text.clone(),
            regex: arguments.regex,
            id: arguments.id,
            after,
            limit: Some(left.min(500)),
        };
        let reply = host.call(&Call::SearchLogs(query))?;
        let Reply::Matches(page) = reply else { return Err(Failure::unexpected(&reply)) };
        for found in &page.matches {
            print(arguments, found)?;
        }
        left -= u32::try_from(page.matches.len()).unwrap_or(left).min(left);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(if left == arguments.limit { exit::FAILED } else { exit::OK })
}

fn print(arguments: &Arguments, found: &LogMatch) -> Result<(), Failure> {
    if arguments.json {
        return Ok(output::json(found)?);
    }
    let (place, text) = (found.place, neutralised(&found.text));
    Ok(output::line(&format!("{}.{}:{}:{text}", place.task, place.attempt, place.offset))?)
}
