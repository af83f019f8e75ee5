//! The options of verbs that say when a task may start.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use nod_core::ids::{TaskId, Timestamp};
use nod_core::protocol::Scheduling;
use nod_core::schedule::{Dependency, Retry};

use crate::failure::Failure;
use crate::{duration, moment};

/// The pause before the first retry where none is named, in milliseconds.
const BACKOFF_MS: u64 = 1_000;

#[derive(Args, Default)]
pub(crate) struct Scheduled {
    /// The group whose slots it takes [default: that of the config file]
    #[arg(long)]
    group: Option<String>,
    /// Tasks with a higher number start first [default: 0]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Start once these tasks have succeeded; skip it when one has not
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',', value_parser = crate::verbs::task_id)]
    after: Vec<TaskId>,
    /// Start once these tasks have ended, however they did
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',', value_parser = crate::verbs::task_id)]
    after_any: Vec<TaskId>,
    /// Start no sooner than this long from now, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    delay: Option<Duration>,
    /// Start no sooner than this time of day, such as 18:30 or "2026-11-22 07:00"
    #[arg(long, value_name = "TIME", value_parser = moment::parse, conflicts_with = "delay")]
    at: Option<Timestamp>,
    /// Try again so many times when it fails or takes too long
    #[arg(long, value_name = "NUMBER")]
    retries: Option<u32>,
    /// How long to wait before the first retry; twice as long before each later one [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "retries")]
    backoff: Option<Duration>,
    /// How much it takes of a resource of the config file, such as gpu:1; may be given again
    #[arg(long, value_name = "NAME[:NUMBER]", value_parser = usage)]
    uses: Vec<(String, u32)>,
}

impl Scheduled {
    /// Returns what the protocol has for it.
    pub(crate) fn scheduling(self) -> Result<Scheduling, Failure> {
        let needed = self.after.iter().map(|task| Dependency { task: *task, any: false });
        let any = self.after_any.iter().map(|task| Dependency { task: *task, any: true });
        let mut uses = BTreeMap::new();
        for (name, weight) in self.uses {
            if uses.insert(name, weight).is_some() {
                return Err(Failure::Usage("a resource is named twice with --uses: name it once"));
            }
        }
        Ok(Scheduling {
            group: self.group,
            priority: self.priority,
            after: needed.chain(any).collect(),
            not_before: self.at,
            delay_ms: self.delay.map(duration::in_milliseconds),
            retry: self.retries.map(|retries| retry(retries, self.backoff)),
            uses,
            key: None,
            kind: None,
        })
    }
}

/// Returns so many retries with a pause.
pub(crate) fn retry(retries: u32, backoff: Option<Duration>) -> Retry {
    Retry::new(retries, backoff.map_or(BACKOFF_MS, duration::in_milliseconds))
}

fn usage(text: &str) -> Result<(String, u32), &'static str> {
    let wrong = "write a resource as gpu or gpu:2";
    let (name, weight) = match text.rsplit_once(':') {
        Some((name, weight)) => (name, weight.parse().map_err(|_| wrong)?),
        None => (text, 1),
    };
    if name.is_empty() || weight == 0 { Err(wrong) } else { Ok((name.to_owned(), weight)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_a_name_and_how_much_of_it() {
        assert_eq!(usage("gpu"), Ok(("gpu".into(), 1)));
        assert_eq!(usage("gpu:2"), Ok(("gpu".into(), 2)));
        for wrong in ["", ":1", "gpu:", "gpu:0", "gpu:x", "gpu:-1"] {
            assert!(usage(wrong).is_err(), "{wrong}");
        }
    }
}
