//! Rules: made from a card or from nothing, seen in their order, and revoked.

use std::fs;

use nod_core::command::CommandLine;
use nod_core::ids::TaskId;
use nod_core::protocol::{AuditQuery, AuditWhat, Call, Reply, RuleList};
use nod_core::rule::Then;
use nod_core::task::StateName;
use nod_tests::{Desktop, Home, Window, by_name};
use serde_json::json;
use thirtyfour::Key;

use crate::{card, within};

const ASKS: &str =
    "[[rules]]\nmatch = [\"touch\", \"**\"]\nthen = \"ask_first\"\nname = \"touching 触る\"\n";

const WORDS: &str = "
    return [...document.querySelectorAll(\"[data-test='rule-word'] input\")].map((it) => it.value)";

/// Presses the buttons of the dialog the moment they appear, as keys on their way would.
const PRESS_EARLY: &str = "
    window.early = null;
    new MutationObserver(() => {
      const find = (name) => document.querySelector(`[data-test='${name}']`);
      const buttons = [find('save-rule'), find('allow-and-approve')];
      if (buttons.includes(null) || window.early !== null) return;
      window.early = buttons.map((button) => button.disabled);
      for (const button of buttons) button.click();
      document.querySelector('dialog form').requestSubmit();
    }).observe(document.body, { childList: true, subtree: true });";

const STICKS_OUT: &str = "
    return [...document.querySelectorAll('dialog *')]
      .filter((it) => it.closest('.sr-only, svg') === null)
      .filter((it) => it.getClientRects().length > 0)
      .filter((it) => it.getBoundingClientRect().right > innerWidth + 1)
      .map((it) => it.outerHTML.slice(0, 120))";

fn rules(desktop: &Desktop) -> RuleList {
    let Reply::Rules(rules) = desktop.call(&Call::Rules) else { panic!("no rules") };
    rules
}

/// Submits words in the person's own environment: a rule lets nothing pass in another one.
fn submitted(desktop: &Desktop, words: &[&str]) -> TaskId {
    let mut submit = desktop.shell_submit("");
    let argv = words.iter().map(|word| (*word).to_owned()).collect();
    submit.command = CommandLine::Argv { argv };
    submit.label = Some("触る <b>".into());
    let Reply::Submitted { id, .. } = desktop.call(&Call::Submit(Box::new(submit))) else {
        panic!()
    };
    id
}

fn audited(desktop: &Desktop, what: AuditWhat) -> usize {
    let Reply::Audit(page) = desktop.call(&Call::Audit(AuditQuery::default())) else { panic!() };
    page.rows.iter().filter(|row| row.what == what).count()
}

fn wait_for_focus(window: &Window, name: &str) {
    window
        .wait_until(&format!("the focus on {name}"), || window.focused().as_deref() == Some(name));
}

fn wait_for_enabled(window: &Window, name: &str) {
    window.wait_for(&format!("{}:enabled", by_name(name)));
}

/// As many rows again as there are of what was asked of the person, many times.
const ASKED_OFTEN: &str = "
    CREATE TEMP TABLE asked AS SELECT * FROM audit WHERE what = 'loosening_asked';
    CREATE TEMP TABLE times (n INTEGER);
    INSERT INTO times WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
        SELECT i FROM n;
    CREATE TEMP TABLE copies AS SELECT asked.*, times.n FROM asked, times;
    UPDATE copies SET id = 1000 + n;
    ALTER TABLE copies DROP COLUMN n;
    INSERT INTO audit SELECT * FROM copies;";

/// Brings the last row into sight, if it can be, and returns whether it is.
const SHOW_LAST: &str = "
    const row = [...document.querySelectorAll(\"[data-test='audit-row']\")].at(-1);
    row.scrollIntoView();
    const box = row.getBoundingClientRect();
    return box.top >= 0 && box.bottom <= innerHeight";

#[test]
fn the_audit_of_the_rules_can_be_read_to_its_end_though_there_is_no_rule() {
    let desktop = Desktop::start_in(Home::new().with_config("[approvals]\nterminal = true\n"));
    desktop.wait_for_end(desktop.submit("true"));
    assert_eq!(audited(&desktop, AuditWhat::LooseningAsked), 1);
    let history = rusqlite::Connection::open(desktop.data().join("nod.db")).unwrap();
    history.execute_batch(ASKED_OFTEN).unwrap();
    let window = desktop.open();
    window.click(&by_name("nav-rules"));
    window.wait_for_text("section[aria-label='Rules']", "No rules");
    window.wait_for_frame();
    desktop.picture("rules-none");
    window.click(&format!("{} summary", by_name("rules-audit")));
    window.wait_until("all rows", || window.count(&by_name("audit-row")) == 41);
    window.wait_for_text(&by_name("rules-audit"), "approvals in a terminal are turned on");
    desktop.picture("rules-none-audit");
    assert_eq!(window.script(SHOW_LAST, &[]), true);
    window.wait_for_frame();
    desktop.picture("rules-none-audit-end");
}

#[test]
fn a_rule_made_from_a_card_lets_the_same_pass_from_the_next_time_on() {
    let desktop = Desktop::start_in(Home::new().with_config(ASKS));
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let words = ["touch", "完了", "*.rs"];
    let first = submitted(&desktop, &words);
    let request = desktop.wait_for_request(first);
    let card = card(&request);
    wait_for_enabled(&window, "approve");
    desktop.picture("rule-card");
    assert!(window.script(PRESS_EARLY, &[]).is_null());
    window.click(&within(&card, "always-allow"));
    // It begins as narrow as the task, and takes nothing that was on its way.
    wait_for_enabled(&window, "save-rule");
    assert_eq!(window.script("return window.early", &[]), json!([true, true]));
    assert_eq!(rules(&desktop).rules.len(), 1);
    assert!(desktop.request(first, request.id).is_open());
    assert_eq!(window.script(WORDS, &[]), json!(["touch", "完了", "[*].rs"]));
    assert_eq!(window.value(&by_name("rule-folder")), desktop.work().to_string_lossy());
    window.wait_for_text(&by_name("rule-preview"), "It would have matched 1 of the last 1 task");
    window.wait_for_text(&by_name("rule-loosens"), "Less is asked");
    desktop.picture("rule-dialog");
    assert_eq!(window.script(STICKS_OUT, &[]), json!([]));

    // What the engine does not allow is said at the word.
    window.fill(&format!("{} input", by_name("rule-word")), "t*");
    window.wait_for_text(&by_name("word-error"), "names a program");
    desktop.picture("rule-refused");
    window.fill(&format!("{} input", by_name("rule-word")), "touch");
    window.wait_until_gone(&by_name("word-error"));
    window.fill(&by_name("rule-name"), "触ってよい <i>");
    window.click(&by_name("save-rule"));
    window.wait_until_gone("dialog");
    wait_for_focus(&window, "always-allow");
    let made = &rules(&desktop).rules[0].rule;
    assert_eq!(made.argv, ["touch", "完了", "[*].rs"]);
    assert_eq!((made.then, made.folder.as_deref()), (Then::NeedNotAsk, desktop.work().to_str()));
    assert!(made.expires_at.is_some());
    // The open card is not answered by that.
    assert!(desktop.request(first, request.id).is_open());
    let second = submitted(&desktop, &words);
    assert_eq!(desktop.wait_for_end(second).state.name(), StateName::Succeeded);
    assert!(desktop.work().join("*.rs").exists());
    assert_eq!(audited(&desktop, AuditWhat::Passed), 1);

    // Neither is the same with another word, which is approved together with its rule.
    let third = submitted(&desktop, &["touch", "other"]);
    let other = crate::card(&desktop.wait_for_request(third));
    window.wait_for(&format!("{}:enabled", within(&other, "approve")));
    window.click(&within(&other, "always-allow"));
    window.click(&by_name("allow-and-approve"));
    assert_eq!(desktop.wait_for_end(third).state.name(), StateName::Succeeded);
    window.wait_for_text(&other, "Approved by a person in the window");
    window.wait_until_gone("dialog");
    assert_eq!(rules(&desktop).rules.len(), 3);
    assert_eq!(audited(&desktop, AuditWhat::RuleAdded), 2);
    assert!(desktop.request(first, request.id).is_open());
}

#[test]
fn what_the_app_was_started_with_is_not_what_a_person_is_used_to() {
    let home = Home::new().with_config(ASKS).with_variable("GIT_SSH_COMMAND", "/tmp/evil-ssh");
    let desktop = Desktop::start_in(home);
    let _window = desktop.open();
    let id = desktop.submit_with(&[], &["touch", "ran"]);
    let shown = desktop.wait_for_request(id).shown.environment;
    let change = shown.iter().find(|change| change.name == "GIT_SSH_COMMAND");
    assert_eq!(change.and_then(|change| change.value.as_deref()), Some("/tmp/evil-ssh"));
    // Neither does a task of the window get it.
    let own = submitted(&desktop, &["touch", "ran"]);
    assert_eq!(desktop.wait_for_request(own).shown.environment, []);
    assert_eq!(desktop.run(&["cancel", "--all"]).code, Some(0));
    for id in [id, own] {
        desktop.wait_for_end(id);
    }
}

#[test]
fn a_rule_is_made_and_revoked_without_a_mouse() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.press("4");
    window.wait_for_text("main", "No rules");
    window.wait_for_text("main", &desktop.data().join("config.toml").to_string_lossy());
    desktop.picture("rules-none");
    let press_on = |name: &str| {
        window.wait_until(&format!("the focus on {name}"), || {
            if window.focused().as_deref() == Some(name) {
                return true;
            }
            window.press(Key::Tab + "");
            false
        });
    };
    press_on("new-rule");
    window.press(Key::Enter + "");
    window.wait_for("dialog");
    window.press(Key::Escape + "");
    window.wait_until_gone("dialog");
    wait_for_focus(&window, "new-rule");
    window.press(Key::Enter + "");
    press_on("rule-word");
    window.press("touch");
    press_on("add-words");
    window.press(Key::Space + "");
    window.wait_until("two words", || window.script(WORDS, &[]) == json!(["touch", "**"]));
    press_on("rule-name");
    window.press("触るな");
    wait_for_enabled(&window, "save-rule");
    window.press(Key::Enter + "");
    window.wait_until_gone("dialog");
    window.wait_for_text(&by_name("rule"), "触るな");
    wait_for_focus(&window, "new-rule");
    let asked = desktop.submit_with(&[], &["touch", "ran"]);
    desktop.wait_for_state(asked, StateName::Queued);

    window.press("j");
    wait_for_focus(&window, "revoke-rule");
    window.press(Key::Enter + "");
    wait_for_focus(&window, "keep-rule");
    desktop.picture("rule-revoking");
    window.press(Key::Escape + "");
    wait_for_focus(&window, "revoke-rule");
    window.press(Key::Enter + "");
    wait_for_focus(&window, "keep-rule");
    window.press(Key::Tab + Key::Enter);
    window.wait_until_gone(&by_name("rule"));
    wait_for_focus(&window, "new-rule");
    assert!(rules(&desktop).rules.is_empty());
    let free = desktop.submit_with(&[], &["touch", "free"]);
    desktop.wait_for_end(free);
    assert!(desktop.work().join("free").exists());
}

fn look(desktop: &Desktop, window: &Window, theme: &str) {
    window.click(&by_name("nav-rules"));
    window.wait_for(&by_name("rule"));
    window.wait_for_frame();
    desktop.picture(&format!("rules-{theme}"));
    window.click(&by_name("nav-inbox"));
    window.click(&by_name("always-allow"));
    window.wait_for_text(&by_name("rule-preview"), "It would have matched");
    wait_for_enabled(window, "save-rule");
    window.wait_for_frame();
    desktop.picture(&format!("rule-dialog-{theme}"));
    assert_eq!(window.script(STICKS_OUT, &[]), json!([]), "{theme}");
    window.click(&by_name("rule-cancel"));
    window.wait_until_gone("dialog");
}

#[test]
fn the_rules_stand_in_their_order_and_what_the_file_dropped_is_still_in_force() {
    let more = "[[rules]]\nmatch = [\"git\", \"push\", \"**\", \"--force*\", \"**\"]\n\
                then = \"ask_first\"\nfolder = \"/home/me/作業\"\nexpires_at = 1000\n";
    let desktop = Desktop::start_in(Home::new().with_config(&format!("{ASKS}{more}")));
    let window = desktop.open();
    let words = ["touch", "-d", "2020-01-01", "二つの 言葉", "a\u{202e}b", ""];
    let asked = desktop.submit_with(&["--session", "claude-7f3a"], &words);
    let request = desktop.wait_for_request(asked);
    window.click(&by_name("nav-inbox"));
    window.wait_for(&format!("{}:enabled", within(&card(&request), "approve")));
    window.click(&by_name("always-allow"));
    window.click(&by_name("save-rule"));
    window.wait_until_gone("dialog");
    window.click(&by_name("nav-rules"));
    window.wait_until("three rules", || window.count(&by_name("rule")) == 3);
    let place = |n: usize| format!("li:nth-child({n}){}", by_name("rule"));
    let shown = window.wait_for_text(&place(1), "Need not ask");
    assert!(shown.contains("a⟨U+202E⟩b") && shown.contains("ends in 6d"), "{shown}");
    // The config file now says less, and is also broken at first.
    let file = desktop.data().join("config.toml");
    fs::write(&file, "[[rules]]\nmatch = [\"touch\"]\nthen = \"ask\"\n").unwrap();
    let said = window.wait_for_text(&by_name("config-error"), &file.to_string_lossy());
    for part in ["line 3", "ask_first", "need_not_ask"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    desktop.picture("config-error");
    assert_eq!(window.count(&by_name("rule-dropped")), 0);
    fs::write(&file, format!("{more}[groups.build]\nslots = 2\n")).unwrap();
    window.wait_until_gone(&by_name("config-error"));
    window
        .wait_for_text(&by_name("rules-wait"), "no longer asked first: touch ** (“touching 触る”)");
    let dropped = format!("{}:has({})", by_name("rule"), by_name("rule-dropped"));
    window.wait_for_text(&dropped, "touching 触る");
    assert_eq!(window.count(&dropped), 1);
    // What else the file says has come as well.
    window.press("n");
    window.wait_for(&by_name("submit-group"));
    window.press(Key::Escape + "");
    window.wait_until_gone("dialog");
    look(&desktop, &window, "light");
    window.kill_app();

    let desktop = desktop.with_theme("Adwaita:dark");
    let window = desktop.open();
    look(&desktop, &window, "dark");
    // Confirmed, it is gone from the list.
    window.click(&by_name("nav-rules"));
    window.click(&by_name("review-loosening"));
    wait_for_enabled(&window, "confirm-loosening");
    window.click(&by_name("confirm-loosening"));
    window.wait_until_gone(&by_name("loosening-card"));
    window.click(&by_name("nav-rules"));
    window.wait_until("two rules", || window.count(&by_name("rule")) == 2);
    assert_eq!(window.count(&by_name("rules-wait")), 0);
    window.wait_for_text(&format!("{}[data-over]", by_name("rule")), "Expired");
}
