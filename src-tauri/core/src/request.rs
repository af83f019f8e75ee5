//! A question to a person: what was shown, and how it was closed.
//!
//! Who asked beside the first is in `askers`, which answer is taken in `answering`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ts_rs::TS;

mod answering;
mod askers;

use crate::access::Actor;
use crate::environment::EnvironmentChange;
use crate::ids::{AttemptNumber, RequestId, TaskId, Timestamp};
pub use crate::question::{
    Answer, COMMENT_LIMIT, DETAIL_LIMIT, DIFF_LIMIT, FieldError, OnTimeout, QUESTION_LIMIT,
    QuestionError, Wants,
};

pub use answering::{ARMING_MS, AnswerError, Early, Given, check_sight};
pub use askers::{AlsoAsked, also_asked_words};

/// The key of the signal that an approval is.
pub const APPROVAL_KEY: &str = "approval";

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Request {
    pub id: RequestId,
    /// Nothing where a program asks that is no task.
    pub task: Option<TaskId>,
    pub attempt: AttemptNumber,
    pub origin: Origin,
    /// Who put the question; unknown of the oldest ones.
    pub asked_by: Option<Actor>,
    /// Who put the same question while it was open, in their order: one card stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<AlsoAsked>>")]
    pub also_asked_by: Vec<AlsoAsked>,
    pub shown: Shown,
    /// Names exactly what was shown; an answer carries it back.
    pub hash: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub on_timeout: OnTimeout,
    /// How often the person is reminded, in milliseconds.
    pub remind_ms: Option<u64>,
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
    /// A program of the same user that is no task, such as an agent.
    Program,
}

/// Everything a person sees before answering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Shown {
    pub task_name: String,
    pub question: String,
    pub detail: Option<String>,
    /// Changes to files, as `diff -u` writes them.
    #[serde(default)]
    pub diff: Option<String>,
    #[serde(default)]
    pub wants: Wants,
    /// The words that are, or will be, executed.
    pub argv: Vec<String>,
    pub cwd: String,
    /// How the task's environment differs from the host's.
    pub environment: Vec<EnvironmentChange>,
    /// What else is approved along with it, in sentences of Nod's: that programs can type into it,
    /// more tries, what goes on after its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<String>>")]
    pub terms: Vec<String>,
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

/// How a question was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Closure {
    Answered {
        answer: Answer,
        #[serde(default)]
        comment: Option<String>,
        by: Actor,
        at: Timestamp,
    },
    Expired {
        at: Timestamp,
    },
    /// Nobody answered in time, so what was given as the default is the answer.
    Defaulted {
        answer: Answer,
        at: Timestamp,
    },
    Withdrawn {
        why: String,
        at: Timestamp,
    },
}

impl Request {
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closure.is_none()
    }

    /// Returns how this question is closed when its time is up.
    #[must_use]
    pub fn unanswered(&self) -> Closure {
        let at = self.expires_at.unwrap_or(self.created_at);
        match (self.on_timeout, self.shown.wants.default_answer()) {
            (OnTimeout::Default, Some(answer)) => Closure::Defaulted { answer, at },
            (OnTimeout::Default, None) | (OnTimeout::Deny, _) => Closure::Expired { at },
        }
    }

    /// Returns when the person is reminded next, after `now`, on the beat of `since`. Where the clock
    /// was set back behind that, the beat goes on.
    #[must_use]
    pub fn next_reminder(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let every = self.remind_ms.filter(|every| *every > 0 && self.is_open())?;
        let beat = i64::try_from(every).unwrap_or(i64::MAX);
        let passed = now.0.saturating_sub(since.0).rem_euclid(beat);
        Some(now.plus(every.saturating_sub(passed.unsigned_abs())))
    }
}

impl Closure {
    /// Returns whether what was asked may be done.
    #[must_use]
    pub fn approves(&self) -> bool {
        let (Self::Answered { answer, .. } | Self::Defaulted { answer, .. }) = self else {
            return false;
        };
        *answer == Answer::Approve
    }

    /// Returns the words for a sentence such as "the request is closed: …".
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Answered { answer, by, .. } => format!("{} by {}", answer.words(), by.words()),
            Self::Expired { .. } => "it expired".to_owned(),
            Self::Defaulted { .. } => "nobody answered in time, and it has a default".to_owned(),
            Self::Withdrawn { why, .. } => format!("withdrawn, {why}"),
        }
    }

    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Answered { at, .. }
            | Self::Expired { at }
            | Self::Defaulted { at, .. }
            | Self::Withdrawn { at, .. } => *at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Surface;

    pub(super) const PERSON: Actor = Actor::Person { surface: Surface::Window };

    pub(super) fn shown() -> Shown {
        Shown {
            task_name: "deploy".into(),
            question: "Deploy to prod?".into(),
            detail: None,
            diff: None,
            wants: Wants::Approval,
            argv: vec!["deploy".into()],
            cwd: "/srv".into(),
            environment: vec![],
            terms: vec![],
        }
    }

    pub(super) fn request() -> Request {
        Request {
            id: RequestId(3),
            task: Some(TaskId(1)),
            attempt: AttemptNumber::FIRST,
            origin: Origin::Task,
            asked_by: Some(Actor::Task { id: TaskId(1), attempt: None }),
            also_asked_by: vec![],
            shown: shown(),
            hash: shown().hash("e"),
            created_at: Timestamp(100),
            expires_at: Some(Timestamp(200)),
            on_timeout: OnTimeout::Deny,
            remind_ms: None,
            closure: None,
        }
    }

    #[test]
    fn silence_is_never_an_approval() {
        let mut request = request();
        request.on_timeout = OnTimeout::Default;
        assert_eq!(request.unanswered(), Closure::Expired { at: Timestamp(200) });
        request.shown.wants = Wants::Text { default: Some("main".into()) };
        let answer = Answer::Text { text: "main".into() };
        let expected = Closure::Defaulted { answer, at: Timestamp(200) };
        assert_eq!(request.unanswered(), expected);
        request.on_timeout = OnTimeout::Deny;
        assert_eq!(request.unanswered(), Closure::Expired { at: Timestamp(200) });
    }

    #[test]
    fn reminders_keep_their_beat_whoever_was_asleep() {
        let mut request = request();
        let since = Timestamp(100);
        assert_eq!(request.next_reminder(since, Timestamp(150)), None);
        request.remind_ms = Some(10);
        for (now, expected) in [(100, 110), (110, 120), (155, 160), (99, 100), (-4_321, -4_320)] {
            let next = request.next_reminder(since, Timestamp(now));
            assert_eq!(next, Some(Timestamp(expected)), "{now}");
        }
    }

    #[test]
    fn what_was_kept_by_the_first_version_still_reads() {
        let shown = r#"{"task_name":"a","question":"b","detail":null,"argv":[],"cwd":"/","environment":[]}"#;
        assert_eq!(serde_json::from_str::<Shown>(shown).unwrap().wants, Wants::Approval);
        let closure =
            r#"{"type":"answered","answer":{"type":"approve"},"by":{"type":"host"},"at":1}"#;
        let read: Closure = serde_json::from_str(closure).unwrap();
        assert_eq!(read.at(), Timestamp(1));
    }
}
