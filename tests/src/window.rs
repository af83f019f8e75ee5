//! The app's real window, driven as a person drives it.
//!
//! Reads go through one script each, so that what is read was there at one
//! moment. Clicks and keys go through the web view as a mouse's and a
//! keyboard's. Everything waits for its condition.

use std::future::Future;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::prelude::*;
use tokio::runtime::Runtime;

use crate::desktop::{AUTOMATED, Desktop, TITLE};
use crate::home::program;
use crate::processes;
use crate::wait::{PATIENCE, until, within};

/// How long one command to the window may take on a busy machine.
const COMMAND: Duration = Duration::from_secs(30);

/// The window of a running app, and the driver that it was opened by.
pub struct Window {
    driver: Option<WebDriver>,
    runtime: Runtime,
    service: Service,
    app: i32,
}

/// A running `WebKitWebDriver`.
pub struct Service {
    child: Child,
    port: u16,
}

/// Returns the selector of what carries this name for tests.
#[must_use]
pub fn by_name(name: &str) -> String {
    format!("[data-test='{name}']")
}

impl Service {
    /// Starts the driver's service on a port of its own.
    ///
    /// # Panics
    /// When none of ten ports can be had.
    #[must_use]
    pub fn start(desktop: &Desktop) -> Self {
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = desktop.command("WebKitWebDriver");
            command.arg(format!("--port={port}")).env("TAURI_WEBVIEW_AUTOMATION", "true");
            let mut child = desktop.spawn(command, "driver");
            let listens = until("the driver's service", || {
                // Another program may have taken the port meanwhile.
                let ended = child.try_wait().unwrap().is_some();
                let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
                (ended || listens).then_some(!ended)
            });
            if listens && child.try_wait().unwrap().is_none() {
                return Self { child, port };
            }
        }
        panic!("no port for WebKitWebDriver: {}", desktop.said("driver-errors"));
    }

    /// Asks for a session with a program, within a time.
    pub async fn session(&self, binary: &Path, within: Duration) -> WebDriverResult<WebDriver> {
        let mut capabilities = Capabilities::new();
        let options = json!({ "binary": binary, "args": [] });
        capabilities.set("webkitgtk:browserOptions", options)?;
        let address = format!("http://127.0.0.1:{}", self.port);
        WebDriver::builder(address, capabilities).request_timeout(within).connect().await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns a runtime for what the driver's client does.
///
/// # Panics
/// When the system has none.
#[must_use]
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl Window {
    /// Opens the window, and returns when it shows what the engine says.
    pub(crate) fn open(desktop: &Desktop) -> Self {
        let runtime = runtime();
        let service = Service::start(desktop);
        let session = runtime.block_on(service.session(&program(AUTOMATED), PATIENCE));
        let driver = session.unwrap_or_else(|error| {
            panic!("no window: {error}\n{}", desktop.said("driver-errors"));
        });
        let app = desktop.wait_for_app(AUTOMATED);
        let window = Self { driver: Some(driver), runtime, service, app };
        window.wait_for(&by_name("new-task"));
        window
    }

    /// The process of the app.
    #[must_use]
    pub fn app(&self) -> i32 {
        self.app
    }

    /// Kills the app as `kill -9` does, and returns when it is gone.
    pub fn kill_app(self) {
        processes::kill_9(self.app);
        until("the app to go", || (!processes::is_alive(self.app)).then_some(()));
    }

    /// Closes the window as its button does, and returns when the app has ended.
    pub fn close(self, desktop: &Desktop) {
        desktop.display().close(TITLE);
        until("the app to end", || (!processes::is_alive(self.app)).then_some(()));
    }

    /// Returns what a script returns.
    ///
    /// # Panics
    /// When the script fails.
    #[must_use]
    #[track_caller]
    pub fn script(&self, script: &str, arguments: &[Value]) -> Value {
        let returned = self.run(self.driver().execute(script, arguments.to_vec()));
        returned.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// Returns when what was changed so far can be seen on the display.
    ///
    /// # Panics
    /// When the window draws nothing.
    #[track_caller]
    pub fn wait_for_frame(&self) {
        let script = "const done = arguments[0];
            requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))";
        let drawn = self.run(self.driver().execute_async(script, vec![]));
        drawn.unwrap_or_else(|error| panic!("the window draws nothing: {error}"));
    }

    /// Returns how many elements a selector finds.
    #[must_use]
    #[track_caller]
    pub fn count(&self, selector: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        self.script(script, &[selector.into()]).as_u64().expect("a number")
    }

    /// Returns the text of the first element as it is shown, or nothing.
    #[must_use]
    #[track_caller]
    pub fn text(&self, selector: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.innerText ?? null";
        self.script(script, &[selector.into()]).as_str().map(str::to_owned)
    }

    /// Returns an attribute of the first element, or nothing.
    #[must_use]
    #[track_caller]
    pub fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        let script =
            "return document.querySelector(arguments[0])?.getAttribute(arguments[1]) ?? null";
        self.script(script, &[selector.into(), name.into()]).as_str().map(str::to_owned)
    }

    /// Returns what a field holds.
    #[must_use]
    #[track_caller]
    pub fn value(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.value ?? ''";
        self.script(script, &[selector.into()]).as_str().expect("a text").to_owned()
    }

    /// Returns the name for tests of what has the focus.
    #[must_use]
    #[track_caller]
    pub fn focused(&self) -> Option<String> {
        let script = "return document.activeElement?.closest('[data-test]')?.dataset.test ?? null";
        self.script(script, &[]).as_str().map(str::to_owned)
    }

    /// Waits until a selector finds something.
    #[track_caller]
    pub fn wait_for(&self, selector: &str) {
        self.wait_until(selector, || self.count(selector) > 0);
    }

    /// Waits until a selector finds nothing.
    #[track_caller]
    pub fn wait_until_gone(&self, selector: &str) {
        self.wait_until(&format!("no {selector}"), || self.count(selector) == 0);
    }

    /// Waits until the first element's text holds `part`, and returns all of it.
    #[track_caller]
    pub fn wait_for_text(&self, selector: &str, part: &str) -> String {
        let mut found = None;
        self.wait_until(&format!("{part:?} in {selector}"), || {
            found = self.text(selector);
            found.as_ref().is_some_and(|text| text.contains(part))
        });
        found.unwrap_or_default()
    }

    /// Waits until an attribute of the first element has a value.
    #[track_caller]
    pub fn wait_for_attribute(&self, selector: &str, name: &str, value: &str) {
        self.wait_until(&format!("{name}={value:?} of {selector}"), || {
            self.attribute(selector, name).as_deref() == Some(value)
        });
    }

    /// Waits for a condition; says what the window shows when it does not come.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is_met: impl FnMut() -> bool) {
        if !within(PATIENCE, is_met) {
            let shown = self.text("body").unwrap_or_default();
            panic!("waited in vain for {what}; the window shows:\n{shown}");
        }
    }

    /// Clicks the first element once it is there, enabled, and not covered.
    ///
    /// # Panics
    /// When it does not come to that.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let mut last = String::new();
        let clicked = within(PATIENCE, || match self.run(click(self.driver(), selector)) {
            Ok(clicked) => clicked,
            Err(error) => {
                last = error.to_string();
                false
            }
        });
        assert!(clicked, "failed to click {selector}: {last}");
    }

    /// Replaces what a field holds by typing.
    ///
    /// # Panics
    /// When it does not take it.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        self.wait_for(selector);
        let filled = self.run(async {
            let field = self.driver().find(By::Css(selector)).await?;
            field.clear().await?;
            field.send_keys(text).await
        });
        filled.unwrap_or_else(|error| panic!("{selector}: {error}"));
        self.wait_until(&format!("{text:?} in {selector}"), || self.value(selector) == text);
    }

    /// Presses keys, wherever the focus is.
    ///
    /// # Panics
    /// When the window takes none.
    #[track_caller]
    pub fn press(&self, keys: impl Into<TypingData>) {
        let pressed = self.run(self.driver().action_chain().send_keys(keys).perform());
        pressed.unwrap_or_else(|error| panic!("keys: {error}"));
    }

    /// Moves the pointer over the first element.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn hover(&self, selector: &str) {
        let hovered = self.run(async {
            let element = self.driver().find(By::Css(selector)).await?;
            self.driver().action_chain().move_to_element_center(&element).perform().await
        });
        hovered.unwrap_or_else(|error| panic!("{selector}: {error}"));
        self.wait_for(&format!("{selector}:hover"));
    }

    /// Presses a key while another one is held.
    ///
    /// # Panics
    /// When the window takes none.
    #[track_caller]
    pub fn press_with(&self, held: Key, key: impl Into<TypingData>) {
        let chain = self.driver().action_chain().key_down(held.clone()).send_keys(key);
        let pressed = self.run(chain.key_up(held).perform());
        pressed.unwrap_or_else(|error| panic!("keys: {error}"));
    }

    /// Presses a key and holds it until [`Self::let_go`].
    ///
    /// # Panics
    /// When the window takes none.
    #[track_caller]
    pub fn hold(&self, key: char) {
        let held = self.run(self.driver().action_chain().key_down(key).perform());
        held.unwrap_or_else(|error| panic!("keys: {error}"));
    }

    /// Lets go of a key that is held.
    ///
    /// # Panics
    /// When the window takes none.
    #[track_caller]
    pub fn let_go(&self, key: char) {
        let let_go = self.run(self.driver().action_chain().key_up(key).perform());
        let_go.unwrap_or_else(|error| panic!("keys: {error}"));
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("a window has a driver until it is closed")
    }

    fn run<T>(&self, work: impl Future<Output = WebDriverResult<T>>) -> WebDriverResult<T> {
        self.runtime.block_on(async {
            let timed = tokio::time::timeout(COMMAND, work).await;
            timed.unwrap_or_else(|_| Err(WebDriverError::Timeout("the window says nothing".into())))
        })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let Some(driver) = self.driver.take() else { return };
        // The service and the app end with the test; nothing is asked of them any more.
        driver.leak().ok();
        self.service.child.kill().ok();
    }
}

async fn click(driver: &WebDriver, selector: &str) -> WebDriverResult<bool> {
    let element = driver.find(By::Css(selector)).await?;
    // A click on what is disabled would seem to have been one.
    if !element.is_enabled().await? {
        return Ok(false);
    }
    element.click().await?;
    Ok(true)
}
