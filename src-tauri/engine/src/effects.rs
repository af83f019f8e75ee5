//! Carrying out what the dispatcher decided, off its thread.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use nod_core::environment::Environment;
use nod_core::ids::{AttemptNumber, TaskId, Timestamp};
use nod_core::shim::{CLAIM_FILE, Claimant, LOG_FILE, SPEC_FILE, Spec, ToShim};
use nod_core::task::SpawnError;
use nod_core::transition::Effect;

use crate::clock;
use crate::dispatcher::{Message, Said};
use crate::process::{self, Cgroup, Lost, Place, Programs, Sessions};
use crate::retention;
use crate::shims::{Link, Shims};
use crate::store::{AttemptRow, Readers, Seal, StoreError};
use crate::tokens::Token;

/// How many tasks are being started at once.
const WORKERS: usize = 2;

/// How much room on the disk there must be before tasks are started where there was none, in bytes.
const ROOM: usize = 64 * 1024;

/// Everything that starting one attempt takes.
pub(crate) struct Start {
    pub(crate) spec: Spec,
    pub(crate) folder: PathBuf,
    pub(crate) token: Token,
    /// The task's environment, or nothing when it is to be read by its digest.
    pub(crate) environment: Option<Arc<Environment>>,
    pub(crate) digest: Vec<u8>,
    /// The folder that a person was shown, where one was asked.
    pub(crate) place: Option<Place>,
}

enum Job {
    Start(Box<Start>, tokio::sync::mpsc::UnboundedReceiver<ToShim>),
    Sweep(TaskId, AttemptNumber),
    Remove(Vec<String>),
}

/// The way from the dispatcher to the workers.
#[derive(Clone)]
pub(crate) struct Effects {
    jobs: Sender<Job>,
    shims: Shims,
    tasks: PathBuf,
}

/// What a worker works with.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) programs: Programs,
    pub(crate) readers: Readers,
    pub(crate) seal: Seal,
    pub(crate) shims: Shims,
    pub(crate) inbox: Sender<Message>,
    /// What every task is told of its host.
    pub(crate) socket: PathBuf,
    pub(crate) bin: PathBuf,
    pub(crate) tasks: PathBuf,
    /// What the cgroups of its attempts have in their names.
    pub(crate) short_name: String,
}

impl Effects {
    /// Starts the workers.
    pub(crate) fn begin(worker: &Worker) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (jobs, todo) = crossbeam_channel::unbounded();
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            let (worker, todo) = (worker.clone(), todo.clone());
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            workers.push(thread.spawn(move || worker.run(&todo))?);
        }
        let effects = Self { jobs, shims: worker.shims.clone(), tasks: worker.tasks.clone() };
        Ok((effects, workers))
    }

    /// Returns a way to workers that never come.
    #[cfg(test)]
    pub(crate) fn idle(shims: Shims, tasks: PathBuf) -> Self {
        let (jobs, todo) = crossbeam_channel::unbounded();
        // Kept open for as long as the test runs.
        std::mem::forget(todo);
        Self { jobs, shims, tasks }
    }

    /// Returns the folder of an attempt.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.tasks.join(name)
    }

    pub(crate) fn start(&self, start: Start) {
        // Made before the shim is there, so that a cancel that follows at once finds it.
        let orders = self.shims.expect(start.spec.task, start.spec.attempt);
        self.hand_over(Job::Start(Box::new(start), orders));
    }

    pub(crate) fn carry_out(&self, id: TaskId, attempt: AttemptNumber, effect: &Effect) {
        match effect {
            Effect::Stop => self.shims.tell(id, attempt, ToShim::Stop),
            Effect::Acknowledge => self.shims.tell(id, attempt, ToShim::Acknowledge),
            Effect::Sweep => self.sweep(id, attempt),
            // These are decided, not carried out.
            Effect::Start | Effect::Withdraw { .. } => {}
        }
    }

    /// Ends the processes of a lost attempt.
    pub(crate) fn sweep(&self, id: TaskId, attempt: AttemptNumber) {
        self.hand_over(Job::Sweep(id, attempt));
    }

    /// Returns whether there is room on the disk for what a start writes.
    pub(crate) fn has_room(&self) -> bool {
        let probe = self.tasks.join("room.probe");
        let written = fs::write(&probe, [0; ROOM]).is_ok();
        // What could not be written may be there in part.
        fs::remove_file(&probe).ok();
        written
    }

    /// Tells a shim something.
    pub(crate) fn tell(&self, id: TaskId, attempt: AttemptNumber, order: ToShim) {
        self.shims.tell(id, attempt, order);
    }

    /// Returns the protocol that an attempt's shim speaks.
    pub(crate) fn shim_protocol(&self, id: TaskId, attempt: AttemptNumber) -> u32 {
        self.shims.protocol(id, attempt)
    }

    /// Returns whether an attempt's shim says what became of what it was told to type.
    pub(crate) fn types_once(&self, id: TaskId, attempt: AttemptNumber) -> bool {
        self.shims.types_once(id, attempt)
    }

    /// Deletes the folders of attempts that are in the history no more.
    pub(crate) fn remove(&self, folders: &[String]) {
        if !folders.is_empty() {
            self.hand_over(Job::Remove(folders.to_vec()));
        }
    }

    fn hand_over(&self, job: Job) {
        self.jobs.send(job).expect("the workers live as long as the dispatcher");
    }
}

impl Worker {
    fn run(&self, todo: &Receiver<Job>) {
        for job in todo {
            match job {
                Job::Start(start, orders) => self.start(&start, orders),
                Job::Sweep(id, attempt) => self.sweep(id, attempt),
                Job::Remove(mut folders) => {
                    // What stays is tried again by the next host at the latest.
                    folders.retain(|folder| retention::remove(&self.tasks, folder));
                    // Nobody to tell means that the host is ending.
                    drop(self.inbox.send(Message::Swept(folders)));
                }
            }
        }
    }

    fn start(&self, start: &Start, orders: tokio::sync::mpsc::UnboundedReceiver<ToShim>) {
        let (id, attempt) = (start.spec.task, start.spec.attempt);
        match self.started(start) {
            Ok(shim) => {
                let folder = start.folder.clone();
                let limit = start.spec.timeout_ms.map(Duration::from_millis);
                self.shims.link(
                    Link {
                        id,
                        attempt,
                        folder,
                        prompt: None,
                        limit,
                        is_ending: false,
                        orders,
                        child: Some(shim.child),
                    },
                    shim.socket,
                );
            }
            Err(why) if why.is_passing() => {
                // No shim was there, so nothing else is.
                drop(fs::remove_dir_all(&start.folder));
                self.shims.forget(id, attempt);
                let error = spawn_error(start, &why);
                drop(self.inbox.send(Message::Shim(id, attempt, Said::NoRoom { error })));
            }
            Err(why) => {
                tracing::error!(task = id.0, "failed to start a shim: {why}");
                self.shims.forget(id, attempt);
                let error = spawn_error(start, &why);
                // Nobody to tell means that the host is ending.
                drop(self.inbox.send(Message::Shim(id, attempt, Said::StartFailed { error })));
            }
        }
    }

    /// Ends what the processes of a lost attempt are, and says what could not be ended.
    fn sweep(&self, id: TaskId, attempt: AttemptNumber) {
        let (sessions, cgroup) = self.traces(id, attempt).unwrap_or_else(|error| {
            tracing::warn!(task = id.0, "only marked processes are looked for: {error}");
            (None, None)
        });
        let left = process::sweep(&Lost { socket: &self.socket, id, attempt, sessions, cgroup });
        // Nobody to tell means that the host is ending; the next one looks again.
        drop(self.inbox.send(Message::SweptTry(id, attempt, left)));
    }

    /// Returns what an attempt's processes are known by beside their variables.
    fn traces(
        &self,
        id: TaskId,
        attempt: AttemptNumber,
    ) -> Result<(Option<Sessions>, Option<Cgroup>), StoreError> {
        let attempts = self.readers.lend()?.attempts(id)?;
        let Some(row) = attempts.into_iter().find(|row| row.number == attempt) else {
            return Ok((None, None));
        };
        let folder = self.tasks.join(&row.folder);
        let spec = fs::read(folder.join(SPEC_FILE)).unwrap_or_default();
        let spec = serde_json::from_slice::<Spec>(&spec).ok();
        let cgroup =
            spec.and_then(|spec| Cgroup::named(&spec.cgroup?, &self.short_name, id, attempt));
        Ok((sessions(&row, &folder), cgroup))
    }

    fn started(&self, start: &Start) -> Result<process::StartedShim, StartError> {
        let environment = match &start.environment {
            Some(environment) => Arc::clone(environment),
            None => Arc::new(self.stored_environment(&start.digest)?),
        };
        check_folder(&start.spec.cwd, start.place)?;
        make_folder(&start.folder)?;
        write_spec(&start.folder.join(SPEC_FILE), &start.spec)?;
        let environment = self.task_environment(start, &environment);
        let program = &self.programs.shim;
        process::start_shim(program, &start.folder, &environment)
            .map_err(|source| StartError::Shim { program: program.clone(), source })
    }

    fn stored_environment(&self, digest: &[u8]) -> Result<Environment, StoreError> {
        let sealed = self.readers.lend()?.environment(digest)?.ok_or(StoreError::Seal)?;
        self.seal.open(&sealed)
    }

    /// Returns the task's environment with what Nod adds to it.
    fn task_environment(&self, start: &Start, given: &Environment) -> Environment {
        let mut environment = given.clone();
        let mut set = |name: &str, value: String| {
            environment.insert(name.to_owned(), value);
        };
        set("NOD_SOCKET", self.socket.to_string_lossy().into_owned());
        set("NOD_TASK_ID", start.spec.task.to_string());
        set("NOD_ATTEMPT", start.spec.attempt.to_string());
        set("NOD_TOKEN", start.token.secret().to_owned());
        set("PAGER", "cat".into());
        set("GIT_PAGER", "cat".into());
        set("CARGO_TERM_PROGRESS_TERM_INTEGRATION", "true".into());
        if start.spec.output.is_terminal() {
            set("TERM", "xterm-256color".into());
        }
        let path = environment.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
        let path = format!("{}:{path}", self.bin.display());
        environment.insert("PATH".into(), path);
        environment
    }
}

/// Returns what an attempt's sessions are known by; nothing where they are of another boot.
fn sessions(row: &AttemptRow, folder: &Path) -> Option<Sessions> {
    // A host's claim is empty, and so is one on a full disk.
    let claim = fs::read(folder.join(CLAIM_FILE)).unwrap_or_default();
    let shim = serde_json::from_slice::<Claimant>(&claim).ok()?;
    if shim.boot_id != process::boot_id() {
        return None;
    }
    let printed = fs::metadata(folder.join(LOG_FILE)).and_then(|log| log.modified()).ok();
    let lived = [row.started_at, row.exited_at, printed.map(clock::timestamp)];
    let lived = lived.into_iter().flatten().max().unwrap_or(Timestamp(0));
    let lived_ms = process::since_boot_ms().saturating_sub(clock::now().since(lived));
    Some(Sessions { shim, main: row.process, lived_ms })
}

/// Why a shim could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("failed to start {}: {source}", .program.display())]
    Shim { program: PathBuf, source: io::Error },
    #[error("the folder is another one than when the task was submitted: it is {} now", .0.display())]
    FolderMoved(PathBuf),
    #[error("the folder is another one than the one that was shown, though it has its name: {0}")]
    FolderReplaced(String),
}

impl StartError {
    /// Returns whether another start may do better with nothing changed but time.
    fn is_passing(&self) -> bool {
        match self {
            Self::Store(StoreError::Full | StoreError::Unwritable(_)) => true,
            Self::Io(source) | Self::Shim { source, .. } => process::is_shortage(source),
            Self::Store(_) | Self::FolderMoved(_) | Self::FolderReplaced(_) => false,
        }
    }
}

fn spawn_error(start: &Start, why: &StartError) -> SpawnError {
    SpawnError {
        program: start.spec.argv.first().cloned().unwrap_or_default(),
        cwd: start.spec.cwd.clone(),
        message: why.to_string(),
        not_found: false,
    }
}

/// Refuses a folder that was put in the place of the one that was shown.
fn check_folder(cwd: &str, shown: Option<Place>) -> Result<(), StartError> {
    match (fs::canonicalize(cwd), Place::of(Path::new(cwd))) {
        (Ok(real), _) if real != Path::new(cwd) => Err(StartError::FolderMoved(real)),
        (Ok(_), Ok(now)) if shown.is_some_and(|shown| shown != now) => {
            Err(StartError::FolderReplaced(cwd.to_owned()))
        }
        // One that is gone is told better by the shim.
        (Ok(_), _) | (Err(_), _) => Ok(()),
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let make = || DirBuilder::new().recursive(true).mode(0o700).create(folder);
    // The day's folder goes with the last one in it, which may be just now.
    make().or_else(
        |error| {
            if error.kind() == io::ErrorKind::NotFound { make() } else { Err(error) }
        },
    )
}

fn write_spec(path: &Path, spec: &Spec) -> io::Result<()> {
    let json = serde_json::to_vec(spec)?;
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| file.write_all(&json));
    if written.is_err() {
        // A half-written file would be read as damage.
        drop(fs::remove_file(path));
    }
    written
}
