//! Answering what tasks ask.

use nod_core::request::Closure;
use nod_core::task::{Outcome, StateName};
use nod_tests::{Desktop, Window, by_name, until};

use crate::{card, read, row, touch, within};

/// Clicks Approve the moment it appears, as an unlucky hand would.
const CLICK_EARLY: &str = "
    window.early = null;
    new MutationObserver(() => {
      const button = document.querySelector(\"[data-test='approve']\");
      if (button === null || window.early !== null) return;
      window.early = { disabled: button.disabled };
      button.click();
      button.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    }).observe(document.body, { childList: true, subtree: true });";

/// Answers without the card, the moment there is a question.
const ANSWER_EARLY: &str = "
    window.early = null;
    const rpc = (call) => window.__TAURI_INTERNALS__.invoke('rpc', { call });
    const look = async () => {
      const snapshot = await rpc({ method: 'snapshot' });
      const request = snapshot.requests[0];
      if (request === undefined) return setTimeout(look);
      const params = { operation: crypto.randomUUID(), request: request.id, shown: request.hash,
                       answer: { type: 'approve' }, comment: null };
      const early = rpc({ method: 'answer', params });
      const said = await early.then(() => ({ code: 'taken' }), (error) => error);
      // It was early for sure where it was over before the card could have been shown long enough.
      window.early = { ...said, late: Date.now() - request.created_at >= 500 };
    };
    look();";

#[test]
fn the_engine_refuses_what_the_card_has_not_shown_for_long_enough() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let (id, request) = loop {
        assert!(window.script(ANSWER_EARLY, &[]).is_null());
        let id = desktop.submit("nod ask 'Deploy?' > answer");
        let request = desktop.wait_for_request(id);
        let said = || window.script("return window.early", &[]);
        window.wait_until("an early answer", || !said().is_null());
        let early = said();
        if early["late"] == true {
            // The machine was too busy for it to say anything.
            assert_eq!(desktop.run(&["cancel", &id.to_string()]).code, Some(0));
            desktop.wait_for_end(id);
            continue;
        }
        assert_eq!(early["code"], "too_early", "{early}");
        let message = early["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("too early: shown 0."), "{message}");
        break (id, request);
    };
    assert!(desktop.request(id, request.id).is_open());
    // The person presses again, on the card.
    window.click(&within(&card(&request), "approve"));
    assert_eq!(desktop.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}

fn wait_for_approve(window: &Window, card: &str) {
    window.wait_for(&format!("{}:enabled", within(card, "approve")));
}

#[test]
fn approving_on_the_card_resumes_the_very_same_process() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    window.wait_for_text("main", "Nothing needs you");
    assert!(window.script(CLICK_EARLY, &[]).is_null());
    let line = "echo $$ > before; nod progress 40 'built'; \
                nod ask 'Deploy 完了 to prod?' > answer && echo $$ > after";
    let id = desktop.submit_with(&["--label", "デプロイ 🚀"], &[line]);
    let request = desktop.wait_for_request(id);
    let card = card(&request);

    // A card that has just appeared does not take a click that was on its way.
    wait_for_approve(&window, &card);
    assert_eq!(window.script("return window.early.disabled", &[]), true);
    assert!(desktop.request(id, request.id).is_open());
    assert!(!desktop.work().join("answer").metadata().is_ok_and(|file| file.len() > 0));
    window.wait_for_text(&card, "Deploy 完了 to prod?");
    window.wait_for_text(&card, "デプロイ 🚀");
    window.wait_for_text(&by_name("nav-inbox"), "1");
    desktop.picture("card");

    window.click(&within(&card, "approve"));
    window.wait_for_text(&card, "Approved by a person in the window");
    window.wait_for_attribute(&card, "data-open", "false");
    assert_eq!(desktop.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(read(&desktop, "before"), read(&desktop, "after"));
    assert!(read(&desktop, "answer").contains("approved"));
    window.click(&by_name("nav-tasks"));
    window.wait_for_attribute(&row(id), "data-state", "succeeded");
}

#[test]
fn a_denial_arrives_with_its_reason() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let id = desktop.submit("nod ask 'Deploy?' 2> reason; echo $? > code");
    let request = desktop.wait_for_request(id);
    window.wait_for_attribute(&row(id), "data-state", "waiting");
    // The card is in the task's own view as well.
    window.click(&format!("{} [data-row]", row(id)));
    let card = card(&request);
    window.wait_for(&card);
    assert_eq!(window.focused().as_deref(), Some("deny"), "the first key must do no harm");
    window.click(&within(&card, "deny"));
    window.wait_until("the reason's field", || window.focused().as_deref() == Some("deny-reason"));
    window.fill(&within(&card, "deny-reason"), "金曜日は不可 <b>no</b>");
    desktop.picture("deny");
    window.click(&within(&card, "deny-confirm"));
    window.wait_for_text(&card, "Denied by a person in the window");
    window.wait_for_text(&card, "金曜日は不可 <b>no</b>");
    desktop.wait_for_end(id);
    assert_eq!(read(&desktop, "code"), "1\n");
    assert!(read(&desktop, "reason").contains("金曜日は不可 <b>no</b>"));
}

#[test]
fn a_gate_shows_all_that_it_lets_through() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let options = ["--ask-first", "--env", "COLOUR=blue", "--env", "MY_TOKEN=s3cret-value"];
    let words = ["sh", "-c", "echo $COLOUR > ran", "two words"];
    let id = desktop.submit_with(&options, &words);
    let card = card(&desktop.wait_for_request(id));
    wait_for_approve(&window, &card);
    let shown = window.text(&card).unwrap();
    let folder = desktop.work().display().to_string();
    for part in ["echo $COLOUR > ran", "two words", &folder, "COLOUR", "blue", "MY_TOKEN"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    assert!(!shown.contains("s3cret-value"), "{shown}");
    desktop.picture("gate");
    assert!(desktop.detail(id).attempts.is_empty());
    assert!(!desktop.work().join("ran").exists());

    window.click(&within(&card, "approve"));
    assert_eq!(desktop.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(read(&desktop, "ran"), "blue\n");
    // One that is denied never starts.
    let denied = desktop.submit_with(&["--ask-first"], &["touch denied"]);
    let request = desktop.wait_for_request(denied);
    let card = crate::card(&request);
    window.click(&within(&card, "deny"));
    window.click(&within(&card, "deny-confirm"));
    window.wait_for_text(&card, "Denied by a person in the window");
    assert_eq!(desktop.wait_for_end(denied).state.name(), StateName::Denied);
    assert!(!desktop.work().join("denied").exists());
}

#[test]
fn a_card_whose_task_was_changed_says_so_and_what_would_run_now_is_asked_anew() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let id = desktop.submit_with(&["--ask-first"], &["touch", "harmless"]);
    let before = desktop.wait_for_request(id);
    wait_for_approve(&window, &card(&before));
    // Under the hand that is about to approve it.
    window.hover(&within(&card(&before), "approve"));
    let edit = desktop.run(&["edit", &id.to_string(), "--", "touch", "harmful"]);
    assert_eq!(edit.code, Some(0), "{edit:?}");
    window.wait_for_attribute(&card(&before), "data-open", "false");
    window.wait_for_text(&card(&before), "Withdrawn: the task was changed");
    assert_eq!(window.count(&within(&card(&before), "approve")), 0);
    let now = desktop.wait_for_request(id);
    assert_ne!(now.id, before.id);
    window.wait_for_text(&card(&now), "harmful");
    wait_for_approve(&window, &card(&now));
    desktop.picture("changed");
    assert!(!desktop.work().join("harmless").exists());
    window.click(&within(&card(&now), "approve"));
    desktop.wait_for_end(id);
    assert!(desktop.work().join("harmful").exists());
    assert!(!desktop.work().join("harmless").exists());
}

#[test]
fn a_card_whose_question_closed_says_so_and_stays_where_it_is() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let cancelled = desktop.submit("nod ask 'First?'");
    let first = desktop.wait_for_request(cancelled);
    let waiting = desktop.submit("nod ask 'Second?' --timeout 2h; touch done");
    let second = desktop.wait_for_request(waiting);
    window.wait_for(&card(&second));
    // Nothing moves under the pointer, however long it stays.
    window.hover(&within(&card(&second), "deny"));
    assert_eq!(desktop.run(&["cancel", &cancelled.to_string()]).code, Some(0));
    window.wait_for_text(&card(&first), "Withdrawn");
    assert!(matches!(
        desktop.request(cancelled, first.id).closure,
        Some(Closure::Withdrawn { .. })
    ));
    assert_eq!(window.count(&within(&card(&first), "approve")), 0);
    let top = "return document.querySelector(arguments[0]).getBoundingClientRect().top";
    let [above, below] = [&first, &second]
        .map(|request| window.script(top, &[card(request).into()]).as_f64().unwrap());
    assert!(above < below, "{above} {below}");
    window.wait_for_text(&card(&second), "Expires in");
    desktop.picture("withdrawn");
    window.click(&within(&card(&second), "approve"));
    until("the approved task", || desktop.work().join("done").exists().then_some(()));
    touch(&desktop, "end");
}
