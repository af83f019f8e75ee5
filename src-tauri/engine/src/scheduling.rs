//! What a new task is to be, from what was asked for, its kind and the config file.

use std::collections::BTreeMap;

use nod_core::command::CommandLine;
use nod_core::environment::Environment;
use nod_core::ids::{OperationId, SessionId};
use nod_core::protocol::{Edit, Scheduling, Submit};
use nod_core::schedule::{Retry, Schedule};
use nod_core::task::{OutputMode, PLAIN_KIND, RunOptions};

use crate::config::{Config, Kind, KindError, there_are};
use crate::error::EngineError;
use crate::handle::{check_timeout, folder};

/// The longest command, in bytes: what Linux takes as one word, and what fits into a message.
const COMMAND_LIMIT: usize = 128 * 1024;

/// The longest label, in bytes.
const LABEL_LIMIT: usize = 1_000;

/// The longest key, in bytes.
const KEY_LIMIT: usize = 200;

/// How long the name of a session may be, in bytes.
const SESSION_LIMIT: usize = 1_000;

/// The pause before the first retry where nothing else is said, in milliseconds.
const BACKOFF_MS: u64 = 1_000;

/// A task as it was asked for, with its kind filled in.
pub(crate) struct Wanted {
    pub(crate) operation: OperationId,
    pub(crate) kind: String,
    pub(crate) command: CommandLine,
    pub(crate) cwd: String,
    pub(crate) label: Option<String>,
    pub(crate) session: Option<SessionId>,
    pub(crate) output: OutputMode,
    pub(crate) options: RunOptions,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) ask_first: bool,
    pub(crate) schedule: Schedule,
    pub(crate) delay_ms: Option<u64>,
    pub(crate) environment: Option<Environment>,
    pub(crate) extra_environment: Environment,
}

/// Returns what a submit comes to, or what is wrong with it.
pub(crate) fn resolved(submit: Submit, config: &Config) -> Result<Wanted, EngineError> {
    let Submit { scheduling, .. } = &submit;
    let kind = kind_of(scheduling, config)?;
    let command = match (kind, &scheduling.kind) {
        (Some(kind), Some(usage)) => kind.command(usage, &words(&submit.command))?,
        (_, _) => submit.command.clone(),
    };
    check_command(&command)?;
    let timeout_ms = submit.timeout_ms.or_else(|| kind?.timeout);
    check_timeout(timeout_ms)?;
    let label = submit.label.as_deref().map(str::trim).filter(|label| !label.is_empty());
    let label = label.map(str::to_owned).or_else(|| kind?.label.clone());
    check_label(label.as_ref())?;
    check_length("the session", submit.session.as_ref().map(|it| &it.0), SESSION_LIMIT)?;
    if submit.session.as_ref().is_some_and(|session| session.0.trim().is_empty()) {
        return Err(EngineError::Bad("the session is empty: name it, or leave the session out"));
    }
    let schedule = schedule(&submit.scheduling, kind, config);
    check_length("the key", schedule.key.as_ref(), KEY_LIMIT)?;
    if schedule.key.as_ref().is_some_and(|key| key.trim().is_empty()) {
        return Err(EngineError::Bad("the key is empty: name the task, or leave the key out"));
    }
    check_uses(&submit.scheduling.uses, config)?;
    Ok(Wanted {
        kind: scheduling.kind.as_ref().map_or(PLAIN_KIND, |usage| &usage.name).to_owned(),
        delay_ms: scheduling.delay_ms,
        command,
        cwd: kind.and_then(|kind| kind.cwd.clone()).unwrap_or(submit.cwd),
        label,
        timeout_ms,
        // Nobody gets around a gate of the config file.
        ask_first: submit.ask_first || kind.is_some_and(|kind| kind.gate),
        schedule,
        operation: submit.operation,
        session: submit.session,
        output: submit.output,
        options: RunOptions {
            keep_children: submit.options.keep_children
                || kind.is_some_and(|kind| kind.keep_children),
            ..submit.options
        },
        environment: submit.environment,
        extra_environment: submit.extra_environment,
    })
}

fn kind_of<'a>(
    scheduling: &Scheduling,
    config: &'a Config,
) -> Result<Option<&'a Kind>, EngineError> {
    let Some(usage) = &scheduling.kind else { return Ok(None) };
    let unknown =
        || KindError::Unknown { name: usage.name.clone(), known: there_are(config.kinds.keys()) };
    Ok(Some(config.kinds.get(&usage.name).ok_or_else(unknown)?))
}

/// Returns the words that are to go where a kind has room for them.
fn words(command: &CommandLine) -> Vec<String> {
    match command {
        CommandLine::Argv { argv } => argv.clone(),
        CommandLine::Shell { line } => vec![line.clone()],
    }
}

fn schedule(scheduling: &Scheduling, kind: Option<&Kind>, config: &Config) -> Schedule {
    let group = scheduling.group.clone().or_else(|| kind?.group.clone());
    let usual = |kind: &Kind| {
        let backoff = kind.backoff.unwrap_or(BACKOFF_MS);
        (kind.retries > 0).then(|| Retry::new(kind.retries, backoff))
    };
    let given = scheduling.retry.filter(|retry| retry.retries > 0);
    let given = given.map(|retry| Retry::new(retry.retries, retry.backoff_ms));
    let mut uses = kind.map(|kind| kind.uses.get_ref().clone()).unwrap_or_default();
    uses.extend(scheduling.uses.clone());
    uses.retain(|_, weight| *weight > 0);
    Schedule {
        group: group.unwrap_or_else(|| config.default_group().to_owned()),
        priority: scheduling.priority.or_else(|| Some(kind?.priority)).unwrap_or(0),
        after: scheduling.after.clone(),
        not_before: scheduling.not_before,
        relative: false,
        retry: if scheduling.retry.is_some() { given } else { kind.and_then(usual) },
        uses,
        key: scheduling.key.clone(),
    }
}

/// Returns the schedule of a task that is like an earlier one, without what was that one's alone.
pub(crate) fn again(schedule: Schedule) -> Schedule {
    let retry = schedule.retry.map(|retry| Retry::new(retry.retries, retry.backoff_ms));
    Schedule { after: vec![], not_before: None, relative: false, key: None, retry, ..schedule }
}

/// Returns an edit whose parts can be carried out.
pub(crate) fn checked_edit(mut edit: Edit, config: &Config) -> Result<Edit, EngineError> {
    if let Some(command) = &edit.command {
        check_command(command)?;
    }
    if let Some(cwd) = &edit.cwd {
        edit.cwd = Some(folder(cwd)?);
    }
    edit.label = edit.label.map(|label| label.trim().to_owned());
    check_label(edit.label.as_ref())?;
    if let Some(uses) = &edit.uses {
        check_uses(uses, config)?;
    }
    Ok(edit)
}

fn check_command(command: &CommandLine) -> Result<(), EngineError> {
    command.check()?;
    if command.argv().iter().map(String::len).sum::<usize>() > COMMAND_LIMIT {
        return Err(EngineError::TooLong { what: "the command", limit: COMMAND_LIMIT });
    }
    Ok(())
}

fn check_label(label: Option<&String>) -> Result<(), EngineError> {
    if label.is_some_and(|label| label.contains('\0')) {
        return Err(EngineError::Bad("a label is text: it holds no NUL character"));
    }
    check_length("the label", label, LABEL_LIMIT)
}

/// Refuses a resource that there is none of, also where nothing of it is taken.
fn check_uses(uses: &BTreeMap<String, u32>, config: &Config) -> Result<(), EngineError> {
    let unknown = uses.keys().find(|name| !config.resources.contains_key(*name));
    unknown.map_or(Ok(()), |name| {
        let known = there_are(config.resources.keys());
        Err(EngineError::ResourceNotFound { name: name.clone(), known })
    })
}

fn check_length(
    what: &'static str,
    text: Option<&String>,
    limit: usize,
) -> Result<(), EngineError> {
    if text.is_some_and(|text| text.len() > limit) {
        return Err(EngineError::TooLong { what, limit });
    }
    Ok(())
}
