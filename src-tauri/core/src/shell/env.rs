//! The words that `env -S` makes of one, as env(1) says.
//!
//! Blanks and quotes are as in a shell, but no other sign of a shell's means anything, and its
//! escapes are its own.

use std::collections::VecDeque;

use super::{ANY_SIGN, ANY_TEXT};

/// The option in full, of which a part is enough that no other option begins with.
const SPLIT_STRING: &str = "--split-string";
const SHORTEST: usize = "--s".len();

/// What `env` makes of a command.
pub(super) enum Split {
    /// It splits nothing there.
    Nothing,
    /// It runs these words.
    Into(Vec<String>),
    /// It splits more than was to be read.
    TooMuch,
}

/// Returns the words of a command as `env` splits them, of which it reads `left` bytes at most, and
/// says how many are left then.
///
/// Every word behind the first `env` may be its option: whether one is an option's value or of
/// another program is not looked at, which finds rather too much. A second `env` is behind the first.
pub(super) fn split(words: &[String], left: &mut usize) -> Split {
    let Some(env) = words.iter().position(|word| may_be_env(word)) else { return Split::Nothing };
    let mut rest: VecDeque<_> = words[env + 1..].to_vec().into();
    let mut split = words[..=env].to_vec();
    let mut has_split = false;
    while let Some(word) = rest.pop_front() {
        let value = match value(&word) {
            Value::None => {
                split.push(word);
                continue;
            }
            Value::Next => rest.pop_front().unwrap_or_default(),
            Value::Joined(value) => value.to_owned(),
        };
        has_split = true;
        let Some(after) = left.checked_sub(value.len()) else { return Split::TooMuch };
        *left = after;
        // What it makes may begin with options again.
        for word in words_of(&value).into_iter().rev() {
            rest.push_front(word);
        }
    }
    if has_split { Split::Into(split) } else { Split::Nothing }
}

fn may_be_env(word: &str) -> bool {
    word.contains([ANY_TEXT, ANY_SIGN]) || word.rsplit('/').next() == Some("env")
}

/// Where that stands which a word has `env` split.
enum Value<'a> {
    None,
    Next,
    Joined(&'a str),
}

fn value(word: &str) -> Value<'_> {
    if word.starts_with("--") {
        let (option, value) = word.split_once('=').map_or((word, None), |(it, of)| (it, Some(of)));
        let is_it = option.len() >= SHORTEST && SPLIT_STRING.starts_with(option);
        return if is_it { value.map_or(Value::Next, Value::Joined) } else { Value::None };
    }
    let Some((flags, value)) = word.strip_prefix('-').and_then(|flags| flags.split_once('S'))
    else {
        return Value::None;
    };
    match value {
        _ if !flags.bytes().all(|flag| flag.is_ascii_alphabetic()) => Value::None,
        "" => Value::Next,
        value => Value::Joined(value),
    }
}

/// Returns the words of a text. What a variable holds is not known, and taken as nothing.
fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let sign = match (c, quote) {
            ('\\', _) => match escaped(rest.next(), quote) {
                Escaped::Is(text) => text,
                Escaped::Blank => {
                    words.extend(word.take());
                    continue;
                }
                Escaped::End => break,
            },
            ('$', None | Some('"')) if rest.as_str().starts_with('{') => {
                let Some((_, after)) = rest.as_str().split_once('}') else { break };
                rest = after.chars();
                continue;
            }
            ('#', None) if word.is_none() => break,
            (c, None) if c.is_ascii_whitespace() || c == '\u{b}' => {
                words.extend(word.take());
                continue;
            }
            ('\'' | '"', None) => {
                quote = Some(c);
                String::new()
            }
            (c, Some(open)) if c == open => {
                quote = None;
                String::new()
            }
            (c, _) => c.into(),
        };
        word.get_or_insert_default().push_str(&sign);
    }
    words.extend(word);
    words
}

/// What a backslash makes of the sign behind it.
enum Escaped {
    Is(String),
    /// It ends a word.
    Blank,
    /// It ends everything.
    End,
}

fn escaped(next: Option<char>, quote: Option<char>) -> Escaped {
    match (next, quote) {
        (None, _) | (Some('c'), None | Some('"')) => Escaped::End,
        (Some(c), Some('\'')) if c != '\\' && c != '\'' => Escaped::Is(format!("\\{c}")),
        (Some('_' | 'f' | 'n' | 'r' | 't' | 'v'), None) => Escaped::Blank,
        (Some('_' | 'f' | 'n' | 'r' | 't' | 'v'), Some(_)) => Escaped::Is(" ".to_owned()),
        (Some(c), _) => Escaped::Is(c.into()),
    }
}
