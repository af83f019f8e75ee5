//! Which program is at the other end of a connection, as far as /proc tells.

use std::fs;

use crate::dispatcher::Program;

/// The longest command line of a program that is shown, in bytes.
const ARGV_LIMIT: usize = 4_096;

/// The name of the command line, behind which another program stands.
const NOD: &str = "nod";

/// Returns the program of a process; for a `nod` command the one that ran it.
pub(crate) fn program_of(pid: u32) -> Program {
    let shown = match (name(pid).as_deref(), parent(pid)) {
        (Some(NOD), Some(parent)) if parent > 1 => parent,
        (_, _) => pid,
    };
    let name = name(shown).unwrap_or_else(|| "a program that has gone".to_owned());
    let cwd = fs::read_link(format!("/proc/{shown}/cwd"));
    Program {
        name: format!("{name} (process {shown})"),
        argv: argv(shown),
        cwd: cwd.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
    }
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

/// Returns the fourth field of proc_pid_stat(5); the second may hold spaces and parentheses.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_with_its_process() {
        let own = std::process::id();
        let program = program_of(own);
        assert!(program.name.ends_with(&format!("(process {own})")), "{program:?}");
        assert_eq!(program.argv, std::env::args().collect::<Vec<_>>());
        assert_eq!(program.cwd, std::env::current_dir().unwrap().to_string_lossy());
        assert!(parent(own).is_some());
    }
}
