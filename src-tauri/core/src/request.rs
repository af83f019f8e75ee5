//! A question to a person: what was shown, who may answer, and when it is too late.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ts_rs::TS;

use crate::access::Actor;
use crate::environment::EnvironmentChange;
use crate::ids::{AttemptNumber, RequestId, TaskId, Timestamp};
pub use crate::question::{
    Answer, COMMENT_LIMIT, DETAIL_LIMIT, DIFF_LIMIT, FieldError, OnTimeout, QUESTION_LIMIT,
    QuestionError, Wants,
};
use crate::text::is_visible;

/// The key of the signal that an approval is.
pub const APPROVAL_KEY: &str = "approval";

/// How long something is in sight before a person can agree to it, in milliseconds: a click or a
/// key that was already on its way does nothing.
pub const ARMING_MS: u64 = 500;

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

/// One more who put a question that was open already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct AlsoAsked {
    pub by: Actor,
    pub at: Timestamp,
    /// It went away before there was an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub gone: bool,
}

/// Returns the words for those who asked the same, such as `task 3, 2 times`; nothing where there
/// are none.
#[must_use]
pub fn also_asked_words(also: &[AlsoAsked]) -> Option<String> {
    let mut counted: Vec<(&Actor, bool, usize)> = Vec::new();
    for one in also {
        match counted.iter_mut().find(|(by, gone, _)| *by == &one.by && *gone == one.gone) {
            Some((_, _, times)) => *times += 1,
            None => counted.push((&one.by, one.gone, 1)),
        }
    }
    let words = |(by, gone, times): (&Actor, bool, usize)| {
        let times = (times > 1).then(|| format!("{times} times"));
        let parts = [Some(by.words()), times, gone.then(|| "who asks no longer".to_owned())];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    (!counted.is_empty()).then(|| counted.into_iter().map(words).collect::<Vec<_>>().join("; "))
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

/// Why an answer was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("request {request} is closed: {} at {}", closure.words(), closure.at().utc())]
    Closed { request: RequestId, closure: Box<Closure> },
    #[error("request {0} is not what was shown: look at it again")]
    Changed(RequestId),
    #[error("request {request} wants {}", wants.words())]
    OfAnotherSort { request: RequestId, wants: Box<Wants> },
    #[error("the comment is too long: {COMMENT_LIMIT} bytes at most")]
    LongComment,
}

/// Why nobody can have read what they agree to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Early {
    #[error(
        "too early: shown {}.{} s ago; look at it, then answer again",
        shown_ms / 1_000, shown_ms % 1_000 / 100
    )]
    JustShown { shown_ms: u64 },
    #[error("too early: this was not shown where the answer comes from; look at it, then answer")]
    NotShown,
}

/// Returns whether what has been in sight for `shown_ms` can be agreed to.
pub fn check_sight(shown_ms: Option<u64>, arming_ms: u64) -> Result<(), Early> {
    match shown_ms {
        Some(shown_ms) if shown_ms >= arming_ms => Ok(()),
        Some(shown_ms) => Err(Early::JustShown { shown_ms }),
        None => Err(Early::NotShown),
    }
}

/// A person's answer to what was shown, as it reaches the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub answer: Answer,
    pub comment: Option<String>,
    /// The hash of what was shown.
    pub shown: String,
    pub by: Actor,
}

impl Request {
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closure.is_none()
    }

    /// Returns how `given` closes this question.
    pub fn answered(&self, given: Given, now: Timestamp) -> Result<Closure, AnswerError> {
        if let Some(closure) = &self.closure {
            let closure = Box::new(closure.clone());
            return Err(AnswerError::Closed { request: self.id, closure });
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            let closure = Box::new(self.unanswered());
            return Err(AnswerError::Closed { request: self.id, closure });
        }
        if given.shown != self.hash {
            return Err(AnswerError::Changed(self.id));
        }
        if !self.shown.wants.takes(&given.answer) {
            let wants = Box::new(self.shown.wants.clone());
            return Err(AnswerError::OfAnotherSort { request: self.id, wants });
        }
        let Given { answer, comment, by, .. } = given;
        let comment = comment.map(|text| text.trim().to_owned()).filter(|text| is_visible(text));
        if comment.as_ref().is_some_and(|comment| comment.len() > COMMENT_LIMIT) {
            return Err(AnswerError::LongComment);
        }
        Ok(Closure::Answered { answer, comment, by, at: now })
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::access::Surface;
    use crate::environment::Change;

    const PERSON: Actor = Actor::Person { surface: Surface::Window };

    fn shown() -> Shown {
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

    fn request() -> Request {
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

    fn given(answer: Answer, shown: &str) -> Given {
        Given { answer, comment: None, shown: shown.to_owned(), by: PERSON }
    }

    #[test]
    fn an_answer_in_time_to_what_was_shown_is_taken() {
        let mut given = given(Answer::Approve, &shown().hash("e"));
        given.comment = Some(" carefully \n".into());
        let closure = request().answered(given, Timestamp(199)).unwrap();
        let expected = Closure::Answered {
            answer: Answer::Approve,
            comment: Some("carefully".into()),
            by: PERSON,
            at: Timestamp(199),
        };
        assert_eq!(closure, expected);
    }

    #[test]
    fn a_comment_of_nothing_that_can_be_seen_is_none() {
        let mut given = given(Answer::Approve, &shown().hash("e"));
        given.comment = Some("\u{200b} \u{2800}\n".into());
        let closure = request().answered(given, Timestamp(199)).unwrap();
        assert!(matches!(closure, Closure::Answered { comment: None, .. }), "{closure:?}");
    }

    #[test]
    fn a_late_answer_is_refused() {
        let given = given(Answer::Approve, &request().hash);
        let refused = request().answered(given, Timestamp(200));
        assert!(matches!(refused, Err(AnswerError::Closed { .. })), "{refused:?}");
    }

    #[test]
    fn a_second_answer_says_who_gave_the_first_and_when() {
        let mut request = request();
        let hash = request.hash.clone();
        request.closure = request.answered(given(Answer::Approve, &hash), Timestamp(150)).ok();
        let second = given(Answer::Deny { reason: None }, &hash);
        let message = request.answered(second, Timestamp(151)).unwrap_err().to_string();
        let expected = "request 3 is closed: approved by a person in the window \
                        at 1970-01-01 00:00:00 UTC";
        assert_eq!(message, expected);
    }

    /// Returns what was shown with each part of it changed in turn, by the part's name.
    ///
    /// A part that is added to [`Shown`] does not compile until it is changed here as well.
    fn each_changed() -> Vec<(&'static str, Shown)> {
        let Shown { task_name, question, detail, diff, wants, argv, cwd, environment, terms } =
            shown();
        assert_eq!((detail, diff, wants), (None, None, Wants::Approval));
        let some = |text: &str| Some(text.to_owned());
        let with = |more: EnvironmentChange| [environment.clone(), vec![more]].concat();
        let mut changed = vec![
            ("task_name", Shown { task_name: task_name + " ", ..shown() }),
            ("question", Shown { question: question + "?", ..shown() }),
            ("detail", Shown { detail: some(""), ..shown() }),
            ("detail", Shown { detail: some("a"), ..shown() }),
            ("diff", Shown { diff: some(""), ..shown() }),
            ("diff", Shown { diff: some("a"), ..shown() }),
            ("argv", Shown { argv: [argv.clone(), vec![String::new()]].concat(), ..shown() }),
            ("argv", Shown { argv: vec![argv.join(" ") + " "], ..shown() }),
            ("cwd", Shown { cwd: cwd + "/", ..shown() }),
            ("terms", Shown { terms: [terms, vec!["you can type".into()]].concat(), ..shown() }),
        ];
        let wanted = [
            Wants::Text { default: None },
            Wants::Text { default: some("a") },
            Wants::Choice { choices: vec!["a".into()], default: None },
            Wants::Choice { choices: vec!["a".into()], default: some("a") },
            Wants::Form { schema: true.into(), initial: serde_json::Value::Null },
            Wants::Form { schema: true.into(), initial: 1.into() },
        ];
        changed.extend(wanted.map(|wants| ("wants", Shown { wants, ..shown() })));
        let of_environment = each_variable().map(with);
        changed.extend(
            of_environment.map(|environment| ("environment", Shown { environment, ..shown() })),
        );
        changed
    }

    /// Returns a change of a variable, and the same with each part of it changed in turn.
    fn each_variable() -> [EnvironmentChange; 6] {
        let first = || EnvironmentChange {
            name: "A".into(),
            change: Change::Added,
            value: Some("1".into()),
            masked: false,
        };
        let EnvironmentChange { name, change: _, value, masked } = first();
        [
            first(),
            EnvironmentChange { name: name + "B", ..first() },
            EnvironmentChange { change: Change::Changed, ..first() },
            EnvironmentChange { value: None, ..first() },
            EnvironmentChange { value: value.map(|value| value + "0"), ..first() },
            EnvironmentChange { masked: !masked, ..first() },
        ]
    }

    #[test]
    fn an_answer_to_something_else_is_refused() {
        let mut others: Vec<_> =
            each_changed().iter().map(|(name, other)| (*name, other.hash("e"))).collect();
        others.push(("a secret", shown().hash("another environment")));
        others.push(("nothing", String::new()));
        for (name, hash) in &others {
            let refused = request().answered(given(Answer::Approve, hash), Timestamp(150));
            assert_eq!(refused, Err(AnswerError::Changed(RequestId(3))), "{name}");
        }
        let different: BTreeSet<_> = others.iter().map(|(_, hash)| hash).collect();
        assert_eq!(
            different.len(),
            others.len(),
            "each is another one than every other: {others:?}"
        );
    }

    #[test]
    fn what_was_not_in_sight_for_a_moment_is_not_agreed_to() {
        let early = |shown_ms| check_sight(shown_ms, 500).map_err(|early| early.to_string());
        let refused = |words: &str| Err(words.to_owned());
        let just = |ago| format!("too early: shown {ago} s ago; look at it, then answer again");
        assert_eq!(early(Some(0)), refused(&just("0.0")));
        assert_eq!(early(Some(499)), refused(&just("0.4")));
        assert_eq!(early(Some(500)), Ok(()));
        assert_eq!(early(Some(u64::MAX)), Ok(()));
        assert!(early(None).unwrap_err().contains("not shown"));
        assert_eq!(check_sight(Some(0), 0), Ok(()));
    }

    #[test]
    fn an_answer_of_another_sort_is_refused() {
        let hash = request().hash;
        let text = given(Answer::Text { text: "yes".into() }, &hash);
        let refused = request().answered(text, Timestamp(150)).unwrap_err();
        assert_eq!(refused.to_string(), "request 3 wants an approval or a denial");
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
    fn all_who_asked_the_same_are_named_and_counted() {
        let one = |by, gone| AlsoAsked { by, at: Timestamp(1), gone };
        let task = || Actor::Task { id: TaskId(3), attempt: None };
        let program = |pid| Actor::Peer { uid: 1000, pid };
        let also = [
            one(task(), false),
            one(program(7), false),
            one(task(), false),
            one(task(), true),
            one(program(8), true),
        ];
        let words = "task 3, 2 times; the command line (process 7); task 3, who asks no longer; \
                     the command line (process 8), who asks no longer";
        assert_eq!(also_asked_words(&also).as_deref(), Some(words));
        assert_eq!(also_asked_words(&[]), None);
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
