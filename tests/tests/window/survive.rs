//! Killing the app.

use nod_core::task::Outcome;
use nod_tests::{Desktop, by_name, until};

use crate::{read, row, touch, within};

const NUMBERS: &str = "i=0; while [ ! -e end ]; do i=$((i+1)); echo line $i; sleep 0.01; done; \
                       echo last $i; exit 7";

#[test]
fn a_killed_app_loses_neither_a_question_nor_a_line() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let printing = desktop.submit(NUMBERS);
    let asking = desktop.submit("echo $$ > before; nod ask 'Deploy?' > answer && echo $$ > after");
    let request = desktop.wait_for_request(asking);
    window.wait_for_attribute(&row(asking), "data-state", "waiting");
    window.click(&format!("{} [data-row]", row(printing)));
    window.wait_for_text(".xterm-rows", "line 1");
    let log = desktop.detail(printing).log_path.unwrap();
    let process = desktop.detail(printing).attempts[0].process;

    window.kill_app();
    let size = || std::fs::metadata(&log).unwrap().len();
    let at_death = size();
    until("output without an app", || (size() > at_death + 100).then_some(()));
    let window = desktop.open();

    // The question is the first that is seen.
    let card = format!("{}[data-request-id='{}']", by_name("request-card"), request.id);
    window.wait_for_text(&card, "Deploy?");
    assert_eq!(desktop.request(asking, request.id), request);
    window.click(&within(&card, "approve"));
    assert_eq!(desktop.wait_for_end(asking).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(read(&desktop, "before"), read(&desktop, "after"));
    assert!(read(&desktop, "answer").contains("approved"));

    window.click(&by_name("nav-tasks"));
    window.wait_for_attribute(&row(printing), "data-state", "running");
    window.click(&format!("{} [data-row]", row(printing)));
    window.wait_for_text(".xterm-rows", "line ");
    assert_eq!(desktop.detail(printing).attempts[0].process, process);
    touch(&desktop, "end");
    window.wait_for_text(&row(printing), "Failed (exit 7)");
    window.wait_for_text(".xterm-rows", "last ");
    assert_whole(&desktop.plain_log(printing));
}

/// Checks that the lines are numbered without one missing or twice.
fn assert_whole(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    let (last, numbered) = lines.split_last().unwrap();
    for (line, number) in numbered.iter().zip(1..) {
        assert_eq!(*line, format!("line {number}"));
    }
    assert_eq!(*last, format!("last {}", numbered.len()));
}
