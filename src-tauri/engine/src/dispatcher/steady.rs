//! Keeping time while somebody sets the clock.
//!
//! What a person has an hour for, they have an hour for: where the wall clock
//! jumps, the end of every open question, of every wait and of every delay
//! moves along; what waits for a time of day does not. What a task took is what
//! passed: when it started is told by the clock as it stands now. Measured
//! against CLOCK_BOOTTIME, which nobody sets and which goes on in a suspend.

use nod_core::ids::{RequestId, TaskId, Timestamp};
use nod_core::protocol::EventChange;
use nod_core::shim::Report;
use nod_core::task::{QueueReason, StateName, TaskState};

use super::turn::Turn;
use super::{Dispatcher, LiveTask};
use crate::history_clock::{LastUse, Present};
use crate::store::{ClockChange, ClockRow};
use crate::{clock, history_clock, process};

/// Less than this, in milliseconds, is no jump but the clock being kept right.
const JUMP_MS: u64 = 2_000;

/// How long an operation may be sent again, in milliseconds.
const OPERATIONS_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// Both clocks as they were at the last look.
#[derive(Debug)]
pub(crate) struct Steady {
    pub(super) wall: Timestamp,
    boot_ms: u64,
    /// How far the clock has jumped without that being stored.
    jumped_ms: i64,
    /// Nothing is stored of how the clocks stand to each other since it changed.
    is_unstored: bool,
    /// What the history's own clock showed when the machine booted.
    history: Timestamp,
}

/// How far the wall clock has jumped, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jump {
    /// Since the last look.
    fresh: i64,
    /// Since all that follows was stored.
    unstored: i64,
}

impl Steady {
    /// Goes on from where the last host was in this boot of the machine.
    pub(crate) fn since(stored: Option<ClockRow>, last: LastUse, boot_id: &str) -> Self {
        let now = Present { wall: clock::now(), boot_ms: process::since_boot_ms(), boot_id };
        Self::at(now, stored, last)
    }

    fn at(now: Present<'_>, stored: Option<ClockRow>, last: LastUse) -> Self {
        let history = history_clock::at_boot(stored.as_ref(), last, now);
        let Present { wall, boot_ms, boot_id } = now;
        let Some(row) = stored.filter(|row| row.boot_id == boot_id) else {
            return Self { wall, boot_ms, jumped_ms: 0, is_unstored: true, history };
        };
        let before = Timestamp(row.offset_ms);
        let mut steady =
            Self { wall: before, boot_ms: 0, jumped_ms: 0, is_unstored: false, history };
        // What is only in memory begins now, and has nothing to follow.
        steady.look(wall, boot_ms);
        steady
    }

    /// Returns how far the wall clock has jumped.
    fn look(&mut self, wall: Timestamp, boot_ms: u64) -> Jump {
        let expected = self.wall.plus(boot_ms.saturating_sub(self.boot_ms));
        let jump = wall.0.saturating_sub(expected.0);
        (self.wall, self.boot_ms) = (wall, boot_ms);
        let fresh = if jump.unsigned_abs() >= JUMP_MS { jump } else { 0 };
        self.jumped_ms = self.jumped_ms.saturating_add(fresh);
        self.is_unstored |= fresh != 0;
        Jump { fresh, unstored: self.jumped_ms }
    }

    /// Returns what is to be stored of how the clocks stand to each other.
    fn unstored(&self, boot_id: &str) -> Option<ClockChange> {
        let since_boot = i64::try_from(self.boot_ms).unwrap_or(i64::MAX);
        let offset_ms = self.wall.0.saturating_sub(since_boot);
        let seen = history_clock::since(self.history, self.boot_ms);
        let now = ClockRow { boot_id: boot_id.to_owned(), offset_ms, history: self.history, seen };
        self.is_unstored.then_some(ClockChange { now, jump_ms: self.jumped_ms })
    }

    /// Returns what the history's own clock shows.
    pub(super) fn history(&self) -> Timestamp {
        history_clock::since(self.history, process::since_boot_ms())
    }

    /// Notes that all that had to move has moved, and that it is stored.
    pub(super) fn settled(&mut self) {
        (self.jumped_ms, self.is_unstored) = (0, false);
    }
}

impl Dispatcher {
    /// Forgets what was asked so long ago that nobody will send it again. What cannot be forgotten
    /// now is so at another start.
    pub(crate) fn forget_operations(&mut self) {
        if self.steady.is_unstored {
            // It is not known yet how old they are.
            return;
        }
        let before = clock::now().moved(-OPERATIONS_KEPT_MS);
        if let Err(error) = self.store.forget_operations(before) {
            tracing::warn!("failed to forget what was done long ago: {error}");
        }
    }

    /// Moves all that counts a length of time along with a clock that was set.
    pub(super) fn follow_the_clock(&mut self, turn: &mut Turn) {
        let Jump { fresh, unstored } = self.steady.look(turn.now, process::since_boot_ms());
        if fresh != 0 {
            tracing::warn!("the clock was set by {fresh} ms: what counts down keeps its time");
            self.move_unstored(fresh);
        }
        turn.clock = self.steady.unstored(&self.settings.boot_id);
        if unstored == 0 {
            return;
        }
        turn.durable = true;
        self.move_questions(unstored, turn);
        self.move_waits(unstored, turn);
        self.move_delays(unstored, turn);
        self.move_starts(unstored, turn);
    }

    /// Moves what is kept in memory only: once a jump, whether the turn can be stored or not.
    fn move_unstored(&mut self, jump: i64) {
        let reminders = std::mem::take(&mut self.reminders);
        self.reminders = reminders.into_iter().map(|(at, id)| (at.moved(jump), id)).collect();
        self.pace.follow_clock(jump);
        self.waiters.follow_clock(jump);
    }

    fn move_questions(&mut self, jump: i64, turn: &mut Turn) {
        let timed: Vec<RequestId> = self.live.timed_requests().collect();
        for id in timed {
            let Some(mut row) = self.live.request(id).cloned() else { continue };
            row.request.expires_at = row.request.expires_at.map(|at| at.moved(jump));
            let (task, request) = (row.request.task, Box::new(row.request.clone()));
            self.live.put_request(row);
            turn.event(&mut self.live, task, set_by(jump), EventChange::Request { request });
        }
    }

    fn move_delays(&mut self, jump: i64, turn: &mut Turn) {
        let counting = |live: &&LiveTask| {
            let schedule = &live.task().schedule;
            live.task().state.name() == StateName::Queued
                && schedule.relative
                && schedule.not_before.is_some()
        };
        let delayed: Vec<TaskId> =
            self.live.tasks().filter(counting).map(|live| live.task().id).collect();
        for id in delayed {
            let Some(mut live) = self.live.task(id).cloned() else { continue };
            live.row.task.schedule.follow_clock(jump);
            let task = live.task().clone();
            self.live.put_task(live);
            if let TaskState::Queued { reason: QueueReason::Delay { until } } = task.state {
                self.requeue(id, QueueReason::Delay { until: until.moved(jump) }, turn);
            }
            let task = Box::new(self.live.task(id).map_or(task, |live| live.task().clone()));
            turn.event(&mut self.live, id, set_by(jump), EventChange::Task { task });
        }
    }

    /// Has whatever runs have started as long ago as before.
    fn move_starts(&mut self, jump: i64, turn: &mut Turn) {
        let has_started = |live: &&LiveTask| live.task().started_at.is_some();
        let started: Vec<TaskId> =
            self.live.tasks().filter(has_started).map(|live| live.task().id).collect();
        for id in started {
            let Some(mut live) = self.live.task(id).cloned() else { continue };
            let move_along = |at: &mut Option<Timestamp>| *at = at.map(|at| at.moved(jump));
            move_along(&mut live.row.task.started_at);
            if let Some(attempt) = &mut live.attempt {
                move_along(&mut attempt.started_at);
                move_along(&mut attempt.exited_at);
            }
            self.live.put_task(live);
            turn.look_again = true;
        }
    }
}

/// Has the moments of a report be those of the clock as it stands now, `boot_ms` after the start of
/// the machine that the report is of.
pub(super) fn as_of_now(report: &mut Report, now: Timestamp, boot_ms: u64) {
    let Some(ended) = report.ended_boot_ms else { return };
    let passed = i64::try_from(boot_ms.saturating_sub(ended)).unwrap_or(i64::MAX);
    let jump = now.moved(-passed).0.saturating_sub(report.ended_at.0);
    if jump.unsigned_abs() < JUMP_MS {
        return;
    }
    report.ended_at = report.ended_at.moved(jump);
    for at in [&mut report.started_at, &mut report.exited_at] {
        *at = at.map(|at| at.moved(jump));
    }
}

/// Returns the line in the history of what has moved.
fn set_by(jump: i64) -> (&'static str, Option<String>) {
    ("clock_set", Some(format!("by {} s", jump / 1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_was_set_has_jumped() {
        let now = Present { wall: Timestamp(1_000_000), boot_ms: 500, boot_id: "boot" };
        let mut steady = Steady::at(now, None, LastUse::default());
        let jump = |fresh, unstored| Jump { fresh, unstored };
        // An hour passes, in a suspend or not, and the clock is kept right by a second.
        assert_eq!(steady.look(Timestamp(4_601_000), 3_600_500), jump(0, 0));
        assert_eq!(steady.look(Timestamp(11_801_000), 3_600_500), jump(7_200_000, 7_200_000));
        // Until that is settled it is not forgotten.
        assert_eq!(steady.look(Timestamp(11_801_010), 3_600_510), jump(0, 7_200_000));
        steady.settled();
        assert_eq!(steady.look(Timestamp(1_801_020), 3_600_520), jump(-10_000_000, -10_000_000));
    }

    #[test]
    fn a_clock_that_was_set_while_no_host_ran_has_jumped_in_the_same_boot() {
        let now = Present { wall: Timestamp(1_000_000), boot_ms: 500, boot_id: "boot" };
        let first = Steady::at(now, None, LastUse::default());
        let stored = first.unstored("boot").map(|change| change.now);
        let (history, seen) = (Timestamp(999_500), Timestamp(1_000_000));
        let row = ClockRow { boot_id: "boot".into(), offset_ms: 999_500, history, seen };
        assert_eq!(stored, Some(row));
        let jumped = |wall, boot_ms, boot| {
            let now = Present { wall: Timestamp(wall), boot_ms, boot_id: boot };
            let steady = Steady::at(now, stored.clone(), LastUse::default());
            (steady.jumped_ms, steady.unstored(boot).is_some())
        };
        assert_eq!(jumped(1_060_000, 60_500, "boot"), (0, false));
        assert_eq!(jumped(4_660_000, 60_500, "boot"), (3_600_000, true));
        assert_eq!(jumped(60_000, 60_500, "boot"), (-1_000_000, true));
        assert_eq!(jumped(4_660_000, 400, "another boot"), (0, true));
    }
}
