//! What the host's own log says: its newest warnings and errors, and whether it is kept as it
//! should be.
//!
//! What stands in it may come from a task, so it is shown on one line each and without what a
//! terminal acts on. However long the log is, only its end is read.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use nod_core::paths::Paths;
use nod_core::protocol::Health;
use nod_core::text::one_line;

use crate::diagnostics::{self, DAYS};

/// How many bytes of the log are read, from its end.
const READ: u64 = 4 << 20;
/// How many warnings and errors are told word by word.
const TOLD: usize = 5;
/// How much of each is told, in characters.
const LINE: usize = 300;

/// What a look at the log found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    errors: usize,
    warnings: usize,
    /// The last warnings and errors, newest first.
    newest: Vec<String>,
    /// When the first line was written that was read.
    since: Option<String>,
}

/// Returns how the log is, and what it says; `is_hosted` where a host runs, which must have one.
pub(super) fn look(paths: &Paths, is_hosted: bool) -> (Health, String) {
    let link = paths.host_log();
    let files = match diagnostics::files(&paths.data) {
        Ok(files) => files,
        Err(error) => return (Health::Bad, format!("{} cannot be read: {error}", link.display())),
    };
    if files.is_empty() && !is_hosted {
        return (Health::Good, "there is none yet".to_owned());
    }
    // The link may lead to a file that is gone.
    if !link.is_file() {
        let said = format!("{} leads to no file: what the host says is not kept", link.display());
        return (Health::Bad, said);
    }
    let found = match read(&files) {
        Ok(found) => found,
        Err(error) => return (Health::Bad, format!("{} cannot be read: {error}", link.display())),
    };
    let kept = kept(&link, &files);
    if files.len() > DAYS {
        let said =
            format!("{DAYS} days should be kept, and the older ones are not removed: {kept}");
        return (Health::Bad, said);
    }
    let since = found.since.as_deref().map(|at| format!(" since {at}")).unwrap_or_default();
    if found.errors + found.warnings == 0 {
        return (Health::Good, format!("no error and no warning{since}; {kept}"));
    }
    let (errors, warnings) = (counted(found.errors, "error"), counted(found.warnings, "warning"));
    let head = format!("{errors} and {warnings}{since}, the newest first; {kept}");
    let lines = std::iter::once(head).chain(found.newest);
    (Health::Note, lines.collect::<Vec<_>>().join("\n"))
}

/// Says where the log is and how much there is of it.
fn kept(link: &Path, files: &[PathBuf]) -> String {
    let sizes = files.iter().filter_map(|file| Some(fs::metadata(file).ok()?.len()));
    let kib = sizes.sum::<u64>().div_ceil(1024);
    format!("{}, {kib} KiB of {}", link.display(), counted(files.len(), "day"))
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Reads the end of the files, which are given newest first.
fn read(files: &[PathBuf]) -> io::Result<Found> {
    let mut found = Found::default();
    let mut left = READ;
    for file in files {
        if left == 0 {
            break;
        }
        let text = match end_of(file, left) {
            // It was removed meanwhile, as the oldest is when a day begins.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        left -= left.min(text.len() as u64);
        found.take(&String::from_utf8_lossy(&text));
    }
    Ok(found)
}

/// Returns the last `limit` bytes of a file, without a line that does not begin in them.
fn end_of(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(limit);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(limit).read_to_end(&mut text)?;
    if from > 0 {
        let first = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        text.drain(..first);
    }
    Ok(text)
}

impl Found {
    /// Takes in what was written before all that is known.
    fn take(&mut self, text: &str) {
        for line in text.lines().rev() {
            let Some((at, rest)) = line.split_once(' ').filter(|(at, _)| is_moment(at)) else {
                // What follows the first line of an entry.
                continue;
            };
            self.since = Some(at.to_owned());
            let rest = rest.trim_start();
            match rest.split(' ').next() {
                Some("ERROR") => self.errors += 1,
                Some("WARN") => self.warnings += 1,
                Some(_) | None => continue,
            }
            if self.newest.len() < TOLD {
                self.newest.push(one_line(&format!("{at} {rest}"), LINE));
            }
        }
    }
}

/// Returns whether a word is a moment as the log writes it, such as `2026-11-22T09:30:00.123456Z`.
fn is_moment(word: &str) -> bool {
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let shape: String = word.chars().map(shape).collect();
    shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Found {
        let mut found = Found::default();
        found.take(text);
        found
    }

    #[test]
    fn errors_and_warnings_are_told_from_what_else_is_said() {
        let found = found(
            "2026-11-21T09:30:00.000001Z  INFO nod_engine: a task says ERROR and WARN\n\
             2026-11-21T09:31:00.000001Z  WARN nod_engine: no room\nin two lines\n\
             2026-11-22T09:32:00.000001Z ERROR nod_engine: \u{202e}it\x1b[2J failed\n\
             ERROR without a time\n",
        );
        assert_eq!((found.errors, found.warnings), (1, 1));
        assert_eq!(found.since.as_deref(), Some("2026-11-21T09:30:00.000001Z"));
        let newest = [
            "2026-11-22T09:32:00.000001Z ERROR nod_engine: ⟨U+202E⟩it⟨U+001B⟩[2J failed",
            "2026-11-21T09:31:00.000001Z WARN nod_engine: no room",
        ];
        assert_eq!(found.newest, newest);
    }

    #[test]
    fn however_much_there_is_a_few_are_told_and_none_is_long() {
        let line = format!("2026-11-21T09:30:00.000001Z  WARN {}\n", "x".repeat(10_000));
        let found = found(&line.repeat(20));
        assert_eq!(found.warnings, 20);
        assert_eq!(found.newest.len(), TOLD);
        assert!(found.newest.iter().all(|line| line.chars().count() <= LINE + 1));
    }

    #[test]
    fn of_a_long_log_the_end_is_read_from_a_whole_line_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.2026-11-21.log");
        fs::write(&path, "first line\nsecond line\nthird line\n").unwrap();
        assert_eq!(end_of(&path, 16).unwrap(), b"third line\n");
        assert_eq!(end_of(&path, 500).unwrap().len(), 34);
        assert_eq!(end_of(&path, 3).unwrap(), b"");
    }
}
