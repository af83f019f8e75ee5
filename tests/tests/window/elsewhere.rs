//! What is answered elsewhere while its card is open.

use std::process::Stdio;

use nod_tests::home::program;
use nod_tests::seat::{ON, noted};
use nod_tests::{Desktop, Home, by_name};

use crate::{card, read, within};

#[test]
fn a_card_that_is_answered_in_a_terminal_says_so_in_its_place() {
    let desktop = Desktop::start_in(Home::new().with_config(ON));
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    window.click(&by_name("confirm-loosening"));
    window.wait_until_gone(&by_name("loosening-card"));
    let id = desktop.submit("nod ask 'Deploy?'; echo $? > asked");
    let other = desktop.wait_for_request(desktop.submit("nod ask 'And this?'"));
    let request = desktop.wait_for_request(id);
    let card = card(&request);
    window.wait_for(&format!("{}:enabled", within(&card, "approve")));

    let nod = program("nod").display().to_string();
    let line = noted(&format!("{nod} deny r{} --reason 'not today'", request.id));
    // No child of the test's, as a terminal of a menu is none.
    let mut terminal = desktop.command("setsid");
    terminal.args(["-f", "xterm", "-e", "/bin/sh", "-c", &line]).stdout(Stdio::null());
    assert!(terminal.status().unwrap().success());

    window.wait_for_text(&card, "Denied by a person in a terminal");
    window.wait_for_text(&card, "not today");
    window.wait_for_attribute(&card, "data-open", "false");
    for name in ["approve", "deny"] {
        assert_eq!(window.count(&within(&card, name)), 0);
    }
    desktop.wait_for_end(id);
    assert_eq!(read(&desktop, "asked"), "1\n");
    desktop.picture("answered-in-a-terminal");
    // The other one is as it was.
    window.wait_for(&format!("{}:enabled", within(&crate::card(&other), "approve")));
}
