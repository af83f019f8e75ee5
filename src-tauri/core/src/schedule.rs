//! When a task may start: what was asked for, and what holds a queued task back.
//!
//! The line of tasks that wait for nothing but room is in [`queue`].

mod queue;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::ids::{TaskId, Timestamp};
use crate::task::QueueReason;

pub use queue::{GroupLimit, Limits, Line, Need, Queue, Standing};

/// The group of a task that names none, unless the config file says otherwise.
pub const DEFAULT_GROUP: &str = "default";

/// The longest pause between two tries, in milliseconds.
const LONGEST_BACKOFF_MS: u64 = 60 * 60 * 1000;

/// When and in which order a task may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct Schedule {
    /// The queue that it stands in.
    pub group: String,
    /// Higher ones start first.
    pub priority: i32,
    /// What must have ended before.
    pub after: Vec<Dependency>,
    /// It does not start sooner.
    pub not_before: Option<Timestamp>,
    /// Whether that came of a length of time, as a delay is one, and not of a time of day: it
    /// moves along where somebody sets the clock.
    pub relative: bool,
    pub retry: Option<Retry>,
    /// How much it takes of each named resource.
    pub uses: BTreeMap<String, u32>,
    /// The caller's own name for it, unique among the unfinished tasks of its kind.
    pub key: Option<String>,
}

/// A task that must have ended first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
pub struct Dependency {
    pub task: TaskId,
    /// Whether any end will do, not only a success.
    #[serde(default)]
    pub any: bool,
}

/// How often a task that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Retry {
    pub retries: u32,
    /// How many of them are left.
    pub left: u32,
    /// The pause before the first one, in milliseconds; each later one is twice as long.
    pub backoff_ms: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            group: DEFAULT_GROUP.to_owned(),
            priority: 0,
            after: vec![],
            not_before: None,
            relative: false,
            retry: None,
            uses: BTreeMap::new(),
            key: None,
        }
    }
}

impl Retry {
    #[must_use]
    pub fn new(retries: u32, backoff_ms: u64) -> Self {
        Self { retries, left: retries, backoff_ms }
    }

    /// Returns what is left after one more try, and the pause before that; nothing when none is left.
    #[must_use]
    pub fn next(self) -> Option<(Self, u64)> {
        let left = self.left.checked_sub(1)?;
        let doublings = self.retries.saturating_sub(self.left).min(62);
        let pause = self.backoff_ms.saturating_mul(1 << doublings).min(LONGEST_BACKOFF_MS);
        // A pause that was asked for longer than that stays as it is.
        Some((Self { left, ..self }, pause.max(self.backoff_ms)))
    }
}

impl Schedule {
    /// Holds the task back for so long from `now` on; a later time of day still counts.
    pub fn delay(&mut self, now: Timestamp, delay_ms: u64) {
        let until = now.plus(delay_ms);
        if self.not_before.is_none_or(|at| at < until) {
            (self.not_before, self.relative) = (Some(until), true);
        }
    }

    /// Holds the task back until that time of day, or no more.
    pub fn hold_until(&mut self, at: Option<Timestamp>) {
        (self.not_before, self.relative) = (at, false);
    }

    /// Moves what is left of a delay along with a clock that was set; returns whether there is one.
    pub fn follow_clock(&mut self, jump_ms: i64) -> bool {
        let Some(at) = self.not_before.filter(|_| self.relative) else { return false };
        self.not_before = Some(at.moved(jump_ms));
        true
    }

    /// Returns what holds a task back that has no question open, apart from room in its queue.
    ///
    /// `unfinished` are those of the tasks it comes after that have not ended.
    #[must_use]
    pub fn held_by(&self, unfinished: BTreeSet<TaskId>, now: Timestamp) -> Option<QueueReason> {
        if !unfinished.is_empty() {
            return Some(QueueReason::Dependency { tasks: unfinished });
        }
        let until = self.not_before.filter(|until| *until > now)?;
        Some(QueueReason::Delay { until })
    }
}

impl QueueReason {
    /// Returns whether nothing is missing but room.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Slot | Self::Paused | Self::Resource { .. } | Self::Cap { .. } => true,
            Self::Gate { .. } | Self::Dependency { .. } | Self::Delay { .. } => false,
        }
    }

    /// Returns the words that a person reads; the moment of a delay is left to who knows the zone.
    #[must_use]
    pub fn words(&self, group: &str) -> String {
        match self {
            Self::Slot => format!("waits for a slot of {group}"),
            Self::Gate { .. } => "waits for approval".to_owned(),
            Self::Dependency { tasks } => {
                let names: Vec<_> = tasks.iter().take(3).map(ToString::to_string).collect();
                let more = tasks.len().saturating_sub(names.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("waits for task {}{more}", names.join(", "))
            }
            Self::Delay { .. } => "waits for its time".to_owned(),
            Self::Paused => format!("group {group} is paused"),
            Self::Resource { name } => format!("waits for {name}"),
            Self::Cap { of } => format!("as many {of} as may run at once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_as_long_and_none_follows_the_last() {
        let mut retry = Retry::new(3, 10_000);
        let mut pauses = vec![];
        while let Some((next, pause)) = retry.next() {
            pauses.push(pause);
            retry = next;
        }
        assert_eq!(pauses, [10_000, 20_000, 40_000]);
        assert_eq!(Retry::new(0, 10_000).next(), None);
        let late = Retry { retries: 100, left: 1, backoff_ms: 10_000 };
        assert_eq!(late.next().map(|(_, pause)| pause), Some(LONGEST_BACKOFF_MS));
        let long = Retry::new(1, 2 * LONGEST_BACKOFF_MS);
        assert_eq!(long.next().map(|(_, pause)| pause), Some(2 * LONGEST_BACKOFF_MS));
    }

    #[test]
    fn a_task_waits_for_others_first_and_then_for_its_time() {
        let schedule = Schedule { not_before: Some(Timestamp(10)), ..Schedule::default() };
        let others = BTreeSet::from([TaskId(1)]);
        let cases = [
            (others.clone(), 5, Some(QueueReason::Dependency { tasks: others })),
            (BTreeSet::new(), 5, Some(QueueReason::Delay { until: Timestamp(10) })),
            (BTreeSet::new(), 10, None),
        ];
        for (unfinished, now, expected) in cases {
            assert_eq!(schedule.held_by(unfinished, Timestamp(now)), expected);
        }
    }

    #[test]
    fn what_holds_a_task_back_is_said_in_plain_words() {
        let tasks: BTreeSet<_> = (1..6).map(TaskId).collect();
        let cases = [
            (QueueReason::Slot, "waits for a slot of build"),
            (QueueReason::Dependency { tasks }, "waits for task 1, 2, 3 and 2 more"),
            (QueueReason::Paused, "group build is paused"),
            (QueueReason::Resource { name: "gpu".into() }, "waits for gpu"),
            (
                QueueReason::Cap { of: "tasks of kind deploy".into() },
                "as many tasks of kind deploy as may run at once",
            ),
        ];
        for (reason, words) in cases {
            assert_eq!(reason.words("build"), words);
        }
    }
}
