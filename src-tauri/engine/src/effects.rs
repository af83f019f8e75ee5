//! Carrying out what the dispatcher decided, off its thread.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};
use nod_core::environment::Environment;
use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::shim::{SPEC_FILE, Spec, ToShim};
use nod_core::task::SpawnError;
use nod_core::transition::Effect;

use crate::dispatcher::{Message, Said};
use crate::process::{self, Place, Programs};
use crate::shims::{Link, Shims};
use crate::store::{Readers, Seal, StoreError};
use crate::tokens::Token;

/// How many tasks are being started at once.
const WORKERS: usize = 2;

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
    Remove(Vec<PathBuf>),
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
            Effect::Sweep => self.hand_over(Job::Sweep(id, attempt)),
            // These are decided, not carried out.
            Effect::Start | Effect::Withdraw { .. } => {}
        }
    }

    /// Tells a shim something.
    pub(crate) fn tell(&self, id: TaskId, attempt: AttemptNumber, order: ToShim) {
        self.shims.tell(id, attempt, order);
    }

    /// Returns the protocol that an attempt's shim speaks.
    pub(crate) fn shim_protocol(&self, id: TaskId, attempt: AttemptNumber) -> u32 {
        self.shims.protocol(id, attempt)
    }

    /// Deletes the folders of attempts that are in the history no more.
    pub(crate) fn remove(&self, folders: &[String]) {
        if !folders.is_empty() {
            let folders = folders.iter().map(|folder| self.tasks.join(folder)).collect();
            self.hand_over(Job::Remove(folders));
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
                Job::Sweep(id, attempt) => {
                    process::sweep(&self.socket, id, attempt);
                }
                Job::Remove(folders) => remove(&folders),
            }
        }
    }

    fn start(&self, start: &Start, orders: tokio::sync::mpsc::UnboundedReceiver<ToShim>) {
        let (id, attempt) = (start.spec.task, start.spec.attempt);
        match self.started(start) {
            Ok(shim) => {
                let folder = start.folder.clone();
                self.shims.link(
                    Link { id, attempt, folder, orders, child: Some(shim.child) },
                    shim.socket,
                );
            }
            Err(why) => {
                tracing::error!(task = id.0, "failed to start a shim: {why}");
                self.shims.forget(id, attempt);
                let error = SpawnError {
                    program: start.spec.argv.first().cloned().unwrap_or_default(),
                    cwd: start.spec.cwd.clone(),
                    message: why.to_string(),
                    not_found: false,
                };
                // Nobody to tell means that the host is ending.
                drop(self.inbox.send(Message::Shim(id, attempt, Said::StartFailed { error })));
            }
        }
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
        Ok(process::start_shim(&self.programs.shim, &start.folder, &environment)?)
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

/// Why a shim could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the folder is another one than when the task was submitted: it is {} now", .0.display())]
    FolderMoved(PathBuf),
    #[error("the folder is another one than the one that was shown, though it has its name: {0}")]
    FolderReplaced(String),
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

/// Deletes folders. What cannot be deleted is nobody's any more, and is left to the log.
fn remove(folders: &[PathBuf]) {
    for folder in folders {
        match fs::remove_dir_all(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!("failed to delete {}: {error}", folder.display()),
        }
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
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
