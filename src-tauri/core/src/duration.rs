//! Durations as people write and read them.

use std::time::Duration;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("write a duration as 90 (seconds), 90s, 500ms, 10m, 1h30m or 2d")]
    Unreadable,
    #[error("a duration is 10 years at most")]
    TooLong,
    #[error("the duration must be longer than nothing")]
    Zero,
}

/// The units, longest first, as milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest duration, in milliseconds: beyond it lies a slip.
const LONGEST: u64 = 10 * 366 * 86_400_000;

/// Returns the duration that is written as `text`; a bare number is seconds.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let read = read(text)?;
    if in_milliseconds(read) > LONGEST { Err(DurationError::TooLong) } else { Ok(read) }
}

fn read(text: &str) -> Result<Duration, DurationError> {
    if let Some(seconds) = digits(text).filter(|digits| *digits == text) {
        return amount(seconds)?.checked_mul(1_000).map(millis).ok_or(DurationError::TooLong);
    }
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let number = digits(rest).ok_or(DurationError::Unreadable)?;
        rest = &rest[number.len()..];
        let length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        // Each unit once, and longer ones first: anything else is a slip.
        let (unit, size) =
            units.find(|(unit, _)| *unit == &rest[..length]).ok_or(DurationError::Unreadable)?;
        rest = &rest[unit.len()..];
        total = amount(number)?
            .checked_mul(*size)
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::TooLong)?;
    }
    if text.is_empty() { Err(DurationError::Unreadable) } else { Ok(millis(total)) }
}

/// Returns the duration that is written as `text`, which must be some time.
pub fn parse_positive(text: &str) -> Result<Duration, DurationError> {
    parse(text).and_then(
        |duration| {
            if duration.is_zero() { Err(DurationError::Zero) } else { Ok(duration) }
        },
    )
}

/// Returns `duration` as the protocol has it.
pub fn in_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns `milliseconds` in the two largest units, for a person.
pub fn words(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0..10 => format!("{seconds}.{}s", milliseconds % 1_000 / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Returns the digits at the start of `text`; nothing when there are none.
fn digits(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| &text[..end])
}

fn amount(digits: &str) -> Result<u64, DurationError> {
    digits.parse().map_err(|_| DurationError::TooLong)
}

fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let cases = [
            ("90", Ok(90_000)),
            ("90s", Ok(90_000)),
            ("10m", Ok(600_000)),
            ("1h30m", Ok(5_400_000)),
            ("500ms", Ok(500)),
            ("1m500ms", Ok(60_500)),
            ("2d", Ok(172_800_000)),
            ("0", Ok(0)),
            ("", Err(DurationError::Unreadable)),
            ("m", Err(DurationError::Unreadable)),
            ("1h30", Err(DurationError::Unreadable)),
            ("30m1h", Err(DurationError::Unreadable)),
            ("1m1m", Err(DurationError::Unreadable)),
            ("-5s", Err(DurationError::Unreadable)),
            ("1.5h", Err(DurationError::Unreadable)),
            ("10 m", Err(DurationError::Unreadable)),
            ("10 минут", Err(DurationError::Unreadable)),
            ("99999999999999999999", Err(DurationError::TooLong)),
            ("99999999999999999d", Err(DurationError::TooLong)),
            ("4000d", Err(DurationError::TooLong)),
            ("3650d", Ok(315_360_000_000)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).map(in_milliseconds), expected, "{text}");
        }
        assert_eq!(parse_positive("0s"), Err(DurationError::Zero));
    }

    #[test]
    fn durations_are_short_to_read() {
        let cases = [
            (0, "0.0s"),
            (1_250, "1.2s"),
            (59_999, "59s"),
            (192_000, "3m12s"),
            (7_500_000, "2h05m"),
            (273_600_000, "3d04h"),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(words(milliseconds), expected);
        }
    }
}
