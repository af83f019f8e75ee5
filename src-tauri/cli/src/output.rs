//! Everything that `nod` prints.
//!
//! What tasks wrote is no text to trust: it goes through
//! [`crate::text::neutralised`] before it gets here, except for the raw log.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Prints `text`, which ends its own lines.
pub(crate) fn text(text: &str) -> io::Result<()> {
    bytes(text.as_bytes())
}

/// Prints `text` and a line end.
pub(crate) fn line(text: &str) -> io::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints `bytes` as they are, at once.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Prints `value` as one JSON document on one line.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(&terminal_safe(&serde_json::to_string(value)?))
}

/// Returns JSON without the control characters that JSON itself lets pass.
///
/// They occur inside of strings only, where an escape means the same.
fn terminal_safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if crate::text::is_unsafe(c) {
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Tells the person at the terminal something that is no result.
pub(crate) fn note(text: &str) {
    let line = format!("nod: {}\n", crate::text::neutralised(text));
    // A closed stderr leaves nobody to tell.
    io::stderr().lock().write_all(line.as_bytes()).ok();
}

/// Tells what a host wants to be known beside its reply.
pub(crate) fn maybe_note(text: Option<&str>) {
    if let Some(text) = text {
        note(text);
    }
}

/// Returns how many columns the terminal has; nothing when stdout is none.
pub(crate) fn columns() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Returns how many columns and rows the terminal has; what most have where it does not say.
pub(crate) fn screen() -> (u16, u16) {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let known = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or((80, 24), |size| (size.ws_col, size.ws_row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reaches_the_terminal_without_control_characters() {
        let value = "a\u{1b}[31m\u{9b}31m\u{7f}\u{202e}完了";
        let json = terminal_safe(&serde_json::to_string(value).unwrap());
        assert_eq!(json, r#""a\u001b[31m\u009b31m\u007f\u202e完了""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
    }
}
