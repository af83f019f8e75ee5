//! What tasks say is text, whatever it looks like.

use nod_tests::desktop::TITLE;
use nod_tests::{Desktop, by_name};
use serde_json::json;
use thirtyfour::Key;

use crate::{row, touch, within};

const HTML: &str = "<img src=x onerror='window.harmed=1'>";

/// Finds the text that is printed as a link, and notes what becomes of a click on it.
const WATCH_LINK: &str = "
    const spans = [...document.querySelectorAll('.xterm-rows span')];
    const link = spans.find((span) => span.innerText.startsWith('a link'));
    window.opened = [];
    for (const name of ['open', 'confirm', 'alert']) {
      window[name] = (...words) => { window.opened.push([name, ...words.map(String)]); };
    }
    addEventListener('beforeunload', () => window.opened.push(['left']));
    const heard = () => setTimeout(() => { window.clicked = true; });
    document.addEventListener('mouseup', heard, { capture: true });
    const { left, top, height } = link.getBoundingClientRect();
    return [left + 12, top + height / 2]";

#[test]
fn labels_questions_and_output_are_text_only() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let display = desktop.display();
    let own = display.copy();
    let label = format!("invoice\u{202e}fdp.exe \u{1b}[31m\u{7} {HTML} 請求書 👩‍💻");
    // Sets the title and the clipboard, prints a link, clears the screen.
    let line = format!(
        "printf '\\033]0;forged\\007\\033]52;c;Zm9yZ2Vk\\007'; \
         printf '\\033]8;;http://example.com\\033\\\\a link\\033]8;;\\033\\\\\\n'; \
         cat <<'END'\n{HTML}\nEND\nnod progress 30 \"{HTML}\"; nod ask \"Really? {HTML}\""
    );
    let id = desktop.submit_with(&["--label", &label], &[&line]);
    let request = desktop.wait_for_request(id);
    let row = row(id);
    for part in ["invoice⟨U+202E⟩fdp.exe", "⟨ESC⟩[31m⟨BEL⟩", HTML, "請求書 👩‍💻"]
    {
        window.wait_for_text(&row, part);
    }
    window.click(&format!("{row} [data-row]"));
    window.wait_for_text(&by_name("request-card"), &format!("Really? {HTML}"));
    window.wait_for_text(".xterm-rows", "<img src=x onerror=");
    window.wait_for_text(".xterm-rows", "a link");
    desktop.picture("untrusted");
    assert_eq!(display.copied(), [own, own], "what was copied is still the other program's");
    let place = window.script(WATCH_LINK, &[]);
    let [x, y] = [0, 1].map(|n| place[n].as_f64().unwrap().round().to_string());
    // With the mouse of the display: the window lies in its corner.
    let mut mouse = desktop.command("xdotool");
    assert!(mouse.args(["mousemove", &x, &y, "click", "1"]).status().unwrap().success());
    // Whoever opens a page asks first, or does so at once; what was clicked has been heard by then.
    window.wait_until("the click", || window.script("return window.clicked", &[]) == true);
    window.wait_for_frame();
    assert_eq!(window.script("return window.opened", &[]), json!([]));
    assert_eq!(window.count("img"), 0);
    assert_eq!(window.count("a[href]"), 0);
    assert!(window.script("return window.harmed ?? null", &[]).is_null());
    assert_eq!(window.script("return document.title", &[]), "Nod");
    assert!(desktop.display().shows(TITLE), "the title is the app's own");
    assert!(desktop.request(id, request.id).is_open());
    // A person who copies does take it over, so that it would have been seen.
    window.click(&by_name("nav-history"));
    window.fill(&by_name("history-search"), "mine");
    window.press_with(Key::Control, "a");
    window.press_with(Key::Control, "c");
    window.wait_until("the copy", || display.copied()[0] != own);
}

#[test]
fn a_word_as_long_as_a_command_can_be_does_not_hold_the_window_up() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let line = format!("while [ ! -e end ]; do sleep 0.05; done; : {}", "y".repeat(128_000));
    let id = desktop.submit(&line);
    let name = format!("{} [data-row]", row(id));
    window.wait_for_attribute(&row(id), "data-state", "running");
    let gated = desktop.submit_with(&["--ask-first"], &[&line]);
    let request = desktop.wait_for_request(gated);
    window.click(&by_name("nav-history"));
    window.wait_for(&by_name("history-row"));
    window.click(&by_name("nav-inbox"));
    let card = format!("{}[data-request-id='{}']", by_name("request-card"), request.id);
    window.wait_for(&format!("{}:enabled", within(&card, "approve")));
    // What would run is shown whole; what it is called is not.
    let shown = window.text(&card).unwrap();
    assert_eq!(shown.matches('y').count() / 128_000, 1, "{} characters", shown.len());
    desktop.picture("long-word");
    window.click(&by_name("nav-tasks"));
    window.click(&name);
    window.wait_for_attribute(&by_name("detail"), "data-state", "running");
    touch(&desktop, "end");
    window.wait_for_attribute(&row(id), "data-state", "succeeded");
    let shown = window.text(&name).unwrap();
    assert!(shown.len() < 400 && shown.ends_with('…'), "{} bytes", shown.len());
    let hint = window.attribute(&name, "title").unwrap();
    assert!(hint.len() < 400, "{} bytes", hint.len());
}
