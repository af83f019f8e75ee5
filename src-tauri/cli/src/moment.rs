//! Times of day as people write them: local wall time, across the changes of the clocks.

use jiff::Zoned;
use jiff::civil::{DateTime, Time};
use nod_core::ids::Timestamp;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MomentError {
    #[error("write a time as 18:30, 18:30:15 or \"2026-11-22 18:30\"")]
    Unreadable,
    #[error("that time has passed")]
    Passed,
    #[error("the calendar ends before that time")]
    TooFar,
}

/// Returns the moment that is written as `text`, in the zone of this machine.
pub(crate) fn parse(text: &str) -> Result<Timestamp, MomentError> {
    next(text, &Zoned::now()).map(|at| Timestamp(at.timestamp().as_millisecond()))
}

/// Returns the next moment after `now` at which a clock on the wall shows `text`.
fn next(text: &str, now: &Zoned) -> Result<Zoned, MomentError> {
    if let Some(time) = time(text) {
        let days = [now.date(), now.date().tomorrow().map_err(|_| MomentError::TooFar)?];
        let moments = days.map(|day| shown(day.to_datetime(time), now));
        let mut moments = moments.into_iter().flatten().flatten();
        return moments.find(|moment| moment > now).ok_or(MomentError::TooFar);
    }
    let shown = shown(date_and_time(text).ok_or(MomentError::Unreadable)?, now);
    let mut moments = shown.into_iter().flatten();
    moments.find(|moment| moment > now).ok_or(MomentError::Passed)
}

/// Returns the moments at which the wall shows this: two where the clocks are set back over it.
/// What they are set forward over comes as much later as they are moved.
fn shown(wall: DateTime, now: &Zoned) -> Option<[Zoned; 2]> {
    let ambiguous = now.time_zone().to_ambiguous_zoned(wall);
    let first = ambiguous.clone().compatible().ok()?;
    let last = if ambiguous.is_ambiguous() { ambiguous.later().ok()? } else { first.clone() };
    Some([first, last])
}

fn time(text: &str) -> Option<Time> {
    ["%H:%M", "%H:%M:%S"].iter().find_map(|format| Time::strptime(format, text).ok())
}

fn date_and_time(text: &str) -> Option<DateTime> {
    let formats = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    formats.iter().find_map(|format| DateTime::strptime(format, text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_at(text: &str, now: &str) -> Result<String, MomentError> {
        let now: Zoned = now.parse().unwrap();
        next(text, &now).map(|at| at.strftime("%Y-%m-%d %H:%M:%S %z").to_string())
    }

    #[test]
    fn a_time_of_day_is_the_next_one() {
        let now = "2026-11-21T18:00:00+01:00[Europe/Berlin]";
        let cases = [
            ("18:30", Ok("2026-11-21 18:30:00 +0100".to_owned())),
            ("18:00", Ok("2026-11-22 18:00:00 +0100".to_owned())),
            ("7:05", Ok("2026-11-22 07:05:00 +0100".to_owned())),
            ("18:30:15", Ok("2026-11-21 18:30:15 +0100".to_owned())),
            ("2026-12-01 06:00", Ok("2026-12-01 06:00:00 +0100".to_owned())),
            ("2026-11-21 06:00", Err(MomentError::Passed)),
            ("25:00", Err(MomentError::Unreadable)),
            ("half past six", Err(MomentError::Unreadable)),
            ("", Err(MomentError::Unreadable)),
        ];
        for (text, expected) in cases {
            assert_eq!(next_at(text, now), expected, "{text}");
        }
    }

    #[test]
    fn the_wall_shows_the_time_also_when_the_clocks_change_before() {
        let berlin = |now: &str, text| next_at(text, &format!("{now}[Europe/Berlin]")).unwrap();
        // The last evening of winter time: the morning comes an hour sooner.
        let spring = "2026-03-28T20:00:00+01:00";
        assert_eq!(berlin(spring, "08:00"), "2026-03-29 08:00:00 +0200");
        // 02:30 is left out that night.
        assert_eq!(berlin(spring, "02:30"), "2026-03-29 03:30:00 +0200");
        let autumn = "2026-10-24T20:00:00+02:00";
        assert_eq!(berlin(autumn, "08:00"), "2026-10-25 08:00:00 +0100");
        // 02:30 comes twice; the first counts, and between the two the second.
        assert_eq!(berlin(autumn, "02:30"), "2026-10-25 02:30:00 +0200");
        let between = "2026-10-25T02:45:00+02:00";
        assert_eq!(berlin(between, "02:30"), "2026-10-25 02:30:00 +0100");
    }
}
