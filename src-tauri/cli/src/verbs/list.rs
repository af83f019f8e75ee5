//! `nod list`: tasks, newest first.

use std::time::SystemTime;

use clap::Args;
use nod_core::ids::Timestamp;
use nod_core::protocol::{Call, ListQuery, Page, Reply};
use nod_core::task::{StateName, Task};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output, table};

/// List tasks, newest first
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only tasks in this state; may be given again: queued (also what needs approval before it
    /// starts), starting, running, waiting (also for an approval), stopping, succeeded, failed,
    /// cancelled, timed_out, denied, skipped or lost
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Vec<StateName>,
    /// Only tasks with these words in the label, the command or the end of the output
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// How many tasks at the most
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = limit)]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let (tasks, more) = all_pages(&Host::find()?, arguments)?;
    if arguments.json {
        output::json(&tasks)?;
        return Ok(exit::OK);
    }
    output::text(&table::render(&tasks, now(), output::columns()))?;
    if more {
        output::note(&format!("there are older ones: nod list --limit {}", tasks.len() * 4));
    } else if tasks.is_empty() {
        let all = arguments.state.is_empty() && arguments.search.is_none();
        output::note(if all { "there is no task yet" } else { "no task matches" });
    }
    Ok(exit::OK)
}

/// Returns the tasks, and whether there are more than were asked for.
fn all_pages(host: &Host, arguments: &Arguments) -> Result<(Vec<Task>, bool), Failure> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut before = None;
    loop {
        let found = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let left = arguments.limit.saturating_sub(found);
        if left == 0 {
            return Ok((tasks, before.is_some()));
        }
        let page = page(
            host,
            ListQuery {
                states: arguments.state.clone(),
                search: arguments.search.clone(),
                before,
                limit: Some(left),
            },
        )?;
        tasks.extend(page.tasks);
        before = page.next;
        if before.is_none() {
            return Ok((tasks, false));
        }
    }
}

fn page(host: &Host, query: ListQuery) -> Result<Page, Failure> {
    let reply = host.call(&Call::List(query))?;
    let Reply::Tasks(page) = reply else { return Err(Failure::unexpected(&reply)) };
    Ok(page)
}

/// Returns the time as the host counts it.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn limit(text: &str) -> Result<u32, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("give a number of tasks, at least 1")
}

fn state(text: &str) -> Result<StateName, String> {
    StateName::parse(&text.to_lowercase().replace('-', "_")).ok_or_else(|| {
        let names: Vec<_> = StateName::ALL.into_iter().map(StateName::as_str).collect();
        format!("the states are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_by_its_name() {
        assert_eq!(state("running"), Ok(StateName::Running));
        assert_eq!(state("Timed-out"), Ok(StateName::TimedOut));
        assert!(state("done").unwrap_err().contains("succeeded"));
        assert_eq!(limit("20"), Ok(20));
        assert!(limit("0").is_err() && limit("x").is_err() && limit("-1").is_err());
    }
}
