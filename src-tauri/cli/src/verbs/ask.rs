//! `nod ask`: a question of the calling task to a person.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use nod_client::{ClientError, Door, Next, new_operation, persist};
use nod_core::protocol::{Ask, Call, Reply};
use nod_core::request::{Answer, Closure, DETAIL_LIMIT, QUESTION_LIMIT};

use crate::failure::Failure;
use crate::host::Host;
use crate::{duration, exit, output};

/// How much later than the question's own end a host may say that it has come.
const GRACE: Duration = Duration::from_secs(5);

/// Ask a person to approve or deny (inside a task only)
///
/// Prints the answer as JSON. Exits with 0 when approved, 1 when denied, 124
/// when nobody answered in time, 69 when there was no host in that time, 75
/// when the question was closed without an answer.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What is asked, in one sentence
    question: String,
    /// A text file that is shown with the question; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    detail_file: Option<PathBuf>,
    /// How long a person has, such as 10m or 1h30m [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

pub(crate) fn run(arguments: Arguments) -> Result<u8, Failure> {
    // A time too far away to be counted is no deadline.
    let deadline = arguments.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let question = arguments.question;
    check_question(&question)?;
    let door = Host::find()?.task("ask")?.door();
    let ask = Ask {
        operation: new_operation()?,
        question,
        detail: arguments.detail_file.as_deref().map(detail).transpose()?,
        timeout_ms: arguments.timeout.map(duration::in_milliseconds),
    };
    match put(&door, &ask, deadline) {
        Ok(Some(Reply::Closed { closure, .. })) => closed(&closure),
        Ok(Some(reply)) => Err(Failure::unexpected(&reply)),
        Ok(None) => closed(&Closure::Expired { at: super::list::now() }),
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

/// Prints how the question was closed and returns the code of that.
fn closed(closure: &Closure) -> Result<u8, Failure> {
    let (json, code) = answer(closure);
    match closure {
        Closure::Answered { answer: Answer::Deny { reason: Some(reason) }, .. } => {
            output::note(&format!("denied: {reason}"));
        }
        Closure::Answered { answer: Answer::Deny { reason: None }, .. } => output::note("denied"),
        Closure::Answered { answer: Answer::Approve, .. } => {}
        Closure::Expired { .. } => output::note("nobody answered in time"),
        Closure::Withdrawn { why, .. } => output::note(&format!("withdrawn: {why}")),
    }
    output::json(&json)?;
    Ok(code)
}

fn answer(closure: &Closure) -> (serde_json::Value, u8) {
    use serde_json::json;
    match closure {
        Closure::Answered { answer: Answer::Approve, .. } => {
            (json!({ "answer": "approved" }), exit::OK)
        }
        Closure::Answered { answer: Answer::Deny { reason }, .. } => {
            (json!({ "answer": "denied", "reason": reason }), exit::DENIED)
        }
        Closure::Expired { .. } => (json!({ "answer": "expired" }), exit::EXPIRED),
        Closure::Withdrawn { why, .. } => {
            (json!({ "answer": "withdrawn", "reason": why }), exit::NO_ANSWER)
        }
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

fn check_question(question: &str) -> Result<(), Failure> {
    if question.trim().is_empty() {
        return Err(Failure::Usage("the question is empty: nod ask \"Deploy to prod?\""));
    }
    fits("the question", question.len(), QUESTION_LIMIT)
}

fn fits(what: &'static str, size: usize, limit: usize) -> Result<(), Failure> {
    if size > limit { Err(Failure::TooLong { what, size, limit }) } else { Ok(()) }
}

/// Returns the text in the file, which must be whole: a person decides by it.
fn detail(path: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::Read { path: path.to_owned(), source };
    let stream: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    stream.take(DETAIL_LIMIT as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let length = if bytes.len() > DETAIL_LIMIT { whole_length(path) } else { bytes.len() };
    fits("the detail", length, DETAIL_LIMIT)?;
    String::from_utf8(bytes).map_err(|error| Failure::NotUtf8 {
        what: "the detail",
        shown: String::from_utf8_lossy(error.as_bytes()).chars().take(40).collect(),
    })
}

/// Returns how long a file is that was read only to the limit; at least one byte more than that.
fn whole_length(path: &Path) -> usize {
    let length = path.metadata().ok().and_then(|data| usize::try_from(data.len()).ok());
    length.unwrap_or(0).max(DETAIL_LIMIT + 1)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use nod_core::access::{Actor, Surface};
    use nod_core::ids::Timestamp;
    use nod_core::protocol::{CallMessage, ErrorCode, ErrorReply};

    use super::*;

    #[test]
    fn every_end_of_a_question_has_its_code_and_its_json() {
        let by = Actor::Person { surface: Surface::Window };
        let at = Timestamp(1);
        let answered = |answer| Closure::Answered { answer, by: by.clone(), at };
        let cases = [
            (answered(Answer::Approve), r#"{"answer":"approved"}"#, 0),
            (
                answered(Answer::Deny { reason: Some("not today".into()) }),
                r#"{"answer":"denied","reason":"not today"}"#,
                1,
            ),
            (answered(Answer::Deny { reason: None }), r#"{"answer":"denied","reason":null}"#, 1),
            (Closure::Expired { at }, r#"{"answer":"expired"}"#, 124),
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
    fn what_no_person_saw_is_not_denied() {
        let error = ClientError::Refused(ErrorReply::new(ErrorCode::Conflict, "the task ended"));
        assert_eq!(not_asked(error).unwrap(), exit::NO_ANSWER);
    }

    fn question(timeout: Duration) -> Ask {
        let timeout_ms = Some(duration::in_milliseconds(timeout));
        let operation = new_operation().unwrap();
        Ask { operation, question: "Deploy?".into(), detail: None, timeout_ms }
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

    #[test]
    fn a_question_has_words_and_a_limit() {
        assert!(check_question("Deploy?").is_ok());
        for bad in ["", " \n", &"x".repeat(QUESTION_LIMIT + 1)] {
            assert_eq!(check_question(bad).unwrap_err().exit_code(), exit::USAGE);
        }
    }

    #[test]
    fn a_detail_is_shown_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("detail");
        let write = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            detail(&path)
        };
        assert_eq!(write("計画".as_bytes()).unwrap(), "計画");
        assert_eq!(write(&[b'x'; DETAIL_LIMIT]).unwrap().len(), DETAIL_LIMIT);
        let too_long = write(&vec![b'x'; DETAIL_LIMIT + 9]).unwrap_err();
        assert!(matches!(too_long, Failure::TooLong { size, .. } if size == DETAIL_LIMIT + 9));
        assert!(matches!(write(b"\xff").unwrap_err(), Failure::NotUtf8 { .. }));
        let missing = detail(&folder.path().join("missing")).unwrap_err();
        assert_eq!(missing.exit_code(), exit::USAGE);
    }
}
