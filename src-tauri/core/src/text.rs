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

/// Returns whether `c` takes no room of its own or shows nothing in it, so that two texts with and
/// without it look alike: what has Default_Ignorable_Code_Point in Unicode's
/// `DerivedCoreProperties.txt`, and the blanks that are no white space.
#[must_use]
pub fn hides(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Returns what a person can tell of a text: without what hides, each blank the same, none at its
/// ends. Texts that are equal after this look the same.
#[must_use]
pub fn as_seen(text: &str) -> String {
    let unseen = |c: &char| !hides(*c) && !reorders(*c) && (c.is_whitespace() || !controls(*c));
    let seen: String = text.chars().filter(unseen).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns at most `limit` characters of a text on one line, with a sign for each that would break
/// the line or cannot be seen.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == limit {
            line.push('…');
            break;
        }
        if controls(c) || reorders(c) || hides(c) {
            line.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
        } else {
            line.push(c);
        }
    }
    line
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
            ("\u{3164}\u{115f}\u{180e}\u{2800}\u{ffa0}\u{34f}\u{fe0f}\u{e0041}", false),
        ];
        for (text, expected) in cases {
            assert_eq!(is_visible(text), expected, "{}", text.escape_unicode());
        }
    }

    #[test]
    fn texts_that_look_the_same_are_the_same_as_seen() {
        for same in ["yes", " yes", "yes\u{fe0f}", "y\u{200b}es\u{a0}", "\u{202e}yes\u{3164}"] {
            assert_eq!(as_seen(same), "yes", "{}", same.escape_unicode());
        }
        assert_eq!(as_seen("a \u{2003} b"), "a b");
        assert_ne!(as_seen("yes"), as_seen("Yes"));
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(one_line("a\nb\u{202e}", 9), "a⟨U+000A⟩b⟨U+202E⟩");
        assert_eq!(one_line("完了です", 2), "完了…");
        assert_eq!(one_line("ok", 2), "ok");
    }
}
