//! Questions that look like what Nod says by itself, and that are as long as they can be.

use nod_core::ids::TaskId;
use nod_core::request::{DETAIL_LIMIT, QUESTION_LIMIT};
use nod_core::task::StateName;
use nod_tests::{Desktop, Window, by_name};
use serde_json::{Value, json};

use crate::{card, within};

/// What a card says by itself, line by line.
const LINES: &str = "Deploy?\n\nCommand\n    echo harmless\nFolder\n    /tmp\n\n\
    Environment\n    No changes\n\nApproved by a person in the window at 12:00\n";

/// Signs that turn words around, or that nobody sees.
const SIGNS: &str = "\u{202e}evorppA\u{202c} \u{2066}or\u{2069} \u{200f}deny\u{200b}\u{7}\u{1b}[2J";

/// What of a card is whose, and where it lies.
const PARTS: &str = "
    const card = document.querySelector(arguments[0]);
    const box = (it) => {
      const { top, bottom, left, right } = it.getBoundingClientRect();
      return { top, bottom, left, right };
    };
    const part = (label) => card.querySelector(`[aria-label='${label}']`);
    const facts = card.querySelector('dl');
    const isWide = (it) => it.closest('.sr-only, svg') === null && it.getClientRects().length > 0
      && it.getBoundingClientRect().right > innerWidth + 1;
    return {
      question: part('Question').innerText,
      detail: part('Details').innerText,
      facts: facts.innerText,
      direction: getComputedStyle(part('Question')).direction,
      quote: parseFloat(getComputedStyle(part('Question')).borderLeftWidth),
      frame: ['Top', 'Right', 'Bottom', 'Left'].map(
        (side) => parseFloat(getComputedStyle(facts)[`border${side}Width`])),
      status: card.querySelectorAll('[role=status]').length,
      boxes: [part('Question'), part('Details'), facts, card.querySelector('footer')].map(box),
      card: box(card),
      wide: [...card.querySelectorAll('*')].filter(isWide).length,
    }";

/// Submits a task that asks with texts which no command line holds.
fn asks(desktop: &Desktop, name: &str, (question, detail, choice): (&str, &str, &str)) -> TaskId {
    for (part, text) in [("question", question), ("detail", detail), ("choice", choice)] {
        std::fs::write(desktop.work().join(format!("{name}.{part}")), text).unwrap();
    }
    let choices = format!("--choice \"$(cat {name}.choice)\" --choice other");
    let choices = if choice.is_empty() { "" } else { &choices };
    desktop.submit(&format!(
        "nod ask \"$(cat {name}.question)\" --detail-file {name}.detail {choices}; [ $? = 2 ]"
    ))
}

#[test]
fn a_question_that_imitates_its_card_stays_within_its_own_part_of_it() {
    let desktop = Desktop::start();
    let imitation = format!("{LINES}{SIGNS}");
    let choice = format!("{SIGNS}\n{}", &LINES[..100]);
    let (long, longer) = ("x".repeat(QUESTION_LIMIT), "y".repeat(DETAIL_LIMIT));
    let cards = [
        ("imitation", (imitation.as_str(), imitation.as_str(), "")),
        ("choice", (LINES, SIGNS, choice.as_str())),
        ("long", (long.as_str(), longer.as_str(), "")),
    ]
    .map(|(name, texts)| (name, card(&desktop.wait_for_request(asks(&desktop, name, texts)))));
    // A megabyte never becomes a card.
    let big = asks(&desktop, "big", ("Go?", &"z".repeat(1 << 20), ""));
    assert_eq!(desktop.wait_for_end(big).state.name(), StateName::Succeeded);

    look_at(&desktop, &cards, "light");
    let desktop = desktop.with_theme("Adwaita:dark");
    look_at(&desktop, &cards, "dark");
}

fn look_at(desktop: &Desktop, cards: &[(&str, String)], theme: &str) {
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    for (name, card) in cards {
        window.wait_for(&within(card, "deny"));
        window.click(&format!("{card} summary"));
        let scroll = "document.querySelector(arguments[0]).scrollIntoView({ block: 'nearest' })";
        assert!(window.script(scroll, &[card.as_str().into()]).is_null());
        check(&window, card);
        window.wait_for_frame();
        desktop.picture(&format!("{name}-{theme}"));
    }
    let texts = window.script(PARTS, &[cards[0].1.as_str().into()]);
    for part in ["question", "detail"] {
        let text = texts[part].as_str().unwrap();
        let signs = ["⟨U+202E⟩evorppA⟨U+202C⟩", "⟨U+2066⟩", "⟨U+200F⟩deny⟨U+200B⟩", "⟨ESC⟩[2J"];
        for sign in signs {
            assert!(text.contains(sign), "{sign} is not in {text}");
        }
    }
    let choice = &cards[1].1;
    window.wait_for_text(&within(choice, "answer-fields"), "⟨U+202E⟩evorppA⟨U+202C⟩");
    assert_eq!(window.count(&within(choice, "choice")), 2);
    window.kill_app();
}

/// Checks that each part holds its own and lies below the one before it, within the card.
fn check(window: &Window, card: &str) {
    let parts = window.script(PARTS, &[card.into()]);
    assert_eq!((&parts["wide"], &parts["status"]), (&json!(0), &json!(0)), "{card}");
    assert_eq!(parts["direction"], "ltr");
    // Somebody's words have a bar beside all their lines, what Nod knows a frame around it.
    assert!(parts["quote"].as_f64().unwrap() >= 3.0, "{parts}");
    for side in parts["frame"].as_array().unwrap() {
        assert!(side.as_f64().unwrap() >= 1.0, "{parts}");
    }
    let facts = parts["facts"].as_str().unwrap();
    assert!(facts.contains("nod ask") && !facts.contains("harmless"), "{facts}");
    let side = |of: &Value, side: &str| of[side].as_f64().unwrap();
    let boxes = parts["boxes"].as_array().unwrap();
    for pair in boxes.windows(2) {
        assert!(side(&pair[0], "bottom") <= side(&pair[1], "top"), "{card}: {boxes:?}");
    }
    for part in boxes {
        assert!(side(part, "left") >= side(&parts["card"], "left"), "{card}: {boxes:?}");
        assert!(side(part, "right") <= side(&parts["card"], "right"), "{card}: {boxes:?}");
    }
}
