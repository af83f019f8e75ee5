//! Ending a task from the window.

use nod_core::task::StateName;
use nod_tests::{Desktop, by_name, processes, until};

use crate::{row, touch, within};

#[test]
fn a_task_is_cancelled_from_its_row_and_from_its_detail() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let from_row = desktop.submit("sleep 6103");
    let from_detail = desktop.submit(
        "trap '' INT; touch ready; echo until the end; while [ ! -e end ]; do sleep 0.02; done",
    );
    until("ready", || desktop.work().join("ready").exists().then_some(()));
    window.wait_for_attribute(&row(from_row), "data-state", "running");

    window.click(&within(&row(from_row), "task-cancel"));
    window.wait_for_attribute(&row(from_row), "data-state", "cancelled");
    assert_eq!(desktop.state(from_row), StateName::Cancelled);
    assert_eq!(processes::with_mark("sleep\u{0}6103"), [] as [i32; 0]);

    window.click(&format!("{} [data-row]", row(from_detail)));
    window.wait_for_text(".xterm-rows", "until the end");
    window.click(&by_name("detail-cancel"));
    window.wait_for_attribute(&row(from_detail), "data-state", "stopping");
    let detail = by_name("detail");
    window.wait_for_text(&detail, "SIGINT was sent");
    window.wait_for_text(&detail, "Waits for");
    desktop.picture("stopping");
    window.wait_until_gone(&by_name("detail-cancel"));
    touch(&desktop, "end");
    window.wait_for_text(&by_name("detail-state"), "Cancelled");
    window.wait_for_text(&by_name("detail-why"), "a person in the window");
    assert_eq!(desktop.state(from_detail), StateName::Cancelled);
}
