//! The verbs of the command line: one file for each.

mod answer;
mod ask;
mod audit;
mod await_signal;
mod cancel;
mod deadline;
mod doctor;
mod edit;
mod feedback;
mod group;
mod inbox;
mod list;
mod logs;
mod notify;
mod outcome;
mod pause;
mod progress;
mod remove;
mod resume;
mod retry;
mod rules;
mod run_again;
mod search;
mod serve;
mod show;
mod stdin;
mod stop;
mod submit;
mod wait;
mod watch;

use clap::Subcommand;
use nod_client::ClientError;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output};

#[derive(Subcommand)]
pub(crate) enum Verb {
    Submit(submit::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Logs(logs::Arguments),
    Search(search::Arguments),
    Wait(wait::Arguments),
    Cancel(cancel::Arguments),
    Pause(pause::Arguments),
    Resume(resume::Arguments),
    Stdin(stdin::Arguments),
    RunAgain(run_again::Arguments),
    Retry(retry::Arguments),
    Edit(edit::Arguments),
    Deadline(deadline::Arguments),
    Remove(remove::Arguments),
    Group(group::Arguments),
    Watch(watch::Arguments),
    Progress(progress::Arguments),
    Ask(ask::Arguments),
    Await(await_signal::Arguments),
    Notify(notify::Arguments),
    Feedback(feedback::Arguments),
    Inbox(inbox::Arguments),
    Tell(outcome::OfTell),
    Result(outcome::OfResult),
    Fail(outcome::OfFail),
    Cancelled(outcome::OfCancelled),
    Approve(answer::OfApprove),
    Deny(answer::OfDeny),
    Rules(rules::Arguments),
    Audit(audit::Arguments),
    Serve(serve::Arguments),
    Stop(stop::Arguments),
    Doctor(doctor::Arguments),
}

impl Verb {
    /// Does what was asked for and returns the code to exit with.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        match self {
            Self::Submit(arguments) => submit::run(arguments),
            Self::List(arguments) => list::run(&arguments),
            Self::Show(arguments) => show::run(&arguments),
            Self::Logs(arguments) => logs::run(&arguments),
            Self::Search(arguments) => search::run(&arguments),
            Self::Wait(arguments) => wait::run(&arguments),
            Self::Cancel(arguments) => cancel::run(&arguments),
            Self::Pause(arguments) => pause::run(&arguments),
            Self::Resume(arguments) => resume::run(&arguments),
            Self::Stdin(arguments) => stdin::run(&arguments),
            Self::RunAgain(arguments) => run_again::run(&arguments),
            Self::Retry(arguments) => retry::run(&arguments),
            Self::Edit(arguments) => edit::run(arguments),
            Self::Deadline(arguments) => deadline::run(&arguments),
            Self::Remove(arguments) => remove::run(&arguments),
            Self::Group(arguments) => group::run(arguments),
            Self::Watch(arguments) => watch::run(&arguments),
            Self::Progress(arguments) => progress::run(&arguments),
            Self::Ask(arguments) => ask::run(arguments),
            Self::Await(arguments) => await_signal::run(&arguments),
            Self::Notify(arguments) => notify::run(&arguments),
            Self::Feedback(arguments) => feedback::run(&arguments),
            Self::Inbox(arguments) => inbox::run(&arguments),
            Self::Tell(arguments) => outcome::tell(&arguments),
            Self::Result(arguments) => outcome::result(&arguments),
            Self::Fail(arguments) => outcome::fail(&arguments),
            Self::Cancelled(arguments) => outcome::cancelled(&arguments),
            Self::Approve(arguments) => answer::approve(arguments),
            Self::Deny(arguments) => answer::deny(arguments),
            Self::Rules(arguments) => rules::run(&arguments),
            Self::Audit(arguments) => audit::run(&arguments),
            Self::Serve(arguments) => serve::run(&arguments),
            Self::Stop(arguments) => stop::run(&arguments),
            Self::Doctor(arguments) => doctor::run(&arguments),
        }
    }
}

/// Does something to each task, and says what came of it; one refusal does not save the others.
fn for_each(
    ids: &[TaskId],
    mut act: impl FnMut(TaskId) -> Result<String, Failure>,
) -> Result<u8, Failure> {
    let mut code = exit::OK;
    for id in ids {
        match act(*id) {
            Ok(words) => output::line(&format!("task {id}: {words}"))?,
            Err(failure @ Failure::Client(ClientError::Refused(_))) => {
                output::note(&failure.to_string());
                code = if code == exit::OK { failure.exit_code() } else { code };
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(code)
}

/// Has a task changed, and returns the words for where it stands then.
fn change(host: &Host, call: &Call) -> Result<String, Failure> {
    let reply = host.call(call)?;
    let Reply::Changed { task } = reply else { return Err(Failure::unexpected(&reply)) };
    Ok(task.state.words())
}

/// Returns the JSON that is written as `text`.
fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("this is no JSON ({error})"))
}

/// Returns the task whose number is written as `text`.
pub(crate) fn task_id(text: &str) -> Result<TaskId, &'static str> {
    match text.parse() {
        Ok(id) if id > 0 => Ok(TaskId(id)),
        Ok(_) | Err(_) => Err("a task is named by its number, see `nod list`"),
    }
}
