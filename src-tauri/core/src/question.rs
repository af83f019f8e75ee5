//! What sort of answer a question wants, and whether an answer is of that sort.
//!
//! Whether the data of a form obeys its schema is for the engine to find out:
//! that needs a validator.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use crate::text::{as_seen, is_visible};

/// The longest question, detail, diff, comment or text of an answer, in bytes.
pub const QUESTION_LIMIT: usize = 2_000;
pub const DETAIL_LIMIT: usize = 64 * 1024;
pub const DIFF_LIMIT: usize = 128 * 1024;
pub const COMMENT_LIMIT: usize = 2_000;
pub const TEXT_LIMIT: usize = 16 * 1024;

/// How many choices there may be, and how long one may be, in bytes.
pub const CHOICES_LIMIT: usize = 50;
pub const CHOICE_LIMIT: usize = 200;

/// How large a form's schema may be and the data that it takes, in bytes of JSON.
pub const SCHEMA_LIMIT: usize = 32 * 1024;
pub const DATA_LIMIT: usize = 64 * 1024;
/// How deep both may be nested.
pub const DEPTH_LIMIT: usize = 16;

/// What sort of answer is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Wants {
    /// Yes or no.
    #[default]
    Approval,
    /// One of these.
    Choice {
        choices: Vec<String>,
        #[serde(default)]
        default: Option<String>,
    },
    /// Words of the person's own.
    Text {
        #[serde(default)]
        default: Option<String>,
    },
    /// Data that a schema (JSON Schema 2020-12) describes.
    Form {
        #[ts(type = "unknown")]
        schema: Value,
        /// What the form holds at first. Worked out by the host, whatever a caller says.
        #[ts(type = "unknown")]
        #[serde(default)]
        initial: Value,
    },
}

/// What becomes of a question that nobody answers in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// Nobody said yes.
    #[default]
    Deny,
    /// What was given as the default is the answer. Never for an approval.
    Default,
}

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    Approve,
    /// No to an approval; to every other question that it is not going to be answered.
    Deny {
        reason: Option<String>,
    },
    Choice {
        choice: String,
    },
    Text {
        text: String,
    },
    Form {
        #[ts(type = "unknown")]
        data: Value,
    },
}

/// What is wrong with one field of a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the data, empty for all of it.
    pub field: String,
    pub message: String,
}

/// Why a question cannot be put.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error("the question is empty: say what is to be decided")]
    Empty,
    #[error("{what} is too long: {limit} bytes at most")]
    TooLong { what: &'static str, limit: usize },
    #[error("there is nothing to choose from: give 1 to {CHOICES_LIMIT} choices")]
    NoChoices,
    #[error("the choices must look different, and each be words that can be seen")]
    BadChoices,
    #[error("the default `{0}` is none of the choices")]
    StrangeDefault(String),
    #[error("an approval has no default: only a person says yes")]
    ApprovalByDefault,
    #[error("there is no default to fall back on: give one, or leave `default` out")]
    NoDefault,
    #[error("a default needs a time after which it is taken: give a timeout")]
    NoTimeout,
    #[error("a reminder comes once a second at the most")]
    RemindsTooOften,
}

impl Wants {
    /// Returns whether these choices or this default can be shown at all.
    pub fn check(&self) -> Result<(), QuestionError> {
        match self {
            Self::Approval | Self::Form { .. } => Ok(()),
            Self::Choice { choices, default } => check_choices(choices, default.as_deref()),
            Self::Text { default } => {
                fits("the default", default.as_deref().unwrap_or_default(), TEXT_LIMIT)
            }
        }
    }

    /// Returns what stands for an answer where nobody gives one.
    #[must_use]
    pub fn default_answer(&self) -> Option<Answer> {
        match self {
            Self::Approval => None,
            Self::Choice { default, .. } => default.clone().map(|choice| Answer::Choice { choice }),
            Self::Text { default } => default.clone().map(|text| Answer::Text { text }),
            Self::Form { initial, .. } => Some(Answer::Form { data: initial.clone() }),
        }
    }

    /// Returns whether `answer` is of the sort that is wanted.
    #[must_use]
    pub fn takes(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (_, Answer::Deny { reason }) => {
                reason.as_ref().is_none_or(|reason| reason.len() <= COMMENT_LIMIT)
            }
            (Self::Approval, Answer::Approve) | (Self::Form { .. }, Answer::Form { .. }) => true,
            (Self::Choice { choices, .. }, Answer::Choice { choice }) => choices.contains(choice),
            (Self::Text { .. }, Answer::Text { text }) => text.len() <= TEXT_LIMIT,
            (
                Self::Approval | Self::Choice { .. } | Self::Text { .. } | Self::Form { .. },
                Answer::Approve | Answer::Choice { .. } | Answer::Text { .. } | Answer::Form { .. },
            ) => false,
        }
    }

    /// Returns what a person is to do, for a sentence such as "give …".
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::Approval => "an approval or a denial",
            Self::Choice { .. } => "one of its choices",
            Self::Text { .. } => "a text",
            Self::Form { .. } => "the data of its form",
        }
    }
}

fn check_choices(choices: &[String], default: Option<&str>) -> Result<(), QuestionError> {
    if choices.is_empty() || choices.len() > CHOICES_LIMIT {
        return Err(QuestionError::NoChoices);
    }
    let mut seen = BTreeSet::new();
    for choice in choices {
        fits("a choice", choice, CHOICE_LIMIT)?;
        if !is_visible(choice) || !seen.insert(as_seen(choice)) {
            return Err(QuestionError::BadChoices);
        }
    }
    match default {
        Some(strange) if choices.iter().all(|choice| choice != strange) => {
            Err(QuestionError::StrangeDefault(strange.to_owned()))
        }
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn fits(what: &'static str, text: &str, limit: usize) -> Result<(), QuestionError> {
    if text.len() > limit { Err(QuestionError::TooLong { what, limit }) } else { Ok(()) }
}

impl Answer {
    /// Returns the words for a sentence such as "… by a person in the window".
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Deny { .. } => "denied",
            Self::Choice { .. } | Self::Text { .. } | Self::Form { .. } => "answered",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn choice(default: Option<&str>) -> Wants {
        let choices = ["eu", "us"].map(str::to_owned).to_vec();
        Wants::Choice { choices, default: default.map(str::to_owned) }
    }

    #[test]
    fn a_question_takes_answers_of_its_own_sort_and_denials() {
        let form = Wants::Form { schema: json!({}), initial: Value::Null };
        let wants = [Wants::Approval, choice(None), Wants::Text { default: None }, form];
        let answers = [
            Answer::Approve,
            Answer::Choice { choice: "eu".into() },
            Answer::Text { text: String::new() },
            Answer::Form { data: json!({}) },
        ];
        for (n, wants) in wants.iter().enumerate() {
            for (m, answer) in answers.iter().enumerate() {
                assert_eq!(wants.takes(answer), n == m, "{wants:?} {answer:?}");
            }
            assert!(wants.takes(&Answer::Deny { reason: None }));
            let reason = Some("x".repeat(COMMENT_LIMIT + 1));
            assert!(!wants.takes(&Answer::Deny { reason }));
        }
        assert!(!choice(None).takes(&Answer::Choice { choice: "moon".into() }));
        let long = Answer::Text { text: "x".repeat(TEXT_LIMIT + 1) };
        assert!(!Wants::Text { default: None }.takes(&long));
    }

    #[test]
    fn nothing_stands_for_an_approval() {
        assert_eq!(Wants::Approval.default_answer(), None);
        assert_eq!(choice(None).default_answer(), None);
        let expected = Answer::Choice { choice: "us".into() };
        assert_eq!(choice(Some("us")).default_answer(), Some(expected));
    }

    #[test]
    fn choices_can_be_told_apart() {
        let choices = |all: &[&str], default: Option<&str>| {
            let choices = all.iter().map(|choice| (*choice).to_owned()).collect();
            Wants::Choice { choices, default: default.map(str::to_owned) }.check()
        };
        assert_eq!(choices(&["a", "b"], Some("b")), Ok(()));
        assert_eq!(choices(&[], None), Err(QuestionError::NoChoices));
        assert_eq!(choices(&["a"; 51], None), Err(QuestionError::NoChoices));
        assert_eq!(choices(&["a", "a"], None), Err(QuestionError::BadChoices));
        for alike in ["\u{202e}", "\u{3164}", "a ", "a\u{fe0f}", "\u{2800}a"] {
            assert_eq!(choices(&["a", alike], None), Err(QuestionError::BadChoices));
        }
        assert_eq!(choices(&["a"], Some("c")), Err(QuestionError::StrangeDefault("c".into())));
        let long = "x".repeat(CHOICE_LIMIT + 1);
        assert!(matches!(choices(&[&long], None), Err(QuestionError::TooLong { .. })));
    }
}
