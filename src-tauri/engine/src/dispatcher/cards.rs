//! Which gates are shown to the person: no more at once than anybody reads.
//!
//! A task that waits for an approval waits from its submit on, and may be
//! approved by its number. The card for it comes when its source has few
//! enough others that are open.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nod_core::access::Actor;
use nod_core::ids::{RequestId, Timestamp};
use nod_core::protocol::EventChange;
use nod_core::request::{Origin, Request};

use super::pace::{OPEN_LIMIT, Source};
use super::turn::Turn;
use super::{Dispatcher, Live};
use crate::process;
use crate::store::RequestRow;

/// How many gates of programs that are no tasks are shown at once.
const SHOWN_OF_PROGRAMS: usize = 100;

/// The gates that are open.
#[derive(Debug, Default)]
pub(crate) struct Cards {
    open: BTreeMap<RequestId, Card>,
    held_back: HeldBack,
    /// When the next one may be shown, where only the pace of its source is in the way.
    next: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Card {
    source: Source,
    is_shown: bool,
}

/// The gates that are not shown yet, for those who read the history. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldBack {
    requests: Arc<Mutex<BTreeSet<RequestId>>>,
}

impl HeldBack {
    /// Returns those of the requests that are shown.
    pub(crate) fn shown(&self, requests: Vec<Request>) -> Vec<Request> {
        let held = self.requests();
        requests.into_iter().filter(|request| !held.contains(&request.id)).collect()
    }

    fn requests(&self) -> MutexGuard<'_, BTreeSet<RequestId>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many gates are shown, by their sources.
#[derive(Default)]
struct Counts {
    of: HashMap<Source, usize>,
    of_programs: usize,
}

impl Counts {
    fn add(&mut self, source: Source) {
        *self.of.entry(source).or_default() += 1;
        self.of_programs += usize::from(source.is_program());
    }

    fn have_room(&self, source: Source) -> bool {
        self.of.get(&source).is_none_or(|count| *count < OPEN_LIMIT)
            && !(source.is_program() && self.of_programs >= SHOWN_OF_PROGRAMS)
    }
}

impl Cards {
    /// Returns the cards of what an earlier host left open: the oldest are shown.
    pub(crate) fn new(live: &Live, held_back: HeldBack) -> Self {
        let mut cards = Self { held_back, ..Self::default() };
        let mut counts = Counts::default();
        for request in live.open_requests().filter(|request| request.origin == Origin::Gate) {
            let source = match &request.asked_by {
                Some(Actor::Task { id, .. }) => live.source_of(request.task.unwrap_or(*id)),
                Some(Actor::Person { .. }) => Source::Person,
                Some(Actor::Host) => Source::Host,
                // The process that submitted it may be another one by now.
                Some(Actor::Peer { .. }) | None => Source::Gone,
            };
            let is_shown = counts.have_room(source);
            if is_shown {
                counts.add(source);
            } else {
                cards.held_back.requests().insert(request.id);
            }
            cards.open.insert(request.id, Card { source, is_shown });
        }
        cards
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Keeps what a turn does not show out of sight, before anybody can read it.
    pub(super) fn hide(&self, turn: &Turn) {
        let new = turn.gates.iter().filter(|(_, card)| !card.is_shown).map(|(id, _)| *id);
        self.held_back.requests().extend(new);
    }

    /// Takes back what was hidden for a turn that could not be stored.
    pub(super) fn forget(&self, turn: &Turn) {
        let mut held = self.held_back.requests();
        held.retain(|id| turn.gates.iter().all(|(gate, _)| gate != id));
    }

    /// Takes in what a turn came to, now that it is stored.
    pub(super) fn keep(&mut self, turn: &mut Turn) {
        let mut held = self.held_back.requests();
        self.open.extend(turn.gates.drain(..));
        for id in turn.shown.drain(..) {
            held.remove(&id);
            if let Some(card) = self.open.get_mut(&id) {
                card.is_shown = true;
            }
        }
        for (id, _) in &turn.closed {
            held.remove(id);
            self.open.remove(id);
        }
    }
}

impl Dispatcher {
    /// Has a gate wait for its turn to be shown.
    pub(super) fn open_gate(&mut self, row: RequestRow, by: &Actor, turn: &mut Turn) {
        let source = match by {
            Actor::Task { id, .. } => self.live.source_of(*id),
            Actor::Person { .. } => Source::Person,
            Actor::Host => Source::Host,
            Actor::Peer { pid, .. } => *turn
                .sources
                .entry(*pid)
                .or_insert_with(|| process::source_of(*pid, &self.settings.nod)),
        };
        turn.gates.push((row.request.id, Card { source, is_shown: false }));
        self.live.put_request(row);
        turn.durable = true;
    }

    /// Shows the gates whose turn has come.
    pub(super) fn show_cards(&mut self, turn: &mut Turn) {
        self.cards.next = None;
        let mut counts = Counts::default();
        let mut held = Vec::new();
        let mut gates = std::mem::take(&mut turn.gates);
        let known = self.cards.open.iter().map(|(id, card)| (*id, *card));
        for (id, card) in known.chain(gates.iter().copied()) {
            if !self.live.request(id).is_some_and(|row| row.request.is_open()) {
                continue;
            }
            match card.is_shown {
                true => counts.add(card.source),
                false => held.push((id, card.source)),
            }
        }
        for (id, source) in held {
            if !counts.have_room(source) {
                continue;
            }
            if let Some(ready) = self.pace.ready_at(source, turn.now) {
                self.cards.next = Some(self.cards.next.map_or(ready, |next| next.min(ready)));
                continue;
            }
            self.pace.is_exceeded(source, turn.now);
            counts.add(source);
            self.tell_of_request(id, turn);
            match gates.iter_mut().find(|(gate, _)| *gate == id) {
                Some((_, card)) => card.is_shown = true,
                None => turn.shown.push(id),
            }
        }
        turn.gates = gates;
    }

    /// Tells that a question is open.
    pub(super) fn tell_of_request(&mut self, id: RequestId, turn: &mut Turn) {
        let Some(row) = self.live.request(id) else { return };
        let request = Box::new(row.request.clone());
        let (task, question) = (request.task, request.shown.question.clone());
        let change = EventChange::Request { request };
        turn.event(&mut self.live, task, ("request_opened", Some(question)), change);
    }
}
