//! What tasks say is text, whatever it looks like.

use nod_tests::desktop::TITLE;
use nod_tests::{Desktop, by_name};

use crate::row;

const HTML: &str = "<img src=x onerror='window.harmed=1'>";

#[test]
fn labels_questions_and_output_are_text_only() {
    let desktop = Desktop::start();
    let window = desktop.open();
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
    assert_eq!(window.count("img"), 0);
    assert_eq!(window.count("a[href]"), 0);
    assert!(window.script("return window.harmed ?? null", &[]).is_null());
    assert_eq!(window.script("return document.title", &[]), "Nod");
    assert!(desktop.display().shows(TITLE), "the title is the app's own");
    assert!(desktop.request(id, request.id).is_open());
}
