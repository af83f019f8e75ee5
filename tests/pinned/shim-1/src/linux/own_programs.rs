//! Nod's own programs, told by the file that a process runs and never by its name.
//!
//! Any task can run a copy of `sleep` as `nod-shim`; that is the task's own.
//! Nod's are this process's executable and its siblings in the same folder.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A host only when told to serve; otherwise a task's own client.
const CLIENT: &str = "nod";
const SIBLINGS: &str = "nod-";
/// What proc_pid_exe(5) adds to the path of a file that is gone.
const DELETED: &[u8] = b" (deleted)";

/// The programs that nothing of a task's may end.
#[derive(Debug)]
pub(crate) struct OwnPrograms {
    all: Vec<Program>,
}

#[derive(Debug)]
struct Program {
    path: PathBuf,
    file: FileId,
}

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl OwnPrograms {
    /// Returns the program at `executable`, a link of proc_pid_exe(5), and those beside it.
    pub(crate) fn beside(executable: &Path) -> Self {
        let path = fs::read_link(executable).unwrap_or_default();
        let (path, _) = without_mark(path);
        let beside = path.parent().map(fs::read_dir);
        let entries = beside.into_iter().flatten().flatten().filter_map(Result::ok);
        let mut all: Vec<Program> = entries
            .filter(|entry| {
                let name = entry.file_name();
                let is_named = name == CLIENT || name.as_bytes().starts_with(SIBLINGS.as_bytes());
                is_named && entry.file_type().is_ok_and(|kind| kind.is_file())
            })
            .filter_map(|entry| Program::at(entry.path()))
            .collect();
        all.extend(file_of(executable).map(|file| Program { path, file }));
        Self { all }
    }

    /// Returns whether a process, known by its folder in /proc, is a Nod host or a shim.
    pub(crate) fn are_run_by(&self, process: &Path) -> bool {
        self.program_of(&process.join("exe")).is_some_and(|program| {
            program.path.file_name().is_none_or(|name| name != CLIENT) || serves(process)
        })
    }

    fn program_of(&self, executable: &Path) -> Option<&Program> {
        let file = file_of(executable)?;
        self.all.iter().find(|program| program.file == file).or_else(|| {
            // After an upgrade the same path is another file, for those who run the old one and
            // for this list itself.
            let (path, is_deleted) = without_mark(fs::read_link(executable).ok()?);
            let program = self.all.iter().find(|program| program.path == path)?;
            (is_deleted || file_of(&path) == Some(file)).then_some(program)
        })
    }
}

impl Program {
    fn at(path: PathBuf) -> Option<Self> {
        Some(Self { file: file_of(&path)?, path })
    }
}

fn file_of(path: &Path) -> Option<FileId> {
    let data = fs::metadata(path).ok()?;
    Some(FileId { device: data.dev(), inode: data.ino() })
}

/// Returns the path without the mark of a deleted file, and whether it had one.
fn without_mark(path: PathBuf) -> (PathBuf, bool) {
    let mut bytes = path.into_os_string().into_vec();
    let is_deleted = bytes.ends_with(DELETED);
    if is_deleted {
        bytes.truncate(bytes.len() - DELETED.len());
    }
    (PathBuf::from(std::ffi::OsString::from_vec(bytes)), is_deleted)
}

fn serves(process: &Path) -> bool {
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    arguments.split(|byte| *byte == 0).skip(1).any(|word| word == b"serve")
}
