//! The names by which tasks, attempts, requests, operations and moments are known.

use std::fmt;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A task's number. Given once, never reused, not even after the task was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct TaskId(pub i64);

/// Which try of a task this is, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct AttemptNumber(pub u32);

/// A question's number. Given once, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct RequestId(pub i64);

/// The conversation of an agent that a task's result is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct SessionId(pub String);

/// A name that a client makes for one change it wants.
///
/// The same change sent again, after a lost connection, carries the same name
/// and gets the first result.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct OperationId(pub String);

/// The number of a stored event. Rises by one with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct EventNumber(pub u64);

/// A moment as milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the moment `milliseconds` later; the latest one there is when that would overflow.
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(milliseconds).unwrap_or(i64::MAX)))
    }

    /// Returns the moment that this one is where the clock was set by so much.
    #[must_use]
    pub fn moved(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Returns how many milliseconds have passed since `earlier`; 0 when the clock went back.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl Timestamp {
    /// Returns this moment in UTC, to the second, for a person.
    #[must_use]
    pub fn utc(self) -> String {
        let seconds = self.0.div_euclid(1000);
        let Ok(moment) = time::OffsetDateTime::from_unix_timestamp(seconds) else {
            return format!("{} ms after 1970", self.0);
        };
        let (year, month, day) = (moment.year(), u8::from(moment.month()), moment.day());
        let (hour, minute, second) = moment.to_hms();
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

impl AttemptNumber {
    /// The first try.
    pub const FIRST: Self = Self(1);
}

macro_rules! display_as_inner {
    ($($name:ident),+) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        })+
    };
}

display_as_inner!(TaskId, AttemptNumber, RequestId, SessionId, OperationId, EventNumber);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_utc() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_795_276_873_999, "2026-11-21 16:01:13 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ];
        for (at, expected) in cases {
            assert_eq!(Timestamp(at).utc(), expected);
        }
    }
}
