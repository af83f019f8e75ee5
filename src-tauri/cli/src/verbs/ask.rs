//! `nod ask`: a question to a person, of the calling task or of a program that is none.

mod closing;
mod question;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use nod_client::{ClientError, Door, Next, persist};
use nod_core::protocol::{Ask, Call, Reply};
use nod_core::question::OnTimeout;

use crate::failure::Failure;
use crate::host::Host;
use crate::{duration, exit, output};

/// How much later than the question's own end a host may say that it has come.
const GRACE: Duration = Duration::from_secs(5);

/// Ask a person, and wait for the answer
///
/// Without more it asks for an approval; with choices, --text or --schema for
/// more than that. Prints the answer as JSON. Exits with 0 when approved or
/// answered, 1 when denied, 124 when nobody answered in time, 69 when there
/// was no host in that time, 75 when the question was closed without an answer.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What is asked, in one sentence
    question: String,
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
    /// Remind the person this often
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
    // A time too far away to be counted is no deadline.
    let deadline = arguments.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let ask = question::of(arguments)?;
    let door = Host::find()?.door_to_ask()?;
    match put(&door, &ask, deadline) {
        Ok(Some(Reply::Closed { closure, .. })) => closing::tell(&closure),
        Ok(Some(reply)) => Err(Failure::unexpected(&reply)),
        Ok(None) => closing::tell(&closing::expired()),
        Err(error) => not_asked(error),
    }
}

/// Asks until there is a reply; nothing when the time passed with a host that was reached silent.
///
/// Each try has the time that is left then. The host that takes the question
/// first fixes its end, and a later one goes by that.
fn put(door: &Door, ask: &Ask, deadline: Option<Instant>) -> Result<Option<Reply>, ClientError> {
    let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let mut reached = false;
    let reply = persist(
        door,
        deadline,
        |connection| {
            reached = true;
            let left = left();
            connection.set_timeout(left.map(|left| left + GRACE))?;
            // Without a deadline it is what was asked for: none, or one beyond counting.
            let timeout_ms = left.map(duration::in_milliseconds).or(ask.timeout_ms);
            connection.call(&Call::Ask(Ask { timeout_ms, ..ask.clone() }))
        },
        |_| Ok::<_, ClientError>(Next::Later),
    );
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(ClientError::Silent { .. }) => Ok(None),
        Err(error) if reached && error.is_passing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the code of a question that no person saw: never that of a denial.
fn not_asked(error: ClientError) -> Result<u8, Failure> {
    let failure = Failure::from(error);
    if failure.exit_code() != exit::DENIED {
        return Err(failure);
    }
    output::note(&failure.to_string());
    Ok(exit::NO_ANSWER)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use nod_client::new_operation;
    use nod_core::protocol::{CallMessage, ErrorCode, ErrorReply};

    use super::*;

    #[test]
    fn what_no_person_saw_is_not_denied() {
        let error = ClientError::Refused(ErrorReply::new(ErrorCode::Conflict, "the task ended"));
        assert_eq!(not_asked(error).unwrap(), exit::NO_ANSWER);
    }

    fn question(timeout: Duration) -> Ask {
        let timeout_ms = Some(duration::in_milliseconds(timeout));
        let operation = new_operation().unwrap();
        Ask { timeout_ms, ..Ask::approval(operation, "Deploy?") }
    }

    #[test]
    fn a_host_that_comes_late_is_given_the_time_that_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("host.sock");
        let door = Door { socket: socket.clone(), token: None };
        let timeout = Duration::from_millis(1500);
        let late = Duration::from_millis(500);
        // It takes the question, and dies with it for good.
        let host = thread::spawn(move || {
            thread::sleep(late);
            let listener = UnixListener::bind(&socket).unwrap();
            let (stream, _) = listener.accept().unwrap();
            let line = BufReader::new(stream).lines().nth(1).unwrap().unwrap();
            std::fs::remove_file(socket).unwrap();
            serde_json::from_str::<CallMessage>(&line).unwrap().call
        });
        let ask = question(timeout);
        let reply = put(&door, &ask, Some(Instant::now() + timeout)).unwrap();
        assert_eq!(reply, None, "the host was reached, so the question has expired");
        let Call::Ask(given) = host.join().unwrap() else { panic!("no question") };
        assert_eq!(given.operation, ask.operation);
        let left = given.timeout_ms.unwrap();
        assert!(left <= duration::in_milliseconds(timeout - late), "{left} ms");
    }

    #[test]
    fn without_any_host_a_question_has_not_expired() {
        let door = Door { socket: "/nowhere/host.sock".into(), token: None };
        let timeout = Duration::from_millis(50);
        let error = put(&door, &question(timeout), Some(Instant::now() + timeout)).unwrap_err();
        assert_eq!(Failure::from(error).exit_code(), exit::NO_HOST);
    }
}
