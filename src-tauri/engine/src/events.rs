//! The numbered stream of what changed, and its subscribers.
//!
//! A subscriber that does not keep up is told that it lagged; it never slows
//! the dispatcher.

use std::sync::Arc;
use std::time::Instant;

use nod_core::ids::EventNumber;
use nod_core::protocol::{Event, EventChange, WatchedEvent};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::error::EngineError;
use crate::sight::Sight;
use crate::store::{Readers, StoreError};

/// How many events a subscriber may be behind.
const BACKLOG: usize = 4096;

/// The publishing end.
#[derive(Clone)]
pub(crate) struct Events {
    sender: broadcast::Sender<Arc<Event>>,
}

/// The listening end: every event from the subscription on.
pub struct Subscription {
    receiver: broadcast::Receiver<Arc<Event>>,
    last: Option<Arc<Event>>,
    /// Where people answer what these events show.
    sight: Option<Arc<Sight>>,
}

impl Events {
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::Sender::new(BACKLOG) }
    }

    /// Hands `event` to everyone who listens.
    pub(crate) fn publish(&self, event: Event) {
        // The error says that nobody listens, which is no failure.
        drop(self.sender.send(Arc::new(event)));
    }

    #[must_use]
    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.sender.subscribe(), last: None, sight: None }
    }
}

/// How many stored events are read at once.
const WATCHED: u32 = 500;

/// Every stored event from one number on. It reads them from the history, so that none is missed
/// but what the history has forgotten, which is told as an event `lagged`.
pub struct Watch {
    readers: Readers,
    news: Subscription,
    last: EventNumber,
    /// Up to which event it was told that some are forgotten.
    told: EventNumber,
}

impl Watch {
    pub(crate) fn new(readers: Readers, news: Subscription, since: EventNumber) -> Self {
        Self { readers, news, last: since, told: EventNumber(0) }
    }

    /// Returns the next events; nothing once the host has ended.
    pub async fn next(&mut self) -> Result<Option<Vec<WatchedEvent>>, EngineError> {
        loop {
            let (readers, last) = (self.readers.clone(), self.last);
            let read = move || -> Result<_, StoreError> {
                let reader = readers.lend()?;
                // What is forgotten between the two is told, though it was read.
                Ok((reader.events_after(last, WATCHED)?, reader.forgotten_events()?))
            };
            let read = tokio::task::spawn_blocking(read).await;
            let (mut events, forgotten) = read.map_err(|_ended| EngineError::Stopping)??;
            if let Some(newest) = events.last() {
                self.last = newest.seq;
            }
            if forgotten > last.max(self.told) {
                self.told = forgotten;
                events.insert(0, lagged_watch(last, forgotten));
            }
            if !events.is_empty() {
                return Ok(Some(events));
            }
            loop {
                let Some(event) = self.news.next().await else { return Ok(None) };
                if event.seq > self.last || event.change == EventChange::Lagged {
                    break;
                }
            }
        }
    }
}

/// Tells one who has seen all up to `last` that it has to look anew at what there is.
fn lagged_watch(last: EventNumber, forgotten: EventNumber) -> WatchedEvent {
    WatchedEvent {
        seq: last,
        at: crate::clock::now(),
        task_id: None,
        event: "lagged".to_owned(),
        detail: Some(format!(
            "some events up to {forgotten} are no longer kept: look anew at what there is"
        )),
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Subscription {
    /// Notes what the events show to `sight`.
    pub(crate) fn in_sight_of(self, sight: Arc<Sight>) -> Self {
        Self { sight: Some(sight), ..self }
    }

    /// Returns the next event; nothing once the host has ended.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        match self.receiver.recv().await {
            Ok(event) => {
                self.last = Some(Arc::clone(&event));
                if let Some(sight) = &self.sight {
                    sight.hear(&event.change, Instant::now());
                }
                Some(event)
            }
            Err(RecvError::Lagged(_)) => Some(Arc::new(self.lagged())),
            Err(RecvError::Closed) => None,
        }
    }

    fn lagged(&self) -> Event {
        let (seq, at) = match &self.last {
            Some(event) => (event.seq, event.at),
            None => (EventNumber(0), crate::clock::now()),
        };
        Event { seq, at, change: EventChange::Lagged }
    }
}

#[cfg(test)]
mod tests {
    use nod_core::ids::{TaskId, Timestamp};

    use super::*;

    fn event(seq: u64) -> Event {
        let change = EventChange::Progress { id: TaskId(1), progress: None };
        Event { seq: EventNumber(seq), at: Timestamp(0), change }
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_that_it_lagged_and_goes_on() {
        let events = Events::new();
        let mut slow = events.subscribe();
        let total = BACKLOG as u64 + 10;
        for seq in 1..=total {
            events.publish(event(seq));
        }
        assert_eq!(slow.next().await.unwrap().change, EventChange::Lagged);
        assert_eq!(slow.next().await.unwrap().seq, EventNumber(11));
        drop(events);
        for seq in 12..=total {
            assert_eq!(slow.next().await.unwrap().seq, EventNumber(seq));
        }
        assert!(slow.next().await.is_none());
    }
}
