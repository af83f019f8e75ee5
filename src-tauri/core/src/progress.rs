//! How far a task is, from what it says and from what it prints.
//!
//! OSC 9;4 is the sequence by which terminal programs such as cargo tell a
//! terminal their progress: `ESC ] 9 ; 4 ; state ; percent`, ended by BEL or ST
//! (ConEmu's documentation of ANSI codes, "ESC ] 9 ; 4").

mod lines;
mod reading;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::text::controls;

pub use lines::LineProgress;

/// The longest progress message, in characters.
pub const MESSAGE_LIMIT: usize = 200;

/// What a running task shows before its end at the most.
const ALMOST: f64 = 99.0;

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Progress {
    /// 0 to 100; nothing when the task works without knowing how much is left.
    pub percent: Option<f64>,
    pub message: Option<String>,
    pub source: Source,
    /// Counts the times the bar began anew.
    pub phase: u32,
    /// What the task calls this phase; part of the message too.
    #[serde(default)]
    pub phase_name: Option<String>,
}

/// Where a progress comes from, least trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Percentages and counts on a line that is redrawn, or comes again and again.
    Output,
    /// OSC 9;4 in the output.
    Terminal,
    /// The task's own `nod progress`.
    Reported,
}

impl Source {
    /// Returns where a progress comes from, for a person.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Output => "read from the output",
            Self::Terminal => "told by the program to its terminal",
            Self::Reported => "reported by the task",
        }
    }
}

/// Why a reported progress is no progress.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProgressError {
    #[error("`{0}` is not a percentage: give a number from 0 to 100")]
    NotANumber(f64),
}

impl Progress {
    /// Returns what a task reported, clamped.
    pub fn reported(percent: Option<f64>, message: Option<&str>) -> Result<Self, ProgressError> {
        if let Some(bad) = percent.filter(|percent| !percent.is_finite()) {
            return Err(ProgressError::NotANumber(bad));
        }
        let message = message.map(one_line).filter(|message| !message.is_empty());
        let percent = percent.map(clamped);
        Ok(Self { percent, message, source: Source::Reported, phase: 0, phase_name: None })
    }

    /// Returns the same as a part of the phase of this name.
    #[must_use]
    pub fn in_phase(mut self, name: &str) -> Self {
        let name = one_line(name);
        if !name.is_empty() {
            let message = self.message.take();
            let message = message.map_or_else(|| name.clone(), |more| format!("{name}: {more}"));
            self.message = Some(one_line(&message));
            self.phase_name = Some(name);
        }
        self
    }

    /// Returns the same as the task's success leaves it: what was kept from it until now, that
    /// all was done, is true.
    #[must_use]
    pub fn completed(mut self) -> Self {
        self.percent = self.percent.map(|percent| if percent < ALMOST { percent } else { 100.0 });
        self
    }

    /// Returns the progress after `newer` came in; nothing when that changes nothing.
    #[must_use]
    pub fn merged(current: Option<&Self>, mut newer: Self) -> Option<Self> {
        let Some(current) = current else { return Some(newer) };
        if newer.source < current.source {
            return None;
        }
        let fell = matches!((current.percent, newer.percent), (Some(was), Some(is)) if is < was);
        let is_named = newer.phase_name.is_some() && newer.phase_name != current.phase_name;
        newer.phase = current.phase + u32::from(fell || is_named);
        if newer.message.is_none() && newer.source == current.source {
            newer.message.clone_from(&current.message);
        }
        (newer != *current).then_some(newer)
    }
}

fn clamped(percent: f64) -> f64 {
    percent.clamp(0.0, ALMOST)
}

/// Returns `text` as one line without control characters, cut to [`MESSAGE_LIMIT`].
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if controls(c) { ' ' } else { c }).collect();
    let line = line.trim();
    if line.chars().count() <= MESSAGE_LIMIT {
        return line.to_owned();
    }
    line.chars().take(MESSAGE_LIMIT - 1).chain(['…']).collect()
}

/// Finds OSC 9;4 in output that arrives in pieces.
#[derive(Debug, Clone, Default)]
pub struct TerminalProgress {
    state: Scan,
}

#[derive(Debug, Clone, Default)]
enum Scan {
    #[default]
    Text,
    Escape,
    /// Inside an OSC; holds its first bytes.
    Osc(Vec<u8>),
    /// Inside an OSC, after an ESC that may be the first half of ST.
    OscEscape(Vec<u8>),
}

/// Longer than any OSC 9;4 there can be; more than this of an OSC is not kept.
const OSC_LIMIT: usize = 24;

impl TerminalProgress {
    /// Returns the last progress that ends within `output`.
    pub fn scan(&mut self, output: &[u8]) -> Option<Progress> {
        let mut last = None;
        for &byte in output {
            if let Some(progress) = self.step(byte) {
                last = Some(progress);
            }
        }
        last
    }

    fn step(&mut self, byte: u8) -> Option<Progress> {
        let state = std::mem::take(&mut self.state);
        self.state = match (state, byte) {
            (Scan::Text | Scan::Escape, 0x1b) => Scan::Escape,
            (Scan::Escape, b']') => Scan::Osc(Vec::new()),
            (Scan::Osc(body), 0x07) | (Scan::OscEscape(body), b'\\') => return parse_osc(&body),
            (Scan::Osc(body), 0x1b) => Scan::OscEscape(body),
            (Scan::Osc(mut body), byte) => {
                if body.len() < OSC_LIMIT {
                    body.push(byte);
                }
                Scan::Osc(body)
            }
            (Scan::OscEscape(_), b']') => Scan::Osc(Vec::new()),
            (Scan::OscEscape(_) | Scan::Escape | Scan::Text, _) => Scan::Text,
        };
        None
    }
}

fn parse_osc(body: &[u8]) -> Option<Progress> {
    let body = std::str::from_utf8(body).ok()?.strip_prefix("9;4;")?;
    let (state, percent) = body.split_once(';').unwrap_or((body, ""));
    let percent = percent.parse::<f64>().ok().filter(|percent| percent.is_finite());
    let percent = match state {
        // Normal, error and paused all carry how far it is.
        "1" | "2" | "4" => percent.map(clamped),
        // Removed, and busy without an end in sight.
        "0" | "3" => None,
        _ => return None,
    };
    Some(Progress { percent, message: None, source: Source::Terminal, phase: 0, phase_name: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(percent: Option<f64>) -> Progress {
        Progress { percent, message: None, source: Source::Terminal, phase: 0, phase_name: None }
    }

    #[test]
    fn a_report_is_clamped_and_never_full_before_the_end() {
        let cases = [(-5.0, 0.0), (40.0, 40.0), (12.5, 12.5), (100.0, 99.0), (1e9, 99.0)];
        for (given, expected) in cases {
            let progress = Progress::reported(Some(given), None).unwrap();
            assert_eq!(progress.percent, Some(expected), "{given}");
            let at_success = if given >= 99.0 { 100.0 } else { expected };
            assert_eq!(progress.completed().percent, Some(at_success), "{given}");
        }
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(Progress::reported(Some(bad), None).is_err());
        }
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        let progress = Progress::reported(None, Some(" a\n\x1b[31mb\u{7} ")).unwrap();
        assert_eq!(progress.message.as_deref(), Some("a  [31mb"));
        let long = "長".repeat(MESSAGE_LIMIT + 1);
        let cut = Progress::reported(None, Some(&long)).unwrap().message.unwrap();
        assert_eq!(cut.chars().count(), MESSAGE_LIMIT);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn progress_is_found_in_terminal_output() {
        let cases: [(&[u8], Option<Progress>); 9] = [
            (b"plain text", None),
            (b"\x1b]9;4;1;42\x07", Some(terminal(Some(42.0)))),
            (b"\x1b]9;4;1;42\x1b\\", Some(terminal(Some(42.0)))),
            (b"a\x1b]9;4;1;10\x07b\x1b]9;4;1;20\x07c", Some(terminal(Some(20.0)))),
            (b"\x1b]9;4;3;\x07", Some(terminal(None))),
            (b"\x1b]9;4;0;\x07", Some(terminal(None))),
            (b"\x1b]9;4;9;1\x07", None),
            (b"\x1b]0;window title\x07", None),
            (b"\x1b]9;4;1;nan\x07", Some(terminal(None))),
        ];
        for (output, expected) in cases {
            let actual = TerminalProgress::default().scan(output);
            assert_eq!(actual, expected, "{}", output.escape_ascii());
        }
    }

    #[test]
    fn a_sequence_cut_anywhere_is_found_all_the_same() {
        let whole = b"x\x1b]9;4;1;73\x1b\\y";
        for cut in 0..whole.len() {
            let mut scanner = TerminalProgress::default();
            let first = scanner.scan(&whole[..cut]);
            let second = scanner.scan(&whole[cut..]);
            assert_eq!(first.or(second), Some(terminal(Some(73.0))), "cut at {cut}");
        }
    }

    #[test]
    fn an_endless_sequence_takes_no_memory() {
        let mut scanner = TerminalProgress::default();
        assert_eq!(scanner.scan(b"\x1b]"), None);
        assert_eq!(scanner.scan(&vec![b'9'; 1 << 20]), None);
        let Scan::Osc(body) = &scanner.state else { panic!("left the sequence") };
        assert_eq!(body.len(), OSC_LIMIT);
    }

    #[test]
    fn a_named_phase_begins_the_bar_anew_once() {
        let report = |percent, message, name: &str| {
            Progress::reported(Some(percent), message).unwrap().in_phase(name)
        };
        let first = report(90.0, None, "compile");
        assert_eq!(first.message.as_deref(), Some("compile"));
        let second = Progress::merged(Some(&first), report(10.0, Some("a.o"), "link")).unwrap();
        assert_eq!((second.phase, second.message.as_deref()), (1, Some("link: a.o")));
        let third = Progress::merged(Some(&second), report(20.0, None, "link")).unwrap();
        assert_eq!(third.phase, 1);
        let higher = Progress::merged(Some(&third), report(95.0, None, "test")).unwrap();
        assert_eq!(higher.phase, 2, "another name is another phase, wherever the bar is");
    }

    #[test]
    fn the_more_trusted_source_wins_and_a_drop_is_a_new_phase() {
        let reported = Progress::reported(Some(50.0), Some("linking")).unwrap();
        assert_eq!(Progress::merged(Some(&reported), terminal(Some(80.0))), None);
        let read = Progress { source: Source::Output, ..terminal(Some(80.0)) };
        assert_eq!(Progress::merged(Some(&reported), read.clone()), None);
        assert_eq!(Progress::merged(Some(&terminal(Some(80.0))), read.clone()), None);
        let drawn = Progress::merged(Some(&read), terminal(Some(30.0))).unwrap();
        assert_eq!((drawn.source, drawn.percent), (Source::Terminal, Some(30.0)));
        let over = Progress::merged(Some(&terminal(Some(80.0))), reported.clone()).unwrap();
        assert_eq!((over.percent, over.phase), (Some(50.0), 1));
        let same = Progress::merged(Some(&reported), reported.clone());
        assert_eq!(same, None);
        let further = Progress::reported(Some(60.0), None).unwrap();
        let kept = Progress::merged(Some(&reported), further).unwrap();
        assert_eq!(kept.message.as_deref(), Some("linking"));
    }
}
