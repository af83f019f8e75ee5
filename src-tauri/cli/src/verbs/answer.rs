//! `nod approve` and `nod deny`: a person's answer at a terminal, where they have turned that on.
//!
//! The host decides whether it believes this process. Here the person is shown
//! what the card in the window shows, and what was shown is what is answered.

use std::fmt::Write as _;
use std::io;
use std::thread;
use std::time::Duration;

use clap::Args;
use nod_client::{Connection, new_operation};
use nod_core::command::CommandLine;
use nod_core::environment::{Change, EnvironmentChange};
use nod_core::ids::{RequestId, TaskId};
use nod_core::protocol::{Call, GiveAnswer, Reply};
use nod_core::request::{Answer, COMMENT_LIMIT, Request, Wants};
use rustix::termios::{QueueSelector, tcflush};

use crate::failure::Failure;
use crate::host::Host;
use crate::text::neutralised;
use crate::{exit, output};

/// How long a question is on the screen before keys count: none that was already on its way does.
const ARMING: Duration = Duration::from_secs(1);

/// Approve what a task asks, at a terminal where that is turned on
#[derive(Args)]
pub(crate) struct OfApprove {
    /// The number of a task, or of a request as in `r3`
    #[arg(value_parser = target)]
    target: Target,
    /// Words for whoever asked
    #[arg(long)]
    comment: Option<String>,
}

/// Deny what a task asks, at a terminal where that is turned on
#[derive(Args)]
pub(crate) struct OfDeny {
    /// The number of a task, or of a request as in `r3`
    #[arg(value_parser = target)]
    target: Target,
    /// Why, for whoever asked
    #[arg(long)]
    reason: Option<String>,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The one open question of a task.
    Task(TaskId),
    Request(RequestId),
}

pub(crate) fn approve(arguments: OfApprove) -> Result<u8, Failure> {
    check_length("the comment", arguments.comment.as_deref())?;
    let (mut connection, request) = prepare(arguments.target)?;
    if request.shown.wants != Wants::Approval {
        return Err(Failure::Usage(
            "this question wants more than a yes: answer it in Nod's window, or `nod deny` it",
        ));
    }
    output::text(&render(&request))?;
    if !is_confirmed()? {
        output::note("nothing was answered: the question stays open");
        return Ok(exit::FAILED);
    }
    answer(&mut connection, &request, Answer::Approve, arguments.comment)
}

pub(crate) fn deny(arguments: OfDeny) -> Result<u8, Failure> {
    check_length("the reason", arguments.reason.as_deref())?;
    let (mut connection, request) = prepare(arguments.target)?;
    output::text(&render(&request))?;
    answer(&mut connection, &request, Answer::Deny { reason: arguments.reason }, None)
}

/// Returns a connection that the host believes, and the question as it is now.
fn prepare(target: Target) -> Result<(Connection, Request), Failure> {
    let door = Host::find()?.door();
    // Looked at on the connection that answers: the host takes no answer to what was not shown there.
    let mut connection = Connection::open(&door.socket, None).and_then(Connection::at_terminal)?;
    let request = find(&mut connection, target)?;
    Ok((connection, request))
}

fn find(connection: &mut Connection, target: Target) -> Result<Request, Failure> {
    let requests = match target {
        Target::Task(id) => {
            let reply = connection.call(&Call::Show { id })?;
            let Reply::Task(detail) = reply else { return Err(Failure::unexpected(&reply)) };
            detail.requests
        }
        Target::Request(_) => {
            let reply = connection.call(&Call::Snapshot)?;
            let Reply::Snapshot(snapshot) = reply else { return Err(Failure::unexpected(&reply)) };
            snapshot.requests
        }
    };
    let is_meant = |request: &Request| match target {
        Target::Task(_) => request.is_open(),
        Target::Request(id) => request.is_open() && request.id == id,
    };
    let mut meant = requests.into_iter().filter(is_meant);
    let first = meant.next().ok_or_else(|| Failure::NoQuestion(target.words()))?;
    let others: Vec<_> = meant.map(|request| format!("r{}", request.id)).collect();
    if others.is_empty() {
        return Ok(first);
    }
    let all = format!("r{}, {}", first.id, others.join(", "));
    Err(Failure::SeveralQuestions { of: target.words(), all })
}

fn answer(
    connection: &mut Connection,
    request: &Request,
    answer: Answer,
    comment: Option<String>,
) -> Result<u8, Failure> {
    let words = answer.words();
    let given = GiveAnswer {
        operation: new_operation()?,
        request: request.id,
        answer,
        comment,
        shown: request.hash.clone(),
    };
    let reply = connection.call(&Call::Answer(given))?;
    let Reply::Closed { .. } = reply else { return Err(Failure::unexpected(&reply)) };
    output::line(&format!("request {}: {words}", request.id))?;
    Ok(exit::OK)
}

/// Returns whether the person says so with keys that were pressed after the question was shown.
fn is_confirmed() -> Result<bool, Failure> {
    thread::sleep(ARMING);
    tcflush(io::stdin(), QueueSelector::IFlush).map_err(io::Error::from)?;
    output::text("Type `approve` to approve; everything else leaves the question open: ")?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "approve" | "y"))
}

fn render(request: &Request) -> String {
    let shown = &request.shown;
    let mut page = String::new();
    let mut row = |name: &str, value: &str| {
        writeln!(page, "{name:<9} {}", neutralised(value)).expect("a string takes any text");
    };
    row("request", &request.id.to_string());
    row("for", &shown.task_name);
    if let Some(asker) = &request.asked_by {
        row("asked by", &asker.words());
    }
    row("question", &shown.question);
    row("command", &CommandLine::Argv { argv: shown.argv.clone() }.display());
    row("folder", &shown.cwd);
    for change in &shown.environment {
        row("variable", &change_words(change));
    }
    // Each line has its name before it, so that none can pass for one of Nod's own.
    for (name, text) in [("detail", &shown.detail), ("diff", &shown.diff)] {
        for line in text.iter().flat_map(|text| text.lines()) {
            row(name, line);
        }
    }
    if let Some(at) = request.expires_at {
        row("until", &at.utc());
    }
    page
}

fn change_words(change: &EnvironmentChange) -> String {
    match (change.change, &change.value, change.masked) {
        (Change::Removed, _, _) => format!("{} is not set", change.name),
        (_, _, true) => format!("{}=••••••", change.name),
        (_, value, false) => format!("{}={}", change.name, value.as_deref().unwrap_or_default()),
    }
}

fn check_length(what: &'static str, text: Option<&str>) -> Result<(), Failure> {
    let size = text.map_or(0, str::len);
    if size > COMMENT_LIMIT {
        return Err(Failure::TooLong { what, size, limit: COMMENT_LIMIT });
    }
    Ok(())
}

/// Returns what is named by a number, as of a task, or by `r` and a number, as of a request.
fn target(text: &str) -> Result<Target, &'static str> {
    match text.strip_prefix('r') {
        Some(number) => match number.parse() {
            Ok(id) if id > 0 => Ok(Target::Request(RequestId(id))),
            Ok(_) | Err(_) => Err("a request is named by `r` and its number, as in `r3`"),
        },
        None => super::task_id(text).map(Target::Task),
    }
}

impl Target {
    fn words(self) -> String {
        match self {
            Self::Task(id) => format!("task {id}"),
            Self::Request(id) => format!("request {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use nod_core::access::Actor;
    use nod_core::ids::{AttemptNumber, Timestamp};
    use nod_core::request::{OnTimeout, Origin, Shown};

    use super::*;

    #[test]
    fn all_of_a_question_is_shown_and_none_of_it_passes_for_another_row() {
        let variable = EnvironmentChange {
            name: "API_KEY".into(),
            change: Change::Added,
            value: None,
            masked: true,
        };
        let request = Request {
            id: RequestId(3),
            task: Some(TaskId(42)),
            attempt: AttemptNumber::FIRST,
            origin: Origin::Task,
            asked_by: Some(Actor::Task { id: TaskId(42) }),
            shown: Shown {
                task_name: "deploy".into(),
                question: "Deploy?\x1b[2J\nfolder    /safe".into(),
                detail: Some("one\nrequest   4\u{202e}".into()),
                diff: Some("-a\n+b".into()),
                wants: Wants::Approval,
                argv: vec!["deploy".into(), "to prod".into()],
                cwd: "/srv".into(),
                environment: vec![variable],
            },
            hash: String::new(),
            created_at: Timestamp(0),
            expires_at: Some(Timestamp(60_000)),
            on_timeout: OnTimeout::Deny,
            remind_ms: None,
            closure: None,
        };
        insta::assert_snapshot!(render(&request));
    }

    #[test]
    fn a_request_is_told_from_a_task() {
        assert_eq!(target("7"), Ok(Target::Task(TaskId(7))));
        assert_eq!(target("r7"), Ok(Target::Request(RequestId(7))));
        for wrong in ["r", "r0", "0", "x", "r-1"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
