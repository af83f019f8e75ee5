//! The accessibility bus: any program of the user may press the buttons of any window there.

use nod_core::protocol::{Call, Reply, RuleList};
use nod_core::task::StateName;
use nod_tests::accessibility::Accessibility;
use nod_tests::{Desktop, Home, Window, by_name, until};
use serde_json::json;
use thirtyfour::Key;

use crate::row;

/// Counts what the dialog, a row or a card says as an alert, and notes whenever Save is turned off or on.
const WATCH: &str = "
    [window.told, window.save] = [[], []];
    new MutationObserver((changes) => {
      for (const { type, target, addedNodes, oldValue } of changes) {
        const button = target.closest?.(\"[data-test='save-rule']\");
        if (type === 'attributes' && button) window.save.push(oldValue === null ? 'off' : 'on');
        for (const node of addedNodes) if (node.role === 'alert') window.told.push(node.innerText);
      }
    }).observe(document.body, {
      attributeFilter: ['disabled'], attributeOldValue: true, childList: true, subtree: true,
    });";

const BY_NO_HAND: &str = "A program pressed this";
const BY_A_LENT_HAND: &str = "A program moved the focus";

const ASKS: &str = "[[rules]]\nmatch = [\"touch\", \"**\"]\nthen = \"ask_first\"\n";

fn rules(desktop: &Desktop) -> RuleList {
    let Reply::Rules(rules) = desktop.call(&Call::Rules) else { panic!("no rules") };
    rules
}

/// Opens a window that a person drives, and a bus from which a program presses in it.
fn open(config: &str) -> (Desktop, Accessibility, Window) {
    let desktop = Desktop::start_in(Home::new().with_config(config)).with_accessibility();
    let bus = Accessibility::start(&desktop);
    let window = desktop.open();
    assert!(window.script(WATCH, &[]).is_null());
    (desktop, bus, window)
}

/// Waits until the window has said so many things, the last of which begins so.
#[track_caller]
fn wait_until_told(window: &Window, count: usize, begin: &str) {
    window.wait_until(&format!("{begin} as number {count}"), || {
        let told = window.script("return window.told", &[]);
        let told = told.as_array().expect("a list");
        let last = told.get(count - 1).and_then(|last| last.as_str().map(str::to_owned));
        last.is_some_and(|last| last.starts_with(begin))
    });
}

fn wait_for_enabled(window: &Window, name: &str) {
    window.wait_for(&format!("{}:enabled", by_name(name)));
}

/// Waits until Save was turned off and on again since it was looked at last.
#[track_caller]
fn wait_until_armed_anew(window: &Window, what: &str) {
    window.wait_until(what, || window.script("return window.save", &[]) == json!(["off", "on"]));
    assert!(window.script("window.save = []", &[]).is_null());
}

#[test]
fn a_program_on_the_accessibility_bus_answers_nothing() {
    let desktop = Desktop::start().with_accessibility();
    let bus = Accessibility::start(&desktop);
    desktop.start_app();
    let id = desktop.submit_with(&["--ask-first"], &["touch pressed"]);
    let request = desktop.wait_for_request(id);

    // What anybody may do, it can do as well: it is heard.
    assert!(bus.wait_for("Needs you").press());
    // Until the card has been in sight long enough, there is nothing to press.
    until("Approve", || bus.wait_for("Approve").press().then_some(()));
    let _told = bus.wait_for("A program pressed this");
    assert!(desktop.request(id, request.id).is_open());
    assert!(!desktop.work().join("pressed").exists());
}

#[test]
fn a_program_on_the_accessibility_bus_makes_no_rule_and_revokes_none() {
    let (desktop, bus, window) = open(ASKS);
    let id = desktop.submit_with(&[], &["touch", "pressed"]);
    let request = desktop.wait_for_request(id);
    window.click(&by_name("nav-inbox"));
    wait_for_enabled(&window, "approve");
    window.click(&by_name("always-allow"));
    wait_for_enabled(&window, "save-rule");
    assert!(bus.wait_for_button("Save rule").press());
    wait_until_told(&window, 1, BY_NO_HAND);
    // Nor while the person types a space.
    window.click(&by_name("rule-name"));
    window.hold(' ');
    window.wait_until("the space", || window.value(&by_name("rule-name")) == " ");
    assert!(bus.wait_for_button("Allow and approve").press());
    wait_until_told(&window, 2, BY_NO_HAND);
    window.let_go(' ');
    assert_eq!(rules(&desktop).rules.len(), 1);
    assert!(desktop.request(id, request.id).is_open());

    // What the person writes holds nothing up; what a program changes has to be in sight first.
    window.click(&by_name("rule-name"));
    assert!(window.script("window.save = []", &[]).is_null());
    window.press("x");
    window.wait_until("the letter", || window.value(&by_name("rule-name")).contains('x'));
    assert_eq!(window.script("return window.save", &[]), json!([]));
    assert!(bus.wait_for_button("Any more words").press());
    wait_until_armed_anew(&window, "more words");
    assert!(bus.wait_for_choice("30 days").press());
    wait_until_armed_anew(&window, "another end");

    window.click(&by_name("save-rule"));
    window.wait_until_gone("dialog");
    assert_eq!(rules(&desktop).rules.len(), 2);
    window.click(&by_name("nav-rules"));
    assert!(bus.wait_for_button("Revoke…").press());
    let told = window.script("return window.told.length", &[]).as_u64().unwrap();
    assert!(bus.wait_for_button("Revoke").press());
    wait_until_told(&window, usize::try_from(told).unwrap() + 1, BY_NO_HAND);
    assert_eq!(rules(&desktop).rules.len(), 2);
    window.click(&by_name("revoke-confirm"));
    window.wait_until("the rule to go", || rules(&desktop).rules.len() == 1);
}

#[test]
fn a_program_on_the_accessibility_bus_confirms_nothing_and_allows_nothing() {
    let (desktop, bus, window) = open("[approvals]\nterminal = true\n");
    window.click(&by_name("nav-inbox"));
    wait_for_enabled(&window, "confirm-loosening");
    assert!(bus.wait_for_button("Let this hold").press());
    wait_until_told(&window, 1, BY_NO_HAND);
    assert!(rules(&desktop).loosening.is_some());

    window.click(&by_name("nav-settings"));
    window.click(&by_name("allow-approvals"));
    wait_for_enabled(&window, "allow-confirm");
    assert!(bus.wait_for_button("Allow it").press());
    window.wait_for_text("dialog", BY_NO_HAND);
    let reply = desktop.call(&Call::Settings);
    let Reply::Settings(settings) = reply else { panic!("{reply:?}") };
    assert!(!settings.notification_approvals);
}

#[test]
fn a_program_on_the_accessibility_bus_slips_nothing_under_a_key() {
    let (desktop, bus, window) = open("");
    let id = desktop.submit_with(&["--ask-first"], &["touch pressed"]);
    let request = desktop.wait_for_request(id);
    window.click(&by_name("nav-inbox"));
    wait_for_enabled(&window, "approve");
    // The person is writing a comment.
    window.click(&by_name("comment"));
    window.press("looks");
    assert!(bus.wait_for_button("Approve").focus());
    window.wait_until("the focus", || window.focused().as_deref() == Some("approve"));
    window.press(" ");
    wait_until_told(&window, 1, BY_A_LENT_HAND);
    assert!(bus.wait_for_field("Comment (optional)").focus());
    assert!(bus.wait_for_button("Approve").focus());
    window.wait_until("the focus", || window.focused().as_deref() == Some("approve"));
    window.press(Key::Enter + "");
    wait_until_told(&window, 2, BY_A_LENT_HAND);
    assert!(desktop.request(id, request.id).is_open());

    // A form that a program has opened is not sent by a key that was for something else.
    assert!(bus.wait_for_button("New task").press());
    assert!(bus.wait_for_field("Command").focus());
    window.wait_until("the focus", || window.focused().as_deref() == Some("submit-command"));
    window.press("touch pressed");
    let command = by_name("submit-command");
    window.wait_until("the command", || window.value(&command) == "touch pressed");
    wait_for_enabled(&window, "submit-go");
    window.press(Key::Enter + "");
    wait_until_told(&window, 3, BY_A_LENT_HAND);
    assert!(bus.wait_for_button("Run task").press());
    wait_until_told(&window, 4, BY_NO_HAND);
    assert_eq!(desktop.tasks().len(), 1);
    assert!(!desktop.work().join("pressed").exists());
    // Who goes there by themselves can use it.
    window.press_with(Key::Shift, Key::Tab + "");
    window.wait_until("another focus", || window.focused().as_deref() != Some("submit-go"));
    window.press(Key::Tab + "");
    window.wait_until("the focus", || window.focused().as_deref() == Some("submit-go"));
    window.press(Key::Enter + "");
    window.wait_until("the task", || desktop.tasks().len() == 2);
}

#[test]
fn a_program_on_the_accessibility_bus_types_nothing_into_a_task() {
    let (desktop, bus, window) = open("");
    let reader = "while read -r line; do echo \"got <$line>\"; done";
    let id = desktop.submit_with(&["-i"], &[reader]);
    desktop.wait_for_state(id, StateName::Running);
    window.click(&format!("{} [data-row]", row(id)));
    window.wait_for(".xterm-screen");
    window.click(".xterm-screen");
    let may_write = bus.wait_for_field("Terminal input").insert("evil");
    if may_write {
        window.wait_for_text(&by_name("detail"), "A program wrote this");
    }
    // Nor is what the person types where a program has moved the focus.
    window.click(&by_name("nav-tasks"));
    assert!(bus.wait_for_field("Terminal input").focus());
    window.press("lent");
    window.wait_for_text(&by_name("detail"), BY_A_LENT_HAND);
    window.click(".xterm-screen");
    window.press("own");
    window.press(Key::Enter + "");
    until("what was typed", || desktop.plain_log(id).contains("got <own>").then_some(()));
}
