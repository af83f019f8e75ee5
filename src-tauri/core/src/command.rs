//! What a task runs: the words of its command, and how it is shown to people.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What a task executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CommandLine {
    /// A program and its arguments, handed to the system as they are.
    Argv { argv: Vec<String> },
    /// One string that the person wrote for a shell.
    Shell { line: String },
}

/// Why a command cannot be run at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("no command was given")]
    Empty,
    #[error("the command holds a NUL character, which no program can be given")]
    Nul,
}

impl CommandLine {
    /// Returns the command for the words of a command line: one word is a shell string.
    pub fn from_words(mut words: Vec<String>) -> Result<Self, CommandError> {
        let command = if words.len() == 1 {
            Self::Shell { line: words.remove(0) }
        } else {
            Self::Argv { argv: words }
        };
        command.check()?;
        Ok(command)
    }

    /// Refuses what no system call could carry out.
    pub fn check(&self) -> Result<(), CommandError> {
        let (empty, nul) = match self {
            Self::Argv { argv } => (
                argv.first().is_none_or(String::is_empty),
                argv.iter().any(|word| word.contains('\0')),
            ),
            Self::Shell { line } => (line.trim().is_empty(), line.contains('\0')),
        };
        if empty {
            return Err(CommandError::Empty);
        }
        if nul {
            return Err(CommandError::Nul);
        }
        Ok(())
    }

    /// Returns the words that are executed.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Argv { argv } => argv.clone(),
            Self::Shell { line } => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        }
    }

    /// Returns the command as a person would type it into a POSIX shell.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Argv { argv } => {
                argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
            }
            Self::Shell { line } => line.clone(),
        }
    }
}

/// Returns `word` quoted where a POSIX shell would otherwise read it differently.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn one_word_is_a_shell_string_and_several_are_not() {
        let shell = CommandLine::from_words(words(&["make && make test"])).unwrap();
        assert_eq!(shell.argv(), words(&["/bin/sh", "-c", "make && make test"]));
        let argv = CommandLine::from_words(words(&["echo", "a b", "$HOME"])).unwrap();
        assert_eq!(argv.argv(), words(&["echo", "a b", "$HOME"]));
    }

    #[test]
    fn what_cannot_be_executed_is_refused() {
        let cases = [
            (vec![], CommandError::Empty),
            (words(&["  "]), CommandError::Empty),
            (words(&["", "x"]), CommandError::Empty),
            (words(&["echo", "a\0b"]), CommandError::Nul),
        ];
        for (given, expected) in cases {
            assert_eq!(CommandLine::from_words(given.clone()), Err(expected), "{given:?}");
        }
    }

    #[test]
    fn a_displayed_command_can_be_pasted_into_a_shell() {
        let cases = [
            (words(&["cargo", "build", "--release"]), "cargo build --release"),
            (words(&["echo", "two words"]), "echo 'two words'"),
            (words(&["echo", "it's"]), r"echo 'it'\''s'"),
            (words(&["printf", ""]), "printf ''"),
            (words(&["echo", "完了"]), "echo 完了"),
        ];
        for (argv, expected) in cases {
            assert_eq!(CommandLine::Argv { argv }.display(), expected);
        }
    }
}
