//! What can be pressed in the notification of a question, and by whom.

use nod_client::Connection;
use nod_core::access::{Actor, Surface};
use nod_core::ids::TaskId;
use nod_core::protocol::AuditWhat;
use nod_core::request::{Answer, Closure, Request};
use nod_core::task::StateName;
use nod_tests::desktop::TITLE;
use nod_tests::{Clock, Desktop, Home, by_name, processes, until};

use crate::server::{Notes, Shown, USUAL, forge};

pub(crate) const ANSWERS: [&str; 6] = ["default", "Review", "review", "Review", "deny", "Deny"];

/// Submits a task that asks, and returns it with its question.
fn asking(desktop: &Desktop, label: &str) -> (TaskId, Request) {
    let line = "nod ask 'Deploy?' > said 2>&1; echo $? >> said";
    let id = desktop.submit_with(&["--label", label], &[line]);
    (id, desktop.wait_for_request(id))
}

fn is_open(desktop: &Desktop, asked: &(TaskId, Request)) -> bool {
    desktop.request(asked.0, asked.1.id).is_open()
}

/// Shows and answers another question by its notification: what came over the bus before has been
/// heard by then.
fn settle(desktop: &Desktop, notes: &Notes) {
    let (id, _) = asking(desktop, "afterwards");
    notes.press(notes.wait_for("afterwards").id, "deny");
    desktop.wait_for_end(id);
}

#[test]
fn a_server_that_calls_itself_what_a_terminal_acts_on_is_named_harmlessly() {
    let desktop = Desktop::start();
    let name = format!("\u{1b}[2J\u{202e}x\n{}", "y".repeat(10_000));
    let notes = Notes::named(&desktop, &name, &USUAL);
    let window = desktop.open();
    let (id, _) = asking(&desktop, "asks");
    notes.press(notes.wait_for("asks").id, "deny");
    desktop.wait_for_end(id);
    let from = desktop.audit(id)[0].from.clone().unwrap();
    assert!(from.starts_with("⟨U+001B⟩[2J⟨U+202E⟩x⟨U+000A⟩yyy") && from.len() < 120, "{from:?}");
    let said = desktop.run(&["audit", &id.to_string()]).out;
    assert!(said.contains("from “⟨U+001B⟩[2J") && said.lines().count() == 1, "{said:?}");
    window.click(&by_name("nav-tasks"));
    window.click(&format!("{}[data-task-id='{id}'] [data-row]", by_name("task-row")));
    window.click(&by_name("tab-audit"));
    window.wait_for_text(&by_name("audit-row"), "from ⟨U+001B⟩[2J⟨U+202E⟩x⟨U+000A⟩y");
}

#[test]
fn deny_is_a_denial_for_whoever_waits() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &USUAL);
    desktop.start_app();
    let (id, request) = asking(&desktop, "asks");
    let shown = notes.wait_for("Needs approval: asks");
    assert_eq!(shown.actions, ANSWERS);
    // What is not there cannot be pressed.
    notes.press(shown.id, "approve");
    notes.press_and_close(shown.id, "deny");
    desktop.wait_for_end(id);
    let said = std::fs::read_to_string(desktop.work().join("said")).unwrap();
    assert!(said.contains("denied: pressed in a desktop notification"), "{said}");
    assert!(said.ends_with("\n1\n"), "{said}");
    let rows = desktop.audit(id);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].actor, Actor::Person { surface: Surface::Notification });
    assert_eq!(rows[0].from.as_deref(), Some("notes 1"));
    assert_eq!(rows[0].hash.as_ref(), Some(&request.hash));
    // The same button once more is the same answer.
    notes.press(shown.id, "deny");

    let gate = desktop.submit_with(&["--ask-first", "--label", "gate"], &["touch ran"]);
    notes.press(notes.wait_for("gate").id, "deny");
    assert_eq!(desktop.wait_for_end(gate).state.name(), StateName::Denied);
    let choice = desktop.submit_with(
        &["--label", "choice"],
        &["nod ask 'Where to?' --choice eu --choice us; [ $? = 1 ]"],
    );
    let shown = notes.wait_for("Needs input: choice");
    assert_eq!(shown.actions, ANSWERS);
    notes.press(shown.id, "deny");
    assert_eq!(desktop.wait_for_end(choice).state.name(), StateName::Succeeded);
    assert!(!desktop.work().join("ran").exists());
    let refused = |shown: &Shown| shown.title.starts_with("Not ");
    assert!(!notes.record().shown.iter().any(refused), "{:?}", notes.record().shown);
}

#[test]
fn review_opens_the_card_and_puts_the_focus_on_deny() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &USUAL);
    let window = desktop.open();
    let (_, first) = asking(&desktop, "first");
    let (_, second) = asking(&desktop, "second");
    let display = desktop.display();
    let focused = |request: &Request| {
        let card = format!("[data-request-id='{}'] {}:focus", request.id, by_name("deny"));
        window.wait_for(&card);
    };
    for (part, action, request) in [("second", "default", &second), ("first", "review", &first)] {
        let shown = notes.wait_for(part);
        window.click(&by_name("nav-history"));
        display.cover();
        assert!(!display.is_in_front(TITLE));
        notes.press(shown.id, action);
        focused(request);
        until("the window in front", || display.is_in_front(TITLE).then_some(()));
    }
    // It is still there to be answered.
    assert_eq!(notes.record().closed, [] as [u32; 0]);
}

#[test]
fn what_is_answered_in_the_window_is_taken_back_and_a_late_press_says_so() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &USUAL);
    let window = desktop.open();
    let (id, request) = asking(&desktop, "both");
    let shown = notes.wait_for("both");
    window.click(&by_name("nav-inbox"));
    window.wait_for(&format!("{}:enabled", by_name("approve")));
    window.click(&by_name("approve"));
    desktop.wait_for_end(id);
    notes.wait_until_closed(&shown);
    notes.press(shown.id, "deny");
    let told = notes.wait_for("Not denied: both");
    assert!(told.body.contains("approved by a person in the window at 20"), "{told:?}");
    assert_eq!((told.actions.len(), told.urgency), (0, 1));
    let closure = desktop.request(id, request.id).closure.unwrap();
    assert!(matches!(closure, Closure::Answered { answer: Answer::Approve, .. }), "{closure:?}");
    let [late, approved] = desktop.audit(id).try_into().unwrap();
    assert_eq!((late.what, approved.what), (AuditWhat::Refused, AuditWhat::Answered));
    assert_eq!(late.actor, Actor::Person { surface: Surface::Notification });
    assert_eq!(late.from.as_deref(), Some("notes 1"));
}

#[test]
fn a_signal_that_the_server_did_not_send_does_nothing() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &USUAL);
    desktop.start_app();
    let asked = asking(&desktop, "asks");
    let shown = notes.wait_for("asks");
    for action in ["deny", "approve", "default"] {
        forge(&desktop, shown.id, action);
    }
    settle(&desktop, &notes);
    assert!(is_open(&desktop, &asked));
    notes.press(shown.id, "deny");
    desktop.wait_for_end(asked.0);
}

#[test]
fn a_server_without_actions_is_given_none() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &["body"]);
    desktop.start_app();
    asking(&desktop, "asks");
    assert_eq!(notes.wait_for("asks").actions, [] as [&str; 0]);
}

#[test]
fn a_press_for_an_earlier_app_or_for_no_notification_does_nothing() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &USUAL);
    let app = desktop.start_app();
    let asked = asking(&desktop, "asks");
    let shown = notes.wait_for("asks");
    processes::kill_9(app);
    // All of it: one that takes a last connection would be taken for the next.
    until("the app to go", || Connection::open(&desktop.socket(), None).err());
    desktop.start_app();
    // Its connection to the bus is there from its first notification on.
    desktop.wait_for_end(desktop.submit_with(&["--label", "ends"], &["true"]));
    notes.wait_for("ends");
    for id in [shown.id, 0, 4_711, u32::MAX] {
        notes.press(id, "deny");
    }
    settle(&desktop, &notes);
    assert!(is_open(&desktop, &asked));
    assert_eq!(desktop.detail(asked.0).requests.len(), 1);
}

#[test]
fn another_server_gives_the_same_numbers_to_other_questions() {
    let desktop = Desktop::start();
    let first = Notes::start(&desktop, &USUAL);
    desktop.start_app();
    let asked = asking(&desktop, "asks");
    let shown = first.wait_for("asks");
    first.end();
    let second = Notes::start(&desktop, &USUAL);
    // It has shown nothing so far, so whatever is pressed there is none of Nod's.
    second.press(shown.id, "deny");
    let (other, _) = asking(&desktop, "other");
    let theirs = second.wait_for("other");
    assert_eq!(theirs.id, shown.id);
    second.press(theirs.id, "deny");
    desktop.wait_for_end(other);
    assert!(is_open(&desktop, &asked));
}

#[test]
fn a_reminder_of_what_was_put_away_is_a_notification_of_its_own() {
    let (home, mut clock) = Clock::of(Home::new());
    let desktop = Desktop::start_in(home);
    let notes = Notes::start(&desktop, &USUAL);
    desktop.start_app();
    let id = desktop.submit_with(&["--label", "asks"], &["nod ask 'Go?' --remind 1m"]);
    let first = notes.wait_for("asks");
    notes.dismiss(first.id);
    while notes.record().shown.len() < 2 {
        clock.pass_a_second(&desktop);
    }
    let second = notes.record().shown[1].clone();
    assert_ne!(second.id, first.id);
    assert_eq!(second.actions, ANSWERS);
    // What is not there any more cannot be pressed.
    notes.press(first.id, "deny");
    settle(&desktop, &notes);
    assert!(desktop.detail(id).requests[0].is_open());
    notes.press(second.id, "deny");
    desktop.wait_for_end(id);
}
