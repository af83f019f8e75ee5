//! A person's seat: a host that lets a terminal answer, and a display with a keyboard.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nod_client::new_operation;
use nod_core::protocol::{Call, ErrorCode, Reply, RuleList};

use crate::home::program;
use crate::{Desktop, Home, TestHost, until};

/// Turns answers in a terminal on.
pub const ON: &str = "[approvals]\nterminal = true\n";

/// A host, and a display with a keyboard for terminals.
pub struct Seat {
    pub host: TestHost,
    pub desktop: Desktop,
    /// The path of the command line.
    pub nod: String,
}

impl Seat {
    /// Answers in a terminal are turned on and confirmed.
    #[must_use]
    pub fn confirmed() -> Self {
        let mut seat = Self::with_config(ON);
        seat.confirm();
        seat
    }

    /// Confirms what waits, once the person has had it in sight for long enough.
    pub fn confirm(&mut self) {
        let Ok(Reply::Rules(rules)) = self.host.person(&Call::Rules) else { panic!("no rules") };
        let shown = rules.loosening.unwrap().hash;
        until("the change to be confirmed", || {
            let (operation, shown) = (new_operation().unwrap(), shown.clone());
            let confirmed = self.host.person(&Call::ConfirmLoosening { operation, shown });
            match confirmed {
                Ok(_) => Some(()),
                Err(error) if error.code == ErrorCode::TooEarly => None,
                Err(error) => panic!("{error}"),
            }
        });
    }

    /// The same, but that what has just been shown can be agreed to at once.
    #[must_use]
    pub fn unarmed() -> Self {
        let mut seat = Self::on(TestHost::start_in(Home::new().with_config(ON)));
        seat.confirm();
        seat
    }

    /// What the config file says is confirmed by nobody.
    #[must_use]
    pub fn with_config(config: &str) -> Self {
        Self::on(TestHost::start_armed(Home::new().with_config(config)))
    }

    /// `nod-test-voice` counts as the command line of the host, and runs in a terminal: a test has
    /// it say what no `nod` would. Returns the socket as well at which it listens.
    #[must_use]
    pub fn with_voice() -> (Self, PathBuf) {
        let home = Home::new().with_config(ON);
        let voice = program("nod-test-voice");
        let host = TestHost::start_as(home, &serde_json::json!({ "nod": voice, "armed": true }));
        let mut seat = Self::on(host);
        seat.confirm();
        let socket = seat.file("voice");
        let line = format!("exec {} {} voice", voice.display(), seat.host.socket().display());
        seat.open("xterm", &line, &[]);
        until("the voice", || UnixStream::connect(&socket).ok());
        (seat, socket)
    }

    fn on(host: TestHost) -> Self {
        let nod = program("nod").display().to_string();
        Self { host, desktop: Desktop::start(), nod }
    }

    /// Returns a file of the folder in which everything here runs.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.host.work().join(name)
    }

    /// Returns a command that is no child of the test's, as one of a menu is none.
    #[must_use]
    pub fn apart(&self, words: &[&str]) -> Command {
        let mut command = self.host.command("setsid");
        command.arg("-f").args(words).env("DISPLAY", self.desktop.display_name());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Opens a terminal emulator with a shell line in it; what it shows goes to the file `screen`.
    pub fn open(&self, xterm: &str, line: &str, variables: &[(&str, &str)]) {
        let screen = self.file("screen").display().to_string();
        let mut command =
            self.apart(&[xterm, "-u8", "-l", "-lf", &screen, "-e", "/bin/sh", "-c", line]);
        command.envs(variables.iter().copied());
        assert!(command.status().unwrap().success());
    }

    /// Waits until the terminal shows a text.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        until("a text on the terminal", || {
            if self.file("code").exists() {
                panic!("nod has ended: {}", fs::read_to_string(self.file("said")).unwrap());
            }
            let screen = fs::read(self.file("screen")).ok()?;
            String::from_utf8_lossy(&screen).contains(text).then_some(())
        });
    }

    /// Presses keys as on the keyboard, in the terminal that is open.
    pub fn press(&self, text: &str) {
        let display = self.desktop.display_name();
        let run = |words: &[&str]| {
            let mut command = self.host.command("xdotool");
            command.args(words).env("DISPLAY", display).stdout(Stdio::null());
            assert!(command.status().unwrap().success(), "xdotool {words:?}");
        };
        run(&["search", "--sync", "--onlyvisible", "--class", "xterm", "windowfocus", "--sync"]);
        run(&["type", "--delay", "20", text]);
        run(&["key", "Return"]);
    }

    /// Returns what a line said on its errors, and the code it ended with.
    #[track_caller]
    pub fn ended(&self) -> (i32, String) {
        let code = until("the end of nod", || {
            fs::read_to_string(self.file("code")).ok()?.trim().parse().ok()
        });
        let said = fs::read_to_string(self.file("said")).unwrap();
        for name in ["code", "said", "screen"] {
            fs::remove_file(self.file(name)).ok();
        }
        (code, said)
    }

    /// Returns a shell line that runs `nod` with its errors and its code in files.
    #[must_use]
    pub fn line(&self, words: &str) -> String {
        noted(&format!("{} {words}", self.nod))
    }
}

/// Returns a shell line with its errors and its code in files.
#[must_use]
pub fn noted(line: &str) -> String {
    format!("{line} 2> said; echo $? > code.new; mv code.new code")
}

/// Returns the rules that hold.
///
/// # Panics
/// When the host does not say.
#[must_use]
pub fn rules(host: &TestHost) -> RuleList {
    let Reply::Rules(rules) = host.call(&Call::Rules) else { panic!("no rules") };
    rules
}
