//! The accessibility bus of a desktop: what a screen reader, or any other program, sees and presses.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;
use zbus::names::OwnedBusName;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue};
use zbus::{Connection, Message, connection};

use crate::desktop::Desktop;
use crate::wait::until;
use crate::window::runtime;

/// What starts the bus, where Debian puts it.
const LAUNCHER: &str = "/usr/libexec/at-spi-bus-launcher";

/// Longer than a busy program takes to answer; what is no accessible program refuses at once.
const ANSWERS: Duration = Duration::from_secs(20);

const ACCESSIBLE: &str = "org.a11y.atspi.Accessible";

/// Numbers of `AtspiRole`.
const PUSH_BUTTON: u32 = 43;
const RADIO_BUTTON: u32 = 44;
const TEXT: u32 = 61;
const ENTRY: u32 = 79;

/// Something on the bus: whose it is, and its path there.
type Place = (OwnedBusName, OwnedObjectPath);

/// An entry of the cache that a program keeps of what it shows; its place comes first.
type Entry = (Place, Place, Place, i32, i32, Vec<String>, String, u32, String, Vec<u32>);

/// A program that is connected to the accessibility bus.
pub struct Accessibility {
    runtime: Runtime,
    bus: Connection,
}

impl Accessibility {
    /// Starts the bus of a desktop. Programs that are started later are on it.
    ///
    /// # Panics
    /// Where it cannot be had.
    #[must_use]
    pub fn start(desktop: &Desktop) -> Self {
        assert!(Path::new(LAUNCHER).exists(), "at-spi2-core is not installed");
        let mut launcher = desktop.command(LAUNCHER);
        desktop.keep(
            {
                launcher.arg("--launch-immediately");
                launcher
            },
            "accessibility",
        );
        let runtime = runtime();
        let connect = |address: &str| {
            let builder = connection::Builder::address(address).unwrap();
            runtime.block_on(builder.method_timeout(ANSWERS).build())
        };
        let session = connect(desktop.bus_address()).unwrap();
        let bus = until("the accessibility bus", || {
            let place = ("org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus");
            let asked =
                session.call_method(Some(place.0), place.1, Some(place.2), "GetAddress", &());
            let address: String = runtime.block_on(asked).ok()?.body().deserialize().ok()?;
            connect(&address).ok()
        });
        Self { runtime, bus }
    }

    /// Waits for something in a web page whose name, or whose text, begins so.
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, name: &str) -> Found<'_> {
        let is_it = |place: &Place| self.name(place).starts_with(name) || self.says(place, name);
        until(name, || self.pages().into_iter().find_map(|page| self.find(page, &is_it)))
    }

    /// Waits for a button of exactly this name.
    #[track_caller]
    #[must_use]
    pub fn wait_for_button(&self, name: &str) -> Found<'_> {
        self.wait_for_role(name, &[PUSH_BUTTON])
    }

    /// Waits for one of several to choose from, of exactly this name.
    #[track_caller]
    #[must_use]
    pub fn wait_for_choice(&self, name: &str) -> Found<'_> {
        self.wait_for_role(name, &[RADIO_BUTTON])
    }

    /// Waits for a field of exactly this name.
    #[track_caller]
    #[must_use]
    pub fn wait_for_field(&self, name: &str) -> Found<'_> {
        self.wait_for_role(name, &[ENTRY, TEXT])
    }

    #[track_caller]
    fn wait_for_role(&self, name: &str, roles: &[u32]) -> Found<'_> {
        let is_it = |place: &Place| self.name(place) == name && roles.contains(&self.role(place));
        until(name, || self.pages().into_iter().find_map(|page| self.find(page, &is_it)))
    }

    /// Returns the web pages that programs show.
    fn pages(&self) -> Vec<Place> {
        let bus = "org.freedesktop.DBus";
        let names: Option<Vec<String>> =
            self.call((bus, "/org/freedesktop/DBus"), bus, "ListNames", &());
        let (cache, path) = ("org.a11y.atspi.Cache", "/org/a11y/atspi/cache");
        let page = |name: &String| {
            let entries: Vec<Entry> = self.call((name, path), cache, "GetItems", &())?;
            entries.into_iter().map(|entry| entry.0).find(|(_, path)| path.contains("/webkit/"))
        };
        // Nobody answers here.
        let is_own = |name: &str| self.bus.unique_name().is_some_and(|own| own.as_str() == name);
        let names = names.unwrap_or_default();
        let others = names.iter().filter(|name| name.starts_with(':') && !is_own(name));
        others.filter_map(page).collect()
    }

    fn find(&self, place: Place, is_it: &impl Fn(&Place) -> bool) -> Option<Found<'_>> {
        if is_it(&place) {
            return Some(Found { on: self, place });
        }
        self.below(&place).into_iter().find_map(|child| self.find(child, is_it))
    }

    fn below(&self, (name, path): &Place) -> Vec<Place> {
        self.call((name, path), ACCESSIBLE, "GetChildren", &()).unwrap_or_default()
    }

    fn name(&self, (name, path): &Place) -> String {
        let get = "org.freedesktop.DBus.Properties";
        let called: Option<OwnedValue> = self.call((name, path), get, "Get", &(ACCESSIBLE, "Name"));
        called.and_then(|called| String::try_from(called).ok()).unwrap_or_default()
    }

    fn role(&self, (name, path): &Place) -> u32 {
        self.call((name, path), ACCESSIBLE, "GetRole", &()).unwrap_or_default()
    }

    /// Whether something without parts has a text that begins so.
    fn says(&self, place: &Place, words: &str) -> bool {
        if !self.below(place).is_empty() {
            return false;
        }
        let (name, path) = place;
        let text: Option<String> =
            self.call((name, path), "org.a11y.atspi.Text", "GetText", &(0_i32, -1_i32));
        text.is_some_and(|text| text.starts_with(words))
    }

    /// Returns what a method returns; nothing where there is no such method, or it refuses.
    fn call<Body, Returned>(
        &self,
        (name, path): (&str, &str),
        interface: &str,
        method: &str,
        body: &Body,
    ) -> Option<Returned>
    where
        Body: serde::Serialize + DynamicType,
        Returned: for<'a> serde::Deserialize<'a> + zbus::zvariant::Type,
    {
        let call = self.bus.call_method(Some(name), path, Some(interface), method, body);
        let reply: Message = self.runtime.block_on(call).ok()?;
        reply.body().deserialize().ok()
    }
}

/// Something that the bus knows.
pub struct Found<'a> {
    on: &'a Accessibility,
    place: Place,
}

impl Found<'_> {
    /// Presses it, and returns whether the program says that it was pressed.
    #[must_use]
    pub fn press(&self) -> bool {
        self.call("Action", "DoAction", &0_i32)
    }

    /// Gives it the focus, and returns whether the program says that it has it.
    #[must_use]
    pub fn focus(&self) -> bool {
        self.call("Component", "GrabFocus", &())
    }

    /// Writes at the beginning of a field, and returns whether the program says that it did: not
    /// every version of `WebKit` lets others write.
    #[must_use]
    pub fn insert(&self, text: &str) -> bool {
        let length = i32::try_from(text.len()).expect("a short text");
        self.call("EditableText", "InsertText", &(0_i32, text, length))
    }

    fn call<Body>(&self, interface: &str, method: &str, body: &Body) -> bool
    where
        Body: serde::Serialize + DynamicType,
    {
        let (name, path) = &self.place;
        let interface = format!("org.a11y.atspi.{interface}");
        self.on.call((name, path), &interface, method, body).unwrap_or(false)
    }
}
