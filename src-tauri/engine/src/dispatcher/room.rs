//! Starts that come to nothing for want of room on the disk, or of something else that comes back:
//! the task stays queued, and no other is started until there is some.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nod_core::ids::TaskId;
use nod_core::task::{Failure, Outcome, SpawnError};

use super::Dispatcher;
use super::turn::Turn;

/// How soon it is looked for room again.
const LOOK: Duration = Duration::from_secs(1);

/// The longest pause between two starts that come to nothing though room was found.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether there is room for starts.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// When to look for it; nothing while there is some.
    look_at: Option<Instant>,
    /// Grows with each start that comes to nothing.
    pause: Duration,
    /// The tasks that are shown to wait for it.
    short: BTreeSet<TaskId>,
}

impl Room {
    /// Returns whether no task is to be started now.
    pub(super) fn is_short(&self) -> bool {
        self.look_at.is_some()
    }

    /// Returns when to look for room again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.look_at
    }

    /// Notes that a start worked.
    pub(super) fn worked(&mut self) {
        self.pause = Duration::ZERO;
    }
}

impl Dispatcher {
    /// Notes that a start came to nothing.
    pub(super) fn no_room(&mut self, id: TaskId, error: Option<SpawnError>, turn: &Turn) {
        let message = error.as_ref().map_or("", |error| error.message.as_str());
        tracing::warn!(task = id.0, "no room to start a task: {message}");
        let now = turn.now;
        self.change_attempt(id, |row| {
            row.ended_at = Some(now);
            let failure = error.map(|error| Failure::Spawn { error });
            row.outcome = failure.map(|failure| Outcome::Failed { failure });
        });
        self.tokens.revoke(id);
        // Those that were started at the same time say nothing more.
        if !self.room.is_short() {
            self.room.pause = (self.room.pause * 2).clamp(LOOK, LONGEST);
            self.room.look_at = Some(Instant::now() + self.room.pause);
        }
        self.room.short.insert(id);
        self.note_disk(id, true);
    }

    /// Looks for room where some is missing and it is time to.
    pub(super) fn look_for_room(&mut self, now: Instant) {
        if self.room.look_at.is_none_or(|at| now < at) {
            return;
        }
        if !self.effects.has_room() {
            self.room.look_at = Some(now + LOOK);
            return;
        }
        self.room.look_at = None;
        for id in std::mem::take(&mut self.room.short) {
            self.note_disk(id, false);
        }
    }
}
