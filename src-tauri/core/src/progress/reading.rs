//! How far a program is, read from one line of its output.
//!
//! Percentages and counts such as `[12/40]`. Which lines are worth reading is decided in
//! [`super::lines`]: nearly any output has a number or a slash somewhere.

/// What one line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// 0 to 100.
    pub(super) percent: f64,
    /// What it is counted against; nothing for a percentage.
    pub(super) total: Option<f64>,
    /// Where the numbers begin and end, in bytes.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Reading {
    /// Returns whether the numbers stand alone in brackets, as programs set them that count.
    pub(super) fn is_bracketed(&self, line: &str) -> bool {
        let before = line[..self.start].trim_end().ends_with(['[', '(']);
        before && line[self.end..].trim_start().starts_with([']', ')'])
    }
}

/// Returns what a line says: a percentage if there is one, else a count. A line that may not be
/// whole yet (`partial`) is not believed about a number at its end.
pub(super) fn read(line: &str, partial: bool) -> Option<Reading> {
    percentage(line).or_else(|| ratio(line, partial))
}

/// Returns how much of its files rsync has dealt with: `to-chk=7/9` are those that are left.
pub(super) fn rsync_files(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("to-chk=")?;
    let (left, total) = rest.split_once(')')?.0.split_once('/')?;
    let (left, total): (f64, f64) = (left.parse().ok()?, total.parse().ok()?);
    (total > 0.0 && left <= total).then(|| (total - left) / total * 100.0)
}

/// Returns whether a line says that one file of rsync's is whole: its size, then 100 %.
pub(super) fn is_whole_rsync_file(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let is_size = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
    words.next().is_some_and(is_size) && words.next() == Some("100%")
}

/// Returns the first column of curl's meter, where it knows how much there is to come.
pub(super) fn curl_meter(line: &str) -> Option<f64> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let [percent, total, ..] = columns.as_slice() else { return None };
    let percent: f64 = percent.parse().ok()?;
    (columns.len() == 12 && *total != "0" && percent <= 100.0).then_some(percent)
}

/// Returns the layer of an image that a line of `docker pull` is about, and how far that is:
/// downloading is the first half, extracting the second.
pub(super) fn docker_layer(line: &str) -> Option<(&str, f64)> {
    let (layer, status) = line.trim().split_once(": ")?;
    let is_id = layer.len() == 12 && layer.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return None;
    }
    let part = || ratio(status, false).map(|reading| reading.percent / 2.0);
    let percent = match status.trim_end() {
        "Pulling fs layer" | "Waiting" => 0.0,
        "Verifying Checksum" | "Download complete" => 50.0,
        "Pull complete" | "Already exists" => 100.0,
        other if other.starts_with("Downloading [") && other.ends_with('B') => part()?,
        other if other.starts_with("Extracting [") && other.ends_with('B') => 50.0 + part()?,
        _ => return None,
    };
    Some((layer, percent))
}

fn percentage(line: &str) -> Option<Reading> {
    line.match_indices('%').find_map(|(end, _)| {
        if line[end + 1..].starts_with(char::is_alphanumeric) {
            return None;
        }
        let text = line[..end].trim_end_matches(' ');
        let start = number_start(text)?;
        let percent: f64 = text[start..].parse().ok()?;
        (percent <= 100.0).then_some(Reading { percent, total: None, start, end: end + 1 })
    })
}

/// Finds `12/40`, `1.5/3.0 MB` and `512kB/2MB`, and not dates, paths and fractions of words.
fn ratio(line: &str, partial: bool) -> Option<Reading> {
    line.match_indices('/').find_map(|(slash, _)| {
        let (number, unit) = split_unit_before(line[..slash].trim_end());
        let start = number_start(number)?;
        let (total_text, rest) = split_number(line[slash + 1..].trim_start())?;
        let (total_unit, rest) = split_unit(rest);
        let goes_on = rest.starts_with(|c: char| c.is_alphanumeric() || "/-.".contains(c));
        if goes_on || partial && rest.is_empty() {
            return None;
        }
        let done = count(&number[start..])? * scale(unit.or(total_unit))?;
        let total = count(total_text)? * scale(total_unit.or(unit))?;
        let end = line.len() - rest.len();
        let percent = done / total * 100.0;
        let is_part = total > 0.0 && done <= total;
        is_part.then_some(Reading { percent, total: Some(total), start, end })
    })
}

/// Returns where the number begins that ends `text`, if it stands alone.
fn number_start(text: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    let start = text.trim_end_matches(is_part).len();
    let number = &text[start..];
    let before = &text[..start];
    let stands_alone = !before
        .ends_with(|c: char| c.is_ascii_alphanumeric() || "/-_+:".contains(c))
        || before.ends_with(": ");
    let begins = number.starts_with(|c: char| c.is_ascii_digit());
    (begins && stands_alone && number.len() <= 15).then_some(start)
}

/// Returns the number that a text begins with, and what follows it.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let is_end = |c: char| !c.is_ascii_digit() && c != '.' && c != ',';
    let number = &text[..text.find(is_end).unwrap_or(text.len())];
    let number = number.trim_end_matches(['.', ',']);
    number.starts_with(|c: char| c.is_ascii_digit()).then(|| (number, &text[number.len()..]))
}

const UNITS: [(&str, f64); 9] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("B", 1.0),
];

fn scale(unit: Option<&str>) -> Option<f64> {
    let Some(unit) = unit else { return Some(1.0) };
    UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)
}

/// Returns the unit that a text begins with, and what follows it.
fn split_unit(text: &str) -> (Option<&'static str>, &str) {
    let trimmed = text.trim_start();
    let found = UNITS.iter().find_map(|(name, _)| Some((*name, trimmed.strip_prefix(name)?)));
    match found {
        Some((name, rest)) if !rest.starts_with(char::is_alphanumeric) => (Some(name), rest),
        Some(_) | None => (None, text),
    }
}

fn split_unit_before(text: &str) -> (&str, Option<&'static str>) {
    let found = UNITS.iter().find_map(|(name, _)| Some((*name, text.strip_suffix(name)?)));
    match found {
        Some((name, number)) if number.trim_end().ends_with(|c: char| c.is_ascii_digit()) => {
            (number.trim_end(), Some(name))
        }
        Some(_) | None => (text, None),
    }
}

/// Returns the number, whose commas divide thousands.
fn count(text: &str) -> Option<f64> {
    text.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_say_how_far_are_told_from_others() {
        let cases = [
            ("rows:  10%|██        | 20/200 [00:00<00:00]", Some(10.0)),
            ("a.bin   45%[====>   ] 622K  2.98MB/s", Some(45.0)),
            ("###      7.5%", Some(7.5)),
            ("#####100.0%", Some(100.0)),
            ("[ 16%] Building CXX object", Some(16.0)),
            ("        786,432 100%    6.72MB/s", Some(100.0)),
            ("[12/40] CXX 11.o", Some(30.0)),
            ("━━━━━━ 1.5/6.0 MB 3.1 MB/s eta 0:00:02", Some(25.0)),
            ("Downloading [=>   ]  512kB/2MB", Some(25.6)),
            ("Receiving objects: (45/100)", Some(45.0)),
            ("1,024 / 2,048 done", Some(50.0)),
            ("100 %", Some(100.0)),
            ("built on 12/31/2026", None),
            ("see src/1/2/main.rs", None),
            ("http://127.0.0.1:8080/3", None),
            ("24/7support", None),
            ("120% of the estimate", None),
            ("50%off", None),
            ("v1.2/3.4-beta", None),
            ("7/3 is more than one", None),
            ("0/0", None),
            ("no numbers", None),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line, false).map(|reading| reading.percent), expected, "{line}");
        }
    }

    #[test]
    fn a_count_that_may_be_cut_off_is_not_believed() {
        assert_eq!(read("1/1", true), None, "it may become 1/100");
        assert!(read("[1/100]", true).is_some());
    }
}
