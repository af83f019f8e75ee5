//! How a question is put, and waited for.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::ids::{OperationId, RequestId, TaskId, Timestamp};
use crate::question::{
    DETAIL_LIMIT, DIFF_LIMIT, OnTimeout, QUESTION_LIMIT, QuestionError, Wants, fits,
};
use crate::text::is_visible;

/// A question of the calling task, or of a program that is no task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Ask {
    pub operation: OperationId,
    pub question: String,
    pub detail: Option<String>,
    /// Changes to files, as `diff -u` writes them.
    #[serde(default)]
    pub diff: Option<String>,
    #[serde(default)]
    pub wants: Wants,
    /// How long a person has, in milliseconds from the first time it was asked.
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub on_timeout: OnTimeout,
    /// How often the person is reminded, in milliseconds.
    #[serde(default)]
    pub remind_ms: Option<u64>,
    /// When to go on without an answer; the question stays open.
    #[serde(default)]
    pub resume: Option<Resume>,
}

/// Which open question is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum QuestionOf {
    Request {
        id: RequestId,
    },
    /// The oldest one of a task.
    Task {
        id: TaskId,
    },
}

/// A wait of the same asker for the answer to a question that it asked before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct AwaitAnswer {
    pub request: RequestId,
    /// When to go on without an answer once more.
    #[serde(default)]
    pub resume: Option<Resume>,
}

/// When whoever waits for an answer goes on without one, which is no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Resume {
    /// A length of time from now on, whatever the clock on the wall is set to.
    After { milliseconds: u64 },
    /// What the clock on the wall shows.
    At { at: Timestamp },
}

impl Ask {
    /// Returns a plain question for an approval, without a time limit.
    #[must_use]
    pub fn approval(operation: OperationId, question: impl Into<String>) -> Self {
        Self {
            operation,
            question: question.into(),
            detail: None,
            diff: None,
            wants: Wants::Approval,
            timeout_ms: None,
            on_timeout: OnTimeout::Deny,
            remind_ms: None,
            resume: None,
        }
    }

    /// Returns whether this can be put to a person, as far as that is known without its schema.
    pub fn check(&self) -> Result<(), QuestionError> {
        if !is_visible(&self.question) {
            return Err(QuestionError::Empty);
        }
        fits("the question", &self.question, QUESTION_LIMIT)?;
        fits("the detail", self.detail.as_deref().unwrap_or_default(), DETAIL_LIMIT)?;
        fits("the diff", self.diff.as_deref().unwrap_or_default(), DIFF_LIMIT)?;
        self.wants.check()?;
        if self.remind_ms.is_some_and(|every| every < 1_000) {
            return Err(QuestionError::RemindsTooOften);
        }
        if self.on_timeout == OnTimeout::Deny {
            return Ok(());
        }
        if self.wants == Wants::Approval {
            return Err(QuestionError::ApprovalByDefault);
        }
        if self.timeout_ms.is_none() {
            return Err(QuestionError::NoTimeout);
        }
        self.wants.default_answer().map(|_answer| ()).ok_or(QuestionError::NoDefault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Slip = fn(&mut Ask);

    #[test]
    fn only_what_can_be_shown_whole_and_answered_is_asked() {
        let ask = |change: Slip| {
            let mut ask = Ask::approval(OperationId("o".into()), "Deploy?");
            change(&mut ask);
            ask.check().map_err(|error| error.to_string())
        };
        let cases: [(Slip, &str); 8] = [
            (|ask| ask.question = "\u{202e}".into(), "empty"),
            (|ask| ask.question = "x".repeat(QUESTION_LIMIT + 1), "the question is too long"),
            (|ask| ask.detail = Some("x".repeat(DETAIL_LIMIT + 1)), "the detail is too long"),
            (|ask| ask.diff = Some("x".repeat(DIFF_LIMIT + 1)), "the diff is too long"),
            (|ask| ask.on_timeout = OnTimeout::Default, "only a person says yes"),
            (|ask| ask.remind_ms = Some(999), "once a second"),
            (
                |ask| {
                    ask.wants = Wants::Text { default: Some("x".into()) };
                    ask.on_timeout = OnTimeout::Default;
                },
                "give a timeout",
            ),
            (
                |ask| {
                    ask.wants = Wants::Text { default: None };
                    ask.on_timeout = OnTimeout::Default;
                    ask.timeout_ms = Some(1);
                },
                "there is no default",
            ),
        ];
        assert_eq!(ask(|_| {}), Ok(()));
        for (change, expected) in cases {
            let error = ask(change).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
