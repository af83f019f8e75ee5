//! What time it is. The only reading of the wall clock in the engine.

use std::time::{SystemTime, UNIX_EPOCH};

use nod_core::ids::Timestamp;
use time::OffsetDateTime;

/// Returns the present moment.
#[must_use]
pub(crate) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

/// Returns a moment of the file system or of the clock.
#[must_use]
pub(crate) fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Returns the day of `at` in UTC, such as `2026-11-21`: the folder of its tasks.
#[must_use]
pub(crate) fn day(at: Timestamp) -> String {
    let date = OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// Returns `at` as a name in UTC that sorts, such as `2026-11-21T09-30-00.123`.
#[must_use]
pub(crate) fn stamp(at: Timestamp) -> String {
    let time = OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = time.to_hms();
    let millis = at.0.rem_euclid(1000);
    format!("{}T{hour:02}-{minute:02}-{second:02}.{millis:03}", day(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_so_that_days_sort() {
        let cases = [(0, "1970-01-01"), (1_772_323_199_999, "2026-02-28"), (-1, "1969-12-31")];
        for (at, expected) in cases {
            assert_eq!(day(Timestamp(at)), expected);
        }
        assert_eq!(stamp(Timestamp(1_772_323_199_007)), "2026-02-28T23-59-59.007");
    }
}
