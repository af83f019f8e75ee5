//! `nod ask`: a question to a person, of the calling task or of a program that is none.

mod closing;
mod question;
mod waiting;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nod_client::ClientError;
use nod_core::ids::{RequestId, Timestamp};
use nod_core::protocol::{AwaitAnswer, Reply};
use nod_core::question::OnTimeout;

use crate::failure::Failure;
use crate::host::Host;
use crate::{duration, exit, moment};
use waiting::{For, Waiting};

/// Ask a person, and wait for the answer
///
/// Without more it asks for an approval; with choices, --text or --schema for
/// more than that. Prints the answer as JSON. Exits with 0 when approved or
/// answered, 1 when denied, 124 when nobody answered in time, 69 when there
/// was no host in that time, 75 when the question was closed without an answer,
/// or when it is time to go on without one: the question then stays open, and
/// `nod ask --request N` waits for its answer.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What is asked, in one sentence
    #[arg(required_unless_present = "request")]
    question: Option<String>,
    /// Wait for the answer to this question, which was asked before
    #[arg(long, value_name = "N", value_parser = request, conflicts_with_all = [
        "question", "detail_file", "diff_file", "choice", "text", "schema", "default", "timeout",
        "on_timeout", "remind",
    ])]
    request: Option<RequestId>,
    /// Go on without an answer after this long; the question stays open
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    resume_after: Option<Duration>,
    /// Go on without an answer at this time of day, such as 18:30; the question stays open
    #[arg(long, value_name = "TIME", value_parser = moment::parse, conflicts_with = "resume_after")]
    resume_at: Option<Timestamp>,
    /// A text file that is shown with the question; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    detail_file: Option<PathBuf>,
    /// A file with changes as `diff -u` writes them, shown with the question
    #[arg(long, value_name = "FILE")]
    diff_file: Option<PathBuf>,
    /// One of the answers to choose from; give it again for the next
    #[arg(long, value_name = "WORDS")]
    choice: Vec<String>,
    /// Ask for a text
    #[arg(long, conflicts_with = "choice")]
    text: bool,
    /// Ask for data that this file describes, a JSON Schema (2020-12)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["choice", "text"])]
    schema: Option<PathBuf>,
    /// The choice or the text that is filled in at first
    #[arg(long, value_name = "WORDS", conflicts_with = "schema")]
    default: Option<String>,
    /// How long a person has, such as 10m or 1h30m [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// What stands for an answer after that time; never for an approval
    #[arg(long, value_enum, default_value = "deny", requires = "timeout")]
    on_timeout: Silence,
    /// Remind the person this often, which is once a minute at the most
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    remind: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Silence {
    /// Nothing: the question has expired
    Deny,
    /// What is filled in at first
    Default,
}

impl From<Silence> for OnTimeout {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Deny => Self::Deny,
            Silence::Default => Self::Default,
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<u8, Failure> {
    let waiting = Waiting::of(&arguments);
    let what = match arguments.request {
        Some(request) => For::AnswerAgain(AwaitAnswer { request, resume: None }),
        None => For::Answer(Box::new(question::of(arguments)?)),
    };
    let door = Host::find()?.door_to_ask()?;
    match waiting.wait(&door, &what) {
        Ok(Some(Reply::Closed { closure, .. })) => closing::tell(&closure),
        Ok(Some(Reply::StillOpen { request })) => closing::tell_open(request),
        Ok(Some(reply)) => Err(Failure::unexpected(&reply)),
        Ok(None) => closing::tell(&closing::expired()),
        Err(error) => not_asked(error),
    }
}

/// Returns the question that is named by its number, as in `3` or `r3`.
fn request(text: &str) -> Result<RequestId, &'static str> {
    let number = text.strip_prefix('r').unwrap_or(text).parse().ok().filter(|number| *number > 0);
    number.map(RequestId).ok_or("a request is named by its number, as in `3` or `r3`")
}

/// Says that no person saw the question, and returns the code of that: never that of a denial.
fn not_asked(error: ClientError) -> Result<u8, Failure> {
    let failure = Failure::from(error);
    if !matches!(failure.exit_code(), exit::DENIED | exit::NO_ANSWER) {
        return Err(failure);
    }
    closing::tell_not_asked(&failure.to_string())
}

#[cfg(test)]
mod tests {
    use nod_core::protocol::{ErrorCode, ErrorReply};

    use super::*;

    #[test]
    fn what_no_person_saw_is_not_denied() {
        let error = ClientError::Refused(ErrorReply::new(ErrorCode::Conflict, "the task ended"));
        assert_eq!(not_asked(error).unwrap(), exit::NO_ANSWER);
    }

    #[test]
    fn a_request_is_named_by_its_number() {
        assert_eq!((request("3"), request("r3")), (Ok(RequestId(3)), Ok(RequestId(3))));
        for wrong in ["", "r", "0", "-1", "x3"] {
            assert!(request(wrong).is_err(), "{wrong}");
        }
    }
}
