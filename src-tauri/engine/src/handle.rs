//! The engine as callers have it: the window calls it directly, everyone else through the socket.
//!
//! Here a call is checked against the access table, made ready, and sent to
//! the dispatcher; what only reads is answered here.

mod diagnosis;
mod questions;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crossbeam_channel::Sender;
use nod_core::access::{Actor, Verb, allowed};
use nod_core::environment::{self, Environment};
use nod_core::ids::{EventNumber, OperationId, TaskId};
use nod_core::progress::Progress;
use nod_core::protocol::{
    Ask, Await, Call, Edit, ErrorReply, Feedback, Hello, HostKind, ListQuery, LogPart, LogQuery,
    Notify, Reply, ReportProgress, Scheduling, Snapshot, Submit, SubmitMany, TaskDetail, TypeIn,
    Welcome,
};
use nod_core::shim::{LEAST_LOG_LIMIT, LOG_FILE};
use nod_core::task::{RunOptions, StateName, Task};
use rustix::fs::inotify::WatchFlags;
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::config::{self, Config, CurrentConfig};
use crate::dispatcher::{Change, Incoming, Message, NewEnvironment, NewTask};
use crate::error::EngineError;
use crate::events::{Events, Subscription, Watch};
use crate::guards::Board;
use crate::host::{Identity, NotificationServer};
use crate::logs::{self, Follow, Outputs, PIECE};
use crate::process::{self, FolderWatch};
use crate::scheduling;
use crate::search::Search;
use crate::store::{AttemptRow, Readers, Seal};
use crate::tokens::Tokens;

/// How many ended tasks a snapshot holds.
const RECENT: u32 = 50;

/// How much of a task's requests and events one message shows, the newest first.
const REQUEST_BYTES: usize = 384 * 1024;
const EVENT_BYTES: usize = 128 * 1024;

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
    pub(crate) identity: Identity,
    pub(crate) epoch: String,
    pub(crate) host_environment: Environment,
    pub(crate) config: CurrentConfig,
    pub(crate) login_environment: OnceLock<Environment>,
    /// What the account itself says, whoever started this host.
    pub(crate) account_environment: Environment,
    pub(crate) show_window: Option<Box<dyn Fn() + Send + Sync>>,
    /// Asks what shows notifications; a headless host shows none.
    pub(crate) notification_server: Option<NotificationServer>,
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
        let newest = self.inner.identity.protocol;
        if !(newest.saturating_sub(1).max(1)..=newest).contains(&hello.protocol) {
            let message = format!(
                "this host speaks version {newest} of the protocol and the one before, not {}: \
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
        Ok((actor, Reply::Welcome(self.welcome(hello.protocol))))
    }

    fn welcome(&self, protocol: u32) -> Welcome {
        Welcome {
            protocol,
            version: self.inner.identity.version.clone(),
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

    /// Returns every stored event after `since`, and those that come.
    pub fn watch(&self, actor: &Actor, since: Option<EventNumber>) -> Result<Watch, ErrorReply> {
        allowed(actor, Verb::Watch, None).map_err(EngineError::from)?;
        let subscription = self.inner.events.subscribe();
        let last = self.read(|reader| Ok(reader.last_numbers()?.2))?;
        let since = since.unwrap_or(last);
        if since > last {
            return Err(EngineError::NoSuchEvent { since, last }.into());
        }
        Ok(Watch::new(self.inner.readers.clone(), subscription, since))
    }

    /// Returns a reader of a task's output that waits for more until the task's end.
    pub fn follow_log(&self, actor: &Actor, id: TaskId, offset: u64) -> Result<Follow, ErrorReply> {
        allowed(actor, Verb::FollowLog, Some(id)).map_err(EngineError::from)?;
        // Watched before the path is read, so that an end between the two is not missed.
        let watch = self.inner.outputs.watch(id);
        let path = self.log_path(id)?;
        Ok(Follow::new(watch, path, offset))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is decided in one other place")]
    async fn carry_out(&self, actor: &Actor, call: Call) -> Result<Reply, EngineError> {
        let (verb, target) = (call.verb(), target(&call));
        allowed(actor, verb, target)?;
        let change = |change| self.change(actor, change);
        match call {
            Call::Submit(submit) => self.submit(actor, *submit).await,
            Call::SubmitMany(many) => self.submit_many(actor, many).await,
            Call::RunAgain { operation, id } => self.run_again(actor, operation, id).await,
            Call::List(query) => self.blocking(move |handle| handle.list(&query)).await,
            Call::Show { id } => self.blocking(move |handle| handle.show(id)).await,
            Call::Snapshot => self.snapshot(actor).await,
            Call::ReadLog { id, offset, limit } => {
                self.blocking(move |handle| handle.read_log(id, offset, limit)).await
            }
            Call::SearchLogs(query) => self.blocking(move |handle| handle.search(&query)).await,
            Call::Wait { id } => change(Change::Wait(id)).await,
            Call::Cancel { operation, id } => change(Change::Cancel { operation, id }).await,
            Call::Pause { operation, id } => {
                change(Change::Pause { operation, id, paused: true }).await
            }
            Call::Resume { operation, id } => {
                change(Change::Pause { operation, id, paused: false }).await
            }
            Call::Input(typed) => change(Change::Input(typed)).await,
            Call::Resize { id, columns, rows } => {
                change(Change::Resize { id, columns, rows }).await
            }
            Call::CancelMany { operation, which } => {
                change(Change::CancelMany { operation, which }).await
            }
            Call::Edit(edit) => self.edit(actor, *edit).await,
            Call::Retry { operation, id } => change(Change::Retry { operation, id }).await,
            Call::Remove { operation, id, session } => {
                change(Change::Remove { operation, id, session }).await
            }
            Call::Deadline { operation, id, timeout_ms } => {
                change(Change::Deadline { operation, id, timeout_ms }).await
            }
            Call::Groups => self.about_groups(actor, Change::Groups).await,
            Call::ChangeGroup { operation, name, change } => {
                self.about_groups(actor, Change::Group { operation, name, change }).await
            }
            Call::Progress(report) => self.report(actor, &report).await,
            Call::Ask(ask) => self.ask(actor, ask).await,
            Call::Withdraw { operation } => change(Change::Withdraw(operation)).await,
            Call::Await(wait) => self.await_signal(actor, wait).await,
            Call::Diagnose => self.blocking(|handle| Ok(handle.diagnose())).await,
            Call::ShowWindow => self.show_window(),
            Call::StopHost => self.stop_host(),
            Call::Hello(_) => Err(EngineError::Bad("hello is the first call of a connection")),
            Call::Subscribe | Call::FollowLog { .. } | Call::Watch { .. } => {
                Err(EngineError::Bad("this call needs a connection of its own"))
            }
            call => self.decide(actor, call).await,
        }
    }

    async fn report(&self, actor: &Actor, report: &ReportProgress) -> Result<Reply, EngineError> {
        let mut progress = Progress::reported(report.percent, report.message.as_deref())?;
        if let Some(name) = &report.phase {
            progress = progress.in_phase(name);
        }
        self.change(actor, Change::Progress(progress)).await
    }

    async fn await_signal(&self, actor: &Actor, wait: Await) -> Result<Reply, EngineError> {
        let operation = Some(wait.operation.clone());
        let mut waiting = Asking { inbox: self.inner.inbox.clone(), operation };
        let reply = self.change(actor, Change::Await(wait)).await;
        waiting.operation = None;
        reply
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
        let config = self.config_for(&submit.scheduling);
        let wanted = scheduling::resolved(submit, &config)?;
        let cwd = folder(&wanted.cwd)?;
        let mut plain = match wanted.environment {
            Some(given) => environment::without_leaks(&given),
            None => environment::without_leaks(self.login_environment()),
        };
        plain.extend(wanted.extra_environment.clone());
        check_environment(&plain)?;
        let may_wait = wanted.ask_first || self.inner.rules.book().may_ask();
        let usual = self.usual_environment(may_wait);
        let environment_changes = environment::changes(usual, &plain, &wanted.extra_environment);
        let sealed = self.inner.seal.seal(&plain);
        Ok(NewTask {
            operation: wanted.operation,
            command: wanted.command,
            cwd,
            label: wanted.label,
            session: wanted.session,
            output: wanted.output,
            options: checked(wanted.options)?,
            timeout_ms: wanted.timeout_ms,
            ask_first: wanted.ask_first,
            kind: wanted.kind,
            schedule: wanted.schedule,
            delay_ms: wanted.delay_ms,
            environment: NewEnvironment::Given { sealed, plain: Arc::new(plain) },
            environment_changes,
        })
    }

    fn prepared_all(&self, many: SubmitMany) -> Vec<Result<NewTask, EngineError>> {
        let SubmitMany { environment, tasks } = many;
        let whole = |submit: Submit| Submit {
            environment: submit.environment.clone().or_else(|| environment.clone()),
            ..submit
        };
        tasks.into_iter().map(|submit| self.prepared(whole(submit))).collect()
    }

    /// Returns the configuration for a new task. The file is looked at where it matters: a plain
    /// task does not wait for the disk.
    fn config_for(&self, scheduling: &Scheduling) -> Arc<Config> {
        if scheduling.kind.is_some() || scheduling.group.is_some() || !scheduling.uses.is_empty() {
            return self.refreshed_config().config;
        }
        self.inner.config.current().config
    }

    /// Returns what is in force, after a look at the file; the dispatcher hears of a change first.
    fn refreshed_config(&self) -> config::Snapshot {
        let (now, changed) = self.inner.config.refresh();
        if changed {
            let message = Message::Config(Arc::clone(&now.config), now.note());
            // Nobody to tell means that the host is ending.
            drop(self.inner.inbox.send(message));
        }
        now
    }

    /// Takes in each change of the config file for as long as the host runs.
    pub(crate) async fn watch_config(self) {
        let Some(folder) = self.inner.config.folder() else { return };
        let what = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE;
        let watched = async {
            let mut watch = FolderWatch::new(&folder, what)?;
            loop {
                self.refreshed_config();
                watch.changed().await?;
            }
        };
        let ended: Result<(), std::io::Error> = watched.await;
        if let Err(error) = ended {
            // Verbs that need it look by themselves.
            tracing::info!("{} is not watched: {error}", folder.display());
        }
    }

    async fn submit(&self, actor: &Actor, submit: Submit) -> Result<Reply, EngineError> {
        let new = self.blocking(move |handle| handle.prepared(submit)).await?;
        self.take_in(actor, new).await
    }

    async fn run_again(
        &self,
        actor: &Actor,
        operation: OperationId,
        id: TaskId,
    ) -> Result<Reply, EngineError> {
        let new = self.blocking(move |handle| handle.again(operation, id)).await?;
        self.take_in(actor, new).await
    }

    async fn submit_many(&self, actor: &Actor, many: SubmitMany) -> Result<Reply, EngineError> {
        let all = self.blocking(move |handle| Ok(handle.prepared_all(many))).await?;
        let mut reply = self.change(actor, Change::SubmitMany(all)).await?;
        if let Reply::SubmittedMany { note, .. } = &mut reply {
            *note = self.inner.config.current().note();
        }
        Ok(reply)
    }

    async fn edit(&self, actor: &Actor, edit: Edit) -> Result<Reply, EngineError> {
        let edit = self.blocking(move |_| scheduling::checked_edit(edit)).await?;
        self.change(actor, Change::Edit(Box::new(edit))).await
    }

    async fn take_in(&self, actor: &Actor, new: NewTask) -> Result<Reply, EngineError> {
        let mut reply = self.change(actor, Change::Submit(Box::new(new))).await?;
        if let Reply::Submitted { note, .. } = &mut reply {
            *note = self.inner.config.current().note();
        }
        Ok(reply)
    }

    async fn about_groups(&self, actor: &Actor, change: Change) -> Result<Reply, EngineError> {
        let now = self.blocking(|handle| Ok(handle.refreshed_config())).await?;
        let mut reply = self.change(actor, change).await?;
        if let Reply::Groups { note, .. } = &mut reply {
            *note = now.note();
        }
        Ok(reply)
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
            kind: task.kind,
            schedule: scheduling::again(task.schedule),
            delay_ms: None,
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

    /// Adds to a task what is known of it and never stored.
    fn add_what_is_not_stored(&self, task: &mut Task) {
        task.condition.disk_full = self.inner.outputs.is_full(task.id);
    }

    fn list(&self, query: &ListQuery) -> Result<Reply, EngineError> {
        let mut page = self.read(|reader| reader.list(query))?;
        page.tasks.iter_mut().for_each(|task| self.add_what_is_not_stored(task));
        Ok(Reply::Tasks(page))
    }

    fn show(&self, id: TaskId) -> Result<Reply, EngineError> {
        let (row, attempts, requests, events) = self.read(|reader| {
            Ok((reader.task(id)?, reader.attempts(id)?, reader.requests(id)?, reader.events(id)?))
        })?;
        let mut row = row.ok_or(EngineError::TaskNotFound(id))?;
        self.add_what_is_not_stored(&mut row.task);
        let requests = newest_fitting(requests, REQUEST_BYTES);
        let events = newest_fitting(events, EVENT_BYTES);
        let log_path = attempts
            .last()
            .map(|row| self.inner.tasks.join(&row.folder).join(LOG_FILE).display().to_string());
        let log = |row: &AttemptRow| self.inner.tasks.join(&row.folder).join(LOG_FILE);
        let public = |row: AttemptRow| {
            let log_path = log(&row).display().to_string();
            row.into_public(log_path)
        };
        Ok(Reply::Task(Box::new(TaskDetail {
            argv: row.task.command.argv(),
            task: row.task,
            environment: row.environment_changes,
            attempts: attempts.into_iter().map(public).collect(),
            requests,
            events,
            log_path,
        })))
    }

    async fn snapshot(&self, actor: &Actor) -> Result<Reply, EngineError> {
        let mut snapshot = self.blocking(Self::stored_snapshot).await?;
        // Later than the rest: what changes meanwhile is told once more.
        if let Reply::Groups { groups, .. } = self.change(actor, Change::Groups).await? {
            snapshot.groups = groups;
        }
        Ok(Reply::Snapshot(Box::new(snapshot)))
    }

    fn stored_snapshot(&self) -> Result<Snapshot, EngineError> {
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
            tasks.iter_mut().for_each(|task| self.add_what_is_not_stored(task));
            Ok(Snapshot {
                epoch: self.inner.epoch.clone(),
                seq: reader.last_numbers()?.2,
                tasks,
                requests: reader.open_requests()?.into_iter().map(|row| row.request).collect(),
                counts: reader.counts()?,
                loosening: self.inner.rules.book().loosening.clone(),
                home,
                groups: vec![],
                config_error: self.inner.config.current().note(),
                now: clock::now(),
                findings: self.inner.findings.clone(),
            })
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
        | Call::Notify(Notify { id, .. })
        | Call::Feedback(Feedback { id, .. })
        | Call::Cancel { id, .. }
        | Call::Pause { id, .. }
        | Call::Resume { id, .. }
        | Call::Input(TypeIn { id, .. })
        | Call::Resize { id, .. }
        | Call::Retry { id, .. }
        | Call::Remove { id, .. }
        | Call::Deadline { id, .. } => Some(*id),
        Call::Edit(edit) => Some(edit.id),
        Call::Hello(_)
        | Call::Submit(_)
        | Call::SubmitMany(_)
        | Call::List(_)
        | Call::SearchLogs(_)
        | Call::Snapshot
        | Call::Subscribe
        | Call::CancelMany { .. }
        | Call::Groups
        | Call::ChangeGroup { .. }
        | Call::Watch { .. }
        | Call::Progress(_)
        | Call::Ask(_)
        | Call::Withdraw { .. }
        | Call::Answer(_)
        | Call::Audit(_)
        | Call::Await(_)
        | Call::Inbox(_)
        | Call::Tell(_)
        | Call::SayOutcome(_)
        | Call::IsCancelled
        | Call::Rules
        | Call::PreviewRule { .. }
        | Call::AddRule { .. }
        | Call::RevokeRule { .. }
        | Call::ConfirmLoosening { .. }
        | Call::Diagnose
        | Call::ShowWindow
        | Call::StopHost => None,
    }
}

pub(crate) fn check_timeout(timeout_ms: Option<u64>) -> Result<(), EngineError> {
    if timeout_ms == Some(0) {
        return Err(EngineError::Bad("a timeout of 0 leaves no time to run: leave it out"));
    }
    Ok(())
}

/// Returns the folder a task is to run in, without links and dots.
pub(crate) fn folder(cwd: &str) -> Result<String, EngineError> {
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
