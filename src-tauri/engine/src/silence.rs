//! The watch over one task's silence: whether it may be waiting for somebody to type.
//!
//! Silence alone says nothing. Once a task has printed nothing for a while, its last line is
//! looked at, once.

use std::path::Path;
use std::time::Duration;

use nod_core::prompt;
use tokio::time::Instant;

use crate::logs;

/// How much of the end of a log is looked at for its last line.
const TAIL: usize = 4096;
/// The longest line that is shown, in characters.
const LINE: usize = 200;

pub(crate) struct Silence {
    after: Duration,
    /// When to look; nothing when that was done, or is not to be done.
    at: Option<Instant>,
    /// How much had been printed when it was looked at last.
    looked_at: u64,
    /// The task was said to ask.
    told: bool,
    /// What an earlier host said that it asks, until it is known whether it still does.
    earlier: Option<String>,
    paused: bool,
}

impl Silence {
    /// Returns a watch that looks after this time; over a task that was said to ask `earlier`, if
    /// an earlier host said so.
    pub(crate) fn new(after: Duration, earlier: Option<String>) -> Self {
        Self { after, at: None, looked_at: 0, told: earlier.is_some(), earlier, paused: false }
    }

    /// Sleeps until it is time to look; for ever when it is not.
    pub(crate) async fn over(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Notes that the task has printed so much by now, and returns whether it was said to ask and
    /// goes on. What it had printed before this host came is nothing new; nor is what was there when
    /// it was looked at, of which the shim may tell later.
    pub(crate) fn broken(&mut self, size: u64, log: &Path) -> bool {
        if size <= self.looked_at {
            return false;
        }
        if let Some(earlier) = self.earlier.take()
            && question(log).1.as_ref() == Some(&earlier)
        {
            return false;
        }
        self.at = (!self.paused).then(|| Instant::now() + self.after);
        std::mem::take(&mut self.told)
    }

    /// Notes that the task halts, and so prints nothing, or goes on.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.at = (!paused && !self.told).then(|| Instant::now() + self.after);
    }

    /// Returns the question that the task seems to ask.
    pub(crate) fn look(&mut self, log: &Path) -> Option<String> {
        self.at = None;
        let (size, question) = question(log);
        self.looked_at = size;
        self.told |= question.is_some();
        question
    }
}

/// Returns how long a log is, and its last line where that looks like a question.
fn question(log: &Path) -> (u64, Option<String>) {
    let Ok((offset, bytes)) = logs::read_tail(log, TAIL) else { return (0, None) };
    let text = strip_ansi_escapes::strip_str(String::from_utf8_lossy(&bytes));
    let line = prompt::last_line(&text).filter(|line| prompt::asks(line)).map(|line| {
        let start = line.char_indices().rev().nth(LINE - 1).map_or(0, |(at, _)| at);
        line[start..].to_owned()
    });
    (offset + bytes.len() as u64, line)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const AFTER: Duration = Duration::from_secs(45);

    /// Tells a watch of all that is in a log.
    fn broken(silence: &mut Silence, log: &Path) -> bool {
        silence.broken(fs::metadata(log).unwrap().len(), log)
    }

    #[test]
    fn a_line_that_seems_to_ask_is_told_once_it_is_followed_by_silence_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("out.log");
        let mut silence = Silence::new(AFTER, None);
        assert_eq!(silence.at, None, "what has printed nothing asks nothing");
        let mut printed = String::new();
        for _ in 0..100 {
            let now = Instant::now();
            printed.push_str("Continue? [y/n] ");
            fs::write(&log, &printed).unwrap();
            assert!(!broken(&mut silence, &log), "nothing was told");
            // Each look is put off by what is printed.
            assert!(silence.at.unwrap() >= now + AFTER);
        }
        assert!(silence.look(&log).is_some_and(|line| line.ends_with("Continue? [y/n]")));
        assert_eq!(silence.at, None, "looked at once");
        // The task answered that itself, and asks again: that is another question.
        printed.push_str("y\nOverwrite? ");
        fs::write(&log, &printed).unwrap();
        assert!(broken(&mut silence, &log), "what was told is taken back");
        assert!(!broken(&mut silence, &log), "once");
        assert_eq!(silence.look(&log).as_deref(), Some("Overwrite?"));
    }

    #[test]
    fn what_was_looked_at_before_it_was_told_of_is_nothing_new() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("out.log");
        fs::write(&log, "written\n").unwrap();
        let mut silence = Silence::new(AFTER, None);
        assert!(!broken(&mut silence, &log));
        fs::write(&log, "written\nOverwrite? (y/n) ").unwrap();
        assert_eq!(silence.look(&log).as_deref(), Some("Overwrite? (y/n)"));
        assert!(!broken(&mut silence, &log), "it still asks");
        assert_eq!(silence.at, None, "looked at once");
        fs::write(&log, "written\nOverwrite? (y/n) y\n").unwrap();
        assert!(broken(&mut silence, &log), "it goes on");
    }

    #[test]
    fn a_task_that_halts_is_not_silent_until_it_goes_on() {
        let log = Path::new("/nowhere").to_owned();
        let mut silence = Silence::new(AFTER, None);
        silence.broken(1, &log);
        silence.pause(true);
        assert_eq!(silence.at, None);
        silence.broken(2, &log);
        assert_eq!(silence.at, None);
        let now = Instant::now();
        silence.pause(false);
        assert!(silence.at.unwrap() >= now + AFTER);
    }

    #[test]
    fn silence_after_no_question_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("out.log");
        fs::write(&log, "Continue? [y/n] y\ncompiling\n").unwrap();
        let mut silence = Silence::new(AFTER, None);
        broken(&mut silence, &log);
        assert_eq!((silence.look(&log), silence.at), (None, None));
        assert!(!broken(&mut silence, &log));
    }
}
