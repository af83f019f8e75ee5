//! Finds the commands in a line for a shell, for rules that ask first.
//!
//! Read as POSIX sh and bash read it: quotes, continued lines, redirections,
//! substitutions, here-documents, braces; a pattern for names of files may stand
//! for any that fits; what variables hold is not known, and taken as nothing. Beside that a rough split, which rather finds one command too many.
//! The parsers there are refuse a line with a mistake as a whole, and go deeper
//! with each bracket: a megabyte of brackets would end the host. Here one pass
//! with a stack of its own reads everything, in time that grows with its length.

use std::collections::VecDeque;

mod braces;
mod env;
mod reader;

use env::Split;
use reader::{Dialect, read};

/// Programs that take a line for a shell after an option with a `c` in it.
const SHELLS: [&str; 11] =
    ["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "busybox"];

/// What stands in a word for any text, and for any one sign, where a shell would look for files.
pub(crate) const ANY_TEXT: char = '\u{f8f0}';
pub(crate) const ANY_SIGN: char = '\u{f8f1}';

/// How many different letters may stand before the value of an option in one word with it, and how
/// many signs of equality.
const LETTERS: usize = 12;
const SIGNS: usize = 4;

/// How much of what `env` splits is read at the least, in bytes; of a longer command twice as much as
/// it has.
const ENV_LEAST: usize = 64 * 1024;

/// How much is read of what is nested in lines, as a multiple of them: quotes in quotes take
/// backslashes, so nobody needs more.
const DEPTH: usize = 16;

/// What an argv may come to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commands {
    /// The words of each command; the argv itself is the first.
    pub(crate) list: Vec<Vec<String>>,
    /// Every line that is surely one for a shell could be read to its end, and nothing was too much.
    pub(crate) is_clear: bool,
}

/// Returns every command that `argv` may come to execute, as far as its words say it.
pub(crate) fn commands(argv: &[String]) -> Commands {
    let mut found = Commands { list: vec![], is_clear: true };
    found.add(argv);
    found.add_what_env_splits(argv);
    found
}

impl Commands {
    /// Adds a command, and those of every line in its words.
    fn add(&mut self, argv: &[String]) {
        self.list.push(argv.to_vec());
        let lines = shell_lines(argv);
        for (at, word) in argv.iter().enumerate() {
            let is_line = lines.contains(&at);
            if is_line || is_special(word) {
                let is_whole = self.add_line(word);
                self.is_clear &= is_whole || !is_line;
                self.list.extend(rough_split(word));
                for line in joined(word) {
                    self.add_line(line);
                    self.list.extend(rough_split(line));
                }
            }
        }
    }

    /// Adds the commands of a line; returns whether it ends where it should.
    fn add_line(&mut self, line: &str) -> bool {
        let ending = add_line(line, &mut self.list);
        // What was not read might be anything, wherever it stands.
        self.is_clear &= ending != Ending::Unread;
        ending == Ending::Whole
    }

    /// Adds the commands that `env` makes of what was found, also of what it makes itself.
    fn add_what_env_splits(&mut self, argv: &[String]) {
        let mut left = 2 * length(argv) + ENV_LEAST;
        let mut at = 0;
        while let Some(words) = self.list.get(at) {
            let split = match env::split(words, &mut left) {
                Split::Nothing => None,
                Split::Into(words) => Some(words),
                Split::TooMuch => {
                    self.is_clear = false;
                    return;
                }
            };
            if let Some(words) = split {
                left = left.saturating_sub(length(&words));
                self.add(&words);
            }
            at += 1;
        }
    }
}

fn length(words: &[String]) -> usize {
    words.iter().map(|word| word.len() + 1).sum()
}

/// Returns what may be the value of an option that is one word with it, such as `-cLINE`, `-xcLINE`,
/// `--command=LINE` and `--action=exec=LINE`. Options of one letter may be repeated, but the first of
/// those that take a value has it.
fn joined(word: &str) -> impl Iterator<Item = &str> {
    let is_option = word.starts_with('-');
    let letters = word.strip_prefix('-').unwrap_or("").bytes().enumerate();
    let mut known = [false; u8::MAX as usize];
    let behind_letters = letters
        .take_while(|(_, letter)| letter.is_ascii_alphabetic())
        .filter(move |(_, letter)| !std::mem::replace(&mut known[usize::from(*letter)], true))
        .take(LETTERS)
        .map(|(at, _)| &word[at + 2..]);
    let behind_signs = word.match_indices('=').take(SIGNS).map(|(at, _)| &word[at + 1..]);
    let values = behind_letters.chain(behind_signs);
    values.filter(move |value| is_option && !value.is_empty())
}

/// Returns the words of every command that `argv` may come to execute; its own are the first.
#[must_use]
pub fn commands_in(argv: &[String]) -> Vec<Vec<String>> {
    commands(argv).list
}

/// Returns which words of an argv are lines for a shell for sure.
fn shell_lines(argv: &[String]) -> Vec<usize> {
    let name = |word: &String| word.rsplit('/').next().is_some_and(|name| SHELLS.contains(&name));
    let Some(shell) = argv.iter().position(name) else { return vec![] };
    let takes_line = |word: &str| {
        word.strip_prefix('-')
            .is_some_and(|option| !option.starts_with('-') && option.contains('c'))
    };
    let rest = argv.iter().enumerate().skip(shell + 1);
    let options = rest.clone().filter(|(_, word)| takes_line(word)).map(|(at, _)| at);
    // The next word, or the next that is no option itself.
    let lines_after = |option: usize| {
        let mut after = rest.clone().skip_while(move |(at, _)| *at <= option);
        let next = after.clone().next();
        let word = after.find(|(_, word)| !word.starts_with(['-', '+']));
        [next, word].into_iter().flatten().map(|(at, _)| at)
    };
    options.flat_map(lines_after).collect()
}

/// Returns whether a shell would read more in a word than the word.
fn is_special(word: &str) -> bool {
    word.contains(|c: char| c.is_whitespace() || "|&;<>()$`\\\"'{}".contains(c))
}

/// How a line was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// To its end.
    Whole,
    /// Something was left open at its end, as a quote.
    Open,
    /// There is more in it than is read.
    Unread,
}

/// Adds the commands of a line and of all lines within it.
fn add_line(line: &str, list: &mut Vec<Vec<String>>) -> Ending {
    let mut ending = Ending::Open;
    let mut left = line.len().saturating_mul(DEPTH) + DEPTH * DEPTH;
    let mut lines = VecDeque::from([line.to_owned()]);
    let mut is_first = true;
    while let Some(line) = lines.pop_front() {
        let Some(rest) = left.checked_sub(line.len()) else { return Ending::Unread };
        left = rest;
        // Other shells than bash know no `$'…'`, and see its quotes end elsewhere.
        let dialects: &[Dialect] =
            if line.contains("$'") { &[Dialect::Bash, Dialect::Posix] } else { &[Dialect::Bash] };
        for dialect in dialects {
            let reading = read(&line, *dialect);
            if is_first && reading.is_whole {
                ending = Ending::Whole;
            }
            list.extend(reading.commands);
            // What did not become shorter by being read is what it was.
            let inner = reading.lines.into_iter().filter(|inner| inner.len() < line.len());
            for inner in inner {
                lines.extend(joined(&inner).map(str::to_owned));
                lines.push_back(inner);
            }
        }
        is_first = false;
    }
    ending
}

/// Returns the commands of a line by its signs alone: rather one too many.
fn rough_split(line: &str) -> Vec<Vec<String>> {
    let ends = [';', '|', '&', '\n', '(', ')', '{', '}', '`', '<', '>'];
    let unquoted = |word: &str| word.replace(['\'', '"', '\\', '$'], "");
    line.split(ends)
        .map(|part| part.split_whitespace().map(unquoted).filter(|word| !word.is_empty()).collect())
        .filter(|words: &Vec<String>| !words.is_empty())
        .collect()
}

#[cfg(test)]
mod tests;
