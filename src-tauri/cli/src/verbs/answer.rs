//! `nod approve` and `nod deny`: a person's answer at a terminal, where they have turned that on.
//!
//! The host decides whether it believes this process. Here the person is shown
//! what the card in the window shows, and what was shown is what is answered.

mod page;

use std::io;
use std::thread;
use std::time::Duration;

use clap::Args;
use nod_client::{Connection, new_operation};
use nod_core::ids::{RequestId, TaskId};
use nod_core::protocol::{Call, GiveAnswer, QuestionOf, Reply};
use nod_core::request::{Answer, COMMENT_LIMIT, Request, Wants};
use rustix::termios::{QueueSelector, tcflush};

use crate::failure::Failure;
use crate::host::Host;
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
    page::show(&request)?;
    if !is_confirmed()? {
        output::note("nothing was answered: the question stays open");
        return Ok(exit::FAILED);
    }
    answer(&mut connection, &request, Answer::Approve, arguments.comment)
}

pub(crate) fn deny(arguments: OfDeny) -> Result<u8, Failure> {
    check_length("the reason", arguments.reason.as_deref())?;
    let (mut connection, request) = prepare(arguments.target)?;
    page::show(&request)?;
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
    let of = match target {
        Target::Task(id) => QuestionOf::Task { id },
        Target::Request(id) => QuestionOf::Request { id },
    };
    let reply = connection.call(&Call::OpenQuestion(of))?;
    let Reply::OpenQuestion { request, others } = reply else {
        return Err(Failure::unexpected(&reply));
    };
    let request = request.ok_or_else(|| Failure::NoQuestion(target.words()))?;
    if others.is_empty() {
        return Ok(*request);
    }
    let all: Vec<_> =
        std::iter::once(request.id).chain(others).map(|id| format!("r{id}")).collect();
    Err(Failure::SeveralQuestions { of: target.words(), all: all.join(", ") })
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
    use super::*;

    #[test]
    fn a_request_is_told_from_a_task() {
        assert_eq!(target("7"), Ok(Target::Task(TaskId(7))));
        assert_eq!(target("r7"), Ok(Target::Request(RequestId(7))));
        for wrong in ["r", "r0", "0", "x", "r-1"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
