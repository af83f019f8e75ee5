//! A notification server that takes notes, and whose buttons a test presses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use nod_tests::{Desktop, until};
use tokio::runtime::Runtime;
use zbus::Connection;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::OwnedValue;

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// What the servers of most desktops say that they can do.
pub(crate) const USUAL: [&str; 3] = ["body", "body-markup", "actions"];

/// Why a notification was closed, as the specification numbers it.
const DISMISSED: u32 = 2;
const TAKEN_BACK: u32 = 3;

type Hints = HashMap<String, OwnedValue>;

/// What a notification server was asked to show.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) id: u32,
    pub(crate) program: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) urgency: u8,
    /// What can be pressed: names and words in turns.
    pub(crate) actions: Vec<String>,
    pub(crate) at: Instant,
}

#[derive(Default)]
pub(crate) struct Record {
    pub(crate) shown: Vec<Shown>,
    pub(crate) closed: Vec<u32>,
}

/// A notification server that only takes notes.
struct Server {
    record: Arc<Mutex<Record>>,
    capabilities: Vec<String>,
    /// What it calls itself.
    name: String,
}

/// A running server, and the runtime that serves its bus.
pub(crate) struct Notes {
    record: Arc<Mutex<Record>>,
    connection: Connection,
    runtime: Runtime,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Server {
    #[expect(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "the specification has as many, and zbus hands them over"
    )]
    fn notify(
        &self,
        app_name: String,
        replaces_id: u32,
        _app_icon: &str,
        summary: String,
        body: String,
        actions: Vec<String>,
        hints: Hints,
        _expire_timeout: i32,
    ) -> u32 {
        let mut record = self.record.lock().unwrap();
        let next = u32::try_from(record.shown.len()).unwrap() + 1;
        let id = if replaces_id == 0 { next } else { replaces_id };
        let urgency = hints.get("urgency").and_then(|it| it.downcast_ref::<u8>().ok());
        let (program, title, urgency) = (app_name, summary, urgency.unwrap_or(1));
        let at = Instant::now();
        record.shown.push(Shown { id, program, title, body, urgency, actions, at });
        id
    }

    #[zbus(signal)]
    async fn action_invoked(emitter: &SignalEmitter<'_>, id: u32, action: &str)
    -> zbus::Result<()>;

    #[zbus(signal)]
    async fn notification_closed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        reason: u32,
    ) -> zbus::Result<()>;

    async fn close_notification(
        &self,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
        id: u32,
    ) -> zbus::fdo::Result<()> {
        self.record.lock().unwrap().closed.push(id);
        Ok(Self::notification_closed(&emitter, id, TAKEN_BACK).await?)
    }

    fn get_capabilities(&self) -> Vec<String> {
        self.capabilities.clone()
    }

    fn get_server_information(&self) -> (String, String, String, String) {
        let [vendor, version, specification] = ["nod", "1", "1.2"];
        (self.name.clone(), vendor.into(), version.into(), specification.into())
    }
}

impl Notes {
    pub(crate) fn start(desktop: &Desktop, capabilities: &[&str]) -> Self {
        Self::named(desktop, "notes", capabilities)
    }

    /// Starts a server that calls itself so.
    pub(crate) fn named(desktop: &Desktop, name: &str, capabilities: &[&str]) -> Self {
        let (runtime, record) = (runtime(), Arc::<Mutex<Record>>::default());
        let capabilities = capabilities.iter().map(|name| (*name).to_owned()).collect();
        let server = Server { record: Arc::clone(&record), capabilities, name: name.to_owned() };
        let connection = runtime.block_on(async {
            let builder = zbus::connection::Builder::address(desktop.bus_address())?;
            builder.serve_at(PATH, server)?.name(NAME)?.build().await
        });
        Self { record, connection: connection.unwrap(), runtime }
    }

    /// Presses a button of a notification.
    pub(crate) fn press(&self, id: u32, action: &str) {
        self.runtime.block_on(async {
            let emitter = SignalEmitter::new(&self.connection, PATH).unwrap();
            Server::action_invoked(&emitter, id, action).await.unwrap();
        });
    }

    /// Presses a button as servers do that close what was pressed, some of them first.
    pub(crate) fn press_and_close(&self, id: u32, action: &str) {
        self.dismiss(id);
        self.press(id, action);
    }

    /// Closes a notification as the person does.
    pub(crate) fn dismiss(&self, id: u32) {
        self.runtime.block_on(async {
            let emitter = SignalEmitter::new(&self.connection, PATH).unwrap();
            Server::notification_closed(&emitter, id, DISMISSED).await.unwrap();
        });
    }

    /// Ends, so that another server can come.
    pub(crate) fn end(self) {
        self.runtime.block_on(self.connection.close()).unwrap();
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    /// Returns the notification whose title holds `part`, once it is there.
    #[track_caller]
    pub(crate) fn wait_for(&self, part: &str) -> Shown {
        until(part, || self.record().shown.iter().find(|it| it.title.contains(part)).cloned())
    }

    /// Waits until a notification is taken back.
    #[track_caller]
    pub(crate) fn wait_until_closed(&self, shown: &Shown) {
        until("the notification to go", || self.record().closed.contains(&shown.id).then_some(()));
    }
}

/// Sends the signals of a pressed button from a program that shows no notifications: to everybody,
/// and to each program on the bus by itself.
pub(crate) fn forge(desktop: &Desktop, id: u32, action: &str) {
    runtime().block_on(async {
        let builder = zbus::connection::Builder::address(desktop.bus_address()).unwrap();
        let connection = builder.build().await.unwrap();
        let bus = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        let signal = |destination: Option<zbus::names::BusName<'static>>| {
            let connection = connection.clone();
            let action = action.to_owned();
            async move {
                let body = (id, action);
                connection.emit_signal(destination, PATH, NAME, "ActionInvoked", &body).await
            }
        };
        signal(None).await.unwrap();
        for name in bus.list_names().await.unwrap() {
            signal(Some(name.into_inner())).await.unwrap();
        }
        // The bus has handed on all of them when it answers.
        bus.get_id().await.unwrap();
    });
}

fn runtime() -> Runtime {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap()
}
