//! The history's own clock: how much time has surely passed for what it holds.
//!
//! What is kept for thirty days is kept for thirty days, whatever becomes of the
//! clock on the wall. Within one boot of the machine this clock goes as
//! CLOCK_BOOTTIME does, which nobody sets. How long the machine was off only the
//! wall can tell, and it may be wrong: no more than a few days of that count.

use nod_core::ids::Timestamp;

use crate::store::ClockRow;

/// How much of a time in which the machine was off counts at most, in milliseconds: a long weekend.
/// A clock that comes up wrong makes nothing older than that at once.
const OFF_MS: i64 = 3 * 24 * 60 * 60 * 1000;

/// What a history says of when it was in use last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LastUse {
    /// When the newest event was, by the wall.
    pub(crate) event: Option<Timestamp>,
    /// When the task that ended last did, by the history's own clock.
    pub(crate) end: Option<Timestamp>,
}

/// Where the machine is in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present<'a> {
    pub(crate) wall: Timestamp,
    pub(crate) boot_ms: u64,
    pub(crate) boot_id: &'a str,
}

/// Returns what the history's own clock showed when the machine booted.
pub(crate) fn at_boot(stored: Option<&ClockRow>, last: LastUse, now: Present<'_>) -> Timestamp {
    let since_boot = i64::try_from(now.boot_ms).unwrap_or(i64::MAX);
    let used = match stored {
        Some(row) if row.boot_id == now.boot_id => return row.history,
        Some(row) => {
            // How far it is from the wall, which was set in between or was not.
            let ahead = row.history.0.saturating_sub(row.offset_ms);
            let event = last.event.map(|at| at.moved(ahead));
            event.map_or(row.seen, |at| at.max(row.seen))
        }
        // It never stood still, or nobody knows any more: younger rather than older.
        None => last.end.into_iter().chain(last.event).min().unwrap_or(now.wall.moved(-since_boot)),
    };
    let off = last.event.map_or(0, |at| now.wall.moved(-since_boot).0.saturating_sub(at.0));
    used.moved(off.clamp(0, OFF_MS))
}

/// Returns what the history's own clock shows so long after a boot.
pub(crate) fn since(at_boot: Timestamp, boot_ms: u64) -> Timestamp {
    at_boot.plus(boot_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const HOUR: u64 = 3_600_000;

    fn present(wall: i64, boot_id: &str) -> Present<'_> {
        Present { wall: Timestamp(wall), boot_ms: HOUR, boot_id }
    }

    /// What a host of the boot `one` stored at day 100, by the wall and by the history alike.
    fn stored() -> ClockRow {
        let at = Timestamp(100 * DAY);
        ClockRow { boot_id: "one".into(), offset_ms: at.0, history: at, seen: at }
    }

    /// Something happened at day 102, and a task ended there.
    fn last() -> LastUse {
        LastUse { event: Some(Timestamp(102 * DAY)), end: Some(Timestamp(102 * DAY)) }
    }

    #[test]
    fn in_one_boot_no_clock_that_is_set_makes_anything_older() {
        for wall in [0, 102 * DAY, 9_999 * DAY] {
            let began = at_boot(Some(&stored()), last(), present(wall, "one"));
            assert_eq!(since(began, 5), Timestamp(100 * DAY + 5), "{wall}");
        }
    }

    #[test]
    fn a_time_in_which_the_machine_was_off_counts_up_to_a_bound() {
        let hour = HOUR as i64;
        let cases = [
            ("a day", 103 * DAY + hour, 103 * DAY),
            ("two years, or a clock that is wrong", 800 * DAY, 105 * DAY),
            ("a clock that went back", 3 * DAY, 102 * DAY),
        ];
        for (name, wall, expected) in cases {
            let began = at_boot(Some(&stored()), last(), present(wall, "two"));
            assert_eq!(began, Timestamp(expected), "{name}");
        }
    }

    #[test]
    fn what_was_set_in_an_earlier_boot_is_known_in_the_next() {
        // Forty days on, and not by time that passed.
        let row = ClockRow { offset_ms: 140 * DAY, ..stored() };
        let last = LastUse { event: Some(Timestamp(142 * DAY)), end: Some(Timestamp(102 * DAY)) };
        let wall = 143 * DAY + HOUR as i64;
        assert_eq!(at_boot(Some(&row), last, present(wall, "two")), Timestamp(103 * DAY));
        // The jump was noticed, and then nothing happened.
        let row = ClockRow { seen: Timestamp(102 * DAY), ..row };
        let last = LastUse { event: Some(Timestamp(101 * DAY)), ..last };
        assert_eq!(at_boot(Some(&row), last, present(wall, "two")), Timestamp(105 * DAY));
    }

    #[test]
    fn where_nothing_is_known_all_is_young() {
        let wall = 500 * DAY;
        let began = |last| at_boot(None, last, present(wall, "one"));
        assert_eq!(began(LastUse::default()), Timestamp(wall - HOUR as i64));
        assert_eq!(began(last()), Timestamp(105 * DAY));
        // The history was far behind the wall, and how far is lost.
        let end = Some(Timestamp(60 * DAY));
        assert_eq!(began(LastUse { end, ..last() }), Timestamp(63 * DAY));
    }
}
