//! Running a command from the window.

use nod_core::task::StateName;
use nod_tests::{Desktop, by_name};

#[test]
fn a_task_of_the_dialog_runs_and_its_output_is_shown() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.wait_for_text("main", "No tasks yet");
    desktop.picture("empty");

    window.click(&by_name("new-task"));
    window.fill(&by_name("submit-command"), "echo shown $((40+2)) 完了");
    window.fill(&by_name("submit-folder"), "/no/such/folder");
    window.fill(&by_name("submit-label"), "夜間ビルド");
    window.click(&by_name("submit-go"));
    window.wait_for_text("dialog [role=alert]", "/no/such/folder");
    desktop.picture("dialog-refused");
    assert_eq!(window.value(&by_name("submit-command")), "echo shown $((40+2)) 完了");
    assert_eq!(window.value(&by_name("submit-label")), "夜間ビルド");
    assert!(desktop.tasks().is_empty());

    window.fill(&by_name("submit-folder"), desktop.work().to_str().unwrap());
    window.click(&by_name("submit-go"));
    window.wait_until_gone("dialog");
    let row = format!("{}[data-task-id='1']", by_name("task-row"));
    window.wait_for_text(&row, "夜間ビルド");
    window.wait_for_attribute(&row, "data-state", "succeeded");
    window.wait_for_text(".xterm-rows", "shown 42 完了");
    let ended = &desktop.tasks()[0];
    assert_eq!(ended.state.name(), StateName::Succeeded);
    assert_eq!(ended.cwd, desktop.work().to_string_lossy());
    desktop.picture("output");
}
