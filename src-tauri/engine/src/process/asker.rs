//! Which program is at the other end of a connection, as far as /proc tells.

use std::fs;
use std::path::Path;

use nod_core::shim::ProcessIdentity;
use nod_core::text::one_line;

use super::lineage::Lineage;
use super::links::{Stat, beginning, file_of};
use crate::dispatcher::{Program, Source};

/// The longest command line of a program that is shown, in bytes.
const ARGV_LIMIT: usize = 4_096;

/// How much is shown of what a program calls itself, in characters.
const NAME_LENGTH: usize = 64;

/// What takes in processes whose parents have ended: it started none of them.
pub(super) const INIT: u32 = 1;
const SESSION: &str = "systemd";

/// How often a program forks itself at the most, one in the other.
const DEEPEST: usize = 64;

/// Returns the program of a process; for the command line of this host, whose file is `nod`, the one
/// that ran it.
pub(crate) fn program_of(pid: u32, nod: &Path) -> Program {
    let lineage = Lineage::of(pid, nod);
    let gone = || Program { lineage: lineage.clone(), ..gone() };
    let Some(shown) = behind(pid, nod) else { return gone() };
    let (Some(name), Some((_, started))) = (name(shown), beginning(shown)) else { return gone() };
    let name = one_line(&name, NAME_LENGTH);
    let cwd = fs::read_link(format!("/proc/{shown}/cwd"));
    Program {
        name: format!("{name} (process {shown})"),
        argv: argv(shown),
        cwd: cwd.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        source: Source::Program { pid: shown, started },
        lineage: lineage.clone(),
    }
}

/// Returns what the questions and gates of a process are counted with.
pub(crate) fn source_of(pid: u32, nod: &Path) -> Source {
    let known = behind(pid, nod).and_then(|pid| Some((pid, beginning(pid)?)));
    known.map_or(Source::Gone, |(pid, (_, started))| Source::Program { pid, started })
}

/// Returns which process it is that speaks through `pid`; nothing where that one has gone.
pub(crate) fn caller_of(pid: u32, nod: &Path) -> Option<ProcessIdentity> {
    let pid = forked_from(behind(pid, nod)?);
    let (_, start_time) = beginning(pid)?;
    Some(ProcessIdentity { pid: pid.cast_signed(), start_time })
}

/// Returns the process that began the program which `pid` runs.
///
/// A part of a pipeline, and what a shell runs for `$(…)`, is the shell once more: forked, and
/// running no other program. Its memory lies as the shell's does, which no other run of any program
/// can bring about: the system chooses the places at random.
fn forked_from(pid: u32) -> u32 {
    let known = |pid: u32| {
        let file = file_of(Path::new(&format!("/proc/{pid}/exe")))?;
        let stat = Stat::of(Path::new(&format!("/proc/{pid}")))?;
        let is_known = stat.layout.iter().all(|at| *at > 1);
        is_known.then_some((stat.parent, (file, stat.layout)))
    };
    let Some((mut parent, same)) = known(pid) else { return pid };
    let mut first = pid;
    for _ in 0..DEEPEST {
        match known(parent) {
            Some((above, its)) if its == same => (first, parent) = (parent, above),
            Some(_) | None => break,
        }
    }
    first
}

fn gone() -> Program {
    Program {
        name: "a program that has gone".to_owned(),
        argv: vec![],
        cwd: String::new(),
        source: Source::Gone,
        lineage: None,
    }
}

/// Returns the process that speaks through `pid`; nothing where that one has gone.
///
/// The command line is told by its file: what only calls itself so speaks for itself.
pub(super) fn behind(pid: u32, nod: &Path) -> Option<u32> {
    let file = file_of(Path::new(&format!("/proc/{pid}/exe")));
    if file.is_none() || file != file_of(nod) {
        return Some(pid);
    }
    let (parent, _) = beginning(pid)?;
    let has_gone = parent <= INIT || is_manager(parent);
    (!has_gone).then_some(parent)
}

/// Returns whether a process is what runs a session of the system, and takes in orphans.
pub(super) fn is_manager(pid: u32) -> bool {
    name(pid).as_deref() == Some(SESSION)
}

fn name(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

fn argv(pid: u32) -> Vec<String> {
    let mut bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.truncate(ARGV_LIMIT);
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }

    fn sleeping(program: &Path) -> Running {
        Running(Command::new(program).arg("60").spawn().unwrap())
    }

    #[test]
    fn a_program_is_named_with_its_process() {
        let own = std::process::id();
        let program = program_of(own, Path::new("/nowhere/nod"));
        assert!(program.name.ends_with(&format!("(process {own})")), "{program:?}");
        assert_eq!(program.argv, std::env::args().collect::<Vec<_>>());
        assert_eq!(program.cwd, std::env::current_dir().unwrap().to_string_lossy());
        assert_eq!(program.source, source_of(own, Path::new("/nowhere/nod")));
        assert_eq!(program_of(u32::MAX, Path::new("/nowhere/nod")), gone());
    }

    /// Returns who is said to speak through a process that a line of a shell starts, and the shell.
    fn caller_in(line: &str) -> (Option<i32>, i32) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("say() {{ echo $1 > $0.new; mv $0.new $0; }}; {line}; wait");
        let mut shell = Command::new("bash").args(["-c", &script]).arg(&file).spawn().unwrap();
        while !file.exists() {
            std::thread::yield_now();
        }
        let pid = fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let caller = caller_of(pid, Path::new("/nowhere/nod")).map(|caller| caller.pid);
        let process = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        shell.wait().unwrap();
        (caller, shell.id().cast_signed())
    }

    #[test]
    fn what_a_shell_forks_is_the_shell_and_what_it_runs_is_not() {
        let part = "say $BASHPID; kill -STOP $BASHPID";
        let (caller, shell) = caller_in(&format!("( {part} ) | cat"));
        assert_eq!(caller, Some(shell), "a part of a pipeline");
        let (caller, shell) = caller_in(&format!("( ({part}); : ) | cat"));
        assert_eq!(caller, Some(shell), "a subshell in a subshell");
        let again = "echo $$ > $0.new; mv $0.new $0; kill -STOP $$";
        let (caller, shell) = caller_in(&format!("bash -c '{again}' $0 | cat"));
        assert_ne!(caller, Some(shell), "another run of the same program");
    }

    #[test]
    fn the_command_line_is_told_by_its_file_and_not_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (nod, other) = (folder.path().join("sleeper"), folder.path().join("nod"));
        fs::copy("/usr/bin/sleep", &nod).unwrap();
        fs::copy("/usr/bin/sleep", &other).unwrap();
        let own = source_of(std::process::id(), &nod);
        assert_eq!(source_of(sleeping(&nod).0.id(), &nod), own);
        let impostor = sleeping(&other);
        let id = impostor.0.id();
        assert_eq!(program_of(id, &nod).name, format!("nod (process {id})"));
        // Whoever let go of its `nod` is not there any more to be named.
        let line = format!("{} 60 > /dev/null 2>&1 & echo $!", nod.display());
        let said = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
        let orphan: u32 = String::from_utf8_lossy(&said.stdout).trim().parse().unwrap();
        let (parent, _) = beginning(orphan).unwrap();
        let taken_in = parent == INIT || is_manager(parent);
        let shown = program_of(orphan, &nod);
        let process = rustix::process::Pid::from_raw(orphan.cast_signed()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        assert!(!taken_in || shown.source == Source::Gone, "{shown:?}");
    }
}
