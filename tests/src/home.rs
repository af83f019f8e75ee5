//! A data directory of its own for a test, and the `nod` command in it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nod_client::{Connection, new_operation};
use nod_core::command::CommandLine;
use nod_core::ids::{RequestId, TaskId};
use nod_core::paths::Paths;
use nod_core::protocol::{AuditQuery, AuditRow, Call, ListQuery, Reply, Submit, TaskDetail};
use nod_core::request::Request;
use nod_core::task::{OutputMode, StateName, Task};
use tempfile::TempDir;

use crate::means::remove_cgroups;
use crate::processes;
use crate::wait::{until, until_equal};

/// Returns a program or a library of this build.
///
/// # Panics
/// Where the test does not lie in a folder of cargo.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let this = env::current_exe().expect("a test is a program");
    let folder = this.ancestors().nth(2).expect("cargo puts tests into target/*/deps");
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: `make test` builds it", path.display());
    path
}

/// What the line of a task begins with that lends its token to the test: see [`Home::token`].
pub const LENDS_TOKEN: &str = "printf %s \"$NOD_TOKEN\" > token.new; mv token.new token; ";

/// A data directory, removed with every process in it when the test ends.
pub struct Home {
    folder: TempDir,
    variables: Vec<(&'static str, OsString)>,
    /// Who runs everything here, where that is not who runs the test.
    user: Option<u32>,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// Makes an empty data directory.
    ///
    /// # Panics
    /// When the disk does not let it.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("nod-test-").tempdir().unwrap();
        for part in ["data", "run", "home", "work"] {
            let path = folder.path().join(part);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { folder, variables: vec![], user: None }
    }

    /// Makes an empty data directory of another user, with the programs where that user finds them.
    ///
    /// Who runs the test is a stranger to a host in it: `nod` is run as that user, the person is
    /// heard, and [`Self::call`] is refused.
    ///
    /// # Panics
    /// Where the test is not run by root.
    #[must_use]
    pub fn of_user(user: u32) -> Self {
        let mut home = Self::new();
        home.user = Some(user);
        fs::create_dir(home.path().join("programs")).unwrap();
        for name in ["nod", "nod-shim", "nod-test-host"] {
            let (here, there) = (program(name), home.program(name));
            // The folder of the build may be closed to others.
            fs::hard_link(&here, &there).or_else(|_| fs::copy(&here, &there).map(drop)).unwrap();
        }
        for path in [home.path().to_owned(), home.data(), home.work()] {
            chown(path, Some(user), Some(user)).unwrap();
        }
        for part in ["run", "home"] {
            chown(home.path().join(part), Some(user), Some(user)).unwrap();
        }
        home
    }

    /// Returns a program as the user of this home runs it.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        if self.user.is_some() { self.path().join("programs").join(name) } else { program(name) }
    }

    /// Gives everything that runs here one more variable in its environment.
    #[must_use]
    pub fn with_variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Writes the config file.
    ///
    /// # Panics
    /// When the disk does not let it.
    #[must_use]
    pub fn with_config(self, text: &str) -> Self {
        fs::write(self.data().join("config.toml"), text).unwrap();
        self
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory, which is `NOD_HOME`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Returns what the names of all cgroups begin with that are made here.
    #[must_use]
    pub fn cgroup_prefix(&self) -> String {
        let paths = Paths { data: self.data(), runtime: PathBuf::new(), config: PathBuf::new() };
        format!("nod-{}-", paths.short_name())
    }

    /// A folder for tasks to run in.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Returns a command that sees this data directory and little else.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path)
            .env("LANG", "C.UTF-8")
            .env("HOME", self.path().join("home"))
            .env("NOD_HOME", self.data())
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .envs(self.variables.iter().cloned())
            .current_dir(self.work());
        for name in ["CARGO_HOME", "RUSTUP_HOME", "NOD_LOG"] {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Returns the `nod` command with these words.
    #[must_use]
    pub fn nod(&self, words: &[&str]) -> Command {
        let mut command = self.command(self.program("nod"));
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Runs `nod` to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::from(self.nod(words).output().unwrap())
    }

    /// Submits a shell line with `nod submit`, and returns its id.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    #[track_caller]
    pub fn submit(&self, line: &str) -> TaskId {
        self.submit_with(&[], &[line])
    }

    /// Submits the words with `nod submit` and these options.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    #[track_caller]
    pub fn submit_with(&self, options: &[&str], words: &[&str]) -> TaskId {
        let all: Vec<&str> =
            [&["submit"], options, &["--"], words].into_iter().flatten().copied().collect();
        let ran = self.run(&all);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(said["status"], "submitted");
        TaskId(said["task_id"].as_i64().unwrap())
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let find = |name: &str| match name {
            "NOD_HOME" => Some(self.data()),
            "XDG_RUNTIME_DIR" => Some(self.path().join("run")),
            _ => None,
        };
        nod_core::paths::Paths::find(find, 0).expect("NOD_HOME is set").socket()
    }

    /// Connects to the host as a program of the same user.
    ///
    /// # Panics
    /// When there is no host.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(&self.socket(), None).unwrap()
    }

    /// Carries out a call on a connection of its own.
    ///
    /// # Panics
    /// When the host refuses it.
    #[track_caller]
    pub fn call(&self, call: &Call) -> Reply {
        self.connect().call(call).unwrap_or_else(|error| panic!("{call:?}: {error}"))
    }

    #[must_use]
    #[track_caller]
    pub fn detail(&self, id: TaskId) -> TaskDetail {
        let Reply::Task(detail) = self.call(&Call::Show { id }) else { panic!("no task") };
        *detail
    }

    #[must_use]
    #[track_caller]
    pub fn task(&self, id: TaskId) -> Task {
        self.detail(id).task
    }

    #[must_use]
    #[track_caller]
    pub fn state(&self, id: TaskId) -> StateName {
        self.task(id).state.name()
    }

    /// Returns every task, newest first.
    #[must_use]
    #[track_caller]
    pub fn tasks(&self) -> Vec<Task> {
        let query = ListQuery { limit: Some(500), ..ListQuery::default() };
        let Reply::Tasks(page) = self.call(&Call::List(query)) else { panic!("no tasks") };
        page.tasks
    }

    /// Returns how many tasks there are in all.
    #[must_use]
    #[track_caller]
    pub fn count_of_tasks(&self) -> usize {
        let Reply::Snapshot(snapshot) = self.call(&Call::Snapshot) else { panic!("no snapshot") };
        let count: u64 = snapshot.counts.values().sum();
        usize::try_from(count).expect("fewer tasks than memory")
    }

    /// Waits until there is a file where the tasks run.
    #[track_caller]
    pub fn wait_for_file(&self, name: &str) {
        until(name, || self.work().join(name).exists().then_some(()));
    }

    /// Returns the token that a task has lent by [`LENDS_TOKEN`], as soon as it has.
    #[must_use]
    #[track_caller]
    pub fn token(&self) -> String {
        until("the token", || fs::read_to_string(self.work().join("token")).ok())
    }

    /// Waits until so many wait for a signal, as the history keeps it.
    ///
    /// # Panics
    /// When the history cannot be read.
    #[track_caller]
    pub fn wait_for_waits(&self, n: i64) {
        let history = rusqlite::Connection::open(self.data().join("nod.db")).unwrap();
        until_equal("so many to wait", &n, || {
            history.query_row("SELECT count(*) FROM waits", [], |row| row.get(0)).unwrap()
        });
    }

    /// Returns the notices in the outboxes, in their order: of which session, what, and whether it
    /// is urgent.
    ///
    /// # Panics
    /// When the history cannot be read.
    #[must_use]
    #[track_caller]
    pub fn notices(&self) -> Vec<(Option<String>, String, bool)> {
        let history = rusqlite::Connection::open(self.data().join("nod.db")).unwrap();
        let sql = "SELECT session, content, urgent FROM notices ORDER BY id";
        let mut rows = history.prepare(sql).unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Returns what the audit says of a task, newest first.
    #[must_use]
    #[track_caller]
    pub fn audit(&self, id: TaskId) -> Vec<AuditRow> {
        let query = AuditQuery { task: Some(id), ..AuditQuery::default() };
        let Reply::Audit(page) = self.call(&Call::Audit(query)) else { panic!("no audit") };
        page.rows
    }

    /// Returns the first open question of a task, as soon as there is one.
    #[must_use]
    #[track_caller]
    pub fn wait_for_request(&self, id: TaskId) -> Request {
        until("a request", || self.detail(id).requests.into_iter().find(Request::is_open))
    }

    #[must_use]
    #[track_caller]
    pub fn request(&self, task: TaskId, id: RequestId) -> Request {
        let found = self.detail(task).requests.into_iter().find(|request| request.id == id);
        found.expect("the task has this request")
    }

    /// Waits until a task is in a state.
    #[track_caller]
    pub fn wait_for_state(&self, id: TaskId, state: StateName) {
        until_equal("a state", &state, || self.state(id));
    }

    /// Returns the task once it has ended.
    #[track_caller]
    pub fn wait_for_end(&self, id: TaskId) -> Task {
        let Reply::Ended { task } = self.call(&Call::Wait { id }) else { panic!("no end") };
        *task
    }

    /// Returns the whole log of the last attempt.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn log(&self, id: TaskId) -> Vec<u8> {
        let path = self.detail(id).log_path.expect("the task was started");
        fs::read(path).unwrap()
    }

    /// Returns the log as text, with line ends as they were printed.
    #[must_use]
    #[track_caller]
    pub fn plain_log(&self, id: TaskId) -> String {
        String::from_utf8_lossy(&self.log(id)).replace("\r\n", "\n")
    }

    /// Returns what a window would submit for a shell line.
    ///
    /// # Panics
    /// When the system has no random bytes.
    #[must_use]
    pub fn shell_submit(&self, line: &str) -> Submit {
        Submit {
            operation: new_operation().unwrap(),
            command: CommandLine::Shell { line: line.to_owned() },
            cwd: self.work().to_string_lossy().into_owned(),
            environment: None,
            extra_environment: Default::default(),
            label: None,
            session: None,
            output: OutputMode::Terminal,
            options: Default::default(),
            timeout_ms: None,
            ask_first: false,
            scheduling: Default::default(),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        processes::end_all_of(self.path());
        // Killed shims leave theirs to the next host, and there is none.
        remove_cgroups(&self.cgroup_prefix());
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
