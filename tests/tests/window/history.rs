//! What ended, found again.

use nod_core::ids::TaskId;
use nod_core::task::StateName;
use nod_tests::{Desktop, Window, by_name};

use crate::row;

/// Returns the ids of the rows, from the top.
fn shown(window: &Window) -> Vec<i64> {
    let script = "return [...document.querySelectorAll(arguments[0])].map(r => +r.dataset.taskId)";
    let ids = window.script(script, &[by_name("history-row").into()]);
    ids.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
}

fn wait_for_rows(window: &Window, expected: &[TaskId]) {
    let expected: Vec<i64> = expected.iter().map(|id| id.0).collect();
    window.wait_until(&format!("the rows {expected:?}"), || shown(window) == expected);
}

fn filter(state: &str) -> String {
    format!("{} [data-state='{state}']", by_name("history-state-filter"))
}

#[test]
fn the_history_is_searched_filtered_and_run_again() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let build = desktop.submit_with(&["--label", "夜間ビルド 🌙"], &["echo compiled 完了"]);
    let lint = desktop.submit("echo clean; exit 2");
    desktop.wait_for_end(build);
    desktop.wait_for_end(lint);
    window.click(&by_name("nav-history"));
    wait_for_rows(&window, &[lint, build]);
    // What comes while the history is looked at is part of it.
    let running = desktop.submit("while [ ! -e end ]; do sleep 0.02; done");
    wait_for_rows(&window, &[running, lint, build]);
    let of_lint = format!("{}[data-task-id='{lint}']", by_name("history-row"));
    window.wait_for_text(&of_lint, "Failed (exit 2)");
    desktop.picture("history");

    for (text, found) in [("夜間", build), ("完了", build), ("clean", lint)] {
        window.fill(&by_name("history-search"), text);
        wait_for_rows(&window, &[found]);
    }
    window.fill(&by_name("history-search"), "nowhere");
    window.wait_for_text("main", "No tasks match");
    desktop.picture("history-none");
    window.fill(&by_name("history-search"), "echo");
    wait_for_rows(&window, &[lint, build]);

    window.click(&filter("succeeded"));
    wait_for_rows(&window, &[build]);
    window.click(&filter("failed"));
    wait_for_rows(&window, &[lint, build]);
    window.click(&filter("succeeded"));
    wait_for_rows(&window, &[lint]);

    window.click(&format!("{of_lint} {}", by_name("run-again")));
    let again = TaskId(running.0 + 1);
    window.wait_for_attribute(&row(again), "data-state", "failed");
    window.wait_for_attribute(&by_name("detail"), "data-task-id", &again.to_string());
    window.wait_for_text(".xterm-rows", "clean");
    assert_eq!(desktop.state(again), StateName::Failed);
    assert_eq!(desktop.plain_log(again), "clean\n");
    assert_eq!(desktop.tasks().len(), 4);
}
