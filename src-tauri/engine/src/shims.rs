//! The connections to running shims: hearing what they say, telling them what to do.

mod answering;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender;
use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::progress::{LineProgress, TerminalProgress};
use nod_core::shim::{
    EXIT_FILE, FromShim, LOG_FILE, Report, SHIM_NO_ROOM, SHIM_PROTOCOL, Status, ToShim,
};
use nod_core::task::{SpawnError, StopStage};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock;
use crate::dispatcher::{Message, Said};
use crate::logs::{self, Outputs, PIECE};
use crate::process;
use crate::silence::Silence;
use answering::Answering;

/// How much of the end of the output is kept for the search.
const TAIL: usize = 4096;

/// How long a shim may take from the close of its connection to its end.
const ENDING: Duration = Duration::from_millis(10);

/// How soon a lost connection is made again.
const BETWEEN_CONNECTIONS: Duration = Duration::from_millis(50);

type Key = (TaskId, AttemptNumber);

/// Every attempt that has a shim, or is about to.
#[derive(Clone)]
pub(crate) struct Shims {
    orders: Arc<Mutex<HashMap<Key, Way>>>,
    runtime: Handle,
    inbox: Sender<Message>,
    outputs: Outputs,
    /// How long a task is silent before its last line is looked at.
    silence: Duration,
}

/// The way to one shim.
struct Way {
    orders: UnboundedSender<ToShim>,
    /// What it speaks, as far as it is known. One that is about to start is of this build.
    protocol: u32,
    /// It types once what it is told more than once, and says when it has.
    types_once: bool,
}

/// One attempt's shim, as it is connected.
pub(crate) struct Link {
    pub(crate) id: TaskId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) folder: PathBuf,
    /// What an earlier host said that the task asks.
    pub(crate) prompt: Option<String>,
    /// How much time the task has from here on.
    pub(crate) limit: Option<Duration>,
    /// It is being ended already.
    pub(crate) is_ending: bool,
    pub(crate) orders: UnboundedReceiver<ToShim>,
    /// To be waited for, where this host started it.
    pub(crate) child: Option<Child>,
}

impl Shims {
    pub(crate) fn new(
        runtime: Handle,
        inbox: Sender<Message>,
        outputs: Outputs,
        silence: Duration,
    ) -> Self {
        Self { orders: Arc::default(), runtime, inbox, outputs, silence }
    }

    /// Makes the way to a shim that is about to be there; what it is told meanwhile waits.
    pub(crate) fn expect(&self, id: TaskId, attempt: AttemptNumber) -> UnboundedReceiver<ToShim> {
        let (sender, receiver) = unbounded_channel();
        let way = Way { orders: sender, protocol: SHIM_PROTOCOL, types_once: true };
        self.lock().insert((id, attempt), way);
        receiver
    }

    /// Tells a shim something. One that is gone is not told: its end says so by itself.
    pub(crate) fn tell(&self, id: TaskId, attempt: AttemptNumber, order: ToShim) {
        if let Some(way) = self.lock().get(&(id, attempt)) {
            drop(way.orders.send(order));
        }
    }

    /// Returns the protocol that a shim speaks, as far as it has said so.
    pub(crate) fn protocol(&self, id: TaskId, attempt: AttemptNumber) -> u32 {
        self.lock().get(&(id, attempt)).map_or(SHIM_PROTOCOL, |way| way.protocol)
    }

    /// Returns whether a shim says what became of what it was told to type, as far as is known.
    pub(crate) fn types_once(&self, id: TaskId, attempt: AttemptNumber) -> bool {
        self.lock().get(&(id, attempt)).is_none_or(|way| way.types_once)
    }

    fn note_build(&self, id: TaskId, attempt: AttemptNumber, status: &Status) {
        if let Some(way) = self.lock().get_mut(&(id, attempt)) {
            (way.protocol, way.types_once) = (status.protocol, status.typed.is_some());
        }
    }

    pub(crate) fn forget(&self, id: TaskId, attempt: AttemptNumber) {
        self.lock().remove(&(id, attempt));
    }

    /// Begins to listen to a shim.
    pub(crate) fn link(&self, link: Link, socket: StdUnixStream) {
        let shims = self.clone();
        self.runtime.spawn(async move {
            let Link { id, attempt, folder, prompt, limit, is_ending, orders, mut child } = link;
            let silence = Silence::new(shims.silence, prompt);
            let pid = child.as_ref().map(Child::id);
            let answering = Answering::new(folder.clone(), pid, limit, is_ending);
            let watches = (silence, answering);
            let heard = Heard::new((id, attempt), folder, shims.clone(), watches, pid.is_some());
            heard.listen(socket, orders, &mut child).await;
            shims.forget(id, attempt);
            if let Some(child) = child {
                reap(child).await;
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Way>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a shim that has closed its connection, so that it leaves no zombie, and returns how it
/// ended.
async fn reap(mut child: Child) -> Option<ExitStatus> {
    // To close it was the last thing that it did: nearly always no thread has to wait for it.
    tokio::time::sleep(ENDING).await;
    let waited = match child.try_wait() {
        Ok(None) => {
            let waited = tokio::task::spawn_blocking(move || child.wait()).await;
            waited.unwrap_or_else(|ended| Err(io::Error::other(ended))).map(Some)
        }
        waited => waited,
    };
    waited.unwrap_or_else(|error| {
        tracing::warn!("failed to wait for a shim: {error}");
        None
    })
}

/// What one shim has said so far.
struct Heard {
    id: TaskId,
    attempt: AttemptNumber,
    folder: PathBuf,
    shims: Shims,
    /// This host started it, so it has no past to tell of.
    is_new: bool,
    scanner: TerminalProgress,
    lines: LineProgress,
    /// How far the output was looked at for progress.
    scanned: u64,
    silence: Silence,
    answering: Answering,
    ended: bool,
}

impl Heard {
    fn new(
        (id, attempt): Key,
        folder: PathBuf,
        shims: Shims,
        (silence, answering): (Silence, Answering),
        is_new: bool,
    ) -> Self {
        let scanner = TerminalProgress::default();
        let lines = LineProgress::default();
        Self {
            id,
            attempt,
            folder,
            shims,
            is_new,
            scanner,
            lines,
            scanned: 0,
            silence,
            answering,
            ended: false,
        }
    }

    async fn listen(
        mut self,
        socket: StdUnixStream,
        mut orders: UnboundedReceiver<ToShim>,
        child: &mut Option<Child>,
    ) {
        let mut connected = Some(socket);
        while let Some(socket) = connected.take() {
            if let Err(error) = self.exchange(socket, &mut orders).await {
                tracing::warn!(task = self.id.0, "lost the connection to a shim: {error}");
            }
            if !self.ended {
                connected = self.connect_again().await;
            }
        }
        if !self.ended {
            let said = match self.shortage(child).await {
                Some(error) => vec![Said::NoRoom { error }],
                None => self.last_words(),
            };
            said.into_iter().for_each(|said| self.say(said));
        }
    }

    /// Returns what is left to be said of a shim that is gone.
    fn last_words(&self) -> Vec<Said> {
        let mut words = last_words(&self.folder);
        for word in &mut words {
            if let Said::Gone { why } = word
                && self.answering.gave_up()
            {
                *why = "its shim did not answer any more, and was killed".to_owned();
            }
        }
        words
    }

    /// Asks the shim whether it is there, and tells what comes of that.
    fn ask_for_an_answer(&mut self) {
        let (id, attempt, inbox) = (self.id, self.attempt, self.shims.inbox.clone());
        self.answering.ask(Box::new(move |what| {
            tracing::warn!(task = id.0, "{what}");
            drop(inbox.send(Message::Shim(id, attempt, Said::Unanswering { what })));
        }));
    }

    /// Returns what kept the shim from claiming the attempt, where that comes back by itself. With
    /// nobody there to claim it, the attempt never was.
    async fn shortage(&self, child: &mut Option<Child>) -> Option<SpawnError> {
        if process::is_claimed(&self.folder) {
            return None;
        }
        let exit = reap(child.take()?).await?;
        let message = "its shim found no room on the disk".to_owned();
        let (program, cwd) = Default::default();
        (exit.code() == Some(SHIM_NO_ROOM.into())).then_some(SpawnError {
            program,
            cwd,
            message,
            not_found: false,
        })
    }

    /// Returns another connection to a shim that lives: it is not lost with one of them.
    async fn connect_again(&mut self) -> Option<StdUnixStream> {
        let socket = process::connect_shim(&self.folder).ok()?;
        self.is_new = false;
        tokio::time::sleep(BETWEEN_CONNECTIONS).await;
        Some(socket)
    }

    /// Reads and writes until the shim closes its end.
    async fn exchange(
        &mut self,
        socket: StdUnixStream,
        orders: &mut UnboundedReceiver<ToShim>,
    ) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let (read, mut write) = UnixStream::from_std(socket)?.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut ordering = true;
        loop {
            tokio::select! {
                line = lines.next_line() => match line? {
                    Some(line) => self.hear(&line),
                    None => return Ok(()),
                },
                () = self.silence.over() => {
                    if let Some(line) = self.silence.look(&self.folder.join(LOG_FILE)) {
                        self.say(Said::Prompt(Some(line)));
                    }
                }
                () = self.answering.due() => self.ask_for_an_answer(),
                order = orders.recv(), if ordering => match order {
                    Some(order) => {
                        self.answering.told(&order);
                        let mut line = serde_json::to_vec(&order)?;
                        line.push(b'\n');
                        // A shim that is gone has been heard to its end below.
                        ordering = write.write_all(&line).await.is_ok();
                    }
                    None => ordering = false,
                },
            }
        }
    }

    fn hear(&mut self, line: &str) {
        let said = match serde_json::from_str(line) {
            Ok(said) => said,
            Err(error) => {
                // A newer shim may say more than this host knows of.
                tracing::warn!(task = self.id.0, "skipped what a shim said: {error}");
                return;
            }
        };
        match said {
            FromShim::Status(status) => {
                let size = status.size;
                self.silence.pause(status.paused);
                self.shims.note_build(self.id, self.attempt, &status);
                if !self.is_new || status.process.is_some() {
                    self.say(Said::Status(Box::new(status.clone())));
                }
                self.grown(size);
                if let Some(report) = status.report {
                    self.end(report);
                }
            }
            FromShim::Started { process, at } => {
                self.answering.started();
                self.say(Said::Started { process, at });
            }
            FromShim::Output { size } => self.grown(size),
            FromShim::Exited { status, at } => self.say(Said::Exited { status, at }),
            FromShim::Stopping { cause, stage, terminated } => {
                self.answering.ends(until_next(&stage));
                self.say(Said::Stopping { cause, stage, terminated });
            }
            FromShim::DiskFull { full } => {
                tracing::warn!(task = self.id.0, full, "the disk of the task's output");
                self.say(Said::DiskFull(full));
            }
            FromShim::Unbounded => self.say(Said::Unbounded),
            // What the dispatcher has stored is what is shown, and what the shim is told again.
            FromShim::Paused { paused } => self.silence.pause(paused),
            FromShim::InputLost { bytes } => self.say(Said::InputLost(bytes)),
            FromShim::Typed(typed) => self.say(Said::Typed(typed)),
            FromShim::Ended { report } => self.end(report),
        }
    }

    fn end(&mut self, report: Report) {
        if self.ended {
            return;
        }
        self.grown(report.size);
        self.ended = true;
        let tail = tail(&self.folder);
        self.say(Said::Files { tail: tail.clone(), disk: disk(&self.folder) });
        self.say(Said::Ended { report: Box::new(report), tail });
    }

    fn grown(&mut self, size: u64) {
        self.shims.outputs.grown(self.id, size);
        if size <= self.scanned {
            return;
        }
        if self.silence.broken(size, &self.folder.join(LOG_FILE)) {
            self.say(Said::Prompt(None));
        }
        // Of a burst only the end is looked at: an older progress would be outdated by it.
        let from = self.scanned.max(size.saturating_sub(PIECE as u64));
        if from != self.scanned {
            self.scanner = TerminalProgress::default();
            self.lines = LineProgress::default();
        }
        match logs::read_range(&self.folder.join(LOG_FILE), from, PIECE) {
            Ok(part) => {
                self.scanned = part.offset + part.bytes.len() as u64;
                let lines = self.lines.scan(&part.bytes);
                if let Some(progress) = self.scanner.scan(&part.bytes).or(lines) {
                    self.say(Said::Progress(progress));
                }
            }
            Err(error) => tracing::warn!(task = self.id.0, "failed to read the output: {error}"),
        }
    }

    fn say(&self, said: Said) {
        // Nobody to tell means that the host is ending.
        drop(self.shims.inbox.send(Message::Shim(self.id, self.attempt, said)));
    }
}

/// Returns how long it takes until the next signal of a ladder follows.
fn until_next(stage: &StopStage) -> Duration {
    let now = clock::now();
    Duration::from_millis(stage.next_at.map_or(0, |at| at.since(now)))
}

/// Returns what the files of an attempt say whose shim is gone.
pub(crate) fn last_words(folder: &Path) -> Vec<Said> {
    vec![files_of(folder), last_word(folder)]
}

/// Returns what the files of an attempt come to.
pub(crate) fn files_of(folder: &Path) -> Said {
    Said::Files { tail: tail(folder), disk: disk(folder) }
}

fn last_word(folder: &Path) -> Said {
    match fs::read(folder.join(EXIT_FILE)) {
        Ok(bytes) => match serde_json::from_slice::<Report>(&bytes) {
            Ok(report) => {
                let tail = tail(folder);
                Said::Ended { report: Box::new(report), tail }
            }
            Err(error) => Said::Gone { why: format!("the file {EXIT_FILE} is damaged: {error}") },
        },
        Err(_) => Said::Gone { why: "its shim ended without a report".to_owned() },
    }
}

/// Returns the end of an attempt's output as text without escape sequences.
fn tail(folder: &Path) -> String {
    match logs::read_tail(&folder.join(LOG_FILE), TAIL) {
        Ok((_, bytes)) => strip_ansi_escapes::strip_str(String::from_utf8_lossy(&bytes)),
        Err(error) => {
            tracing::debug!("no output to keep of {}: {error}", folder.display());
            String::new()
        }
    }
}

/// Returns how many bytes of the disk an attempt's files take: a log has holes.
fn disk(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let blocks: u64 = files.filter_map(|file| Some(file.metadata().ok()?.blocks())).sum();
    // As stat(2) has it, whatever the file system's own blocks are.
    blocks * 512
}

#[cfg(test)]
mod tests;
