//! Approve in a notification: only where the person wants it, and all that is approved is in sight.

use std::time::{Duration, Instant};

use nod_core::access::{Actor, Surface};
use nod_core::command::CommandLine;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};
use nod_core::request::ARMING_MS;
use nod_core::task::StateName;
use nod_tests::{Desktop, Window, until};
use serde_json::json;

use crate::buttons::ANSWERS;
use crate::server::{Notes, Shown, USUAL, forge};

const ALL: [&str; 8] =
    ["default", "Review", "review", "Review", "deny", "Deny", "approve", "Approve"];

const ALLOW: &str = "
    const call = { method: 'allow_notification_approvals',
                   params: { operation: crypto.randomUUID(), allowed: arguments[0] } };
    return window.__TAURI_INTERNALS__.invoke('rpc', { call }).then((reply) => reply.type)";

/// Turns the setting on or off, as the person at the window.
fn allow(window: &Window, allowed: bool) {
    assert_eq!(window.script(ALLOW, &[json!(allowed)]), "done");
}

/// What a task's environment has beside the person's: names and values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// Submits a task that is asked about, in the person's own environment: each difference would be
/// shown.
fn gate(desktop: &Desktop, label: &str, words: &[&str]) -> TaskId {
    gate_with(desktop, (label, &[]), words)
}

fn gate_with(
    desktop: &Desktop,
    (label, variables): (&str, Variables<'_>),
    words: &[&str],
) -> TaskId {
    let mut submit = desktop.shell_submit("");
    let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    submit.extra_environment = pairs.collect();
    let argv = words.iter().map(|word| (*word).to_owned()).collect();
    submit.command = CommandLine::Argv { argv };
    (submit.label, submit.ask_first) = (Some(label.to_owned()), true);
    let reply = desktop.call(&Call::Submit(Box::new(submit)));
    let Reply::Submitted { id, .. } = reply else { panic!("{reply:?}") };
    id
}

/// Waits until nothing that was shown is new any more.
fn wait_until_armed(notes: &Notes) {
    let arming = Duration::from_millis(ARMING_MS);
    until("the arming", || {
        let last = notes.record().shown.last().map(|shown| shown.at);
        last.is_some_and(|at| at.elapsed() > arming).then_some(())
    });
}

/// Presses Approve on the newest notification of a task until that has ended. The app has one in sight
/// from when it hears that it is shown, a little later than the server: a press may be too early yet.
fn approve(desktop: &Desktop, notes: &Notes, (id, label): (TaskId, &str), press: fn(&Notes, u32)) {
    let newest = || {
        let record = notes.record();
        record
            .shown
            .iter()
            .rev()
            .find(|it| it.title.ends_with(label))
            .cloned()
            .expect("it is shown")
    };
    let has_ended = || desktop.task(id).state.outcome().is_some();
    while !has_ended() {
        wait_until_armed(notes);
        let shown = newest();
        press(notes, shown.id);
        until("the end, or the question once more", || {
            (has_ended() || newest().at > shown.at).then_some(())
        });
    }
}

fn escaped(body: &str) -> String {
    body.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn approve_is_there_only_while_the_person_wants_it() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &USUAL);
    let window = desktop.open();
    gate(&desktop, "before", &["true"]);
    assert_eq!(notes.wait_for("before").actions, ANSWERS);
    allow(&window, true);
    let id = gate(&desktop, "after <b>", &["touch", "ran", "a & b", "完了"]);
    let shown = notes.wait_for("after");
    assert_eq!(shown.title, "Needs approval: after <b>");
    assert_eq!(shown.actions, ALL);
    let lines: Vec<_> = shown.body.lines().collect();
    assert_eq!(lines[..2], ["Start this task?", "Command: touch ran 'a &amp; b' 完了"]);
    assert_eq!(lines[2], format!("Folder: {}", desktop.work().display()));
    assert!(lines[3].starts_with("Environment: "), "{lines:?}");
    wait_until_armed(&notes);
    // Nobody but the server presses it.
    forge(&desktop, shown.id, "approve");
    let other = gate(&desktop, "denied", &["true"]);
    notes.press(notes.wait_for("denied").id, "deny");
    desktop.wait_for_end(other);
    assert_eq!(desktop.state(id), StateName::Queued);
    approve(&desktop, &notes, (id, "after <b>"), |notes, shown| {
        notes.press_and_close(shown, "approve");
    });
    assert_eq!(desktop.state(id), StateName::Succeeded);
    assert!(desktop.work().join("完了").exists());
    let rows = desktop.audit(id);
    assert_eq!(rows[0].actor, Actor::Person { surface: Surface::Notification });
    assert_eq!(rows[0].from.as_deref(), Some("notes 1"));
    assert!(rows[0].shown.is_some() && rows[0].comment.is_none());
    // Turned off, it is off for what is shown already, too.
    let id = gate(&desktop, "too late", &["true"]);
    let shown = notes.wait_for("too late");
    assert_eq!(shown.actions, ALL);
    allow(&window, false);
    wait_until_armed(&notes);
    notes.press(shown.id, "approve");
    let told = notes.wait_for("Not approved: too late");
    assert!(told.body.contains("turned off"), "{told:?}");
    assert_eq!(desktop.state(id), StateName::Queued);
    gate(&desktop, "again", &["true"]);
    assert_eq!(notes.wait_for("again").actions, ANSWERS);
}

#[test]
fn a_press_that_was_on_its_way_approves_nothing() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &USUAL);
    let window = desktop.open();
    allow(&window, true);
    let early = |label: &str, press: &dyn Fn(&Shown)| {
        let id = gate(&desktop, label, &["true"]);
        let shown = notes.wait_for(label);
        assert_eq!(shown.actions, ALL);
        press(&shown);
        let again = notes.wait_for(&format!("Pressed too early, needs approval: {label}"));
        assert_eq!(
            (again.actions.as_slice(), &again.body),
            (&ALL.map(String::from)[..], &shown.body)
        );
        assert_eq!(desktop.state(id), StateName::Queued);
        (id, shown, again)
    };
    let (one, shown, again) = early("one", &|shown| notes.press(shown.id, "approve"));
    // It takes the place of what was there; where that was closed by the press, it is a new one.
    assert_eq!(again.id, shown.id);
    let (two, shown, again) = early("two", &|shown| notes.press_and_close(shown.id, "approve"));
    assert_ne!(again.id, shown.id);
    // One that comes moves the others: they are looked at again.
    wait_until_armed(&notes);
    let before = notes.record().shown.len();
    let id = desktop.submit_with(&["--label", "comes"], &["true"]);
    desktop.wait_for_end(id);
    let came = notes.wait_for("comes");
    notes.press(again.id, "approve");
    let again = until("the question once more", || notes.record().shown.get(before + 1).cloned());
    assert!(again.title.ends_with("approval: two") && came.at < again.at, "{again:?}");
    assert_eq!(desktop.state(two), StateName::Queued);
    approve(&desktop, &notes, (two, "approval: two"), |notes, shown| notes.press(shown, "approve"));
    assert_eq!(desktop.state(one), StateName::Queued);
}

#[test]
fn what_a_notification_cannot_show_whole_has_no_approve() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &USUAL);
    let window = desktop.open();
    allow(&window, true);
    let long = "x".repeat(300);
    std::fs::write(desktop.work().join("detail"), "one line\nFolder: /another").unwrap();
    let shown = gate_with(&desktop, ("whole", &[("COLOUR", "blue")]), &["true"]);
    let whole = notes.wait_for("whole");
    assert_eq!(whole.actions, ALL);
    assert!(whole.body.contains("added COLOUR=blue"), "{whole:?}");
    let gates: [(Variables<'_>, &[&str]); 4] = [
        (&[], &["touch", &long]),
        (&[], &["touch", "two\nlines"]),
        (&[], &["touch", "hid\u{200b}den"]),
        (&[("API_TOKEN", "sk-1234567890abcdef1234")], &["true"]),
    ];
    let asks =
        ["nod ask 'Deploy?' --detail-file detail", "nod ask 'Where to?' --choice eu --choice us"];
    let mut cases = vec![];
    for (n, (variables, words)) in gates.into_iter().enumerate() {
        let label = format!("gate {n}");
        cases.push((gate_with(&desktop, (&label, variables), words), label));
    }
    for (n, line) in asks.into_iter().enumerate() {
        let label = format!("question {n}");
        cases.push((desktop.submit_with(&["--label", &label], &[line]), label));
    }
    for (id, label) in cases {
        let request = desktop.wait_for_request(id);
        let shown = notes.wait_for(&label);
        assert_eq!(shown.actions, ANSWERS, "{label}");
        assert_eq!(shown.body, escaped(&request.shown.question), "{label}");
    }
    assert_eq!(desktop.state(shown), StateName::Queued);
}

#[test]
fn a_server_that_shows_titles_only_or_no_buttons_has_no_approve() {
    for (capabilities, expected) in [(&["actions"][..], &ANSWERS[..]), (&["body"][..], &[][..])] {
        let desktop = Desktop::start();
        let notes = Notes::start(&desktop, capabilities);
        let window = desktop.open();
        allow(&window, true);
        gate(&desktop, "gate", &["true"]);
        assert_eq!(notes.wait_for("gate").actions, expected);
    }
}

#[test]
fn the_buttons_of_a_real_notification_daemon_answer() {
    let desktop = Desktop::start();
    let pick = desktop.path().join("pick");
    let script =
        format!("#!/bin/sh\nexec grep -F \"$(cat {}/wanted)\"\n", desktop.path().display());
    std::fs::write(&pick, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&pick, mode).unwrap();
    let config = desktop.path().join("dunstrc");
    let text = format!(
        "[global]\nmarkup = full\nwidth = 500\nheight = 400\ndmenu = {}\n\
         [urgency_critical]\ntimeout = 0\n",
        pick.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut dunst = desktop.command("dunst");
    dunst.arg("-conf").arg(&config);
    desktop.keep(dunst, "dunst");
    let dunstctl = |words: &[&str]| {
        let ran = desktop.command("dunstctl").args(words).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    };
    let displayed = |n: &str| {
        until("what is displayed", || (dunstctl(&["count", "displayed"]) == n).then_some(()));
    };
    let press = |line: &str| {
        std::fs::write(desktop.path().join("wanted"), line).unwrap();
        dunstctl(&["context"]);
    };
    displayed("0");
    let window = desktop.open();
    allow(&window, true);
    let id = gate(&desktop, "Approved 触る", &["touch", "ran"]);
    displayed("1");
    desktop.picture("notification-approve");
    let arming = Instant::now();
    until("the arming", || {
        (arming.elapsed().as_millis() > 2 * u128::from(ARMING_MS)).then_some(())
    });
    press("#Approve ");
    assert_eq!(desktop.wait_for_end(id).state.name(), StateName::Succeeded);
    assert!(desktop.audit(id)[0].from.as_deref().unwrap().starts_with("dunst "));
    dunstctl(&["close-all"]);
    displayed("0");
    let id = gate(&desktop, "Denied", &["touch", "never"]);
    displayed("1");
    press("#Deny ");
    assert_eq!(desktop.wait_for_end(id).state.name(), StateName::Denied);
    assert!(!desktop.work().join("never").exists());
}
