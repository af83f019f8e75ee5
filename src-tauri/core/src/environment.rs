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
const NOISE: [&str; 3] = ["_", "SHLVL", "PWD"];

/// Where the shell of a submit was before: no task has been there, and `cd -` would go there unseen.
const EARLIER_FOLDER: &str = "OLDPWD";

/// Returns `given` without what must not leak into a task.
#[must_use]
pub fn without_leaks(given: &Environment) -> Environment {
    given
        .iter()
        .filter(|(name, _)| !LEAKS.contains(&name.as_str()) && *name != EARLIER_FOLDER)
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
    let removed = |name: &&String| !task.contains_key(*name) && *name != EARLIER_FOLDER;
    for name in usual.keys().filter(removed) {
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
    if names_a_program(&name) {
        return password_in(value).unwrap_or(Secret::None);
    }
    if is_secret_name(&name) {
        return if holds_path(&name, value) {
            password_in(value).unwrap_or(Secret::None)
        } else {
            Secret::All
        };
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

/// Returns whether a name says that its value is a file or a command, be there one by now or not.
fn names_a_program(name: &str) -> bool {
    const ENDINGS: [&str; 9] =
        ["_FILE", "_FILES", "_CMD", "_COMMAND", "_SCRIPT", "_BIN", "_PATH", "_PROGRAM", "_EXE"];
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Returns whether a value may name a file, though its name says that it is a secret.
fn holds_path(name: &str, value: &str) -> bool {
    const SECRETS: [&str; 8] =
        ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "KEY", "AUTH", "PRIVATE"];
    let begins_path = value.starts_with(['/', '.', '~']);
    // A key as it is written in base64 or in a file of keys, where the name ends in what it is.
    let is_digit = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let is_mixed = value.contains(|c: char| c.is_ascii_digit())
        && value.contains(|c: char| c.is_ascii_uppercase())
        && value.contains(|c: char| c.is_ascii_lowercase());
    let is_base64 = value.len() >= 20 && is_mixed && value.chars().all(is_digit);
    let is_key = is_base64 || value.contains("-----BEGIN");
    let says_so = SECRETS.iter().any(|word| name.ends_with(word));
    value.contains('/') && (begins_path || !(is_key && says_so))
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

/// Returns the variables of a session that only its manager sets, and no login shell: which screen
/// and which bus there are, and in what language.
#[must_use]
pub fn of_session(environment: &Environment) -> Environment {
    const NAMES: [&str; 38] = [
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "DBUS_SESSION_BUS_ADDRESS",
        "SSH_AUTH_SOCK",
        "SSH_AGENT_PID",
        "GPG_AGENT_INFO",
        "GNOME_KEYRING_CONTROL",
        "SESSION_MANAGER",
        "DESKTOP_SESSION",
        "GDMSESSION",
        "GNOME_DESKTOP_SESSION_ID",
        "GNOME_SHELL_SESSION_MODE",
        "GNOME_SETUP_DISPLAY",
        "KDE_FULL_SESSION",
        "KDE_SESSION_VERSION",
        "KDE_SESSION_UID",
        "XDG_RUNTIME_DIR",
        "XDG_SESSION_ID",
        "XDG_SESSION_TYPE",
        "XDG_SESSION_CLASS",
        "XDG_SESSION_DESKTOP",
        "XDG_SESSION_PATH",
        "XDG_CURRENT_DESKTOP",
        "XDG_MENU_PREFIX",
        "XDG_SEAT",
        "XDG_SEAT_PATH",
        "XDG_VTNR",
        "XDG_GREETER_DATA_DIR",
        "I3SOCK",
        "SWAYSOCK",
        "HYPRLAND_INSTANCE_SIGNATURE",
        "WINDOWPATH",
        "LANG",
        "LANGUAGE",
        "USERNAME",
        "QT_ACCESSIBILITY",
        "QT_IM_MODULE",
    ];
    let is_of_session = |name: &str, value: &str| match name {
        // Folders that programs and settings are found in: the system's own, and no others.
        "XDG_DATA_DIRS" | "XDG_CONFIG_DIRS" => value.split(':').all(is_of_system),
        name => NAMES.contains(&name) || name.starts_with("LC_"),
    };
    let session = environment.iter().filter(|(name, value)| is_of_session(name, value));
    session.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns whether a folder is one that only the system's administrator puts something into.
fn is_of_system(folder: &str) -> bool {
    let is_below = |root: &str| {
        folder.strip_prefix(root).is_some_and(|it| it.is_empty() || it.starts_with('/'))
    };
    !folder.split('/').any(|part| part == "..")
        && ["/usr", "/etc", "/var/lib"].into_iter().any(is_below)
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
mod tests;
