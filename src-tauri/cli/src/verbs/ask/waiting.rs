//! Waiting for an answer: for as long as the question stands, or until it is time to go on.

use std::time::{Duration, Instant};

use nod_client::{ClientError, Connection, Door, Next, persist};
use nod_core::ids::Timestamp;
use nod_core::protocol::{Ask, AwaitAnswer, Call, Reply, Resume};

use super::Arguments;
use crate::duration;
use crate::verbs::list::now;

/// How much later than it should a host may say that a time has come.
const GRACE: Duration = Duration::from_secs(5);

/// What is waited for.
#[derive(Debug, Clone)]
pub(super) enum For {
    Answer(Box<Ask>),
    AnswerAgain(AwaitAnswer),
}

/// How long is waited.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waiting {
    /// When the question's own time is up.
    deadline: Option<Instant>,
    /// When to go on without an answer.
    resume: Option<GoOn>,
}

#[derive(Debug, Clone, Copy)]
enum GoOn {
    After(Instant),
    At(Timestamp),
}

impl GoOn {
    fn left(self) -> Duration {
        match self {
            Self::After(at) => left_until(at),
            Self::At(at) => Duration::from_millis(at.since(now())),
        }
    }

    /// Returns what the host is told: a length of time is what is left of it.
    fn as_resume(self) -> Resume {
        match self {
            Self::After(at) => {
                Resume::After { milliseconds: duration::in_milliseconds(left_until(at)) }
            }
            Self::At(at) => Resume::At { at },
        }
    }
}

fn left_until(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::now())
}

impl Waiting {
    pub(super) fn of(arguments: &Arguments) -> Self {
        // A time too far away to be counted never comes.
        let after = |time: Option<Duration>| time.and_then(|time| Instant::now().checked_add(time));
        let resume = after(arguments.resume_after).map(GoOn::After);
        let deadline = after(arguments.timeout);
        Self { deadline, resume: resume.or(arguments.resume_at.map(GoOn::At)) }
    }

    /// Asks until there is a reply; nothing when the question's time passed with a host that may
    /// have taken it silent.
    ///
    /// Each try has the time that is left then. The host that takes the question
    /// first fixes its end, and a later one goes by that. Once a host was
    /// reached, it is waited for until it says which question stays open.
    pub(super) fn wait(self, door: &Door, what: &For) -> Result<Option<Reply>, ClientError> {
        let later = |_: &ClientError| Ok::<_, ClientError>(Next::Later);
        if let Some(resume) = self.resume {
            let until = Instant::now().checked_add(resume.left());
            let until = [until, self.deadline].into_iter().flatten().min();
            persist(door, until, |_connection| Ok(()), later)?;
        }
        let mut reached = false;
        let reply = persist(
            door,
            self.deadline,
            |connection| {
                let reply = self.attempt(connection, what);
                reached |= reply.as_ref().err().is_none_or(ClientError::may_have_taken);
                reply
            },
            later,
        );
        let is_over = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        match reply {
            Ok(reply) => Ok(Some(reply)),
            Err(ClientError::Silent { .. }) if is_over => Ok(None),
            Err(error) if reached && is_over && error.is_passing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn attempt(self, connection: &mut Connection, what: &For) -> Result<Reply, ClientError> {
        let left = self.deadline.map(left_until);
        let going_on = self.resume.filter(|resume| matches!(resume, GoOn::After(_)));
        let shortest = [left, going_on.map(GoOn::left)].into_iter().flatten().min();
        connection.set_timeout(shortest.map(|left| left + GRACE))?;
        let resume = self.resume.map(GoOn::as_resume);
        let call = match what.clone() {
            For::Answer(ask) => {
                // Without a deadline it is what was asked for: none, or one beyond counting.
                let timeout_ms = left.map(duration::in_milliseconds).or(ask.timeout_ms);
                Call::Ask(Ask { timeout_ms, resume, ..*ask })
            }
            For::AnswerAgain(wait) => Call::AwaitAnswer(AwaitAnswer { resume, ..wait }),
        };
        connection.call(&call)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use nod_client::new_operation;
    use nod_core::protocol::CallMessage;

    use super::*;
    use crate::exit;
    use crate::failure::Failure;

    fn question(timeout: Duration) -> Ask {
        let timeout_ms = Some(duration::in_milliseconds(timeout));
        let operation = new_operation().unwrap();
        Ask { timeout_ms, ..Ask::approval(operation, "Deploy?") }
    }

    fn until(timeout: Duration) -> Waiting {
        Waiting { deadline: Instant::now().checked_add(timeout), resume: None }
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
        let reply = until(timeout).wait(&door, &For::Answer(Box::new(ask.clone()))).unwrap();
        assert_eq!(reply, None, "the host was reached, so the question has expired");
        let Call::Ask(given) = host.join().unwrap() else { panic!("no question") };
        assert_eq!(given.operation, ask.operation);
        let left = given.timeout_ms.unwrap();
        assert!(left <= duration::in_milliseconds(timeout - late), "{left} ms");
    }

    #[test]
    fn without_any_host_a_question_has_not_expired_and_none_is_open() {
        let door = Door { socket: "/nowhere/host.sock".into(), token: None };
        let timeout = Duration::from_millis(50);
        let going_on = GoOn::After(Instant::now() + timeout);
        for waiting in [until(timeout), Waiting { deadline: None, resume: Some(going_on) }] {
            let error = waiting.wait(&door, &For::Answer(Box::new(question(timeout)))).unwrap_err();
            assert_eq!(Failure::from(error).exit_code(), exit::NO_HOST);
        }
    }
}
