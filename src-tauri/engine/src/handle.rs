//! The engine as callers have it: the window calls it directly, everyone else through the socket.
//!
//! Here a call is checked against the access table, and sent to the dispatcher
//! once it is made ready; what only reads is answered in `reading`.

mod diagnosis;
mod fitting;
mod notification;
mod questions;
mod reading;
mod settings;
mod submitting;
mod terminal;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_channel::Sender;
use nod_core::access::{Actor, Surface, Verb, allowed};
use nod_core::environment::Environment;
use nod_core::ids::{AttemptNumber, EventNumber, OperationId, TaskId};
use nod_core::progress::Progress;
use nod_core::protocol::{
    Ask, Await, Call, ErrorReply, Feedback, Hello, HostKind, Notify, Reply, ReportProgress, TypeIn,
    Welcome,
};
use rustix::fs::inotify::WatchFlags;
use tokio::sync::{oneshot, watch};

use crate::config::{CurrentConfig, Watched};
use crate::dispatcher::{Change, HeldBack, Incoming, Message};
use crate::error::EngineError;
use crate::events::{Events, Subscription, Watch};
use crate::forms::Forms;
use crate::guards::Board;
use crate::host::{AskNotificationServer, Data, Identity};
use crate::logs::{Follow, Outputs};
use crate::process::FolderWatch;
use crate::sight::Sight;
use crate::store::{Readers, Seal};
use crate::tokens::Tokens;

pub(crate) use submitting::folder;
pub(crate) use terminal::Caller;

/// The one place in which a host is answered without more of where it comes from.
const WINDOW: Actor = Actor::Person { surface: Surface::Window };

/// What happens in a folder when a file in it changes, or the folder itself goes.
const FILE_CHANGES: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// What happens in a folder when another comes to be in it.
const FOLDER_COMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

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
    pub(crate) held_back: HeldBack,
    pub(crate) tasks: PathBuf,
    pub(crate) kind: HostKind,
    pub(crate) identity: Identity,
    /// The command line that belongs to this host.
    pub(crate) nod: PathBuf,
    pub(crate) epoch: String,
    pub(crate) host_environment: Environment,
    pub(crate) config: CurrentConfig,
    /// The schemas of open questions.
    pub(crate) forms: Forms,
    pub(crate) login_environment: OnceLock<Environment>,
    /// What the account itself says and, with a window, its session; whoever started this host.
    pub(crate) account_environment: Environment,
    pub(crate) show_window: Option<Box<dyn Fn() + Send + Sync>>,
    /// Asks what shows notifications; a headless host shows none.
    pub(crate) notification_server: Option<AskNotificationServer>,
    /// What a person should know about the state that the history was in.
    pub(crate) findings: Vec<String>,
    pub(crate) data: Data,
    /// What is in sight of the window, and in notifications.
    pub(crate) window: Arc<Sight>,
    pub(crate) notifications: Sight,
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
        let began = Instant::now();
        let reply = self.carry_out(actor, call).await.map_err(|error| self.refusal(error))?;
        if *actor == WINDOW {
            self.inner.window.show(&reply, began);
        }
        Ok(reply)
    }

    /// Returns what is said of an error: with what is wrong with the config file, where it may have
    /// what was not found.
    fn refusal(&self, error: EngineError) -> ErrorReply {
        let note = if error.is_of_config() { self.inner.config.current().note() } else { None };
        let mut reply = ErrorReply::from(error);
        if let Some(note) = note {
            reply.message = format!("{}\n{note}", reply.message);
        }
        reply
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
                let (id, attempt) = self.inner.tokens.find(token).ok_or_else(|| {
                    ErrorReply::new(
                        nod_core::protocol::ErrorCode::Forbidden,
                        "NOD_TOKEN belongs to no running task",
                    )
                })?;
                Actor::Task { id, attempt: Some(attempt) }
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
            nonce: None,
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
        let mut subscription = self.inner.events.subscribe();
        if *actor == WINDOW {
            subscription = subscription.in_sight_of(Arc::clone(&self.inner.window));
        }
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

    /// Returns a reader of a task's output that waits for more until the task's end: from an offset
    /// of a try on, which is the last one where none is named, and through all that follow it.
    pub fn follow_log(
        &self,
        actor: &Actor,
        id: TaskId,
        (attempt, offset): (Option<AttemptNumber>, u64),
    ) -> Result<Follow, ErrorReply> {
        allowed(actor, Verb::FollowLog, Some(id)).map_err(EngineError::from)?;
        // Watched before the tries are read, so that an end between the two is not missed.
        let watch = self.inner.outputs.watch(id);
        let tries = self.tries(id)?;
        Ok(Follow::new(watch, tries, (attempt, offset)))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is decided in one other place")]
    async fn carry_out(&self, actor: &Actor, call: Call) -> Result<Reply, EngineError> {
        allowed(actor, call.verb(), target(&call))?;
        let change = |change| self.change(actor, change);
        match call {
            Call::Submit(submit) => self.submit(actor, *submit).await,
            Call::SubmitMany(many) => self.submit_many(actor, many).await,
            Call::RunAgain { operation, id } => self.run_again(actor, operation, id).await,
            Call::List(query) => self.blocking(move |handle| handle.list(&query)).await,
            Call::Show { id } => self.blocking(move |handle| handle.show(id)).await,
            Call::Snapshot => self.snapshot(actor).await,
            Call::SnapshotRest(from) => self.blocking(move |handle| handle.rest(from)).await,
            Call::OpenQuestion(of) => self.blocking(move |handle| handle.open_question(of)).await,
            Call::ReadLog { id, offset, limit, attempt } => {
                self.blocking(move |handle| handle.read_log((id, attempt), offset, limit)).await
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
            Call::Input(typed) => {
                let by = actor.clone();
                let by = self.blocking(move |handle| Ok(handle.typists_of(&by))).await?;
                change(Change::Input(typed, by)).await
            }
            Call::Resize { id, columns, rows } => {
                change(Change::Resize { id, columns, rows }).await
            }
            Call::CancelMany { operation, which } => {
                change(Change::CancelMany { operation, which }).await
            }
            Call::Edit(edit) => self.edit(actor, *edit).await,
            Call::Retry { operation, id } => self.retry(actor, operation, id).await,
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

    async fn retry(
        &self,
        actor: &Actor,
        operation: OperationId,
        id: TaskId,
    ) -> Result<Reply, EngineError> {
        self.rules_looked_at().await?;
        self.change(actor, Change::Retry { operation, id }).await
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
        let reply = match self.prepared_ask(actor, ask).await {
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
        let incoming = Incoming { actor: actor.clone(), change, reply: reply.into() };
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

    /// Takes in each change of the config file for as long as the host runs.
    pub(crate) async fn watch_config(self) {
        loop {
            let folders = self.inner.config.watched();
            let watched = async {
                let mut watch = FolderWatch::none()?;
                for Watched { folder, holds_file } in &folders {
                    watch.add(folder, if *holds_file { FILE_CHANGES } else { FOLDER_COMES })?;
                }
                self.refreshed_config();
                // Changed since it was looked at: nothing would tell of that.
                if folders == self.inner.config.watched() {
                    watch.changed().await?;
                }
                Ok(())
            };
            let ended: Result<(), std::io::Error> = watched.await;
            if let Err(error) = ended {
                // Each submit looks by itself.
                return tracing::info!("the config file is not watched: {error}");
            }
        }
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
        | Call::SnapshotRest(_)
        | Call::Subscribe
        | Call::CancelMany { .. }
        | Call::Groups
        | Call::ChangeGroup { .. }
        | Call::Watch { .. }
        | Call::Progress(_)
        | Call::Ask(_)
        | Call::AwaitAnswer(_)
        | Call::Withdraw { .. }
        | Call::Answer(_)
        | Call::OpenQuestion(_)
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
        | Call::Settings
        | Call::AllowNotificationApprovals { .. }
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
