//! The two clocks of the shim, and the one timer that wakes it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use nod_core::ids::Timestamp;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};

/// Returns the wall clock's time.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// Milliseconds since the machine booted. Goes on while the machine sleeps, and never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    pub(crate) fn now() -> Self {
        let time = rustix::time::clock_gettime(ClockId::Boottime);
        let milliseconds = time.tv_sec * 1000 + time.tv_nsec / 1_000_000;
        Self(u64::try_from(milliseconds).unwrap_or(0))
    }

    pub(crate) fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

/// A clock that is this much off what has passed, in milliseconds, was set.
const JUMP_MS: u64 = 2_000;

/// One moment by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) wall: Timestamp,
    pub(crate) boot: Moment,
}

impl Reading {
    pub(crate) fn now() -> Self {
        Self { wall: now(), boot: Moment::now() }
    }

    /// Returns when this was by the wall clock as it stood at `later`: another time than it told
    /// then, where it was set in between.
    pub(crate) fn as_of(self, later: Self) -> Timestamp {
        let passed = later.boot.0.saturating_sub(self.boot.0);
        let then = later.wall.moved(-i64::try_from(passed).unwrap_or(i64::MAX));
        if then.0.abs_diff(self.wall.0) < JUMP_MS { self.wall } else { then }
    }
}

/// Becomes readable at one moment at a time.
pub(crate) struct Alarm {
    timer: OwnedFd,
    set_to: Option<Moment>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Boottime, flags)?;
        Ok(Self { timer, set_to: None })
    }

    /// Moves the alarm; `None` turns it off.
    pub(crate) fn set(&mut self, to: Option<Moment>) -> io::Result<()> {
        if to == self.set_to {
            return Ok(());
        }
        // A zero would turn the timer off, and a second too far is refused.
        let milliseconds = to.map_or(0, |moment| moment.0.clamp(1, u64::from(u32::MAX) * 1000));
        let value = Timespec {
            tv_sec: i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(milliseconds % 1000).unwrap_or(0) * 1_000_000,
        };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval: never, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &timer)?;
        self.set_to = to;
        Ok(())
    }

    /// Makes a ringing alarm silent, so that it can be set to the same moment again.
    pub(crate) fn silence(&mut self) {
        let mut count = [0; 8];
        // An alarm that was moved meanwhile has nothing to read.
        rustix::io::read(&self.timer, &mut count).ok();
        self.set_to = None;
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_by_the_clock_as_it_stands_now() {
        let reading = |wall, boot| Reading { wall: Timestamp(wall), boot: Moment(boot) };
        let start = reading(1_000_000, 500);
        let cases = [
            ("a minute later", reading(1_060_000, 60_500), 1_000_000),
            ("the clock is kept right", reading(1_061_500, 60_500), 1_000_000),
            ("set on by an hour", reading(4_660_000, 60_500), 4_600_000),
            ("set back by a day", reading(-85_340_000, 60_500), -85_400_000),
        ];
        for (name, later, expected) in cases {
            assert_eq!(start.as_of(later), Timestamp(expected), "{name}");
        }
    }
}
