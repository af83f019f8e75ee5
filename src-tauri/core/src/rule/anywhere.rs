//! Looking for a command within words, generously: for rules that ask first.

use crate::shell::{ANY_SIGN, ANY_TEXT};

use super::ANY_WORDS;
use super::wild::{Sign, signs, wild, word_matches};

/// Folders of the system's programs, which are one folder on most systems.
const OF_PROGRAMS: [&str; 4] = ["/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/"];

/// How long a word may be in which a shell looks for files, in bytes; a longer one may be anything.
const LONGEST_WITH_FILES: usize = 4_096;

/// A part of a pattern that is looked for within words.
enum Part<'a> {
    /// Any number of words.
    Gap,
    /// A program without its folder: `/usr/bin/git` is `git`.
    Program(&'a str),
    /// A program with its folder, and the same from the root on.
    ProgramAt(&'a str, String),
    Word(&'a str),
    /// A word with folders in it, and the same from the root on.
    File(&'a str, String),
}

/// Returns whether the command is anywhere in `words`, from any of them on.
pub(super) fn is_anywhere(pattern: &[String], words: &[String], cwd: &str) -> bool {
    let pattern = pattern.iter().enumerate().map(|(at, word)| Part::of(at, word, cwd));
    let parts: Vec<_> = std::iter::once(Part::Gap).chain(pattern).collect();
    let is_gap = |part: &Part<'_>| matches!(part, Part::Gap);
    let is_it = |part: &Part<'_>, word: &String| part.matches(word, cwd);
    if words.iter().any(|word| stands_for_files(word)) {
        return may_be(&parts, words, cwd);
    }
    wild(&parts, words, is_gap, is_it)
}

/// Does so where a shell puts names of files in the place of some words: each may be any number of
/// words that fit it.
fn may_be(parts: &[Part<'_>], words: &[String], cwd: &str) -> bool {
    // Which parts may be what comes next; behind the last one nothing is.
    let mut next = vec![false; parts.len() + 1];
    next[0] = true;
    let skip_gaps = |next: &mut Vec<bool>| {
        for (at, part) in parts.iter().enumerate() {
            next[at + 1] |= next[at] && matches!(part, Part::Gap);
        }
    };
    skip_gaps(&mut next);
    for word in words {
        let is_many = stands_for_files(word);
        let mut after = vec![false; parts.len() + 1];
        for (at, part) in parts.iter().enumerate() {
            let comes = next[at] || (is_many && after[at]);
            if comes && matches!(part, Part::Gap) {
                (after[at], after[at + 1]) = (true, true);
            } else if comes && part.matches(word, cwd) {
                after[at + 1] = true;
            }
        }
        skip_gaps(&mut after);
        next = after;
    }
    next[parts.len()]
}

impl<'a> Part<'a> {
    fn of(at: usize, word: &'a str, cwd: &str) -> Self {
        match (at, word) {
            (_, ANY_WORDS) => Self::Gap,
            (0, program) if !program.contains('/') => Self::Program(program),
            (0, program) => Self::ProgramAt(program, from_root(program, cwd)),
            (_, word) if word.contains('/') => Self::File(word, from_root(word, cwd)),
            (_, word) => Self::Word(word),
        }
    }

    fn matches(&self, word: &str, cwd: &str) -> bool {
        match self {
            Self::Gap => true,
            Self::Program(name) => fits(name, last(word)),
            Self::Word(pattern) => fits(pattern, word),
            Self::File(pattern, whole) => is_file(pattern, whole, word, cwd),
            Self::ProgramAt(pattern, whole) => {
                let is_of_system = |path: &str| {
                    let folder = &path[..path.len() - last(path).len()];
                    OF_PROGRAMS.contains(&folder)
                };
                // One that is named alone is found by PATH, or is a script for a program before it.
                let by_name = !word.contains('/') || (is_of_system(whole) && is_of_system(word));
                is_file(pattern, whole, word, cwd) || (by_name && fits(last(whole), last(word)))
            }
        }
    }
}

fn is_file(pattern: &str, whole: &str, word: &str, cwd: &str) -> bool {
    fits(pattern, word) || fits(whole, &from_root(word, cwd))
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns a path without dots and doubled signs, from the root on; links are not followed.
fn from_root(path: &str, cwd: &str) -> String {
    let start = if path.starts_with('/') { "" } else { cwd };
    let mut parts: Vec<&str> = vec![];
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Returns whether a shell would look for names of files that fit the word.
fn stands_for_files(word: &str) -> bool {
    word.contains([ANY_TEXT, ANY_SIGN])
}

/// Returns whether a pattern matches a word, or one that a shell could put in its place.
fn fits(pattern: &str, word: &str) -> bool {
    if !stands_for_files(word) {
        return word_matches(pattern, word);
    }
    if word.len() > LONGEST_WITH_FILES {
        return true;
    }
    let word = word.chars().map(|c| match c {
        ANY_TEXT => Sign::Text,
        ANY_SIGN => Sign::One,
        c => Sign::Is(c),
    });
    have_one_in_common(&signs(pattern), &word.collect::<Vec<_>>())
}

/// Returns whether there is a text that two patterns match.
fn have_one_in_common(one: &[Sign], other: &[Sign]) -> bool {
    // Which places of `other` may be what comes next.
    let mut next = vec![false; other.len() + 1];
    next[0] = true;
    pass_over_texts(&mut next, other);
    for sign in one {
        let mut after = vec![false; other.len() + 1];
        for (at, theirs) in other.iter().enumerate() {
            let comes = next[at] || (*sign == Sign::Text && after[at]);
            if !comes {
                continue;
            }
            match (sign, theirs) {
                (_, Sign::Text) => (after[at], after[at + 1]) = (true, true),
                (Sign::Is(own), Sign::Is(their)) => after[at + 1] |= own == their,
                (Sign::Text | Sign::One, _) | (Sign::Is(_), Sign::One) => after[at + 1] = true,
            }
        }
        if *sign == Sign::Text {
            for (after, next) in after.iter_mut().zip(&next) {
                *after |= next;
            }
        }
        pass_over_texts(&mut after, other);
        next = after;
    }
    next[other.len()]
}

fn pass_over_texts(next: &mut [bool], other: &[Sign]) {
    for (at, sign) in other.iter().enumerate() {
        next[at + 1] |= next[at] && *sign == Sign::Text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_file_is_the_same_however_it_is_written() {
        let cases: [(&[&str], &[&str], bool); 17] = [
            (&["./deploy.sh"], &[".//deploy.sh"], true),
            (&["./deploy.sh"], &["././x/../deploy.sh"], true),
            (&["./deploy.sh"], &["/srv/app/deploy.sh"], true),
            (&["./deploy.sh"], &["sh", "deploy.sh"], true),
            (&["./deploy.sh"], &["../app/deploy.sh"], true),
            (&["./deploy.sh"], &["/srv/other/deploy.sh"], false),
            (&["/srv/app/*.sh"], &["./deploy.sh"], true),
            (&["/usr/bin/git", "**", "push"], &["git", "-C", ".", "push"], true),
            (&["/usr/bin/git", "push"], &["/bin/git", "push"], true),
            (&["/usr/bin/git", "push"], &["/usr//bin/git", "push"], true),
            (&["/usr/bin/git", "push"], &["/opt/git", "push"], false),
            (&["rm", "-r", "./build"], &["rm", "-r", "build"], true),
            (&["rm", "-r", "./build"], &["rm", "-r", ".//build/"], true),
            (&["rm", "-r", "build/x"], &["rm", "-r", "/srv/app/build/x"], true),
            (&["git", "push"], &["/x/git", "push"], true),
            (&["./deploy.sh"], &["deploy.sh2"], false),
            (&["*/deploy.sh"], &["/a/deploy.sh"], true),
        ];
        for (pattern, command, expected) in cases {
            let found = is_anywhere(&words(pattern), &words(command), "/srv/app");
            assert_eq!(found, expected, "{pattern:?} {command:?}");
        }
    }

    #[test]
    fn a_pattern_for_files_may_be_any_of_them() {
        let cases: [(&[&str], &[&str], bool); 13] = [
            (&["touch", "**"], &["/usr/bin/touc?", "a"], true),
            (&["touch", "**"], &["/usr/bin/*", "a"], true),
            (&["touch", "**"], &["/usr/bin/to?", "a"], false),
            (&["git", "push", "--force"], &["git", "*"], true),
            (&["git", "push", "--force"], &["git", "*", "--force"], true),
            (&["git", "push", "--force"], &["git", "p*"], false),
            (&["git", "push", "--force*"], &["git", "pus?", "--f*x"], true),
            (&["git", "**", "push", "**"], &["*", "x"], true),
            (&["rm", "-rf", "**"], &["rm", "*.o"], false),
            (&["rm", "-rf", "**"], &["rm", "*"], true),
            (&["ls"], &["ls", "?"], false),
            (&["./deploy.sh"], &["./*.sh"], true),
            (&["./deploy.sh"], &["./*.py"], false),
        ];
        for (pattern, command, expected) in cases {
            let command: Vec<_> = command
                .iter()
                .map(|word| {
                    word.replace('*', &ANY_TEXT.to_string()).replace('?', &ANY_SIGN.to_string())
                })
                .collect();
            let found = is_anywhere(&words(pattern), &command, "/srv/app");
            assert_eq!(found, expected, "{pattern:?} {command:?}");
        }
    }
}
