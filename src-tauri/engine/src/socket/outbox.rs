//! What is on its way to clients: bounded for each connection, and for all of them together.
//!
//! A client that reads takes what is sent at once. The calls of one that does
//! not are carried out only as far as there is room for their replies. Where
//! such clients have taken all the room there is, the one that has taken
//! nothing for the longest is cut off.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use nod_core::protocol::{ErrorCode, ErrorReply, HostMessage, MESSAGE_LIMIT};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::lines::write_whole;

/// How many bytes wait for one client to read them, and for all of them.
const OF_ONE: usize = 2 * MESSAGE_LIMIT;
const OF_ALL: usize = 64 << 20;

/// A message of up to so many bytes takes nothing from what is there for all, as long as no more
/// than so many wait in such messages: whoever reads gets short replies, whatever others do.
const SHORT: usize = 16 << 10;
const OF_SHORT: usize = 32 << 10;

/// What a message takes at the least, for what is kept beside its bytes.
const LEAST: usize = 256;

/// How long a client may take nothing while others wait for room, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(100);

/// The room for all that waits to be read, shared by the connections of a host.
#[derive(Debug, Clone)]
pub(super) struct Rooms {
    bytes: Arc<Semaphore>,
    clients: Arc<Mutex<Vec<Weak<Client>>>>,
}

/// One client, for as long as it is connected.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Since when what was written last waits to be taken.
    waits_since: Mutex<Option<Instant>>,
    cut_off: Notify,
}

/// Room for one message.
#[derive(Debug)]
pub(super) struct Room {
    own: OwnedSemaphorePermit,
    _all: Option<OwnedSemaphorePermit>,
}

/// The way to one client. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    lines: UnboundedSender<(Vec<u8>, Room)>,
    short: Arc<Semaphore>,
    own: Arc<Semaphore>,
    rooms: Rooms,
}

/// What waits to be written to one client.
#[derive(Debug)]
pub(super) struct Unwritten {
    lines: UnboundedReceiver<(Vec<u8>, Room)>,
    pub(super) client: Arc<Client>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { bytes: Arc::new(Semaphore::new(OF_ALL)), clients: Arc::default() }
    }
}

impl Rooms {
    /// Returns the way to a new client, and what is to be written to it.
    pub(super) fn admit(&self) -> (Outbox, Unwritten) {
        let client = Arc::new(Client::default());
        let mut clients = locked(&self.clients);
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(&client));
        let (sender, lines) = unbounded_channel();
        let outbox = Outbox {
            lines: sender,
            short: Arc::new(Semaphore::new(OF_SHORT)),
            own: Arc::new(Semaphore::new(OF_ONE)),
            rooms: self.clone(),
        };
        (outbox, Unwritten { lines, client })
    }

    async fn take(&self, permits: u32) -> OwnedSemaphorePermit {
        let mut taken = std::pin::pin!(acquire(&self.bytes, permits));
        loop {
            match tokio::time::timeout(LOOK, &mut taken).await {
                Ok(permit) => return permit,
                Err(_elapsed) => self.cut_off_the_slowest(),
            }
        }
    }

    fn cut_off_the_slowest(&self) {
        let clients: Vec<_> = locked(&self.clients).iter().filter_map(Weak::upgrade).collect();
        let waiting = clients.iter().filter_map(|client| Some((client.waits()?, client)));
        if let Some((longest, client)) = waiting.max_by_key(|(waits, _)| *waits)
            && longest >= PATIENCE
        {
            client.cut_off.notify_one();
        }
    }
}

impl Client {
    /// Returns once this client has to go, because others have no room any more.
    pub(super) async fn cut_off(&self) {
        self.cut_off.notified().await;
    }

    fn waits(&self) -> Option<Duration> {
        locked(&self.waits_since).map(|since| since.elapsed())
    }
}

impl Outbox {
    /// Waits until there is room for a message of so many bytes.
    pub(super) async fn room(&self, bytes: usize) -> Room {
        let permits = permits(bytes);
        let short = || Arc::clone(&self.short).try_acquire_many_owned(permits);
        if bytes <= SHORT
            && let Ok(own) = short()
        {
            return Room { own, _all: None };
        }
        let own = acquire(&self.own, permits).await;
        Room { own, _all: Some(self.rooms.take(permits).await) }
    }

    pub(super) async fn send(&self, message: &HostMessage) {
        let line = encoded(message);
        let room = self.room(line.len()).await;
        self.put(line, room);
    }

    /// Sends a reply, for which there may be room already.
    pub(super) async fn send_in(&self, room: Option<Room>, message: &HostMessage) {
        let line = encoded(message);
        let room = match room.and_then(|room| room.fitted(line.len())) {
            Some(room) => room,
            None => self.room(line.len()).await,
        };
        self.put(line, room);
    }

    fn put(&self, line: Vec<u8>, room: Room) {
        // A client that is gone ends its connection, which is noticed by the reader.
        drop(self.lines.send((line, room)));
    }
}

impl Room {
    /// Returns as much of this as a message needs; nothing where it needs more.
    fn fitted(mut self, bytes: usize) -> Option<Self> {
        let (needed, has) = (permits(bytes) as usize, self.own.num_permits());
        let spare = has.checked_sub(needed)?;
        drop(self.own.split(spare));
        drop(self._all.as_mut().and_then(|all| all.split(spare)));
        Some(self)
    }
}

impl Unwritten {
    /// Writes all that is sent, until nobody can send any more or the client is gone.
    pub(super) async fn write_all(mut self, stream: Arc<UnixStream>) {
        while let Some((mut bytes, room)) = self.lines.recv().await {
            let mut rooms = vec![room];
            // What waits behind goes along in the same write.
            while let Ok((more, room)) = self.lines.try_recv() {
                bytes.extend(more);
                rooms.push(room);
            }
            *locked(&self.client.waits_since) = Some(Instant::now());
            let written = write_whole(&stream, &bytes).await;
            *locked(&self.client.waits_since) = None;
            drop(rooms);
            if written.is_err() {
                return;
            }
        }
    }
}

async fn acquire(room: &Arc<Semaphore>, permits: u32) -> OwnedSemaphorePermit {
    Arc::clone(room).acquire_many_owned(permits).await.expect("this is never closed")
}

fn permits(bytes: usize) -> u32 {
    // A notification may be a little longer than a reply; room for more than that there is none.
    u32::try_from(bytes.clamp(LEAST, MESSAGE_LIMIT)).expect("a message is shorter than 4 GiB")
}

fn encoded(message: &HostMessage) -> Vec<u8> {
    let line = line_of(message);
    match message {
        HostMessage::Reply { id, .. } if line.len() > MESSAGE_LIMIT => {
            let text = format!("the reply is longer than {MESSAGE_LIMIT} bytes: ask for less");
            let error = ErrorReply::new(ErrorCode::Conflict, text);
            line_of(&HostMessage::error(Some(*id), error))
        }
        HostMessage::Reply { .. }
        | HostMessage::Error { .. }
        | HostMessage::Notification { .. } => line,
    }
}

pub(super) fn line_of(message: &HostMessage) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("our own types are JSON");
    line.push(b'\n');
    line
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_for_one_and_for_all_ends_and_comes_back() {
        let rooms = Rooms::default();
        let mut held = Vec::new();
        for _ in 0..OF_ALL / OF_ONE {
            let (outbox, unwritten) = rooms.admit();
            for _ in 0..OF_ONE / MESSAGE_LIMIT {
                held.push((outbox.room(MESSAGE_LIMIT).await, outbox.clone()));
            }
            let more = tokio::time::timeout(LOOK, outbox.room(MESSAGE_LIMIT)).await;
            assert!(more.is_err(), "one client has taken all of its own");
            drop(unwritten);
        }
        let (other, _unwritten) = rooms.admit();
        let more = tokio::time::timeout(LOOK, other.room(MESSAGE_LIMIT)).await;
        assert!(more.is_err(), "all together have taken all");
        // What is short comes through all the same.
        let short = other.room(SHORT).await;
        assert_eq!(short.fitted(1).unwrap().own.num_permits(), LEAST);
        held.pop();
        let whole = other.room(MESSAGE_LIMIT).await;
        assert!(whole.fitted(MESSAGE_LIMIT / 2).is_some());
    }

    #[tokio::test]
    async fn the_client_that_waits_longest_makes_way() {
        let rooms = Rooms::default();
        let (_patient, reads) = rooms.admit();
        let (_deaf, deaf) = rooms.admit();
        let long_ago = Instant::now().checked_sub(PATIENCE * 2).unwrap();
        *locked(&deaf.client.waits_since) = Some(long_ago);
        *locked(&reads.client.waits_since) = Some(Instant::now());
        rooms.cut_off_the_slowest();
        deaf.client.cut_off().await;
        let cut = tokio::time::timeout(Duration::ZERO, reads.client.cut_off()).await;
        assert!(cut.is_err());
    }
}
