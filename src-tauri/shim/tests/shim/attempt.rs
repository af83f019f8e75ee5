//! An attempt folder with a running shim, and a host's side of the connection.
//!
//! Every process of an attempt carries its mark in the environment, so that a
//! test can tell whether one of them is still alive wherever it has gone.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::shim::{
    EXIT_FILE, FromShim, LOG_FILE, Report, SHIM_PROTOCOL, SHIM_SOCKET, SPEC_FILE, Spec, Status,
    ToShim,
};
use nod_core::task::OutputMode;
use tempfile::TempDir;

/// Long enough for a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_secs(60);
const MARK: &str = "NOD_SHIM_TEST";

/// What to run, before it runs.
pub(crate) struct Attempt {
    folder: TempDir,
    pub(crate) spec: Spec,
    mark: String,
}

impl Attempt {
    pub(crate) fn of(argv: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let spec = Spec {
            protocol: SHIM_PROTOCOL,
            task: TaskId(7),
            attempt: AttemptNumber::FIRST,
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            cwd: folder.path().to_str().unwrap().to_owned(),
            output: OutputMode::Pipe,
            timeout_ms: None,
            grace_ms: 200,
            open_files: None,
            umask: None,
            keep_children: false,
            log_limit: None,
            cgroup: None,
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}-{}", std::process::id(), folder.path().display());
        Self { folder, spec, mark }
    }

    pub(crate) fn shell(script: &str) -> Self {
        Self::of(&["sh", "-c", script])
    }

    pub(crate) fn python(script: &str) -> Self {
        Self::of(&["python3", "-c", script])
    }

    pub(crate) fn in_terminal(mut self) -> Self {
        self.spec.output = OutputMode::Terminal;
        self
    }

    pub(crate) fn interactive(mut self) -> Self {
        self.spec.output = OutputMode::Interactive;
        self
    }

    pub(crate) fn direct(mut self) -> Self {
        self.spec.output = OutputMode::Direct;
        self
    }

    pub(crate) fn log_limit(mut self, bytes: u64) -> Self {
        self.spec.log_limit = Some(bytes);
        self
    }

    pub(crate) fn timeout(mut self, milliseconds: u64) -> Self {
        self.spec.timeout_ms = Some(milliseconds);
        self
    }

    pub(crate) fn grace(mut self, milliseconds: u64) -> Self {
        self.spec.grace_ms = milliseconds;
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the command that starts a shim on this attempt.
    pub(crate) fn command(&self) -> Command {
        fs::write(self.folder().join(SPEC_FILE), serde_json::to_vec(&self.spec).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nod-shim"));
        command.arg(self.folder()).env(MARK, &self.mark).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Starts a shim that has a host from the start.
    pub(crate) fn start(self) -> (Running, Host) {
        let command = self.command();
        self.start_as(command)
    }

    pub(crate) fn start_as(self, mut command: Command) -> (Running, Host) {
        let (ours, shims) = UnixStream::pair().unwrap();
        let shim = command.stdin(OwnedFd::from(shims)).spawn().unwrap();
        // The command holds the shim's end, which would never close for us.
        drop(command);
        (Running { attempt: self, shim }, Host::on(ours))
    }

    /// Starts a shim that no host is connected to.
    pub(crate) fn start_alone(self) -> Running {
        let shim = self.command().spawn().unwrap();
        Running { attempt: self, shim }
    }

    pub(crate) fn run(self) -> Finished {
        let (running, host) = self.start();
        running.finish(host)
    }
}

/// A shim at work. Stops it and its task when dropped.
pub(crate) struct Running {
    pub(crate) attempt: Attempt,
    pub(crate) shim: Child,
}

/// What an attempt came to.
pub(crate) struct Finished {
    pub(crate) report: Report,
    pub(crate) log: Vec<u8>,
    /// Everything the host heard, from its first message on.
    pub(crate) heard: Vec<FromShim>,
    folder: TempDir,
}

impl Finished {
    /// Returns what the task has written into its folder.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.log.clone()).unwrap()
    }
}

impl Running {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.attempt.folder().join(name)
    }

    pub(crate) fn log(&self) -> Vec<u8> {
        fs::read(self.path(LOG_FILE)).unwrap()
    }

    /// Connects as a host that adopts the task.
    pub(crate) fn connect(&self) -> Host {
        let mut stream = None;
        wait_until("the socket accepts", || {
            stream = connect(self.attempt.folder()).ok();
            stream.is_some()
        });
        Host::on(stream.unwrap())
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.shim);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Hears the end, checks that nobody of the task is alive, acknowledges, and waits for the
    /// shim to go.
    pub(crate) fn finish(self, mut host: Host) -> Finished {
        let report = host.ended();
        let living = self.living();
        assert!(living.is_empty(), "still alive: {living:?}");
        host.send(&ToShim::Acknowledge);
        let mut finished = self.wait();
        assert_eq!(finished.report, report);
        finished.heard = host.heard;
        finished
    }

    /// Waits for the shim to go by itself.
    pub(crate) fn wait(mut self) -> Finished {
        let status = self.shim.wait().unwrap();
        assert_eq!(status.code(), Some(0));
        assert!(!self.path(SHIM_SOCKET).exists());
        let report = serde_json::from_slice(&fs::read(self.path(EXIT_FILE)).unwrap()).unwrap();
        let log = fs::read(self.path(LOG_FILE)).unwrap_or_default();
        let empty = tempfile::tempdir().unwrap();
        let folder = std::mem::replace(&mut self.attempt.folder, empty);
        Finished { report, log, heard: Vec::new(), folder }
    }

    /// Waits until the shim sleeps, and returns in how many seconds it wakes up by itself; nothing
    /// where it never does. It waits for its files without a limit, and each time is one of those.
    pub(crate) fn rests(&self) -> Option<u64> {
        let process = PathBuf::from(format!("/proc/{}", self.shim.id()));
        let status = || fs::read_to_string(process.join("status")).unwrap();
        let value = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().to_owned()
        };
        let timer = |file: fs::DirEntry| {
            let text = fs::read_to_string(file.path()).ok()?;
            let left = text.lines().find_map(|line| line.strip_prefix("it_value: ("))?;
            let (seconds, rest) = left.split_once(", ")?;
            (left != "0, 0)" && !rest.is_empty()).then(|| seconds.parse::<u64>().unwrap())
        };
        let mut wakes = None;
        wait_until("the shim rests", || {
            let before = status();
            let timers = fs::read_dir(process.join("fdinfo")).unwrap().flatten().filter_map(timer);
            wakes = timers.min();
            let after = status();
            let switches = "voluntary_ctxt_switches:";
            let is_asleep = value(&before, "State:") == "S" && value(&after, "State:") == "S";
            let is_still = value(&before, switches) == value(&after, switches);
            is_asleep && is_still && wakes.is_none_or(|seconds| seconds > 0)
        });
        wakes
    }

    /// Returns the command lines of the task's living processes.
    pub(crate) fn living(&self) -> Vec<String> {
        let line = |folder: PathBuf| fs::read_to_string(folder.join("cmdline")).unwrap_or_default();
        self.living_folders().map(line).map(|line| line.replace('\0', " ")).collect()
    }

    /// Returns the states of the task's living processes, as proc_pid_stat(5) has them.
    pub(crate) fn living_states(&self) -> Vec<String> {
        let stat = |folder: PathBuf| fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let state = |stat: String| {
            let (_, rest) = stat.rsplit_once(") ")?;
            rest.split(' ').next().map(str::to_owned)
        };
        self.living_folders().map(stat).filter_map(state).collect()
    }

    /// Kills what a shim has left alone.
    pub(crate) fn kill_living(&self) {
        wait_until("everything is gone", || {
            let mut count = 0;
            for folder in self.living_folders() {
                count += 1;
                let pid = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
            count == 0
        });
    }

    fn living_folders(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let own = self.shim.id().to_string();
        let entry = format!("{MARK}={}", self.attempt.mark);
        let is_ours = move |folder: &PathBuf| {
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            !folder.ends_with(&own)
                && environment.split(|byte| *byte == 0).any(|it| it == entry.as_bytes())
        };
        entries.map(|entry| entry.path()).filter(is_ours)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Until the shim was waited for, its number is its own.
        if self.shim.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(rustix::process::Signal::TERM);
            self.shim.wait().unwrap();
        }
    }
}

/// One host's connection to a shim.
pub(crate) struct Host {
    lines: BufReader<UnixStream>,
    pub(crate) heard: Vec<FromShim>,
}

impl Host {
    pub(crate) fn on(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { lines: BufReader::new(stream), heard: Vec::new() }
    }

    pub(crate) fn next(&mut self) -> FromShim {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let message: FromShim = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{line:?}: {error}, after {:?}", self.heard));
        self.heard.push(message.clone());
        message
    }

    /// Hears messages until one is what the caller looks for.
    pub(crate) fn until<T>(&mut self, mut pick: impl FnMut(FromShim) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(self.next()) {
                return found;
            }
        }
    }

    pub(crate) fn status(&mut self) -> Status {
        match self.next() {
            FromShim::Status(status) => status,
            other => panic!("expected the status first, not {other:?}"),
        }
    }

    pub(crate) fn started(&mut self) -> i32 {
        self.until(|message| match message {
            FromShim::Started { process, .. } => Some(process.pid),
            _ => None,
        })
    }

    /// Hears the report, or returns the one that was heard already.
    pub(crate) fn ended(&mut self) -> Report {
        let report = |message: &FromShim| match message {
            FromShim::Ended { report } => Some(report.clone()),
            FromShim::Status(status) => status.report.clone(),
            _ => None,
        };
        if let Some(heard) = self.heard.iter().find_map(report) {
            return heard;
        }
        self.until(|message| report(&message))
    }

    /// Waits until the log has at least `size` bytes.
    pub(crate) fn output(&mut self, size: u64) {
        self.until(|message| match message {
            FromShim::Output { size: now } => (now >= size).then_some(()),
            FromShim::Status(status) => (status.size >= size).then_some(()),
            _ => None,
        });
    }

    pub(crate) fn send(&mut self, message: &ToShim) {
        let mut line = serde_json::to_vec(message).unwrap();
        line.push(b'\n');
        self.write(&line);
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.lines.get_mut().write_all(bytes).unwrap();
    }

    /// Waits until the shim has hung up.
    pub(crate) fn hung_up(mut self) -> bool {
        let mut rest = Vec::new();
        match self.lines.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    pub(crate) fn stages(&self) -> Vec<String> {
        let signal = |message: &FromShim| match message {
            FromShim::Stopping { stage, .. } => Some(stage.signal.clone()),
            _ => None,
        };
        self.heard.iter().filter_map(signal).collect()
    }
}

/// Connects by a path that is short enough, wherever the folder is.
fn connect(folder: &Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(folder.join(SHIM_SOCKET))
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
