//! Questions that want more than yes or no, and what a card says once it is closed.

use nod_core::request::{Answer, Closure, Request};
use nod_core::task::{Outcome, StateName};
use nod_tests::{Desktop, Window, by_name};
use serde_json::{Value, json};
use thirtyfour::Key;

use crate::{card, read, row, within};

/// Whether everything a person could answer with is disabled.
const DISABLED: &str = "
    const fields = [...document.querySelector(arguments[0]).querySelectorAll('input, textarea')];
    return fields.length > 0 && fields.every((field) => field.matches(':disabled'))";

const CHOSEN: &str = "
    const chosen = document.querySelector(arguments[0]).querySelector('input[type=radio]:checked');
    return chosen?.closest('label').innerText.trim() ?? null";

const CHOOSE: &str = "
    const labels = [...document.querySelector(arguments[0]).querySelectorAll('label')];
    const label = labels.find((label) => label.innerText.trim() === arguments[1]);
    label.setAttribute('data-wanted', '');
    label.scrollIntoView({ block: 'center' })";

/// Asks as a task, and returns the question once its card can be answered.
fn asked(desktop: &Desktop, window: &Window, line: &str) -> (nod_core::ids::TaskId, Request) {
    let id = desktop.submit(line);
    let request = desktop.wait_for_request(id);
    window.wait_for(&within(&card(&request), "deny"));
    (id, request)
}

/// Chooses what has these words, with the mouse.
fn choose(window: &Window, inside: &str, words: &str) {
    assert!(window.script(CHOOSE, &[inside.into(), words.into()]).is_null());
    window.click("label[data-wanted]");
    let removed = "document.querySelector('[data-wanted]').removeAttribute('data-wanted')";
    assert!(window.script(removed, &[]).is_null());
    window.wait_until(words, || window.script(CHOSEN, &[inside.into()]) == words);
}

fn answer_of(desktop: &Desktop, id: nod_core::ids::TaskId, request: &Request) -> Answer {
    match desktop.request(id, request.id).closure {
        Some(Closure::Answered { answer, .. }) => answer,
        other => panic!("{other:?}"),
    }
}

/// Checks that the card says who answered, when and from where, and takes nothing more.
fn assert_closed(window: &Window, card: &str) {
    let said = window.wait_for_text(card, "Answered by a person in the window");
    let time = said.split(" at ").nth(1).unwrap_or_default();
    assert!(time.starts_with(|first: char| first.is_ascii_digit()), "no time: {said}");
    assert_eq!(window.count(&within(card, "answer")), 0);
    assert_eq!(window.count(&within(card, "deny")), 0);
    assert_eq!(window.script(DISABLED, &[card.into()]), true, "{card}");
}

#[test]
fn a_choice_is_made_with_a_comment_beside_it() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let line = "nod ask 'Where to? <b>' --choice eu-west --choice '東京' > answer";
    let (id, request) = asked(&desktop, &window, line);
    let card = card(&request);
    assert_eq!(window.script(CHOSEN, &[card.as_str().into()]), Value::Null);
    assert_eq!(window.count(&format!("{}:enabled", within(&card, "answer"))), 0);
    choose(&window, &card, "東京");
    window.fill(&within(&card, "comment"), "近いので <i>");
    desktop.picture("choice");
    window.click(&within(&card, "answer"));
    assert_closed(&window, &card);
    window.wait_for_text(&card, "近いので <i>");
    assert_eq!(window.script(CHOSEN, &[card.as_str().into()]), "東京");
    desktop.picture("choice-closed");
    assert_eq!(desktop.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    let answer: Value = serde_json::from_str(&read(&desktop, "answer")).unwrap();
    assert!(answer.to_string().contains("東京"), "{answer}");
    assert!(answer.to_string().contains("近いので <i>"), "{answer}");
}

#[test]
fn a_text_is_written_without_a_mouse() {
    let desktop = Desktop::start();
    let line = "nod ask 'What is new?' --text --default 'Nothing' > answer";
    let id = desktop.submit(line);
    let request = desktop.wait_for_request(id);
    let window = desktop.open();
    let card = card(&request);
    window.wait_for(&format!("{}:enabled", within(&card, "answer")));
    assert_eq!(window.focused().as_deref(), Some("deny"));
    // So that it stays at full size afterwards.
    window.hover(&within(&card, "answer-text"));
    window.press_with(Key::Shift, Key::Tab + "");
    window.wait_until("the text", || window.focused().as_deref() == Some("answer-text"));
    assert_eq!(window.value(&within(&card, "answer-text")), "Nothing");
    window.press_with(Key::Control, "a");
    window.press("完了: one" + Key::Enter + "two");
    desktop.picture("text");
    window.press_with(Key::Control, Key::Enter + "");
    assert_closed(&window, &card);
    assert_eq!(window.value(&within(&card, "answer-text")), "完了: one\ntwo");
    assert_eq!(desktop.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    let text = "完了: one\ntwo".to_owned();
    assert_eq!(answer_of(&desktop, id, &request), Answer::Text { text });
}

fn form() -> Value {
    json!({
        "type": "object",
        "required": ["region", "owner", "mode"],
        "properties": {
            "region": { "title": "Region", "enum": ["eu", "us"], "default": "eu" },
            "mode": { "title": "Mode", "enum": ["quick", "careful"] },
            "replicas": { "type": "integer", "minimum": 1, "default": 2, "title": "Replicas" },
            "ratio": { "type": "number", "title": "Ratio", "maximum": 1 },
            "owner": {
                "type": "object",
                "title": "Owner",
                "required": ["mail"],
                "properties": {
                    "mail": { "type": "string", "pattern": "@", "title": "担当者のメール" },
                    "notify": { "type": "boolean", "title": "Notify", "default": true },
                },
            },
            "tags": {
                "type": "array", "title": "Tags",
                "items": { "type": "string", "minLength": 2 },
            },
            "dry": { "type": "boolean", "title": "Dry run <b>" },
        },
    })
}

fn field(card: &str, pointer: &str) -> String {
    format!("{card} [data-field='{pointer}']")
}

#[test]
fn a_form_is_filled_in_and_its_errors_are_at_their_fields() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    std::fs::write(desktop.work().join("form.json"), form().to_string()).unwrap();
    let line = "nod ask 'How shall it run?' --schema form.json > answer";
    let (id, request) = asked(&desktop, &window, line);
    let card = card(&request);
    let input = |pointer: &str| format!("{} input", field(&card, pointer));
    // The defaults are there, and what is untrusted is text.
    assert_eq!(window.script(CHOSEN, &[field(&card, "/region").into()]), "eu");
    assert_eq!(window.value(&input("/replicas")), "2");
    window.wait_for(&format!("{}:checked", input("/owner/notify")));
    window.wait_for_text(&field(&card, "/dry"), "Dry run <b>");

    // What the window itself sees, what the engine says, and nothing is sent or lost meanwhile.
    window.fill(&input("/replicas"), "0");
    window.fill(&input("/ratio"), "much");
    window.click(&within(&card, "answer"));
    window.wait_for_text(&field(&card, "/ratio"), "Write a number.");
    window.wait_until("the focus", || window.script(FOCUSED_FIELD, &[]) == "/ratio");
    window.fill(&input("/ratio"), "1.5");
    window.click(&within(&card, "add-item"));
    window.fill(&input("/tags/0"), "x");
    window.click(&within(&card, "answer"));
    for (pointer, words) in [
        ("/replicas", "minimum"),
        ("/ratio", "maximum"),
        ("/owner/mail", "required"),
        ("/mode", "required"),
        ("/tags/0", "shorter"),
    ] {
        window.wait_for_text(&format!("{} [role=alert]", field(&card, pointer)), words);
    }
    assert!(desktop.request(id, request.id).is_open());
    window.wait_until("the focus", || window.script(FOCUSED_FIELD, &[]) == "/mode");
    desktop.picture("form-errors");

    choose(&window, &field(&card, "/mode"), "careful");
    window.fill(&input("/replicas"), "3");
    window.fill(&input("/ratio"), "0.5");
    window.fill(&input("/owner/mail"), "a@b.example");
    window.click(&input("/owner/notify"));
    window.fill(&input("/tags/0"), "春");
    window.click(&within(&card, "answer"));
    window.wait_for_text(&format!("{} [role=alert]", field(&card, "/tags/0")), "shorter");
    window.wait_until("one error", || window.count(&within(&card, "field-error")) == 1);
    window.fill(&input("/tags/0"), "春夏");
    window.click(&within(&card, "answer"));
    assert_closed(&window, &card);
    desktop.picture("form-closed");
    assert_eq!(desktop.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    let data = json!({
        "region": "eu", "mode": "careful", "replicas": 3, "ratio": 0.5,
        "owner": { "mail": "a@b.example", "notify": false }, "tags": ["春夏"],
    });
    assert_eq!(answer_of(&desktop, id, &request), Answer::Form { data });
}

const FOCUSED_FIELD: &str = "
    return document.activeElement?.closest('[data-field]')?.dataset.field ?? null";

#[test]
fn details_and_a_diff_are_shown_before_the_answer() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let diff = "--- a/deploy.yaml\n+++ b/deploy.yaml\n@@ -1 +1 @@\n-replicas: 2\n\
                +replicas: 3 <script>window.harmed = 1</script>\n";
    std::fs::write(desktop.work().join("x.diff"), diff).unwrap();
    std::fs::write(desktop.work().join("detail"), "二行目\n\u{1b}[2J <img src=x>\n").unwrap();
    let line = "nod ask 'Apply?' --detail-file detail --diff-file x.diff";
    let (id, request) = asked(&desktop, &window, line);
    let card = card(&request);
    window.wait_for_text(&card, "⟨ESC⟩[2J <img src=x>");
    let shown = window.wait_for_text(&within(&card, "diff"), "-replicas: 2");
    assert!(shown.contains("<script>window.harmed = 1</script>"), "{shown}");
    assert_eq!(window.count(&format!("{} .added", within(&card, "diff"))), 1);
    assert_eq!(window.count("img, body script"), 0);
    desktop.picture("diff");
    window.fill(&within(&card, "comment"), "looks right");
    window.click(&within(&card, "approve"));
    window.wait_for_text(&card, "Approved by a person in the window");
    window.wait_for_text(&card, "looks right");
    desktop.wait_for_state(id, StateName::Succeeded);
    assert!(window.script("return window.harmed ?? null", &[]).is_null());
}

#[test]
fn a_question_that_expires_or_gets_its_default_says_so_in_its_place() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    // Long enough for the card to be seen open, since it stays only then.
    let expires = "nod ask 'Deploy?' --timeout 5s";
    let defaults = "nod ask 'Which?' --text --default main --timeout 5s --on-timeout default";
    for (line, words, state) in [
        (expires, "Expired: nobody answered in time", StateName::Failed),
        (defaults, "the default was taken", StateName::Succeeded),
    ] {
        let (id, request) = asked(&desktop, &window, line);
        let card = card(&request);
        window.wait_for_text(&card, "Expires in");
        window.wait_for_text(&card, words);
        window.wait_for_attribute(&card, "data-open", "false");
        assert_eq!(window.count(&within(&card, "deny")), 0);
        desktop.wait_for_state(id, state);
    }
    window.click(&by_name("nav-tasks"));
    window.wait_for(&row(nod_core::ids::TaskId(1)));
}

const TOP: &str = "return document.querySelector(arguments[0]).getBoundingClientRect().top";
const IN_SIGHT: &str = "
    const box = document.querySelector(arguments[0]).getBoundingClientRect();
    return box.top >= 0 && box.bottom <= innerHeight";

const TO_THE_END: &str = "
    const list = document.querySelector('main .scroll');
    list.scrollTo(0, 1e6);
    return list.scrollTop";

#[test]
fn closed_cards_become_lines_below_the_open_ones_and_nothing_moves_under_the_pointer() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let asked: Vec<_> = (1..=5)
        .map(|n| self::asked(&desktop, &window, &format!("nod ask 'Question {n}? 質問'")))
        .collect();
    let cards: Vec<_> = asked.iter().map(|(_, request)| card(request)).collect();
    let settled = |n: usize| format!("{}[data-settled]", cards[n]);
    let approve = |n: usize| {
        let (id, request): &(nod_core::ids::TaskId, Request) = &asked[n];
        let approve = within(&card(request), "approve");
        window.wait_for(&format!("{approve}:enabled"));
        window.click(&approve);
        desktop.wait_for_end(*id);
    };
    approve(0);
    // What is under the pointer stays there, since the list scrolls by as much.
    assert!(window.script(TO_THE_END, &[]).as_f64().unwrap() > 200.0);
    let deny = within(&cards[4], "deny");
    window.hover(&deny);
    let top = window.script(TOP, &[deny.as_str().into()]).as_f64().unwrap();
    window.wait_for(&settled(0));
    let now = window.script(TOP, &[deny.as_str().into()]).as_f64().unwrap();
    assert!((now - top).abs() <= 1.0, "{top} {now}");
    window.wait_for(&format!("{deny}:hover"));
    for n in 1..4 {
        approve(n);
    }
    window.hover(&by_name("nav-tasks"));
    for n in 0..4 {
        window.wait_for(&settled(n));
        let line = window.text(&settled(n)).unwrap();
        assert!(line.contains(&format!("Question {}? 質問", n + 1)), "{line}");
        assert!(line.contains("Approved by a person in the window at "), "{line}");
    }
    assert_eq!(window.script(IN_SIGHT, &[cards[4].as_str().into()]), true);
    let below = window.script(TOP, &[settled(0).into()]).as_f64();
    assert!(below > window.script(TOP, &[cards[4].as_str().into()]).as_f64());
    desktop.picture("settled");
    // A line opens, and folds again.
    window.click(&format!("{} button", settled(3)));
    window.wait_for_text(&cards[3], "Command, folder and environment");
    window.click(&format!("{} [aria-expanded='true']", cards[3]));
    window.wait_for(&settled(3));
}
