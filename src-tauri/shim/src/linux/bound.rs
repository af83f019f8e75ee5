//! Keeping the log within its bound: past it, the oldest part of the file is given back to the
//! disk.
//!
//! The file becomes sparse and keeps its length, so every offset stays valid. The head stays, as
//! it says what was begun, and so does the end.

use std::fs::File;

use nod_core::shim::{LEAST_LOG_LIMIT, LOG_HEAD};
use rustix::fs::FallocateFlags;

/// Holes begin and end here, or a part of a block would be written instead of given back.
const BLOCK: u64 = 4096;
/// The most that is kept beyond what must be, so that not every piece makes a hole of its own.
const MOST_SLACK: u64 = 16 * 1024 * 1024;

/// Which part of a log is no longer on the disk.
pub(crate) struct Bound {
    /// How much of the end is kept; nothing where the log has no bound.
    tail: Option<u64>,
    slack: u64,
    hole_end: u64,
    /// The file system makes no holes.
    lost: bool,
}

impl Bound {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        let limit = limit.map(|limit| limit.max(LEAST_LOG_LIMIT));
        let slack = limit.map_or(0, |limit| (limit / 16).min(MOST_SLACK));
        let tail = limit.map(|limit| limit - LOG_HEAD - slack);
        Self { tail, slack, hole_end: LOG_HEAD, lost: false }
    }

    /// Gives back what the log may not keep now that it has `size` bytes.
    pub(crate) fn keep(&mut self, log: &File, size: u64) {
        let Some(hole) = self.due(size) else { return };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(log, flags, hole.start, hole.end - hole.start) {
            Ok(()) => self.hole_end = hole.end,
            Err(rustix::io::Errno::INTR) => {}
            // A file system without holes: the output is worth more than its bound.
            Err(_) => (self.tail, self.lost) = (None, true),
        }
    }

    /// Returns whether the log grows past its bound, since nothing of it can be given back.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    fn due(&self, size: u64) -> Option<std::ops::Range<u64>> {
        let tail_start = size.checked_sub(self.tail?)?;
        let end = tail_start - tail_start % BLOCK;
        (end >= self.hole_end + self.slack.max(BLOCK)).then_some(self.hole_end..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_grow_in_whole_blocks_and_leave_head_and_tail() {
        let mut bound = Bound::new(Some(LEAST_LOG_LIMIT));
        let slack = LEAST_LOG_LIMIT / 16;
        assert_eq!(bound.due(LEAST_LOG_LIMIT - 1), None);
        let first = bound.due(LEAST_LOG_LIMIT + 5).unwrap();
        assert_eq!((first.start, first.end), (LOG_HEAD, LOG_HEAD + slack));
        bound.hole_end = first.end;
        assert_eq!(bound.due(LEAST_LOG_LIMIT + 5), None);
        let far = bound.due(1 << 40).unwrap();
        assert_eq!((far.start, far.end % BLOCK), (first.end, 0));
        assert!((1_u64 << 40) - far.end <= LEAST_LOG_LIMIT - LOG_HEAD);
    }

    #[test]
    fn a_log_without_a_bound_and_one_that_is_small_keep_everything() {
        assert_eq!(Bound::new(None).due(u64::MAX), None);
        assert_eq!(Bound::new(Some(1)).due(LEAST_LOG_LIMIT - 1), None);
    }
}
