//! What the command line asks for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

pub(crate) const USAGE: &str = "\
usage: nod-bench [--quick | --full] [MEASURE…]

  --quick   in less than a minute, and coarse
  --full    a million rows and a thousand running tasks
  MEASURE   only these: submit, start, end, answer, bulk, list, flood, idle, shims";

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Quick,
    Default,
    Full,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) scale: Scale,
    only: Vec<String>,
}

/// What this process is to do.
pub(crate) enum Mode {
    Measure(Options),
    /// Wait, then write the time into a file: the child of a measured task.
    Stamp {
        file: PathBuf,
        after: Duration,
    },
    /// Run a command, then write the time into a file.
    After {
        file: PathBuf,
        command: Vec<OsString>,
    },
    /// Be a host whose person approves at once, and say when.
    Person,
    Help,
}

impl Options {
    pub(crate) fn wants(&self, measure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == measure)
    }

    /// Returns the number that belongs to the scale.
    pub(crate) fn pick<T>(&self, quick: T, default: T, full: T) -> T {
        match self.scale {
            Scale::Quick => quick,
            Scale::Default => default,
            Scale::Full => full,
        }
    }
}

/// Reads the words after the program's name.
pub(crate) fn read(words: impl Iterator<Item = OsString>) -> anyhow::Result<Mode> {
    let words: Vec<OsString> = words.collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("stamp") => stamp(&words[1..]),
        Some("after") => after(&words[1..]),
        Some("person") => Ok(Mode::Person),
        Some("-h" | "--help") => Ok(Mode::Help),
        Some(_) | None => measured(words),
    }
}

fn stamp(words: &[OsString]) -> anyhow::Result<Mode> {
    let [file, rest @ ..] = words else { bail!("stamp needs a file") };
    let milliseconds = match rest.first() {
        None => 0,
        Some(word) => word.to_str().context("not a number")?.parse()?,
    };
    Ok(Mode::Stamp { file: file.into(), after: Duration::from_millis(milliseconds) })
}

fn after(words: &[OsString]) -> anyhow::Result<Mode> {
    let [file, command @ ..] = words else { bail!("after needs a file") };
    Ok(Mode::After { file: file.into(), command: command.to_vec() })
}

fn measured(words: Vec<OsString>) -> anyhow::Result<Mode> {
    let mut options = Options { scale: Scale::Default, only: vec![] };
    for word in words {
        let word = word.to_string_lossy().into_owned();
        match word.as_str() {
            "--quick" => options.scale = Scale::Quick,
            "--full" => options.scale = Scale::Full,
            name if crate::measures::ALL.iter().any(|(known, _)| *known == name) => {
                options.only.push(word);
            }
            unknown => bail!("there is no {unknown:?}\n{USAGE}"),
        }
    }
    Ok(Mode::Measure(options))
}
