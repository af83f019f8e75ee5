//! What the audit says of the config file: what was asked, taken back, confirmed, and tightened; and
//! of rules whose time is up.

use nod_core::protocol::{AuditQuery, AuditRow, AuditWhat};
use nod_core::rule::{Rule, RuleId, Then};

use super::*;
use crate::guards::Posted;

impl Table {
    fn configure(&mut self, text: &str) {
        let config = Arc::new(Config::parse(text).unwrap());
        self.dispatcher.turn(vec![Message::Config(config, None)]);
    }

    fn audited(&self) -> Vec<AuditRow> {
        let query = AuditQuery { rules: true, ..AuditQuery::default() };
        let mut rows = self.dispatcher.readers.lend().unwrap().audit(&query).unwrap().rows;
        rows.reverse();
        rows
    }

    fn said(&self) -> Vec<(AuditWhat, String)> {
        let words = |row: AuditRow| (row.what, row.detail.unwrap_or_default());
        self.audited().into_iter().map(words).collect()
    }

    fn start_anew(&mut self, config: &str) {
        let reader = self.dispatcher.readers.lend().unwrap();
        let kept = reader.guards().unwrap();
        let wanted = Config::parse(config).unwrap().guards();
        let book = crate::guards::RuleBook {
            expired: reader.expired_rules().unwrap().into_iter().collect(),
            ..crate::guards::RuleBook::new(reader.rules().unwrap(), RuleId(9), &kept.held, wanted)
        };
        drop(reader);
        self.dispatcher.rules = Board::new(book);
        self.dispatcher.settle_guards().unwrap();
    }
}

const ASKS: &str = "[[rules]]\nmatch = [\"rm\"]\nthen = \"ask_first\"\n";
const TERMINAL: &str = "[approvals]\nterminal = true\n";

fn said(what: AuditWhat, detail: &str) -> (AuditWhat, String) {
    (what, detail.to_owned())
}

#[test]
fn what_was_asked_and_taken_back_unconfirmed_is_in_the_audit() {
    use AuditWhat as W;
    let mut table = Table::with_slots(1);
    table.configure(ASKS);
    table.configure("");
    table.configure(&format!("{TERMINAL}{ASKS}"));
    table.configure(ASKS);
    let gone = "no longer asked first: rm";
    let on = "approvals in a terminal are turned on";
    let expected = [
        said(W::Tightened, "asked first: rm"),
        said(W::LooseningAsked, gone),
        said(W::LooseningTakenBack, gone),
        said(W::LooseningAsked, on),
        said(W::LooseningTakenBack, on),
    ];
    assert_eq!(table.said(), expected);
    let rows = table.audited();
    assert!(rows.iter().all(|row| row.actor == Actor::Host && row.task.is_none()));
    assert!(rows[1].hash.is_some() && rows[1].hash == rows[2].hash);
}

#[test]
fn terminal_approvals_are_in_the_audit_when_they_are_confirmed_and_when_they_are_turned_off() {
    use AuditWhat as W;
    let mut table = Table::with_slots(1);
    table.configure(TERMINAL);
    let shown = table.dispatcher.rules.book().loosening.clone().unwrap().hash;
    let operation = table.operation();
    table.call(&PERSON, Change::ConfirmLoosening(operation, shown.clone(), None)).unwrap();
    table.configure("");
    let rows = table.audited();
    let what: Vec<_> = rows.iter().map(|row| row.what).collect();
    assert_eq!(what, [W::LooseningAsked, W::Loosened, W::Tightened]);
    assert_eq!((&rows[1].actor, rows[1].hash.as_ref()), (&PERSON, Some(&shown)));
    assert_eq!(rows[2].detail.as_deref(), Some("approvals in a terminal are turned off"));
}

#[test]
fn a_change_while_no_host_ran_is_in_the_audit_once() {
    use AuditWhat as W;
    let mut table = Table::with_slots(1);
    table.start_anew(ASKS);
    for _ in 0..3 {
        table.start_anew("");
    }
    table.start_anew(ASKS);
    let what: Vec<_> = table.said().into_iter().map(|(what, _)| what).collect();
    assert_eq!(what, [W::Tightened, W::LooseningAsked, W::LooseningTakenBack]);
}

#[test]
fn what_could_not_be_stored_is_in_the_audit_once_it_can() {
    use AuditWhat as W;
    let mut table = Table::with_slots(1);
    table.configure(ASKS);
    table.dispatcher.store.refuse_writes(true);
    table.configure("");
    table.dispatcher.turn(vec![]);
    table.dispatcher.store.refuse_writes(false);
    table.dispatcher.turn(vec![]);
    table.dispatcher.turn(vec![]);
    let what: Vec<_> = table.said().into_iter().map(|(what, _)| what).collect();
    assert_eq!(what, [W::Tightened, W::LooseningAsked]);
}

#[test]
fn a_rule_whose_time_is_up_is_in_the_audit_once_also_after_a_start() {
    let mut table = Table::with_slots(1);
    let rule = Rule {
        name: None,
        argv: vec!["make".into(), "all".into()],
        then: Then::AskFirst,
        folder: None,
        session: None,
        kind: None,
        expires_at: Some(Timestamp(crate::clock::now().0 + 3_600_000)),
    };
    let operation = table.operation();
    table.call(&PERSON, Change::AddRule(operation, Box::new(rule.clone()))).unwrap();
    assert_eq!(table.dispatcher.next_rule_expiry(), rule.expires_at);
    let over = crate::clock::now();
    let mut book = crate::guards::RuleBook::clone(&table.dispatcher.rules.book());
    book.made[0].rule.expires_at = Some(over);
    table.dispatcher.rules.set(Posted::new(Arc::new(book.clone())));
    table.published();
    for _ in 0..3 {
        table.dispatcher.turn(vec![]);
    }
    let told = table.published();
    assert!(matches!(told[..], [Event { change: EventChange::Rules { .. }, .. }]), "{told:?}");
    let known = table.dispatcher.readers.lend().unwrap().expired_rules().unwrap();
    book.expired = known.into_iter().collect();
    table.dispatcher.rules.set(Posted::new(Arc::new(book)));
    table.dispatcher.turn(vec![]);
    let rows = table.audited();
    let what: Vec<_> = rows.iter().map(|row| row.what).collect();
    assert_eq!(what, [AuditWhat::RuleAdded, AuditWhat::RuleExpired]);
    assert_eq!((rows[1].at, &rows[1].actor), (over, &Actor::Host));
    assert_eq!(rows[1].detail.as_deref(), Some("asked first: make all"));
    assert_eq!(table.dispatcher.next_rule_expiry(), None);
}
