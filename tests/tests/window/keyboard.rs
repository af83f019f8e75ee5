//! Without a mouse.

use nod_core::task::{Outcome, StateName};
use nod_tests::{Desktop, Window, by_name};
use thirtyfour::Key;

use crate::row;

/// Waits until the focus is in the row of a task.
fn wait_for_row(window: &Window, id: &str) {
    let script = "return document.activeElement?.closest('[data-task-id]')?.dataset.taskId ?? ''";
    window.wait_until(&format!("the focus on task {id}"), || window.script(script, &[]) == id);
}

#[test]
fn everything_goes_without_a_mouse() {
    let desktop = Desktop::start();
    let window = desktop.open();
    // A dialog opens, and Esc closes it.
    window.press("n");
    window.wait_for("dialog");
    window.press(Key::Escape + "");
    window.wait_until_gone("dialog");

    for words in ["echo one", "echo two; exit 3"] {
        window.press("n");
        let field = by_name("submit-command");
        window.wait_until("the focus", || window.focused().as_deref() == Some("submit-command"));
        window.press(words);
        window.wait_until("what was typed", || window.value(&field) == words);
        window.press(Key::Enter + "");
        window.wait_until_gone("dialog");
    }
    let [second, first] = desktop.tasks().try_into().unwrap();
    assert_eq!(desktop.wait_for_end(first.id).state.name(), StateName::Succeeded);
    assert_eq!(desktop.wait_for_end(second.id).state.words(), "Failed (exit 3)");
    // The new task is shown; Esc leads back to its row, and the keys along the rows.
    window.wait_for_attribute(&by_name("detail"), "data-task-id", "2");
    window.press(Key::Escape + "");
    window.wait_until_gone(&by_name("detail"));
    wait_for_row(&window, "2");
    window.wait_for_attribute(&row(first.id), "data-state", "succeeded");
    window.press("j");
    wait_for_row(&window, "1");
    window.press("k");
    wait_for_row(&window, "2");
    window.press(Key::Down + "");
    wait_for_row(&window, "1");
    window.press(Key::Enter + "");
    window.wait_for_attribute(&by_name("detail"), "data-task-id", "1");
    window.wait_for_text(".xterm-rows", "one");
}

#[test]
fn a_question_is_answered_without_a_mouse() {
    let desktop = Desktop::start();
    let id = desktop.submit("nod ask 'Deploy?'");
    desktop.wait_for_state(id, StateName::Waiting);
    // What waits for a person is what a new window shows first.
    let window = desktop.open();
    let approve = format!("{}:enabled", by_name("approve"));
    window.wait_for(&approve);
    assert_eq!(window.focused().as_deref(), Some("deny"));
    window.press("2");
    window.wait_for(&row(id));
    window.press("1");
    window.wait_for(&approve);
    window.press(Key::Tab + "");
    window.wait_until("the focus", || window.focused().as_deref() == Some("approve"));
    window.press(Key::Enter + "");
    assert_eq!(desktop.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}
