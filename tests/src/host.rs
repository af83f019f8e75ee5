//! A host that runs for a test, and the person at it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nod_client::new_operation;
use nod_core::protocol::{Call, ErrorReply, GiveAnswer, Reply};
use nod_core::request::{Answer, Closure, Request};

use crate::home::Home;

/// A running host in a data directory of its own.
pub struct TestHost {
    running: Option<Running>,
    home: Home,
}

struct Running {
    child: Child,
    person: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl TestHost {
    /// Starts a host in a new data directory.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(Home::new())
    }

    /// Starts a host in `home`.
    #[must_use]
    pub fn start_in(home: Home) -> Self {
        let mut host = Self { running: None, home };
        host.restart();
        host
    }

    /// Starts a host in `home` where what has just been shown cannot be agreed to yet, as in what
    /// is shipped.
    #[must_use]
    pub fn start_armed(home: Home) -> Self {
        Self::start_as(home, &serde_json::json!({ "armed": true }))
    }

    /// Starts a host where none is.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn restart(&mut self) {
        self.restart_as(None);
    }

    /// Starts a host in `home` that is another one than usual, as `nod-test-host` says.
    #[must_use]
    pub fn start_as(home: Home, other: &serde_json::Value) -> Self {
        let mut host = Self { running: None, home };
        host.restart_as(Some(other));
        host
    }

    /// Starts a host where none is, which may be another one than usual.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn restart_as(&mut self, other: Option<&serde_json::Value>) {
        let mut command = self.home.command(self.home.program("nod-test-host"));
        command.args(other.map(ToString::to_string));
        self.launch(command);
    }

    /// Starts a host in `home` whose system calls of these names are written into a file.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_traced(home: Home, calls: &str, file: &Path) -> Self {
        let mut command = home.command("strace");
        // The host stays the child of the test, which may kill it.
        command.args(["-D", "-f", "-qq", "-y", "-s", "4096", "-e", "signal=none", "-e"]);
        command.arg(format!("trace={calls}")).arg("-o").arg(file);
        command.arg(home.program("nod-test-host"));
        let mut host = Self { running: None, home };
        host.launch(command);
        host
    }

    #[track_caller]
    fn launch(&mut self, mut command: Command) {
        assert!(self.running.is_none(), "the host runs already");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let person = child.stdin.take().unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        let mut running = Running { child, person, replies };
        assert_eq!(running.line(), "ready");
        self.running = Some(running);
    }

    /// Kills the host as `kill -9` does.
    ///
    /// # Panics
    /// When no host runs.
    pub fn kill(&mut self) {
        let mut running = self.running.take().expect("a host runs");
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }

    /// Ends the host in order.
    ///
    /// # Panics
    /// When no host runs.
    pub fn stop(&mut self) {
        let running = self.running.take().expect("a host runs");
        drop(running.person);
        let mut child = running.child;
        assert!(child.wait().unwrap().success());
    }

    /// Waits until the host has ended in order because another one takes its place.
    ///
    /// # Panics
    /// When no host runs.
    pub fn wait_until_replaced(&mut self) {
        let mut running = self.running.take().expect("a host runs");
        assert!(running.child.wait().unwrap().success());
    }

    /// Waits until a host that lingers has been asked to end; it does so after one call more.
    ///
    /// # Panics
    /// When no host runs, or it says something else.
    pub fn wait_until_asked_to_end(&mut self) {
        let running = self.running.as_mut().expect("a host runs");
        assert_eq!(running.line(), "ending");
    }

    /// Returns the host's process id.
    ///
    /// # Panics
    /// When no host runs.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.running.as_ref().expect("a host runs").child.id().cast_signed()
    }

    /// Carries out a call as the person at the window.
    ///
    /// # Panics
    /// When no host runs.
    pub fn person(&mut self, call: &Call) -> Result<Reply, ErrorReply> {
        let running = self.running.as_mut().expect("a host runs");
        running.say(&serde_json::to_string(call).unwrap());
        let line = running.line();
        let reply: Result<Reply, ErrorReply> = serde_json::from_str(&line).unwrap();
        reply
    }

    /// Says a call as the person, and does not wait for what becomes of it.
    ///
    /// The host is to be killed next: its reply would be taken for that of another call.
    ///
    /// # Panics
    /// When no host runs.
    pub fn say_as_person(&mut self, call: &Call) {
        let running = self.running.as_mut().expect("a host runs");
        running.say(&serde_json::to_string(call).unwrap());
    }

    /// Answers a question as the person, bound to what was shown.
    ///
    /// # Panics
    /// When the answer is refused.
    #[track_caller]
    pub fn answer(&mut self, request: &Request, answer: Answer) -> Closure {
        match self.try_answer(request, answer) {
            Ok(Reply::Closed { closure, .. }) => closure,
            other => panic!("{other:?}"),
        }
    }

    /// Answers a question as the person.
    pub fn try_answer(&mut self, request: &Request, answer: Answer) -> Result<Reply, ErrorReply> {
        self.person(&Call::Answer(GiveAnswer {
            operation: new_operation().unwrap(),
            request: request.id,
            answer,
            comment: None,
            shown: request.hash.clone(),
        }))
    }

    /// Returns how many statements the host's writer has run.
    ///
    /// # Panics
    /// When no host runs.
    #[must_use]
    pub fn statements(&mut self) -> u64 {
        let running = self.running.as_mut().expect("a host runs");
        running.say("statements");
        running.line().parse().unwrap()
    }
}

impl Deref for TestHost {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.home
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

impl Running {
    fn say(&mut self, line: &str) {
        writeln!(self.person, "{line}").unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
