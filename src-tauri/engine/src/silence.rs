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
    /// The task was said to ask, as far as is known.
    told: bool,
    paused: bool,
}

impl Silence {
    /// Returns a watch that looks after this time. A task of an earlier host may have been said
    /// to ask by that.
    pub(crate) fn new(after: Duration, is_new: bool) -> Self {
        Self { after, at: None, told: !is_new, paused: false }
    }

    /// Sleeps until it is time to look; for ever when it is not.
    pub(crate) async fn over(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Notes that the task printed something, and returns whether it was said to ask.
    pub(crate) fn broken(&mut self) -> bool {
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
        let (_, bytes) = logs::read_tail(log, TAIL).ok()?;
        let text = strip_ansi_escapes::strip_str(String::from_utf8_lossy(&bytes));
        let line = prompt::last_line(&text).filter(|line| prompt::asks(line))?;
        self.told = true;
        let start = line.char_indices().rev().nth(LINE - 1).map_or(0, |(at, _)| at);
        Some(line[start..].to_owned())
    }
}
