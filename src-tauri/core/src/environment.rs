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
    /// The value that the task sees; nothing for a removed variable or a secret one. Of one that
    /// holds a secret beside other things, with a mask in its place.
    pub value: Option<String>,
    /// The value, or a part of it, looks like a secret, and is kept from the screen and the database.
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
    is_file: IsFile<'_>,
) -> Vec<EnvironmentChange> {
    let mut changes = Vec::new();
    for (name, value) in task {
        let change = match usual.get(name) {
            Some(same) if same == value && !given.contains_key(name) => continue,
            Some(_) => Change::Changed,
            None => Change::Added,
        };
        changes.push(shown(name, change, Some(value), is_file));
    }
    for name in usual.keys().filter(|name| !task.contains_key(*name)) {
        changes.push(shown(name, Change::Removed, None, is_file));
    }
    let uninteresting = [NOISE.as_slice(), LEAKS.as_slice()].concat();
    changes.retain(|change| {
        given.contains_key(&change.name) || !uninteresting.contains(&change.name.as_str())
    });
    changes.sort_by_key(|change| (!given.contains_key(&change.name), change.name.clone()));
    changes
}

fn shown(
    name: &str,
    change: Change,
    value: Option<&String>,
    is_file: IsFile<'_>,
) -> EnvironmentChange {
    let (value, masked) = match value.map(|value| (value, secret_in(name, value, is_file))) {
        None => (None, false),
        Some((value, Secret::None)) => (Some(value.clone()), false),
        Some((value, Secret::Part { from, to })) => {
            (Some(format!("{}{MASK}{}", &value[..from], &value[to..])), true)
        }
        Some((_, Secret::All)) => (None, true),
    };
    EnvironmentChange { name: name.to_owned(), change, value, masked }
}

/// What stands in a value for the part that is not shown.
const MASK: &str = "••••";

/// Tells whether there is a file of that name, where the task runs.
pub type IsFile<'a> = &'a dyn Fn(&str) -> bool;

/// How much of a value is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secret {
    None,
    /// From one byte to another.
    Part {
        from: usize,
        to: usize,
    },
    All,
}

/// Returns how much of a variable is likely to be a secret, by its name or its value.
///
/// What decides which program runs is never one, whatever it looks like: a person who approves must
/// see it. By its value alone only that part is, so that nothing else hides behind it.
fn secret_in(name: &str, value: &str, is_file: IsFile<'_>) -> Secret {
    const PREFIXES: [&str; 7] = ["sk-", "ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "AKIA"];
    const KEY: &str = "-----BEGIN";
    let name = name.to_ascii_uppercase();
    if decides_what_runs(&name) || is_file(value) {
        return Secret::None;
    }
    if is_secret_name(&name) {
        return Secret::All;
    }
    if let Some(secret) = password_in(value) {
        return secret;
    }
    let (is_token, to) = (|c: char| c.is_ascii_alphanumeric() || "-_".contains(c), value.len());
    let prefix = PREFIXES.iter().find(|prefix| value.starts_with(*prefix));
    match prefix {
        Some(prefix) if value.chars().all(is_token) => Secret::Part { from: prefix.len(), to },
        None if value.starts_with(KEY) => Secret::Part { from: KEY.len(), to },
        Some(_) | None => Secret::None,
    }
}

fn is_secret_name(name: &str) -> bool {
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
    let words = name.split('_').any(|word| word == "AUTH");
    let by_name = words || NAMES.iter().any(|part| name.contains(part)) || name.ends_with("_KEY");
    // SSH_AUTH_SOCK is a path, and useful to see.
    by_name && !name.ends_with("_SOCK")
}

/// Returns where the password of a URL stands: `scheme://user:password@host`.
fn password_in(value: &str) -> Option<Secret> {
    let (scheme, rest) = value.split_once("://")?;
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    if scheme.is_empty() || !scheme.chars().all(is_scheme) {
        return None;
    }
    let authority = rest.split(['/', '?']).next()?;
    let (login, _) = authority.rsplit_once('@')?;
    let (user, _) = login.split_once(':')?;
    let start = scheme.len() + "://".len();
    Some(Secret::Part { from: start + user.len() + 1, to: start + login.len() })
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
    const NAMES: [&str; 36] = [
        "PATH",
        "ENV",
        "BASH_ENV",
        "SHELL",
        "IFS",
        "CDPATH",
        "HOME",
        "TMPDIR",
        "EDITOR",
        "VISUAL",
        "PAGER",
        "BROWSER",
        "LESSOPEN",
        "ZDOTDIR",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "NODE_OPTIONS",
        "NODE_PATH",
        "PROMPT_COMMAND",
        "MAKEFILES",
        "MAKEFLAGS",
        "GNUMAKEFLAGS",
        "CC",
        "CXX",
        "LD",
        "AR",
        "CPP",
        "CFLAGS",
        "CXXFLAGS",
        "LDFLAGS",
        "GOFLAGS",
        "CLASSPATH",
        "JAVA_TOOL_OPTIONS",
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "KUBECONFIG",
    ];
    const PREFIXES: [&str; 8] =
        ["LD_", "DYLD_", "BASH_FUNC_", "GIT_", "PYTHON", "PERL5", "RUBY", "RUST"];
    const ENDINGS: [&str; 11] = [
        "_PRELOAD",
        "_ASKPASS",
        "_COMMAND",
        "_EDITOR",
        "_HELPER",
        "_PROVIDER",
        "_PROVIDERS",
        "_RUNNER",
        "_WRAPPER",
        "_RUSTC",
        "_LINKER",
    ];
    let is_secret = ["TOKEN", "SECRET", "PASSWORD"].iter().any(|part| name.contains(part));
    NAMES.contains(&name)
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || (!is_secret && PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
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
        let seen = changes(&host, &task, &Environment::new(), &no_file);
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
        let names: Vec<_> = changes(&usual, &given, &given, &no_file)
            .into_iter()
            .map(|change| change.name)
            .collect();
        assert_eq!(names, ["CLAUDECODE", "LANG", "PWD"]);
        let task = environment(&[("LANG", "C"), ("AAA", "1"), ("ZZZ", "2")]);
        let given = environment(&[("ZZZ", "2")]);
        let names: Vec<_> = changes(&usual, &task, &given, &no_file)
            .into_iter()
            .map(|change| change.name)
            .collect();
        assert_eq!(names, ["ZZZ", "AAA"], "what was given by name comes first");
    }

    fn no_file(_: &str) -> bool {
        false
    }

    #[test]
    fn secrets_are_known_by_name_or_by_value_and_nothing_hides_behind_them() {
        let cases = [
            ("GITHUB_TOKEN", "x", None),
            ("AWS_SECRET_ACCESS_KEY", "a/b", None),
            ("PROXY_AUTH", "x", None),
            ("GIT_TOKEN", "x", None),
            (
                "DATABASE_URL",
                "postgres://me:pass@localhost/db",
                Some("postgres://me:••••@localhost/db"),
            ),
            (
                "DATABASE_URL",
                "postgres://me:p@ss@localhost/db",
                Some("postgres://me:••••@localhost/db"),
            ),
            (
                "DATABASE_URL",
                "postgres://localhost/db?x=a@b:c",
                Some("postgres://localhost/db?x=a@b:c"),
            ),
            ("ANYTHING", "ghp_0123456789", Some("ghp_••••")),
            ("ANYTHING", "-----BEGIN KEY-----\nabc", Some("-----BEGIN••••")),
            ("ANYTHING", "sk-evil.mk", Some("sk-evil.mk")),
            ("ANYTHING", "sk-/evil", Some("sk-/evil")),
            ("ANYTHING", "/tmp/e://a:b@x", Some("/tmp/e://a:b@x")),
            ("SSH_AUTH_SOCK", "/run/agent", Some("/run/agent")),
            ("GIT_AUTHOR_NAME", "me", Some("me")),
            ("PATH", "sk-live", Some("sk-live")),
            ("LD_PRELOAD", "ghp_0123", Some("ghp_0123")),
            ("MAKEFILES", "sk-evil", Some("sk-evil")),
            ("GIT_EXTERNAL_DIFF", "xoxb-evil", Some("xoxb-evil")),
            ("CARGO_REGISTRY_CREDENTIAL_PROVIDER", "/tmp/evil", Some("/tmp/evil")),
            ("KEYBOARD", "us", Some("us")),
        ];
        for (name, value, expected) in cases {
            let change = shown(name, Change::Added, Some(&value.to_owned()), &no_file);
            assert_eq!(change.value.as_deref(), expected, "{name}={value}");
            assert_eq!(change.masked, expected != Some(value), "{name}={value}");
        }
        let is_file = |value: &str| value == "sk-evil";
        let change = shown("TOKEN_FILE", Change::Added, Some(&"sk-evil".to_owned()), &is_file);
        assert_eq!(change.value.as_deref(), Some("sk-evil"), "it names a file");
    }

    #[test]
    fn the_surrounding_task_does_not_leak_into_a_new_one() {
        let given = environment(&[("NOD_TOKEN", "t"), ("CLAUDECODE", "1"), ("PATH", "/bin")]);
        assert_eq!(without_leaks(&given), environment(&[("PATH", "/bin")]));
    }
}
