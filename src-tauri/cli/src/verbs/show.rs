//! `nod show`: all there is to know of one task.

use std::fmt::Write;

use clap::Args;
use nod_core::environment::{Change, EnvironmentChange};
use nod_core::ids::{TaskId, Timestamp};
use nod_core::protocol::{Attempt, Call, Reply, TaskDetail};
use nod_core::request::{Request, also_asked_words};
use nod_core::task::{ExitStatus, PLAIN_KIND, Task, TaskSaid, TaskState, signal_name};

use super::list::now;
use crate::failure::Failure;
use crate::host::Host;
use crate::text::neutralised;
use crate::{duration, exit, output, table};

const DISK_FULL: &str = "full: the task waits until its output has room again";

const UNBOUNDED_LOG: &str =
    "grows past its bound: the file system there cannot give back a part of a file";

/// Show all there is to know of one task
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id, allow_negative_numbers = true)]
    id: TaskId,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let reply = Host::find()?.call(&Call::Show { id: arguments.id })?;
    let Reply::Task(detail) = reply else { return Err(Failure::unexpected(&reply)) };
    if arguments.json {
        output::json(&detail)?;
    } else {
        output::text(&render(&detail, now()))?;
    }
    Ok(exit::OK)
}

fn render(detail: &TaskDetail, now: Timestamp) -> String {
    let mut page = Page::default();
    summary(&mut page, detail, now);
    let left_out = detail.left_out;
    page.left_out(left_out.attempts, "earlier attempt");
    for attempt in &detail.attempts {
        page.row(&format!("attempt {}", attempt.number), &attempt_words(attempt));
        if attempt.number != detail.task.attempt {
            page.row("its log", &attempt.log_path);
        }
    }
    for change in &detail.environment {
        page.row("variable", &change_words(change));
    }
    page.left_out(left_out.variables, "more variable");
    page.left_out(left_out.requests, "earlier question");
    for request in &detail.requests {
        page.row(&format!("question {}", request.id), &request_words(request));
    }
    page.left_out(left_out.events, "earlier event");
    for event in &detail.events {
        let after = duration::words(event.at.since(detail.task.created_at));
        let more = event.detail.as_deref().map(|more| format!(": {more}")).unwrap_or_default();
        page.row(&format!("+{after}"), &format!("{}{more}", event.what));
    }
    page.text
}

fn summary(page: &mut Page, detail: &TaskDetail, now: Timestamp) {
    let task = &detail.task;
    page.row("task", &task.id.to_string());
    page.row("state", &task.words());
    page.maybe("disk", task.condition.disk_full.then(|| DISK_FULL.to_owned()));
    page.maybe("log", task.condition.unbounded_log.then(|| UNBOUNDED_LOG.to_owned()));
    page.maybe("asks", task.condition.prompt.clone());
    page.maybe("stopping", stopping_words(&task.state, now));
    page.maybe("why", task.state.outcome().and_then(nod_core::task::Outcome::explanation));
    page.maybe("result", task.condition.said.as_ref().and_then(result_words));
    page.maybe("waits", table::waits(task, now));
    page.maybe("label", task.label.clone());
    page.row("command", &task.command.display());
    page.row("folder", &task.cwd);
    page.maybe("session", task.session.as_ref().map(ToString::to_string));
    page.maybe("parent", task.parent.map(|parent| format!("task {parent}")));
    page.maybe("timeout", task.timeout_ms.map(duration::words));
    schedule(page, task);
    page.maybe("progress", progress_words(task));
    page.row("submitted", &format!("{} ago", duration::words(now.since(task.created_at))));
    page.maybe("took", Some(table::elapsed(task, now)).filter(|words| !words.is_empty()));
    page.maybe("log", detail.log_path.clone());
}

fn progress_words(task: &Task) -> Option<String> {
    let words = table::progress(task);
    let source = task.progress.as_ref()?.source.words();
    (!words.is_empty()).then(|| format!("{words} ({source})"))
}

/// Returns what a task gave as its result; why it failed is told by its outcome.
fn result_words(said: &TaskSaid) -> Option<String> {
    let TaskSaid::Result { data, message } = said else { return None };
    let data = (!data.is_null()).then(|| data.to_string());
    let parts: Vec<String> = [message.clone(), data].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// Returns what a task that is being ended waits for, and what cannot be ended.
fn stopping_words(state: &TaskState, now: Timestamp) -> Option<String> {
    let TaskState::Stopping { stage: Some(stage), .. } = state else { return None };
    let left =
        |at: Timestamp| format!(", {} in {}", after(&stage.signal), duration::words(at.since(now)));
    let next = stage.next_at.map(left).unwrap_or_default();
    let waits_for = stage.waits_for.join(", ");
    let parts = [&[format!("{}, waits for {waits_for}{next}", stage.signal)], &stage.refused[..]];
    Some(parts.concat().join("; "))
}

/// Returns what follows on a signal.
fn after(signal: &str) -> &'static str {
    match signal {
        "Ctrl-C" | "SIGINT" => "SIGTERM",
        "SIGTERM" => "SIGKILL",
        _ => "the next signal",
    }
}

/// Shows when the task may start, as far as that is not as usual.
fn schedule(page: &mut Page, task: &Task) {
    let it = &task.schedule;
    page.maybe("kind", Some(task.kind.clone()).filter(|kind| kind != PLAIN_KIND));
    page.maybe("key", it.key.clone());
    page.row("group", &it.group);
    page.maybe("priority", Some(it.priority.to_string()).filter(|_| it.priority != 0));
    for dependency in &it.after {
        let how = if dependency.any { "has ended" } else { "has succeeded" };
        page.row("after", &format!("task {} {how}", dependency.task));
    }
    page.maybe(
        "retries",
        it.retry
            .filter(|retry| retry.retries > 0)
            .map(|retry| format!("{} of {} left", retry.left, retry.retries)),
    );
    for (name, weight) in &it.uses {
        page.row("uses", &format!("{weight} of {name}"));
    }
}

fn attempt_words(attempt: &Attempt) -> String {
    let mut parts = Vec::new();
    parts.extend(attempt.process.map(|process| format!("process {process}")));
    parts.extend(attempt.exit.map(|exit| match exit {
        ExitStatus::Code { code } => format!("exit {code}"),
        ExitStatus::Signal { signal } => signal_name(signal),
    }));
    let end = attempt.exited_at.or(attempt.ended_at);
    parts.extend(attempt.started_at.zip(end).map(|(start, end)| duration::words(end.since(start))));
    parts.extend(attempt.cpu_ms.map(|cpu| format!("{} of processor", duration::words(cpu))));
    parts.extend(
        attempt.peak_memory.map(|bytes| format!("{} MiB at most", bytes.div_ceil(1 << 20))),
    );
    parts.extend(attempt.left.iter().map(|left| format!("left {left}")));
    if parts.is_empty() { "not started".to_owned() } else { parts.join(", ") }
}

fn change_words(change: &EnvironmentChange) -> String {
    let value = match (&change.value, change.masked) {
        (Some(value), _) => value.clone(),
        (None, true) => "••••••".to_owned(),
        (None, false) => String::new(),
    };
    match change.change {
        Change::Added | Change::Changed => format!("{}={value}", change.name),
        Change::Removed => format!("{} is not set", change.name),
    }
}

fn request_words(request: &Request) -> String {
    let closure = match &request.closure {
        Some(closure) => closure.words(),
        None => "open: answer it in the Nod window".to_owned(),
    };
    let also = also_asked_words(&request.also_asked_by);
    let also = also.map(|also| format!(", also asked by {also}")).unwrap_or_default();
    format!("{} ({closure}{also})", request.shown.question)
}

/// Rows of a name and its value.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn row(&mut self, name: &str, value: &str) {
        let (name, value) = (neutralised(name), neutralised(value));
        writeln!(self.text, "{name:<12} {value}").expect("a string takes any text");
    }

    /// Says how much there is that has no room in one message.
    fn left_out(&mut self, count: u32, what: &str) {
        match count {
            0 => {}
            1 => self.row("", &format!("1 {what} is not shown")),
            _ => self.row("", &format!("{count} {what}s are not shown")),
        }
    }

    fn maybe(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.row(name, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use nod_core::access::{Actor, Surface};
    use nod_core::ids::{AttemptNumber, EventNumber, RequestId};
    use nod_core::progress::{Progress, Source};
    use nod_core::protocol::{LeftOut, StoredEvent};
    use nod_core::request::{Answer, Closure, OnTimeout, Origin, Shown, Wants};
    use nod_core::task::{Failure as Why, Outcome, TaskState};

    use super::*;

    fn question() -> Request {
        Request {
            id: RequestId(3),
            task: Some(TaskId(42)),
            attempt: AttemptNumber::FIRST,
            origin: Origin::Task,
            asked_by: Some(Actor::Task { id: TaskId(42), attempt: None }),
            also_asked_by: vec![],
            shown: Shown {
                task_name: "deploy".into(),
                question: "Deploy to prod?\x1b[2J".into(),
                detail: None,
                diff: None,
                wants: Wants::Approval,
                argv: vec![],
                cwd: "/srv".into(),
                environment: vec![],
                terms: vec![],
            },
            hash: String::new(),
            created_at: Timestamp(10_000),
            expires_at: None,
            on_timeout: OnTimeout::Deny,
            remind_ms: None,
            closure: Some(Closure::Answered {
                answer: Answer::Approve,
                comment: None,
                by: Actor::Person { surface: Surface::Window },
                at: Timestamp(12_000),
            }),
        }
    }

    fn change(name: &str, change: Change, value: Option<&str>, masked: bool) -> EnvironmentChange {
        EnvironmentChange { name: name.into(), change, value: value.map(str::to_owned), masked }
    }

    #[test]
    fn a_task_is_shown_with_all_that_is_known() {
        let outcome = Outcome::Failed { failure: Why::Exit { code: 2 } };
        let mut task = table::tests::task(42, "deploy", TaskState::Ended { outcome });
        task.started_at = Some(Timestamp(10_000));
        task.ended_at = Some(Timestamp(73_000));
        let detail = TaskDetail {
            task,
            argv: vec!["deploy".into()],
            environment: vec![
                change("API_TOKEN", Change::Added, None, true),
                change("LANG", Change::Changed, Some("C"), false),
                change("GONE", Change::Removed, None, false),
            ],
            attempts: vec![Attempt {
                number: AttemptNumber::FIRST,
                process: Some(4711),
                started_at: Some(Timestamp(10_000)),
                exited_at: Some(Timestamp(72_000)),
                ended_at: Some(Timestamp(73_000)),
                exit: Some(ExitStatus::Code { code: 2 }),
                peak_memory: Some(3 << 20),
                cpu_ms: Some(900),
                left: vec!["sleep (4712)".into()],
                tail: None,
                outcome: None,
                log_path: "/data/tasks/42-1/out.log".into(),
            }],
            requests: vec![question()],
            events: vec![StoredEvent {
                seq: EventNumber(1),
                at: Timestamp(10_500),
                what: "running".into(),
                detail: None,
            }],
            log_path: Some("/data/tasks/42-1/out.log".into()),
            result_text: None,
            left_out: LeftOut::default(),
        };
        insta::assert_snapshot!(render(&detail, Timestamp(130_000)));
    }

    #[test]
    fn a_progress_says_where_it_comes_from() {
        let mut task = table::tests::task(42, "deploy", TaskState::Running);
        assert_eq!(progress_words(&task), None);
        task.progress = Some(Progress::reported(Some(40.0), Some("compiling")).unwrap());
        assert_eq!(progress_words(&task).unwrap(), "40% compiling (reported by the task)");
        let told = [
            (Source::Output, "read from the output"),
            (Source::Terminal, "told by the program to its terminal"),
        ];
        for (source, words) in told {
            let progress = task.progress.take().unwrap();
            task.progress = Some(Progress { source, ..progress });
            assert_eq!(progress_words(&task).unwrap(), format!("40% compiling ({words})"));
        }
    }
}
