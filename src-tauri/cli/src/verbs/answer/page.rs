//! A question as a terminal shows it: every line says which row it is of, so that nothing in a text
//! can pass for a row of Nod's own.

use std::io;

use nod_core::command::CommandLine;
use nod_core::environment::{Change, EnvironmentChange};
use nod_core::request::{Request, also_asked_words};
use unicode_width::UnicodeWidthChar as _;

use crate::output;
use crate::text::neutralised;

/// How wide the names of the rows are, and what follows them.
const NAMES: usize = 9;
const RULE: &str = " │ ";

/// The narrowest text that is wrapped, in columns: a terminal that is narrower wraps by itself.
const LEAST: usize = 20;

/// Shows a question, one screen after the other. What the answer is about stands at the end.
pub(super) fn show(request: &Request) -> io::Result<()> {
    let (columns, rows) = output::screen();
    let lines = lines(request, columns);
    let screen = usize::from(rows).saturating_sub(2).max(1);
    let mut screens = lines.chunks(screen).peekable();
    while let Some(lines) = screens.next() {
        output::text(&format!("{}\n", lines.join("\n")))?;
        if screens.peek().is_some() {
            output::text("Press Return for more: ")?;
            if io::stdin().read_line(&mut String::new())? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal is gone"));
            }
        }
    }
    Ok(())
}

/// Returns the lines that a question takes on a screen of so many columns.
pub(super) fn lines(request: &Request, columns: u16) -> Vec<String> {
    let width = usize::from(columns).saturating_sub(NAMES + RULE.chars().count()).max(LEAST);
    let mut lines = Vec::new();
    let mut row = |name: &str, value: &str| {
        let pieces = wrapped(&neutralised(value), width);
        let named = std::iter::once(name).chain(std::iter::repeat(""));
        lines.extend(named.zip(pieces).map(|(name, text)| format!("{name:<NAMES$}{RULE}{text}")));
    };
    let shown = &request.shown;
    row("request", &request.id.to_string());
    row("for", &shown.task_name);
    if let Some(asker) = &request.asked_by {
        row("asked by", &asker.words());
    }
    if let Some(also) = also_asked_words(&request.also_asked_by) {
        row("and by", &also);
    }
    for (name, text) in [("diff", &shown.diff), ("detail", &shown.detail)] {
        for line in text.iter().flat_map(|text| text.lines()) {
            row(name, line);
        }
    }
    row("question", &shown.question);
    for change in &shown.environment {
        row("variable", &change_words(change));
    }
    for term in &shown.terms {
        row("also", term);
    }
    row("folder", &shown.cwd);
    row("command", &CommandLine::Argv { argv: shown.argv.clone() }.display());
    if let Some(at) = request.expires_at {
        row("until", &at.utc());
    }
    lines
}

/// Returns a text in pieces that no terminal breaks: each sign counts as the widest it is anywhere.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        let width = c.width_cjk().unwrap_or(1).max(1);
        if used + width > columns {
            pieces.push(String::new());
            used = 0;
        }
        used += width;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

fn change_words(change: &EnvironmentChange) -> String {
    match (change.change, &change.value, change.masked) {
        (Change::Removed, _, _) => format!("{} is not set", change.name),
        (_, None, true) => format!("{}=••••••", change.name),
        (_, value, _) => format!("{}={}", change.name, value.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use nod_core::access::Actor;
    use nod_core::ids::{AttemptNumber, RequestId, TaskId, Timestamp};
    use nod_core::request::{AlsoAsked, OnTimeout, Origin, Shown, Wants};

    use super::*;
    use crate::text::width;

    fn request() -> Request {
        let variable = EnvironmentChange {
            name: "API_KEY".into(),
            change: Change::Added,
            value: None,
            masked: true,
        };
        Request {
            id: RequestId(3),
            task: Some(TaskId(42)),
            attempt: AttemptNumber::FIRST,
            origin: Origin::Task,
            asked_by: Some(Actor::Task { id: TaskId(42), attempt: None }),
            also_asked_by: vec![AlsoAsked {
                extends_ms: 0,
                by: Actor::Peer { uid: 1000, pid: 7 },
                at: Timestamp(1),
                gone: false,
            }],
            shown: Shown {
                task_name: "deploy".into(),
                question: "Deploy?\x1b[2J\nfolder    /safe".into(),
                detail: Some("one\nrequest   4\u{202e}".into()),
                diff: Some("-a\n+b".into()),
                wants: Wants::Approval,
                argv: vec!["deploy".into(), "to prod".into()],
                cwd: "/srv".into(),
                environment: vec![variable],
                terms: vec!["you can type into it".into()],
            },
            hash: String::new(),
            created_at: Timestamp(0),
            expires_at: Some(Timestamp(60_000)),
            on_timeout: OnTimeout::Deny,
            remind_ms: None,
            closure: None,
        }
    }

    #[test]
    fn all_of_a_question_is_shown_and_none_of_it_passes_for_another_row() {
        insta::assert_snapshot!(lines(&request(), 80).join("\n"));
    }

    #[test]
    fn a_text_that_is_blown_up_to_the_width_of_the_screen_begins_no_line_of_its_own() {
        let mut request = request();
        // What the screen would break into a second line that looks like Nod's.
        let fill = |c: char, width: usize| c.to_string().repeat((80 - NAMES - 3) / width);
        for filling in
            [fill(' ', 1), fill('宽', 2), fill('\u{300}', 1), fill('α', 1), fill('👩', 2)]
        {
            for lie in ["command   │ ls -l", "command   ls -l"] {
                let text = format!("{filling}{lie}");
                request.shown.task_name.clone_from(&text);
                request.shown.question.clone_from(&text);
                request.shown.detail = Some(text);
                let lines = lines(&request, 80);
                assert!(lines.iter().all(|line| width(line) <= 80), "{lines:#?}");
                let commands = lines.iter().filter(|line| line.starts_with("command"));
                assert_eq!(commands.collect::<Vec<_>>(), ["command   │ deploy 'to prod'"]);
                let named = lines.iter().all(|line| line.chars().nth(NAMES + 1) == Some('│'));
                assert!(named, "{lines:#?}");
            }
        }
    }
}
