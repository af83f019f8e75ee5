//! The config file: what a person sets once.

mod current;
mod kinds;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use nod_core::duration;
use nod_core::guard::Guards;
use nod_core::rule::Rule;
use nod_core::schedule::DEFAULT_GROUP;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::retention::Kept;

pub(crate) use current::{ConfigError, CurrentConfig, Snapshot, Watched, check};
pub(crate) use kinds::{Kind, KindError, OnLost, OnSilence};

/// What a config file can say.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The group of a task that names none.
    pub default_group: Option<String>,
    pub groups: BTreeMap<String, Group>,
    /// The size of each named resource.
    pub resources: BTreeMap<String, NonZeroU32>,
    pub sessions: Sessions,
    pub kinds: BTreeMap<String, Kind>,
    pub cancel: Cancel,
    pub output: Output,
    pub retention: Retention,
    pub approvals: Approvals,
    /// Which commands are asked about; the first that matches counts.
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Approvals {
    /// `nod approve` and `nod deny` work in a terminal.
    pub terminal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Group {
    /// How many of its tasks may have a process at once.
    pub(crate) slots: NonZeroU32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sessions {
    /// How many tasks of one session may run at once; the others wait.
    pub cap: Option<NonZeroU32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cancel {
    /// How long each signal of the ladder may take to work, in milliseconds.
    pub grace_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Output {
    /// How much of the disk a task's log may take, in MiB; 0 for as much as there is.
    pub limit_mib: u64,
    /// How long a task that seems to ask something is silent before that is told, in
    /// milliseconds. Tests have less time than people.
    pub silence_ms: u64,
}

impl Output {
    /// Returns the limit in bytes.
    pub(crate) fn limit(&self) -> Option<u64> {
        (self.limit_mib > 0).then(|| self.limit_mib.saturating_mul(1024 * 1024))
    }
}

impl Default for Output {
    fn default() -> Self {
        Self { limit_mib: 256, silence_ms: 45_000 }
    }
}

/// What is kept of ended tasks; everything, where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retention {
    /// For how many days.
    pub days: Option<u64>,
    /// How many.
    pub tasks: Option<u64>,
    /// As many as have printed this much together, in MiB.
    pub mib: Option<u64>,
    /// How often to look, in milliseconds.
    pub every_ms: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: None, tasks: None, mib: None, every_ms: 10_000 }
    }
}

impl Retention {
    pub(crate) fn keeps_everything(&self) -> bool {
        self.days.is_none() && self.tasks.is_none() && self.mib.is_none()
    }

    /// Returns whether the oldest task may stay, which ended so many milliseconds ago.
    pub(crate) fn keeps(&self, kept: &Kept, age_ms: u64) -> bool {
        self.days.is_none_or(|days| age_ms <= days.saturating_mul(86_400_000))
            && self.tasks.is_none_or(|tasks| kept.tasks <= tasks)
            && self.mib.is_none_or(|mib| kept.bytes <= mib.saturating_mul(1024 * 1024))
    }
}

impl Default for Group {
    fn default() -> Self {
        Self { slots: NonZeroU32::new(64).expect("64 is not 0") }
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self { grace_ms: 5_000 }
    }
}

impl Config {
    /// Returns what the text says, or what is wrong with it, with the line and what is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check_kinds().map_err(|mistake| mistake.at_line(text))?;
        for (index, rule) in config.rules.iter().enumerate() {
            if let Err(error) = rule.check() {
                let what = format!("the rule `{}` cannot be used: {error}", rule.words());
                let at = rule_place(text, index, &error.field())?;
                return Err(Mistake { at, what }.at_line(text));
            }
        }
        Ok(config)
    }

    fn check_kinds(&self) -> Result<(), Mistake> {
        for (name, kind) in &self.kinds {
            let missing = match (kind.on_silence.get_ref(), &kind.gate_timeout, &kind.cwd) {
                (OnSilence::Approve, None, _) => Some("a time, expected gate_timeout = \"1h\""),
                (OnSilence::Approve, _, None) => {
                    Some("a folder, expected cwd = \"/where/it/runs\"")
                }
                (OnSilence::Approve, Some(_), Some(_)) | (OnSilence::Deny, _, _) => None,
            };
            if let Some(missing) = missing {
                let what = format!("kinds.{name}.on_silence: `approve` needs {missing}");
                return Err(Mistake { at: kind.on_silence.span().start, what });
            }
            let uses = kind.uses.get_ref().keys();
            if let Some(unknown) = uses.into_iter().find(|r| !self.resources.contains_key(*r)) {
                let what = format!(
                    "kinds.{name}.uses: no resource is named `{unknown}`, \
                     expected one of [resources]: {}",
                    listed(self.resources.keys(), "there is none")
                );
                return Err(Mistake { at: kind.uses.span().start, what });
            }
        }
        Ok(())
    }

    /// Returns what of it protects the person's say.
    pub(crate) fn guards(&self) -> Guards {
        let gated = self.kinds.iter().filter(|(_, kind)| kind.gate);
        let silent = self.kinds.iter();
        let silent = silent.filter_map(|(name, kind)| Some((name.clone(), kind.silence()?)));
        Guards {
            terminal_approvals: self.approvals.terminal,
            rules: self.rules.clone(),
            gated_kinds: gated.map(|(name, _)| name.clone()).collect(),
            silent_kinds: silent.collect(),
        }
    }

    #[must_use]
    pub(crate) fn default_group(&self) -> &str {
        self.default_group.as_deref().unwrap_or(DEFAULT_GROUP)
    }

    /// Returns the groups of the file, and the one that is always there.
    pub(crate) fn groups(&self) -> BTreeMap<String, u32> {
        let usual = |name: &str| (name.to_owned(), Group::default().slots.get());
        let mut groups = BTreeMap::from([usual(DEFAULT_GROUP), usual(self.default_group())]);
        groups.extend(self.groups.iter().map(|(name, group)| (name.clone(), group.slots.get())));
        groups
    }
}

/// Returns names for a person, or what is said where there is none.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a String>, none: &str) -> String {
    let names: Vec<_> = names.map(String::as_str).collect();
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

/// Returns which there are, for who named one that is not there.
pub(crate) fn there_are<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names = listed(names, "");
    if names.is_empty() { "there is none".to_owned() } else { format!("there are: {names}") }
}

/// What a file says that TOML allows and Nod does not.
struct Mistake {
    /// Its first byte.
    at: usize,
    what: String,
}

impl Mistake {
    fn at_line(&self, text: &str) -> String {
        let before = text.get(..self.at).unwrap_or_default();
        format!("TOML error at line {}: {}", before.matches('\n').count() + 1, self.what)
    }
}

/// Returns the first byte of what a rule says in `field`, a JSON pointer into it; of the rule
/// itself where it says nothing there.
fn rule_place(text: &str, index: usize, field: &str) -> Result<usize, String> {
    #[derive(Deserialize)]
    struct Places {
        rules: Vec<Spanned<BTreeMap<String, Spanned<IgnoredAny>>>>,
    }

    let places: Places = toml::from_str(text).map_err(|error| error.to_string())?;
    let Some(rule) = places.rules.get(index) else { return Ok(0) };
    let said = field.split('/').nth(1).and_then(|name| rule.get_ref().get(name));
    Ok(said.map_or_else(|| rule.span(), Spanned::span).start)
}

/// Reads a duration that is written as people write it.
fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = duration::parse_positive(&text).map_err(serde::de::Error::custom)?;
    Ok(Some(duration::in_milliseconds(parsed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
default_group = "work"
[groups.build]
slots = 2
[resources]
gpu = 1
[sessions]
cap = 4
[kinds.deploy]
argv = ["deploy", "--env", "{env}", "{*}"]
gate = true
timeout = "10m"
uses = { gpu = 1 }
retries = 2
backoff = "5s"
cap = 1
on_lost = "requeue"
"#;

    #[test]
    fn each_limit_of_the_retention_holds_by_itself() {
        let keeps = |text: &str, tasks, bytes, age_ms| {
            let wanted: Retention = toml::from_str(text).unwrap();
            wanted.keeps(&Kept { tasks, bytes }, age_ms)
        };
        let day = 86_400_000;
        assert!(keeps("", 1_000_000, 1 << 50, day * 1_000));
        assert!(keeps("days = 2", 9, 9, day * 2) && !keeps("days = 2", 9, 9, day * 2 + 1));
        assert!(keeps("tasks = 5", 5, 9, day) && !keeps("tasks = 5", 6, 9, day));
        assert!(keeps("mib = 1", 9, 1 << 20, 0) && !keeps("mib = 1", 9, (1 << 20) + 1, 0));
        assert!(Retention::default().keeps_everything());
    }

    #[test]
    fn what_nobody_has_set_is_as_the_manual_says() {
        let config = Config::parse("").unwrap();
        assert_eq!(config, Config::default());
        // The ladder: five seconds for SIGINT and five for SIGTERM.
        assert_eq!(config.cancel.grace_ms, 5_000);
        assert_eq!(config.output.silence_ms, 45_000);
        assert_eq!(config.output.limit(), Some(256 << 20));
        assert_eq!(config.groups(), [(DEFAULT_GROUP.to_owned(), 64)].into());
        assert_eq!((config.sessions.cap, config.default_group.as_ref()), (None, None));
        assert!(config.retention.keeps_everything() && !config.approvals.terminal);
        assert!(config.rules.is_empty() && config.kinds.is_empty());
        // A section that says nothing changes nothing.
        let sections = "[cancel]\n[output]\n[retention]\n[sessions]\n[approvals]\n";
        assert_eq!(Config::parse(sections).unwrap(), config);
    }

    #[test]
    fn all_that_can_be_said_is_read() {
        let config = Config::parse(WHOLE).unwrap();
        let groups = config.groups();
        let groups: Vec<_> = groups.iter().map(|(name, slots)| (name.as_str(), *slots)).collect();
        assert_eq!(groups, [("build", 2), ("default", 64), ("work", 64)]);
        let kind = &config.kinds["deploy"];
        assert_eq!((kind.timeout, kind.backoff), (Some(600_000), Some(5_000)));
        assert_eq!(kind.on_lost, OnLost::Requeue);
        assert!(kind.gate);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_is_expected() {
        let cases = [
            ("[groups.default]\nslotz = 2\n", "line 2", "expected `slots`"),
            ("[groups.default]\nslots = 0\n", "line 2", "nonzero"),
            ("\n\n[kinds.x]\nargv = []\n", "line 4", "at least the program"),
            ("[kinds.x]\nargv = [\"a\", \"--e={env}\"]\n", "line 2", "an element of its own"),
            ("[kinds.x]\nargv = [\"a\"]\ntimeout = \"soon\"\n", "line 3", "10m"),
            ("[kinds.x]\nargv = [\"a\"]\nuses = { tpu = 1 }\n", "line 3", "[resources]"),
            ("[kinds.x]\nargv = [\"a\"]\non_lost = \"pray\"\n", "line 3", "`requeue`"),
            ("[kinds.x]\nargv = [\"a\"]\non_silence = \"yes\"\n", "line 3", "`approve`"),
            ("[kinds.x]\ngate = true\n", "line 1", "argv"),
            ("[kinds.x]\nargv = [\"a\"]\non_silence = \"approve\"\n", "line 3", "gate_timeout"),
            (
                "[kinds.x]\nargv = [\"a\"]\ngate_timeout = \"1h\"\non_silence = \"approve\"\n",
                "line 4",
                "cwd",
            ),
            ("\n[[rules]]\nthen = \"ask_first\"\n", "line 2", "`match`"),
            ("[[rules]]\nmatch = [\"a\"]\nthen = \"ask\"\n", "line 3", "`ask_first`"),
            ("[[rules]]\nthen = \"ask_first\"\nmatch = []\n", "line 3", "1 to 64 words"),
            (
                "[[rules]]\nmatch = [\"rm\"]\nthen = \"ask_first\"\n\n\
                 [[rules]]\nthen = \"need_not_ask\"\nmatch = [\"git\", \"**\"]\n",
                "line 7",
                "says every word",
            ),
            ("[[rules]]\nthen = \"need_not_ask\"\nmatch = [\"*\"]\n", "line 3", "names a program"),
            ("[[rules]]\nmatch = [\"./a\"]\nthen = \"need_not_ask\"\n", "line 2", "its whole path"),
            (
                "rules = [\n{ match = [\"a\"], then = \"ask_first\", folder = \"b\" },\n]\n",
                "line 2",
                "an absolute path",
            ),
            ("[kinds.x\n", "line 1", "expected"),
        ];
        for (text, line, expected) in cases {
            let error = Config::parse(text).unwrap_err();
            let names_line = error.lines().next().is_some_and(|first| first.contains(line));
            assert!(names_line && error.contains(expected), "{text}: {error}");
        }
    }
}
