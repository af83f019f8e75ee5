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
mod reader;

use reader::{Dialect, read};

/// Programs that take a line for a shell after an option with a `c` in it.
const SHELLS: [&str; 11] =
    ["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "busybox"];

/// What stands in a word for any text, and for any one sign, where a shell would look for files.
pub(crate) const ANY_TEXT: char = '\u{f8f0}';
pub(crate) const ANY_SIGN: char = '\u{f8f1}';

/// How many letters may stand before the value of an option in one word with it, and how many signs
/// of equality.
const LETTERS: usize = 8;
const SIGNS: usize = 4;

/// How much is read of what is nested in lines, as a multiple of them: quotes in quotes take
/// backslashes, so nobody needs more.
const DEPTH: usize = 16;

/// What an argv may come to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commands {
    /// The words of each command; the argv itself is the first.
    pub(crate) list: Vec<Vec<String>>,
    /// Every line that is surely one for a shell could be read to its end.
    pub(crate) is_clear: bool,
}

/// Returns every command that `argv` may come to execute, as far as its words say it.
pub(crate) fn commands(argv: &[String]) -> Commands {
    let mut found = Commands { list: vec![argv.to_vec()], is_clear: true };
    let lines = shell_lines(argv);
    for (at, word) in argv.iter().enumerate() {
        let is_line = lines.contains(&at);
        if is_line || is_special(word) {
            let is_clear = add_line(word, &mut found.list);
            found.is_clear &= is_clear || !is_line;
            found.list.extend(rough_split(word));
            for line in joined(word) {
                add_line(line, &mut found.list);
                found.list.extend(rough_split(line));
            }
        }
    }
    let by_env: Vec<_> = found.list.iter().flat_map(|words| split_by_env(words)).collect();
    for (line, rest) in by_env {
        let before = found.list.len();
        add_line(&line, &mut found.list);
        // What follows belongs to what the last of them runs.
        if let Some(last) = found.list[before..].last_mut() {
            last.extend(rest);
        }
    }
    found
}

/// Returns what may be the value of an option that is one word with it, such as `-cLINE`, `-xcLINE`,
/// `--command=LINE` and `--action=exec=LINE`.
fn joined(word: &str) -> impl Iterator<Item = &str> {
    let is_option = word.starts_with('-');
    let letters = word.strip_prefix('-').unwrap_or("").bytes();
    let letters = letters.take_while(u8::is_ascii_alphabetic).take(LETTERS).count();
    let behind_letters = (1..=letters).map(|count| &word[1 + count..]);
    let behind_signs = word.match_indices('=').take(SIGNS).map(|(at, _)| &word[at + 1..]);
    let values = behind_letters.chain(behind_signs);
    values.filter(move |value| is_option && !value.is_empty())
}

/// Returns the words of `env -S` as it splits them, which is otherwise than a shell does, each with the
/// words that follow: env(1).
fn split_by_env(words: &[String]) -> Vec<(String, Vec<String>)> {
    let is_env = |word: &String| word.rsplit('/').next() == Some("env");
    let Some(env) = words.iter().position(is_env) else { return vec![] };
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate().skip(env + 1) {
        let rest = words[at + 1..].to_vec();
        if word.contains('\\') {
            found.push((unescaped_by_env(word), rest.clone()));
        }
        let is_split = |value: &&str| {
            let option = &word[..word.len() - value.len()];
            option == "--split-string=" || (option.ends_with('S') && !option.starts_with("--"))
        };
        if let Some(value) = joined(word).find(is_split) {
            found.push((unescaped_by_env(value), rest));
        }
    }
    found
}

fn unescaped_by_env(text: &str) -> String {
    let mut line = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, rest.as_str().chars().next()) {
            ('\\', Some('c')) => break,
            ('\\', Some('_' | 'f' | 'n' | 'r' | 't' | 'v')) => {
                rest.next();
                line.push(' ');
            }
            ('\\', Some(next)) => {
                rest.next();
                line.extend([c, next]);
            }
            (c, _) => line.push(c),
        }
    }
    line
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

/// Adds the commands of a line and of all lines within it; returns whether it was read to its end.
fn add_line(line: &str, list: &mut Vec<Vec<String>>) -> bool {
    let mut is_clear = false;
    let mut left = line.len().saturating_mul(DEPTH) + DEPTH * DEPTH;
    let mut lines = VecDeque::from([line.to_owned()]);
    let mut is_first = true;
    while let Some(line) = lines.pop_front() {
        let Some(rest) = left.checked_sub(line.len()) else { return false };
        left = rest;
        // Other shells than bash know no `$'…'`, and see its quotes end elsewhere.
        let dialects: &[Dialect] =
            if line.contains("$'") { &[Dialect::Bash, Dialect::Posix] } else { &[Dialect::Bash] };
        for dialect in dialects {
            let reading = read(&line, *dialect);
            is_clear |= is_first && reading.is_whole;
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
    is_clear
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
