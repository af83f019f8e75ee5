//! Tasks as the rows of a table, for a person.

use nod_core::ids::Timestamp;
use nod_core::task::{Outcome, QueueReason, StateName, Task, TaskState};

use crate::duration;
use crate::text::{fitted, neutralised, padded, width};

const COLUMNS: usize = 5;
const HEAD: [&str; COLUMNS] = ["ID", "STATE", "NAME", "PROGRESS", "ELAPSED"];
const NAME: usize = 2;
const PROGRESS: usize = 3;
const GAP: &str = "  ";

/// How narrow a name, and how wide a progress, may become to fit a terminal.
const NARROWEST_NAME: usize = 16;
const WIDEST_PROGRESS: usize = 30;

/// How wide a name may become where no terminal sets a limit: a command may have 131,000 bytes.
const WIDEST_NAME: usize = 80;

/// Returns the table of `tasks`, cut to the `columns` of a terminal if it is for one.
pub(crate) fn render(tasks: &[Task], now: Timestamp, columns: Option<usize>) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(tasks.iter().map(|task| row(task, now)));
    let widths = widths(&rows, columns);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| padded(&fitted(cell, width), width));
        let line = cells.collect::<Vec<_>>().join(GAP);
        let line = line.trim_end();
        // On a terminal narrower than any table, a line is cut rather than folded.
        text.push_str(&columns.map_or_else(|| line.to_owned(), |columns| fitted(line, columns)));
        text.push('\n');
    }
    text
}

/// Returns what a queued task waits for; nothing for others.
pub(crate) fn waits(task: &Task, now: Timestamp) -> Option<String> {
    let TaskState::Queued { reason } = &task.state else { return None };
    Some(match reason {
        QueueReason::Delay { until } => format!("starts in {}", duration::words(until.since(now))),
        QueueReason::Slot
        | QueueReason::Gate { .. }
        | QueueReason::Dependency { .. }
        | QueueReason::Paused
        | QueueReason::Resource { .. }
        | QueueReason::Cap { .. } => reason.words(&task.schedule.group),
    })
}

/// Returns how far a task is, or nothing.
pub(crate) fn progress(task: &Task) -> String {
    // A bar that stopped short of the end says nothing about a success.
    let Some(progress) = task.progress.as_ref().filter(|_| !succeeded(task)) else {
        return String::new();
    };
    let percent = progress.percent.map_or_else(|| "…".to_owned(), |p| format!("{p:.0}%"));
    let message = progress.message.as_deref().map(|text| format!(" {text}")).unwrap_or_default();
    percent + &message
}

/// Returns how long a task has run, or nothing when it never did.
pub(crate) fn elapsed(task: &Task, now: Timestamp) -> String {
    let Some(started) = task.started_at else { return String::new() };
    duration::words(task.ended_at.unwrap_or(now).since(started))
}

fn succeeded(task: &Task) -> bool {
    task.state.outcome().map(Outcome::name) == Some(StateName::Succeeded)
}

fn row(task: &Task, now: Timestamp) -> [String; COLUMNS] {
    [
        task.id.to_string(),
        task.words(),
        neutralised(&task.name()),
        neutralised(&waits(task, now).unwrap_or_else(|| progress(task))),
        elapsed(task, now),
    ]
}

fn widths(rows: &[[String; COLUMNS]], columns: Option<usize>) -> [usize; COLUMNS] {
    let mut widths: [usize; COLUMNS] =
        std::array::from_fn(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0));
    widths[PROGRESS] = widths[PROGRESS].min(WIDEST_PROGRESS);
    if let Some(columns) = columns {
        let others: usize = widths.iter().sum::<usize>() - widths[NAME];
        let room = columns.saturating_sub(others + GAP.len() * (COLUMNS - 1));
        widths[NAME] = widths[NAME].min(room.max(NARROWEST_NAME));
    } else {
        widths[NAME] = widths[NAME].min(WIDEST_NAME);
    }
    widths
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use nod_core::command::CommandLine;
    use nod_core::ids::{AttemptNumber, RequestId, TaskId};
    use nod_core::progress::{Progress, Source};
    use nod_core::task::OutputMode;

    use super::*;

    pub(crate) fn task(id: i64, label: &str, state: TaskState) -> Task {
        Task {
            id: TaskId(id),
            kind: "command".into(),
            label: Some(label.into()),
            command: CommandLine::Shell { line: "make deploy".into() },
            cwd: "/srv".into(),
            output: OutputMode::Terminal,
            options: Default::default(),
            condition: Default::default(),
            session: None,
            parent: None,
            timeout_ms: None,
            ask_first: false,
            schedule: Default::default(),
            attempt: AttemptNumber::FIRST,
            state,
            progress: None,
            created_at: Timestamp(9_000),
            started_at: None,
            ended_at: None,
        }
    }

    fn bar(percent: Option<f64>, message: Option<&str>) -> Option<Progress> {
        let message = message.map(str::to_owned);
        Some(Progress { percent, message, source: Source::Reported, phase: 0, phase_name: None })
    }

    fn tasks() -> Vec<Task> {
        let started = Some(Timestamp(10_000));
        let open = BTreeSet::from([RequestId(1)]);
        let succeeded = TaskState::Ended { outcome: Outcome::Succeeded };
        vec![
            task(104, "waits", TaskState::Queued { reason: QueueReason::Slot }),
            Task {
                progress: bar(Some(40.4), Some("compiling")),
                started_at: started,
                ..task(103, "構築する 👩‍💻", TaskState::Running)
            },
            Task {
                progress: bar(None, Some("bad\x1b[31m")),
                started_at: started,
                ..task(12, "evil\x1b]0;x\x07\nname", TaskState::Waiting { open })
            },
            Task {
                progress: bar(Some(99.0), None),
                started_at: started,
                ended_at: Some(Timestamp(202_000)),
                ..task(7, "a name that is longer than a narrow terminal has room for", succeeded)
            },
        ]
    }

    #[test]
    fn a_table_has_a_row_for_each_task() {
        insta::assert_snapshot!(render(&tasks(), Timestamp(15_250), None));
    }

    #[test]
    fn a_table_fits_its_terminal() {
        insta::assert_snapshot!(render(&tasks(), Timestamp(15_250), Some(72)));
        for columns in 1..120 {
            for line in render(&tasks(), Timestamp(15_250), Some(columns)).lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn a_pipe_is_not_filled_with_spaces_by_one_long_command() {
        let ran = task(1, "short", TaskState::Ended { outcome: Outcome::Succeeded });
        let long = task(2, &"x".repeat(131_000), TaskState::Running);
        let table = render(&[long, ran], Timestamp(15_250), None);
        for line in table.lines() {
            assert!(width(line) < 130, "{} columns", width(line));
            assert_eq!(line.trim_end(), line);
        }
        assert!(table.contains(&format!("{}…", "x".repeat(WIDEST_NAME - 1))), "{table}");
    }
}
