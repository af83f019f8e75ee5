//! What is shown of variables, and what is hidden.

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
    let names: Vec<_> =
        changes(&usual, &given, &given, &no_file).into_iter().map(|change| change.name).collect();
    assert_eq!(names, ["CLAUDECODE", "LANG", "PWD"]);
    let task = environment(&[("LANG", "C"), ("AAA", "1"), ("ZZZ", "2")]);
    let given = environment(&[("ZZZ", "2")]);
    let names: Vec<_> =
        changes(&usual, &task, &given, &no_file).into_iter().map(|change| change.name).collect();
    assert_eq!(names, ["ZZZ", "AAA"], "what was given by name comes first");
}

fn no_file(_: &str) -> bool {
    false
}

#[test]
fn secrets_are_known_by_name_or_by_value_and_nothing_hides_behind_them() {
    let cases = [
        ("GITHUB_TOKEN", "x", None),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None),
        ("AWS_SECRET_ACCESS_KEY", "ab1/b", Some("ab1/b")),
        ("MY_PRIVATE_KEY", "-----BEGIN KEY-----\nab/cd", None),
        ("MY_PRIVATE_KEY", "./-----BEGIN", Some("./-----BEGIN")),
        ("ANSIBLE_VAULT_PASSWORD_FILE", "vault", Some("vault")),
        ("GOOGLE_APPLICATION_CREDENTIALS", "keys/x.json", Some("keys/x.json")),
        ("AWS_SHARED_CREDENTIALS_FILE", "/tmp/x", Some("/tmp/x")),
        ("VAULT_AUTH_SCRIPT", "evil", Some("evil")),
        ("MY_AUTH_CMD", "evil --now", Some("evil --now")),
        ("PRIVATE_BIN", "evil", Some("evil")),
        ("TOKEN_PATH", "https://me:hunter2@host/x", Some("https://me:••••@host/x")),
        ("SECRET_URL", "https://me:hunter2@host/x", Some("https://me:••••@host/x")),
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

#[test]
fn a_folder_of_before_comes_along_only_where_it_is_given() {
    let given = environment(&[("OLDPWD", "/etc"), ("PATH", "/bin")]);
    assert_eq!(without_leaks(&given), environment(&[("PATH", "/bin")]));
    let named = environment(&[("OLDPWD", "/etc")]);
    let changes = changes(&Environment::new(), &named, &named, &no_file);
    assert_eq!(changes[0].value.as_deref(), Some("/etc"));
    assert_eq!(redirecting(&changes).count(), 1);
}

#[test]
fn what_only_a_session_says_decides_no_program() {
    let session = environment(&[
        ("DISPLAY", ":1"),
        ("LC_TIME", "C"),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1/bus"),
        ("XDG_DATA_DIRS", "/usr/share/gnome:/usr/local/share/:/var/lib/snapd/desktop"),
    ]);
    let mut all = session.clone();
    all.extend(environment(&[
        ("PATH", "/tmp/evil"),
        ("GIT_SSH_COMMAND", "/tmp/evil"),
        ("XDG_CONFIG_HOME", "/tmp/evil"),
        ("XDG_CONFIG_DIRS", "/etc/xdg:/tmp/evil"),
    ]));
    assert_eq!(of_session(&all), session);
    let hidden = environment(&[("XDG_DATA_DIRS", "/usr/../tmp/evil")]);
    assert_eq!(of_session(&hidden), Environment::new());
}
