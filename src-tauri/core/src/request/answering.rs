//! Which answer is taken: one in time, of the right sort, to exactly what was in sight for long enough.

use super::{Closure, Request, Wants};
use crate::access::Actor;
use crate::ids::{RequestId, Timestamp};
use crate::question::{Answer, COMMENT_LIMIT};
use crate::text::is_visible;

/// How long something is in sight before a person can agree to it, in milliseconds: a click or a
/// key that was already on its way does nothing.
pub const ARMING_MS: u64 = 500;

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
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Shown;
    use super::super::tests::{PERSON, request, shown};
    use super::*;
    use crate::environment::{Change, EnvironmentChange};

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
}
