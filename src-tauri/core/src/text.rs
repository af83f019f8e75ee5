//! What in a text of a task's is not text: it breaks, reorders or hides what a person reads.

/// Returns whether `c` changes the order in which the text around it is shown (UAX #9).
#[must_use]
pub fn reorders(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Returns whether `c` controls a terminal or begins a new line.
#[must_use]
pub fn controls(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns whether `c` takes no room of its own, so that two texts with and without it look alike:
/// soft hyphen, zero-width characters, invisible operators, byte order mark.
#[must_use]
pub fn hides(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Returns whether a person would see anything at all.
#[must_use]
pub fn is_visible(text: &str) -> bool {
    let hidden = |c: char| c.is_whitespace() || controls(c) || reorders(c) || hides(c);
    !text.chars().all(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_seen_is_visible() {
        let cases = [
            ("Deploy?", true),
            ("完了", true),
            ("🚀", true),
            ("", false),
            (" \n\t", false),
            ("\u{1}\u{2}", false),
            ("\u{202e}\u{200b}\u{feff}", false),
        ];
        for (text, expected) in cases {
            assert_eq!(is_visible(text), expected, "{}", text.escape_unicode());
        }
    }
}
