//! The settings: what a person turns on there, what they are told before, and what is in force.

use std::fs;

use nod_core::protocol::{AuditQuery, AuditWhat, Call, Reply, Settings};
use nod_core::request::Request;
use nod_tests::{Desktop, Home, Window, by_name};
use serde_json::json;
use thirtyfour::Key;

use crate::{card, within};

const CONFIG: &str = "[groups.default]\nslots = 7\n[cancel]\ngrace_ms = 2500\n\
    [[rules]]\nmatch = [\"make\", \"**\"]\nthen = \"ask_first\"\nfolder = \"/no/such/folder 無い\"\n";

/// Turns approvals in a terminal on, which waits for the person.
const LOOSER: &str = "[approvals]\nterminal = true\n";

/// Presses the buttons of the dialog the moment they appear, as keys on their way would.
const PRESS_EARLY: &str = "
    window.early = null;
    new MutationObserver(() => {
      const button = document.querySelector(`[data-test='allow-confirm']`);
      if (button === null || window.early !== null) return;
      window.early = button.disabled;
      button.click();
      document.querySelector('dialog form').requestSubmit();
    }).observe(document.body, { childList: true, subtree: true });";

const STICKS_OUT: &str = "
    return [...document.querySelectorAll('main *, dialog *')]
      .filter((it) => it.closest('.sr-only, svg') === null && it.getClientRects().length > 0)
      .filter((it) => it.getBoundingClientRect().right > innerWidth + 1)
      .map((it) => it.outerHTML.slice(0, 120))";

fn settings(desktop: &Desktop) -> Settings {
    let reply = desktop.call(&Call::Settings);
    let Reply::Settings(settings) = reply else { panic!("{reply:?}") };
    settings
}

fn is_on(window: &Window) -> bool {
    window.attribute(&by_name("allow-approvals"), "aria-checked").as_deref() == Some("true")
}

fn look(desktop: &Desktop, window: &Window, name: &str) {
    assert_eq!(window.script(STICKS_OUT, &[]), json!([]), "{name}");
    window.wait_for_frame();
    desktop.picture(name);
}

fn start_dunst(desktop: &Desktop) {
    let config = desktop.path().join("dunstrc");
    fs::write(&config, "[global]\nmarkup = full\n").unwrap();
    let mut dunst = desktop.command("dunst");
    dunst.arg("-conf").arg(&config);
    desktop.keep(dunst, "dunst");
    nod_tests::until("dunst", || {
        let ran = desktop.command("dunstctl").args(["count", "displayed"]).output().unwrap();
        (ran.stdout == b"0\n").then_some(())
    });
}

#[test]
fn approve_in_notifications_is_turned_on_after_its_limit_was_in_sight_and_off_at_once() {
    let desktop = Desktop::start_in(Home::new().with_config(CONFIG));
    start_dunst(&desktop);
    let window = desktop.open();
    window.press("5");
    window.wait_for_text(&by_name("notification-server"), "dunst 1");
    window.wait_for_text(&by_name("notification-server"), "It shows buttons");
    window.wait_for_text(&by_name("config-facts"), "2500 ms");
    look(&desktop, &window, "light-settings");
    assert!(!is_on(&window) && !settings(&desktop).notification_approvals);

    // With the mouse: what was on its way does nothing.
    assert!(window.script(PRESS_EARLY, &[]).is_null());
    window.click(&by_name("allow-approvals"));
    window.wait_for_text(&by_name("approvals-limit"), "dunstctl action");
    window.wait_for(&format!("{}:enabled", by_name("allow-confirm")));
    assert_eq!(window.script("return window.early", &[]), json!(true));
    look(&desktop, &window, "light-settings-limit");
    window.press(Key::Escape + "");
    window.wait_until_gone("dialog");
    assert!(!is_on(&window) && !settings(&desktop).notification_approvals);

    // With the keyboard.
    let toggle = by_name("allow-approvals");
    window.wait_for(&format!("{toggle}:focus"));
    window.press(" ");
    window.wait_for(&format!("{}:enabled", by_name("allow-confirm")));
    window.press(Key::Tab + Key::Tab + Key::Enter);
    window.wait_until_gone("dialog");
    window.wait_until("the switch", || is_on(&window));
    assert!(settings(&desktop).notification_approvals);
    window.wait_for(&format!("{toggle}:focus"));
    look(&desktop, &window, "light-settings-on");
    window.kill_app();

    let desktop = desktop.with_theme("Adwaita:dark");
    let window = desktop.open();
    fs::write(desktop.data().join("config.toml"), [CONFIG, LOOSER].concat()).unwrap();
    window.click(&by_name("nav-settings"));
    window.wait_until("the switch", || is_on(&window));
    window.wait_for_text(&by_name("config-file"), "waits for you");
    look(&desktop, &window, "dark-settings-on");
    window.click(&by_name("allow-approvals"));
    window.wait_until("the switch", || !is_on(&window));
    assert!(!settings(&desktop).notification_approvals);
    window.click(&by_name("allow-approvals"));
    window.wait_for(&format!("{}:enabled", by_name("allow-confirm")));
    look(&desktop, &window, "dark-settings-limit");
    window.click(&by_name("allow-cancel"));
    window.click(&by_name("settings-review"));
    window.wait_for(&by_name("loosening-card"));
    look(&desktop, &window, "dark-loosening");
    let Reply::Audit(page) = desktop.call(&Call::Audit(AuditQuery::default())) else { panic!() };
    let changes = page.rows.iter().filter(|row| row.what == AuditWhat::SettingChanged).count();
    assert_eq!(changes, 2);
}

#[test]
fn a_desktop_that_shows_no_notifications_is_told_of() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-settings"));
    window.wait_for_text(&by_name("notification-server"), "Nothing on the session bus shows them");
    window.wait_for_text(&by_name("config-file"), "There is none");
    fs::write(desktop.data().join("config.toml"), "slots = 3\n").unwrap();
    window.wait_for_text(&by_name("config-file"), "It has an error");
    look(&desktop, &window, "light-settings-trouble");
    window.kill_app();
    let desktop = desktop.with_theme("Adwaita:dark");
    let window = desktop.open();
    window.click(&by_name("nav-settings"));
    window.wait_for_text(&by_name("config-file"), "It has an error");
    look(&desktop, &window, "dark-settings-trouble");
}

/// Opens everything that says what is approved along with a command.
fn look_at_gate(desktop: &Desktop, window: &Window, request: &Request, theme: &str) {
    window.click(&by_name("nav-inbox"));
    let card = card(request);
    window.wait_for_text(&within(&card, "terms"), "can type into it");
    window.wait_for_text(&card, "partly hidden");
    window.wait_for(&format!("{}:enabled", within(&card, "approve")));
    look(desktop, window, &format!("{theme}-gate"));
    window.click(&within(&card, "always-allow"));
    window.wait_for_text(&by_name("rule-preview"), "of the last 1 task");
    window.wait_for(&format!("{}:enabled", by_name("save-rule")));
    look(desktop, window, &format!("{theme}-gate-rule"));
    window.press(Key::Escape + "");
    window.wait_until_gone("dialog");
    window.click(&by_name("nav-rules"));
    window.wait_for_text(&by_name("rule-notes"), "there is no folder /no/such/folder 無い");
    look(desktop, window, &format!("{theme}-rules-notes"));
}

#[test]
fn what_is_approved_along_with_a_command_and_what_rules_do_not_do_is_shown() {
    let desktop = Desktop::start_in(Home::new().with_config(CONFIG));
    let options = [
        ["--ask-first", "-i", "--keep-children", "--session=s", "--retries=2", "--timeout=10m"]
            .as_slice(),
        &[
            "--env",
            "DATABASE_URL=postgres://mika:geheim12345@db.example/production?sslmode=require",
        ],
        &["--env", "API_TOKEN=sk-1234567890abcdef", "--env", "COLOUR=blue", "--label", "移行"],
    ];
    let id = desktop.submit_with(&options.concat(), &["./migrate", "--all", "two words"]);
    let request = desktop.wait_for_request(id);
    let window = desktop.open();
    look_at_gate(&desktop, &window, &request, "light");
    window.kill_app();
    let desktop = desktop.with_theme("Adwaita:dark");
    let window = desktop.open();
    look_at_gate(&desktop, &window, &request, "dark");
}
