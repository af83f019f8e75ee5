//! The ladder of signals as a pure function of time.
//!
//! Decides which rung is due; [`super::stopping`] carries it out.

use crate::contract::shim::ShimStop;

use super::clock::Moment;

/// How soon to look again whether a killed process is gone. Its end usually says so earlier.
const FIRST_LOOK_MS: u64 = 10;
const LAST_LOOK_MS: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rung {
    Interrupt,
    Terminate,
    Kill,
}

impl Rung {
    pub(crate) fn signal_name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::Kill => "SIGKILL",
        }
    }
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A rung that was not reached before.
    Climb(Rung),
    /// Kill again: something was born meanwhile, or takes its time.
    KillAgain,
}

/// Where the ending of a task stands.
#[derive(Debug)]
pub(crate) struct Ladder {
    pub(crate) cause: ShimStop,
    grace_ms: u64,
    rung: Option<Rung>,
    next_at: Moment,
    look_ms: u64,
    killed_at: Option<Moment>,
}

impl Ladder {
    /// Returns a ladder whose first rung is due at once.
    pub(crate) fn new(cause: ShimStop, grace_ms: u64, now: Moment) -> Self {
        Self { cause, grace_ms, rung: None, next_at: now, look_ms: FIRST_LOOK_MS, killed_at: None }
    }

    /// Returns what is due, and takes it as done.
    pub(crate) fn step(&mut self, now: Moment, main_ended: bool) -> Option<Step> {
        // SIGINT is for the main process: without it the others need not wait for SIGTERM.
        let skips_ahead = main_ended && self.rung.is_none_or(|rung| rung < Rung::Terminate);
        if now < self.next_at && !skips_ahead {
            return None;
        }
        let next = match self.rung {
            None if main_ended => Rung::Terminate,
            None => Rung::Interrupt,
            Some(Rung::Interrupt) => Rung::Terminate,
            Some(Rung::Terminate) => Rung::Kill,
            Some(Rung::Kill) => {
                self.next_at = now.plus(self.look_ms);
                self.look_ms = (self.look_ms * 2).min(LAST_LOOK_MS);
                return Some(Step::KillAgain);
            }
        };
        self.rung = Some(next);
        if next == Rung::Kill {
            self.killed_at = Some(now);
            self.next_at = now.plus(self.look_ms);
        } else {
            self.next_at = now.plus(self.grace_ms);
        }
        Some(Step::Climb(next))
    }

    pub(crate) fn next_moment(&self) -> Moment {
        self.next_at
    }

    /// Returns how long the processes have from a rung to the next; none follows the last.
    pub(crate) fn grace_after(&self, rung: Rung) -> Option<u64> {
        (rung != Rung::Kill).then_some(self.grace_ms)
    }

    /// Returns since when SIGKILL has been sent.
    pub(crate) fn killed_at(&self) -> Option<Moment> {
        self.killed_at
    }
}
