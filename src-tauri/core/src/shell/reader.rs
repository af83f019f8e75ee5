//! One pass over one line: words, operators, and what is nested in it.

use std::collections::VecDeque;

use super::braces::{self, CLOSE, COMMA, OPEN};
use super::{ANY_SIGN, ANY_TEXT};

/// Which shell reads the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// With `$'…'`.
    Bash,
    Posix,
}

/// What was found in a line.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) commands: Vec<Vec<String>>,
    /// Texts in it that may be lines themselves: quoted words, here-documents, backquotes.
    pub(super) lines: Vec<String>,
    /// Nothing was left open at its end.
    pub(super) is_whole: bool,
}

/// What is open, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `(…)`, `$(…)`, `<(…)`: commands of their own.
    Bracket,
    /// `"…"`
    Quote,
    /// `${…}`, within quotes or not.
    Brace { quoted: bool },
}

/// What the next word is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    #[default]
    Word,
    /// The file of a redirection.
    File,
    /// The text of a `<<<`.
    Text,
    /// The end of a here-document, whose lines may begin with tabs.
    HereEnd { tabs: bool },
}

/// A command as far as it was read.
#[derive(Debug, Default)]
struct Command {
    words: Vec<String>,
    /// The same with braces as they were written, as other shells than bash read them.
    written: Vec<String>,
    /// Nothing between two words.
    word: Option<String>,
    /// Where a `[` stands in the word that may begin a pattern.
    bracket: Option<usize>,
    next: Next,
}

struct Reader {
    text: Vec<char>,
    at: usize,
    dialect: Dialect,
    open: Vec<Open>,
    /// The command of each bracket that is open, below that of the line itself.
    outer: Vec<Command>,
    command: Command,
    /// Ends of here-documents that begin on the next line.
    here: VecDeque<(String, bool)>,
    reading: Reading,
}

/// Reads a line, whatever is in it.
pub(super) fn read(line: &str, dialect: Dialect) -> Reading {
    let mut reader = Reader {
        text: line.chars().collect(),
        at: 0,
        dialect,
        open: vec![],
        outer: vec![],
        command: Command::default(),
        here: VecDeque::new(),
        reading: Reading { is_whole: true, ..Reading::default() },
    };
    while let Some(c) = reader.take() {
        if reader.is_quoted() {
            reader.quoted(c);
        } else {
            reader.unquoted(c);
        }
    }
    reader.finish()
}

impl Reader {
    fn take(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        Some(c)
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    /// Takes the next sign where it is `c`.
    fn takes(&mut self, c: char) -> bool {
        let is_there = self.peek(0) == Some(c);
        self.at += usize::from(is_there);
        is_there
    }

    fn is_quoted(&self) -> bool {
        matches!(self.open.last(), Some(Open::Quote | Open::Brace { quoted: true }))
    }

    fn push(&mut self, c: char) {
        self.command.word.get_or_insert_default().push(c);
    }

    fn quoted(&mut self, c: char) {
        match c {
            '"' if self.open.last() == Some(&Open::Quote) => self.close(),
            '"' => self.open.push(Open::Quote),
            '}' if self.open.last() == Some(&Open::Brace { quoted: true }) => self.close(),
            '\\' => match self.peek(0) {
                Some('\n') => self.at += 1,
                Some(c @ ('$' | '`' | '"' | '\\')) => {
                    self.at += 1;
                    self.push(c);
                }
                Some(_) | None => self.push('\\'),
            },
            '$' => self.dollar(true),
            '`' => self.backquotes(true),
            c => self.push(c),
        }
    }

    fn unquoted(&mut self, c: char) {
        let in_brace = matches!(self.open.last(), Some(Open::Brace { .. }));
        match c {
            '\\' => match self.take() {
                Some('\n') => {}
                Some(c) => self.push(c),
                None => self.reading.is_whole = false,
            },
            '\'' => self.single_quotes(),
            '"' => {
                self.command.word.get_or_insert_default();
                self.open.push(Open::Quote);
            }
            '$' => self.dollar(false),
            '`' => self.backquotes(false),
            '}' if in_brace => self.close(),
            c if c.is_whitespace() && c != '\n' => self.end_word(),
            c if in_brace => self.push(c),
            '\n' => {
                self.end_command();
                self.here_documents();
            }
            '#' if self.command.word.is_none() => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            }
            '&' if self.peek(0) == Some('>') => self.end_word(),
            ';' | '|' | '&' => self.end_command(),
            '(' => {
                self.extended_pattern();
                self.end_command();
                self.open_bracket();
            }
            ')' => self.close_bracket(),
            '<' | '>' => self.redirection(c),
            '{' => self.push(OPEN),
            ',' => self.push(COMMA),
            '}' => self.push(CLOSE),
            '*' | '?' | '[' | ']' | '~' => self.pattern(c),
            c => self.push(c),
        }
    }

    /// Reads a sign of a pattern for names of files.
    fn pattern(&mut self, c: char) {
        let length = self.command.word.as_ref().map_or(0, String::len);
        match (c, self.command.bracket) {
            ('*', _) => self.push(ANY_TEXT),
            ('?', _) => self.push(ANY_SIGN),
            // Somebody's home, or a folder that the shell knows.
            ('~', _) if length == 0 => {
                let name = |c: &char| c.is_alphanumeric() || "+-_.".contains(*c);
                while self.peek(0).as_ref().is_some_and(name) {
                    self.at += 1;
                }
                self.push(ANY_TEXT);
            }
            ('[', None) => {
                self.push(c);
                self.command.bracket = Some(length);
            }
            (']', Some(start)) if length > start + 1 => {
                if let Some(word) = &mut self.command.word {
                    word.truncate(start);
                }
                self.command.bracket = None;
                self.push(ANY_TEXT);
            }
            (c, _) => self.push(c),
        }
    }

    /// Gives up on `@(a|b)`, which some shells read as a pattern.
    fn extended_pattern(&mut self) {
        let signs = ['@', '+', '!', ANY_TEXT, ANY_SIGN];
        if self.command.word.as_ref().is_some_and(|word| word.ends_with(signs)) {
            self.reading.is_whole = false;
        }
    }

    fn close(&mut self) {
        self.open.pop();
    }

    fn open_bracket(&mut self) {
        self.open.push(Open::Bracket);
        self.outer.push(std::mem::take(&mut self.command));
    }

    fn close_bracket(&mut self) {
        self.end_command();
        // One that closes nothing stands behind the pattern of a `case`.
        if self.open.last() == Some(&Open::Bracket)
            && let Some(outer) = self.outer.pop()
        {
            self.close();
            self.command = outer;
        }
    }

    /// Goes on behind a `$`.
    fn dollar(&mut self, quoted: bool) {
        match self.peek(0) {
            Some('(') => {
                self.at += 1;
                self.open_bracket();
            }
            Some('{') => {
                self.at += 1;
                self.braced_parameter(quoted);
            }
            Some('\'') if !quoted && self.dialect == Dialect::Bash => {
                self.at += 1;
                self.ansi_quotes();
            }
            // `$"…"` is translated text.
            Some('"') if !quoted => {}
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.name();
                self.parameter(&name, quoted);
            }
            Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => self.at += 1,
            Some(_) | None => self.push('$'),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek(0).filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            self.at += 1;
            name.push(c);
        }
        name
    }

    /// Takes a variable for nothing, but for the one that stands between words.
    fn parameter(&mut self, name: &str, quoted: bool) {
        if name == "IFS" && !quoted {
            self.end_word();
        }
    }

    /// Goes on behind `${`: what stands there for an empty variable is read as if it were there.
    fn braced_parameter(&mut self, quoted: bool) {
        while self.takes('#') || self.takes('!') {}
        let name = self.name();
        if name.is_empty() && self.peek(0).is_some_and(|c| "@*?$-".contains(c)) {
            self.at += 1;
        }
        self.parameter(&name, quoted);
        self.takes(':');
        if self.peek(0).is_some_and(|c| "-=+?".contains(c)) {
            self.at += 1;
        }
        self.open.push(Open::Brace { quoted });
    }

    fn single_quotes(&mut self) {
        self.command.word.get_or_insert_default();
        loop {
            match self.take() {
                Some('\'') => return,
                Some(c) => self.push(c),
                None => {
                    self.reading.is_whole = false;
                    return;
                }
            }
        }
    }

    /// Reads `$'…'`, behind its first quote.
    fn ansi_quotes(&mut self) {
        self.command.word.get_or_insert_default();
        loop {
            match self.take() {
                Some('\'') => return,
                Some('\\') => self.ansi_escape(),
                Some(c) => self.push(c),
                None => {
                    self.reading.is_whole = false;
                    return;
                }
            }
        }
    }

    fn ansi_escape(&mut self) {
        let Some(c) = self.take() else { return };
        let (radix, digits) = match c {
            'x' if self.takes('{') => return self.braced_code(),
            'x' => (16, 2),
            'u' => (16, 4),
            'U' => (16, 8),
            '0'..='7' => {
                self.at -= 1;
                (8, 3)
            }
            'n' => return self.push('\n'),
            't' => return self.push('\t'),
            'c' => {
                self.at += 1;
                return self.push('\u{1}');
            }
            'a' | 'b' | 'e' | 'E' | 'f' | 'r' | 'v' => return self.push('\u{1}'),
            c if "\\'\"?".contains(c) => return self.push(c),
            c => {
                self.push('\\');
                return self.push(c);
            }
        };
        let mut code = 0;
        for _ in 0..digits {
            let Some(digit) = self.peek(0).and_then(|c| c.to_digit(radix)) else { break };
            self.at += 1;
            code = code * radix + digit;
        }
        self.code(if digits > 3 { code } else { code & 0xff });
    }

    /// Reads `\x{…}`, behind its brace: of any length, of which the last byte counts.
    fn braced_code(&mut self) {
        let mut code = 0_u32;
        while let Some(digit) = self.peek(0).and_then(|c| c.to_digit(16)) {
            self.at += 1;
            code = (code << 4 | digit) & 0xff;
        }
        self.takes('}');
        self.code(code);
    }

    fn code(&mut self, code: u32) {
        if code > 0 {
            return self.push(char::from_u32(code).unwrap_or('\u{fffd}'));
        }
        // A text ends where its first zero is, whatever comes before the quote.
        while let Some(c) = self.peek(0).filter(|c| *c != '\'') {
            self.at += if c == '\\' { 2 } else { 1 };
        }
    }

    /// Reads to the other backquote; what is between is a line of its own, less its backslashes.
    fn backquotes(&mut self, quoted: bool) {
        let mut line = String::new();
        loop {
            match self.take() {
                Some('`') => break,
                Some('\\') => match self.peek(0) {
                    Some(c) if "$`\\".contains(c) || (quoted && c == '"') => {
                        self.at += 1;
                        line.push(c);
                    }
                    Some(_) | None => line.push('\\'),
                },
                Some(c) => line.push(c),
                None => {
                    self.reading.is_whole = false;
                    break;
                }
            }
        }
        self.reading.lines.push(line);
    }

    /// Takes a redirection out of its command. `<(…)` is none: it holds commands.
    fn redirection(&mut self, c: char) {
        let is_descriptor = |word: &String| {
            (!word.is_empty() && word.chars().all(|c| c.is_ascii_digit()))
                || (word.starts_with(OPEN) && word.ends_with(CLOSE))
        };
        if self.command.word.as_ref().is_some_and(is_descriptor) {
            self.command.word = None;
        }
        if self.takes('(') {
            return self.open_bracket();
        }
        self.end_word();
        self.command.next = Next::File;
        if c == '<' && self.takes('<') {
            self.command.next =
                if self.takes('<') { Next::Text } else { Next::HereEnd { tabs: self.takes('-') } };
        } else if self.peek(0).is_some_and(|next| ['>', '&', '|'].contains(&next)) {
            self.at += 1;
        }
    }

    fn here_documents(&mut self) {
        while let Some((end, tabs)) = self.here.pop_front() {
            let mut body = String::new();
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let length = rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
                let line: String = rest[..length].iter().collect();
                self.at += (length + 1).min(rest.len());
                if end == (if tabs { line.trim_start_matches('\t') } else { line.as_str() }) {
                    break;
                }
                body.push_str(&line);
                body.push('\n');
            }
            self.reading.lines.push(body);
        }
    }

    fn end_word(&mut self) {
        self.command.bracket = None;
        let Some(marked) = self.command.word.take() else { return };
        let word = braces::literal(&marked);
        if super::is_special(&word) {
            self.reading.lines.push(word.replace(ANY_TEXT, "*").replace(ANY_SIGN, "?"));
        }
        match std::mem::take(&mut self.command.next) {
            Next::Word => {
                match braces::expanded(&marked) {
                    Some(words) => self.command.words.extend(words),
                    None => self.reading.is_whole = false,
                }
                self.command.written.push(word);
            }
            Next::File => {}
            Next::Text => self.reading.lines.push(word),
            Next::HereEnd { tabs } => self.here.push_back((word, tabs)),
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.command.next = Next::Word;
        let words = std::mem::take(&mut self.command.words);
        let written = std::mem::take(&mut self.command.written);
        for words in [Some(&words), Some(&written).filter(|written| **written != words)] {
            self.reading.commands.extend(words.filter(|words| !words.is_empty()).cloned());
        }
    }

    /// Ends what is still open.
    fn finish(mut self) -> Reading {
        self.reading.is_whole &= self.open.is_empty();
        self.end_command();
        while let Some(outer) = self.outer.pop() {
            self.command = outer;
            self.end_command();
        }
        self.reading
    }
}
