//! Text from tasks, made safe for a terminal and cut to its columns.

use nod_core::text;
use unicode_width::UnicodeWidthStr;

/// Returns whether a terminal would act on `c`, or show the text around it in another order.
pub(crate) fn is_unsafe(c: char) -> bool {
    // The joiner and the selectors of a variant are parts of emoji.
    let is_part = matches!(c, '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
    text::controls(c) || text::reorders(c) || (text::hides(c) && !is_part)
}

/// Returns `text` on one line and with nothing that a terminal acts on.
pub(crate) fn neutralised(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { visible(c) } else { c }).collect()
}

fn visible(c: char) -> char {
    match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        // The block "Control Pictures" holds a sign for each of these.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        _ => '\u{fffd}',
    }
}

/// Returns how many columns `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Returns `text` cut to `columns`, with an ellipsis where something was cut.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    // No character takes less than a quarter column on average in text worth reading.
    let head: String = text.chars().take(columns.saturating_mul(4).saturating_add(1)).collect();
    if head.len() == text.len() && head.width() <= columns {
        return head;
    }
    let room = columns.saturating_sub(1);
    let mut end = 0;
    for (at, c) in head.char_indices() {
        let next = at + c.len_utf8();
        if head[..next].width() > room {
            break;
        }
        end = next;
    }
    if columns == 0 { String::new() } else { format!("{}…", &head[..end]) }
}

/// Returns `text` followed by the spaces that fill `columns`.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        let cases = [
            ("plain 完了 👩‍💻", "plain 完了 👩‍💻"),
            ("a\x1b]52;c;aGk=\x07b", "a␛]52;c;aGk=␇b"),
            ("two\r\nlines", "two  lines"),
            ("\u{9b}31mred\x7f", "\u{fffd}31mred␡"),
            ("gpj\u{202e}exe", "gpj\u{fffd}exe"),
            ("a\u{200b}b", "a\u{fffd}b"),
        ];
        for (given, expected) in cases {
            assert_eq!(neutralised(given), expected);
        }
    }

    #[test]
    fn text_is_cut_by_columns_and_not_by_characters() {
        let cases = [
            ("short", 5, "short"),
            ("longer", 5, "long…"),
            ("完了しました", 5, "完了…"),
            ("完了しました", 12, "完了しました"),
            ("完了", 2, "…"),
            ("x", 0, ""),
        ];
        for (given, columns, expected) in cases {
            let cut = fitted(given, columns);
            assert_eq!(cut, expected, "{given} in {columns}");
            assert!(width(&cut) <= columns);
        }
        assert!(width(&fitted("👩‍💻👩‍💻👩‍💻", 3)) <= 3);
    }
}
