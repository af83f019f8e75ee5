//! Since when what a person is asked has been in sight of the place that answers it.
//!
//! The window arms its buttons by itself; here the engine does not take its
//! word for it. What counts is when the engine handed a question over, by a
//! clock that nobody sets.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nod_core::guard::Loosening;
use nod_core::ids::RequestId;
use nod_core::protocol::{EventChange, Reply};
use nod_core::request::{ARMING_MS, Early, Request, check_sight};

/// How long something must have been in sight before a person can agree to it. Neither
/// configuration nor environment changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arming {
    milliseconds: Option<u64>,
}

impl Default for Arming {
    fn default() -> Self {
        Self { milliseconds: Some(ARMING_MS) }
    }
}

impl Arming {
    /// Lets everything be agreed to at once, shown or not: for programs that stand in for a person,
    /// of which none is shipped.
    #[must_use]
    pub fn off() -> Self {
        Self { milliseconds: None }
    }

    /// Returns whether what has been in sight for `shown_ms` can be agreed to.
    pub(crate) fn check(self, shown_ms: Option<u64>) -> Result<(), Early> {
        self.milliseconds.map_or(Ok(()), |arming_ms| check_sight(shown_ms, arming_ms))
    }
}

/// What can be agreed to, named by exactly what is shown of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    Request(RequestId, String),
    Loosening(String),
}

/// What one place shows, and since when.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    since: Mutex<HashMap<Seen, Since>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since {
    /// When it was shown first.
    first: Instant,
    /// Since when it stands where it does.
    still: Instant,
}

impl Since {
    fn from(now: Instant) -> Self {
        Self { first: now, still: now }
    }
}

impl Sight {
    /// Notes what a reply shows, whose call began at `began`.
    pub(crate) fn show(&self, reply: &Reply, began: Instant) {
        let now = Instant::now();
        let mut since = self.since();
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others show nothing to agree to")]
        match reply {
            Reply::Task(detail) => add(&mut since, requests(&detail.requests), now),
            Reply::OpenQuestion { request, .. } => {
                add(&mut since, request.as_deref().map(seen), now);
            }
            Reply::Rules(list) => add(&mut since, loosening(list.loosening.as_ref()), now),
            Reply::Snapshot(snapshot) => {
                let all = requests(&snapshot.requests);
                let all: Vec<_> = all.chain(loosening(snapshot.loosening.as_ref())).collect();
                // Everything that is open is there, unless more follows: what was shown before and is
                // not, is over.
                if snapshot.more.is_none() {
                    since.retain(|seen, at| at.still >= began || all.contains(seen));
                }
                add(&mut since, all, now);
            }
            _ => {}
        }
    }

    /// Notes what an event shows.
    pub(crate) fn hear(&self, change: &EventChange, now: Instant) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others show nothing to agree to")]
        match change {
            EventChange::Request { request } if request.is_open() => {
                add(&mut self.since(), [seen(request)], now);
            }
            EventChange::Request { request } => drop(self.since().remove(&seen(request))),
            EventChange::Rules { loosening: waits } => {
                let mut since = self.since();
                let waits: Vec<_> = loosening(waits.as_ref()).collect();
                since.retain(|seen, _| !matches!(seen, Seen::Loosening(_)) || waits.contains(seen));
                add(&mut since, waits, now);
            }
            _ => {}
        }
    }

    /// Notes that something is shown anew. What is shown beside it may have moved by that.
    pub(crate) fn renew(&self, what: Seen, now: Instant) {
        self.renew_all_but(None, now);
        self.since().entry(what).or_insert(Since::from(now)).still = now;
    }

    /// Notes that all that is shown but this may stand elsewhere from now on.
    pub(crate) fn renew_all_but(&self, what: Option<&Seen>, now: Instant) {
        let mut since = self.since();
        let others = since.iter_mut().filter(|(seen, _)| Some(*seen) != what);
        others.for_each(|(_, since)| since.still = now);
    }

    /// Notes that something is shown no more.
    pub(crate) fn forget(&self, what: &Seen) {
        self.since().remove(what);
    }

    /// Returns for how many milliseconds something has been where it is; nothing when it is not shown.
    pub(crate) fn shown_ms(&self, what: &Seen) -> Option<u64> {
        self.since().get(what).map(|since| milliseconds_since(since.still))
    }

    /// Returns for how many milliseconds a question has been shown, wherever; nothing when it is not.
    pub(crate) fn seen_ms(&self, request: &Request) -> Option<u64> {
        self.since().get(&seen(request)).map(|since| milliseconds_since(since.first))
    }

    fn since(&self) -> MutexGuard<'_, HashMap<Seen, Since>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds_since(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn add(since: &mut HashMap<Seen, Since>, what: impl IntoIterator<Item = Seen>, now: Instant) {
    for seen in what {
        since.entry(seen).or_insert(Since::from(now));
    }
}

fn seen(request: &Request) -> Seen {
    Seen::Request(request.id, request.hash.clone())
}

fn requests(requests: &[Request]) -> impl Iterator<Item = Seen> {
    requests.iter().filter(|request| request.is_open()).map(seen)
}

fn loosening(waits: Option<&Loosening>) -> impl Iterator<Item = Seen> {
    waits.map(|loosening| Seen::Loosening(loosening.hash.clone())).into_iter()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nod_core::ids::Timestamp;
    use nod_core::request::{Closure, Wants};

    use super::*;
    use crate::samples;

    fn request(id: i64) -> Request {
        Request { id: RequestId(id), ..samples::request(Wants::default()) }
    }

    fn opened(request: &Request) -> EventChange {
        EventChange::Request { request: Box::new(request.clone()) }
    }

    #[test]
    fn a_question_is_in_sight_from_its_first_showing_to_its_end() {
        let (sight, mut asked) = (Sight::default(), request(3));
        assert_eq!(sight.shown_ms(&seen(&asked)), None);
        let now = Instant::now();
        sight.hear(&opened(&asked), now - Duration::from_secs(60));
        // A reminder shows nothing new.
        sight.hear(&opened(&asked), now);
        assert!(sight.shown_ms(&seen(&asked)).unwrap() >= 60_000);
        // The same words of another request were not in sight, nor others of the same.
        assert_eq!(sight.shown_ms(&seen(&request(4))), None);
        let other = Seen::Request(RequestId(3), "other".into());
        assert_eq!(sight.shown_ms(&other), None);
        asked.closure = Some(Closure::Expired { at: Timestamp(1) });
        sight.hear(&opened(&asked), now);
        assert_eq!(sight.shown_ms(&seen(&asked)), None);
    }

    #[test]
    fn what_comes_or_goes_has_the_others_be_looked_at_again() {
        let (sight, now) = (Sight::default(), Instant::now());
        let (one, other) = (seen(&request(3)), seen(&request(4)));
        let minute = Duration::from_secs(60);
        sight.renew(one.clone(), now - minute);
        assert!(sight.shown_ms(&one).unwrap() >= 60_000);
        sight.renew(other.clone(), now);
        assert!(sight.shown_ms(&one).unwrap() < 60_000);
        sight.forget(&other);
        assert_eq!(sight.shown_ms(&other), None);
        sight.renew_all_but(None, now - minute);
        sight.renew_all_but(Some(&one), now);
        assert!(sight.shown_ms(&one).unwrap() >= 60_000);
    }

    #[test]
    fn what_a_confirmed_change_was_is_in_sight_no_more() {
        let waits = |hash: &str| {
            let loosening = Loosening { hash: hash.into(), changes: vec![] };
            EventChange::Rules { loosening: Some(loosening) }
        };
        let (sight, now) = (Sight::default(), Instant::now());
        sight.hear(&waits("a"), now - Duration::from_secs(60));
        sight.hear(&waits("b"), now);
        assert_eq!(sight.shown_ms(&Seen::Loosening("a".into())), None);
        assert!(sight.shown_ms(&Seen::Loosening("b".into())).is_some());
        sight.hear(&EventChange::Rules { loosening: None }, now);
        assert!(sight.since().is_empty());
    }
}
