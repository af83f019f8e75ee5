//! Whether this process is a descendant of a task, whatever its environment says.

use std::fs;
use std::path::Path;

/// The program that owns a task's processes.
const SHIM: &str = "nod-shim";

/// No chain of processes is longer than this; a reused pid could make a circle.
const LONGEST_CHAIN: usize = 1_000;

/// Returns whether a shim is among the ancestors of this process.
///
/// A host that such a process starts would be a part of the task, and end with it.
pub(crate) fn hold_a_shim() -> bool {
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    std::iter::successors(parent, |pid| parent_of(*pid).filter(|parent| *parent > 0))
        .take(LONGEST_CHAIN)
        .any(is_shim)
}

fn parent_of(pid: i32) -> Option<i32> {
    parent_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn is_shim(pid: i32) -> bool {
    // The programs of other users cannot be read; no shim of ours is among them.
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| names_shim(&program))
}

fn names_shim(program: &Path) -> bool {
    // Linux says so of a program that was replaced while it runs.
    program
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.strip_suffix(" (deleted)").unwrap_or(name) == SHIM)
}

/// Returns the fourth field of proc_pid_stat(5); the second may hold spaces and parentheses.
fn parent_in(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_whatever_a_process_calls_itself() {
        let cases = [
            ("42 (make) S 7 42 42 0", Some(7)),
            ("42 (a) S 9 (b) R 7 42", Some(7)),
            ("42 (make)", None),
            ("", None),
        ];
        for (stat, expected) in cases {
            assert_eq!(parent_in(stat), expected, "{stat}");
        }
    }

    #[test]
    fn a_shim_is_known_by_its_program() {
        let cases = [
            ("/usr/bin/nod-shim", true),
            ("/usr/bin/nod-shim (deleted)", true),
            ("/usr/bin/nod", false),
            ("/home/nod-shim/bin/sh", false),
        ];
        for (program, expected) in cases {
            assert_eq!(names_shim(Path::new(program)), expected, "{program}");
        }
    }

    #[test]
    fn every_process_has_a_parent_that_can_be_read() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert_eq!(parent_of(own), Some(parent));
    }
}
