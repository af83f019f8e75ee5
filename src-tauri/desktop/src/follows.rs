//! Which logs the window follows, so that each following can be ended.
//!
//! The page numbers them upwards, a reloaded one too. Calls may arrive in
//! another order than they were made: a following can be ended before it began.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The followings of the window.
#[derive(Default)]
pub(crate) struct Follows(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// What ends each: its receiver hears that the sender is gone.
    going: HashMap<u64, oneshot::Sender<()>>,
    /// Ended before they began.
    unwanted: BTreeSet<u64>,
    /// The highest number that began.
    highest: u64,
}

impl Follows {
    /// Begins a following, and returns what hears its end; nothing when it is unwanted already.
    pub(crate) fn begin(&self, follow: u64) -> Option<oneshot::Receiver<()>> {
        let mut inner = self.lock();
        inner.highest = inner.highest.max(follow);
        if inner.unwanted.remove(&follow) {
            return None;
        }
        let (stop, stopped) = oneshot::channel();
        inner.going.insert(follow, stop);
        Some(stopped)
    }

    /// Ends a following, also one that is yet to begin.
    pub(crate) fn end(&self, follow: u64) {
        let mut inner = self.lock();
        // One that began and is not going has ended by itself.
        if inner.going.remove(&follow).is_none() && follow > inner.highest {
            inner.unwanted.insert(follow);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn a_following_ends_whether_its_end_comes_late_or_early() {
        let follows = Follows::default();
        let mut first = follows.begin(1).unwrap();
        assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
        follows.end(1);
        assert_eq!(first.try_recv(), Err(TryRecvError::Closed));
        follows.end(3);
        assert!(follows.begin(3).is_none(), "ended before it began");
        let mut second = follows.begin(2).unwrap();
        follows.end(2);
        follows.end(2);
        assert_eq!(second.try_recv(), Err(TryRecvError::Closed));
        assert!(follows.lock().unwanted.is_empty(), "an end that comes twice is not kept");
    }
}
