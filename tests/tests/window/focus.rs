//! Where the keyboard is after an answer: with the next question, and never nowhere.

use nod_core::ids::TaskId;
use nod_core::request::Request;
use nod_core::task::StateName;
use nod_tests::{Desktop, Home, Window, by_name};
use thirtyfour::{Key, TypingData};

use crate::row;

const ASKS: &str = "[[rules]]\nmatch = [\"touch\", \"**\"]\nthen = \"ask_first\"\n";

const FOCUS: &str = "
    const active = document.activeElement;
    const card = active.closest('[data-request-id]')?.dataset.requestId ?? '';
    return `${card} ${active.closest('[data-test]')?.dataset.test ?? active.localName}`.trim()";

fn wait_for_focus(window: &Window, wanted: &str) {
    let mut found = String::new();
    window.wait_until(&format!("the focus on {wanted}"), || {
        found = window.script(FOCUS, &[]).as_str().unwrap_or_default().to_owned();
        found == wanted
    });
}

fn wait_until_armed(window: &Window, request: &Request, button: &str) {
    window.wait_for(&format!("[data-request-id='{}'] {}:enabled", request.id, by_name(button)));
}

fn tab(n: usize) -> TypingData {
    TypingData::from(Key::Tab.value().to_string().repeat(n))
}

#[test]
fn after_each_answer_by_keyboard_the_focus_is_on_the_next_question() {
    let desktop = Desktop::start_in(Home::new().with_config(ASKS));
    let form = r#"{"properties": {"名前": {"type": "string"}}}"#;
    std::fs::write(desktop.work().join("form.json"), form).unwrap();
    let lines = [
        "nod ask 'Deploy?'",
        "nod ask 'Deny this?'",
        "nod ask 'Where to?' --choice eu --choice 東京 --default eu",
        "nod ask 'What is new?' --text",
        "nod ask 'Who?' --schema form.json",
    ];
    let mut asked: Vec<(TaskId, Request)> = Vec::new();
    for line in lines {
        let id = desktop.submit(line);
        asked.push((id, desktop.wait_for_request(id)));
    }
    let gate = desktop.submit_with(&[], &["touch", "ran"]);
    asked.push((gate, desktop.wait_for_request(gate)));
    let deny = |n: usize| format!("{} deny", asked[n].1.id);
    let window = desktop.open();
    wait_for_focus(&window, &deny(0));

    wait_until_armed(&window, &asked[0].1, "approve");
    window.press(tab(1) + Key::Enter);
    wait_for_focus(&window, &deny(1));
    window.press(Key::Enter + "");
    wait_for_focus(&window, &format!("{} deny-reason", asked[1].1.id));
    window.press("今はだめ" + Key::Enter);
    wait_for_focus(&window, &deny(2));
    // Back into the answer: a choice, a text, a form.
    wait_until_armed(&window, &asked[2].1, "answer");
    window.press(tab(1) + Key::Enter);
    wait_for_focus(&window, &deny(3));
    window.press_with(Key::Shift, tab(1));
    wait_for_focus(&window, &format!("{} answer-text", asked[3].1.id));
    window.press("完了");
    wait_until_armed(&window, &asked[3].1, "answer");
    window.press_with(Key::Control, Key::Enter + "");
    wait_for_focus(&window, &deny(4));
    desktop.picture("focus");
    window.press_with(Key::Shift, tab(1));
    wait_for_focus(&window, &format!("{} form-field", asked[4].1.id));
    window.press("ミカ");
    wait_until_armed(&window, &asked[4].1, "answer");
    window.press_with(Key::Control, Key::Enter + "");
    wait_for_focus(&window, &deny(5));
    wait_until_armed(&window, &asked[5].1, "approve");
    window.press(tab(1) + Key::Enter);
    // Nothing waits any more: the view has it, and the keys of the window work.
    wait_for_focus(&window, "inbox");
    for (id, _) in &asked {
        desktop.wait_for_end(*id);
    }
    let states: Vec<StateName> = asked.iter().map(|(id, _)| desktop.state(*id)).collect();
    assert_eq!(states[1], StateName::Failed);
    assert!(states.iter().filter(|state| **state == StateName::Succeeded).count() == 5);
    window.press("2");
    window.wait_for(&row(gate));
}

#[test]
fn in_the_view_of_a_task_the_focus_goes_to_its_next_question_and_then_to_the_view() {
    let desktop = Desktop::start();
    let id = desktop.submit("nod ask 'One?' & nod ask 'Another?' & wait; sleep 600");
    desktop.wait_for_state(id, StateName::Waiting);
    nod_tests::until("two questions", || (desktop.detail(id).requests.len() == 2).then_some(()));
    let requests = desktop.detail(id).requests;
    let window = desktop.open();
    window.press("2");
    window.click(&format!("{} [data-row]", row(id)));
    wait_for_focus(&window, &format!("{} deny", requests[0].id));
    wait_until_armed(&window, &requests[0], "approve");
    window.press(tab(1) + Key::Enter);
    wait_for_focus(&window, &format!("{} deny", requests[1].id));
    wait_until_armed(&window, &requests[1], "approve");
    window.press(tab(1) + Key::Enter);
    wait_for_focus(&window, "detail");
    desktop.wait_for_state(id, StateName::Running);
    window.press(Key::Escape + "");
    window.wait_until_gone(&by_name("detail"));
}
