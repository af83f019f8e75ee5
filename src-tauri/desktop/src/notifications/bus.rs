//! The desktop's notification server, over the session bus.
//!
//! What is pressed counts from the server alone: each signal must come from the
//! connection that showed the notification, and that must own the server's
//! name at that moment. What another program sends under the same name is
//! never even read.

use std::collections::HashMap;
use std::time::Duration;

use futures_lite::StreamExt as _;
use nod_core::protocol::NotificationServer;
use nod_core::text::one_line;
use zbus::fdo::{self, DBusProxy};
use zbus::names::{OwnedUniqueName, WellKnownName};
use zbus::zvariant::Value;
use zbus::{Connection, MatchRule, Message, MessageStream, connection, message};

use super::wording::escaped;

/// The server's name, which is that of what it does.
const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// How much of what the server calls itself is kept, in characters.
const NAME_LENGTH: usize = 80;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(25);

/// The same, where a person waits to be told who it is.
const SHORT_PATIENCE: Duration = Duration::from_secs(3);

/// How many signals wait to be read.
const QUEUE: usize = 64;

#[zbus::proxy(
    interface = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    assume_defaults = false,
    gen_blocking = false
)]
trait Notifications {
    #[expect(clippy::too_many_arguments, reason = "the specification has as many")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Value<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;

    fn close_notification(&self, id: u32) -> zbus::Result<()>;

    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;

    fn get_server_information(&self) -> zbus::Result<(String, String, String, String)>;
}

/// A notification as the server is asked to show it.
pub(super) struct Poster<'a> {
    pub(super) program: &'a str,
    pub(super) icon: &'a str,
    pub(super) title: &'a str,
    /// Without markup.
    pub(super) body: &'a str,
    /// Names and words in turns; for a server that shows buttons.
    pub(super) actions: &'a [&'a str],
    pub(super) urgency: u8,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Pressed {
        id: u32,
        action: String,
    },
    /// It is not shown any more.
    Closed {
        id: u32,
    },
    /// The bus is gone, and every notification with it.
    Gone,
}

/// A connection to the session bus.
pub(super) struct Bus {
    connection: Connection,
    server: Option<Server>,
}

/// The server that was met last.
pub(super) struct Server {
    owner: OwnedUniqueName,
    proxy: NotificationsProxy<'static>,
    signals: MessageStream,
    capabilities: Vec<String>,
    pub(super) name: String,
    version: String,
}

impl Bus {
    pub(super) async fn open() -> zbus::Result<Self> {
        let connection = connection::Builder::session()?.method_timeout(PATIENCE).build().await?;
        Ok(Self { connection, server: None })
    }

    /// Returns the server that there is now, and whether it is another one than before: that one's
    /// numbers mean nothing any more.
    pub(super) async fn server(&mut self) -> zbus::Result<(&Server, bool)> {
        let owner = self.started_owner().await?;
        let is_known = self.server.as_ref().is_some_and(|server| server.owner == owner);
        if !is_known {
            self.server = None;
            self.server = Some(Server::meet(&self.connection, owner).await?);
        }
        Ok((self.server.as_ref().expect("it was met just now"), !is_known))
    }

    /// Returns whether the server that showed the notifications owns its name now.
    pub(super) async fn is_still_there(&self) -> bool {
        let Some(server) = &self.server else { return false };
        self.owner().await.is_ok_and(|owner| owner == Some(server.owner.clone()))
    }

    pub(super) fn known(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Returns what the server says next. Can be dropped without a loss.
    pub(super) async fn hear(&mut self) -> Heard {
        let Some(server) = &mut self.server else { return std::future::pending().await };
        loop {
            match server.signals.next().await {
                Some(Ok(message)) => {
                    if let Some(heard) = read(&message, &server.owner) {
                        return heard;
                    }
                }
                Some(Err(_)) | None => return Heard::Gone,
            }
        }
    }

    async fn owner(&self) -> zbus::Result<Option<OwnedUniqueName>> {
        match DBusProxy::new(&self.connection).await?.get_name_owner(name().into()).await {
            Ok(owner) => Ok(Some(owner)),
            Err(fdo::Error::NameHasNoOwner(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn started_owner(&self) -> zbus::Result<OwnedUniqueName> {
        if let Some(owner) = self.owner().await? {
            return Ok(owner);
        }
        DBusProxy::new(&self.connection).await?.start_service_by_name(name(), 0).await?;
        let gone = || zbus::Error::Failure("the notification server has just ended".to_owned());
        self.owner().await?.ok_or_else(gone)
    }
}

impl Server {
    async fn meet(connection: &Connection, owner: OwnedUniqueName) -> zbus::Result<Self> {
        let rule = MatchRule::builder()
            .msg_type(message::Type::Signal)
            .sender(owner.clone())?
            .interface(NAME)?
            .path(PATH)?
            .build();
        // Listened to before there is anything to press.
        let signals = MessageStream::for_match_rule(rule, connection, Some(QUEUE)).await?;
        // Whatever owns the name by then: this one is asked.
        let proxy = NotificationsProxy::new(connection, owner.clone()).await?;
        let capabilities = proxy.get_capabilities().await?;
        let (name, _vendor, version, _specification) = proxy.get_server_information().await?;
        Ok(Self { owner, proxy, signals, capabilities, name, version })
    }

    /// Returns whether it shows buttons.
    pub(super) fn has_actions(&self) -> bool {
        self.can("actions")
    }

    /// Returns whether it shows more than titles.
    pub(super) fn has_bodies(&self) -> bool {
        self.can("body")
    }

    /// Returns its name and version.
    pub(super) fn words(&self) -> String {
        one_line(&format!("{} {}", self.name, self.version), NAME_LENGTH)
    }

    /// Shows a notification, in the place of another one unless that is 0, and returns its number.
    pub(super) async fn show(&self, poster: &Poster<'_>, in_place_of: u32) -> zbus::Result<u32> {
        let Poster { program, icon, title, body, actions, urgency } = *poster;
        // Servers that know markup would read a text as such; the others would show the escapes.
        let body = if self.can("body-markup") { escaped(body) } else { body.to_owned() };
        let actions = if self.has_actions() { actions } else { &[] };
        let hints = HashMap::from([("urgency", Value::U8(urgency))]);
        self.proxy.notify(program, in_place_of, icon, title, &body, actions, hints, -1).await
    }

    pub(super) async fn close(&self, id: u32) -> zbus::Result<()> {
        self.proxy.close_notification(id).await
    }

    fn can(&self, wanted: &str) -> bool {
        self.capabilities.iter().any(|capability| capability == wanted)
    }
}

fn name() -> WellKnownName<'static> {
    WellKnownName::from_static_str_unchecked(NAME)
}

/// Returns what a signal says, where it comes from the server.
fn read(message: &Message, server: &OwnedUniqueName) -> Option<Heard> {
    let header = message.header();
    let is_of_server = header.sender().is_some_and(|sender| *sender == **server);
    let is_signal = message.message_type() == message::Type::Signal;
    let is_ours = header.interface().is_some_and(|interface| interface.as_str() == NAME);
    if !(is_of_server && is_signal && is_ours) {
        tracing::warn!(sender = ?header.sender(), "a signal that the server did not send");
        return None;
    }
    let body = message.body();
    match header.member()?.as_str() {
        "ActionInvoked" => {
            let (id, action) = body.deserialize::<(u32, String)>().ok()?;
            Some(Heard::Pressed { id, action })
        }
        "NotificationClosed" => {
            let (id, _reason) = body.deserialize::<(u32, u32)>().ok()?;
            Some(Heard::Closed { id })
        }
        _ => None,
    }
}

/// Returns what shows notifications, or why nothing does. Waits for that, on any thread but one
/// that serves a runtime.
pub(crate) fn who_is_it() -> Result<NotificationServer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("failed to ask: {error}"))?;
    let asked = runtime.block_on(async {
        tokio::time::timeout(SHORT_PATIENCE, async {
            let mut bus = Bus::open().await?;
            let (server, _) = bus.server().await?;
            let (name, version) = (server.name.clone(), server.version.clone());
            Ok(NotificationServer { name, version, actions: server.has_actions() })
        })
        .await
    });
    match asked {
        Ok(Ok(server)) => Ok(server),
        Ok(Err(zbus::Error::FDO(error))) if matches!(*error, fdo::Error::ServiceUnknown(_)) => {
            Err("nothing on the session bus shows them".to_owned())
        }
        Ok(Err(error)) => Err(format!("nothing on the session bus shows them: {error}")),
        Err(_late) => Err("what shows them on the session bus does not answer".to_owned()),
    }
}
