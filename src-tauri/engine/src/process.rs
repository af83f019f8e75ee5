//! Processes and what only the system can do, with the same signatures on every platform.

// One rule for what a ladder of the shim and a sweep of the host must not touch.
mod alarm;
mod asker;
mod cgroups;
mod connections;
mod files;
mod holding;
mod lineage;
mod links;
#[path = "../../shim/src/linux/own_programs.rs"]
mod own_programs;
mod place;
mod stopped;
mod sweeping;
mod unix;
mod vanishing;
mod watching;

use std::env;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;

pub(crate) use unix::{
    RunningShim, account_environment, boot_id, claim, connect_shim, is_claimed,
    is_own_private_folder, is_shortage, login_environment, open_files, raise_open_files,
    running_shims, since_boot_ms, start_shim, strict_umask, user_id,
};

pub(crate) use alarm::{Alarm, Rings};
pub(crate) use asker::{caller_of, program_of, source_of};
pub(crate) use cgroups::{Cgroup, Cgroups};
pub(crate) use connections::{Client, client_of};
pub(crate) use files::Files;
pub(crate) use holding::{Hold, Names};
pub(crate) use lineage::{AskedFor, Lineage};
#[cfg(test)]
pub(crate) use links::ProgramFile;
pub(crate) use links::{
    Link, chain_from, file_of, has_standard_socket, input_terminal, is_pseudo_terminal,
    standard_terminal,
};
pub(crate) use place::Place;
pub(crate) use stopped::{claimant, identity, is_stopped, kill_exactly, let_go_on};
pub(crate) use sweeping::{Lost, Sessions, sweep};
pub(crate) use vanishing::vanished;
pub(crate) use watching::FolderWatch;

/// The programs of Nod, which lie in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    pub nod: PathBuf,
    pub shim: PathBuf,
}

impl Programs {
    /// Returns the programs beside the one that is running.
    pub fn beside_this() -> io::Result<Self> {
        let this = env::current_exe()?;
        let folder =
            this.parent().ok_or_else(|| io::Error::other("no folder holds this program"))?;
        Ok(Self { nod: folder.join("nod"), shim: folder.join("nod-shim") })
    }
}

/// A shim that was just started, and the connection to it.
pub(crate) struct StartedShim {
    pub(crate) child: Child,
    pub(crate) socket: UnixStream,
}
