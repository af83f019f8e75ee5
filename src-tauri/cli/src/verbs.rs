//! The verbs of the command line: one file for each.

mod ask;
mod audit;
mod cancel;
mod list;
mod logs;
mod pause;
mod progress;
mod resume;
mod rules;
mod run_again;
mod search;
mod serve;
mod show;
mod stdin;
mod stop;
mod submit;
mod wait;

use clap::Subcommand;
use nod_core::ids::TaskId;

use crate::failure::Failure;

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
    Progress(progress::Arguments),
    Ask(ask::Arguments),
    Rules(rules::Arguments),
    Audit(audit::Arguments),
    Serve(serve::Arguments),
    Stop(stop::Arguments),
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
            Self::Progress(arguments) => progress::run(&arguments),
            Self::Ask(arguments) => ask::run(arguments),
            Self::Rules(arguments) => rules::run(&arguments),
            Self::Audit(arguments) => audit::run(&arguments),
            Self::Serve(arguments) => serve::run(&arguments),
            Self::Stop(arguments) => stop::run(&arguments),
        }
    }
}

/// Returns the task whose number is written as `text`.
fn task_id(text: &str) -> Result<TaskId, &'static str> {
    match text.parse() {
        Ok(id) if id > 0 => Ok(TaskId(id)),
        Ok(_) | Err(_) => Err("a task is named by its number, see `nod list`"),
    }
}
