//! How a question was closed, as the one who asked is told.

use nod_core::ids::RequestId;
use nod_core::request::{Answer, Closure};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{exit, output};

/// Returns the end of a question whose time has passed without a word of the host.
pub(super) fn expired() -> Closure {
    Closure::Expired { at: crate::verbs::list::now() }
}

/// Prints how the question was closed and returns the code of that.
pub(super) fn tell(closure: &Closure) -> Result<u8, Failure> {
    let (json, code) = answer(closure);
    if let Some(note) = note(closure) {
        output::note(&note);
    }
    output::json(&json)?;
    Ok(code)
}

/// Prints which question stays open though its answer is waited for no longer, and returns the code
/// of that.
pub(super) fn tell_open(request: RequestId) -> Result<u8, Failure> {
    output::note(&format!(
        "request {request} is still open: `nod ask --request {request}` waits for its answer"
    ));
    output::json(&json!({ "answer": "open", "request": request }))?;
    Ok(exit::NO_ANSWER)
}

/// Prints why a question was not put to anybody and returns the code of that.
pub(super) fn tell_not_asked(why: &str) -> Result<u8, Failure> {
    output::note(why);
    output::json(&json!({ "answer": "not_asked", "reason": why }))?;
    Ok(exit::NO_ANSWER)
}

fn note(closure: &Closure) -> Option<String> {
    match closure {
        Closure::Answered { answer: Answer::Deny { reason }, comment, .. } => {
            let why = reason.as_ref().or(comment.as_ref());
            Some(why.map_or_else(|| "denied".to_owned(), |why| format!("denied: {why}")))
        }
        Closure::Answered { .. } => None,
        Closure::Expired { .. } => Some("nobody answered in time".to_owned()),
        Closure::Defaulted { .. } => {
            Some("nobody answered in time: the default is taken".to_owned())
        }
        Closure::Withdrawn { why, .. } => Some(format!("withdrawn: {why}")),
    }
}

fn answer(closure: &Closure) -> (Value, u8) {
    match closure {
        Closure::Answered { answer, comment, .. } => {
            let (mut said, code) = of_person(answer);
            if let Some(comment) = comment {
                said["comment"] = json!(comment);
            }
            (said, code)
        }
        Closure::Expired { .. } => (json!({ "answer": "expired" }), exit::EXPIRED),
        Closure::Defaulted { answer, .. } => {
            let (mut said, code) = of_person(answer);
            said["by_default"] = json!(true);
            (said, code)
        }
        Closure::Withdrawn { why, .. } => {
            (json!({ "answer": "withdrawn", "reason": why }), exit::NO_ANSWER)
        }
    }
}

fn of_person(answer: &Answer) -> (Value, u8) {
    match answer {
        Answer::Approve => (json!({ "answer": "approved" }), exit::OK),
        Answer::Deny { reason } => (json!({ "answer": "denied", "reason": reason }), exit::DENIED),
        Answer::Choice { choice } => (json!({ "answer": "choice", "choice": choice }), exit::OK),
        Answer::Text { text } => (json!({ "answer": "text", "text": text }), exit::OK),
        Answer::Form { data } => (json!({ "answer": "form", "data": data }), exit::OK),
    }
}

#[cfg(test)]
mod tests {
    use nod_core::access::{Actor, Surface};
    use nod_core::ids::Timestamp;

    use super::*;

    fn answered(answer: Answer, comment: Option<&str>) -> Closure {
        let by = Actor::Person { surface: Surface::Window };
        let comment = comment.map(str::to_owned);
        Closure::Answered { answer, comment, by, at: Timestamp(1) }
    }

    #[test]
    fn every_end_of_a_question_has_its_code_and_its_json() {
        let at = Timestamp(1);
        let deny = |reason: Option<&str>| Answer::Deny { reason: reason.map(str::to_owned) };
        let text = || Answer::Text { text: "main".into() };
        let cases = [
            (answered(Answer::Approve, None), r#"{"answer":"approved"}"#, 0),
            (
                answered(Answer::Approve, Some("at night")),
                r#"{"answer":"approved","comment":"at night"}"#,
                0,
            ),
            (
                answered(deny(Some("not today")), None),
                r#"{"answer":"denied","reason":"not today"}"#,
                1,
            ),
            (answered(deny(None), None), r#"{"answer":"denied","reason":null}"#, 1),
            (
                answered(Answer::Choice { choice: "eu".into() }, None),
                r#"{"answer":"choice","choice":"eu"}"#,
                0,
            ),
            (answered(text(), None), r#"{"answer":"text","text":"main"}"#, 0),
            (
                answered(Answer::Form { data: json!({ "n": 1 }) }, None),
                r#"{"answer":"form","data":{"n":1}}"#,
                0,
            ),
            (Closure::Expired { at }, r#"{"answer":"expired"}"#, 124),
            (
                Closure::Defaulted { answer: text(), at },
                r#"{"answer":"text","text":"main","by_default":true}"#,
                0,
            ),
            (
                Closure::Withdrawn { why: "the task ended".into(), at },
                r#"{"answer":"withdrawn","reason":"the task ended"}"#,
                75,
            ),
        ];
        for (closure, json, code) in cases {
            let (actual, actual_code) = answer(&closure);
            assert_eq!((actual.to_string().as_str(), actual_code), (json, code), "{closure:?}");
        }
    }

    #[test]
    fn the_reason_of_a_denial_is_said() {
        let reason = Answer::Deny { reason: Some("not today".into()) };
        assert_eq!(note(&answered(reason, None)).as_deref(), Some("denied: not today"));
        let none = Answer::Deny { reason: None };
        assert_eq!(note(&answered(none.clone(), Some("no"))).as_deref(), Some("denied: no"));
        assert_eq!(note(&answered(none, None)).as_deref(), Some("denied"));
        assert_eq!(note(&answered(Answer::Approve, None)), None);
    }
}
