//! A task's output as the window shows it: typed into, resized, and bounded.

use nod_core::task::{Outcome, StateName};
use nod_tests::desktop::TITLE;
use nod_tests::{Desktop, Window, by_name};
use thirtyfour::Key;

use crate::row;

/// Each line that the task gets, and how large its terminal is then.
const READER: &str = "stty size; while read -r line; do echo \"got <$line>\"; stty size; [ \"$line\" != end ] || exit 3; done";

/// Returns the sizes that the task printed, the last one last.
fn sizes(log: &str) -> Vec<(u32, u32)> {
    let size = |line: &str| {
        let (rows, columns) = line.split_once(' ')?;
        Some((rows.parse().ok()?, columns.trim().parse().ok()?))
    };
    log.lines().filter_map(size).collect()
}

/// Types a line, and returns the size of the terminal that the task saw after it.
fn type_in(
    desktop: &Desktop,
    window: &Window,
    id: nod_core::ids::TaskId,
    line: &str,
) -> (u32, u32) {
    window.press(line);
    window.press(Key::Enter + "");
    let said = format!("got <{line}>\n");
    let after = nod_tests::until("what the task got", || {
        let log = desktop.plain_log(id);
        let after = log.split_once(&said)?.1.to_owned();
        (!sizes(&after).is_empty()).then_some(after)
    });
    sizes(&after)[0]
}

#[test]
fn one_types_into_a_task_and_its_terminal_is_as_large_as_it_is_shown() {
    let desktop = Desktop::start();
    let id = desktop.submit_with(&["-i", "--label", "対話"], &[READER]);
    desktop.wait_for_state(id, StateName::Running);
    let window = desktop.open();
    window.click(&format!("{} [data-row]", row(id)));
    window.wait_for(".xterm-screen");
    window.click(".xterm-screen");
    let before = type_in(&desktop, &window, id, "はい <b> 1");
    // What is typed is echoed by the terminal, and answered by the task.
    let shown = window.wait_for_text(".xterm-rows", "got <はい <b> 1>");
    assert_eq!(shown.matches("はい <b> 1").count(), 2, "{shown}");
    // The keys are the task's, not the window's.
    assert_eq!(window.count("dialog[open]"), 0);
    window.wait_for_frame();
    desktop.picture("typing");

    desktop.display().resize(TITLE, 980, 560);
    let mut line = 0;
    let mut after = before;
    window.wait_until("a smaller terminal", || {
        line += 1;
        after = type_in(&desktop, &window, id, &format!("again {line}"));
        after.0 < before.0 && after.1 < before.1
    });
    let rows = "return document.querySelectorAll('.xterm-rows > div').length";
    assert_eq!(window.script(rows, &[]), after.0);
    desktop.picture("typing-small");
    type_in(&desktop, &window, id, "end");
    let ended = desktop.wait_for_end(id);
    assert!(matches!(ended.state.outcome(), Some(Outcome::Failed { .. })), "{ended:?}");
    window.wait_for_attribute(&row(id), "data-state", "failed");
}

/// Lines of 1 KiB with their number, as many as the argument says; most of it is not to be seen, so
/// that there is little to scroll.
const LINES: &str = "import sys
for n in range(int(sys.argv[1])):
    sys.stdout.write('%07d end' % n + '\\x1b[0m' * 253 + '\\n')";

#[test]
fn what_a_bounded_log_has_lost_is_said_where_it_was() {
    let desktop = Desktop::start();
    let options = ["--no-tty", "--log-limit", "256KiB"];
    // All of it but a little before is shown, so that the gap lies in what is shown.
    let small = desktop.submit_with(&options, &["python3", "-c", LINES, "300"]);
    let large = desktop.submit_with(&options, &["python3", "-c", LINES, "8192"]);
    desktop.wait_for_end(small);
    desktop.wait_for_end(large);
    let window = desktop.open();
    window.press("3");
    let history = |id| format!("{}[data-task-id='{id}'] [data-row]", by_name("history-row"));
    window.click(&history(large));
    let note = window.wait_for_text(&by_name("earlier-output"), "The log has lost 7.");
    assert!(
        note.contains("Earlier output is not shown (7.") && note.contains("What is left"),
        "{note}"
    );
    window.wait_for_text(".xterm-rows", "0008191 end");
    window.wait_for_frame();
    desktop.picture("bounded");

    window.click(&history(small));
    window.wait_for_text(".xterm-rows", "0000299 end");
    window.click(".xterm-screen");
    window.wait_until("the gap", || {
        window.press_with(Key::Shift, Key::PageUp + "");
        // Drawn, or it would be scrolled past.
        window.wait_for_frame();
        window.text(".xterm-rows").is_some_and(|rows| rows.contains("of output are gone here"))
    });
    window.wait_for_frame();
    desktop.picture("gap");
}
