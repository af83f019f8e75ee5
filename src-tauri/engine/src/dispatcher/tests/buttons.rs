//! Answers that come from the buttons of a notification.

use nod_core::environment::{Change as Otherwise, EnvironmentChange};
use nod_core::notification::ButtonError;
use nod_core::protocol::{AuditQuery, AuditRow};
use nod_core::request::{ARMING_MS, Closure};

use super::*;

const NOTIFICATION: Actor = Actor::Person { surface: Surface::Notification };

impl Table {
    fn press(&mut self, request: &Request, answer: Answer, shown_ms: Option<u64>) -> Said {
        let operation = self.operation();
        let (request, shown) = (request.id, request.hash.clone());
        let given = GiveAnswer { operation, request, answer, comment: None, shown };
        let from = Some("dunst 1.9".to_owned());
        let answering = Box::new(Answering { given, from, shown_ms });
        self.call(&NOTIFICATION, Change::Answer(answering))
    }

    fn allow_buttons(&mut self, allowed: bool) {
        let change = Change::AllowButtons(self.operation(), allowed);
        assert!(matches!(self.call(&PERSON, change), Ok(Reply::Done)));
    }

    fn gated(&mut self) -> Request {
        self.submit_with(|new| new.ask_first = true);
        self.open_request()
    }

    fn last_audit(&self) -> AuditRow {
        let reader = self.dispatcher.readers.lend().unwrap();
        reader.audit(&AuditQuery::default()).unwrap().rows.swap_remove(0)
    }
}

fn button(said: Said) -> ButtonError {
    match said {
        Err(EngineError::Button(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_button_approves_only_while_the_person_wants_that() {
    let mut table = Table::with_slots(10);
    let request = table.gated();
    assert_eq!(button(table.press(&request, Answer::Approve, None)), ButtonError::TurnedOff);
    table.allow_buttons(true);
    assert_eq!(table.last_audit().detail.unwrap(), "Approve in notifications: turned on");
    table.allow_buttons(false);
    assert_eq!(button(table.press(&request, Answer::Approve, None)), ButtonError::TurnedOff);
    assert_eq!(table.last_audit().detail.unwrap(), "Approve in notifications: turned off");
    table.allow_buttons(true);
    table.press(&request, Answer::Approve, None).unwrap();
    let row = table.last_audit();
    assert_eq!((row.actor, row.from.as_deref()), (NOTIFICATION, Some("dunst 1.9")));
    // A second press of whatever button meets what was answered.
    let late = table.press(&request, Answer::Deny { reason: None }, None).unwrap_err();
    assert!(late.to_string().contains("approved by a person in a notification"), "{late}");
}

#[test]
fn a_button_denies_in_any_case() {
    let mut table = Table::with_slots(10);
    let request = table.gated();
    let said = table.press(&request, Answer::Deny { reason: None }, Some(0)).unwrap();
    assert!(matches!(said, Reply::Closed { closure: Closure::Answered { .. }, .. }), "{said:?}");
}

#[test]
fn what_a_notification_cannot_show_is_not_approved_there() {
    let mut table = Table::with_slots(10);
    table.allow_buttons(true);
    let hidden = EnvironmentChange {
        name: "TOKEN".into(),
        change: Otherwise::Added,
        value: None,
        masked: true,
    };
    table.submit_with(|new| {
        new.ask_first = true;
        new.environment_changes = vec![hidden];
    });
    let request = table.open_request();
    assert_eq!(button(table.press(&request, Answer::Approve, None)), ButtonError::NotWhole);
    assert!(table.open_request().is_open());
}

#[test]
fn what_a_notification_has_just_shown_is_not_approved_yet() {
    let mut table = Table::with_slots(10);
    table.allow_buttons(true);
    table.dispatcher.settings.arming = crate::sight::Arming::default();
    let request = table.gated();
    for shown_ms in [None, Some(0), Some(ARMING_MS - 1)] {
        let said = table.press(&request, Answer::Approve, shown_ms);
        assert!(matches!(said, Err(EngineError::Early(_))), "{said:?}");
    }
    table.press(&request, Answer::Approve, Some(ARMING_MS)).unwrap();
}

#[test]
fn the_setting_is_forgotten_with_a_turn_that_cannot_be_stored() {
    let mut table = Table::with_slots(10);
    table.dispatcher.store.refuse_writes(true);
    let change = Change::AllowButtons(table.operation(), true);
    table.call(&PERSON, change).unwrap_err();
    assert!(!table.dispatcher.rules.book().notification_approvals);
}
