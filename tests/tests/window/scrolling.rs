//! Only the panes of the window scroll, and never all of it.

use nod_core::ids::TaskId;
use nod_tests::{Desktop, Home, Window, by_name};
use thirtyfour::Key;

use crate::{card, row, touch, within};

/// Brings everything into view and into the focus, scrolls by force, and returns what of the page
/// has moved, and by how much. Opened parts count as well.
const SHAKE: &str = "
    const page = [document.documentElement, document.body, document.querySelector('#app')];
    const moved = new Set();
    const look = (what) => {
      for (const it of [document.scrollingElement, ...page]) {
        if (it.scrollTop !== 0 || it.scrollLeft !== 0) {
          moved.add(`${it.localName} by ${it.scrollLeft} and ${it.scrollTop} for ${what}`);
        }
        it.scrollTo(0, 0);
      }
    };
    for (const it of document.querySelectorAll('details')) it.open = true;
    const before = document.activeElement;
    for (const it of document.querySelectorAll('body *')) {
      for (const block of ['start', 'end']) it.scrollIntoView({ block, inline: block });
      it.focus();
      look(it.outerHTML.slice(0, 80));
    }
    before?.focus();
    for (const it of page) {
      it.scrollBy(0, 10_000);
      it.scrollBy(10_000, 0);
      look('scrollBy');
    }
    scrollTo(0, 10_000);
    look('scrollTo');
    return [...moved].slice(0, 8)";

const SCROLLED: &str = "
    return [document.documentElement, document.body, document.querySelector('#app')]
      .map((it) => it.scrollTop + it.scrollLeft)";

#[track_caller]
fn shake(window: &Window, view: &str) {
    assert_eq!(window.script(SHAKE, &[]), serde_json::json!([]), "{view}");
    // As a person moves the focus, forwards and backwards.
    window.press(Key::Tab.value().to_string().repeat(25));
    window.press_with(Key::Shift, Key::Tab.value().to_string().repeat(35));
    window.press(Key::PageDown + Key::End);
    window.wait_for_frame();
    assert_eq!(window.script(SCROLLED, &[]), serde_json::json!([0, 0, 0]), "{view}");
}

/// Submits a task that asks several long questions of all sorts at once.
fn asks(desktop: &Desktop) -> TaskId {
    let form = r#"{"properties": {"a": {"type": "array", "items": {"type": "string"}},
                                  "b": {"type": "object", "properties": {"c": {"enum": [1, 2]}}}}}"#;
    std::fs::write(desktop.work().join("form.json"), form).unwrap();
    std::fs::write(desktop.work().join("detail"), "one line 一行\n".repeat(60)).unwrap();
    let questions = [
        "--choice eu --choice 東京 --detail-file detail",
        "--schema form.json --detail-file detail",
        "--text --detail-file detail",
        "--detail-file detail",
    ];
    let lines = questions.map(|more| format!("nod ask \"Go? $(cat detail)\" {more} &"));
    desktop.submit(&format!("{} while [ ! -e end ]; do sleep 0.05; done", lines.join(" ")))
}

#[test]
fn the_page_never_scrolls_whatever_is_brought_into_view() {
    let config = "[[rules]]\nmatch = [\"touch\", \"**\"]\nthen = \"ask_first\"\n".repeat(12);
    let desktop = Desktop::start_in(Home::new().with_config(&config));
    let ended: Vec<_> = (0..30).map(|n| desktop.submit(&format!("echo {n}"))).collect();
    for id in ended {
        desktop.wait_for_end(id);
    }
    let id = asks(&desktop);
    let gate = desktop.submit_with(&["--env", "LONG=x"], &["touch", "ran"]);
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let asked = desktop.wait_for_request(gate);
    window.wait_for(&within(&card(&asked), "deny"));
    window.wait_until("five cards", || window.count(&by_name("request-card")) == 5);
    shake(&window, "the questions");
    for view in ["tasks", "history", "rules", "settings"] {
        window.click(&by_name(&format!("nav-{view}")));
        shake(&window, view);
    }
    window.click(&by_name("nav-tasks"));
    window.click(&format!("{} [data-row]", row(id)));
    window.wait_until("four cards", || window.count(&by_name("request-card")) == 4);
    shake(&window, "a task");
    for tab in ["events", "audit", "environment"] {
        window.click(&by_name(&format!("tab-{tab}")));
        shake(&window, tab);
    }
    desktop.picture("scrolling");
    touch(&desktop, "end");
}
