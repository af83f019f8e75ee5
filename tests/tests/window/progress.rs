//! How far a task is.

use nod_core::task::StateName;
use nod_tests::Desktop;

use crate::{row, touch};

const STEPS: &str = "step() { while [ ! -e go-$1 ]; do sleep 0.02; done; }; \
                     for p in 10 55 80; do step $p; nod progress $p \"step $p\"; done; \
                     step osc; printf '\\033]9;4;1;90\\033\\\\'; step end";

#[test]
fn the_bar_moves_as_the_task_reports() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let id = desktop.submit(STEPS);
    let bar = format!("{} [role=progressbar]", row(id));
    window.wait_for(&bar);
    assert_eq!(window.attribute(&bar, "aria-valuenow"), None, "nothing is known yet");
    for percent in ["10", "55", "80"] {
        touch(&desktop, &format!("go-{percent}"));
        window.wait_for_attribute(&bar, "aria-valuenow", percent);
        window.wait_for_text(&row(id), &format!("step {percent}"));
        let width = "return document.querySelector(arguments[0] + ' .fill').style.width";
        assert_eq!(window.script(width, &[bar.as_str().into()]), format!("{percent}%"));
    }
    desktop.picture("progress");
    touch(&desktop, "go-end");
    touch(&desktop, "go-osc");
    window.wait_for_attribute(&row(id), "data-state", "succeeded");
    assert_eq!(window.attribute(&bar, "aria-valuenow").as_deref(), Some("100"));
    assert_eq!(desktop.state(id), StateName::Succeeded);
}
