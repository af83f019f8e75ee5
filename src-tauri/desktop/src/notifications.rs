//! Desktop notifications: a request, the end of a task, and a looser config file.
//!
//! Shown from one thread of their own, because the desktop's notification
//! server may take its time.

mod loosening;
mod notes;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

use nod_core::access::Actor;
use nod_core::ids::{RequestId, TaskId};
use nod_core::protocol::{Call, EventChange, Reply};
use nod_core::request::{Request, Wants};
use nod_core::task::{Outcome, Task, TaskState};
use nod_core::text::{controls, reorders};
use nod_engine::Subscription;
use notify_rust::{Notification, NotificationHandle, Urgency};
use tokio::runtime::Handle;

use loosening::{Announcement, Loosenings, Step};
use notes::{Deed, Notes};

const APP_NAME: &str = "Nod";
const ICON: &str = "dev.nod.desktop";

/// The longest title and body, in characters.
const TITLE_LIMIT: usize = 100;
const BODY_LIMIT: usize = 300;

/// What the desktop is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Asked(RequestId, Notice),
    /// A question that nobody need answer any more.
    Closed(RequestId),
    Ended(Notice),
    /// A task that seems to wait for somebody to type.
    Stalled(Notice),
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Notice {
    title: String,
    body: String,
}

/// Shows what the events tell from now on. `review` brings the window to the front, at what waits
/// there.
pub(crate) fn begin(
    runtime: &Handle,
    events: Subscription,
    engine: nod_engine::Handle,
    review: impl Fn() + Clone + Send + Sync + 'static,
) -> io::Result<()> {
    let (sender, words) = channel();
    thread::Builder::new().name("notifications".into()).spawn(move || show_all(&words))?;
    let teller = Teller { runtime: runtime.clone(), words: sender, review };
    runtime.spawn(teller.tell_all(events, engine));
    Ok(())
}

/// Hands on what is to be shown.
struct Teller<Review> {
    runtime: Handle,
    words: Sender<Word>,
    review: Review,
}

impl<Review: Fn() + Clone + Send + Sync + 'static> Teller<Review> {
    async fn tell_all(self, mut events: Subscription, engine: nod_engine::Handle) {
        let (mut stalls, mut loosenings) = (Stalls::default(), Loosenings::default());
        // Changed while no window was there to tell of it.
        let waits = match engine.call(&Actor::Host, Call::Rules).await {
            Ok(Reply::Rules(list)) => list.loosening,
            Ok(_) | Err(_) => None,
        };
        let first = loosenings.waits(waits.as_ref(), Instant::now());
        let mut shown = first.and_then(|step| self.announce(step));
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = tokio::time::sleep_until(moment(loosenings.next())), if loosenings.next().is_some() => {
                    if let Some(step) = loosenings.again() {
                        shown = self.announce(step);
                    }
                    continue;
                }
            };
            let Some(event) = event else { return drop(shown) };
            if let Some(step) = loosenings.hear(&event.change, Instant::now()) {
                shown = self.announce(step);
            }
            let words = [word(&event.change), stalls.word(&event.change)];
            if words.into_iter().flatten().any(|word| self.words.send(word).is_err()) {
                return;
            }
        }
    }

    fn announce(&self, step: Step) -> Option<Announcement> {
        match step {
            Step::Tell(notice) => {
                Some(Announcement::show(&self.runtime, notice, self.review.clone()))
            }
            Step::TakeBack => None,
        }
    }
}

fn moment(at: Option<Instant>) -> tokio::time::Instant {
    tokio::time::Instant::from_std(at.unwrap_or_else(Instant::now))
}

fn show_all(words: &Receiver<Word>) {
    let mut notes = Notes::new(Instant::now());
    let mut screen = Screen::default();
    loop {
        let word = match notes.wait(Instant::now()) {
            Some(wait) => words.recv_timeout(wait),
            None => words.recv().map_err(RecvTimeoutError::from),
        };
        let now = Instant::now();
        let deed = match word {
            Ok(word) => notes.take(word, now),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for deed in deed.into_iter().chain(notes.sum(now)) {
            screen.carry_out(deed);
        }
    }
}

/// The notifications that are taken back.
#[derive(Default)]
struct Screen {
    asked: BTreeMap<RequestId, NotificationHandle>,
    sum: Option<NotificationHandle>,
}

impl Screen {
    fn carry_out(&mut self, deed: Deed) {
        match deed {
            Deed::Ask(request, notice) => {
                let before = self.asked.remove(&request);
                let shown = replace(before, &notice, Urgency::Critical);
                self.asked.extend(shown.map(|handle| (request, handle)));
            }
            Deed::Close(request) => {
                if let Some(handle) = self.asked.remove(&request) {
                    handle.close();
                }
            }
            Deed::Tell(notice) => drop(replace(None, &notice, Urgency::Normal)),
            Deed::Sum(Some(notice)) => {
                self.sum = replace(self.sum.take(), &notice, Urgency::Critical);
            }
            Deed::Sum(None) => {
                if let Some(handle) = self.sum.take() {
                    handle.close();
                }
            }
        }
    }
}

/// Shows a notice, in the place of an earlier one where there is one.
fn replace(
    before: Option<NotificationHandle>,
    notice: &Notice,
    urgency: Urgency,
) -> Option<NotificationHandle> {
    // Servers that know markup would read a task's text as such; the others would show the escapes.
    let knows_markup = notify_rust::get_capabilities()
        .map_or(true, |known| known.iter().any(|capability| capability == "body-markup"));
    let body = if knows_markup { escaped(&notice.body) } else { notice.body.clone() };
    let mut notification = Notification::new();
    if let Some(before) = before {
        notification.id(before.id());
    }
    let shown = notification
        .appname(APP_NAME)
        .summary(&notice.title)
        .body(&body)
        .icon(ICON)
        .urgency(urgency)
        .show();
    shown.inspect_err(|error| tracing::warn!("failed to show a notification: {error}")).ok()
}

fn word(change: &EventChange) -> Option<Word> {
    match change {
        EventChange::Request { request } if request.is_open() => {
            Some(Word::Asked(request.id, of_request(request)))
        }
        EventChange::Request { request } => Some(Word::Closed(request.id)),
        EventChange::Task { task } => match &task.state {
            TaskState::Ended { outcome } => Some(Word::Ended(of_end(task, outcome))),
            TaskState::Queued { .. }
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Waiting { .. }
            | TaskState::Stopping { .. } => None,
        },
        EventChange::Progress { .. }
        | EventChange::Rules { .. }
        | EventChange::Removed { .. }
        | EventChange::Groups { .. }
        | EventChange::Config { .. }
        | EventChange::DiskFull { .. }
        | EventChange::Lagged => None,
    }
}

/// The tasks that were said to wait for input: each is told of once.
#[derive(Default)]
struct Stalls {
    told: BTreeSet<TaskId>,
}

impl Stalls {
    fn word(&mut self, change: &EventChange) -> Option<Word> {
        let EventChange::Task { task } = change else { return None };
        let Some(prompt) = &task.condition.prompt else {
            self.told.remove(&task.id);
            return None;
        };
        self.told.insert(task.id).then(|| {
            Word::Stalled(Notice {
                title: line(&format!("Needs input: {}", task.name()), TITLE_LIMIT),
                body: line(prompt, BODY_LIMIT),
            })
        })
    }
}

fn of_request(request: &Request) -> Notice {
    let needs = match request.shown.wants {
        Wants::Approval => "approval",
        Wants::Choice { .. } | Wants::Text { .. } | Wants::Form { .. } => "input",
    };
    Notice {
        title: line(&format!("Needs {needs}: {}", request.shown.task_name), TITLE_LIMIT),
        body: line(&request.shown.question, BODY_LIMIT),
    }
}

fn of_end(task: &Task, outcome: &Outcome) -> Notice {
    let mut parts = vec![outcome.words()];
    parts.extend(outcome.explanation());
    if let (Some(from), Some(to)) = (task.started_at, task.ended_at) {
        parts.push(format!("after {}", duration(to.since(from))));
    }
    Notice { title: line(&task.name(), TITLE_LIMIT), body: line(&parts.join(" · "), BODY_LIMIT) }
}

fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Returns untrusted text as one line, cut in the middle, without what controls or reorders text.
fn line(text: &str, limit: usize) -> String {
    let plain: String =
        text.chars().filter(|c| !reorders(*c)).map(|c| if controls(c) { ' ' } else { c }).collect();
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

/// Returns what shows notifications, or why nothing does.
pub(crate) fn server() -> Result<String, String> {
    let server = notify_rust::get_server_information()
        .map_err(|error| format!("nothing on the session bus shows them: {error}"))?;
    Ok(format!("shown by {} {}", server.name, server.version))
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
            options: Default::default(),
            condition: Default::default(),
            session: None,
            parent: None,
            timeout_ms: None,
            ask_first: false,
            schedule: Default::default(),
            attempt: AttemptNumber::FIRST,
            state: TaskState::Ended { outcome },
            progress: None,
            created_at: Timestamp(0),
            started_at: Some(Timestamp(0)),
            ended_at: Some(Timestamp(65_000)),
        }
    }

    #[test]
    fn a_task_that_asks_at_its_terminal_is_told_of_once_until_it_goes_on() {
        let mut task = ended("import", Outcome::Succeeded);
        task.state = TaskState::Running;
        let mut stalls = Stalls::default();
        let mut told = |prompt: Option<&str>| {
            task.condition.prompt = prompt.map(str::to_owned);
            stalls.word(&EventChange::Task { task: Box::new(task.clone()) })
        };
        let notice = Notice { title: "Needs input: import".into(), body: "Overwrite?".into() };
        assert_eq!(told(Some("Overwrite?")), Some(Word::Stalled(notice)));
        assert_eq!(told(Some("Overwrite?")), None);
        assert_eq!(told(None), None);
        assert!(told(Some("Continue?")).is_some());
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
            let expected = Notice { title: "デプロイ".into(), body: body.into() };
            assert_eq!(word(&EventChange::Task { task }), Some(Word::Ended(expected)));
        }
    }

    #[test]
    fn the_text_of_a_task_is_one_bounded_line_without_markup() {
        let label = format!("a\n\x1b[31m<b>{}end", "x".repeat(500));
        let task = Box::new(ended(&label, Outcome::Succeeded));
        let Some(Word::Ended(Notice { title, .. })) = word(&EventChange::Task { task }) else {
            panic!("an end is told")
        };
        assert_eq!(title.chars().count(), TITLE_LIMIT);
        assert!(title.starts_with("a  [31m<b>") && title.ends_with("end"), "{title}");
        assert_eq!(line("in\u{202e}fdp.exe\u{2028}👩‍💻", 100), "infdp.exe 👩‍💻");
        assert_eq!(escaped("<b>&"), "&lt;b&gt;&amp;");
    }
}
