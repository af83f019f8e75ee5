//! `nod-bench`: measures Nod against limits taken in the same run.
//!
//! Each measure is a file in `measures/`, and does Nod's part and the limit's
//! in turn, so that what else the machine does hits both. A limit is the least
//! that any program would need, in `limits/`. The goals are those of DESIGN.md.

mod limits;
mod measures;
mod options;
mod output;
mod person;
mod place;
mod samples;
mod serving;
mod stamp;
mod table;
mod wire;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::options::{Mode, Options};
use crate::table::Table;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match options::read(std::env::args_os().skip(1))? {
        Mode::Measure(options) => measure(&options),
        Mode::Stamp { file, after } => stamp::wait_and_write(&file, after),
        Mode::After { file, command } => stamp::run_and_write(&file, &command),
        Mode::Person => person::answer_everything(),
        Mode::Help => {
            output::say(options::USAGE);
            Ok(())
        }
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let mut table = Table::default();
    let wanted = measures::ALL.into_iter().filter(|(name, _)| options.wants(name));
    let mut measured = wanted.map(|(name, measure)| {
        output::note(&format!("{name} …"));
        let rows = measure(options).with_context(|| format!("failed to measure {name}"))?;
        table.extend(rows);
        Ok(())
    });
    let result = measured.try_for_each(|one| one);
    drop(measured);
    place::clean_up();
    // What was measured before a failure counts all the same.
    output::say(&table.to_string());
    result
}
