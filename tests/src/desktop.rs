//! A desktop of a test's own: a display, a session bus, and the app on them.
//!
//! Everything lies in the folder of a [`Home`], whose data directory and
//! sockets are the app's: `nod` commands and connections of the same home
//! reach the engine behind the window. Windows that a test drives are
//! [`Window`]s.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::display::Display;
use crate::home::{Home, program};
use crate::processes;
use crate::wait::until;
use crate::window::Window;

/// What is shipped.
pub const SHIPPED: &str = "nod-desktop";
/// The same, but for the feature `automation`.
pub const AUTOMATED: &str = "nod-desktop-automation";

/// The title of the app's window.
pub const TITLE: &str = "Nod";

/// A display and a session bus without a single program on them.
pub struct Desktop {
    server: Child,
    bus: Child,
    kept: RefCell<Vec<Child>>,
    variables: Vec<(&'static str, String)>,
    home: Home,
}

impl Default for Desktop {
    fn default() -> Self {
        Self::start()
    }
}

impl Desktop {
    /// Starts a desktop in a new home.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(Home::new())
    }

    /// Starts a desktop in `home`.
    ///
    /// # Panics
    /// Where a display or a bus cannot be had.
    #[must_use]
    pub fn start_in(home: Home) -> Self {
        // The server picks a number that no other one holds.
        let words = ["-displayfd", "1", "-screen", "0", "1180x760x24", "-nolisten", "tcp"];
        let mut command = home.command("Xvfb");
        command.args(words).arg("-noreset").stderr(log(&home, "display"));
        let (server, number) = announced(command);
        let mut command = home.command("dbus-daemon");
        command.arg("--nofork").arg("--print-address=1");
        command.arg(format!("--config-file={}", bus_config(&home).display()));
        command.stderr(log(&home, "bus"));
        let (bus, address) = announced(command);
        let folder = |name: &str| home.path().join("home").join(name).display().to_string();
        let variables = vec![
            ("DISPLAY", format!(":{number}")),
            ("DBUS_SESSION_BUS_ADDRESS", address),
            ("XDG_DATA_HOME", folder("data")),
            ("XDG_CONFIG_HOME", folder("config")),
            ("XDG_CACHE_HOME", folder("cache")),
            ("XDG_SESSION_TYPE", "x11".into()),
            // No graphics card, no screen reader.
            ("WEBKIT_DISABLE_DMABUF_RENDERER", "1".into()),
            ("NO_AT_BRIDGE", "1".into()),
        ];
        Self { server, bus, kept: RefCell::default(), variables, home }
    }

    /// Gives the desktop a dark theme, or another one.
    #[must_use]
    pub fn with_theme(mut self, theme: &str) -> Self {
        self.variables.push(("GTK_THEME", theme.to_owned()));
        self
    }

    /// Has the programs of the desktop be on its accessibility bus, once that is started.
    #[must_use]
    pub fn with_accessibility(mut self) -> Self {
        self.variables.retain(|(name, _)| *name != "NO_AT_BRIDGE");
        self
    }

    /// Returns a command that sees this desktop and this data directory.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.home.command(program);
        command.envs(self.variables.iter().cloned()).stdin(Stdio::null());
        command
    }

    /// Connects to the display.
    #[must_use]
    pub fn display(&self) -> Display {
        Display::open(self.variable("DISPLAY"))
    }

    /// The name of the display.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.variable("DISPLAY")
    }

    /// The address of the session bus.
    #[must_use]
    pub fn bus_address(&self) -> &str {
        self.variable("DBUS_SESSION_BUS_ADDRESS")
    }

    fn variable(&self, wanted: &str) -> &str {
        let found = self.variables.iter().find(|(name, _)| *name == wanted);
        &found.expect("every desktop has it").1
    }

    /// Starts a program that stays; what it prints goes to files of this name.
    ///
    /// # Panics
    /// When it cannot be started.
    pub(crate) fn spawn(&self, mut command: Command, name: &str) -> Child {
        command.stdout(log(&self.home, name)).stderr(log(&self.home, &format!("{name}-errors")));
        command.spawn().unwrap()
    }

    /// Starts a program that stays until the desktop ends.
    pub fn keep(&self, command: Command, name: &str) {
        let child = self.spawn(command, name);
        self.kept.borrow_mut().push(child);
    }

    /// Starts the shipped app, and returns its process when it hosts the data directory.
    pub fn start_app(&self) -> i32 {
        self.keep(self.command(program(SHIPPED)), "app");
        self.wait_for_app(SHIPPED)
    }

    /// Opens the window of a build that can be driven.
    #[must_use]
    pub fn open(&self) -> Window {
        Window::open(self)
    }

    /// Waits until the app answers on the socket, and returns its process.
    #[track_caller]
    pub fn wait_for_app(&self, name: &str) -> i32 {
        until("the app to answer", || {
            let pid = self.running(name).first().copied()?;
            nod_client::Connection::open(&self.home.socket(), None).ok()?;
            Some(pid)
        })
    }

    /// Returns the processes of this desktop that run a program.
    #[must_use]
    pub fn running(&self, name: &str) -> Vec<i32> {
        let program = program(name);
        let mut found = self.processes();
        found.retain(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|it| it == program));
        found
    }

    /// Returns what was written to the file of a program's output.
    #[must_use]
    pub fn said(&self, name: &str) -> String {
        fs::read_to_string(log_path(&self.home, name)).unwrap_or_default()
    }

    /// Saves a picture of the display as target/screenshots/NAME.png.
    pub fn picture(&self, name: &str) {
        let this = std::env::current_exe().expect("a test is a program");
        let target = this.ancestors().nth(3).expect("cargo puts tests into target/*/deps");
        let folder = target.join("screenshots");
        fs::create_dir_all(&folder).unwrap();
        let mut command = self.command("import");
        let status = command.args(["-window", "root"]).arg(folder.join(format!("{name}.png")));
        assert!(status.status().unwrap().success(), "no picture of the display");
    }

    fn processes(&self) -> Vec<i32> {
        processes::with_mark(&self.home.path().to_string_lossy())
    }
}

impl Deref for Desktop {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.home
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("test").replace("::", "-");
            self.picture(&format!("{name}-failed"));
        }
        processes::end_logins(self.home.path());
        let server = self.server.id().cast_signed();
        let others = || {
            let mut found = self.processes();
            found.retain(|pid| *pid != server);
            found
        };
        while let pids @ [_, ..] = others().as_slice() {
            for pid in pids {
                processes::kill_9(*pid);
            }
        }
        for child in self.kept.get_mut().iter_mut().chain([&mut self.bus]) {
            child.wait().ok();
        }
        // Asked, not killed: it takes its socket and its lock out of /tmp.
        Pid::from_raw(server).and_then(|pid| kill_process(pid, Signal::TERM).ok());
        self.server.wait().ok();
    }
}

/// Starts a program that says on its first line how it is to be reached.
fn announced(mut command: Command) -> (Child, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "{command:?} did not start");
    (child, line.trim_end().to_owned())
}

/// Writes the configuration of a bus that starts no program by itself.
fn bus_config(home: &Home) -> PathBuf {
    let path = home.path().join("bus.conf");
    let socket = home.path().join("run/bus");
    let text = format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
         <busconfig><type>session</type><listen>unix:path={}</listen>\n\
         <policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>\
         <allow own=\"*\"/></policy></busconfig>\n",
        socket.display()
    );
    fs::write(&path, text).unwrap();
    path
}

fn log(home: &Home, name: &str) -> File {
    File::options().create(true).append(true).open(log_path(home, name)).unwrap()
}

fn log_path(home: &Home, name: &str) -> PathBuf {
    Path::new(home.path()).join(format!("{name}.log"))
}
