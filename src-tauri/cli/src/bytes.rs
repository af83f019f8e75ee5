//! Numbers of bytes as people write and read them.

/// The units, smallest first.
const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Returns the number of bytes that is written as `text`, such as 4096, 64KiB, 10MiB or 1G.
pub(crate) fn parse(text: &str) -> Result<u64, &'static str> {
    let wrong = "write a size as 4096 (bytes), 64KiB, 10MiB or 1GiB";
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| wrong)?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let matches = |name: &str| {
        let name = name.to_ascii_lowercase();
        unit.is_empty() && name == "b" || unit == name || unit == name[..1] && name != "b"
    };
    let (_, factor) = UNITS.iter().find(|(name, _)| matches(name)).ok_or(wrong)?;
    number.checked_mul(*factor).ok_or(wrong)
}

/// Returns a number of bytes for a person.
pub(crate) fn words(bytes: u64) -> String {
    let (name, unit) =
        UNITS.iter().rev().find(|(_, unit)| bytes >= *unit).copied().unwrap_or(UNITS[0]);
    if unit == 1 {
        return format!("{bytes} B");
    }
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("4096", Some(4096)),
            ("7B", Some(7)),
            ("64KiB", Some(65_536)),
            ("64k", Some(65_536)),
            ("10 MiB", Some(10 << 20)),
            ("1G", Some(1 << 30)),
            ("", None),
            ("KiB", None),
            ("1.5MiB", None),
            ("-1", None),
            ("10 apples", None),
            ("99999999999999GiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_short_to_read() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10 << 30, "10.0 GiB")];
        for (bytes, expected) in cases {
            assert_eq!(words(bytes), expected);
        }
    }
}
