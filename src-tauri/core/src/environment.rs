//! What of an environment reaches a task, and what of it a person is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The variables of a process, by name.
pub type Environment = BTreeMap<String, String>;

/// One difference between a task's environment and the usual one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct EnvironmentChange {
    pub name: String,
    pub change: Change,
    /// The value that the task sees; nothing for a removed variable or a secret one.
    pub value: Option<String>,
    /// The value looks like a secret, so it is kept from the screen and the database.
    pub masked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Added,
    Changed,
    Removed,
}

/// Names that belong to the process around a submit and must not reach the task.
///
/// A task that inherited them would speak for another task, or take itself for
/// a part of the agent that started it.
pub const LEAKS: [&str; 6] = [
    "NOD_TOKEN",
    "NOD_TASK_ID",
    "NOD_ATTEMPT",
    "NOD_SOCKET",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
];

/// Variables that a shell changes by itself, of no interest to whoever approves.
const NOISE: [&str; 4] = ["_", "OLDPWD", "SHLVL", "PWD"];

/// Returns `given` without what must not leak into a task.
#[must_use]
pub fn without_leaks(given: &Environment) -> Environment {
    given
        .iter()
        .filter(|(name, _)| !LEAKS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Returns what a task's environment has otherwise than what a person is used to.
///
/// What was `given` by name is always among it, and comes first: somebody chose it for this task.
#[must_use]
pub fn changes(
    usual: &Environment,
    task: &Environment,
    given: &Environment,
) -> Vec<EnvironmentChange> {
    let mut changes = Vec::new();
    for (name, value) in task {
        let change = match usual.get(name) {
            Some(same) if same == value && !given.contains_key(name) => continue,
            Some(_) => Change::Changed,
            None => Change::Added,
        };
        changes.push(shown(name, change, Some(value)));
    }
    for name in usual.keys().filter(|name| !task.contains_key(*name)) {
        changes.push(shown(name, Change::Removed, None));
    }
    let uninteresting = [NOISE.as_slice(), LEAKS.as_slice()].concat();
    changes.retain(|change| {
        given.contains_key(&change.name) || !uninteresting.contains(&change.name.as_str())
    });
    changes.sort_by_key(|change| (!given.contains_key(&change.name), change.name.clone()));
    changes
}

fn shown(name: &str, change: Change, value: Option<&String>) -> EnvironmentChange {
    let masked = value.is_some_and(|value| looks_secret(name, value));
    let value = if masked { None } else { value.cloned() };
    EnvironmentChange { name: name.to_owned(), change, value, masked }
}

/// Returns whether a variable is likely to hold a secret, by its name or its value.
#[must_use]
pub fn looks_secret(name: &str, value: &str) -> bool {
    const NAMES: [&str; 10] = [
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "API_KEY",
        "APIKEY",
        "CREDENTIAL",
        "PRIVATE",
        "ACCESS_KEY",
    ];
    const PREFIXES: [&str; 8] =
        ["sk-", "ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "AKIA", "-----BEGIN"];
    let name = name.to_ascii_uppercase();
    let words = name.split('_').any(|word| word == "AUTH");
    let by_name = words || NAMES.iter().any(|part| name.contains(part)) || name.ends_with("_KEY");
    // SSH_AUTH_SOCK is a path, and useful to see.
    let by_name = by_name && !name.ends_with("_SOCK");
    let url_password = value.split_once("://").is_some_and(|(_, rest)| {
        rest.split(['/', '?'])
            .next()
            .is_some_and(|host| host.rsplit_once('@').is_some_and(|(login, _)| login.contains(':')))
    });
    // A value is no reason to hide what decides which program runs.
    if decides_what_runs(&name) {
        return false;
    }
    by_name || url_password || PREFIXES.iter().any(|prefix| value.starts_with(prefix))
}

/// Returns the differences that are not known to leave alone which program runs, and what it does.
///
/// The other way round would be a list without end: each program has variables of its own that
/// name a program, a file of settings or a folder to look into.
pub fn redirecting(changes: &[EnvironmentChange]) -> impl Iterator<Item = &EnvironmentChange> {
    changes.iter().filter(|change| !is_harmless(&change.name))
}

/// Returns whether a variable says no more than how and where a program is looked at.
fn is_harmless(name: &str) -> bool {
    const NAMES: [&str; 40] = [
        "TERM",
        "COLORTERM",
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "FORCE_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "LS_COLORS",
        "LANG",
        "LANGUAGE",
        "TZ",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "WINDOWID",
        "DESKTOP_STARTUP_ID",
        "XDG_ACTIVATION_TOKEN",
        "XDG_RUNTIME_DIR",
        "XDG_SESSION_ID",
        "XDG_SESSION_TYPE",
        "XDG_SESSION_CLASS",
        "XDG_SEAT",
        "XDG_VTNR",
        "TERM_PROGRAM",
        "TERM_PROGRAM_VERSION",
        "TERM_SESSION_ID",
        "VTE_VERSION",
        "TMUX",
        "TMUX_PANE",
        "STY",
        "SSH_CONNECTION",
        "SSH_CLIENT",
        "SSH_TTY",
        "SSH_AUTH_SOCK",
        "GPG_TTY",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "NOD_LOG",
        "CLAUDE_CODE_SSE_PORT",
    ];
    let is_known = |names: &[&str]| names.contains(&name);
    is_known(&NAMES) || is_known(&NOISE) || is_known(&LEAKS) || name.starts_with("LC_")
}

/// Returns whether a variable is known to decide which program runs, so that it is always shown.
fn decides_what_runs(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "PATH",
        "ENV",
        "BASH_ENV",
        "SHELL",
        "IFS",
        "CDPATH",
        "HOME",
        "EDITOR",
        "VISUAL",
        "PAGER",
        "NODE_OPTIONS",
        "PROMPT_COMMAND",
    ];
    const PREFIXES: [&str; 9] =
        ["LD_", "DYLD_", "GIT_SSH", "GIT_EXEC", "GIT_CONFIG", "PYTHON", "PERL5", "RUBY", "RUSTC"];
    NAMES.contains(&name)
        || name.ends_with("_PRELOAD")
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn changes_are_named_and_secrets_are_not_shown() {
        let host = environment(&[("HOME", "/root"), ("LANG", "C"), ("GONE", "1"), ("SHLVL", "1")]);
        let task = environment(&[
            ("HOME", "/root"),
            ("LANG", "ja_JP.UTF-8"),
            ("API_TOKEN", "hunter2"),
            ("SHLVL", "2"),
        ]);
        let seen = changes(&host, &task, &Environment::new());
        let row = |name: &str, change, value: Option<&str>, masked| EnvironmentChange {
            name: name.to_owned(),
            change,
            value: value.map(str::to_owned),
            masked,
        };
        let expected = [
            row("API_TOKEN", Change::Added, None, true),
            row("GONE", Change::Removed, None, false),
            row("LANG", Change::Changed, Some("ja_JP.UTF-8"), false),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_was_given_by_name_is_always_shown() {
        let usual = environment(&[("LANG", "C"), ("PWD", "/")]);
        let given = environment(&[("LANG", "C"), ("PWD", "/etc"), ("CLAUDECODE", "1")]);
        let names: Vec<_> =
            changes(&usual, &given, &given).into_iter().map(|change| change.name).collect();
        assert_eq!(names, ["CLAUDECODE", "LANG", "PWD"]);
        let task = environment(&[("LANG", "C"), ("AAA", "1"), ("ZZZ", "2")]);
        let given = environment(&[("ZZZ", "2")]);
        let names: Vec<_> =
            changes(&usual, &task, &given).into_iter().map(|change| change.name).collect();
        assert_eq!(names, ["ZZZ", "AAA"], "what was given by name comes first");
    }

    #[test]
    fn secrets_are_known_by_name_or_by_value() {
        let cases = [
            ("GITHUB_TOKEN", "x", true),
            ("AWS_SECRET_ACCESS_KEY", "x", true),
            ("DATABASE_URL", "postgres://me:pass@localhost/db", true),
            ("DATABASE_URL", "postgres://localhost/db?x=a@b:c", false),
            ("ANYTHING", "ghp_0123456789", true),
            ("SSH_AUTH_SOCK", "/run/agent", false),
            ("GIT_AUTHOR_NAME", "me", false),
            ("PROXY_AUTH", "x", true),
            ("PATH", "sk-live:/evil:/bin", false),
            ("LD_PRELOAD", "ghp_0123", false),
            ("KEYBOARD", "us", false),
            ("LANG", "C", false),
        ];
        for (name, value, expected) in cases {
            assert_eq!(looks_secret(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn the_surrounding_task_does_not_leak_into_a_new_one() {
        let given = environment(&[("NOD_TOKEN", "t"), ("CLAUDECODE", "1"), ("PATH", "/bin")]);
        assert_eq!(without_leaks(&given), environment(&[("PATH", "/bin")]));
    }
}
