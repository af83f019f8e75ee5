//! Keeping time while somebody sets the clock.
//!
//! What a person has an hour for, they have an hour for: where the wall clock
//! jumps, the end of every open question moves along. Measured against
//! CLOCK_BOOTTIME, which nobody sets and which goes on in a suspend.

use nod_core::ids::{RequestId, Timestamp};
use nod_core::protocol::EventChange;

use super::Dispatcher;
use super::turn::Turn;
use crate::{clock, process};

/// Less than this, in milliseconds, is no jump but the clock being kept right.
const JUMP_MS: u64 = 2_000;

/// Both clocks as they were at the last look.
#[derive(Debug)]
pub(crate) struct Steady {
    pub(super) wall: Timestamp,
    boot_ms: u64,
    /// How far the clock has jumped without that being stored.
    jumped_ms: i64,
}

impl Default for Steady {
    fn default() -> Self {
        Self { wall: clock::now(), boot_ms: process::since_boot_ms(), jumped_ms: 0 }
    }
}

impl Steady {
    /// Returns how far the wall clock has jumped since what was settled last.
    fn look(&mut self, wall: Timestamp, boot_ms: u64) -> i64 {
        let expected = self.wall.plus(boot_ms.saturating_sub(self.boot_ms));
        let jump = wall.0.saturating_sub(expected.0);
        (self.wall, self.boot_ms) = (wall, boot_ms);
        if jump.unsigned_abs() >= JUMP_MS {
            self.jumped_ms = self.jumped_ms.saturating_add(jump);
        }
        self.jumped_ms
    }

    /// Notes that all that had to move has moved.
    pub(super) fn settled(&mut self) {
        self.jumped_ms = 0;
    }
}

impl Dispatcher {
    /// Moves the ends of open questions along with a clock that was set.
    pub(super) fn follow_the_clock(&mut self, turn: &mut Turn) {
        let jump = self.steady.look(turn.now, process::since_boot_ms());
        if jump == 0 {
            return;
        }
        let timed: Vec<RequestId> = self.live.timed_requests().collect();
        if timed.is_empty() {
            return self.steady.settled();
        }
        tracing::warn!(
            "the clock was set by {jump} ms: open questions keep the time they have left"
        );
        turn.durable = true;
        for id in timed {
            let Some(mut row) = self.live.request(id).cloned() else { continue };
            let moved = |at: Timestamp| Timestamp(at.0.saturating_add(jump));
            row.request.expires_at = row.request.expires_at.map(moved);
            let (task, request) = (row.request.task, Box::new(row.request.clone()));
            self.live.put_request(row);
            let what = ("clock_set", Some(format!("by {} s", jump / 1_000)));
            turn.event(&mut self.live, task, what, EventChange::Request { request });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_was_set_has_jumped() {
        let mut steady = Steady { wall: Timestamp(1_000_000), boot_ms: 500, jumped_ms: 0 };
        // An hour passes, in a suspend or not, and the clock is kept right by a second.
        assert_eq!(steady.look(Timestamp(4_601_000), 3_600_500), 0);
        assert_eq!(steady.look(Timestamp(11_801_000), 3_600_500), 7_200_000);
        // Until that is settled it is not forgotten.
        assert_eq!(steady.look(Timestamp(11_801_010), 3_600_510), 7_200_000);
        steady.settled();
        assert_eq!(steady.look(Timestamp(1_801_020), 3_600_520), -10_000_000);
    }
}
