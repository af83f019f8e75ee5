//! A window that stays usable while one task asks without end; and several who ask the same.

use std::process::Child;

use nod_core::task::StateName;
use nod_tests::{Desktop, Home, by_name, until};

use crate::{card, touch, within};

/// Asks ten thousand times over one connection, and reads all that is said to it.
const FLOOD: &str = r#"
import json, os, socket, threading
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ["NOD_SOCKET"])
def say(number, method, params):
    line = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    s.sendall((json.dumps(line) + "\n").encode())
def read():
    for line in s.makefile():
        pass
threading.Thread(target=read, daemon=True).start()
say(0, "hello", {"protocol": 2, "token": os.environ["NOD_TOKEN"]})
for n in range(10000):
    say(n + 1, "ask", {"operation": f"flood-{n}", "question": f"Go {n}?", "detail": None,
                       "timeout_ms": None})
open("flooded", "w").close()
while not os.path.exists("end"):
    threading.Event().wait(0.02)
"#;

#[test]
fn a_flood_of_questions_leaves_the_window_usable() {
    let desktop = Desktop::start();
    std::fs::write(desktop.work().join("flood.py"), FLOOD).unwrap();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let other = desktop.submit("nod ask 'The one that matters?'");
    let request = desktop.wait_for_request(other);
    let approve = within(&card(&request), "approve");
    window.wait_for(&approve);
    let flood = desktop.submit("python3 flood.py");
    // While it goes on: its cards come below, and what stands above is answered.
    window.wait_until("cards of the flood", || window.count(&by_name("request-card")) > 10);
    window.wait_for(&format!("{approve}:enabled"));
    window.click(&approve);
    assert_eq!(desktop.wait_for_end(other).state.name(), StateName::Succeeded);
    until("the end of the flood", || desktop.work().join("flooded").exists().then_some(()));
    let cards = window.count(&by_name("request-card"));
    assert!(cards <= 22, "{cards} cards");
    let elements = window.count("*");
    assert!(elements < 3_000, "{elements} elements");
    window.click(&by_name("nav-tasks"));
    window.wait_for(&by_name("task-row"));
    desktop.picture("flood");
    touch(&desktop, "end");
    desktop.wait_for_end(flood);
}

/// A program that is no task, and asks the same four times.
fn asking_four_times(desktop: &Desktop) -> Child {
    let mut asking = desktop.command("sh");
    let line = "for n in 1 2 3 4; do $1 ask 'Publish the release notes?' & done; wait";
    asking.args(["-c", line, "release-bot"]).arg(nod_tests::home::program("nod"));
    asking.spawn().unwrap()
}

fn look_at_askers(desktop: &Desktop, theme: &str) {
    let window = desktop.open();
    let mut asking = asking_four_times(desktop);
    let task =
        desktop.submit("for n in 1 2 3; do nod ask 'Delete the old build?' & done; wait; true");
    window.click(&by_name("nav-inbox"));
    let request = desktop.wait_for_request(task);
    let of_task = card(&request);
    window.wait_for_text(&within(&of_task, "also-asked"), "asked 3 times");
    let others = format!("{}:not([data-request-id='{}'])", by_name("request-card"), request.id);
    window.wait_for_text(&within(&others, "also-asked"), "and 3 more: process ");
    window.click(&format!("{others} summary"));
    window.wait_for_text(&within(&others, "askers"), "the command line (process ");
    assert_eq!(window.count(&format!("{} li", within(&others, "askers"))), 4);
    desktop.picture(&format!("{theme}-askers"));
    window.wait_for(&format!("{}:enabled", within(&others, "approve")));
    window.click(&within(&others, "approve"));
    assert!(asking.wait().unwrap().success());
    window.wait_for(&format!("{}:enabled", within(&of_task, "approve")));
    window.click(&within(&of_task, "approve"));
    desktop.wait_for_end(task);
    window.click(&by_name("nav-rules"));
    window.click(&format!("{} summary", by_name("rules-audit")));
    window.wait_for_text(&by_name("rules-audit"), "asked first: rm");
    desktop.picture(&format!("{theme}-rules-audit"));
    window.kill_app();
}

#[test]
fn all_who_ask_the_same_are_named_and_the_rules_have_their_audit() {
    let config = "[[rules]]\nmatch = [\"rm\", \"-r\", \"**\"]\nthen = \"ask_first\"\n";
    let desktop = Desktop::start_in(Home::new().with_config(config));
    look_at_askers(&desktop, "light");
    look_at_askers(&desktop.with_theme("Adwaita:dark"), "dark");
}
