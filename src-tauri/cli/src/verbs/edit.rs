//! `nod edit`: changes of a task that has not started.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Edit};

use super::submit::{command_line, folder};
use crate::failure::Failure;
use crate::host::Host;
use crate::scheduling::Scheduled;
use crate::{duration, exit, output};

/// Change a task that has not started
///
/// What is not named stays as it is. A task that a person has to approve is
/// asked about again.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id)]
    id: TaskId,
    /// What to call the task; nothing when empty
    #[arg(long)]
    label: Option<String>,
    /// The folder to run in
    #[arg(long, value_name = "FOLDER")]
    cwd: Option<PathBuf>,
    /// End the task after this long, such as 90s, 10m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    timeout: Option<Duration>,
    /// Let it run for as long as it takes
    #[arg(long, conflicts_with = "timeout")]
    no_timeout: bool,
    /// Wait for no other task
    #[arg(long, conflicts_with_all = ["after", "after_any"])]
    no_after: bool,
    /// Take nothing of any resource
    #[arg(long, conflicts_with = "uses")]
    no_uses: bool,
    #[command(flatten)]
    scheduled: Scheduled,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: Arguments) -> Result<u8, Failure> {
    let id = arguments.id;
    let mut edit = Edit::new(new_operation()?, id);
    if !arguments.command.is_empty() {
        edit.command = Some(command_line(arguments.command)?);
    }
    edit.label = arguments.label;
    edit.cwd = arguments.cwd.as_deref().map(folder).transpose()?;
    edit.timeout_ms = arguments.timeout.map(duration::in_milliseconds);
    edit.timeout_ms = edit.timeout_ms.or(arguments.no_timeout.then_some(0));
    let scheduling = arguments.scheduled.scheduling()?;
    edit.after = Some(scheduling.after).filter(|after| arguments.no_after || !after.is_empty());
    edit.uses = Some(scheduling.uses).filter(|uses| arguments.no_uses || !uses.is_empty());
    (edit.group, edit.priority) = (scheduling.group, scheduling.priority);
    (edit.not_before, edit.delay_ms) = (scheduling.not_before, scheduling.delay_ms);
    edit.retry = scheduling.retry;
    if edit == Edit::new(edit.operation.clone(), id) {
        return Err(Failure::Usage("nothing to change: name an option, see `nod edit --help`"));
    }
    let words = super::change(&Host::find()?, &Call::Edit(Box::new(edit)))?;
    output::line(&format!("task {id}: {words}"))?;
    Ok(exit::OK)
}
