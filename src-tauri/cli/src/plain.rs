//! A log as plain text: without escape sequences, and with every line as it last was.
//!
//! Programs redraw a line by a carriage return; of such a line only the last
//! drawing is kept. Memory is bounded: a line longer than [`LINE_LIMIT`] is
//! passed on in parts, the sequences themselves are bounded by the parser.

use vte::{Params, Parser, Perform};

/// How much of one line is held back, in bytes, because it may still be redrawn.
const LINE_LIMIT: usize = 64 * 1024;

/// Turns a stream of terminal output into plain text.
#[derive(Default)]
pub(crate) struct PlainLog {
    parser: Parser,
    line: Line,
}

impl PlainLog {
    /// Takes the next part of the log and returns what is settled by it.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.parser.advance(&mut self.line, bytes);
        std::mem::take(&mut self.line.settled)
    }

    /// Returns what is left at the end of the log.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.line.settled.extend_from_slice(self.line.text.as_bytes());
        self.line.settled
    }
}

/// The line that is being drawn, and the lines before it.
#[derive(Default)]
struct Line {
    settled: Vec<u8>,
    text: String,
    /// The cursor is at the start of the line: what comes next draws it anew.
    returned: bool,
    /// The beginning of the line is settled already, since it was too long.
    spilled: bool,
}

impl Line {
    fn draw(&mut self, c: char) {
        if self.returned {
            self.erase();
        }
        if self.text.len() >= LINE_LIMIT {
            self.settled.extend_from_slice(self.text.as_bytes());
            self.text.clear();
            self.spilled = true;
        }
        self.text.push(c);
    }

    fn erase(&mut self) {
        if self.spilled {
            self.settled.push(b'\n');
        }
        self.text.clear();
        self.returned = false;
        self.spilled = false;
    }

    fn end(&mut self) {
        self.settled.extend_from_slice(self.text.as_bytes());
        self.settled.push(b'\n');
        self.text.clear();
        self.returned = false;
        self.spilled = false;
    }
}

impl Perform for Line {
    fn print(&mut self, c: char) {
        // The parser lets a C1 control through when it arrives in two parts.
        if !c.is_control() {
            self.draw(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end(),
            b'\r' => self.returned = true,
            b'\t' => self.draw('\t'),
            b'\x08' => {
                self.text.pop();
            }
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _: &[u8], _: bool, action: char) {
        let first = params.iter().next().and_then(|values| values.first()).copied().unwrap_or(0);
        match (action, first) {
            // "Erase in line" of the whole line, or of all after its start (ECMA-48, EL).
            ('K', 2) => self.erase(),
            ('K', 0) if self.returned => self.erase(),
            // "Cursor to column" one (ECMA-48, CHA).
            ('G', 0 | 1) => self.returned = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(parts: &[&[u8]]) -> String {
        let mut log = PlainLog::default();
        let mut text: Vec<u8> = parts.iter().flat_map(|part| log.feed(part)).collect();
        text.extend(log.finish());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_log_is_what_a_person_would_have_seen_at_the_end() {
        let cases: [(&str, &str); 14] = [
            ("deployed\r\n", "deployed\n"),
            ("10%\r20%\r100%\r\ndone\r\n", "100%\ndone\n"),
            ("\r10%\r100%\n", "100%\n"),
            ("no line end", "no line end"),
            ("half\r", "half"),
            ("\x1b[31mred\x1b[0m text\n", "red text\n"),
            ("\r\x1b[K   Compiling nod\n", "   Compiling nod\n"),
            ("Building 9/9\r\x1b[K\n", "\n"),
            ("Building 9/9\x1b[2K\x1b[1Gdone\n", "done\n"),
            ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "alink\n"),
            ("\x1b]52;c;aGk=\x07x\x1bPq#0\x1b\\y\n", "xy\n"),
            ("spin |\x08/\x08-\n", "spin -\n"),
            ("bell\x07 nul\0 c1\u{9b} tab\t.\n", "bell nul c1 tab\t.\n"),
            ("完了 👩‍💻\n", "完了 👩‍💻\n"),
        ];
        for (given, expected) in cases {
            assert_eq!(plain(&[given.as_bytes()]), expected, "{given:?}");
            let bytes: Vec<&[u8]> = given.as_bytes().chunks(1).collect();
            assert_eq!(plain(&bytes), expected, "{given:?} byte by byte");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        assert_eq!(plain(&[b"a\xffb\n"]), "a\u{fffd}b\n");
    }

    #[test]
    fn a_line_without_end_is_passed_on_and_not_held() {
        let mut log = PlainLog::default();
        let mut passed = 0;
        for _ in 0..100 {
            passed += log.feed(&[b'x'; 10_000]).len();
            assert!(log.line.text.len() <= LINE_LIMIT);
        }
        assert_eq!(passed + log.finish().len(), 1_000_000);
    }

    #[test]
    fn a_redrawing_of_a_line_that_was_passed_on_is_a_new_line() {
        let long = "x".repeat(LINE_LIMIT + 1);
        let text = plain(&[long.as_bytes(), b"\rnew\n"]);
        assert_eq!(text, format!("{}\nnew\n", "x".repeat(LINE_LIMIT)));
    }

    #[test]
    fn a_sequence_without_end_takes_no_memory() {
        let mut log = PlainLog::default();
        log.feed(b"\x1b]0;");
        for _ in 0..100 {
            assert!(log.feed(&[b'x'; 10_000]).is_empty());
        }
        assert_eq!(log.feed(b"\x07after\n"), b"after\n");
    }
}
