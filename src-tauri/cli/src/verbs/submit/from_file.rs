//! `nod submit --from`: a task for each line of a file.
//!
//! The whole file is read before anything is sent: a mistake in its last line
//! starts nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nod_client::new_operation;
use nod_core::command::CommandLine;
use nod_core::environment::Environment;
use nod_core::ids::{SessionId, TaskId, Timestamp};
use nod_core::protocol::{
    Call, KindUse, MESSAGE_LIMIT, Reply, Scheduling, Submit, SubmitMany, SubmitResult,
};
use nod_core::schedule::Dependency;
use nod_core::task::RunOptions;
use serde::{Deserialize, Serialize};

use super::{folder, message, output_mode, own_environment, submitted, there_already};
use crate::failure::Failure;
use crate::host::Host;
use crate::{bytes, duration, exit, moment, output, scheduling};

/// How many tasks, and about how many bytes of them, go into one message.
const MOST_TASKS: usize = 500;
const MOST_BYTES: usize = MESSAGE_LIMIT / 2;
/// How much of a message is neither a task nor the environment, at the most.
const AROUND: usize = 4096;

/// What says of a file that it is UTF-8, and is no part of its text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One line of the file: the options of `nod submit` under their names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    command: Command,
    label: Option<String>,
    cwd: Option<PathBuf>,
    #[serde(default)]
    env: Environment,
    #[serde(default)]
    ask_first: bool,
    timeout: Option<Span>,
    session: Option<String>,
    #[serde(default)]
    no_tty: bool,
    #[serde(default)]
    interactive: bool,
    #[serde(default)]
    direct: bool,
    #[serde(default)]
    keep_children: bool,
    grace: Option<Span>,
    log_limit: Option<Size>,
    group: Option<String>,
    priority: Option<i32>,
    #[serde(default)]
    after: Vec<TaskId>,
    #[serde(default)]
    after_any: Vec<TaskId>,
    delay: Option<Span>,
    at: Option<At>,
    retries: Option<u32>,
    backoff: Option<Span>,
    #[serde(default)]
    uses: BTreeMap<String, u32>,
    key: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
}

/// A line for the shell, or words that are run as they are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Shell(String),
    Argv(Vec<String>),
}

impl Default for Command {
    fn default() -> Self {
        Self::Argv(vec![])
    }
}

/// A duration such as "10m".
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Span(u64);

impl TryFrom<String> for Span {
    type Error = duration::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        duration::parse(&text).map(|span| Self(duration::in_milliseconds(span)))
    }
}

/// A size such as "10MiB".
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Size(u64);

impl TryFrom<String> for Size {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        bytes::parse(&text).map(Self)
    }
}

/// A time such as "18:30".
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct At(Timestamp);

impl TryFrom<String> for At {
    type Error = moment::MomentError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        moment::parse(&text).map(Self)
    }
}

/// A task and where it was written.
struct Numbered {
    line: usize,
    submit: Submit,
}

pub(super) fn run(file: &Path) -> Result<u8, Failure> {
    let mut tasks = read(file)?;
    let environment = own_environment();
    let room = room(file, &tasks, &environment)?;
    let host = Host::find()?;
    let mut code = exit::OK;
    while !tasks.is_empty() {
        let rest = tasks.split_off(fitting(&tasks, room)?);
        let lines: Vec<_> = tasks.iter().map(|task| (task.line, message(&task.submit))).collect();
        let many = SubmitMany {
            environment: Some(environment.clone()),
            tasks: tasks.into_iter().map(|task| task.submit).collect(),
        };
        let reply = host.call_for_task(&Call::SubmitMany(many))?;
        let Reply::SubmittedMany { results, note } = reply else {
            return Err(Failure::unexpected(&reply));
        };
        output::maybe_note(note.as_deref());
        for ((line, message), result) in lines.into_iter().zip(results) {
            let failed = tell(file, (line, &message), result)?;
            code = if code == exit::OK { failed } else { code };
        }
        tasks = rest;
    }
    Ok(code)
}

/// Prints what came of a line, and returns the code for it.
fn tell(file: &Path, (line, message): (usize, &str), result: SubmitResult) -> Result<u8, Failure> {
    match result {
        SubmitResult::Submitted { id, known: true, .. } => there_already(id),
        SubmitResult::Submitted { id, known: false, gated } => submitted(id, gated, message),
        SubmitResult::Refused { error } => {
            output::note(&format!("{} line {line}: {error}", file.display()));
            Ok(Failure::Client(error.into()).exit_code())
        }
    }
}

/// Returns how many bytes of a message are left for tasks; each of them fits into that.
fn room(file: &Path, tasks: &[Numbered], environment: &Environment) -> Result<usize, Failure> {
    let around = AROUND + size(environment)?;
    let room = MESSAGE_LIMIT.saturating_sub(around);
    for task in tasks {
        let size = size(&task.submit)?;
        if size > room {
            let what = format!("it takes {size} bytes, and {room} fit into a message");
            return Err(Failure::Line { path: file.to_owned(), line: task.line, what });
        }
    }
    Ok(room.min(MOST_BYTES))
}

fn size(part: &impl Serialize) -> Result<usize, Failure> {
    Ok(serde_json::to_vec(part).map_err(io::Error::other)?.len())
}

/// Returns how many of the tasks fit into one message.
fn fitting(tasks: &[Numbered], room: usize) -> Result<usize, Failure> {
    let mut bytes = 0;
    let mut count = 0;
    for task in tasks.iter().take(MOST_TASKS) {
        bytes += size(&task.submit)?;
        if count > 0 && bytes > room {
            break;
        }
        count += 1;
    }
    Ok(count)
}

fn read(file: &Path) -> Result<Vec<Numbered>, Failure> {
    let failed = |source| Failure::Read { path: file.to_owned(), source };
    let text = if file == Path::new("-") {
        let mut text = Vec::new();
        io::stdin().lock().read_to_end(&mut text).map_err(failed)?;
        text
    } else {
        fs::read(file).map_err(failed)?
    };
    // Some editors begin each file with it.
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    let numbered = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(index, line)| {
        let wrong = |what: String| Failure::Line { path: file.to_owned(), line: index + 1, what };
        let line = str::from_utf8(line).map_err(|error| wrong(error.to_string()))?;
        let parsed = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let submit = wanted(parsed).map_err(|failure| wrong(failure.to_string()))?;
        Ok(Numbered { line: index + 1, submit })
    });
    numbered.collect()
}

fn wanted(line: Line) -> Result<Submit, Failure> {
    let command = match line.command {
        Command::Shell(line) => CommandLine::Shell { line },
        Command::Argv(argv) => CommandLine::Argv { argv },
    };
    if line.kind.is_none() {
        command.check()?;
    }
    let needed = line.after.into_iter().map(|task| Dependency { task, any: false });
    let any = line.after_any.into_iter().map(|task| Dependency { task, any: true });
    let backoff = line.backoff.map(|Span(pause)| std::time::Duration::from_millis(pause));
    let scheduling = Scheduling {
        group: line.group,
        priority: line.priority,
        after: needed.chain(any).collect(),
        not_before: line.at.map(|At(at)| at),
        delay_ms: line.delay.map(|Span(delay)| delay),
        retry: line.retries.map(|retries| scheduling::retry(retries, backoff)),
        uses: line.uses,
        key: line.key,
        kind: line.kind.map(|name| KindUse { name, values: line.set }),
    };
    Ok(Submit {
        operation: new_operation()?,
        command,
        cwd: folder(line.cwd.as_deref().unwrap_or(Path::new(".")))?,
        environment: None,
        extra_environment: line.env,
        label: line.label,
        session: line.session.map(SessionId),
        output: output_mode(line.interactive, line.no_tty, line.direct),
        options: RunOptions {
            grace_ms: line.grace.map(|Span(grace)| grace),
            keep_children: line.keep_children,
            log_limit: line.log_limit.map(|Size(limit)| limit),
        },
        timeout_ms: line.timeout.map(|Span(timeout)| timeout),
        ask_first: line.ask_first,
        scheduling,
    })
}
