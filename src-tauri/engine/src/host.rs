//! The one process that runs the engine for a data directory: its start and its end.

mod names;
mod place;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use nod_core::environment::{Environment, of_session};
use nod_core::paths::Paths;
use nod_core::protocol::{HostKind, NotificationServer, PROTOCOL};
use nod_core::shim::SHIM_PROTOCOL;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::clock;
use crate::config::{ConfigError, CurrentConfig};
use crate::dispatcher::{
    Cards, Dispatcher, HeldBack, Message, Pace, Settings, Steady, Talking, Typing, Waiters, hex,
    reminders_of,
};
use crate::effects::{Effects, Worker};
use crate::events::{Events, Subscription};
use crate::forms::Forms;
use crate::guards::{Board, RuleBook};
use crate::handle::{Handle, Inner};
use crate::logs::Outputs;
use crate::process::{self, Alarm, Cgroups, Hold, Programs, Rings};
use crate::recovery::Recovery;
use crate::retention::Pruner;
use crate::shims::Shims;
use crate::sight::{Arming, Sight};
use crate::socket;
use crate::store::{self, Opened, Readers, Seal, Store, StoreError};
use crate::strays::Strays;
use crate::tokens::Tokens;

pub(crate) use names::Data;
use place::{choose_socket, prepare};

/// How long the askers of an earlier host have to find this one.
const COMING_BACK: Duration = Duration::from_secs(10);

/// What a host is started with.
pub struct HostOptions {
    pub paths: Paths,
    pub programs: Programs,
    pub kind: HostKind,
    /// Brings the window to the front; a headless host has none.
    pub show_window: Option<Box<dyn Fn() + Send + Sync>>,
    pub identity: Identity,
    /// Asks what shows notifications; a headless host has none.
    pub notification_server: Option<AskNotificationServer>,
    pub arming: Arming,
}

/// Asks what shows notifications; the error says why nothing does.
pub type AskNotificationServer = Box<dyn Fn() -> Result<NotificationServer, String> + Send + Sync>;

/// What a host says that it is. Only a test has one say anything but the truth, to stand in for
/// an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub version: String,
    /// What it speaks with clients; the one before it too.
    pub protocol: u32,
    /// What it speaks with the shims that it starts.
    pub shim_protocol: u32,
}

impl Default for Identity {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { version, protocol: PROTOCOL, shim_protocol: SHIM_PROTOCOL }
    }
}

/// A running host. Ends when it is dropped; its tasks go on.
pub struct Host {
    handle: Handle,
    inbox: Sender<Message>,
    dispatcher: Option<JoinHandle<()>>,
    /// They end with the dispatcher, after the last start that it gave them.
    workers: Workers,
    /// Ends the pruning of the history when it is dropped.
    pruning: Option<Sender<()>>,
    runtime: Option<Runtime>,
    stop: watch::Receiver<bool>,
    serving: AbortHandle,
    events: Option<Subscription>,
    socket: PathBuf,
    /// Held for as long as this host lives.
    data: Data,
}

type Workers = Vec<JoinHandle<()>>;

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("another host has {}", .0.display())]
    Held(PathBuf),
    #[error("failed to use {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("{0} is missing: it belongs beside the other programs of Nod", .path.display())]
    Program { path: PathBuf },
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("failed to listen on {}: {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("failed to start the engine: {0}")]
    Threads(io::Error),
}

/// The parts that the threads of a host share.
struct Parts {
    readers: Readers,
    seal: Seal,
    events: Events,
    outputs: Outputs,
    tokens: Tokens,
    inbox: Sender<Message>,
    shims: Shims,
    rules: Board,
    held_back: HeldBack,
    window: Arc<Sight>,
}

impl StartError {
    pub(crate) fn folder(path: &Path, source: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), source }
    }
}

impl Host {
    /// Takes the data directory, settles what an earlier host left, and begins to serve.
    pub fn start(options: HostOptions) -> Result<Self, StartError> {
        let paths = options.paths.clone();
        // Before anything is made: what a host writes is for its user alone.
        let umask = process::strict_umask();
        let lock = Arc::new(prepare(&paths, &options.programs)?);
        let socket = choose_socket(&lock, &paths)?;
        let config = CurrentConfig::load(&paths.config, &paths.data)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            // One: every reply is a hop from the dispatcher, and a second thread adds hops of its own
            // (about a tenth of what a tiny task costs here). What takes time runs in the pool.
            .worker_threads(1)
            .thread_name("nod-io")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let (store, findings) = open_history(&paths)?;
        let (inbox, messages) = crossbeam_channel::unbounded();
        let parts = parts(&paths, &config, &runtime, &inbox)?;
        // Made before anything is decided: what ended while no host ran is part of it.
        let events = parts.events.subscribe();
        let (shim_protocol, arming) = (options.identity.shim_protocol, options.arming);
        let programs = &options.programs;
        let place =
            Place { paths: &paths, programs, socket: &socket, umask, shim_protocol, arming };
        let (dispatcher, first, mut workers) = dispatcher(&place, &config, &parts, store)?;
        let rings = {
            let _context = runtime.enter();
            dispatcher.alarm.rings().map_err(StartError::Threads)?
        };
        runtime.spawn(wake(rings, inbox.clone()));
        let thread = begin(dispatcher, first, messages)?;
        let (pruning, stop_pruning) = crossbeam_channel::bounded(0);
        let pruner = Pruner::new(
            config.current().config.retention.clone(),
            parts.readers.clone(),
            inbox.clone(),
            paths.tasks(),
        );
        workers.push(pruner.begin(stop_pruning).map_err(StartError::Threads)?);
        let (stop_sender, stop) = watch::channel(false);
        let data = data(&paths, lock);
        let handle = handle(options, parts, (config, findings, data.clone()), stop_sender);
        let listener = {
            let _context = runtime.enter();
            socket::listen(&socket)
                .map_err(|source| StartError::Socket { path: socket.clone(), source })?
        };
        handle.look_ahead().map_err(StartError::Threads)?;
        runtime.spawn(handle.clone().watch_config());
        runtime.spawn(data.clone().keep_names(inbox.clone()));
        let serving = runtime.spawn(socket::serve(socket.clone(), listener, handle.clone()));
        tracing::info!(data = %paths.data.display(), "the host serves");
        Ok(Self {
            handle,
            inbox,
            dispatcher: Some(thread),
            workers,
            pruning: Some(pruning),
            runtime: Some(runtime),
            stop,
            serving: serving.abort_handle(),
            events: Some(events),
            socket,
            data,
        })
    }

    /// Returns the way to ask this host.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Returns the runtime that the host's connections live on.
    #[must_use]
    pub fn runtime(&self) -> tokio::runtime::Handle {
        self.runtime.as_ref().expect("a host has its runtime until it is dropped").handle().clone()
    }

    /// Returns every event since the start, the settling of earlier tasks included; once.
    pub fn take_events(&mut self) -> Option<Subscription> {
        self.events.take()
    }

    /// Returns whether any task has not ended, as far as the history can tell.
    #[must_use]
    pub fn has_unfinished_tasks(&self) -> bool {
        self.handle.has_unfinished_tasks()
    }

    /// Returns what becomes true when somebody asks this host to end.
    #[must_use]
    pub fn stop_requested(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Or the socket would be made again.
        self.serving.abort();
        // First no new calls, then what was begun is stored, then the lock is free.
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!("the socket was gone already: {error}");
        }
        drop(self.inbox.send(Message::Stop));
        if let Some(dispatcher) = self.dispatcher.take()
            && dispatcher.join().is_err()
        {
            tracing::error!("the dispatcher panicked");
        } else if self.data.is_there() {
            store::close(&self.data.folder);
        }
        // A start that is under way must not meet the next host, which takes what is not there for free.
        drop(self.pruning.take());
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns the data directory, which is held from now on.
fn data(paths: &Paths, hold: Arc<Hold>) -> Data {
    Data { hold, folder: paths.data.clone(), database: paths.database() }
}

/// Opens the history, and returns what a person should know about the state that it was in.
pub(crate) fn open_history(paths: &Paths) -> Result<(Store, Vec<String>), StartError> {
    let opened = store::open(&paths.data, &clock::stamp(clock::now()))?;
    let Opened { mut store, mut findings, unclean, rescued } = opened;
    if unclean {
        let seal = Seal::load(&paths.seal_key())?;
        let (tasks, boot_id) = (paths.tasks(), process::boot_id());
        let strays = Strays { tasks: &tasks, boot_id: &boot_id, seal: &seal, anywhere: rescued };
        findings.extend(strays.put_back(&mut store, &Readers::new(paths.database()))?);
        if rescued {
            store::settled(&paths.data);
        }
    }
    for finding in &findings {
        tracing::error!("{finding}");
    }
    Ok((store, findings))
}

fn parts(
    paths: &Paths,
    config: &CurrentConfig,
    runtime: &Runtime,
    inbox: &Sender<Message>,
) -> Result<Parts, StartError> {
    let outputs = Outputs::default();
    let silence = Duration::from_millis(config.current().config.output.silence_ms);
    let shims = Shims::new(runtime.handle().clone(), inbox.clone(), outputs.clone(), silence);
    let readers = Readers::new(paths.database());
    let rules = {
        let reader = readers.lend()?;
        let (made, last, kept) = (reader.rules()?, reader.last_rule()?, reader.guards()?);
        let book = RuleBook::new(made, last, &kept.held, config.current().config.guards());
        let config_file = config.path().to_string_lossy().into_owned();
        let expired = reader.expired_rules()?.into_iter().collect();
        let notification_approvals = reader.notification_approvals()?;
        Board::new(RuleBook { config_file, expired, notification_approvals, ..book })
    };
    Ok(Parts {
        rules,
        readers,
        seal: Seal::load(&paths.seal_key())?,
        events: Events::new(),
        outputs,
        tokens: Tokens::default(),
        held_back: HeldBack::default(),
        window: Arc::default(),
        inbox: inbox.clone(),
        shims,
    })
}

/// Where a host is and what it was started with.
struct Place<'a> {
    paths: &'a Paths,
    programs: &'a Programs,
    socket: &'a Path,
    /// The mask of permissions that this process had, and tasks have.
    umask: u32,
    shim_protocol: u32,
    arming: Arming,
}

fn worker(place: &Place<'_>, parts: &Parts) -> Worker {
    Worker {
        programs: place.programs.clone(),
        readers: parts.readers.clone(),
        seal: parts.seal.clone(),
        shims: parts.shims.clone(),
        inbox: parts.inbox.clone(),
        socket: place.socket.to_owned(),
        bin: place.paths.bin(),
        tasks: place.paths.tasks(),
        short_name: place.paths.short_name(),
    }
}

fn dispatcher(
    place: &Place<'_>,
    config: &CurrentConfig,
    parts: &Parts,
    store: Store,
) -> Result<(Dispatcher, Vec<Message>, Workers), StartError> {
    let Place { paths, programs, umask, shim_protocol, arming, .. } = *place;
    let settings = Settings {
        config: config.current().config,
        boot_id: process::boot_id(),
        open_files: process::raise_open_files(),
        umask,
        shim_protocol,
        cgroups: Cgroups::find(&paths.short_name()),
        arming,
        window: Arc::clone(&parts.window),
        nod: programs.nod.clone(),
    };
    let tasks = paths.tasks();
    let recovery = Recovery {
        shims: &parts.shims,
        outputs: &parts.outputs,
        tokens: &parts.tokens,
        tasks: &tasks,
        boot_id: &settings.boot_id,
    };
    let (live, first) = recovery.recover(&parts.readers)?;
    let worker = worker(place, parts);
    let (talk, clock_row, last_use) = {
        let reader = parts.readers.lend()?;
        (reader.talk()?, reader.clock()?, reader.last_use()?)
    };
    let steady = Steady::since(clock_row, last_use, &settings.boot_id);
    let (effects, workers) = Effects::begin(&worker).map_err(StartError::Threads)?;
    let mut dispatcher = Dispatcher {
        orphans: Dispatcher::orphans_of(&live, COMING_BACK),
        unplaced: Dispatcher::dependent(&live),
        rules: parts.rules.clone(),
        typing: Typing::default(),
        talking: Talking::new(talk, COMING_BACK),
        pace: Pace::of(&live),
        cards: Cards::new(&live, parts.held_back.clone()),
        reminders: reminders_of(&live, clock::now()),
        stuck: false,
        unstored_guards: None,
        live,
        store,
        readers: parts.readers.clone(),
        events: parts.events.clone(),
        outputs: parts.outputs.clone(),
        effects,
        tokens: parts.tokens.clone(),
        settings,
        alarm: Alarm::new().map_err(StartError::Threads)?,
        board: Default::default(),
        waiters: Waiters::default(),
        again: vec![],
        unstored_cancels: Default::default(),
        steady,
        room: Default::default(),
    };
    dispatcher.apply_limits();
    Ok((dispatcher, first, workers))
}

/// Wakes the dispatcher each time the alarm rings, for as long as it is there.
async fn wake(mut rings: Rings, inbox: Sender<Message>) {
    while rings.next().await.is_ok() {
        if inbox.send(Message::Rung).is_err() {
            return;
        }
    }
}

fn begin(
    mut dispatcher: Dispatcher,
    first: Vec<Message>,
    messages: Receiver<Message>,
) -> Result<JoinHandle<()>, StartError> {
    dispatcher.sweep_again();
    // What became of tasks is decided before anyone can ask about them.
    dispatcher.settle_guards()?;
    dispatcher.turn(first);
    dispatcher.forget_operations();
    dispatcher.forget_events();
    thread::Builder::new()
        .name("dispatcher".into())
        .spawn(move || dispatcher.run(&messages))
        .map_err(StartError::Threads)
}

fn handle(
    options: HostOptions,
    parts: Parts,
    (config, findings, data): (CurrentConfig, Vec<String>, Data),
    stop: watch::Sender<bool>,
) -> Handle {
    let mut epoch = [0; 8];
    getrandom::fill(&mut epoch).expect("the system has random bytes once it has booted");
    Handle::new(Inner {
        inbox: parts.inbox,
        readers: parts.readers,
        seal: parts.seal,
        events: parts.events,
        outputs: parts.outputs,
        tokens: parts.tokens,
        rules: parts.rules,
        held_back: parts.held_back,
        tasks: options.paths.tasks(),
        kind: options.kind,
        identity: options.identity,
        notification_server: options.notification_server,
        nod: options.programs.nod.clone(),
        epoch: hex(&epoch),
        config,
        host_environment: own_environment(),
        forms: Forms::default(),
        login_environment: OnceLock::new(),
        account_environment: account_environment(options.kind),
        show_window: options.show_window,
        findings,
        data,
        window: parts.window,
        notifications: Sight::default(),
        stop,
    })
}

/// Returns what a login begins with; where there is a window, with the screen and the bus of its
/// session. The rest of what the app was started with may come from any program.
fn account_environment(kind: HostKind) -> Environment {
    let mut account = process::account_environment();
    if kind == HostKind::Desktop {
        account.extend(of_session(&own_environment()));
    }
    account
}

/// Returns this process's variables, as far as they are text.
fn own_environment() -> BTreeMap<String, String> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
