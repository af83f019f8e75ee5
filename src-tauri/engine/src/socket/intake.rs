//! What clients send before it is a whole message, and how many of them there are: bounded for all
//! of them together.
//!
//! A short line takes nothing. A long one waits until there is room for the longest message, and
//! keeps it until its call is carried out; whoever has that room and does not end its line makes
//! way for the others that wait. Where there is no place for one more connection, those go that
//! never said who they are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use nod_core::protocol::{ErrorCode, ErrorReply, HostMessage, MESSAGE_LIMIT};
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::outbox::line_of;

/// Up to so many bytes a line needs no room, and its buffer is kept for the next.
pub(super) const SHORT_LINE: usize = 8 << 10;

/// How many messages of the greatest length are taken in at once.
const LONG_LINES: usize = 32;

/// How many connections there are at the most.
const CONNECTIONS: usize = 4_096;

/// How long others wait for a line to end, or for a connection to say hello, and how often that is
/// looked at.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(100);

/// The room for what comes in, shared by the connections of a host. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    lines: Arc<Semaphore>,
    places: Arc<Semaphore>,
    guests: Arc<Mutex<Vec<Weak<Guest>>>>,
}

/// One connection, for as long as it is there.
#[derive(Debug)]
pub(super) struct Guest {
    since: Instant,
    greeted: AtomicBool,
    /// Since when a long line may come whole.
    reads_since: Mutex<Option<Instant>>,
    cut_off: Notify,
    _place: OwnedSemaphorePermit,
}

/// Room for one long line.
#[derive(Debug)]
pub(super) struct LineRoom {
    _room: OwnedSemaphorePermit,
}

impl Intake {
    /// Returns what is taken in by a process that may have so many files open.
    pub(super) fn of(open_files: u64) -> Self {
        let places = usize::try_from(open_files / 2).unwrap_or(CONNECTIONS).clamp(1, CONNECTIONS);
        Self {
            lines: Arc::new(Semaphore::new(LONG_LINES)),
            places: Arc::new(Semaphore::new(places)),
            guests: Arc::default(),
        }
    }

    /// Returns the place of a new connection; nothing where there is none.
    pub(super) async fn admit(&self) -> Option<Arc<Guest>> {
        let free = Arc::clone(&self.places);
        let place = match Arc::clone(&free).try_acquire_owned() {
            Ok(place) => place,
            // Their places are free a moment later.
            Err(_) if self.cut_off(Guest::says_nothing) => {
                tokio::time::timeout(LOOK, free.acquire_owned()).await.ok()?.ok()?
            }
            Err(_) => return None,
        };
        let guest = Arc::new(Guest {
            since: Instant::now(),
            greeted: AtomicBool::new(false),
            reads_since: Mutex::default(),
            cut_off: Notify::new(),
            _place: place,
        });
        let mut guests = locked(&self.guests);
        if guests.len().is_power_of_two() {
            guests.retain(|guest| guest.strong_count() > 0);
        }
        guests.push(Arc::downgrade(&guest));
        Some(guest)
    }

    /// Waits until a long line of a connection has room.
    pub(super) async fn room(&self, guest: &Guest) -> LineRoom {
        let free = Arc::clone(&self.lines).acquire_owned();
        let mut free = std::pin::pin!(free);
        let room = loop {
            match tokio::time::timeout(LOOK, &mut free).await {
                Ok(room) => break room.expect("this is never closed"),
                Err(_elapsed) => drop(self.cut_off(Guest::keeps_others_waiting)),
            }
        };
        *locked(&guest.reads_since) = Some(Instant::now());
        LineRoom { _room: room }
    }

    /// Cuts off those that are to go, and returns whether there are any.
    fn cut_off(&self, is_to_go: impl Fn(&Guest) -> bool) -> bool {
        let guests = locked(&self.guests);
        let mut leaving = guests.iter().filter_map(Weak::upgrade).filter(|guest| is_to_go(guest));
        leaving.by_ref().map(|guest| guest.cut_off.notify_one()).count() > 0
    }
}

impl Guest {
    /// Returns once this connection has to go, because others have no room any more.
    pub(super) async fn cut_off(&self) {
        self.cut_off.notified().await;
    }

    pub(super) fn greet(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    /// Notes that a line has come to its end.
    pub(super) fn line_ended(&self) {
        *locked(&self.reads_since) = None;
    }

    fn says_nothing(&self) -> bool {
        !self.greeted.load(Ordering::Relaxed) && self.since.elapsed() >= PATIENCE
    }

    fn keeps_others_waiting(&self) -> bool {
        locked(&self.reads_since).is_some_and(|since| since.elapsed() >= PATIENCE)
    }
}

/// Tells a client that there are too many, as far as that can be said without waiting for it.
pub(super) fn refuse_at_once(stream: &UnixStream) {
    tracing::warn!("refused a connection: there are too many");
    let error = ErrorReply::new(ErrorCode::Busy, "this host has as many connections as it takes");
    let line = line_of(&HostMessage::error(None, error));
    if let Err(error) = stream.try_write(&line) {
        tracing::debug!("failed to say so: {error}");
    }
}

const _: () = assert!(SHORT_LINE < MESSAGE_LIMIT);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_cut_off(guest: &Guest) -> bool {
        use std::future::Future as _;
        let waker = std::task::Waker::noop();
        let cut_off = std::pin::pin!(guest.cut_off());
        cut_off.poll(&mut std::task::Context::from_waker(waker)).is_ready()
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(PATIENCE * 2).unwrap()
    }

    #[tokio::test]
    async fn who_does_not_end_its_line_makes_way_and_who_does_keeps_its_room() {
        let intake = Intake::of(100);
        let (slow, quick, next) =
            (intake.admit().await, intake.admit().await, intake.admit().await);
        let (slow, quick, next) = (slow.unwrap(), quick.unwrap(), next.unwrap());
        let mut rooms = vec![intake.room(&slow).await, intake.room(&quick).await];
        while rooms.len() < LONG_LINES {
            rooms.push(intake.room(&quick).await);
        }
        *locked(&slow.reads_since) = Some(long_ago());
        *locked(&quick.reads_since) = Some(long_ago());
        // Its call is still carried out.
        quick.line_ended();
        let waiting = tokio::time::timeout(LOOK * 3, intake.room(&next)).await;
        assert!(waiting.is_err(), "there is no room yet");
        assert!(is_cut_off(&slow) && !is_cut_off(&quick) && !is_cut_off(&next));
        rooms.remove(0);
        drop(intake.room(&next).await);
    }

    #[tokio::test]
    async fn those_who_never_say_hello_make_way_for_one_more() {
        let intake = Intake::of(6);
        let mut guests = Vec::new();
        for _ in 0..3 {
            guests.push(intake.admit().await.unwrap());
        }
        assert!(intake.admit().await.is_none());
        assert!(!guests.iter().any(|guest| is_cut_off(guest)), "they have just come");
        let longer = |guest: Arc<Guest>| {
            let mut guest = Arc::into_inner(guest).unwrap();
            guest.since = long_ago();
            Arc::new(guest)
        };
        let guests: Vec<_> = guests.into_iter().map(longer).collect();
        *locked(&intake.guests) = guests.iter().map(Arc::downgrade).collect();
        guests[0].greet();
        assert!(intake.admit().await.is_none(), "none of them has gone yet");
        let cut_off: Vec<_> = guests.iter().map(|guest| is_cut_off(guest)).collect();
        assert_eq!(cut_off, [false, true, true]);
        drop(guests);
        assert!(intake.admit().await.is_some());
    }
}
