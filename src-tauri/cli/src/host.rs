//! The way from a verb to a host: where it is, how long to wait for it, and when to start one.

use std::time::{Duration, Instant};

use nod_client::{
    ClientError, Connection, Door, Next, TaskEnvironment, find_paths, persist, stop_host,
};
use nod_core::paths::Paths;
use nod_core::protocol::{Call, ErrorCode, ErrorReply, HostKind, ListQuery, Reply, Welcome};

use crate::failure::Failure;
use crate::start::{Started, start_host};
use crate::{ancestors, output};

/// How long an ordinary verb waits for a host.
const WAIT_FOR_HOST: Duration = Duration::from_secs(10);

/// How long a host may take to answer an ordinary verb.
const ANSWER: Duration = Duration::from_secs(30);

/// How long after its start a host that another process runs may take to listen.
const WAIT_FOR_OTHER: Duration = Duration::from_secs(5);

/// How long a host that was there before another start may take to listen; a dying one never does.
const LISTENS_OR_DIES: Duration = Duration::from_millis(500);

/// How long a host that was lost may take to come back before a waiting verb starts one.
const GRACE: Duration = Duration::from_secs(5);

/// Where this process stands.
pub(crate) enum Host {
    /// In a task: its host is named, and is never started from here.
    OfTask(TaskEnvironment),
    OfUser(Paths),
}

/// What a verb waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A reply at once.
    Ordinary,
    /// Something that may happen in days, beyond the end of a host.
    Waiting,
}

impl Host {
    /// Returns the host of the task that this process is in, or else of the user.
    pub(crate) fn find() -> Result<Self, Failure> {
        match TaskEnvironment::find(|name| std::env::var_os(name)) {
            Some(task) => Ok(Self::OfTask(task)),
            None => Ok(Self::OfUser(find_paths()?)),
        }
    }

    /// Returns the task that this process is in, which `verb` needs.
    pub(crate) fn task(self, verb: &'static str) -> Result<TaskEnvironment, Failure> {
        match self {
            Self::OfTask(task) => Ok(task),
            Self::OfUser(_) => Err(Failure::OutsideTask { verb }),
        }
    }

    /// Returns the way to the host as any program of this user has it.
    ///
    /// A task's token opens little more than what concerns the task itself.
    pub(crate) fn door(&self) -> Door {
        let socket = match self {
            Self::OfTask(task) => task.socket.clone(),
            Self::OfUser(paths) => nod_client::find_socket(paths),
        };
        Door { socket, token: None }
    }

    /// Asks the host, which is started if need be.
    pub(crate) fn call(&self, call: &Call) -> Result<Reply, Failure> {
        self.ask(&self.door(), call, ANSWER)
    }

    /// Asks the host for the task that this process is in, which `verb` needs.
    pub(crate) fn call_in_task(&self, verb: &'static str, call: &Call) -> Result<Reply, Failure> {
        match self {
            Self::OfTask(_) => self.call_for_task(call),
            Self::OfUser(_) => Err(Failure::OutsideTask { verb }),
        }
    }

    /// Returns the way to ask a person: for the task that this process is in, or else for itself.
    ///
    /// The host of a user is started if need be; that of a task is waited for.
    pub(crate) fn door_to_ask(&self) -> Result<Door, Failure> {
        match self {
            Self::OfTask(task) => Ok(task.door()),
            Self::OfUser(_) => {
                self.call(&Call::List(ListQuery { limit: Some(1), ..ListQuery::default() }))?;
                Ok(self.door())
            }
        }
    }

    /// Asks the host for the task that this process is in, if it is in one.
    pub(crate) fn call_for_task(&self, call: &Call) -> Result<Reply, Failure> {
        match self {
            Self::OfTask(task) => self.ask(&task.door(), call, ANSWER),
            Self::OfUser(_) => self.call(call),
        }
    }

    fn ask(&self, door: &Door, call: &Call, answer: Duration) -> Result<Reply, Failure> {
        let mut patience = Patience::new(self, Kind::Ordinary);
        let deadline = Some(Instant::now() + WAIT_FOR_HOST);
        let mut is_older = false;
        let attempt = |connection: &mut Connection| {
            let reply = connection.call_within(answer, call)?;
            is_older = connection.welcome().is_some_and(is_older_host);
            Ok(reply)
        };
        let between = |error: &ClientError| patience.between(error);
        let reply = persist(door, deadline, attempt, between)
            .map_err(|failure| self.about_silence(failure, call))?;
        if is_older {
            self.take_over(door);
        }
        Ok(reply)
    }

    /// Puts a host of this version in the place of an older one; whoever waits there notices nothing.
    fn take_over(&self, door: &Door) {
        if self.startable().is_none() {
            return;
        }
        match stop_host(door, ANSWER) {
            // It says nothing more: its end is what is waited for.
            Ok(mut connection) => drop(connection.receive()),
            // It was faster to end than to say so, or somebody else had asked it before.
            Err(error) if error.is_passing() => {}
            // What was asked for is done: the next command meets the older host again.
            Err(error) => {
                output::note(&format!("the older host goes on: {}", Failure::from(error)));
                return;
            }
        }
        if let Err(failure) = self.wait_for_newer(door) {
            output::note(&format!("no host has come in the older one's place yet: {failure}"));
        }
    }

    /// Returns once a host answers that is not older, which is started if need be: the older one may
    /// have its lock a moment longer than its connections.
    fn wait_for_newer(&self, door: &Door) -> Result<(), Failure> {
        let mut patience = Patience::new(self, Kind::Ordinary);
        let deadline = Some(Instant::now() + WAIT_FOR_HOST);
        let any = Call::List(ListQuery { limit: Some(1), ..ListQuery::default() });
        let answered = |connection: &mut Connection| {
            connection.call_within(ANSWER, &any)?;
            if connection.welcome().is_some_and(is_older_host) {
                let goes = ErrorReply::new(ErrorCode::Stopping, "the older host is ending");
                return Err(ClientError::Refused(goes));
            }
            Ok(())
        };
        persist(door, deadline, answered, |error| patience.between(error))
    }

    /// Says of a host that did not answer where its log is, and whether `call` may have been taken.
    pub(crate) fn about_silence(&self, failure: Failure, call: &Call) -> Failure {
        let Failure::Client(ClientError::Silent { pid }) = failure else { return failure };
        let log = match self {
            Self::OfUser(paths) => Some(paths.host_log()),
            Self::OfTask(_) => None,
        };
        let taken = call.operation().is_some();
        Failure::HostSilent { pid, log, taken }
    }

    /// Does `attempt` until it succeeds, for as long as that takes and with as many hosts.
    pub(crate) fn keep_asking<T>(
        &self,
        attempt: impl FnMut(&mut Connection) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        let mut patience = Patience::new(self, Kind::Waiting);
        persist(&self.door(), None, attempt, |error| patience.between(error))
    }

    /// Returns where the data lies, if a host may be started for it from here.
    fn startable(&self) -> Option<&Paths> {
        match self {
            Self::OfUser(paths) if !ancestors::hold_a_shim() => Some(paths),
            Self::OfUser(_) | Self::OfTask(_) => None,
        }
    }
}

/// Returns whether a host without a window is of an older version than this program.
fn is_older_host(welcome: &Welcome) -> bool {
    let numbers = |version: &str| -> Option<Vec<u32>> {
        version.split('.').map(|number| number.parse().ok()).collect()
    };
    let own = numbers(env!("CARGO_PKG_VERSION"));
    welcome.host == HostKind::Headless && numbers(&welcome.version).is_some_and(|it| Some(it) < own)
}

/// What has been tried so far to reach a host.
struct Patience<'a> {
    host: &'a Host,
    kind: Kind,
    lost_at: Option<Instant>,
    /// The host said that it goes, so somebody wants none to run.
    stopped: bool,
    /// What came of the last start, and when the first one was over.
    started: Option<(Started, Instant)>,
    told: bool,
}

impl<'a> Patience<'a> {
    fn new(host: &'a Host, kind: Kind) -> Self {
        Self { host, kind, lost_at: None, stopped: false, started: None, told: false }
    }

    fn between(&mut self, error: &ClientError) -> Result<Next, Failure> {
        if let ClientError::Version { pid } = error {
            return self.replace_older(*pid);
        }
        if !matches!(error, ClientError::NoHost { .. }) {
            self.lost_at = Some(Instant::now());
            self.started = None;
            self.stopped =
                matches!(error, ClientError::Refused(e) if e.code == ErrorCode::Stopping);
            return Ok(Next::Later);
        }
        if self.must_wait() {
            self.tell();
            return Ok(Next::Later);
        }
        let Some(paths) = self.host.startable() else {
            self.tell();
            return Ok(Next::Later);
        };
        let (last, first_at) = self.started.unzip();
        match after_start(last, first_at.map(|at| at.elapsed()).unwrap_or_default()) {
            Step::Start => self.start(),
            Step::Wait => Ok(Next::Later),
            Step::GiveUp => Err(Failure::HostUnreachable {
                socket: nod_client::find_socket(paths),
                log: paths.host_log(),
            }),
        }
    }

    /// Returns whether another host is likely to come, or none is wanted.
    fn must_wait(&self) -> bool {
        self.kind == Kind::Waiting
            && self.lost_at.is_some_and(|at| self.stopped || at.elapsed() < GRACE)
    }

    fn start(&mut self) -> Result<Next, Failure> {
        let started = start_host()?;
        let first_at = self.started.map(|(_, first_at)| first_at);
        self.started = Some((started, first_at.unwrap_or_else(Instant::now)));
        // A host that goes again and again is not started in a busy loop.
        let is_first = first_at.is_none();
        Ok(if started == Started::Ready && is_first { Next::Now } else { Next::Later })
    }

    /// Has an older host make way; a newer one does not speak to this program at all.
    fn replace_older(&mut self, pid: i32) -> Result<Next, Failure> {
        if self.host.startable().is_none() {
            // A task's host is replaced by whoever is outside of it.
            self.tell();
            return Ok(Next::Later);
        }
        match stop_host(&self.host.door(), ANSWER) {
            Ok(_) => Ok(Next::Later),
            Err(error) if error.is_passing() && !matches!(error, ClientError::Version { .. }) => {
                Ok(Next::Later)
            }
            Err(ClientError::Refused(error)) if error.code == ErrorCode::Conflict => {
                Err(Failure::OlderApp { pid })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn tell(&mut self) {
        if self.kind == Kind::Waiting && !self.told {
            output::note("no host runs; waiting for the next one");
            self.told = true;
        }
    }
}

/// What to do where no host listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Start,
    Wait,
    GiveUp,
}

/// Returns what to do without a host, by what came of the last start and the time since the first.
fn after_start(last: Option<Started>, since_first: Duration) -> Step {
    match last {
        None => Step::Start,
        Some(_) if since_first >= WAIT_FOR_OTHER => Step::GiveUp,
        // It listened, and somebody has stopped it since.
        Some(Started::Ready) => Step::Start,
        Some(Started::Gone) if since_first < LISTENS_OR_DIES => Step::Wait,
        Some(Started::Gone) => Step::Start,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use nod_client::new_operation;
    use nod_core::ids::TaskId;

    use super::*;

    #[test]
    fn a_frozen_host_is_given_up_and_what_it_may_have_done_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let find = |name: &str| (name == "NOD_HOME").then(|| folder.path().to_owned());
        let host = Host::OfUser(Paths::find(find, 0).unwrap());
        let socket = folder.path().join("frozen.sock");
        // It accepts nothing, as a host that was stopped with a signal.
        let _listener = UnixListener::bind(&socket).unwrap();
        let door = Door { socket, token: None };
        let again = Call::RunAgain { operation: new_operation().unwrap(), id: TaskId(1) };
        for (call, taken) in [(Call::Snapshot, false), (again, true)] {
            let failure = host.ask(&door, &call, Duration::from_millis(20)).unwrap_err();
            assert_eq!(failure.exit_code(), crate::exit::NO_HOST);
            let text = failure.to_string();
            let log = folder.path().join("host.log").display().to_string();
            assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
            assert!(text.contains(&log), "{text}");
            assert_eq!(text.contains("may have done this"), taken, "{text}");
        }
    }

    #[test]
    fn a_host_that_was_stopped_right_after_its_start_is_started_again() {
        let soon = WAIT_FOR_OTHER / 2;
        let cases = [
            ("none was started", None, Duration::ZERO, Step::Start),
            ("it listened, and has gone", Some(Started::Ready), soon, Step::Start),
            ("it goes every time", Some(Started::Ready), WAIT_FOR_OTHER, Step::GiveUp),
            ("another was first", Some(Started::Gone), LISTENS_OR_DIES / 2, Step::Wait),
            ("that other was about to end", Some(Started::Gone), LISTENS_OR_DIES, Step::Start),
            ("that other never listens", Some(Started::Gone), WAIT_FOR_OTHER, Step::GiveUp),
        ];
        for (name, last, since_first, expected) in cases {
            assert_eq!(after_start(last, since_first), expected, "{name}");
        }
    }
}
