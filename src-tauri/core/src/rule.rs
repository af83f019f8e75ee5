//! Rules: which commands must be asked about before they start, and which need not be.
//!
//! A rule that asks is matched generously: also inside of a shell's line
//! ([`crate::shell`]) and behind `env` or `sudo`. One that lets pass is matched
//! on the whole argv and nothing else, and only where the environment cannot
//! say which program runs.

mod anywhere;
mod wild;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::ids::{SessionId, Timestamp};
use crate::shell::{self, Commands};
use crate::text::{is_visible, one_line};

use anywhere::is_anywhere;
pub(crate) use wild::wild;
use wild::{Sign, signs, word_matches};

/// How many words a pattern may have, and how long one may be, in bytes.
const WORDS_LIMIT: usize = 64;
const WORD_LIMIT: usize = 1_000;

/// How many characters of a rule's name are shown.
const NAME_SHOWN: usize = 80;

/// Any number of words, in a pattern.
const ANY_WORDS: &str = "**";

/// Programs that run what they are told, so that a pattern for them says every word: shells,
/// interpreters, what runs another program, and tools with an option or a file for that.
const RUNNERS: [&str; 91] = [
    "sh", "bash", "dash", "zsh", "fish", "ksh", "mksh", "ash", "csh", "tcsh", "busybox", "toybox",
    "env", "sudo", "doas", "pkexec", "su", "runuser", "chroot", "unshare", "nsenter", "setpriv",
    "xargs", "parallel", "nohup", "nice", "ionice", "chrt", "taskset", "stdbuf", "timeout", "time",
    "watch", "flock", "setsid", "script", "expect", "screen", "tmux", "at", "batch", "crontab",
    "systemd", "strace", "ltrace", "gdb", "valgrind", "perf", "ssh", "scp", "sftp", "rsync",
    "python", "pypy", "perl", "ruby", "node", "nodejs", "deno", "bun", "lua", "luajit", "php",
    "tclsh", "java", "awk", "gawk", "mawk", "nawk", "sed", "find", "fd", "vi", "vim", "nvim",
    "tar", "zip", "git", "make", "gmake", "ninja", "npm", "npx", "pnpm", "yarn", "cargo", "go",
    "uv", "pip", "docker", "podman",
];

/// The number of a rule that was made in the window. Given once, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct RuleId(pub i64);

/// What a rule says of the commands that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// A person is asked before it starts.
    AskFirst,
    /// It starts without being asked about, whatever a later rule or its kind says.
    NeedNotAsk,
}

/// A rule: of several that match, the first one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What the rule is called.
    #[serde(default)]
    pub name: Option<String>,
    /// A pattern for each word of the argv: `*` is any text, `?` one sign, and the word `**` any
    /// number of words; `[*]`, `[?]` and `[[]` are those signs themselves.
    #[serde(rename = "match")]
    pub argv: Vec<String>,
    pub then: Then,
    /// Only in this folder, an absolute path, and below.
    #[serde(default)]
    pub folder: Option<String>,
    /// Only for this conversation.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// Only for tasks of this kind.
    #[serde(default)]
    pub kind: Option<String>,
    /// From when on it means nothing any more.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// What rules are matched on.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// The words that will be executed.
    pub argv: &'a [String],
    pub cwd: &'a str,
    pub session: Option<&'a SessionId>,
    pub kind: &'a str,
    /// The environment may put another program in the place of the one that is named.
    pub is_redirected: bool,
    /// What the folders of rules are without links and dots, as far as they are there.
    pub folders: &'a Folders,
}

/// The real paths of folders, by how they are written.
pub type Folders = BTreeMap<String, String>;

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error(
        "a rule needs a pattern of 1 to {WORDS_LIMIT} words, each of {WORD_LIMIT} bytes at most"
    )]
    NoPattern,
    #[error("the first word of a rule that lets pass names a program: no `*`, no `?`")]
    AnyProgram,
    #[error(
        "`{program}` runs what it is told: a rule that lets it pass says every word, without `*` and `?`"
    )]
    AnyWords { program: String, word: usize },
    #[error(
        "`{0}` is another program in each folder: a rule that lets it pass names its whole path, \
         or the folder"
    )]
    RelativeProgram(String),
    #[error("the folder of a rule is an absolute path, not `{0}`")]
    RelativeFolder(String),
    #[error("a rule that lets pass ends at some time: say when")]
    Endless,
}

impl RuleError {
    /// Returns what of a rule it is about: a JSON pointer into it.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::NoPattern => "/match".to_owned(),
            Self::AnyProgram | Self::RelativeProgram(_) => "/match/0".to_owned(),
            Self::AnyWords { word, .. } => format!("/match/{word}"),
            Self::RelativeFolder(_) => "/folder".to_owned(),
            Self::Endless => "/expires_at".to_owned(),
        }
    }
}

impl Rule {
    /// Returns whether the rule can be used.
    pub fn check(&self) -> Result<(), RuleError> {
        let words = 1..=WORDS_LIMIT;
        let is_long = |word: &String| word.len() > WORD_LIMIT;
        if !words.contains(&self.argv.len()) || self.argv.iter().any(is_long) {
            return Err(RuleError::NoPattern);
        }
        if let Some(folder) = self.folder.as_ref().filter(|folder| !folder.starts_with('/')) {
            return Err(RuleError::RelativeFolder(folder.clone()));
        }
        match self.then {
            Then::AskFirst => Ok(()),
            Then::NeedNotAsk => self.check_narrow(),
        }
    }

    /// Returns whether what is let pass is one certain program, and nothing that it is told to run.
    fn check_narrow(&self) -> Result<(), RuleError> {
        let (program, rest) = self.argv.split_first().ok_or(RuleError::NoPattern)?;
        if is_wild(program) || program.is_empty() {
            return Err(RuleError::AnyProgram);
        }
        let wild = rest.iter().position(|word| is_wild(word));
        if let Some(before) = wild.filter(|_| is_runner(program)) {
            return Err(RuleError::AnyWords { program: program.clone(), word: before + 1 });
        }
        if is_relative(program) && self.folder.is_none() {
            return Err(RuleError::RelativeProgram(program.clone()));
        }
        Ok(())
    }

    /// Returns whether the rule speaks of `command` at `now`.
    #[must_use]
    pub fn matches(&self, command: Command<'_>, now: Timestamp) -> bool {
        self.speaks_of(command, &OnceCell::new(), now)
    }

    /// Does so with what was read of the command for an earlier rule.
    fn speaks_of(&self, command: Command<'_>, read: &OnceCell<Commands>, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
            && self.session.as_ref().is_none_or(|session| command.session == Some(session))
            && self.kind.as_ref().is_none_or(|kind| kind == command.kind)
            && match self.then {
                Then::AskFirst => self.asks_about(command, read),
                Then::NeedNotAsk => self.lets_pass(command),
            }
    }

    /// Matches generously: what cannot be read for sure is asked about too.
    fn asks_about(&self, command: Command<'_>, read: &OnceCell<Commands>) -> bool {
        let is_here = self.folder.as_ref().is_none_or(|folder| {
            let real = command.folders.get(folder);
            is_within(command.cwd, folder) || real.is_some_and(|real| is_within(command.cwd, real))
        });
        is_here && {
            let read = read.get_or_init(|| shell::commands(command.argv));
            let cwd = command.cwd;
            !read.is_clear || read.list.iter().any(|words| is_anywhere(&self.argv, words, cwd))
        }
    }

    /// Matches strictly. A rule that an earlier version took and that is too wide lets nothing pass.
    fn lets_pass(&self, command: Command<'_>) -> bool {
        let is_exact = self.argv.first().is_some_and(|program| is_relative(program));
        let is_here = self.folder.as_ref().is_none_or(|folder| {
            // As written: what a link leads to can change after the rule was made.
            if is_exact { command.cwd == folder } else { is_within(command.cwd, folder) }
        });
        is_here
            && !command.is_redirected
            && self.check_narrow().is_ok()
            && words_match(&self.argv, command.argv)
    }

    /// Returns what to call the rule in a sentence: its pattern, and behind that its name, which
    /// whoever wrote it chose and which must not pass for words of Nod's.
    #[must_use]
    pub fn words(&self) -> String {
        let words: Vec<_> = self.argv.iter().map(|word| one_line(word, WORD_LIMIT)).collect();
        let pattern = words.join(" ");
        match self.name.as_ref().filter(|name| is_visible(name)) {
            Some(name) => format!("{pattern} (“{}”)", one_line(name.trim(), NAME_SHOWN)),
            None => pattern,
        }
    }
}

/// What the rules say of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No rule speaks of it.
    Silent,
    Ask(&'a Rule),
    Pass {
        rule: &'a Rule,
        /// Another rule would have asked, had this one not come first.
        instead: bool,
    },
}

/// Returns what `rules` say of `command`; the first that matches counts.
pub fn verdict<'a>(
    rules: impl IntoIterator<Item = &'a Rule>,
    command: Command<'_>,
    now: Timestamp,
) -> Verdict<'a> {
    let read = OnceCell::new();
    let mut matching = rules.into_iter().filter(|rule| rule.speaks_of(command, &read, now));
    match matching.next() {
        None => Verdict::Silent,
        Some(rule) => match rule.then {
            Then::AskFirst => Verdict::Ask(rule),
            Then::NeedNotAsk => {
                let instead = matching.any(|rule| rule.then == Then::AskFirst);
                Verdict::Pass { rule, instead }
            }
        },
    }
}

fn is_wild(word: &str) -> bool {
    signs(word).iter().any(|sign| matches!(sign, Sign::Text | Sign::One))
}

/// Returns whether a program is named by a path from the folder on.
fn is_relative(program: &str) -> bool {
    program.contains('/') && !program.starts_with('/')
}

/// Returns whether a program runs what it is told, also as `python3.12` or `docker-compose`.
#[must_use]
pub fn is_runner(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    let versionless = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let first = name.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or(name);
    RUNNERS.contains(&versionless) || RUNNERS.contains(&first)
}

fn is_within(cwd: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    cwd == folder || cwd.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Matches patterns on words; `**` stands for any number of them.
fn words_match(patterns: &[String], words: &[String]) -> bool {
    wild(
        patterns,
        words,
        |pattern| pattern == ANY_WORDS,
        |pattern, word| word_matches(pattern, word),
    )
}

#[cfg(test)]
mod tests;
