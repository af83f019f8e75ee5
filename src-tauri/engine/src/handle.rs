//! The engine as callers have it: the window calls it directly, everyone else through the socket.
//!
//! Here a call is checked against the access table, made ready, and sent to
//! the dispatcher; what only reads is answered here.

mod questions;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crossbeam_channel::Sender;
use nod_core::access::{Actor, Verb, allowed};
use nod_core::environment::{self, Environment};
use nod_core::ids::{OperationId, TaskId};
use nod_core::progress::Progress;
use nod_core::protocol::{
    Ask, Call, ErrorReply, Hello, HostKind, ListQuery, LogPart, LogQuery, PROTOCOL, Reply,
    Snapshot, Submit, TaskDetail, TypeIn, Welcome,
};
use nod_core::shim::{LEAST_LOG_LIMIT, LOG_FILE};
use nod_core::task::{RunOptions, StateName};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::dispatcher::{Change, Incoming, Message, NewEnvironment, NewTask};
use crate::error::EngineError;
use crate::events::{Events, Subscription};
use crate::guards::Board;
use crate::logs::{self, Follow, Outputs, PIECE};
use crate::process;
use crate::search::Search;
use crate::store::{Readers, Seal};
use crate::tokens::Tokens;

/// How many ended tasks a snapshot holds.
const RECENT: u32 = 50;

/// The longest command, in bytes: what Linux takes as one word, and what fits into a message.
const COMMAND_LIMIT: usize = 128 * 1024;

/// How much of a task's requests and events one message shows, the newest first.
const REQUEST_BYTES: usize = 384 * 1024;
const EVENT_BYTES: usize = 128 * 1024;

/// The longest label, in bytes.
const LABEL_LIMIT: usize = 1_000;

/// A way to ask the engine. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) inbox: Sender<Message>,
    pub(crate) readers: Readers,
    pub(crate) seal: Seal,
    pub(crate) events: Events,
    pub(crate) outputs: Outputs,
    pub(crate) tokens: Tokens,
    pub(crate) rules: Board,
    pub(crate) tasks: PathBuf,
    pub(crate) kind: HostKind,
    pub(crate) epoch: String,
    pub(crate) host_environment: Environment,
    pub(crate) login_environment: OnceLock<Environment>,
    /// What the account itself says, whoever started this host.
    pub(crate) account_environment: Environment,
    pub(crate) show_window: Option<Box<dyn Fn() + Send + Sync>>,
    /// What a person should know about the state that the history was in.
    pub(crate) findings: Vec<String>,
    /// Becomes true when somebody asked the host to end.
    pub(crate) stop: watch::Sender<bool>,
}

/// Withdraws a question when the one who waits for its answer goes away.
struct Asking {
    inbox: Sender<Message>,
    operation: Option<OperationId>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            // Nobody to tell means that the host is ending: the question stays open.
            drop(self.inbox.send(Message::AskerGone(operation)));
        }
    }
}

impl Handle {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Carries out a call of `actor`. Needs a tokio runtime around it.
    pub async fn call(&self, actor: &Actor, call: Call) -> Result<Reply, ErrorReply> {
        self.carry_out(actor, call).await.map_err(ErrorReply::from)
    }

    /// Returns who a connection speaks for, and the host's greeting.
    pub fn hello(&self, peer: Actor, hello: &Hello) -> Result<(Actor, Reply), ErrorReply> {
        if hello.protocol != PROTOCOL {
            let message = format!(
                "this host speaks version {PROTOCOL} of the protocol, not {}: \
                 use the nod that belongs to it",
                hello.protocol
            );
            return Err(ErrorReply::new(nod_core::protocol::ErrorCode::Version, message));
        }
        let actor = match &hello.token {
            None => peer,
            Some(token) => {
                let id = self.inner.tokens.find(token).ok_or_else(|| {
                    ErrorReply::new(
                        nod_core::protocol::ErrorCode::Forbidden,
                        "NOD_TOKEN belongs to no running task",
                    )
                })?;
                Actor::Task { id }
            }
        };
        Ok((actor, Reply::Welcome(self.welcome())))
    }

    #[must_use]
    pub fn welcome(&self) -> Welcome {
        Welcome {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.inner.epoch.clone(),
            host: self.inner.kind,
            pid: std::process::id(),
        }
    }

    pub(crate) fn has_unfinished_tasks(&self) -> bool {
        match self.read(crate::store::Reader::counts) {
            Ok(counts) => counts.keys().any(|name| !name.is_terminal()),
            Err(error) => {
                tracing::error!("failed to count the tasks: {error}");
                true
            }
        }
    }

    /// Returns every event after the number in the reply.
    pub fn subscribe(&self, actor: &Actor) -> Result<(Reply, Subscription), ErrorReply> {
        allowed(actor, Verb::Subscribe, None).map_err(EngineError::from)?;
        // Subscribed before the number is read: what comes between is sent, and known as old.
        let subscription = self.inner.events.subscribe();
        let seq = self.read(|reader| Ok(reader.last_numbers()?.2))?;
        Ok((Reply::Subscribed { epoch: self.inner.epoch.clone(), seq }, subscription))
    }

    /// Returns a reader of a task's output that waits for more until the task's end.
    pub fn follow_log(&self, actor: &Actor, id: TaskId, offset: u64) -> Result<Follow, ErrorReply> {
        allowed(actor, Verb::FollowLog, Some(id)).map_err(EngineError::from)?;
        // Watched before the path is read, so that an end between the two is not missed.
        let watch = self.inner.outputs.watch(id);
        let path = self.log_path(id)?;
        Ok(Follow::new(watch, path, offset))
    }

    async fn carry_out(&self, actor: &Actor, call: Call) -> Result<Reply, EngineError> {
        let (verb, target) = (call.verb(), target(&call));
        allowed(actor, verb, target)?;
        match call {
            Call::Submit(submit) => {
                let new = self.blocking(move |handle| handle.prepared(*submit)).await?;
                self.change(actor, Change::Submit(Box::new(new))).await
            }
            Call::RunAgain { operation, id } => {
                let new = self.blocking(move |handle| handle.again(operation, id)).await?;
                self.change(actor, Change::Submit(Box::new(new))).await
            }
            Call::List(query) => self.blocking(move |handle| handle.list(&query)).await,
            Call::Show { id } => self.blocking(move |handle| handle.show(id)).await,
            Call::Snapshot => self.blocking(Self::snapshot).await,
            Call::ReadLog { id, offset, limit } => {
                self.blocking(move |handle| handle.read_log(id, offset, limit)).await
            }
            Call::SearchLogs(query) => self.blocking(move |handle| handle.search(&query)).await,
            Call::Wait { id } => self.change(actor, Change::Wait(id)).await,
            Call::Cancel { operation, id } => {
                self.change(actor, Change::Cancel { operation, id }).await
            }
            Call::Pause { operation, id } => {
                self.change(actor, Change::Pause { operation, id, paused: true }).await
            }
            Call::Resume { operation, id } => {
                self.change(actor, Change::Pause { operation, id, paused: false }).await
            }
            Call::Input(typed) => self.change(actor, Change::Input(typed)).await,
            Call::Resize { id, columns, rows } => {
                self.change(actor, Change::Resize { id, columns, rows }).await
            }
            Call::Progress(report) => {
                let mut progress = Progress::reported(report.percent, report.message.as_deref())?;
                if let Some(name) = &report.phase {
                    progress = progress.in_phase(name);
                }
                self.change(actor, Change::Progress(progress)).await
            }
            Call::Ask(ask) => self.ask(actor, ask).await,
            Call::Withdraw { operation } => self.change(actor, Change::Withdraw(operation)).await,
            call @ (Call::Answer(_)
            | Call::Audit(_)
            | Call::Rules
            | Call::PreviewRule { .. }
            | Call::AddRule { .. }
            | Call::RevokeRule { .. }
            | Call::ConfirmLoosening { .. }) => self.decide(actor, call).await,
            Call::ShowWindow => self.show_window(),
            Call::StopHost => self.stop_host(),
            Call::Hello(_) => Err(EngineError::Bad("hello is the first call of a connection")),
            Call::Subscribe | Call::FollowLog { .. } => {
                Err(EngineError::Bad("this call needs a connection of its own"))
            }
        }
    }

    async fn ask(&self, actor: &Actor, ask: Ask) -> Result<Reply, EngineError> {
        let mut asking =
            Asking { inbox: self.inner.inbox.clone(), operation: Some(ask.operation.clone()) };
        let asker = actor.clone();
        let prepared = self.blocking(move |_| questions::prepared(&asker, ask)).await;
        let reply = match prepared {
            Ok((ask, program)) => self.change(actor, Change::Ask(Box::new(ask), program)).await,
            Err(error) => Err(error),
        };
        // Closed, refused or the host is ending: in each case nothing is to be withdrawn.
        asking.operation = None;
        reply
    }

    /// Has the dispatcher decide, and waits for what it says.
    async fn change(&self, actor: &Actor, change: Change) -> Result<Reply, EngineError> {
        let (reply, said) = oneshot::channel();
        let incoming = Incoming { actor: actor.clone(), change, reply };
        let sent = self.inner.inbox.send(Message::Call(Box::new(incoming)));
        sent.map_err(|_gone| EngineError::Stopping)?;
        said.await.map_err(|_gone| EngineError::Stopping)?
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let handle = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&handle)).await;
        done.map_err(|_ended| EngineError::Stopping)?
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&crate::store::Reader) -> Result<T, crate::store::StoreError>,
    ) -> Result<T, EngineError> {
        Ok(self.inner.readers.lend()?.at_one_moment(read)?)
    }

    fn prepared(&self, submit: Submit) -> Result<NewTask, EngineError> {
        submit.command.check()?;
        if submit.command.argv().iter().map(String::len).sum::<usize>() > COMMAND_LIMIT {
            return Err(EngineError::TooLong { what: "the command", limit: COMMAND_LIMIT });
        }
        let cwd = folder(&submit.cwd)?;
        let label = submit.label.map(|label| label.trim().to_owned()).filter(|l| !l.is_empty());
        if label.as_ref().is_some_and(|label| label.len() > LABEL_LIMIT) {
            return Err(EngineError::TooLong { what: "the label", limit: LABEL_LIMIT });
        }
        if submit.timeout_ms == Some(0) {
            return Err(EngineError::Bad("a timeout of 0 leaves no time to run: leave it out"));
        }
        let mut plain = match submit.environment {
            Some(given) => environment::without_leaks(&given),
            None => environment::without_leaks(self.login_environment()),
        };
        plain.extend(submit.extra_environment.clone());
        check_environment(&plain)?;
        let may_wait = submit.ask_first || self.inner.rules.book().may_ask();
        let usual = self.usual_environment(may_wait);
        let environment_changes = environment::changes(usual, &plain, &submit.extra_environment);
        let sealed = self.inner.seal.seal(&plain);
        Ok(NewTask {
            operation: submit.operation,
            command: submit.command,
            cwd,
            label,
            session: submit.session,
            output: submit.output,
            options: checked(submit.options)?,
            timeout_ms: submit.timeout_ms,
            ask_first: submit.ask_first,
            environment: NewEnvironment::Given { sealed, plain: Arc::new(plain) },
            environment_changes,
        })
    }

    fn again(&self, operation: OperationId, id: TaskId) -> Result<NewTask, EngineError> {
        let row = self.read(|reader| reader.task(id))?.ok_or(EngineError::TaskNotFound(id))?;
        let task = row.task;
        Ok(NewTask {
            operation,
            command: task.command,
            cwd: folder(&task.cwd)?,
            label: task.label,
            session: task.session,
            output: task.output,
            options: task.options,
            timeout_ms: task.timeout_ms,
            ask_first: task.ask_first,
            environment: NewEnvironment::Kept { digest: row.environment },
            environment_changes: row.environment_changes,
        })
    }

    /// Returns what a person is used to, against which changes are shown.
    ///
    /// A headless host may have been started by the very program that submits,
    /// with whatever environment that has: there only the login shell's counts.
    /// What nobody approves does not wait for it.
    fn usual_environment(&self, waits: bool) -> &Environment {
        match self.inner.kind {
            HostKind::Desktop => &self.inner.host_environment,
            HostKind::Headless if waits => self.login_environment(),
            HostKind::Headless => {
                self.inner.login_environment.get().unwrap_or(&self.inner.account_environment)
            }
        }
    }

    /// Returns what a task of the window gets, read once from the person's login shell.
    fn login_environment(&self) -> &Environment {
        self.inner.login_environment.get_or_init(|| {
            let account = match self.inner.kind {
                // The person's session, with its display and its bus.
                HostKind::Desktop => &self.inner.host_environment,
                HostKind::Headless => &self.inner.account_environment,
            };
            let shell = account.get("SHELL").map_or("/bin/sh", String::as_str);
            match process::login_environment(Path::new(shell), account) {
                Ok(environment) if environment.contains_key("PATH") => environment,
                Ok(_) => account.clone(),
                Err(error) => {
                    tracing::warn!("failed to read the environment of {shell}: {error}");
                    account.clone()
                }
            }
        })
    }

    fn list(&self, query: &ListQuery) -> Result<Reply, EngineError> {
        Ok(Reply::Tasks(self.read(|reader| reader.list(query))?))
    }

    fn show(&self, id: TaskId) -> Result<Reply, EngineError> {
        let (row, attempts, requests, events) = self.read(|reader| {
            Ok((reader.task(id)?, reader.attempts(id)?, reader.requests(id)?, reader.events(id)?))
        })?;
        let row = row.ok_or(EngineError::TaskNotFound(id))?;
        let requests = newest_fitting(requests, REQUEST_BYTES);
        let events = newest_fitting(events, EVENT_BYTES);
        let log_path = attempts
            .last()
            .map(|row| self.inner.tasks.join(&row.folder).join(LOG_FILE).display().to_string());
        Ok(Reply::Task(Box::new(TaskDetail {
            argv: row.task.command.argv(),
            task: row.task,
            environment: row.environment_changes,
            attempts: attempts.into_iter().map(crate::store::AttemptRow::into_public).collect(),
            requests,
            events,
            log_path,
        })))
    }

    fn snapshot(&self) -> Result<Reply, EngineError> {
        let recent = ListQuery {
            states: StateName::ALL.into_iter().filter(|name| name.is_terminal()).collect(),
            limit: Some(RECENT),
            ..ListQuery::default()
        };
        let environment = &self.inner.host_environment;
        let home = environment.get("HOME").cloned().unwrap_or_else(|| "/".to_owned());
        self.read(|reader| {
            let mut tasks: Vec<_> = reader.unfinished()?.into_iter().map(|row| row.task).collect();
            tasks.extend(reader.list(&recent)?.tasks);
            tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
            Ok(Reply::Snapshot(Box::new(Snapshot {
                epoch: self.inner.epoch.clone(),
                seq: reader.last_numbers()?.2,
                tasks,
                requests: reader.open_requests()?.into_iter().map(|row| row.request).collect(),
                counts: reader.counts()?,
                loosening: self.inner.rules.book().loosening.clone(),
                home,
                now: clock::now(),
                findings: self.inner.findings.clone(),
            })))
        })
    }

    fn read_log(&self, id: TaskId, offset: u64, limit: u64) -> Result<Reply, EngineError> {
        let path = self.log_path(id)?.ok_or(EngineError::NoOutput(id))?;
        let limit = usize::try_from(limit).unwrap_or(PIECE).min(PIECE);
        let part = match logs::read_range(&path, offset, limit) {
            Ok(part) => part,
            // Its shim has not opened the log yet, or could not.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                logs::Part { offset, bytes: vec![], size: 0 }
            }
            Err(source) => return Err(EngineError::Log { id, source }),
        };
        let data = BASE64.encode(part.bytes);
        Ok(Reply::Log(LogPart { offset: part.offset, data, size: part.size }))
    }

    fn search(&self, query: &LogQuery) -> Result<Reply, EngineError> {
        if let Some(id) = query.id {
            self.read(|reader| reader.task(id))?.ok_or(EngineError::TaskNotFound(id))?;
        }
        let search = Search::new(query)?;
        let log = |folder: &str| self.inner.tasks.join(folder).join(LOG_FILE);
        let found =
            search.run(|from, limit| self.read(|it| it.logs(query.id, from, limit)), log)?;
        Ok(Reply::Matches(found))
    }

    /// Returns the log of the last attempt; nothing when there was none.
    fn log_path(&self, id: TaskId) -> Result<Option<PathBuf>, EngineError> {
        let (task, attempts) = self.read(|reader| Ok((reader.task(id)?, reader.attempts(id)?)))?;
        task.ok_or(EngineError::TaskNotFound(id))?;
        Ok(attempts.last().map(|row| self.inner.tasks.join(&row.folder).join(LOG_FILE)))
    }

    fn show_window(&self) -> Result<Reply, EngineError> {
        let show = self.inner.show_window.as_ref().ok_or(EngineError::NoWindow)?;
        show();
        Ok(Reply::Done)
    }

    fn stop_host(&self) -> Result<Reply, EngineError> {
        match self.inner.kind {
            HostKind::Headless => {
                self.inner.stop.send_replace(true);
                Ok(Reply::Done)
            }
            HostKind::Desktop => Err(EngineError::NotHeadless),
        }
    }
}

/// Returns the last of the items that have room in so many bytes of a message.
fn newest_fitting<T: Serialize>(mut items: Vec<T>, bytes: usize) -> Vec<T> {
    let mut size = 0;
    let fits = |item: &&T| {
        size += serde_json::to_string(item).map_or(0, |json| json.len());
        size <= bytes
    };
    let kept = items.iter().rev().take_while(fits).count();
    items.split_off(items.len() - kept)
}

/// Returns the task that a call concerns.
fn target(call: &Call) -> Option<TaskId> {
    match call {
        Call::RunAgain { id, .. }
        | Call::Show { id }
        | Call::ReadLog { id, .. }
        | Call::FollowLog { id, .. }
        | Call::Wait { id }
        | Call::Cancel { id, .. }
        | Call::Pause { id, .. }
        | Call::Resume { id, .. }
        | Call::Input(TypeIn { id, .. })
        | Call::Resize { id, .. } => Some(*id),
        Call::Hello(_)
        | Call::Submit(_)
        | Call::List(_)
        | Call::SearchLogs(_)
        | Call::Snapshot
        | Call::Subscribe
        | Call::Progress(_)
        | Call::Ask(_)
        | Call::Withdraw { .. }
        | Call::Answer(_)
        | Call::Audit(_)
        | Call::Rules
        | Call::PreviewRule { .. }
        | Call::AddRule { .. }
        | Call::RevokeRule { .. }
        | Call::ConfirmLoosening { .. }
        | Call::ShowWindow
        | Call::StopHost => None,
    }
}

/// Returns the folder a task is to run in, without links and dots.
fn folder(cwd: &str) -> Result<String, EngineError> {
    let missing = || EngineError::NoFolder(cwd.to_owned());
    let path = Path::new(cwd);
    if !path.is_absolute() || !path.is_dir() {
        return Err(missing());
    }
    // What a link points to can change after it was approved.
    let real = path.canonicalize().map_err(|_gone| missing())?;
    real.into_os_string().into_string().map_err(|_not_text| missing())
}

/// Refuses options that no shim could keep to.
fn checked(options: RunOptions) -> Result<RunOptions, EngineError> {
    if options.log_limit.is_some_and(|limit| limit > 0 && limit < LEAST_LOG_LIMIT) {
        return Err(EngineError::Bad("a log needs 256 KiB at least: give a higher --log-limit"));
    }
    Ok(options)
}

fn check_environment(environment: &Environment) -> Result<(), EngineError> {
    let bad = |(name, value): (&String, &String)| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    if environment.iter().any(bad) {
        return Err(EngineError::Bad("a variable has a name or a value that no process can have"));
    }
    Ok(())
}
