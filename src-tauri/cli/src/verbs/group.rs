//! `nod group`: the named queues.

use clap::{Args, Subcommand};
use nod_client::new_operation;
use nod_core::protocol::{Call, Group, GroupChange, Reply};

use crate::failure::Failure;
use crate::host::Host;
use crate::text::neutralised;
use crate::{exit, output};

/// List groups, add one, change or pause one
///
/// A group is a queue with its own number of slots. What is said here holds
/// over the config file.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List the groups
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Add a group
    Add {
        name: String,
        /// How many of its tasks may run at once
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        slots: u32,
    },
    /// Change how many tasks of a group may run at once
    Set {
        name: String,
        /// How many of its tasks may run at once
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        slots: u32,
    },
    /// Remove a group that has no unfinished task
    Remove { name: String },
    /// Start nothing new of a group; what runs goes on
    Pause { name: String },
    /// Let a paused group go on
    Resume { name: String },
}

pub(crate) fn run(arguments: Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    let (name, change) = match arguments.what {
        What::List { json } => return list(&host, json),
        What::Add { name, slots } => (name, GroupChange::Add { slots }),
        What::Set { name, slots } => (name, GroupChange::Set { slots }),
        What::Remove { name } => (name, GroupChange::Remove),
        What::Pause { name } => (name, GroupChange::Pause),
        What::Resume { name } => (name, GroupChange::Resume),
    };
    let operation = new_operation()?;
    let call = Call::ChangeGroup { operation, name: name.clone(), change };
    let groups = asked(&host, &call)?;
    match groups.iter().find(|group| group.name == name) {
        Some(group) => output::line(&words(group))?,
        None => output::line(&format!("group {} is removed", neutralised(&name)))?,
    }
    Ok(exit::OK)
}

fn list(host: &Host, json: bool) -> Result<u8, Failure> {
    let groups = asked(host, &Call::Groups)?;
    if json {
        output::json(&groups)?;
    } else {
        for group in &groups {
            output::line(&words(group))?;
        }
    }
    Ok(exit::OK)
}

fn asked(host: &Host, call: &Call) -> Result<Vec<Group>, Failure> {
    let reply = host.call(call)?;
    let Reply::Groups { groups, note } = reply else { return Err(Failure::unexpected(&reply)) };
    output::maybe_note(note.as_deref());
    Ok(groups)
}

fn words(group: &Group) -> String {
    let paused = if group.paused { ", paused" } else { "" };
    format!(
        "{}: {} of {} slots taken, {} queued{paused}",
        neutralised(&group.name),
        group.running,
        group.slots,
        group.queued
    )
}
