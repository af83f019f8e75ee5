//! The config file: what a person sets once.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use nod_core::guard::Guards;
use nod_core::rule::{Rule, RuleError};
use serde::Deserialize;

use crate::retention::Kept;

/// What a config file can say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub groups: Groups,
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

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Groups {
    pub default: Group,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Group {
    /// How many of its tasks may have a process at once.
    pub(crate) slots: NonZeroUsize,
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
        Self { slots: NonZeroUsize::new(64).expect("64 is not 0") }
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self { grace_ms: 5_000 }
    }
}

/// Why a config file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has an error: the rule `{rule}` cannot be used: {source}", path.display())]
    Rule { path: PathBuf, rule: String, source: RuleError },
    #[error("{} has an error: {source}", path.display())]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
}

impl Config {
    /// Returns what the file says; the defaults where there is none.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        let config: Self = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        for rule in &config.rules {
            rule.check().map_err(|source| ConfigError::Rule {
                path: path.to_owned(),
                rule: rule.words(),
                source,
            })?;
        }
        Ok(config)
    }

    /// Returns what of it protects the person's say.
    pub(crate) fn guards(&self) -> Guards {
        Guards { terminal_approvals: self.approvals.terminal, rules: self.rules.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_not_set_has_a_default_and_a_mistake_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(Config::load(&path).unwrap(), Config::default());
        fs::write(&path, "[groups.default]\nslots = 2\n").unwrap();
        assert_eq!(Config::load(&path).unwrap().groups.default.slots.get(), 2);
        fs::write(&path, "[groups.default]\nslotz = 2\n").unwrap();
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(error.contains("slotz") && error.contains("line 2"), "{error}");
    }
}
