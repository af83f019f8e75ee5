//! What the view of one task shows beside its state.

use nod_core::request::Answer;
use nod_tests::{Desktop, by_name};

use crate::{card, row, touch, within};

const SCROLLS: &str = "
    const terminal = document.querySelector('.terminal');
    return terminal.scrollWidth > terminal.clientWidth";

#[test]
fn the_audit_of_a_task_says_who_decided_what_on_what_they_saw() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let line = "nod ask 'Which?' --choice eu --choice '東京'; \
                nod ask 'Deploy?' --detail-file /etc/hostname; nod ask 'Late?' --timeout 100ms; true";
    let id = desktop.submit(line);
    let first = desktop.wait_for_request(id);
    window.click(&format!("{} [data-row]", row(id)));
    window.click(&format!("{} label:last-child", within(&card(&first), "answer-fields")));
    window.fill(&within(&card(&first), "comment"), "近い <b>");
    window.click(&within(&card(&first), "answer"));
    window.wait_for_attribute(&card(&first), "data-open", "false");
    let second = desktop.wait_for_request(id);
    assert!(matches!(
        desktop.request(id, first.id).closure,
        Some(nod_core::request::Closure::Answered { answer: Answer::Choice { .. }, .. })
    ));
    window.click(&within(&card(&second), "deny"));
    window.fill(&within(&card(&second), "deny-reason"), "not today");
    window.click(&within(&card(&second), "deny-confirm"));
    desktop.wait_for_end(id);
    // All of the end is shown, and nothing above the tabs moves them any more.
    window.wait_for_text(&by_name("detail-state"), "Succeeded");
    window.wait_for_text(&by_name("detail"), "Peak memory");
    window.wait_for_text(&by_name("tab-audit"), "3");
    window.click(&by_name("tab-audit"));
    window.wait_until("three rows", || window.count(&by_name("audit-row")) == 3);
    let said = window.text(&by_name("audit")).unwrap();
    let at = |part: &str| said.find(part).unwrap_or_else(|| panic!("no {part:?} in {said}"));
    // Newest first.
    assert!(at("Expired: nobody answered in time") < at("Denied by a person in the window"));
    assert!(at("Denied by a person in the window") < at("Answered by a person in the window"));
    for part in ["not today", "東京", "近い <b>", "Which?", "Deploy?", "Late?"] {
        at(part);
    }
    let closed = desktop.detail(id).requests.into_iter().rev();
    let times: Vec<i64> = closed.map(|request| request.closure.unwrap().at().0).collect();
    assert_eq!(window.script(TIMES, &[times.into()]), true, "each row says when");
    window.click(&format!("{} summary", by_name("audit-row")));
    window.wait_for_text(&by_name("audit-row"), "SHA-256");
    window.wait_for_text(&by_name("audit-row"), "Asked by task 1");
    desktop.picture("audit");
}

#[test]
fn output_scrolls_sideways_only_where_something_is_to_the_right() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let line = "echo short 短い; while [ ! -e wide ]; do sleep 0.05; done; \
                printf '%0110d END\\n' 0; while [ ! -e end ]; do sleep 0.05; done";
    let id = desktop.submit(line);
    window.click(&format!("{} [data-row]", row(id)));
    window.wait_for_text(".xterm-rows", "short");
    window.wait_for_frame();
    assert_eq!(window.script(SCROLLS, &[]), false);
    desktop.picture("output-narrow");
    touch(&desktop, "wide");
    window.wait_until("a wide line", || window.script(SCROLLS, &[]) == true);
    window.wait_for_text(".xterm-rows", "END");
    desktop.picture("output-wide");
    touch(&desktop, "end");
}

/// Returns whether the rows of the audit say these times, as this window writes times.
const TIMES: &str = "
    const rows = [...document.querySelectorAll('[data-test=audit-row] .when time')];
    return JSON.stringify(rows.map((row) => Date.parse(row.dateTime))) ===
      JSON.stringify(arguments[0]) && rows.every((row) => row.textContent.includes(':'))";

/// Answers as a window does that still shows a question as open.
const ANSWER: &str = "
    const [request, shown] = arguments;
    const params = { operation: crypto.randomUUID(), request, answer: { type: 'approve' }, shown };
    return window.__TAURI_INTERNALS__.invoke('rpc', { call: { method: 'answer', params } })
      .then(() => 'taken', (error) => error.code)";

#[test]
fn an_answer_that_came_too_late_is_among_what_was_decided() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let id = desktop.submit("nod ask 'Deploy 本番?'; while [ ! -e end ]; do sleep 0.05; done");
    let request = desktop.wait_for_request(id);
    window.click(&format!("{} [data-row]", row(id)));
    window.click(&within(&card(&request), "deny"));
    window.fill(&within(&card(&request), "deny-reason"), "今日はだめ");
    window.click(&within(&card(&request), "deny-confirm"));
    window.wait_for_attribute(&card(&request), "data-open", "false");
    // What the answer changes above the tabs has changed.
    window.wait_for_text(&by_name("detail-state"), "Running");
    window.wait_for_text(&by_name("tab-audit"), "1");
    window.click(&by_name("tab-audit"));
    window.wait_for(&by_name("audit-row"));
    let shown = request.hash.as_str();
    assert_eq!(window.script(ANSWER, &[request.id.0.into(), shown.into()]), "conflict");
    // At once, in the list that is open.
    window.wait_until("two rows", || window.count(&by_name("audit-row")) == 2);
    let said = window.text(&by_name("audit-row")).unwrap();
    for part in [
        "Refused: an approval by a person in the window",
        "is closed: denied by a person in the window at 20",
        "Deploy 本番?",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    desktop.picture("late-answer");
    touch(&desktop, "end");
}

const WIDTHS: &str = "
    const box = document.querySelector(\"[aria-label='Environment changes']\");
    const value = [...box.querySelectorAll('.value')].find((it) => it.innerText.startsWith('/long'));
    return value.getBoundingClientRect().width / box.getBoundingClientRect().width";

#[test]
fn a_long_value_of_the_environment_has_a_line_of_its_own() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let path = format!("LONG_PATH=/long{}", "/some/folder/of/it:".repeat(20));
    let options = ["--ask-first", "--env", &path, "--env", "COLOUR=blue"];
    let id = desktop.submit_with(&options, &["true"]);
    let request = desktop.wait_for_request(id);
    window.wait_for_text(&card(&request), "LONG_PATH");
    let share = window.script(WIDTHS, &[]).as_f64().unwrap();
    assert!(share > 0.8, "the value has {share} of the width");
    window.wait_for(&format!("{}:enabled", within(&card(&request), "approve")));
    desktop.picture("environment");
}
