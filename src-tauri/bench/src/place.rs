//! A data directory of its own, and commands that see it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use nod_core::environment::{Environment, LEAKS};
use nod_core::paths::Paths;
use tempfile::TempDir;

/// Where the data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    /// Where temporary files lie, on a disk that a commit must wait for.
    Disk,
    /// In memory: what is left when waiting for the disk costs nothing.
    Memory,
}

/// A folder of this run.
///
/// It is removed when the run ends and not before: where ext4 has no journal, whoever creates a
/// file passes over every inode that was deleted in the last minute, which then would be what the
/// next measure measures.
pub(crate) struct Folder {
    folder: Option<TempDir>,
}

static USED: Mutex<Vec<TempDir>> = Mutex::new(Vec::new());

/// Removes the folders that were used.
pub(crate) fn clean_up() {
    USED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

pub(crate) struct Place {
    folder: Folder,
}

impl Medium {
    /// Returns whether this machine has it.
    pub(crate) fn is_there(self) -> bool {
        self == Self::Disk || Path::new("/dev/shm").is_dir()
    }

    pub(crate) fn folder(self) -> anyhow::Result<Folder> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("nod-bench-");
        let folder = match self {
            Self::Disk => builder.tempdir()?,
            Self::Memory => builder.tempdir_in("/dev/shm")?,
        };
        Ok(Folder { folder: Some(folder) })
    }
}

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        self.folder.as_ref().expect("a folder is there until it is dropped").path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        USED.lock().unwrap_or_else(PoisonError::into_inner).extend(self.folder.take());
    }
}

impl Place {
    /// Makes a data directory with a config file.
    pub(crate) fn new(medium: Medium, config: &str) -> anyhow::Result<Self> {
        let folder = medium.folder()?;
        for part in ["data", "run", "work"] {
            let path = folder.path().join(part);
            fs::create_dir(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        }
        fs::write(folder.path().join("data/config.toml"), config)?;
        Ok(Self { folder })
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Returns where a host of this place has its files.
    pub(crate) fn paths(&self) -> anyhow::Result<Paths> {
        let find = |name: &str| match name {
            "NOD_HOME" => Some(self.folder.path().join("data")),
            "XDG_RUNTIME_DIR" => Some(self.folder.path().join("run")),
            _ => None,
        };
        Ok(Paths::find(find, rustix::process::getuid().as_raw())?)
    }

    /// Returns a command in this place, silent.
    ///
    /// It keeps the folder of this process: with another one, std would fork in place of
    /// posix_spawn in a static program, which costs more than much of what is measured.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for name in LEAKS {
            command.env_remove(name);
        }
        command
            .env("NOD_HOME", self.folder.path().join("data"))
            .env("XDG_RUNTIME_DIR", self.folder.path().join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub(crate) fn nod(&self, words: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.command(program("nod")?);
        command.args(words);
        Ok(command)
    }
}

/// Returns a program that was built along with this one.
pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let this = env::current_exe()?;
    let path = this.parent().context("a program lies in a folder")?.join(name);
    anyhow::ensure!(path.is_file(), "{} is missing: run make bench", path.display());
    Ok(path)
}

/// Returns the variables that a submit from here has.
pub(crate) fn environment() -> Environment {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    env::vars_os().filter_map(text).filter(|(name, _)| !LEAKS.contains(&name.as_str())).collect()
}

/// Returns a program's name as a word of a command.
pub(crate) fn word(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the path is not UTF-8")
}
