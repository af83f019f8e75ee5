//! `nod audit`: who decided what, from where, and on what they had been shown.

use std::fmt::Write as _;

use clap::Args;
use nod_core::command::CommandLine;
use nod_core::ids::TaskId;
use nod_core::protocol::{AuditQuery, AuditRow, AuditWhat, Call, Reply};
use nod_core::request::{Answer, also_asked_words};

use crate::failure::Failure;
use crate::host::Host;
use crate::text::neutralised;
use crate::{exit, output};

/// Show who answered what, newest first
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of a task; everything without one
    #[arg(value_parser = super::task_id)]
    id: Option<TaskId>,
    /// How many rows at the most
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Print JSON, with all that was shown
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    let mut query = AuditQuery { task: arguments.id, ..AuditQuery::default() };
    let mut left = arguments.limit;
    let mut rows = Vec::new();
    while left > 0 {
        query.limit = Some(left);
        let reply = host.call(&Call::Audit(query.clone()))?;
        let Reply::Audit(page) = reply else { return Err(Failure::unexpected(&reply)) };
        left = left.saturating_sub(u32::try_from(page.rows.len()).unwrap_or(u32::MAX));
        rows.extend(page.rows);
        query.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    if arguments.json {
        output::json(&rows)?;
    } else {
        output::text(&render(&rows))?;
    }
    Ok(exit::OK)
}

fn render(rows: &[AuditRow]) -> String {
    let mut text = String::new();
    for row in rows {
        writeln!(text, "{}", neutralised(&words(row))).expect("a string takes any text");
    }
    text
}

fn words(row: &AuditRow) -> String {
    let mut words = format!("{}  {}", row.at.utc(), what(row));
    let question = row.shown.as_ref().map(|shown| quoted(&shown.question));
    let argv = row.shown.as_ref().map(|shown| shown.argv.clone()).filter(|argv| !argv.is_empty());
    let command = argv.map(|argv| CommandLine::Argv { argv }.display());
    let parts = [
        row.task.map(|task| format!("task {task}")),
        row.request.map(|request| format!("request {}", request.0)),
        question,
        command.map(|command| format!("command {}", quoted(&command))),
        row.asked_by.as_ref().map(|asker| format!("asked by {}", asker.words())),
        also_asked_words(&row.also_asked_by).map(|also| format!("and also by {also}")),
        row.from.as_ref().map(|from| format!("from {}", quoted(from))),
        row.comment.as_ref().map(|comment| format!("comment {}", quoted(comment))),
        row.detail.as_deref().map(quoted),
    ];
    for part in parts.into_iter().flatten() {
        words.push_str(", ");
        words.push_str(&part);
    }
    words
}

/// Returns a text of somebody else's so that nobody takes a part of it for words of Nod's.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('“', "\\“").replace('”', "\\”");
    format!("“{}”", text.replace('\n', "\\n"))
}

/// Returns what was answered beside yes and no, or why not.
fn answer_words(row: &AuditRow) -> String {
    let words = match &row.answer {
        None | Some(Answer::Approve | Answer::Deny { reason: None }) => return String::new(),
        Some(Answer::Deny { reason: Some(text) } | Answer::Text { text }) => quoted(text),
        Some(Answer::Choice { choice }) => quoted(choice),
        Some(Answer::Form { data }) => quoted(&data.to_string()),
    };
    format!(": {words}")
}

fn what(row: &AuditRow) -> String {
    let by = row.actor.words();
    let (answered, an_answer) = match &row.answer {
        Some(Answer::Approve) => ("approved", "an approval"),
        Some(Answer::Deny { .. }) => ("denied", "a denial"),
        Some(_) | None => ("answered", "an answer"),
    };
    match row.what {
        AuditWhat::Answered => format!("{answered} by {by}{}", answer_words(row)),
        AuditWhat::Refused => format!("refused {an_answer} by {by}{}", answer_words(row)),
        AuditWhat::Expired => "expired".to_owned(),
        AuditWhat::Defaulted if row.answer == Some(Answer::Approve) => {
            "approved, since nobody answered in the time that its kind has for that".to_owned()
        }
        AuditWhat::Defaulted => "nobody answered, the default was taken".to_owned(),
        AuditWhat::Withdrawn => "withdrawn".to_owned(),
        AuditWhat::Passed => "let pass by a rule".to_owned(),
        AuditWhat::RuleAdded => format!("rule made by {by}"),
        AuditWhat::RuleRevoked => format!("rule revoked by {by}"),
        AuditWhat::RuleExpired => "the time of a rule is up".to_owned(),
        AuditWhat::Tightened => "the config file asks for more, which holds".to_owned(),
        AuditWhat::LooseningAsked => {
            "the config file asks for less, which waits to be confirmed".to_owned()
        }
        AuditWhat::LooseningTakenBack => {
            "the config file was changed again before it was confirmed to ask for less".to_owned()
        }
        AuditWhat::Loosened => format!("looser config confirmed by {by}"),
        AuditWhat::Removed => format!("removed by {by}"),
        AuditWhat::SettingChanged => format!("setting changed by {by}"),
    }
}
