//! What the task prints: on its way into the log, or written there by the task itself, and when
//! to say how large the log is.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::clock::Moment;
use super::copying::{Copying, Flow};
use super::direct::Direct;

/// Ten announcements a second.
const QUIET_MS: u64 = 100;

/// The task's output.
pub(crate) struct Output {
    way: Way,
    announced: u64,
    quiet_until: Moment,
}

enum Way {
    Copied(Copying),
    Direct(Direct),
}

impl Output {
    /// Returns output that this process copies from `source` into the log.
    pub(crate) fn copied(
        source: OwnedFd,
        terminal: Option<OwnedFd>,
        (log, limit): (File, Option<u64>),
        now: Moment,
    ) -> Self {
        Self::on(Way::Copied(Copying::new(source, terminal, log, limit)), now)
    }

    /// Returns output that the task writes into the log by itself.
    pub(crate) fn direct((log, limit): (File, Option<u64>), now: Moment) -> Self {
        Self::on(Way::Direct(Direct::new(log, limit, now)), now)
    }

    fn on(way: Way, now: Moment) -> Self {
        let mut output = Self { way, announced: 0, quiet_until: now };
        output.announced = output.size();
        output
    }

    /// Returns the size of the log.
    pub(crate) fn size(&self) -> u64 {
        match &self.way {
            Way::Copied(copying) => copying.size(),
            Way::Direct(direct) => direct.size(),
        }
    }

    pub(crate) fn is_unbounded(&self) -> bool {
        match &self.way {
            Way::Copied(copying) => copying.is_unbounded(),
            Way::Direct(direct) => direct.is_unbounded(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        match &self.way {
            Way::Copied(copying) => copying.is_full(),
            // The task hears it from its own write.
            Way::Direct(_) => false,
        }
    }

    /// Returns what to wait on. Nothing on a full disk: the writer has to wait.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        match &self.way {
            Way::Copied(copying) => copying.source(),
            Way::Direct(direct) => direct.source(),
        }
    }

    pub(crate) fn is_due(&self, now: Moment) -> bool {
        let at = match &self.way {
            Way::Copied(copying) => copying.retry_at(),
            Way::Direct(direct) => direct.next_moment(),
        };
        at.is_some_and(|at| at <= now)
    }

    /// Takes in what is there, one piece at most.
    pub(crate) fn take(&mut self, now: Moment) -> Flow {
        match &mut self.way {
            Way::Copied(copying) => copying.copy(now),
            Way::Direct(direct) => {
                direct.look(now);
                Flow::Empty
            }
        }
    }

    /// Takes in what is there, but not much more than `limit` bytes, when the task is over.
    pub(crate) fn drain(&mut self, now: Moment, limit: u64) -> Flow {
        match &mut self.way {
            Way::Copied(copying) => copying.drain(now, limit),
            Way::Direct(direct) => {
                direct.look(now);
                Flow::Closed
            }
        }
    }

    /// Returns the size to announce now, if there is something new and enough time has passed.
    pub(crate) fn announcement(&mut self, now: Moment) -> Option<u64> {
        if self.size() == self.announced || now < self.quiet_until {
            return None;
        }
        self.quiet_until = now.plus(QUIET_MS);
        self.last_announcement()
    }

    /// Returns the size if it was not announced yet.
    pub(crate) fn last_announcement(&mut self) -> Option<u64> {
        let size = self.size();
        let is_news = size != self.announced;
        self.announced = size;
        is_news.then_some(size)
    }

    /// Returns when this needs the clock next.
    pub(crate) fn next_moment(&self) -> Option<Moment> {
        let announce_at = (self.size() != self.announced).then_some(self.quiet_until);
        let way = match &self.way {
            Way::Copied(copying) => copying.retry_at(),
            Way::Direct(direct) => direct.next_moment(),
        };
        announce_at.into_iter().chain(way).min()
    }
}
