//! Kinds: templates of tasks, whose argv is filled in element by element and never by a shell.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use nod_core::command::CommandLine;
use nod_core::guard::Silence;
use nod_core::protocol::KindUse;
use serde::Deserialize;
use toml::Spanned;

use super::milliseconds;

/// One template.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kind {
    pub argv: Template,
    /// Where it runs; else where the caller is.
    #[serde(default)]
    pub cwd: Option<String>,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    pub priority: i32,
    /// A person must approve each before it starts.
    #[serde(default)]
    pub gate: bool,
    /// How long it waits for that.
    #[serde(default, deserialize_with = "milliseconds")]
    pub gate_timeout: Option<u64>,
    #[serde(default = "denial")]
    pub on_silence: Spanned<OnSilence>,
    #[serde(default, deserialize_with = "milliseconds")]
    pub timeout: Option<u64>,
    #[serde(default)]
    pub retries: u32,
    #[serde(default, deserialize_with = "milliseconds")]
    pub backoff: Option<u64>,
    #[serde(default = "nothing")]
    pub uses: Spanned<BTreeMap<String, u32>>,
    /// How many may run at once; the others wait.
    #[serde(default)]
    pub cap: Option<NonZeroU32>,
    #[serde(default)]
    pub on_lost: OnLost,
    /// Processes that a task leaves behind are its own business.
    #[serde(default)]
    pub keep_children: bool,
}

/// What becomes of a task that nobody approves or denies in its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnSilence {
    Deny,
    Approve,
}

/// What becomes of a task whose process was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnLost {
    /// It is over: nobody knows what it has done.
    #[default]
    Lost,
    /// It may be run again.
    Requeue,
}

/// The words of a command, some of which are filled in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct Template {
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Literal(String),
    /// `{name}`: one word.
    Value(String),
    /// `{*}`: all words that were given, or none.
    Rest,
}

/// Why a kind cannot be used so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    #[error("no kind is named `{name}` in the config file; {known}")]
    Unknown { name: String, known: String },
    #[error("kind {kind} needs a value for `{name}`: give --set {name}=…")]
    Missing { kind: String, name: String },
    #[error("kind {kind} has no place for `{name}`; it takes {known}")]
    NoPlace { kind: String, name: String, known: String },
    #[error("kind {kind} takes no words of a command: only what --set names")]
    NoRest { kind: String },
}

fn nothing() -> Spanned<BTreeMap<String, u32>> {
    Spanned::new(0..0, BTreeMap::new())
}

fn denial() -> Spanned<OnSilence> {
    Spanned::new(0..0, OnSilence::Deny)
}

impl TryFrom<Vec<String>> for Template {
    type Error = String;

    fn try_from(argv: Vec<String>) -> Result<Self, String> {
        if argv.first().is_none_or(String::is_empty) {
            return Err("expected at least the program, as in [\"make\", \"{target}\"]".to_owned());
        }
        Ok(Self { words: argv.into_iter().map(word).collect::<Result<_, _>>()? })
    }
}

fn word(text: String) -> Result<Word, String> {
    let inside = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inside {
        Some("*") => return Ok(Word::Rest),
        Some(name) if is_name(name) => return Ok(Word::Value(name.to_owned())),
        // `{{name}}` stands for `{name}` itself.
        Some(inner) if placeholder_in(inner) == Some(inner) => {
            return Ok(Word::Literal(inner.to_owned()));
        }
        Some(_) | None => {}
    }
    match placeholder_in(&text) {
        Some(part) => Err(format!(
            "`{text}` holds {part} as a part: expected a placeholder as an element of its own, \
             such as [\"--env\", \"{{env}}\"]"
        )),
        None => Ok(Word::Literal(text)),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Returns the first part of `text` that looks like a placeholder.
fn placeholder_in(text: &str) -> Option<&str> {
    text.char_indices().filter(|(_, c)| *c == '{').find_map(|(start, _)| {
        let end = start + text[start..].find('}')?;
        let inside = &text[start + 1..end];
        (inside == "*" || is_name(inside)).then(|| &text[start..=end])
    })
}

impl Kind {
    /// Returns when silence approves a task of this kind; nothing where it never does.
    pub(crate) fn silence(&self) -> Option<Silence> {
        let after_ms =
            self.gate_timeout.filter(|_| *self.on_silence.get_ref() == OnSilence::Approve)?;
        let folder = self.cwd.clone()?;
        let argv = self.argv.words.iter().map(|word| match word {
            Word::Literal(text) if placeholder_in(text) == Some(text) => format!("{{{text}}}"),
            Word::Literal(text) => text.clone(),
            Word::Value(name) => format!("{{{name}}}"),
            Word::Rest => "{*}".to_owned(),
        });
        Some(Silence { after_ms, argv: argv.collect(), folder })
    }

    /// Returns the command, with each value as one word of it, whatever it holds.
    pub(crate) fn command(
        &self,
        usage: &KindUse,
        rest: &[String],
    ) -> Result<CommandLine, KindError> {
        let kind = || usage.name.clone();
        let words = &self.argv.words;
        let names: BTreeSet<_> = words
            .iter()
            .filter_map(|word| match word {
                Word::Value(name) => Some(name.clone()),
                Word::Literal(_) | Word::Rest => None,
            })
            .collect();
        if let Some(name) = usage.values.keys().find(|name| !names.contains(*name)) {
            let known = super::listed(names.iter(), "no value");
            return Err(KindError::NoPlace { kind: kind(), name: name.clone(), known });
        }
        if !rest.is_empty() && !words.contains(&Word::Rest) {
            return Err(KindError::NoRest { kind: kind() });
        }
        let mut argv = Vec::new();
        for word in words {
            match word {
                Word::Literal(text) => argv.push(text.clone()),
                Word::Rest => argv.extend_from_slice(rest),
                Word::Value(name) => {
                    let missing = || KindError::Missing { kind: kind(), name: name.clone() };
                    argv.push(usage.values.get(name).cloned().ok_or_else(missing)?);
                }
            }
        }
        Ok(CommandLine::Argv { argv })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(argv: &[&str]) -> Kind {
        let argv: Vec<_> = argv.iter().map(|word| format!("{word:?}")).collect();
        toml::from_str(&format!("argv = [{}]", argv.join(", "))).unwrap()
    }

    fn filled(
        argv: &[&str],
        values: &[(&str, &str)],
        rest: &[&str],
    ) -> Result<Vec<String>, String> {
        let values = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let usage = KindUse { name: "deploy".into(), values };
        let rest: Vec<_> = rest.iter().map(|word| (*word).to_owned()).collect();
        let command = kind(argv).command(&usage, &rest).map_err(|error| error.to_string())?;
        Ok(command.argv())
    }

    #[test]
    fn a_value_is_one_word_whatever_it_holds() {
        let evil = "prod; rm -rf / $(id) `id` \"' \n{env}";
        let argv = filled(&["deploy", "--env", "{env}"], &[("env", evil)], &[]).unwrap();
        assert_eq!(argv, ["deploy", "--env", evil]);
        let argv = filled(&["make", "{*}", "-j2"], &[], &["a b", "{x}"]).unwrap();
        assert_eq!(argv, ["make", "a b", "{x}", "-j2"]);
        assert_eq!(filled(&["make", "{*}"], &[], &[]).unwrap(), ["make"]);
        let argv = filled(&["awk", "{print $1}", "{{name}}"], &[], &[]).unwrap();
        assert_eq!(argv, ["awk", "{print $1}", "{name}"]);
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        let argv = ["deploy", "{env}"];
        let given: [&[(&str, &str)]; 3] = [&[], &[("env", "a"), ("evn", "b")], &[("env", "a")]];
        let words: [&[&str]; 3] = [&[], &[], &["more"]];
        let errors = ["--set env=…", "no place for `evn`; it takes env", "takes no words"];
        let cases = given.into_iter().zip(words).zip(errors);
        for ((values, rest), expected) in cases {
            let error = filled(&argv, values, rest).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
