//! What a task said of its own outcome, in its view.

use nod_tests::{Desktop, Window, by_name};

use crate::{row, touch, within};

/// The longest that a host takes, as compact as it can be.
const HUGE: &str = "[1,2]";

const BOX: &str = "
    const box = document.querySelector(\"[data-test='task-says']\").getBoundingClientRect();
    return [box.height, box.right - innerWidth]";

/// Notes what is copied, as the clipboard would get it.
const WATCH_COPIES: &str = "
    window.copies = [];
    navigator.clipboard.writeText = async (text) => { window.copies.push(text); }";

fn open(window: &Window, id: nod_core::ids::TaskId) {
    window.click(&by_name("nav-tasks"));
    window.click(&format!("{} [data-row]", row(id)));
    window.wait_for(&format!("{}[data-task-id='{id}']", by_name("detail")));
}

fn copied(window: &Window, n: usize) -> String {
    window.click(&by_name("copy-said"));
    let copies = "return window.copies.length";
    window.wait_until("the copy", || window.script(copies, &[]) == n);
    window.script("return window.copies.at(-1)", &[]).as_str().unwrap().to_owned()
}

#[test]
fn the_view_of_a_task_shows_its_result_and_why_it_failed() {
    let desktop = Desktop::start();
    let data = r#"{"url":"https://例え.jp/\u001b[2J\u202egnp","id":12345678901234567890,"list":[],"<b>":[1,"二"]}"#;
    std::fs::write(desktop.work().join("data"), data).unwrap();
    std::fs::write(desktop.work().join("why"), "no disk 容量なし\u{1b}[31m\n<img src=x>").unwrap();
    let given = desktop.submit(
        "nod result \"$(cat data)\" --message '全部できた <i>'; while [ ! -e end ]; do sleep 0.05; done",
    );
    let failed = desktop.submit("nod fail \"$(cat why)\"; exit 3");
    let alone = desktop.submit("nod fail 'only 言葉'");
    let line = format!("nod result '[{}3]'", format!("{HUGE},").repeat(10_000));
    let huge = desktop.submit(&line);
    // One text of nothing but what JSON escapes.
    let text = "nod result \"$(printf '\"'; printf '\\\\n%.0s' $(seq 25000); printf '\"')\"";
    let long = desktop.submit(text);
    let silent = desktop.submit("true");
    for id in [failed, alone, huge, long, silent] {
        desktop.wait_for_end(id);
    }
    look_at(&desktop, [given, failed, alone, huge, long, silent], "light");
    let desktop = desktop.with_theme("Adwaita:dark");
    look_at(&desktop, [given, failed, alone, huge, long, silent], "dark");
    touch(&desktop, "end");
}

fn look_at(desktop: &Desktop, ids: [nod_core::ids::TaskId; 6], theme: &str) {
    let [given, failed, alone, huge, long, silent] = ids;
    let window = desktop.open();
    assert!(window.script(WATCH_COPIES, &[]).is_null());
    let said = by_name("task-says");
    // While it still runs.
    open(&window, given);
    window.wait_for_text(&said, "12345678901234567890");
    let text = window.text(&said).unwrap();
    let parts =
        ["Result", "全部できた <i>", "https://例え.jp/", "  \"list\": [],\n", "    \"二\"\n"];
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    // JSON itself has them escaped.
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    desktop.picture(&format!("result-{theme}"));
    let copy = copied(&window, 1);
    assert!(copy.starts_with("{\n  \"url\": ") && copy.contains("\"id\": 12345678901234567890,"));

    open(&window, failed);
    let text = window.wait_for_text(&said, "容量なし⟨ESC⟩[31m\n<img src=x>");
    assert!(text.starts_with("Why it failed"), "{text}");
    window.wait_for_text(&by_name("detail-state"), "Failed (exit 3)");
    assert_eq!(copied(&window, 2), "no disk 容量なし\u{1b}[31m\n<img src=x>");
    desktop.picture(&format!("failure-{theme}"));

    open(&window, alone);
    window.wait_for_text(&said, "only 言葉");
    // Once, and not as if Nod had said it.
    assert_eq!(window.count(&by_name("detail-why")), 0);

    open(&window, huge);
    window.wait_for_text(&said, "Only its beginning is shown");
    let size = window.script(BOX, &[]);
    assert!(size[0].as_f64().unwrap() < 320.0 && size[1].as_f64().unwrap() < 1.0, "{size}");
    desktop.picture(&format!("huge-result-{theme}"));
    let copy = copied(&window, 3);
    let all: serde_json::Value = serde_json::from_str(&copy).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 10_001);

    open(&window, long);
    window.wait_for_text(&said, "Only its beginning is shown");
    let copy = copied(&window, 4);
    assert_eq!(serde_json::from_str::<String>(&copy).unwrap(), "\n".repeat(25_000));

    open(&window, silent);
    window.wait_for(&within(&by_name("detail"), "detail-state"));
    assert_eq!(window.count(&said), 0);
    assert_eq!(window.count("img"), 0);
    window.kill_app();
}
