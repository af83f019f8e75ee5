//! That the window looks right: nothing sticks out, light and dark are the desktop's.

use nod_core::ids::TaskId;
use nod_core::task::StateName;
use nod_tests::{Desktop, Home, Window, by_name, until};

use crate::{row, touch, within};

const STICKS_OUT: &str = "
    return [...document.querySelectorAll('body *')]
      .filter((it) => it.closest('[data-test=terminal], .sr-only, svg') === null)
      .filter((it) => it.getClientRects().length > 0 && it.getBoundingClientRect().right > innerWidth + 1)
      .map((it) => it.outerHTML.slice(0, 120))";
const BRIGHTNESS: &str = "
    const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
    return (r + g + b) / 3";

const SCROLL: &str = "
    const list = document.querySelector('main .scroll');
    list.scrollTo(0, arguments[0]);
    return list.scrollTop";

/// As many slots as the tasks below hold, so that two more must wait.
const CONFIG: &str = "[groups.default]\nslots = 7\n[cancel]\ngrace_ms = 600000\n";

const HOLD: &str = "while [ ! -e end ]; do sleep 0.05; done";

/// Submits tasks that end in every way but a denial.
fn ended(desktop: &Desktop) {
    let tasks: [(&[&str], &[&str], StateName); 8] = [
        (&["--label", "Unit tests"], &["echo '214 passed'"], StateName::Succeeded),
        (&["--label", "ドキュメント生成 📚"], &["echo 完了"], StateName::Succeeded),
        (&["--label", "Lint"], &["echo 'error: unused'; exit 2"], StateName::Failed),
        (
            &[],
            &["printf '%s\n' one two three four five six seven eight nine; exit 101"],
            StateName::Failed,
        ),
        (&["--label", "Unknown program"], &["no-such-program", "x"], StateName::Failed),
        (&["--timeout", "200ms", "--label", "Too slow"], &["sleep 6106"], StateName::TimedOut),
        (&["--label", "Killed"], &["kill -9 $$"], StateName::Failed),
        (&["--label", "Lost"], &["kill -9 $PPID; sleep 6107"], StateName::Lost),
    ];
    for (options, words, state) in tasks {
        let id = desktop.submit_with(options, words);
        desktop.wait_for_end(id);
        assert_eq!(desktop.state(id), state, "{words:?}");
    }
    // A shell that is just about to begin another process may lose the one signal that there is here.
    let cancelled = desktop.submit(": > begun; exec sleep 6105");
    until("the sleep", || desktop.work().join("begun").exists().then_some(()));
    assert_eq!(desktop.run(&["cancel", &cancelled.to_string()]).code, Some(0));
    desktop.wait_for_end(cancelled);
}

/// Submits tasks that stand in every state before the end, and returns one that asks.
fn unfinished(desktop: &Desktop) -> TaskId {
    let label = "A very long label that goes on and on, beyond what any row can hold in one line";
    let running = [
        ("リリースビルド 🚀", "nod progress 64 'compiling 412 of 640 crates'"),
        ("Working without a number", "echo working"),
        ("Hardly begun", "nod progress 1"),
        (label, "nod progress 97 'and a message that is long as well, since nobody bounds it'"),
    ];
    for (label, line) in running {
        let id = desktop.submit_with(&["--label", label], &[&format!("{line}; {HOLD}")]);
        desktop.wait_for_state(id, StateName::Running);
    }
    let two = desktop.submit(&format!("nod ask 'One?' & nod ask 'Another?' & {HOLD}"));
    let ask = format!("nod progress 20 built; nod ask 'Deploy 2.4.0 to production?'; {HOLD}");
    let asking = desktop.submit_with(&["--label", "Deploy to production"], &[&ask]);
    for id in [two, asking] {
        desktop.wait_for_state(id, StateName::Waiting);
    }
    let stubborn = format!("trap '' INT; touch trapped; {HOLD}");
    let stopping = desktop.submit_with(&["--label", "Stubborn"], &[&stubborn]);
    until("trapped", || desktop.work().join("trapped").exists().then_some(()));
    assert_eq!(desktop.run(&["cancel", &stopping.to_string()]).code, Some(0));
    desktop.wait_for_state(stopping, StateName::Stopping);
    for line in ["cargo build --release", "cargo test --workspace"] {
        desktop.wait_for_state(desktop.submit(line), StateName::Queued);
    }
    let gate = desktop.submit_with(&["--ask-first", "--env", "COLOUR=blue"], &["make install"]);
    desktop.wait_for_state(gate, StateName::Queued);
    asking
}

/// Submits a task that the person at the window denies.
fn denied(desktop: &Desktop, window: &Window) {
    let options = ["--ask-first", "--label", "Force push"];
    let id = desktop.submit_with(&options, &["git", "push", "--force"]);
    let request = desktop.wait_for_request(id);
    window.click(&by_name("nav-inbox"));
    let card = format!("{}[data-request-id='{}']", by_name("request-card"), request.id);
    window.click(&within(&card, "deny"));
    window.click(&within(&card, "deny-confirm"));
    window.wait_for_text(&card, "Denied by a person in the window");
    assert_eq!(desktop.wait_for_end(id).state.name(), StateName::Denied);
}

fn look_around(desktop: &Desktop, window: &Window, asking: TaskId, theme: &str) {
    for view in ["inbox", "tasks", "history"] {
        window.click(&by_name(&format!("nav-{view}")));
        window.wait_for("main [data-item]");
        check(desktop, window, &format!("{theme}-{view}"));
    }
    window.click(&by_name("nav-tasks"));
    window.wait_for("main [data-item]");
    let bottom = window.script(SCROLL, &[1_000_000.into()]);
    assert!(bottom.as_f64().unwrap() > 0.0, "twenty tasks are more than a window holds");
    check(desktop, window, &format!("{theme}-tasks-end"));
    assert_eq!(window.script(SCROLL, &[0.into()]), 0);
    window.click(&format!("{} [data-row]", row(asking)));
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
    let desktop = Desktop::start_in(Home::new().with_config(CONFIG));
    ended(&desktop);
    let asking = unfinished(&desktop);
    let window = desktop.open();
    denied(&desktop, &window);
    assert_eq!(desktop.tasks().len(), 20);
    assert!(window.script(BRIGHTNESS, &[]).as_f64().unwrap() > 200.0);
    look_around(&desktop, &window, asking, "light");
    window.kill_app();

    let desktop = desktop.with_theme("Adwaita:dark");
    let window = desktop.open();
    assert!(window.script(BRIGHTNESS, &[]).as_f64().unwrap() < 60.0);
    look_around(&desktop, &window, asking, "dark");
    window.click(&by_name("new-task"));
    check(&desktop, &window, "dark-dialog");
    touch(&desktop, "end");
}
