//! Why a verb did not do what it was asked for, and the exit code of each reason.

use std::io;
use std::path::PathBuf;

use nod_client::ClientError;
use nod_core::command::CommandError;
use nod_core::paths::PathsError;
use nod_core::protocol::{ErrorCode, Reply};
use nod_core::question::QuestionError;

use crate::exit;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Paths(#[from] PathsError),
    #[error("{0}: write the command after `--`, as in `nod submit -- make test`")]
    Command(#[from] CommandError),
    #[error("{0}")]
    Usage(&'static str),
    #[error(
        "`nod {verb}` works only inside a task, where NOD_TASK_ID, NOD_TOKEN and NOD_SOCKET are \
         set: start the task with `nod submit` and call it from there"
    )]
    OutsideTask { verb: &'static str },
    #[error("failed to use the folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("{} is no folder: give one with --cwd", path.display())]
    NotAFolder { path: PathBuf },
    #[error("{what} is not UTF-8, and Nod takes nothing else: `{shown}`")]
    NotUtf8 { what: &'static str, shown: String },
    #[error("failed to read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no JSON: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error("{} line {line}: {what}", path.display())]
    Line { path: PathBuf, line: usize, what: String },
    #[error("{what} has {size} bytes, and a person is shown at most {limit}: make it shorter")]
    TooLong { what: &'static str, size: usize, limit: usize },
    #[error("{0} has no open question: `nod list --state waiting` shows what waits")]
    NoQuestion(String),
    #[error("{of} has several open questions, name one of them: {all}")]
    SeveralQuestions { of: String, all: String },
    #[error("failed to start a host with {}: {source}", program.display())]
    StartHost { program: PathBuf, source: io::Error },
    #[error(
        "a Nod host was started but does not listen on {}: look into {}, or run `nod serve` to \
         see what it says",
        socket.display(), log.display()
    )]
    HostUnreachable { socket: PathBuf, log: PathBuf },
    #[error(
        "the Nod app (process {pid}) is older than this `nod`: quit the app and start the new one \
         (its tasks go on)"
    )]
    OlderApp { pid: i32 },
    #[error(
        "the Nod host (process {pid}) did not answer in time{}: look into {}; if it hangs, end \
         it with `kill -9 {pid}` (its tasks go on)",
        if *taken { " and may have done this all the same (see `nod list`)" } else { "" },
        log.as_ref().map_or_else(|| "its host.log".into(), |log| log.display().to_string())
    )]
    HostSilent {
        pid: i32,
        /// Unknown from inside a task.
        log: Option<PathBuf>,
        /// The call changes something.
        taken: bool,
    },
    #[error(transparent)]
    Serve(#[from] nod_engine::StartError),
    /// What was asked is not known. Its code is not that of a no.
    #[error("{0}")]
    Unanswered(Box<Self>),
    #[error("failed to write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// Returns the failure of a host that replied with something else than was asked for.
    pub(crate) fn unexpected(reply: &Reply) -> Self {
        let what = format!("an unexpected reply: {reply:?}").chars().take(200).collect();
        Self::Client(ClientError::Protocol { what })
    }

    /// Returns the failure of a verb that says no by the code that usually means "not found" or "in
    /// the wrong state".
    pub(crate) fn of_question(self) -> Self {
        if self.exit_code() == exit::FAILED { Self::Unanswered(Box::new(self)) } else { self }
    }

    /// Returns the code with which `nod` exits.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => of_client(error),
            Self::Paths(_)
            | Self::Command(_)
            | Self::Usage(_)
            | Self::OutsideTask { .. }
            | Self::Folder { .. }
            | Self::NotAFolder { .. }
            | Self::NotUtf8 { .. }
            | Self::Read { .. }
            | Self::Json { .. }
            | Self::Question(_)
            | Self::Line { .. }
            | Self::SeveralQuestions { .. }
            | Self::TooLong { .. } => exit::USAGE,
            Self::NoQuestion(_) => exit::FAILED,
            Self::Unanswered(_) => exit::NO_ANSWER,
            Self::StartHost { .. }
            | Self::HostUnreachable { .. }
            | Self::HostSilent { .. }
            | Self::Serve(_) => exit::NO_HOST,
            Self::OlderApp { .. } => exit::PROTOCOL,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::CLOSED_PIPE,
            Self::Output(_) => exit::STORAGE,
        }
    }

    /// Returns whether there is nobody left to tell.
    pub(crate) fn is_silent(&self) -> bool {
        self.exit_code() == exit::CLOSED_PIPE
    }
}

fn of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::NoHost { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Lost { .. }
        | ClientError::Silent { .. } => exit::NO_HOST,
        ClientError::Foreign { .. } => exit::FORBIDDEN,
        ClientError::Version { .. } | ClientError::Protocol { .. } => exit::PROTOCOL,
        ClientError::TooLarge { .. } => exit::USAGE,
        ClientError::Random { .. } => exit::INTERNAL,
        ClientError::Refused(error) => of_reply(error.code),
    }
}

fn of_reply(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::BadRequest => exit::USAGE,
        ErrorCode::Version => exit::PROTOCOL,
        ErrorCode::NotFound | ErrorCode::Conflict => exit::FAILED,
        ErrorCode::Forbidden => exit::FORBIDDEN,
        ErrorCode::Invalid => exit::USAGE,
        ErrorCode::Busy | ErrorCode::TooEarly => exit::NO_ANSWER,
        ErrorCode::Storage => exit::STORAGE,
        ErrorCode::Stopping => exit::NO_HOST,
        ErrorCode::Internal => exit::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use nod_core::protocol::ErrorReply;

    use super::*;

    #[test]
    fn every_error_of_a_host_has_its_code() {
        let cases = [
            (ErrorCode::BadRequest, 2),
            (ErrorCode::Version, 76),
            (ErrorCode::NotFound, 1),
            (ErrorCode::Conflict, 1),
            (ErrorCode::Forbidden, 77),
            (ErrorCode::Invalid, 2),
            (ErrorCode::Busy, 75),
            (ErrorCode::TooEarly, 75),
            (ErrorCode::Storage, 74),
            (ErrorCode::Stopping, 69),
            (ErrorCode::Internal, 70),
        ];
        for (code, expected) in cases {
            let failure = Failure::from(ClientError::Refused(ErrorReply::new(code, "no")));
            assert_eq!(failure.exit_code(), expected, "{code:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_no_no() {
        for code in [ErrorCode::NotFound, ErrorCode::Conflict] {
            let refused = ClientError::Refused(ErrorReply::new(code, "the task has ended"));
            let failure = Failure::from(refused).of_question();
            assert_eq!(
                (failure.exit_code(), failure.to_string().as_str()),
                (75, "the task has ended")
            );
        }
        let forbidden = ClientError::Refused(ErrorReply::new(ErrorCode::Forbidden, "no"));
        assert_eq!(Failure::from(forbidden).of_question().exit_code(), 77);
    }

    #[test]
    fn a_closed_pipe_is_nothing_to_talk_about() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(failure.is_silent());
        assert!(!Failure::Usage("no").is_silent());
    }
}
