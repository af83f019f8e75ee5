//! Waiting for conditions.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Returns what `look` finds, as soon as it finds something.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(BETWEEN_LOOKS);
    }
}

/// Waits until `look` returns `expected`; says what it returned instead.
#[track_caller]
pub fn until_equal<T: PartialEq + Debug>(what: &str, expected: &T, mut look: impl FnMut() -> T) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = look();
        if found == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}: it is {found:?}");
        thread::sleep(BETWEEN_LOOKS);
    }
}

/// Gives a condition some time, and returns whether it came: for tidying up, which fails nothing, and
/// for who has more to say than that they waited in vain.
pub fn within(patience: Duration, mut look: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if look() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}
