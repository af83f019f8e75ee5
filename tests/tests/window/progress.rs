//! How far a task is.

use nod_core::task::StateName;
use nod_tests::Desktop;

use crate::{row, touch};

const STEPS: &str = "step() { while [ ! -e go-$1 ]; do sleep 0.02; done; }; \
                     for p in 10 55 80; do step $p; nod progress $p \"step $p\"; done; \
                     step end";

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
    window.wait_for_attribute(&row(id), "data-state", "succeeded");
    assert_eq!(window.attribute(&bar, "aria-valuenow").as_deref(), Some("100"));
    assert_eq!(desktop.state(id), StateName::Succeeded);
}

#[test]
fn the_bar_of_a_cargo_that_knows_nothing_of_nod_moves() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let folder = desktop.work().join("small");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest =
        "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
    // A build script holds the bar where it can be seen.
    let script = "fn main() { while !std::path::Path::new(\"go\").exists() { \
                  std::thread::sleep(std::time::Duration::from_millis(20)); } }\n";
    std::fs::write(folder.join("build.rs"), script).unwrap();
    let cwd = folder.to_str().unwrap();
    let id = desktop.submit_with(&["--cwd", cwd], &["cargo", "build", "--offline"]);
    let bar = format!("{} [role=progressbar]", row(id));
    window.wait_until("cargo's bar", || {
        let percent = window.attribute(&bar, "aria-valuenow");
        percent.and_then(|percent| percent.parse::<f64>().ok()).is_some_and(|it| it < 100.0)
    });
    std::fs::write(folder.join("go"), "").unwrap();
    window.wait_for_attribute(&row(id), "data-state", "succeeded");
}
