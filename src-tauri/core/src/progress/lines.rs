//! The progress of programs that know nothing of Nod, from the lines they draw.
//!
//! A number says how far a program is where the line is drawn over and over (carriage return,
//! erase, cursor up), or where lines of one kind come again with rising numbers. What was seen
//! once may be anything.

use std::collections::BTreeMap;
use std::fmt;

use vte::{Params, Parser, Perform};

use super::reading::{self, Reading};
use super::{Progress, Source, clamped};

/// How much of a line is kept, in characters; a bar is on the screen, and no screen is wider.
const LINE: usize = 400;
/// How many kinds of lines are remembered.
const KINDS: usize = 32;
/// How many layers of an image are counted.
const LAYERS: usize = 200;
/// After so many lines that only go down, nothing above them is redrawn any more.
const BLOCK: i64 = 20;

/// Finds progress in output that arrives in pieces.
#[derive(Default)]
pub struct LineProgress {
    parser: Parser,
    lines: Lines,
}

impl LineProgress {
    /// Returns the last progress that `output` tells.
    pub fn scan(&mut self, output: &[u8]) -> Option<Progress> {
        self.parser.advance(&mut self.lines, output);
        if self.lines.redrawn {
            self.lines.evaluate(true);
        }
        // What a terminal shows as the same is the same.
        let percent = (self.lines.found.take()? * 100.0).round() / 100.0;
        let percent = Some(clamped(percent));
        Some(Progress {
            percent,
            message: None,
            source: Source::Output,
            phase: 0,
            phase_name: None,
        })
    }
}

impl fmt::Debug for LineProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineProgress").field("line", &self.lines.text).finish_non_exhaustive()
    }
}

/// The line that is being drawn, and what the lines before it said.
#[derive(Default)]
struct Lines {
    text: String,
    length: usize,
    /// The cursor is at the start of the line: what comes next is drawn over it.
    returned: bool,
    /// The line is one that is drawn over.
    redrawn: bool,
    /// How far down the cursor is.
    row: i64,
    /// Where the cursor last went up to, in a block of lines that is redrawn as a whole.
    went_up: Option<i64>,
    /// The uppermost line of that block that tells a progress.
    top: Option<i64>,
    /// The last number of each kind of line, the oldest kind first.
    kinds: Vec<(Kind, f64)>,
    layers: BTreeMap<String, f64>,
    /// What follows are columns of curl's meter.
    is_curl: bool,
    /// Percentages are those of single files: what counts is how many files are left.
    is_rsync: bool,
    found: Option<f64>,
}

/// What makes two lines of output comparable.
#[derive(Debug, Clone, PartialEq)]
struct Kind {
    total: Option<f64>,
    /// The words before the number; nothing where the number is in brackets of its own.
    words: Option<String>,
}

impl Lines {
    fn draw(&mut self, c: char) {
        if self.returned {
            self.erase();
        }
        if self.length < LINE {
            self.text.push(c);
            self.length += 1;
        }
    }

    /// Begins to draw over the line.
    fn erase(&mut self) {
        self.redrawn = true;
        self.evaluate(false);
        self.clear();
    }

    fn clear(&mut self) {
        self.text.clear();
        self.length = 0;
        self.returned = false;
    }

    fn end(&mut self) {
        self.evaluate(false);
        self.clear();
        self.redrawn = false;
        self.row += 1;
        if self.went_up.is_some_and(|row| self.row > row + BLOCK) {
            (self.went_up, self.top) = (None, None);
        }
    }

    /// Goes up or down to a line that was drawn before.
    fn go(&mut self, rows: i64) {
        self.evaluate(false);
        self.clear();
        self.redrawn = true;
        self.row += rows;
        if rows < 0 {
            self.went_up = Some(self.row);
            self.top = self.top.map(|top| top.min(self.row));
        }
    }

    fn evaluate(&mut self, partial: bool) {
        self.is_curl |= self.text.trim_start().starts_with("% Total");
        let percent = if self.redrawn { self.redrawn_line(partial) } else { self.next_line() };
        self.found = percent.or(self.found);
    }

    fn redrawn_line(&mut self, partial: bool) -> Option<f64> {
        if let Some((layer, percent)) = reading::docker_layer(&self.text) {
            if self.layers.len() < LAYERS || self.layers.contains_key(layer) {
                self.layers.insert(layer.to_owned(), percent);
            }
            return Some(self.layers.values().sum::<f64>() / self.layers.len() as f64);
        }
        if let Some(files) = self.rsync_files(partial) {
            return files;
        }
        let meter = self.is_curl.then(|| reading::curl_meter(&self.text)).flatten();
        let percent = meter.or_else(|| Some(reading::read(&self.text, partial)?.percent))?;
        // Of several bars the uppermost is the whole.
        if self.went_up.is_some() && self.top.is_some_and(|top| self.row > top) {
            return None;
        }
        self.top = Some(self.row);
        Some(percent)
    }

    /// Returns what rsync says of its files, where its percentages are those of single ones.
    fn rsync_files(&mut self, partial: bool) -> Option<Option<f64>> {
        let files = reading::rsync_files(&self.text);
        if self.text.contains("-chk=") && !self.is_rsync {
            let percent = reading::read(&self.text, partial).map(|reading| reading.percent);
            let is_whole_file = percent == Some(100.0);
            self.is_rsync = is_whole_file && files.is_none_or(|percent| percent < 100.0);
        }
        // The end of one file, before it is said how many are left.
        let is_open = reading::is_whole_rsync_file(&self.text) && files.is_none();
        (self.is_rsync || is_open).then_some(files)
    }

    /// Compares a line with the last one of its kind.
    fn next_line(&mut self) -> Option<f64> {
        let reading = reading::read(&self.text, false)?;
        let kind = Kind::of(&self.text, &reading);
        let index = self.kinds.iter().position(|(known, _)| *known == kind);
        let before = index.map(|index| self.kinds.remove(index).1);
        if self.kinds.len() >= KINDS {
            self.kinds.remove(0);
        }
        self.kinds.push((kind, reading.percent));
        before.filter(|before| *before < reading.percent).map(|_| reading.percent)
    }
}

impl Kind {
    fn of(line: &str, reading: &Reading) -> Self {
        if reading.is_bracketed(line) {
            return Self { total: reading.total, words: None };
        }
        let words = line[..reading.start].split(|c: char| !c.is_alphabetic());
        let words: Vec<&str> = words.filter(|word| word.chars().count() > 2).collect();
        Self { total: reading.total, words: Some(words.join(" ")) }
    }
}

impl Perform for Lines {
    fn print(&mut self, c: char) {
        self.draw(c);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end(),
            b'\r' => self.returned = true,
            b'\t' => self.draw(' '),
            b'\x08' => self.length -= usize::from(self.text.pop().is_some()),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _: &[u8], _: bool, action: char) {
        let first = params.iter().next().and_then(|values| values.first()).copied().unwrap_or(0);
        match (action, first) {
            // ECMA-48: erase in line, cursor to column one, cursor up and down.
            ('K', 2) => self.erase(),
            ('K', 0) if self.returned => self.erase(),
            ('G', 0 | 1) => self.returned = true,
            ('A', rows) => self.go(-i64::from(rows.max(1))),
            ('B', rows) => self.go(i64::from(rows.max(1))),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percents(pieces: &[&str]) -> Vec<Option<f64>> {
        let mut lines = LineProgress::default();
        pieces.iter().map(|piece| lines.scan(piece.as_bytes())?.percent).collect()
    }

    #[test]
    fn a_line_that_is_drawn_over_is_believed_and_one_that_is_not_must_come_again() {
        let cases: [(&[&str], &[Option<f64>]); 8] = [
            (&["\r10%", "\r20%"], &[Some(10.0), Some(20.0)]),
            (&["10%\r20%\r"], &[Some(20.0)]),
            (&["10%\r\n"], &[None]),
            (&["10%\r\n", "20%\r\n", "20%\r\n"], &[None, Some(20.0), None]),
            (&["[10/50] a\n[20/50] b\n"], &[Some(40.0)]),
            (&["[1/9] a\n[2/8] b\n"], &[None]),
            (&["covered main 10%\ncovered other 80%\n"], &[None]),
            (&["\r100%"], &[Some(99.0)]),
        ];
        for (pieces, expected) in cases {
            assert_eq!(percents(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn output_without_end_takes_no_memory() {
        let mut lines = LineProgress::default();
        for number in 0..500 {
            lines.scan(format!("{} {}%\n", "abc".repeat(number), number % 90).as_bytes());
            lines.scan(&[b'x'; 1000]);
        }
        assert!(lines.lines.kinds.len() <= KINDS && lines.lines.text.len() <= LINE);
    }
}
