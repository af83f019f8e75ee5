//! The real window, on a display and a session bus of each test's own.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

mod answer;
mod attempts;
mod bus;
mod cancel;
mod details;
mod elsewhere;
mod floods;
mod focus;
mod forms;
mod history;
mod imitations;
mod keyboard;
mod look;
mod notices;
mod one_host;
mod output;
mod progress;
mod questions;
mod result;
mod rules;
mod scrolling;
mod settings;
mod shipped;
mod submit;
mod survive;
mod untrusted;

use nod_core::ids::TaskId;
use nod_core::request::Request;
use nod_tests::{Desktop, by_name};

/// Returns the selector of a task's row among the tasks.
fn row(id: TaskId) -> String {
    format!("{}[data-task-id='{id}']", by_name("task-row"))
}

/// Returns the selector of the card of a question.
fn card(request: &Request) -> String {
    format!("{}[data-request-id='{}']", by_name("request-card"), request.id)
}

/// Returns the selector of something in a task's row, or in another element.
fn within(outer: &str, name: &str) -> String {
    format!("{outer} {}", by_name(name))
}

/// Returns what a task wrote to a file of its folder.
fn read(desktop: &Desktop, name: &str) -> String {
    std::fs::read_to_string(desktop.work().join(name)).unwrap()
}

/// Makes a file that a task waits for.
fn touch(desktop: &Desktop, name: &str) {
    std::fs::write(desktop.work().join(name), "").unwrap();
}
