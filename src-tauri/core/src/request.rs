//! A question to a person: what was shown, who may answer, and when it is too late.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ts_rs::TS;

use crate::access::Actor;
use crate::environment::EnvironmentChange;
use crate::ids::{AttemptNumber, RequestId, TaskId, Timestamp};

/// The key of the signal that an approval is.
pub const APPROVAL_KEY: &str = "approval";

/// The longest question and the longest detail, in bytes.
pub const QUESTION_LIMIT: usize = 2_000;
pub const DETAIL_LIMIT: usize = 64 * 1024;

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Request {
    pub id: RequestId,
    pub task: TaskId,
    pub attempt: AttemptNumber,
    pub origin: Origin,
    pub shown: Shown,
    /// Names exactly what was shown; an answer carries it back.
    pub hash: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// Nothing while the question is open.
    pub closure: Option<Closure>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nod, before the task's process exists.
    Gate,
    /// The running task.
    Task,
}

/// Everything a person sees before answering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Shown {
    pub task_name: String,
    pub question: String,
    pub detail: Option<String>,
    /// The words that are, or will be, executed.
    pub argv: Vec<String>,
    pub cwd: String,
    /// How the task's environment differs from the host's.
    pub environment: Vec<EnvironmentChange>,
}

impl Shown {
    /// Returns the name of exactly this content.
    ///
    /// `environment_digest` stands for the values that are masked on the
    /// screen, so that a changed secret is a changed request too.
    #[must_use]
    pub fn hash(&self, environment_digest: &str) -> String {
        let json = serde_json::json!({ "shown": self, "environment": environment_digest });
        let digest = Sha256::digest(json.to_string().as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    Approve,
    Deny { reason: Option<String> },
}

/// How a question was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Closure {
    Answered { answer: Answer, by: Actor, at: Timestamp },
    Expired { at: Timestamp },
    Withdrawn { why: String, at: Timestamp },
}

/// Why an answer was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("request {request} is closed: {}", closure.words())]
    Closed { request: RequestId, closure: Closure },
    #[error("request {0} is not what was shown: look at it again")]
    Changed(RequestId),
}

impl Request {
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closure.is_none()
    }

    /// Returns how `answer` closes this question.
    pub fn answered(
        &self,
        answer: Answer,
        shown_hash: &str,
        by: Actor,
        now: Timestamp,
    ) -> Result<Closure, AnswerError> {
        if let Some(closure) = &self.closure {
            return Err(AnswerError::Closed { request: self.id, closure: closure.clone() });
        }
        if let Some(at) = self.expires_at.filter(|at| *at <= now) {
            let closure = Closure::Expired { at };
            return Err(AnswerError::Closed { request: self.id, closure });
        }
        if shown_hash != self.hash {
            return Err(AnswerError::Changed(self.id));
        }
        Ok(Closure::Answered { answer, by, at: now })
    }
}

impl Closure {
    /// Returns the words for a sentence such as "the request is closed: …".
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Answered { answer: Answer::Approve, by, .. } => {
                format!("approved by {}", by.words())
            }
            Self::Answered { answer: Answer::Deny { .. }, by, .. } => {
                format!("denied by {}", by.words())
            }
            Self::Expired { .. } => "it expired".to_owned(),
            Self::Withdrawn { why, .. } => format!("withdrawn, {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Surface;

    const PERSON: Actor = Actor::Person { surface: Surface::Window };

    fn shown() -> Shown {
        Shown {
            task_name: "deploy".into(),
            question: "Deploy to prod?".into(),
            detail: None,
            argv: vec!["deploy".into()],
            cwd: "/srv".into(),
            environment: vec![],
        }
    }

    fn request() -> Request {
        Request {
            id: RequestId(3),
            task: TaskId(1),
            attempt: AttemptNumber::FIRST,
            origin: Origin::Task,
            shown: shown(),
            hash: shown().hash("e"),
            created_at: Timestamp(100),
            expires_at: Some(Timestamp(200)),
            closure: None,
        }
    }

    #[test]
    fn an_answer_in_time_to_what_was_shown_is_taken() {
        let closure = request()
            .answered(Answer::Approve, &shown().hash("e"), PERSON, Timestamp(199))
            .unwrap();
        let expected =
            Closure::Answered { answer: Answer::Approve, by: PERSON, at: Timestamp(199) };
        assert_eq!(closure, expected);
    }

    #[test]
    fn a_late_answer_is_refused() {
        let refused = request().answered(Answer::Approve, &request().hash, PERSON, Timestamp(200));
        assert!(matches!(refused, Err(AnswerError::Closed { .. })), "{refused:?}");
    }

    #[test]
    fn a_second_answer_says_how_the_first_was() {
        let mut request = request();
        let hash = request.hash.clone();
        request.closure = request.answered(Answer::Approve, &hash, PERSON, Timestamp(150)).ok();
        let second = request.answered(Answer::Deny { reason: None }, &hash, PERSON, Timestamp(151));
        let message = second.unwrap_err().to_string();
        assert_eq!(message, "request 3 is closed: approved by a person in the window");
    }

    #[test]
    fn an_answer_to_something_else_is_refused() {
        let mut other = shown();
        other.argv.push("--force".into());
        for hash in [other.hash("e"), shown().hash("another environment"), String::new()] {
            let refused = request().answered(Answer::Approve, &hash, PERSON, Timestamp(150));
            assert_eq!(refused, Err(AnswerError::Changed(RequestId(3))));
        }
    }
}
