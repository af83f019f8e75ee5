//! What the config file says of who must be asked: what asks for more holds at once, what asks for
//! less waits for the person. Each of it is in the audit, also what was taken back unconfirmed.

use std::sync::Arc;

use nod_core::access::Actor;
use nod_core::guard::{Loosening, settled, tightened};
use nod_core::ids::{OperationId, TaskId, Timestamp};
use nod_core::protocol::{AuditRow, AuditWhat, EventChange};

use super::Dispatcher;
use super::calls::Said;
use super::gates::{said, words};
use super::turn::Turn;
use crate::config::Config;
use crate::error::EngineError;
use crate::guards::{Posted, RuleBook};
use crate::store::{KeptGuards, RuleChange, StoreError};

impl Dispatcher {
    /// Lets what the config file asks for less hold from now on.
    pub(super) fn confirm_loosening(
        &mut self,
        by: Actor,
        operation: OperationId,
        (shown, shown_ms): (&str, Option<u64>),
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        if self.is_done(&operation)? {
            return Ok(Said::Now(self.rule_list()));
        }
        let mut book = RuleBook::clone(&self.rule_book(turn));
        let Some(loosening) = book.loosening.take().filter(|loosening| loosening.hash == shown)
        else {
            return Err(EngineError::NotTheLoosening);
        };
        self.settings.arming.check(shown_ms)?;
        book.held = book.wanted.clone();
        turn.rule(RuleChange::Held(book.kept()));
        turn.audit(AuditRow {
            actor: by,
            ..of_file(AuditWhat::Loosened, &book, (Some(loosening.hash), &loosening.changes), turn)
        });
        self.note_rules(book, operation, turn);
        Ok(self.rules_after(turn))
    }

    /// Stores what held at the start, which may be stricter than what was stored.
    pub(crate) fn settle_guards(&mut self) -> Result<(), StoreError> {
        self.unstored_guards = Some(self.readers.lend()?.guards()?);
        let mut turn = Turn::new(crate::clock::now());
        self.store_guards(&mut turn);
        self.settle(turn, super::Taken::default());
        Ok(())
    }

    /// Stores what holds, and says in the audit what of it the store does not know.
    fn store_guards(&mut self, turn: &mut Turn) {
        let book = self.rule_book(turn);
        debug_assert_eq!(settled(&book.held, &book.wanted).0, book.held);
        let Some(known) = &self.unstored_guards else { return };
        note_change(known, &book, turn);
        turn.rule(RuleChange::Held(book.kept()));
        turn.durable = true;
    }

    /// Takes in anew what the config file says, where the turn that did could not be stored.
    pub(super) fn settle_guards_again(&mut self, turn: &mut Turn) {
        if self.unstored_guards.is_none() {
            return;
        }
        self.settle_guards_of(&self.settings.config.clone(), turn);
        if turn.rules.is_none() {
            // What holds is what should; only the store does not know.
            self.store_guards(turn);
        }
    }

    /// Takes in what a changed config file says of who must be asked: what asks for more holds at
    /// once, what asks for less waits for the person.
    pub(super) fn settle_guards_of(&mut self, config: &Config, turn: &mut Turn) {
        let wanted = config.guards();
        let mut book = RuleBook::clone(&self.rule_book(turn));
        if wanted == book.wanted {
            return;
        }
        let known = book.kept();
        self.unstored_guards.get_or_insert(known);
        let (held, loosening) = settled(&book.held, &wanted);
        (book.held, book.wanted, book.loosening) = (held, wanted, loosening);
        self.tell_rules(&book, turn);
        turn.rules = Some(Posted::new(Arc::new(book)));
        self.store_guards(turn);
    }

    /// Tells that something is other with the rules than it was.
    pub(super) fn tell_rules(&mut self, book: &RuleBook, turn: &mut Turn) {
        let change = EventChange::Rules { loosening: book.loosening.clone() };
        turn.event(&mut self.live, None::<TaskId>, ("rules", None), change);
    }

    /// Returns when the time of a rule is up.
    pub(super) fn next_rule_expiry(&self) -> Option<Timestamp> {
        self.rules.book().next_expiry(crate::clock::now())
    }

    /// Says in the audit that the time of rules is up, once of each.
    pub(super) fn note_expired_rules(&mut self, turn: &mut Turn) {
        let book = self.rule_book(turn);
        let over: Vec<_> = book.over(turn.now).collect();
        if over.is_empty() {
            return;
        }
        let mut after = RuleBook::clone(&book);
        for (at, name, rule) in over {
            turn.rule(RuleChange::Expired { rule: name.clone(), at });
            let row = said(AuditWhat::RuleExpired, Actor::Host, turn);
            turn.audit(AuditRow { at, detail: Some(words(rule)), ..row });
            after.expired.insert(name);
        }
        self.tell_rules(&after, turn);
        turn.rules = Some(Posted::new(Arc::new(after)));
    }
}

/// Says in the audit what a host did with the config file, beside what the store knows of it.
fn note_change(known: &KeptGuards, book: &RuleBook, turn: &mut Turn) {
    let more = tightened(&known.held, &book.held);
    if !more.is_empty() {
        turn.audit(of_file(AuditWhat::Tightened, book, (None, &more), turn));
    }
    let hash = |asked: &Option<Loosening>| asked.as_ref().map(|asked| asked.hash.clone());
    if hash(&known.asked) == hash(&book.loosening) {
        return;
    }
    let ends = [
        (AuditWhat::LooseningTakenBack, &known.asked),
        (AuditWhat::LooseningAsked, &book.loosening),
    ];
    for (what, loosening) in ends {
        if let Some(Loosening { hash, changes }) = loosening {
            turn.audit(of_file(what, book, (Some(hash.clone()), changes), turn));
        }
    }
}

/// Returns a row about the config file, which any program of the user may have changed.
fn of_file(
    what: AuditWhat,
    book: &RuleBook,
    (hash, changes): (Option<String>, &[String]),
    turn: &Turn,
) -> AuditRow {
    let from = (!book.config_file.is_empty()).then(|| book.config_file.clone());
    AuditRow { from, hash, detail: Some(changes.join("\n")), ..said(what, Actor::Host, turn) }
}
