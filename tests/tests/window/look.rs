//! That the window looks right: nothing sticks out, light and dark are the desktop's.

use nod_core::task::StateName;
use nod_tests::{Desktop, Window, by_name};

use crate::{row, touch};

const STICKS_OUT: &str = "
    return [...document.querySelectorAll('body *')]
      .filter((it) => it.closest('[data-test=terminal], .sr-only, svg') === null)
      .filter((it) => it.getClientRects().length > 0 && it.getBoundingClientRect().right > innerWidth + 1)
      .map((it) => it.outerHTML.slice(0, 120))";
const BRIGHTNESS: &str = "
    const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
    return (r + g + b) / 3";

/// Submits a task for each way that a row can look.
fn one_of_each(desktop: &Desktop) {
    let wait = "while [ ! -e end ]; do sleep 0.05; done";
    let running = [
        ("リリースビルド 🚀", "nod progress 64 'compiling 412 of 640 crates'"),
        ("Working without a number", "echo working"),
        ("Deploy to production", "nod progress 20 built; nod ask 'Deploy 2.4.0 to production?'"),
        ("A very long label that goes on and on, beyond what any row can hold in one line", "echo"),
    ];
    let ended = [("Unit tests", "echo '214 passed'"), ("Lint", "echo 'error: unused'; exit 2")];
    for (label, line) in ended {
        let id = desktop.submit_with(&["--label", label], &[line]);
        desktop.wait_for_end(id);
    }
    let cancelled = desktop.submit("sleep 6105");
    assert_eq!(desktop.run(&["cancel", &cancelled.to_string()]).code, Some(0));
    desktop.wait_for_end(cancelled);
    for (label, line) in running {
        let line = format!("{line}; {wait}");
        let id = desktop.submit_with(&["--label", label], &[&line]);
        let state = if line.contains("nod ask") { StateName::Waiting } else { StateName::Running };
        desktop.wait_for_state(id, state);
    }
    let gate = desktop.submit_with(&["--ask-first", "--env", "COLOUR=blue"], &["make install"]);
    desktop.wait_for_state(gate, StateName::Queued);
    // The ends that are no exit of the command's own.
    let unknown = desktop.submit_with(&["--label", "Unknown program"], &["no-such-program", "x"]);
    let late = desktop.submit_with(&["--timeout", "200ms", "--label", "Too slow"], &["sleep 6106"]);
    let killed = desktop.submit_with(&["--label", "Killed"], &["kill -9 $$"]);
    let lost = desktop.submit_with(&["--label", "Lost"], &["kill -9 $PPID; sleep 6107"]);
    let ends = [
        (unknown, StateName::Failed),
        (late, StateName::TimedOut),
        (killed, StateName::Failed),
        (lost, StateName::Lost),
    ];
    for (id, state) in ends {
        desktop.wait_for_end(id);
        assert_eq!(desktop.state(id), state);
    }
}

fn look_around(desktop: &Desktop, window: &Window, theme: &str) {
    for view in ["inbox", "tasks", "history"] {
        window.click(&by_name(&format!("nav-{view}")));
        window.wait_for("main [data-item]");
        check(desktop, window, &format!("{theme}-{view}"));
    }
    window.click(&by_name("nav-tasks"));
    let waiting = row(nod_core::ids::TaskId(6));
    window.click(&format!("{waiting} [data-row]"));
    window.wait_for(&format!("{}:enabled", by_name("approve")));
    check(desktop, window, &format!("{theme}-detail"));
}

fn check(desktop: &Desktop, window: &Window, name: &str) {
    let found = window.script(STICKS_OUT, &[]);
    assert_eq!(found, serde_json::json!([]), "{name}");
    window.wait_for_frame();
    desktop.picture(name);
}

#[test]
fn the_window_is_light_or_dark_as_the_desktop_is_and_nothing_sticks_out() {
    let desktop = Desktop::start();
    one_of_each(&desktop);
    let window = desktop.open();
    assert!(window.script(BRIGHTNESS, &[]).as_f64().unwrap() > 200.0);
    look_around(&desktop, &window, "light");
    window.kill_app();

    let desktop = desktop.with_theme("Adwaita:dark");
    let window = desktop.open();
    assert!(window.script(BRIGHTNESS, &[]).as_f64().unwrap() < 60.0);
    look_around(&desktop, &window, "dark");
    window.click(&by_name("new-task"));
    check(&desktop, &window, "dark-dialog");
    touch(&desktop, "end");
}
