//! What a desktop notification can show of a question, and which answers its buttons give.
//!
//! A notification is small, and its server cuts what does not fit without a
//! word. So Approve is a button only where all that is approved stands in it,
//! plainly and in few lines; everything else is approved in the window.

use crate::command::quoted;
use crate::environment::{Change, EnvironmentChange};
use crate::question::{Answer, Wants};
use crate::request::Shown;
use crate::text::{controls, hides, reorders};

/// The longest text, in characters, and the most lines that servers are trusted to show whole.
pub const WHOLE_LIMIT: usize = 240;
const LINES_LIMIT: usize = 8;

/// The longest name of a task in a title, in characters. Titles have one line.
const NAME_LIMIT: usize = 40;

const DETAILS: &str = "Details: ";
const CHANGES: &str = "Changes: ";
const COMMAND: &str = "Command: ";
const FOLDER: &str = "Folder: ";
const ENVIRONMENT: &str = "Environment: ";
const ALSO: &str = "Also: ";

/// Why a button of a notification does not give an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ButtonError {
    #[error("Approve in notifications is turned off: answer in Nod's window")]
    TurnedOff,
    #[error("a notification cannot show all that is approved here: answer in Nod's window")]
    NotWhole,
    #[error("a notification takes no such answer: give it in Nod's window")]
    NoButton,
}

/// Returns whether a button of a notification gives `answer` to what is shown; `is_allowed` says
/// that the person has turned Approve on.
pub fn check(answer: &Answer, shown: &Shown, is_allowed: bool) -> Result<(), ButtonError> {
    match answer {
        Answer::Deny { .. } => Ok(()),
        Answer::Approve if !is_allowed => Err(ButtonError::TurnedOff),
        Answer::Approve if whole(shown).is_none() => Err(ButtonError::NotWhole),
        Answer::Approve => Ok(()),
        Answer::Choice { .. } | Answer::Text { .. } | Answer::Form { .. } => {
            Err(ButtonError::NoButton)
        }
    }
}

/// Returns the text of a notification in which everything stands that the card shows beside its
/// title: nothing cut, nothing masked, nothing that could pass for another part. Nothing where
/// there is no such text, or the question wants more than a yes.
#[must_use]
pub fn whole(shown: &Shown) -> Option<String> {
    let Shown { task_name, question, detail, diff, wants, argv, cwd, environment, terms } = shown;
    if *wants != Wants::Approval || task_name.chars().count() > NAME_LIMIT || !is_plain(task_name) {
        return None;
    }
    let words: Vec<_> = argv.iter().map(|word| quoted(word)).collect();
    let detail = detail.as_ref().map(|detail| (DETAILS, detail.clone()));
    let diff = diff.as_ref().map(|diff| (CHANGES, diff.clone()));
    let command = [(COMMAND, words.join(" ")), (FOLDER, cwd.clone())];
    let environment = (ENVIRONMENT, changes(environment)?);
    let also = terms.iter().map(|term| (ALSO, term.clone()));
    let mut parts = vec![("", question.clone())];
    parts.extend(detail.into_iter().chain(diff).chain(command));
    parts.push(environment);
    parts.extend(also);
    if parts.len() > LINES_LIMIT || !parts.iter().all(|(_, text)| is_plain(text)) {
        return None;
    }
    let lines: Vec<_> = parts.into_iter().map(|(name, text)| format!("{name}{text}")).collect();
    let text = lines.join("\n");
    (text.chars().count() <= WHOLE_LIMIT).then_some(text)
}

/// Returns the differences of the environment; nothing where some of it is hidden.
fn changes(changes: &[EnvironmentChange]) -> Option<String> {
    if changes.is_empty() {
        return Some("no changes".to_owned());
    }
    let words = changes.iter().map(|EnvironmentChange { name, change, value, masked }| {
        let what = match change {
            Change::Added => "added",
            Change::Changed => "changed",
            Change::Removed => "removed",
        };
        let value = value.as_ref().map_or_else(String::new, |value| format!("={}", quoted(value)));
        (!masked).then(|| format!("{what} {}{value}", quoted(name)))
    });
    Some(words.collect::<Option<Vec<_>>>()?.join(", "))
}

/// Returns whether a text can stand in a line as it is, and in a server that joins lines too.
fn is_plain(text: &str) -> bool {
    let is_seen = |c: char| !controls(c) && !reorders(c) && !hides(c);
    let parts = [DETAILS, CHANGES, COMMAND, FOLDER, ENVIRONMENT, ALSO];
    text.chars().all(is_seen) && !parts.iter().any(|part| text.contains(part.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown {
        Shown {
            task_name: "デプロイ".into(),
            question: "Start this task?".into(),
            detail: None,
            diff: None,
            wants: Wants::Approval,
            argv: vec!["deploy".into(), "to <prod> & back".into()],
            cwd: "/srv/app".into(),
            environment: vec![],
            terms: vec![],
        }
    }

    fn variable(name: &str, value: Option<&str>, masked: bool) -> EnvironmentChange {
        let (change, value) = (Change::Added, value.map(str::to_owned));
        EnvironmentChange { name: name.to_owned(), change, value, masked }
    }

    #[test]
    fn everything_that_the_card_shows_stands_in_it() {
        let mut all = shown();
        all.detail = Some("A rule asks first: deploy **".into());
        all.environment = vec![
            variable("COLOUR", Some("light blue"), false),
            EnvironmentChange { change: Change::Removed, ..variable("CI", None, false) },
        ];
        all.terms = vec!["you can type into it".into()];
        let expected = "Start this task?\n\
                        Details: A rule asks first: deploy **\n\
                        Command: deploy 'to <prod> & back'\n\
                        Folder: /srv/app\n\
                        Environment: added COLOUR='light blue', removed CI\n\
                        Also: you can type into it";
        assert_eq!(whole(&all).as_deref(), Some(expected));
        assert!(whole(&shown()).unwrap().ends_with("\nEnvironment: no changes"));
    }

    #[test]
    fn what_a_notification_could_cut_hide_or_confuse_is_not_whole() {
        type Change = fn(&mut Shown);
        let cases: [(&str, Change); 15] = [
            ("a choice", |it| it.wants = Wants::Choice { choices: vec![], default: None }),
            ("a text", |it| it.wants = Wants::Text { default: None }),
            ("a long name", |it| it.task_name = "x".repeat(NAME_LIMIT + 1)),
            ("a name that turns", |it| it.task_name = "gpj\u{202e}".into()),
            ("a long word", |it| it.argv.push("x".repeat(WHOLE_LIMIT))),
            ("a word of two lines", |it| it.argv.push("a\nb".into())),
            ("a word that hides", |it| it.argv.push("a\u{200b}b".into())),
            ("a folder of two lines", |it| it.cwd = "/a\n/b".into()),
            ("a long detail", |it| it.detail = Some("x".repeat(WHOLE_LIMIT))),
            ("a detail of two lines", |it| it.detail = Some("a\nFolder: /b".into())),
            ("a detail that plays a part", |it| it.detail = Some("ok Folder: /b".into())),
            ("a diff", |it| it.diff = Some("-a\n+b\n".into())),
            ("a hidden value", |it| it.environment = vec![variable("TOKEN", None, true)]),
            ("a partly hidden value", |it| {
                it.environment = vec![variable("URL", Some("https://••••@a"), true)];
            }),
            ("many terms", |it| it.terms = vec!["x".into(); LINES_LIMIT]),
        ];
        for (name, change) in cases {
            let mut shown = shown();
            assert!(whole(&shown).is_some());
            change(&mut shown);
            assert_eq!(whole(&shown), None, "{name}");
            assert_eq!(check(&Answer::Deny { reason: None }, &shown, false), Ok(()), "{name}");
            assert_eq!(check(&Answer::Approve, &shown, true), Err(ButtonError::NotWhole), "{name}");
        }
    }

    #[test]
    fn a_button_says_no_and_where_the_person_wants_it_yes() {
        let choice = Answer::Choice { choice: "a".into() };
        let text = Answer::Text { text: "a".into() };
        let form = Answer::Form { data: serde_json::json!({}) };
        assert_eq!(check(&Answer::Approve, &shown(), false), Err(ButtonError::TurnedOff));
        assert_eq!(check(&Answer::Approve, &shown(), true), Ok(()));
        assert_eq!(check(&Answer::Deny { reason: None }, &shown(), false), Ok(()));
        for answer in [choice, text, form] {
            assert_eq!(check(&answer, &shown(), true), Err(ButtonError::NoButton));
        }
    }
}
