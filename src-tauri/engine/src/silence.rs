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
        Self { after, at: None, told: earlier.is_some(), earlier, paused: false }
    }

    /// Sleeps until it is time to look; for ever when it is not.
    pub(crate) async fn over(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Notes that the task has printed something, and returns whether it was said to ask and goes
    /// on. What it had printed before this host came is nothing new.
    pub(crate) fn broken(&mut self, log: &Path) -> bool {
        if let Some(earlier) = self.earlier.take()
            && question(log).as_ref() == Some(&earlier)
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
        let question = question(log)?;
        self.told = true;
        Some(question)
    }
}

/// Returns the last line of a log where it looks like a question.
fn question(log: &Path) -> Option<String> {
    let (_, bytes) = logs::read_tail(log, TAIL).ok()?;
    let text = strip_ansi_escapes::strip_str(String::from_utf8_lossy(&bytes));
    let line = prompt::last_line(&text).filter(|line| prompt::asks(line))?;
    let start = line.char_indices().rev().nth(LINE - 1).map_or(0, |(at, _)| at);
    Some(line[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const AFTER: Duration = Duration::from_secs(45);

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
            assert!(!silence.broken(&log), "nothing was told");
            // Each look is put off by what is printed.
            assert!(silence.at.unwrap() >= now + AFTER);
        }
        assert!(silence.look(&log).is_some_and(|line| line.ends_with("Continue? [y/n]")));
        assert_eq!(silence.at, None, "looked at once");
        // The task answered that itself, and asks again: that is another question.
        printed.push_str("y\nOverwrite? ");
        fs::write(&log, &printed).unwrap();
        assert!(silence.broken(&log), "what was told is taken back");
        assert!(!silence.broken(&log), "once");
        assert_eq!(silence.look(&log).as_deref(), Some("Overwrite?"));
    }

    #[test]
    fn a_task_that_halts_is_not_silent_until_it_goes_on() {
        let log = Path::new("/nowhere").to_owned();
        let mut silence = Silence::new(AFTER, None);
        silence.broken(&log);
        silence.pause(true);
        assert_eq!(silence.at, None);
        silence.broken(&log);
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
        silence.broken(&log);
        assert_eq!((silence.look(&log), silence.at), (None, None));
        assert!(!silence.broken(&log));
    }
}
