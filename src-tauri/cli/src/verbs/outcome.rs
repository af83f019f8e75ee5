//! `nod tell`, `nod result`, `nod fail` and `nod cancelled`: what the calling task says of itself.

use clap::Args;
use nod_client::new_operation;
use nod_core::protocol::{Call, Reply, SayOutcome, Tell};
use nod_core::task::TaskSaid;
use serde_json::Value;

use crate::exit;
use crate::failure::Failure;
use crate::host::Host;

/// Tell the agent that this task works for something (inside a task only)
#[derive(Args)]
pub(crate) struct OfTell {
    /// What is told
    text: String,
    /// It is not to wait for the end of the task
    #[arg(long)]
    urgent: bool,
}

/// Give the result of this task as JSON (inside a task only)
#[derive(Args)]
pub(crate) struct OfResult {
    /// The result; the last one given counts
    #[arg(value_parser = super::json)]
    data: Value,
    /// Words for people beside it
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
}

/// Say why this task fails (inside a task only)
///
/// The task then ends as it likes, and has failed whatever its exit code.
#[derive(Args)]
pub(crate) struct OfFail {
    /// Why
    message: String,
}

/// Exit with 0 when somebody has cancelled this task, or else with 1 (inside a task only)
///
/// Where that cannot be said, since the task has ended, it exits with 75.
#[derive(Args)]
pub(crate) struct OfCancelled {}

pub(crate) fn tell(arguments: &OfTell) -> Result<u8, Failure> {
    let (operation, text) = (new_operation()?, arguments.text.clone());
    say("tell", &Call::Tell(Tell { operation, text, urgent: arguments.urgent }))
}

pub(crate) fn result(arguments: &OfResult) -> Result<u8, Failure> {
    let (data, message) = (arguments.data.clone(), arguments.message.clone());
    let said = TaskSaid::Result { data, message };
    say("result", &Call::SayOutcome(SayOutcome { operation: new_operation()?, said }))
}

pub(crate) fn fail(arguments: &OfFail) -> Result<u8, Failure> {
    let said = TaskSaid::Failed { message: arguments.message.clone() };
    say("fail", &Call::SayOutcome(SayOutcome { operation: new_operation()?, said }))
}

fn say(verb: &'static str, call: &Call) -> Result<u8, Failure> {
    let reply = Host::find()?.call_in_task(verb, call)?;
    let Reply::Done = reply else { return Err(Failure::unexpected(&reply)) };
    Ok(exit::OK)
}

pub(crate) fn cancelled(_: &OfCancelled) -> Result<u8, Failure> {
    let said = Host::find()?.call_in_task("cancelled", &Call::IsCancelled);
    let reply = said.map_err(Failure::of_question)?;
    let Reply::IsCancelled { cancelled } = reply else { return Err(Failure::unexpected(&reply)) };
    Ok(if cancelled { exit::OK } else { exit::FAILED })
}
