//! The connections to running shims: hearing what they say, telling them what to do.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender;
use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::progress::TerminalProgress;
use nod_core::shim::{EXIT_FILE, FromShim, LOG_FILE, Report, ToShim};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::dispatcher::{Message, Said};
use crate::logs::{self, Outputs, PIECE};

/// How much of the end of the output is kept for the search.
const TAIL: usize = 4096;

/// How long a shim may take from the close of its connection to its end.
const ENDING: Duration = Duration::from_millis(10);

type Key = (TaskId, AttemptNumber);

/// Every attempt that has a shim, or is about to.
#[derive(Clone)]
pub(crate) struct Shims {
    orders: Arc<Mutex<HashMap<Key, UnboundedSender<ToShim>>>>,
    runtime: Handle,
    inbox: Sender<Message>,
    outputs: Outputs,
}

/// One attempt's shim, as it is connected.
pub(crate) struct Link {
    pub(crate) id: TaskId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) folder: PathBuf,
    pub(crate) orders: UnboundedReceiver<ToShim>,
    /// To be waited for, where this host started it.
    pub(crate) child: Option<Child>,
}

impl Shims {
    pub(crate) fn new(runtime: Handle, inbox: Sender<Message>, outputs: Outputs) -> Self {
        Self { orders: Arc::default(), runtime, inbox, outputs }
    }

    /// Makes the way to a shim that is about to be there; what it is told meanwhile waits.
    pub(crate) fn expect(&self, id: TaskId, attempt: AttemptNumber) -> UnboundedReceiver<ToShim> {
        let (sender, receiver) = unbounded_channel();
        self.lock().insert((id, attempt), sender);
        receiver
    }

    /// Tells a shim something. One that is gone is not told: its end says so by itself.
    pub(crate) fn tell(&self, id: TaskId, attempt: AttemptNumber, order: ToShim) {
        if let Some(orders) = self.lock().get(&(id, attempt)) {
            drop(orders.send(order));
        }
    }

    pub(crate) fn forget(&self, id: TaskId, attempt: AttemptNumber) {
        self.lock().remove(&(id, attempt));
    }

    /// Begins to listen to a shim.
    pub(crate) fn link(&self, link: Link, socket: StdUnixStream) {
        let shims = self.clone();
        self.runtime.spawn(async move {
            let Link { id, attempt, folder, orders, child } = link;
            let heard = Heard::new(id, attempt, folder, shims.clone(), child.is_some());
            heard.listen(socket, orders).await;
            shims.forget(id, attempt);
            if let Some(child) = child {
                reap(child).await;
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, UnboundedSender<ToShim>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a shim that has closed its connection, so that it leaves no zombie.
async fn reap(mut child: Child) {
    // To close it was the last thing that it did: nearly always no thread has to wait for it.
    tokio::time::sleep(ENDING).await;
    let waited = match child.try_wait() {
        Ok(None) => {
            let waited = tokio::task::spawn_blocking(move || child.wait()).await;
            waited.unwrap_or_else(|ended| Err(io::Error::other(ended))).map(drop)
        }
        waited => waited.map(drop),
    };
    if let Err(error) = waited {
        tracing::warn!("failed to wait for a shim: {error}");
    }
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
    /// How far the output was looked at for progress.
    scanned: u64,
    ended: bool,
}

impl Heard {
    fn new(
        id: TaskId,
        attempt: AttemptNumber,
        folder: PathBuf,
        shims: Shims,
        is_new: bool,
    ) -> Self {
        let scanner = TerminalProgress::default();
        Self { id, attempt, folder, shims, is_new, scanner, scanned: 0, ended: false }
    }

    async fn listen(mut self, socket: StdUnixStream, mut orders: UnboundedReceiver<ToShim>) {
        if let Err(error) = self.exchange(socket, &mut orders).await {
            tracing::warn!(task = self.id.0, "lost the connection to a shim: {error}");
        }
        if !self.ended {
            let said = last_word(&self.folder);
            self.say(said);
        }
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
                    Some(line) => self.hear(&line)?,
                    None => return Ok(()),
                },
                order = orders.recv(), if ordering => match order {
                    Some(order) => {
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

    fn hear(&mut self, line: &str) -> io::Result<()> {
        match serde_json::from_str(line)? {
            FromShim::Status(status) => {
                let size = status.size;
                if !self.is_new || status.process.is_some() {
                    self.say(Said::Status(Box::new(status.clone())));
                }
                self.grown(size);
                if let Some(report) = status.report {
                    self.end(report);
                }
            }
            FromShim::Started { process, at } => self.say(Said::Started { process, at }),
            FromShim::Output { size } => self.grown(size),
            FromShim::Exited { status, at } => self.say(Said::Exited { status, at }),
            FromShim::Stopping { cause, stage } => self.say(Said::Stopping { cause, stage }),
            FromShim::DiskFull { full } => {
                tracing::warn!(task = self.id.0, full, "the disk of the task's output");
            }
            FromShim::Ended { report } => self.end(report),
        }
        Ok(())
    }

    fn end(&mut self, report: Report) {
        self.grown(report.size);
        self.ended = true;
        let tail = tail(&self.folder, report.size);
        self.say(Said::Ended { report: Box::new(report), tail });
    }

    fn grown(&mut self, size: u64) {
        self.shims.outputs.grown(self.id, size);
        if size <= self.scanned {
            return;
        }
        // Of a burst only the end is looked at: an older progress would be outdated by it.
        let from = self.scanned.max(size.saturating_sub(PIECE as u64));
        if from != self.scanned {
            self.scanner = TerminalProgress::default();
        }
        match logs::read_range(&self.folder.join(LOG_FILE), from, PIECE) {
            Ok((bytes, _)) => {
                self.scanned = from + bytes.len() as u64;
                if let Some(progress) = self.scanner.scan(&bytes) {
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

/// Returns what the files of an attempt say whose shim is gone.
pub(crate) fn last_word(folder: &Path) -> Said {
    match fs::read(folder.join(EXIT_FILE)) {
        Ok(bytes) => match serde_json::from_slice::<Report>(&bytes) {
            Ok(report) => {
                let tail = tail(folder, report.size);
                Said::Ended { report: Box::new(report), tail }
            }
            Err(error) => Said::Gone { why: format!("the file {EXIT_FILE} is damaged: {error}") },
        },
        Err(_) => Said::Gone { why: "its shim ended without a report".to_owned() },
    }
}

/// Returns the end of an attempt's output as text without escape sequences.
fn tail(folder: &Path, size: u64) -> String {
    if size == 0 {
        return String::new();
    }
    match logs::read_tail(&folder.join(LOG_FILE), TAIL) {
        Ok((_, bytes)) => strip_ansi_escapes::strip_str(String::from_utf8_lossy(&bytes)),
        Err(error) => {
            tracing::debug!("no output to keep of {}: {error}", folder.display());
            String::new()
        }
    }
}
