//! The windows of a display, as its clients see them. No window manager is needed.

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConfigureWindowAux, ConnectionExt as _, CreateWindowAux,
    EventMask, InputFocus, MapState, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::{COPY_DEPTH_FROM_PARENT, COPY_FROM_PARENT, CURRENT_TIME};

use crate::wait::until;

/// A connection to a display.
pub struct Display {
    connection: RustConnection,
    root: Window,
}

impl Display {
    /// Connects to a display.
    ///
    /// # Panics
    /// When it cannot be reached.
    #[must_use]
    pub fn open(name: &str) -> Self {
        let (connection, screen) = x11rb::connect(Some(name)).unwrap();
        let root = connection.setup().roots[screen].root;
        Self { connection, root }
    }

    /// Returns whether a window of this title can be seen.
    #[must_use]
    pub fn shows(&self, title: &str) -> bool {
        self.titled(title).is_some()
    }

    /// Returns whether a window of this title lies above all others.
    #[must_use]
    pub fn is_in_front(&self, title: &str) -> bool {
        let top = self.visible().last().copied();
        top.is_some() && top == self.titled(title)
    }

    /// Puts a window of the test over all others, and gives it the keyboard.
    ///
    /// # Panics
    /// When the display does not let it.
    pub fn cover(&self) -> Window {
        let cover = self.connection.generate_id().unwrap();
        let (width, height) = (400, 300);
        let looks = CreateWindowAux::new();
        let made = self.connection.create_window(
            COPY_DEPTH_FROM_PARENT,
            cover,
            self.root,
            0,
            0,
            width,
            height,
            0,
            WindowClass::INPUT_OUTPUT,
            COPY_FROM_PARENT,
            &looks,
        );
        made.unwrap().check().unwrap();
        self.connection.map_window(cover).unwrap().check().unwrap();
        let focus = self.connection.set_input_focus(InputFocus::PARENT, cover, CURRENT_TIME);
        focus.unwrap().check().unwrap();
        cover
    }

    /// Takes over everything that is copied and selected, as a program does in which somebody copies;
    /// returns whose it is now.
    ///
    /// # Panics
    /// When the display does not let it.
    #[must_use]
    pub fn copy(&self) -> Window {
        let owner = self.connection.generate_id().unwrap();
        let (class, looks) = (WindowClass::INPUT_ONLY, CreateWindowAux::new());
        let made = self.connection.create_window(
            0,
            owner,
            self.root,
            0,
            0,
            1,
            1,
            0,
            class,
            COPY_FROM_PARENT,
            &looks,
        );
        made.unwrap().check().unwrap();
        for selection in [AtomEnum::PRIMARY.into(), self.atom("CLIPBOARD")] {
            let owned = self.connection.set_selection_owner(owner, selection, CURRENT_TIME);
            owned.unwrap().check().unwrap();
        }
        owner
    }

    /// Returns whose what is copied is, and what is selected.
    ///
    /// # Panics
    /// When the display is gone.
    #[must_use]
    pub fn copied(&self) -> [Window; 2] {
        [self.atom("CLIPBOARD"), AtomEnum::PRIMARY.into()].map(|selection| {
            self.connection.get_selection_owner(selection).unwrap().reply().unwrap().owner
        })
    }

    /// Returns which window has the keyboard.
    ///
    /// # Panics
    /// When the display is gone.
    #[must_use]
    pub fn focus(&self) -> Window {
        self.connection.get_input_focus().unwrap().reply().unwrap().focus
    }

    /// Closes a window as its button does: its program is asked to.
    ///
    /// # Panics
    /// When the display is gone.
    pub fn close(&self, title: &str) {
        let window = until("the window", || self.titled(title));
        let (protocols, delete) = (self.atom("WM_PROTOCOLS"), self.atom("WM_DELETE_WINDOW"));
        let data = [delete, CURRENT_TIME, 0, 0, 0];
        let event = ClientMessageEvent::new(32, window, protocols, data);
        let sent = self.connection.send_event(false, window, EventMask::NO_EVENT, event);
        sent.unwrap().check().unwrap();
    }

    /// Gives a window another size, as a person who pulls at its corner.
    ///
    /// # Panics
    /// When the display does not let it.
    pub fn resize(&self, title: &str, width: u32, height: u32) {
        let window = until("the window", || self.titled(title));
        let size = ConfigureWindowAux::new().width(width).height(height);
        self.connection.configure_window(window, &size).unwrap().check().unwrap();
    }

    fn atom(&self, name: &str) -> u32 {
        self.connection.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom
    }

    fn titled(&self, title: &str) -> Option<Window> {
        self.visible().into_iter().rfind(|window| {
            let (property, kind) = (AtomEnum::WM_NAME, AtomEnum::ANY);
            let found = self.connection.get_property(false, *window, property, kind, 0, 100);
            // A window may go while it is looked at.
            found.unwrap().reply().is_ok_and(|found| found.value == title.as_bytes())
        })
    }

    /// Returns the visible windows, the one on top last.
    fn visible(&self) -> Vec<Window> {
        let mut all = self.connection.query_tree(self.root).unwrap().reply().unwrap().children;
        all.retain(|window| {
            let found = self.connection.get_window_attributes(*window).unwrap().reply();
            found.is_ok_and(|found| found.map_state == MapState::VIEWABLE)
        });
        all
    }
}
