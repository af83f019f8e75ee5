//! The accessibility bus: any program of the user may press the buttons of any window there.

use nod_tests::accessibility::Accessibility;
use nod_tests::desktop::SHIPPED;
use nod_tests::home::program;
use nod_tests::{Desktop, until};

#[test]
fn a_program_on_the_accessibility_bus_answers_nothing() {
    let desktop = Desktop::start();
    let bus = Accessibility::start(&desktop);
    let mut app = desktop.command(program(SHIPPED));
    app.env_remove("NO_AT_BRIDGE");
    desktop.keep(app, "app");
    desktop.wait_for_app(SHIPPED);
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
