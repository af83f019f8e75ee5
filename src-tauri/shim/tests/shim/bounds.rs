//! A bounded log: its size on the disk, and what of it is kept.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nod_core::shim::{LOG_FILE, LOG_HEAD};

use super::attempt::{Attempt, Finished};

const LIMIT: u64 = 1024 * 1024;
const SIZE: u64 = 2_000_000 * 16;

/// Prints lines that have 16 bytes each in the log, where they end as `end` has it, and say where
/// they are.
fn lines(end: &str) -> Attempt {
    let digits = 16 - end.len();
    Attempt::python(&format!(
        "import sys
for start in range(0, 2_000_000, 10_000):
    sys.stdout.write(''.join('%0{digits}d\\n' % line for line in range(start, start + 10_000)))"
    ))
}

fn check(finished: &Finished, disk: u64, end: &str) {
    let digits = 16 - end.len();
    assert_eq!((finished.log.len() as u64, finished.report.size), (SIZE, SIZE));
    assert!(disk <= LIMIT + 8192, "{disk} bytes on the disk");
    let line = |number: usize| &finished.log[number * 16..(number + 1) * 16];
    let kept = |number: usize| line(number) == format!("{number:0digits$}{end}").as_bytes();
    assert!((0..LOG_HEAD as usize / 16).all(kept), "the head is whole");
    let tail = (LIMIT / 2) as usize / 16;
    assert!((2_000_000 - tail..2_000_000).all(kept), "the tail is whole");
    assert!(line(1_000_000).iter().all(|byte| *byte == 0), "the middle is gone");
}

#[test]
fn past_its_limit_a_log_keeps_head_and_tail_where_they_were() {
    // A terminal makes two characters of the end of a line.
    let modes = [
        (lines("\n"), "\n"),
        (lines("\n").direct(), "\n"),
        (lines("\r\n").in_terminal(), "\r\n"),
        (lines("\r\n").interactive(), "\r\n"),
    ];
    for (attempt, end) in modes {
        let (running, mut host) = attempt.log_limit(LIMIT).start();
        host.ended();
        let disk = fs::metadata(running.path(LOG_FILE)).unwrap().blocks() * 512;
        check(&running.finish(host), disk, end);
    }
}

#[test]
fn a_log_within_its_limit_is_whole() {
    let finished = Attempt::python("print('x' * 1_000_000, end='')").log_limit(LIMIT).run();
    assert_eq!(finished.log, vec![b'x'; 1_000_000]);
}

#[test]
fn a_line_of_a_hundred_megabytes_takes_no_more_memory_and_disk_than_others() {
    let script = "import sys
for _ in range(100): sys.stdout.buffer.write(b'x' * 1_000_000)";
    let (running, mut host) = Attempt::python(script).log_limit(LIMIT).start();
    let report = host.ended();
    assert_eq!(report.size, 100_000_000);
    let status = fs::read_to_string(format!("/proc/{}/status", running.shim.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 16 * 1024, "{kib} KiB at most");
    assert!(fs::metadata(running.path(LOG_FILE)).unwrap().blocks() * 512 <= LIMIT + 8192);
    running.finish(host);
}
