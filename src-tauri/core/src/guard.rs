//! What the config file says of who must be asked, and what of a change to it holds at once.
//!
//! What asks for more holds at once; what asks for less only after the person
//! has confirmed it. A program that edits the file loosens nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ts_rs::TS;

use crate::duration;
use crate::rule::{Rule, Then, wild};
use crate::text::one_line;

/// How many characters of a folder, a session or a kind are shown.
const SHOWN: usize = 300;

/// What protects the person's say, as far as a config file decides it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guards {
    /// `nod approve` works in a terminal.
    #[serde(default)]
    pub terminal_approvals: bool,
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// The kinds of which each task is asked about.
    #[serde(default)]
    pub gated_kinds: BTreeSet<String>,
    /// The kinds of which a task that nobody says anything about is approved.
    #[serde(default)]
    pub silent_kinds: BTreeMap<String, Silence>,
}

/// When silence approves tasks of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// After how many milliseconds.
    pub after_ms: u64,
    /// What the kind runs: of another command nobody has said that it may.
    pub argv: Vec<String>,
    /// Where it runs that; nowhere, for what was confirmed before a kind had to say it.
    #[serde(default)]
    pub folder: String,
}

impl Silence {
    fn is_same_but_for_time(&self, other: &Self) -> bool {
        self.argv == other.argv && self.folder == other.folder
    }

    /// Returns whether the kind's command is what `argv` says: `{name}` is any word, `{*}` any number.
    #[must_use]
    pub fn speaks_of(&self, argv: &[String]) -> bool {
        let inside = |word: &str| -> Option<String> {
            Some(word.strip_prefix('{')?.strip_suffix('}')?.to_owned())
        };
        let fits = |pattern: &String, word: &String| match inside(pattern) {
            // `{{name}}` stands for `{name}` itself.
            Some(itself) if itself.starts_with('{') => itself == *word,
            Some(name) if !name.contains(char::is_whitespace) && !name.is_empty() => true,
            Some(_) | None => pattern == word,
        };
        wild(&self.argv, argv, |pattern| pattern == "{*}", fits)
    }
}

/// A change of the config file that waits for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Loosening {
    /// Names exactly this change; a confirmation carries it back.
    pub hash: String,
    /// What would be asked about less, each in words.
    pub changes: Vec<String>,
}

/// Returns the guards that hold while `wanted` is not confirmed, and what there is to confirm.
#[must_use]
pub fn settled(held: &Guards, wanted: &Guards) -> (Guards, Option<Loosening>) {
    let changes = loosened(held, wanted);
    if changes.is_empty() {
        return (wanted.clone(), None);
    }
    let is_new = |rule: &&Rule| rule.then == Then::AskFirst && !held.rules.contains(rule);
    let is_kept = |rule: &&Rule| rule.then == Then::AskFirst || wanted.rules.contains(rule);
    let added = wanted.rules.iter().filter(is_new);
    let rules = added.chain(held.rules.iter().filter(is_kept)).cloned().collect();
    let terminal_approvals = held.terminal_approvals && wanted.terminal_approvals;
    let gated_kinds = held.gated_kinds.union(&wanted.gated_kinds).cloned().collect();
    let silent_kinds = wanted.silent_kinds.iter().filter_map(|(kind, wanted)| {
        let known =
            held.silent_kinds.get(kind).filter(|known| known.is_same_but_for_time(wanted))?;
        let after_ms = known.after_ms.max(wanted.after_ms);
        Some((kind.clone(), Silence { after_ms, ..wanted.clone() }))
    });
    let silent_kinds = silent_kinds.collect();
    let strict = Guards { terminal_approvals, rules, gated_kinds, silent_kinds };
    let hash = hash(&strict, wanted);
    (strict, Some(Loosening { hash, changes }))
}

/// Returns what `wanted` asks about less than `held`, in words.
fn loosened(held: &Guards, wanted: &Guards) -> Vec<String> {
    let mut changes = Vec::new();
    if wanted.terminal_approvals && !held.terminal_approvals {
        changes.push("approvals in a terminal are turned on".to_owned());
    }
    for kind in held.gated_kinds.difference(&wanted.gated_kinds) {
        changes.push(format!("no longer asked first: tasks of kind {}", one_line(kind, SHOWN)));
    }
    for (kind, silence) in &wanted.silent_kinds {
        let known = held.silent_kinds.get(kind);
        let is_held = |known: &Silence| {
            known.is_same_but_for_time(silence) && known.after_ms <= silence.after_ms
        };
        if !known.is_some_and(is_held) {
            let (kind, argv) = (one_line(kind, SHOWN), one_line(&silence.argv.join(" "), SHOWN));
            let (folder, after) =
                (one_line(&silence.folder, SHOWN), duration::words(silence.after_ms));
            changes.push(format!(
                "approved when nobody answers for {after}: tasks of kind {kind}, \
                 which run {argv} in {folder}"
            ));
        }
    }
    let is_dropped = |rule: &&Rule| rule.then == Then::AskFirst && !wanted.rules.contains(rule);
    for rule in held.rules.iter().filter(is_dropped) {
        changes.push(format!("no longer asked first: {}", described(rule)));
    }
    let is_new = |rule: &&Rule| rule.then == Then::NeedNotAsk && !held.rules.contains(rule);
    for rule in wanted.rules.iter().filter(is_new) {
        changes.push(format!("need not be asked: {}", described(rule)));
    }
    let common = |rules: &[Rule], others: &[Rule]| -> Vec<Rule> {
        rules.iter().filter(|rule| others.contains(rule)).cloned().collect()
    };
    if common(&held.rules, &wanted.rules) != common(&wanted.rules, &held.rules) {
        changes.push("the rules are in another order".to_owned());
    }
    changes
}

/// Returns what `now` asks about more than `before`, in words.
#[must_use]
pub fn tightened(before: &Guards, now: &Guards) -> Vec<String> {
    let mut changes = Vec::new();
    if before.terminal_approvals && !now.terminal_approvals {
        changes.push("approvals in a terminal are turned off".to_owned());
    }
    for kind in now.gated_kinds.difference(&before.gated_kinds) {
        changes.push(format!("asked first: tasks of kind {}", one_line(kind, SHOWN)));
    }
    for (kind, before) in &before.silent_kinds {
        let kept = now.silent_kinds.get(kind).filter(|now| now.is_same_but_for_time(before));
        let kind = one_line(kind, SHOWN);
        match kept {
            None => changes
                .push(format!("no longer approved when nobody answers: tasks of kind {kind}")),
            Some(now) if now.after_ms > before.after_ms => changes.push(format!(
                "approved only when nobody answers for {}, no longer after {}: tasks of kind {kind}",
                duration::words(now.after_ms),
                duration::words(before.after_ms)
            )),
            Some(_) => {}
        }
    }
    for rule in &now.rules {
        if rule.then == Then::AskFirst && !before.rules.contains(rule) {
            changes.push(format!("asked first: {}", described(rule)));
        }
    }
    for rule in &before.rules {
        if rule.then == Then::NeedNotAsk && !now.rules.contains(rule) {
            changes.push(format!("no longer let pass: {}", described(rule)));
        }
    }
    changes
}

fn described(rule: &Rule) -> String {
    let mut words = rule.words();
    if let Some(folder) = &rule.folder {
        words.push_str(&format!(", in {}", one_line(folder, SHOWN)));
    }
    if let Some(session) = &rule.session {
        words.push_str(&format!(", for {}", one_line(&session.0, SHOWN)));
    }
    if let Some(kind) = &rule.kind {
        words.push_str(&format!(", of kind {}", one_line(kind, SHOWN)));
    }
    if let Some(at) = rule.expires_at {
        words.push_str(&format!(", until {}", at.utc()));
    }
    words
}

fn hash(strict: &Guards, wanted: &Guards) -> String {
    let json = serde_json::json!([strict, wanted]);
    let digest = Sha256::digest(json.to_string().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(then: Then, word: &str) -> Rule {
        Rule {
            name: None,
            argv: vec![word.into()],
            then,
            folder: None,
            session: None,
            kind: None,
            expires_at: None,
        }
    }

    fn guards(rules: &[(Then, &str)], terminal_approvals: bool) -> Guards {
        let rules = rules.iter().map(|(then, word)| rule(*then, word)).collect();
        Guards { terminal_approvals, rules, ..Guards::default() }
    }

    use Then::{AskFirst as Ask, NeedNotAsk as Pass};

    #[test]
    fn a_gate_of_a_kind_that_is_removed_holds_until_the_person_confirms_it() {
        let gated = |kinds: &[&str]| Guards {
            gated_kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            ..Guards::default()
        };
        assert_eq!(settled(&gated(&[]), &gated(&["a"])), (gated(&["a"]), None));
        let (strict, loosening) = settled(&gated(&["a"]), &gated(&["b"]));
        assert_eq!(strict, gated(&["a", "b"]));
        assert_eq!(loosening.unwrap().changes, ["no longer asked first: tasks of kind a"]);
    }

    #[test]
    fn silence_approves_a_kind_only_once_the_person_has_confirmed_it() {
        let in_folder = |after_ms: u64, word: &str, folder: &str| {
            let (argv, folder) = (vec![word.to_owned()], folder.to_owned());
            let silence = Silence { after_ms, argv, folder };
            Guards {
                silent_kinds: BTreeMap::from([("a".to_owned(), silence)]),
                ..Guards::default()
            }
        };
        let silent = |after_ms: u64, word: &str| in_folder(after_ms, word, "/srv");
        let cases = [
            (Guards::default(), silent(60_000, "x"), Guards::default()),
            (silent(60_000, "x"), in_folder(60_000, "x", "/tmp"), Guards::default()),
            (silent(60_000, "x"), silent(30_000, "x"), silent(60_000, "x")),
            (silent(60_000, "x"), silent(60_000, "y"), Guards::default()),
        ];
        for (held, wanted, expected) in cases {
            let (strict, loosening) = settled(&held, &wanted);
            assert_eq!(strict, expected);
            let changes = loosening.unwrap().changes;
            assert!(changes[0].starts_with("approved when nobody answers for"), "{changes:?}");
        }
        for wanted in [silent(60_000, "x"), silent(90_000, "x"), Guards::default()] {
            assert_eq!(settled(&silent(60_000, "x"), &wanted), (wanted, None));
        }
    }

    #[test]
    fn silence_speaks_of_the_command_of_its_kind_alone() {
        let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let argv = words(&["deploy", "--to", "{env}", "{{x}}", "{print $1}", "{*}"]);
        let silence = Silence { after_ms: 1, argv, folder: "/srv".to_owned() };
        assert!(silence.speaks_of(&words(&["deploy", "--to", "eu", "{x}", "{print $1}"])));
        assert!(silence.speaks_of(&words(&["deploy", "--to", "a", "{x}", "{print $1}", "b", "c"])));
        assert!(!silence.speaks_of(&words(&["deploy", "--to", "eu", "y", "{print $1}"])));
        assert!(!silence.speaks_of(&words(&["deploy", "--to", "eu", "{x}", "evil"])));
        assert!(!silence.speaks_of(&words(&["rm", "-rf", "/"])));
    }

    #[test]
    fn what_asks_for_more_holds_at_once() {
        let cases = [
            (guards(&[], false), guards(&[(Ask, "a")], false)),
            (guards(&[(Pass, "p"), (Ask, "a")], true), guards(&[(Ask, "b"), (Ask, "a")], false)),
            (guards(&[(Ask, "a")], true), guards(&[(Ask, "a")], true)),
        ];
        for (held, wanted) in cases {
            assert_eq!(settled(&held, &wanted), (wanted, None));
        }
    }

    #[test]
    fn what_asks_for_less_waits_and_the_strict_rules_hold() {
        let cases = [
            (guards(&[], false), guards(&[], true), guards(&[], false)),
            (guards(&[(Ask, "a")], false), guards(&[], false), guards(&[(Ask, "a")], false)),
            (guards(&[], false), guards(&[(Pass, "p")], false), guards(&[], false)),
            (
                guards(&[(Ask, "a"), (Pass, "p")], true),
                guards(&[(Ask, "b")], false),
                guards(&[(Ask, "b"), (Ask, "a")], false),
            ),
            (
                guards(&[(Ask, "a"), (Pass, "p")], false),
                guards(&[(Pass, "p"), (Ask, "a")], false),
                guards(&[(Ask, "a"), (Pass, "p")], false),
            ),
        ];
        for (held, wanted, expected) in cases {
            let (strict, loosening) = settled(&held, &wanted);
            assert_eq!(strict, expected);
            let loosening = loosening.expect("it is to be confirmed");
            assert!(!loosening.changes.is_empty());
            // What holds now is the measure of the next change.
            assert_eq!(settled(&strict, &wanted).1, Some(loosening));
        }
    }

    #[test]
    fn what_asks_for_more_is_said_in_words() {
        let mut before = guards(&[(Pass, "ls"), (Ask, "make")], true);
        let mut now = guards(&[(Ask, "make"), (Ask, "rm")], false);
        now.gated_kinds.insert("deploy".into());
        let silence = |after_ms, folder: &str| Silence {
            after_ms,
            argv: vec!["make".into()],
            folder: folder.into(),
        };
        let silent = |kinds: &[(&str, u64, &str)]| {
            let named = |(kind, after_ms, folder): &(&str, u64, &str)| {
                ((*kind).to_owned(), silence(*after_ms, folder))
            };
            kinds.iter().map(named).collect::<BTreeMap<_, _>>()
        };
        before.silent_kinds = silent(&[
            ("dropped", 60_000, "/srv"),
            ("moved", 60_000, "/srv"),
            ("slower", 60_000, "/srv"),
            ("faster", 60_000, "/srv"),
        ]);
        now.silent_kinds =
            silent(&[("moved", 60_000, "/x"), ("slower", 120_000, "/srv"), ("faster", 1, "/srv")]);
        let expected = [
            "approvals in a terminal are turned off",
            "asked first: tasks of kind deploy",
            "no longer approved when nobody answers: tasks of kind dropped",
            "no longer approved when nobody answers: tasks of kind moved",
            "approved only when nobody answers for 2m00s, no longer after 1m00s: tasks of kind slower",
            "asked first: rm",
            "no longer let pass: ls",
        ];
        assert_eq!(tightened(&before, &now), expected);
        assert_eq!(tightened(&now, &now), Vec::<String>::new());
        before.terminal_approvals = false;
        assert_eq!(tightened(&before, &before), Vec::<String>::new());
    }

    #[test]
    fn a_change_is_said_in_words() {
        let mut narrow = rule(Ask, "make");
        narrow.name = Some("builds".into());
        narrow.folder = Some("/srv".into());
        let held = Guards { rules: vec![narrow], ..Guards::default() };
        let wanted = guards(&[(Pass, "ls")], true);
        let (_, loosening) = settled(&held, &wanted);
        let expected = [
            "approvals in a terminal are turned on",
            "no longer asked first: make (“builds”), in /srv",
            "need not be asked: ls",
        ];
        assert_eq!(loosening.unwrap().changes, expected);
    }
}
