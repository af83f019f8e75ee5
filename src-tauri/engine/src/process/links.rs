//! The chain of processes from one up to the system's first, as far as /proc tells.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// No chain of processes is longer than this; a reused pid could make a circle.
pub(super) const LONGEST_CHAIN: usize = 1_000;

/// How many words of a command line can name the program that an interpreter runs.
const WORDS: usize = 4;

/// One process of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// When it began, in milliseconds since the boot.
    pub(crate) started_ms: u64,
    pub(crate) uid: u32,
    /// What it calls itself.
    pub(crate) name: String,
    /// Nothing where it may not be read.
    pub(crate) program: Option<ProgramFile>,
    pub(crate) words: Vec<String>,
    /// The names of its variables; nothing where they may not be read.
    pub(crate) variables: Option<Vec<String>>,
    /// What sshd says of the connection that it was begun over.
    pub(crate) connection: Option<String>,
    /// The number of its controlling terminal; 0 for none.
    pub(crate) terminal: u64,
    /// Its process group is the one that the terminal's keys go to.
    pub(crate) in_front: bool,
    /// Another process looks into it.
    pub(crate) traced: bool,
}

/// The file of the program that a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramFile {
    pub(crate) path: PathBuf,
    /// Its device and its number there.
    pub(crate) file: (u64, u64),
    /// Only the system's administrator can have put it where it is.
    pub(crate) of_system: bool,
}

/// Returns the chain from `pid` upwards; nothing where a part of it is not there.
pub(crate) fn chain_from(pid: u32) -> Option<Vec<Link>> {
    let mut chain = vec![link(pid)?];
    while let Some(parent) = chain.last().map(|link| link.parent).filter(|parent| *parent > 0) {
        if chain.len() == LONGEST_CHAIN {
            return None;
        }
        chain.push(link(parent)?);
    }
    Some(chain)
}

/// Returns the terminal that is both input and output of a process: its number and its path.
pub(crate) fn standard_terminal(pid: u32) -> Option<(u64, PathBuf)> {
    let (input, path) = input_terminal(pid)?;
    (terminal_at(pid, 1)?.0 == input).then_some((input, path))
}

/// Returns the terminal that is the input of a process.
pub(crate) fn input_terminal(pid: u32) -> Option<(u64, PathBuf)> {
    terminal_at(pid, 0)
}

fn terminal_at(pid: u32, descriptor: u32) -> Option<(u64, PathBuf)> {
    let path = format!("/proc/{pid}/fd/{descriptor}");
    let file = fs::metadata(&path).ok().filter(|file| file.file_type().is_char_device())?;
    Some((file.rdev(), fs::read_link(path).ok()?))
}

/// Returns whether the other end of a terminal is held by a program.
pub(crate) fn is_pseudo_terminal(device: u64) -> bool {
    // UNIX98_PTY_SLAVE_MAJOR of Linux's major.h, eight of them.
    (136..144).contains(&rustix::fs::major(device))
}

/// Returns whether a process has a socket for its input, output or errors.
pub(crate) fn has_standard_socket(pid: u32) -> bool {
    (0..=2).any(|descriptor| {
        let file = fs::metadata(format!("/proc/{pid}/fd/{descriptor}"));
        file.is_ok_and(|file| file.file_type().is_socket())
    })
}

/// Returns the device and the number of a file.
pub(crate) fn file_of(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Returns the parent of a process, and when it began in ticks of the clock since the boot.
pub(super) fn beginning(pid: u32) -> Option<(u32, u64)> {
    let stat = Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    Some((stat.parent, stat.started))
}

fn link(pid: u32) -> Option<Link> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let stat = Stat::parse(&stat)?;
    let uid = status_field(&status, "Uid:")?;
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let variables = fs::read(format!("/proc/{pid}/environ")).ok();
    Some(Link {
        pid,
        parent: stat.parent,
        started_ms: stat.started_ms(),
        uid: u32::try_from(uid).ok()?,
        name: String::from_utf8_lossy(&name).trim_end().to_owned(),
        program: program(pid),
        words: pieces(&words).take(WORDS).map(str::to_owned).collect(),
        connection: variables.as_deref().and_then(connection),
        variables: variables.as_deref().map(names),
        terminal: stat.terminal,
        in_front: stat.group == stat.front,
        traced: status_field(&status, "TracerPid:")? != 0,
    })
}

fn program(pid: u32) -> Option<ProgramFile> {
    let link = format!("/proc/{pid}/exe");
    let path = fs::read_link(&link).ok()?;
    let file = fs::metadata(&link).ok()?;
    let text = path.to_string_lossy();
    // Linux says so of a program that was replaced while it runs.
    let path = PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(&text));
    let of_system = file.uid() == 0 && file.mode() & 0o022 == 0 && lies_in_system(&path);
    Some(ProgramFile { path, file: (file.dev(), file.ino()), of_system })
}

/// Returns whether a path is one that packages of the system are put in.
fn lies_in_system(path: &Path) -> bool {
    let folders = ["/usr", "/bin", "/sbin", "/opt", "/snap", "/nix/store", "/gnu/store"];
    folders.iter().any(|folder| path.starts_with(folder))
}

fn pieces(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes.split(|byte| *byte == 0).filter_map(|piece| str::from_utf8(piece).ok())
}

fn names(environment: &[u8]) -> Vec<String> {
    pieces(environment)
        .filter_map(|it| it.split_once('='))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn connection(environment: &[u8]) -> Option<String> {
    pieces(environment).find_map(|it| it.strip_prefix("SSH_CONNECTION=")).map(str::to_owned)
}

/// Returns the first number behind the name of a field of proc_pid_status(5).
fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Fields of proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// A letter, such as `T` for one that was stopped.
    pub(super) state: char,
    pub(super) parent: u32,
    group: i64,
    pub(super) session: i32,
    pub(super) terminal: u64,
    front: i64,
    /// In ticks of the clock since the boot.
    pub(super) started: u64,
    /// Where its program, its words and its variables lie in its memory; zeros where that may not
    /// be known. Each run of a program lies elsewhere, and a fork lies as what it was forked from.
    pub(super) layout: [u64; 4],
}

impl Stat {
    /// Reads the fields of a process, known by its folder in /proc.
    pub(super) fn of(process: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(process.join("stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name, which is the second field, may hold spaces and parentheses.
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            parent: field(4)?.parse().ok()?,
            group: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            terminal: device(field(7)?.parse().ok()?),
            front: field(8)?.parse().ok()?,
            started: field(22)?.parse().ok()?,
            state: field(3)?.chars().next()?,
            layout: [26, 28, 48, 50]
                .map(|it| field(it).and_then(|at| at.parse().ok()).unwrap_or(0)),
        })
    }

    /// When it began, in milliseconds since the boot.
    pub(super) fn started_ms(&self) -> u64 {
        self.started * 1_000 / rustix::param::clock_ticks_per_second().max(1)
    }
}

/// Returns a device's number as stat(2) has it, from how proc_pid_stat(5) packs it.
fn device(packed: i32) -> u64 {
    let packed = packed.cast_unsigned();
    let (major, minor) = ((packed >> 8) & 0xfff, (packed & 0xff) | ((packed >> 12) & 0xf_ff00));
    if packed == 0 { 0 } else { rustix::fs::makedev(major, minor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_a_process_calls_itself() {
        let fields = "S 7 42 42 34818 42 4194304 1 0 0 0 0 0 0 0 20 0 1 0 5000 0";
        for name in ["make", "a) S 9 (b", "a b"] {
            let stat = Stat::parse(&format!("42 ({name}) {fields}")).unwrap();
            let terminal = rustix::fs::makedev(136, 2);
            let (session, started) = (42, 5_000);
            let (state, layout) = ('S', [0; 4]);
            let expected =
                Stat { state, parent: 7, group: 42, session, terminal, front: 42, started, layout };
            assert_eq!(stat, expected);
        }
        assert_eq!(Stat::parse("42 (make) S 7"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn a_chain_goes_from_a_process_to_the_first_one() {
        let own = std::process::id();
        let chain = chain_from(own).unwrap();
        assert_eq!(chain[0].pid, own);
        assert!(chain[0].variables.as_ref().unwrap().iter().any(|name| name == "PATH"));
        assert!(chain.windows(2).all(|pair| pair[0].parent == pair[1].pid));
        assert_eq!(chain.last().unwrap().parent, 0);
        assert!(chain[0].started_ms <= super::super::since_boot_ms());
        let program = chain[0].program.as_ref().unwrap();
        assert_eq!(Some(program.file), file_of(&std::env::current_exe().unwrap()));
    }

    #[test]
    fn only_what_a_package_brought_is_of_the_system() {
        for (path, expected) in [
            ("/usr/bin/xterm", true),
            ("/nix/store/x-foot-1/bin/foot", true),
            ("/tmp/usr/bin/xterm", false),
            ("/home/me/.local/bin/kitty", false),
            ("/usrx/xterm", false),
        ] {
            assert_eq!(lies_in_system(Path::new(path)), expected, "{path}");
        }
    }
}
