//! What the desktop is told of: requests, ends, and a looser config file.

use nod_core::task::StateName;
use nod_tests::desktop::SHIPPED;
use nod_tests::{Clock, Desktop, Home, by_name, until};

use crate::LOOSER;
use crate::server::Notes;

#[test]
fn a_request_and_each_end_are_told() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &["body", "body-markup", "actions"]);
    desktop.start_app();
    let label = "デプロイ 🚀 <b>prod</b> & \u{202e}co\u{1b}[31m";
    let asking = desktop
        .submit_with(&["--label", label], &["nod ask 'Deploy <i>now</i> & here?\nReally 完了?'"]);
    let asked = notes.wait_for("デプロイ 🚀");
    // A title has no markup; what reorders or hides other text has no place in it.
    assert_eq!(asked.title, "Needs approval: デプロイ 🚀 <b>prod</b> & co [31m");
    assert_eq!(asked.body, "Deploy &lt;i&gt;now&lt;/i&gt; &amp; here? Really 完了?");
    assert_eq!((asked.program.as_str(), asked.urgency), ("Nod", 2));

    let cases = [
        ("succeeds", "true", "Succeeded"),
        ("fails", "exit 3", "Failed (exit 3)"),
        ("is killed", "kill -9 $$", "SIGKILL"),
        ("takes too long", "sleep 6104", "Timed out"),
    ];
    for (label, line, words) in cases {
        let timeout = if words == "Timed out" { "1s" } else { "1h" };
        let id = desktop.submit_with(&["--label", label, "--timeout", timeout], &[line]);
        desktop.wait_for_end(id);
        let ended = notes.wait_for(label);
        assert_eq!(ended.title, label);
        assert!(ended.body.contains(words), "{ended:?}");
        assert_eq!(ended.urgency, 1);
    }
    // A question that is closed asks nobody any more.
    assert_eq!(desktop.run(&["cancel", &asking.to_string()]).code, Some(0));
    assert_eq!(desktop.wait_for_end(asking).state.name(), StateName::Cancelled);
    let end = until("the end", || {
        notes.record().shown.iter().find(|it| it.title.starts_with("デプロイ")).cloned()
    });
    assert!(end.body.starts_with("Cancelled"), "{end:?}");
    until("the question to go", || notes.record().closed.contains(&asked.id).then_some(()));
    assert_eq!(notes.record().shown.len(), 6);
    assert_eq!(notes.record().closed, [asked.id]);
}

#[test]
fn a_task_that_waits_to_be_typed_into_is_told_of_once() {
    let desktop = Desktop::start_in(Home::new().with_config("[output]\nsilence_ms = 100\n"));
    let notes = Notes::start(&desktop, &["body", "body-markup", "actions"]);
    desktop.start_app();
    let line = "printf 'Overwrite <b>it</b>? (y/n) '; while [ ! -e tell ]; do sleep 0.02; done; \
                nod tell 'still here'; while [ ! -e go ]; do sleep 0.02; done";
    let id = desktop.submit_with(&["--label", "import"], &[line]);
    let told = notes.wait_for("Needs input: import");
    assert_eq!(told.body, "Overwrite &lt;b&gt;it&lt;/b&gt;? (y/n)");
    // What else happens to it meanwhile is no news of that.
    std::fs::write(desktop.work().join("tell"), "").unwrap();
    let is_told = || desktop.detail(id).events.iter().any(|event| event.what == "told");
    until("what it tells", || is_told().then_some(()));
    std::fs::write(desktop.work().join("go"), "").unwrap();
    desktop.wait_for_end(id);
    until("its end", || notes.record().shown.iter().any(|it| it.title == "import").then_some(()));
    let record = notes.record();
    let told = record.shown.iter().map(|it| it.title.as_str());
    assert_eq!(told.collect::<Vec<_>>(), ["Needs input: import", "import"]);
}

#[test]
fn a_looser_config_is_told_of_once_and_reviewed_in_the_window() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &["body", "body-markup", "actions"]);
    let window = desktop.open();
    std::fs::write(desktop.data().join("config.toml"), LOOSER).unwrap();
    let told = notes.wait_for("config file");
    assert!(told.body.contains("approvals in a terminal are turned on"), "{told:?}");
    // It can be looked at, and not confirmed from here.
    assert_eq!(told.actions, ["default", "Review", "review", "Review"]);
    window.click(&by_name("nav-history"));
    notes.press(told.id + 1, "review");
    notes.press(told.id, "review");
    window.wait_for(&by_name("loosening-card"));
    window.click(&by_name("confirm-loosening"));
    until("the notification to go", || notes.record().closed.contains(&told.id).then_some(()));
    // What asks for more is nothing to confirm.
    std::fs::write(desktop.data().join("config.toml"), "").unwrap();
    let id = desktop.submit("true");
    desktop.wait_for_end(id);
    until("the end", || (notes.record().shown.len() == 2).then_some(()));
    assert_eq!(notes.record().closed, [told.id]);
}

#[test]
fn a_config_that_was_made_looser_without_a_window_is_told_of_when_there_is_one() {
    let desktop = Desktop::start_in(Home::new().with_config(LOOSER));
    let notes = Notes::start(&desktop, &["body"]);
    desktop.start_app();
    notes.wait_for("config file");
}

#[test]
fn a_server_without_markup_gets_the_text_as_it_is() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &["body"]);
    desktop.start_app();
    let id = desktop.submit_with(&["--label", "plain"], &["nod ask 'a < b & c?'"]);
    assert_eq!(notes.wait_for("plain").body, "a < b & c?");
    assert_eq!(desktop.state(id), StateName::Waiting);
}

#[test]
fn a_real_notification_daemon_shows_them() {
    let desktop = Desktop::start();
    let config = desktop.path().join("dunstrc");
    std::fs::write(&config, "[global]\nmarkup = full\n[urgency_normal]\ntimeout = 0\n").unwrap();
    let mut dunst = desktop.command("dunst");
    dunst.arg("-conf").arg(&config);
    desktop.keep(dunst, "dunst");
    let dunstctl = |word: &str| {
        let ran = desktop.command("dunstctl").args([word, "displayed"]).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    };
    until("dunst", || (dunstctl("count") == "0").then_some(()));
    let app = desktop.start_app();
    let doctor = desktop.run(&["doctor"]);
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    assert!(doctor.out.contains("shown by dunst"), "{doctor:?}");
    let id = desktop.submit_with(&["--label", "夜間 <b>ビルド"], &["exit 2"]);
    desktop.wait_for_end(id);
    until("what is displayed", || (dunstctl("count") == "1").then_some(()));
    desktop.picture("notification");
    assert!(desktop.command("dunstctl").arg("close-all").status().unwrap().success());
    let history = until("the history", || {
        let ran = desktop.command("dunstctl").arg("history").output().unwrap();
        let history: serde_json::Value = serde_json::from_slice(&ran.stdout).ok()?;
        history["data"][0][0].as_object().cloned()
    });
    assert_eq!(history["summary"]["data"], "夜間 <b>ビルド");
    let body = history["body"]["data"].as_str().unwrap().to_owned();
    assert!(body.contains("Failed (exit 2)"), "{body}");
    assert_eq!(desktop.running(SHIPPED), [app]);
}

#[test]
fn a_press_in_a_real_notification_daemon_opens_what_waits() {
    let desktop = Desktop::start();
    let config = desktop.path().join("dunstrc");
    std::fs::write(&config, "[global]\nmarkup = full\n[urgency_critical]\ntimeout = 0\n").unwrap();
    let mut dunst = desktop.command("dunst");
    dunst.arg("-conf").arg(&config);
    desktop.keep(dunst, "dunst");
    let dunstctl = |words: &[&str]| {
        let ran = desktop.command("dunstctl").args(words).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    };
    until("dunst", || (dunstctl(&["count", "displayed"]) == "0").then_some(()));
    let window = desktop.open();
    window.click(&by_name("nav-history"));
    std::fs::write(desktop.data().join("config.toml"), LOOSER).unwrap();
    until("what is displayed", || (dunstctl(&["count", "displayed"]) == "1").then_some(()));
    desktop.picture("looser");
    // It may be on the screen before Nod listens for its button.
    until("the card", || {
        dunstctl(&["action", "0"]);
        (window.count(&by_name("loosening-card")) > 0).then_some(())
    });
}

#[test]
fn a_flood_of_questions_is_a_few_notifications_and_one_that_counts_the_others() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &["body"]);
    desktop.start_app();
    let ids: Vec<_> =
        (0..40).map(|n| desktop.submit_with(&["--ask-first"], &[&format!("echo {n}")])).collect();
    let count = |title: &str| title.split_whitespace().next()?.parse::<usize>().ok();
    // Twenty cards at once are shown of one program; some have a notification of their own.
    let sum = until("all to be counted", || {
        let record = notes.record();
        let own = record.shown.iter().filter(|it| it.title.starts_with("Needs approval")).count();
        let sum = record.shown.iter().rfind(|it| it.title.contains("more question"))?;
        (own + count(&sum.title)? == 20).then(|| sum.clone())
    });
    assert!(notes.record().shown.len() < 40);
    for id in ids {
        assert_eq!(desktop.run(&["cancel", &id.to_string()]).code, Some(0));
    }
    until("the sentence to go", || notes.record().closed.contains(&sum.id).then_some(()));
}

#[test]
fn those_who_ask_the_same_are_one_notification() {
    let desktop = Desktop::start();
    let notes = Notes::start(&desktop, &["body"]);
    desktop.start_app();
    let more = "while [ ! -e more ]; do sleep 0.02; done";
    let ask = "nod ask 'Go?' &";
    let line = format!("{ask} {more}; {ask} {ask} wait");
    let id = desktop.submit_with(&["--label", "folds"], &[&line]);
    let first = notes.wait_for("folds");
    std::fs::write(desktop.work().join("more"), "").unwrap();
    let request = desktop.wait_for_request(id);
    until("three to ask", || {
        (desktop.request(id, request.id).also_asked_by.len() == 2).then_some(())
    });
    // What came before is shown by the time that something later is.
    let later = desktop.submit_with(&["--label", "afterwards"], &["nod ask 'Go?'"]);
    notes.wait_for("afterwards");
    assert_eq!(desktop.state(later), StateName::Waiting);
    let titles: Vec<_> = notes.record().shown.iter().map(|it| it.title.clone()).collect();
    assert_eq!(titles, ["Needs approval: folds", "Needs approval: afterwards"]);
    assert!(notes.record().closed.is_empty());
    // It goes with the question of all of them.
    assert_eq!(desktop.run(&["cancel", &id.to_string()]).code, Some(0));
    desktop.wait_for_end(id);
    until("the question to go", || notes.record().closed.contains(&first.id).then_some(()));
}

#[test]
fn the_doctor_says_where_nobody_shows_notifications() {
    let desktop = Desktop::start();
    desktop.start_app();
    for words in [&["doctor"][..], &["doctor", "--repair"]] {
        let ran = desktop.run(words);
        assert!(ran.code == Some(1) && ran.out.contains("WRONG   notifications"), "{ran:?}");
    }
    let notes = Notes::start(&desktop, &["body"]);
    let ran = desktop.run(&["doctor"]);
    assert!(ran.code == Some(0) && ran.out.contains("shown by notes"), "{ran:?}");
    let id = desktop.submit_with(&["--label", "told"], &["true"]);
    desktop.wait_for_end(id);
    notes.wait_for("told");
}

#[test]
fn a_reminder_is_shown_in_the_place_of_the_question_until_that_is_closed() {
    let (home, mut clock) = Clock::of(Home::new());
    let desktop = Desktop::start_in(home);
    let notes = Notes::start(&desktop, &["body"]);
    desktop.start_app();
    let id = desktop.submit_with(&["--label", "asks"], &["nod ask 'Go?' --remind 1m"]);
    let asked = notes.wait_for("asks");
    for times in 2..=3 {
        let reminded = |desktop: &Desktop| {
            let events = desktop.detail(id).events;
            events.iter().filter(|event| event.what == "request_reminded").count() + 1 == times
        };
        while !reminded(&desktop) {
            clock.pass_a_second(&desktop);
        }
        until("the reminder", || (notes.record().shown.len() == times).then_some(()));
        let again = notes.record().shown[times - 1].clone();
        assert_eq!((again.id, &again.title, again.urgency), (asked.id, &asked.title, 2));
    }
    assert_eq!(desktop.run(&["cancel", &id.to_string()]).code, Some(0));
    desktop.wait_for_end(id);
    until("the question to go", || (notes.record().closed == [asked.id]).then_some(()));
    until("the end", || (notes.record().shown.len() == 4).then_some(()));
    assert!(notes.record().shown[3].body.starts_with("Cancelled"));
}
