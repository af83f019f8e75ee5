//! What notifications say.

use std::collections::{BTreeMap, BTreeSet};

use nod_core::ids::{RequestId, TaskId};
use nod_core::notification::whole;
use nod_core::protocol::EventChange;
use nod_core::request::{Request, Wants};
use nod_core::task::{Outcome, Task, TaskState};
use nod_core::text::{controls, reorders};

use super::Word;

/// The longest title and body, in characters.
pub(super) const TITLE_LIMIT: usize = 100;
pub(super) const BODY_LIMIT: usize = 300;

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) title: String,
    pub(super) body: String,
}

/// A question as a notification shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) notice: Notice,
    /// What it is about, for what is said of a press.
    pub(super) name: String,
    /// The hash of what the card shows.
    pub(super) hash: String,
    /// All that the card shows, where a notification has room for that.
    pub(super) whole: Option<String>,
}

impl Question {
    /// Returns the same question for somebody who pressed before they can have read it.
    pub(super) fn once_more(mut self) -> Self {
        let title = format!("Pressed too early, needs approval: {}", self.name);
        self.notice.title = line(&title, TITLE_LIMIT);
        self
    }
}

/// Returns what an event has to tell a person.
pub(super) fn word(change: &EventChange) -> Option<Word> {
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

/// How many asked each open question, when it was last told of.
#[derive(Default)]
pub(super) struct Askers {
    counted: BTreeMap<RequestId, (usize, usize)>,
}

impl Askers {
    /// Returns whether there is more to tell than that others ask the same, or do no longer.
    pub(super) fn is_news(&mut self, change: &EventChange) -> bool {
        let EventChange::Request { request } = change else { return true };
        if !request.is_open() {
            self.counted.remove(&request.id);
            return true;
        }
        let also = &request.also_asked_by;
        let counts = (also.len(), also.iter().filter(|asked| asked.gone).count());
        self.counted.insert(request.id, counts).is_none_or(|before| before == counts)
    }
}

/// The tasks that were said to wait for input: each is told of once.
#[derive(Default)]
pub(super) struct Stalls {
    told: BTreeSet<TaskId>,
}

impl Stalls {
    pub(super) fn word(&mut self, change: &EventChange) -> Option<Word> {
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

fn of_request(request: &Request) -> Question {
    let needs = match request.shown.wants {
        Wants::Approval => "approval",
        Wants::Choice { .. } | Wants::Text { .. } | Wants::Form { .. } => "input",
    };
    let notice = Notice {
        title: line(&format!("Needs {needs}: {}", request.shown.task_name), TITLE_LIMIT),
        body: line(&request.shown.question, BODY_LIMIT),
    };
    let (name, hash) = (request.shown.task_name.clone(), request.hash.clone());
    Question { notice, name, hash, whole: whole(&request.shown) }
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
pub(super) fn line(text: &str, limit: usize) -> String {
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

/// Returns a text as markup that shows it as it is.
pub(super) fn escaped(text: &str) -> String {
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
