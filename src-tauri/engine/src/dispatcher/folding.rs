//! One card for the same question of one asker: who is behind it, and who of them has gone.
//!
//! A task that asks the same in several places at once, or a program that is none, has one card
//! for all of it. What two of them show is never different, and when they end hardly is: the card
//! stays open for the last of them, so that nobody's time is shorter than it said. Each that asked
//! is named on the card and in the audit, and hears the answer by its own connection;
//! one that goes leaves the others theirs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nod_core::access::Actor;
use nod_core::ids::{OperationId, RequestId, TaskId, Timestamp};
use nod_core::protocol::{Ask, EventChange};
use nod_core::request::{AlsoAsked, Closure, Request};

use super::askers::is_for;
use super::pace::Source;
use super::turn::Turn;
use super::{Dispatcher, Live};
use crate::process::Lineage;

/// How many may ask the same as one that is open. Who comes then gets a card of its own, as far as
/// its pace allows.
const FOLD_LIMIT: usize = 100;

/// Askers who are gone, by what they asked under, and until when they may come back: by the clock
/// that stands still while the machine sleeps, as they do.
pub(crate) type Orphans = HashMap<OperationId, (RequestId, Instant)>;

/// What keeps a question apart from every other that is open.
pub(super) struct Same<'a> {
    pub(super) task: Option<TaskId>,
    pub(super) source: Source,
    /// The processes of a program that is no task.
    pub(super) lineage: Option<&'a Lineage>,
    pub(super) hash: &'a str,
    pub(super) ask: &'a Ask,
}

impl Dispatcher {
    /// Returns the open question of the same asker that shows exactly the same, and ends about when
    /// this one would: one card is enough, which is to stay open for so much longer. Of a program
    /// that has gone nobody can tell that it is the same.
    pub(super) fn same_question(&self, new: &Same<'_>, now: Timestamp) -> Option<(RequestId, u64)> {
        if new.source == Source::Gone {
            return None;
        }
        let same = |request: &&Request| {
            request.hash == new.hash
                && request.on_timeout == new.ask.on_timeout
                && request.also_asked_by.len() < FOLD_LIMIT
                && self.pace.may_be_of(request.id, new.source)
                && (new.task.is_some() || self.is_of(request.id, new.lineage))
        };
        let mut alike = self.live.open_requests_of(new.task).filter(same);
        alike.find_map(|it| Some((it.id, it.extension(new.ask.timeout_ms, now)?)))
    }

    fn is_of(&self, id: RequestId, lineage: Option<&Lineage>) -> bool {
        self.live.request(id).is_some_and(|row| is_for(row, lineage))
    }

    /// Notes one more who asks what is open already.
    pub(super) fn fold(
        &mut self,
        (id, extends_ms): (RequestId, u64),
        by: &Actor,
        operation: &OperationId,
        turn: &mut Turn,
    ) {
        let Some(mut row) = self.live.request(id).cloned() else { return };
        let one = AlsoAsked { by: by.clone(), at: turn.now, gone: false, extends_ms };
        row.request.also_asked_by.push(one);
        row.request.expires_at = row.request.expires_at.map(|end| end.plus(extends_ms));
        row.folded.push(operation.clone());
        self.live.put_request(row);
        self.tell_of_askers(id, turn);
    }

    /// Notes that one asker is back, who was taken to have gone.
    pub(super) fn ask_anew(&mut self, id: RequestId, operation: &OperationId, turn: &mut Turn) {
        let Some(mut row) = self.live.request(id).cloned() else { return };
        let at = row.folded.iter().position(|folded| folded == operation);
        let Some(one) = at.and_then(|at| row.request.also_asked_by.get_mut(at)) else { return };
        if std::mem::replace(&mut one.gone, false) {
            self.live.put_request(row);
            self.tell_of_askers(id, turn);
        }
    }

    /// Lets one asker go: its question stays for the others, and is withdrawn with the last of them.
    pub(super) fn leave(
        &mut self,
        id: RequestId,
        operation: &OperationId,
        why: &str,
        turn: &mut Turn,
    ) {
        let open = self.live.request(id).filter(|row| row.request.is_open());
        let Some(mut row) = open.cloned() else { return };
        let also = &mut row.request.also_asked_by;
        if let Some(at) = row.folded.iter().position(|folded| folded == operation) {
            also[at].gone = true;
        } else if row.operation.as_ref() == Some(operation) {
            let Some(next) = also.iter().position(|asked| !asked.gone) else {
                return self.withdraw_request(id, why, turn);
            };
            // One who still asks stands in the place of the first.
            row.operation = Some(std::mem::replace(&mut row.folded[next], operation.clone()));
            let by = row.request.asked_by.replace(also[next].by.clone());
            let by = by.unwrap_or_else(|| also[next].by.clone());
            let AlsoAsked { extends_ms, .. } = also[next];
            also[next] = AlsoAsked { by, at: row.request.created_at, gone: true, extends_ms };
        } else {
            return;
        }
        self.live.put_request(row);
        self.tell_of_askers(id, turn);
        let closure = Closure::Withdrawn { why: why.to_owned(), at: turn.now };
        turn.left.push((id, operation.clone(), closure));
    }

    fn tell_of_askers(&mut self, id: RequestId, turn: &mut Turn) {
        let Some(row) = self.live.request(id) else { return };
        let request = Box::new(row.request.clone());
        let asking = request.also_asked_by.iter().filter(|asked| !asked.gone).count() + 1;
        let words =
            if asking == 1 { "1 asks".to_owned() } else { format!("{asking} ask the same") };
        let (task, change) = (request.task, EventChange::Request { request });
        turn.event(&mut self.live, task, ("request_askers", Some(words)), change);
        turn.durable = true;
    }
}

impl Dispatcher {
    /// Returns who asked what is open, and must come back for it.
    pub(crate) fn orphans_of(live: &Live, grace: Duration) -> Orphans {
        let until = Instant::now() + grace;
        let asked = live.asked();
        asked.map(|(operation, request)| (operation.clone(), (request, until))).collect()
    }

    /// Has those wait who asked in a turn that is stored, and lets those go who left in it.
    pub(super) fn keep_askers(&mut self, turn: &mut Turn) {
        for (request, asker) in turn.askers.drain(..) {
            match &asker.operation {
                Some(operation) => drop(self.orphans.remove(operation)),
                // Who waits for what was asked before waits for all of them.
                None => self.orphans.retain(|_, (of, _)| *of != request),
            }
            self.waiters.wait(request, asker);
        }
        for (request, operation, closure) in turn.left.drain(..) {
            self.orphans.remove(&operation);
            self.waiters.leave(request, &operation, &closure);
        }
    }
}
