//! Running a command from the window.

use nod_core::ids::TaskId;
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

#[test]
fn a_task_of_the_dialog_can_ask_first_and_is_drawn_as_a_terminal_draws() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("new-task"));
    let line =
        r"printf '\033[31mred\033[0m\n10%%\r100%%\n'; while [ ! -e go ]; do sleep 0.05; done";
    window.fill(&by_name("submit-command"), line);
    window.fill(&by_name("submit-folder"), desktop.work().to_str().unwrap());
    window.click(&by_name("submit-ask-first"));
    window.click(&by_name("submit-go"));
    window.wait_until_gone("dialog");
    let id = TaskId(1);
    let gate = desktop.wait_for_request(id);
    assert_eq!(gate.shown.argv[2], line);
    assert_eq!(desktop.state(id), StateName::Queued);
    assert!(desktop.detail(id).attempts.is_empty(), "it has no process yet");

    let approve = by_name("approve");
    window.wait_for(&format!("{approve}:enabled"));
    window.click(&approve);
    // The carriage return was obeyed: what came before it is drawn over.
    let drawn = window.wait_for_text(".xterm-rows", "100%");
    assert!(!drawn.contains("10%\n") && drawn.contains("red"), "{drawn}");
    assert_eq!(window.count(".xterm-rows [class*='xterm-fg-1']"), 1, "red is red");
    // The time in the row goes on by itself while the task runs.
    let row = format!("{}[data-task-id='1']", by_name("task-row"));
    let first = window.text(&row);
    window.wait_until("the time to go on", || window.text(&row) != first);
    desktop.picture("drawn");
    std::fs::write(desktop.work().join("go"), "").unwrap();
    window.wait_for_attribute(&row, "data-state", "succeeded");
}
