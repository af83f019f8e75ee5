//! Wakes the dispatcher at a time of day, also after the machine has slept or its clock was set.
//!
//! The dispatcher's own waiting counts a clock that stands still while the machine sleeps.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nod_core::ids::Timestamp;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Where nothing is due: so late that it is never, since only an alarm that is set hears of a clock
/// that is set. In the year 2223.
const NEVER: Timestamp = Timestamp(8_000_000_000_000);

/// One moment of the wall clock at a time.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: Arc<OwnedFd>,
    set_to: Option<Timestamp>,
}

/// The end of an alarm that hears it.
pub(crate) struct Rings {
    timer: AsyncFd<Arc<OwnedFd>>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = Arc::new(timerfd_create(TimerfdClockId::Realtime, flags)?);
        Ok(Self { timer, set_to: None })
    }

    /// Moves the alarm; where nothing is due it rings only when the clock is set.
    pub(crate) fn set(&mut self, to: Option<Timestamp>) -> io::Result<()> {
        let to = to.unwrap_or(NEVER);
        if self.set_to == Some(to) {
            return Ok(());
        }
        // A zero would turn it off.
        let at = to.0.max(1);
        let value = Timespec { tv_sec: at / 1000, tv_nsec: at % 1000 * 1_000_000 };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval: never, it_value: value };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&*self.timer, flags, &timer)?;
        self.set_to = Some(to);
        Ok(())
    }

    /// Forgets where the alarm was set to, so that it can be set there again.
    pub(crate) fn has_rung(&mut self) {
        self.set_to = None;
    }

    /// Returns the end that hears it. Needs a tokio runtime around it.
    pub(crate) fn rings(&self) -> io::Result<Rings> {
        #[expect(
            unsafe_code,
            reason = "tokio cannot tell by itself that a descriptor stays what it is"
        )]
        // SAFETY: an OwnedFd is open until it is dropped, and always the same.
        let timer = unsafe { AsyncFd::register(Arc::clone(&self.timer)) };
        Ok(Rings { timer: timer.map_err(io::Error::from)? })
    }
}

impl Rings {
    /// Returns when it rings, or when somebody sets the clock.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        let mut ready = self.timer.readable().await?;
        let mut count = [0; 8];
        // A clock that was set is told as an error, which is news as well.
        rustix::io::read(&**self.timer.get_ref(), &mut count).ok();
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd as _;
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[tokio::test]
    async fn it_rings_at_its_time_and_not_once_it_is_off() {
        let mut alarm = Alarm::new().unwrap();
        let mut rings = alarm.rings().unwrap();
        let at = clock::now().plus(30);
        alarm.set(Some(at)).unwrap();
        rings.next().await.unwrap();
        assert!(clock::now() >= at);
        alarm.has_rung();
        alarm.set(Some(clock::now().plus(20))).unwrap();
        alarm.set(None).unwrap();
        let off = tokio::time::timeout(Duration::from_millis(60), rings.next()).await;
        assert!(off.is_err());
        // What has passed rings at once.
        alarm.set(Some(Timestamp(1))).unwrap();
        rings.next().await.unwrap();
    }

    /// As far as it goes without a machine that sleeps: what the system was told, as
    /// proc_pid_fdinfo(5) has it.
    #[test]
    fn it_goes_by_the_time_of_day_and_hears_of_a_clock_that_is_set() {
        for to in [Some(clock::now().plus(60_000)), None] {
            let mut alarm = Alarm::new().unwrap();
            alarm.set(to).unwrap();
            let told = format!("/proc/self/fdinfo/{}", alarm.timer.as_raw_fd());
            let told = fs::read_to_string(told).unwrap();
            let field = |name: &str| {
                let value = told.lines().find_map(|line| line.strip_prefix(name));
                value.map(str::trim).unwrap_or_default().to_owned()
            };
            // CLOCK_REALTIME, with TFD_TIMER_ABSTIME and TFD_TIMER_CANCEL_ON_SET, in octal.
            assert_eq!((field("clockid:"), field("settime flags:")), ("0".into(), "03".into()));
            // Only one that is set hears of it.
            assert_ne!(field("it_value:"), "(0, 0)", "{to:?}");
        }
    }
}
