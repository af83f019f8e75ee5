//! Desktop notifications: a request, and the end of a task.
//!
//! Shown from one thread of their own, because the desktop's notification
//! server may take its time.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nod_core::protocol::EventChange;
use nod_core::request::Request;
use nod_core::task::{Outcome, Task, TaskState};
use nod_engine::Subscription;
use notify_rust::{Notification, Urgency};
use tokio::runtime::Handle;

/// The longest title and body, in characters.
const TITLE_LIMIT: usize = 100;
const BODY_LIMIT: usize = 300;

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Notice {
    title: String,
    body: String,
    urgent: bool,
}

/// Shows what the events tell from now on.
pub(crate) fn begin(runtime: &Handle, mut events: Subscription) -> io::Result<()> {
    let (sender, notices) = channel();
    thread::Builder::new().name("notifications".into()).spawn(move || show_all(&notices))?;
    runtime.spawn(async move {
        while let Some(event) = events.next().await {
            if let Some(notice) = notice(&event.change)
                && sender.send(notice).is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

fn show_all(notices: &Receiver<Notice>) {
    for notice in notices {
        // Servers that know markup would read a task's text as such.
        let body = escaped(&notice.body);
        let urgency = if notice.urgent { Urgency::Critical } else { Urgency::Normal };
        let shown = Notification::new()
            .appname("Nod")
            .summary(&notice.title)
            .body(&body)
            .icon("dev.nod.desktop")
            .urgency(urgency)
            .show();
        if let Err(error) = shown {
            tracing::warn!("failed to show a notification: {error}");
        }
    }
}

fn notice(change: &EventChange) -> Option<Notice> {
    match change {
        EventChange::Request { request } if request.is_open() => Some(of_request(request)),
        EventChange::Task { task } => match &task.state {
            TaskState::Ended { outcome } => Some(of_end(task, outcome)),
            TaskState::Queued { .. }
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Waiting { .. }
            | TaskState::Stopping { .. } => None,
        },
        EventChange::Request { .. } | EventChange::Progress { .. } | EventChange::Lagged => None,
    }
}

fn of_request(request: &Request) -> Notice {
    Notice {
        title: line(&format!("Needs approval: {}", request.shown.task_name), TITLE_LIMIT),
        body: line(&request.shown.question, BODY_LIMIT),
        urgent: true,
    }
}

fn of_end(task: &Task, outcome: &Outcome) -> Notice {
    let mut parts = vec![outcome.words()];
    parts.extend(outcome.explanation());
    if let (Some(from), Some(to)) = (task.started_at, task.ended_at) {
        parts.push(format!("after {}", duration(to.since(from))));
    }
    Notice {
        title: line(&task.name(), TITLE_LIMIT),
        body: line(&parts.join(" · "), BODY_LIMIT),
        urgent: false,
    }
}

fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Returns untrusted text as one line without control characters, cut in the middle.
fn line(text: &str, limit: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain = plain.trim();
    let length = plain.chars().count();
    if length <= limit {
        return plain.to_owned();
    }
    let half = limit / 2;
    let start: String = plain.chars().take(half).collect();
    let end: String = plain.chars().skip(length - (limit - half - 1)).collect();
    format!("{start}…{end}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use nod_core::command::CommandLine;
    use nod_core::ids::{AttemptNumber, TaskId, Timestamp};
    use nod_core::task::{Failure, OutputMode};

    use super::*;

    fn ended(label: &str, outcome: Outcome) -> Task {
        Task {
            id: TaskId(1),
            kind: "command".into(),
            label: Some(label.into()),
            command: CommandLine::Shell { line: "make".into() },
            cwd: "/".into(),
            output: OutputMode::Terminal,
            session: None,
            parent: None,
            timeout_ms: None,
            ask_first: false,
            attempt: AttemptNumber::FIRST,
            state: TaskState::Ended { outcome },
            progress: None,
            created_at: Timestamp(0),
            started_at: Some(Timestamp(0)),
            ended_at: Some(Timestamp(65_000)),
        }
    }

    #[test]
    fn an_end_names_the_task_and_says_how_it_ended() {
        let exit = Outcome::Failed { failure: Failure::Exit { code: 2 } };
        let cases = [
            (Outcome::Succeeded, "Succeeded · after 1 min 5 s"),
            (exit, "Failed (exit 2) · after 1 min 5 s"),
            (Outcome::Lost { why: "gone".into() }, "Lost · gone · after 1 min 5 s"),
        ];
        for (outcome, body) in cases {
            let task = Box::new(ended("デプロイ", outcome));
            let notice = notice(&EventChange::Task { task }).unwrap();
            assert_eq!((notice.title.as_str(), notice.body.as_str()), ("デプロイ", body));
        }
    }

    #[test]
    fn the_text_of_a_task_is_one_bounded_line_without_markup() {
        let label = format!("a\n\x1b[31m<b>{}end", "x".repeat(500));
        let task = Box::new(ended(&label, Outcome::Succeeded));
        let title = notice(&EventChange::Task { task }).unwrap().title;
        assert_eq!(title.chars().count(), TITLE_LIMIT);
        assert!(title.starts_with("a  [31m<b>") && title.ends_with("end"), "{title}");
        assert_eq!(escaped("<b>&"), "&lt;b&gt;&amp;");
    }
}
