//! Rules: which commands must be asked about before they start, and which need not be.
//!
//! A rule that asks is matched generously: also inside of a shell's line and
//! behind `env` or `sudo`. One that lets pass is matched on the whole argv and
//! nothing else, and not where the environment says which program runs.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::ids::{SessionId, Timestamp};
use crate::text::is_visible;

/// How many words a pattern may have, and how long one may be, in bytes.
const WORDS_LIMIT: usize = 64;
const WORD_LIMIT: usize = 1_000;

/// Any number of words, in a pattern.
const ANY_WORDS: &str = "**";

/// Programs that run what they are told, so that a pattern for them says every word.
const RUNNERS: [&str; 24] = [
    "sh", "bash", "dash", "zsh", "fish", "ksh", "busybox", "env", "sudo", "doas", "su", "xargs",
    "nohup", "nice", "timeout", "setsid", "ssh", "python", "python3", "perl", "ruby", "node",
    "find", "awk",
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
    /// The environment can put another program in the place of the one that is named.
    pub is_redirected: bool,
}

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
            Self::AnyProgram => "/match/0".to_owned(),
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
        if self.then == Then::AskFirst {
            return Ok(());
        }
        let (program, rest) = self.argv.split_first().ok_or(RuleError::NoPattern)?;
        if is_wild(program) || program.is_empty() {
            return Err(RuleError::AnyProgram);
        }
        let wild = rest.iter().position(|word| is_wild(word));
        if let Some(before) = wild.filter(|_| is_runner(program)) {
            return Err(RuleError::AnyWords { program: program.clone(), word: before + 1 });
        }
        Ok(())
    }

    /// Returns whether the rule speaks of `command` at `now`.
    #[must_use]
    pub fn matches(&self, command: Command<'_>, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
            && self.folder.as_ref().is_none_or(|folder| is_within(command.cwd, folder))
            && self.session.as_ref().is_none_or(|session| command.session == Some(session))
            && self.kind.as_ref().is_none_or(|kind| kind == command.kind)
            && match self.then {
                Then::AskFirst => is_anywhere(&self.argv, command.argv),
                Then::NeedNotAsk => !command.is_redirected && words_match(&self.argv, command.argv),
            }
    }

    /// Returns what to call the rule in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        match self.name.as_ref().filter(|name| is_visible(name)) {
            Some(name) => name.clone(),
            None => self.argv.join(" "),
        }
    }
}

/// What the rules say of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No rule speaks of it.
    Silent,
    Ask(&'a Rule),
    /// Another rule would have asked, had this one not come first.
    Pass(&'a Rule),
}

/// Returns what `rules` say of `command`; the first that matches counts.
pub fn verdict<'a>(
    rules: impl IntoIterator<Item = &'a Rule>,
    command: Command<'_>,
    now: Timestamp,
) -> Verdict<'a> {
    match rules.into_iter().find(|rule| rule.matches(command, now)) {
        None => Verdict::Silent,
        Some(rule) => match rule.then {
            Then::AskFirst => Verdict::Ask(rule),
            Then::NeedNotAsk => Verdict::Pass(rule),
        },
    }
}

/// What a place of a pattern stands for, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Text,
    One,
    Is(char),
}

/// Returns what the pattern for a word stands for, place by place.
fn signs(pattern: &str) -> Vec<Sign> {
    let mut rest = pattern.chars();
    let mut signs = Vec::new();
    while let Some(c) = rest.next() {
        let itself =
            rest.as_str().strip_prefix(['*', '?', '[']).and_then(|it| it.strip_prefix(']'));
        signs.push(match (c, itself) {
            ('[', Some(after)) => {
                let meant = rest.next().unwrap_or(c);
                rest = after.chars();
                Sign::Is(meant)
            }
            ('*', _) => Sign::Text,
            ('?', _) => Sign::One,
            (c, _) => Sign::Is(c),
        });
    }
    signs
}

fn is_wild(word: &str) -> bool {
    signs(word).iter().any(|sign| matches!(sign, Sign::Text | Sign::One))
}

fn is_runner(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    RUNNERS.iter().any(|runner| *runner == name || runner.trim_end_matches('3') == name)
}

fn is_within(cwd: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    cwd == folder || cwd.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns whether the command is anywhere in `argv`: from any word on, or in a word that is a line
/// for a shell.
fn is_anywhere(pattern: &[String], argv: &[String]) -> bool {
    let from_any = |words: &[String]| {
        (0..words.len()).any(|start| {
            let mut words = words[start..].to_vec();
            // `/usr/bin/git` is `git`.
            if pattern.first().is_some_and(|program| !program.contains('/')) {
                words[0] = words[0].rsplit('/').next().unwrap_or_default().to_owned();
            }
            words_match(pattern, &words)
        })
    };
    from_any(argv) || argv.iter().any(|word| commands_in(word).iter().any(|words| from_any(words)))
}

/// Returns the commands of what may be a line for a shell, roughly: rather one too many.
fn commands_in(line: &str) -> Vec<Vec<String>> {
    if !line.contains(char::is_whitespace) {
        return vec![];
    }
    let ends = [';', '|', '&', '\n', '(', ')', '{', '}', '`', '<', '>'];
    let unquoted = |word: &str| word.replace(['\'', '"', '\\', '$'], "");
    line.split(ends)
        .map(|part| part.split_whitespace().map(unquoted).filter(|word| !word.is_empty()).collect())
        .filter(|words: &Vec<String>| !words.is_empty())
        .collect()
}

/// Matches patterns on words; `**` stands for any number of them.
fn words_match(patterns: &[String], words: &[String]) -> bool {
    wild(
        patterns,
        words,
        |pattern| pattern == ANY_WORDS,
        |pattern, word| {
            let word: Vec<char> = word.chars().collect();
            wild(
                &signs(pattern),
                &word,
                |sign| *sign == Sign::Text,
                |sign, c| *sign == Sign::One || *sign == Sign::Is(*c),
            )
        },
    )
}

/// Matches a pattern with stars on a text, in time that grows with the product of their lengths.
fn wild<P, T>(
    pattern: &[P],
    text: &[T],
    is_star: impl Fn(&P) -> bool,
    is_same: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where the last star is, and how much of the text it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        if pattern.get(at).is_some_and(&is_star) {
            star = Some((at, read));
            at += 1;
        } else if pattern.get(at).is_some_and(|pattern| is_same(pattern, &text[read])) {
            (at, read) = (at + 1, read + 1);
        } else if let Some((of_star, taken)) = star {
            star = Some((of_star, taken + 1));
            (at, read) = (of_star + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(is_star)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(then: Then, pattern: &[&str]) -> Rule {
        Rule {
            name: None,
            argv: pattern.iter().map(|word| (*word).to_owned()).collect(),
            then,
            folder: None,
            session: None,
            kind: None,
            expires_at: None,
        }
    }

    fn says(rule: &Rule, argv: &[&str]) -> bool {
        let argv: Vec<_> = argv.iter().map(|word| (*word).to_owned()).collect();
        let command = Command {
            argv: &argv,
            cwd: "/srv/app",
            session: None,
            kind: "command",
            is_redirected: false,
        };
        rule.matches(command, Timestamp(10))
    }

    #[test]
    fn a_rule_that_asks_finds_its_command_wherever_it_hides() {
        let push = rule(Then::AskFirst, &["git", "push", "**", "--force*", "**"]);
        let cases: [(&[&str], bool); 12] = [
            (&["git", "push", "--force"], true),
            (&["git", "push", "origin", "--force-with-lease", "main"], true),
            (&["/usr/bin/git", "push", "--force"], true),
            (&["env", "-i", "git", "push", "--force"], true),
            (&["sudo", "-u", "me", "git", "push", "--force"], true),
            (&["/bin/sh", "-c", "make && git push --force"], true),
            (&["bash", "-c", "cd x;git push origin --force|cat"], true),
            (&["sh", "-c", "\"git\" 'push' --force"], true),
            (&["sh", "-c", "$(git push --force)"], true),
            (&["git", "push"], false),
            (&["git", "pull", "--force"], false),
            (&["sh", "-c", "echo git; echo push --force"], false),
        ];
        for (argv, expected) in cases {
            assert_eq!(says(&push, argv), expected, "{argv:?}");
        }
    }

    #[test]
    fn a_rule_that_lets_pass_means_the_whole_command_and_nothing_else() {
        let make = rule(Then::NeedNotAsk, &["make", "test*"]);
        let cases: [(&[&str], bool); 7] = [
            (&["make", "test"], true),
            (&["make", "tests"], true),
            (&["make", "test", "install"], false),
            (&["/tmp/make", "test"], false),
            (&["env", "make", "test"], false),
            (&["sh", "-c", "make test"], false),
            (&["make"], false),
        ];
        for (argv, expected) in cases {
            assert_eq!(says(&make, argv), expected, "{argv:?}");
        }
        let argv = ["make", "test"].map(str::to_owned);
        let mut command =
            Command { argv: &argv, cwd: "/", session: None, kind: "command", is_redirected: true };
        assert!(!make.matches(command, Timestamp(1)), "PATH names another make");
        command.is_redirected = false;
        assert!(make.matches(command, Timestamp(1)));
    }

    #[test]
    fn a_rule_that_lets_pass_is_narrow() {
        let check = |pattern: &[&str]| rule(Then::NeedNotAsk, pattern).check();
        assert_eq!(check(&["make", "**"]), Ok(()));
        assert_eq!(check(&["bash", "-c", "make test"]), Ok(()));
        assert_eq!(check(&["**"]), Err(RuleError::AnyProgram));
        assert_eq!(check(&["*", "test"]), Err(RuleError::AnyProgram));
        for runner in ["sh", "/bin/bash", "python3.12", "python", "env", "sudo", "node"] {
            let error = check(&[runner, "**"]).unwrap_err();
            assert_eq!(error, RuleError::AnyWords { program: runner.into(), word: 1 });
        }
        let error = check(&["bash", "-c", "ls ?"]).unwrap_err();
        assert_eq!(error.field(), "/match/2");
        assert_eq!(check(&[]), Err(RuleError::NoPattern));
        assert_eq!(rule(Then::AskFirst, &["**"]).check(), Ok(()));
    }

    #[test]
    fn a_sign_in_brackets_is_that_sign_itself() {
        let cases = [
            ("[*].rs", "*.rs", true),
            ("[*].rs", "a.rs", false),
            ("[[]a]", "[a]", true),
            ("[?]", "?", true),
            ("[?]", "x", false),
            ("[a]", "[a]", true),
            ("[*", "[anything", true),
            ("[[][*]]", "[*]", true),
            ("[*][*]", "**", true),
        ];
        for (pattern, word, expected) in cases {
            let rule = rule(Then::NeedNotAsk, &["ls", pattern]);
            assert_eq!(says(&rule, &["ls", word]), expected, "{pattern} {word}");
        }
        // So a line for a shell can be said word by word, whatever is in it.
        assert_eq!(rule(Then::NeedNotAsk, &["sh", "-c", "ls [*]; echo $[?]"]).check(), Ok(()));
    }

    #[test]
    fn a_rule_has_a_scope_and_an_end() {
        let mut rule = rule(Then::AskFirst, &["make"]);
        assert!(says(&rule, &["make"]));
        for (folder, expected) in [("/srv/app", true), ("/srv/", true), ("/srv/ap", false)] {
            rule.folder = Some(folder.into());
            assert_eq!(says(&rule, &["make"]), expected, "{folder}");
        }
        rule.folder = Some("srv".into());
        assert_eq!(rule.check(), Err(RuleError::RelativeFolder("srv".into())));
        rule.folder = None;
        rule.session = Some(SessionId("a".into()));
        assert!(!says(&rule, &["make"]));
        rule.session = None;
        rule.kind = Some("deploy".into());
        assert!(!says(&rule, &["make"]));
        rule.kind = Some("command".into());
        for (at, expected) in [(11, true), (10, false)] {
            rule.expires_at = Some(Timestamp(at));
            assert_eq!(says(&rule, &["make"]), expected);
        }
    }

    #[test]
    fn of_two_rules_the_first_counts() {
        let (ask, pass) =
            (rule(Then::AskFirst, &["make", "**"]), rule(Then::NeedNotAsk, &["make", "test"]));
        let argv = ["make", "test"].map(str::to_owned);
        let command =
            Command { argv: &argv, cwd: "/", session: None, kind: "command", is_redirected: false };
        assert_eq!(verdict([&pass, &ask], command, Timestamp(0)), Verdict::Pass(&pass));
        assert_eq!(verdict([&ask, &pass], command, Timestamp(0)), Verdict::Ask(&ask));
        assert_eq!(verdict([], command, Timestamp(0)), Verdict::Silent);
    }

    #[test]
    fn stars_take_no_exponential_time() {
        let stars = vec!["**"; WORDS_LIMIT - 1];
        let rule = rule(Then::AskFirst, &[stars.as_slice(), &["end"]].concat());
        let argv = vec!["a".to_owned(); 300];
        assert!(!words_match(&rule.argv, &argv));
        let word = "*a".repeat(400);
        assert!(!words_match(&[word], &["a".repeat(399)]));
    }
}
