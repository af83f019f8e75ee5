//! The output reaches the log whole, whatever stands in the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nod_core::shim::{FromShim, LOG_FILE, ToShim};
use nod_core::task::ExitStatus;
use rustix::process::{Pid, Resource, Rlimit};

use super::attempt::{Attempt, wait_until};

const TEN_MIB: usize = 10 * 1024 * 1024;

#[test]
fn a_pipe_keeps_every_byte() {
    let finished = Attempt::shell(r"printf 'out \377\376\000\r\n'; printf 'err\n' >&2").run();
    assert_eq!(finished.log, b"out \xff\xfe\x00\r\nerr\n");
    assert_eq!(finished.report.size, 13);
}

#[test]
fn a_terminal_ends_lines_with_cr_lf_and_keeps_the_rest() {
    let finished =
        Attempt::shell(r"printf 'out \377\376\n'; printf 'err\n' >&2").in_terminal().run();
    assert_eq!(finished.log, b"out \xff\xfe\r\nerr\r\n");
}

#[test]
fn ten_mebibytes_arrive_in_both_modes() {
    let script = "import sys\nfor i in range(10240): sys.stdout.buffer.write(b'x' * 1023 + b'%d' % (i % 10))";
    let pipe = Attempt::python(script).run();
    let terminal = Attempt::python(script).in_terminal().run();
    for finished in [pipe, terminal] {
        assert_eq!(finished.log.len(), TEN_MIB);
        assert_eq!(finished.report.size, TEN_MIB as u64);
        let is_whole = |(index, line): (usize, &[u8])| {
            line[1023] == b'0' + (index % 10) as u8 && line[..1023].iter().all(|b| *b == b'x')
        };
        assert!(finished.log.chunks(1024).enumerate().all(is_whole));
    }
}

/// Whoever closes all of a terminal may open it again by its name.
#[test]
fn a_terminal_that_is_closed_and_opened_again_keeps_every_byte() {
    let script = "import os, time
path = os.ttyname(1)
print(*sorted(os.listdir('/proc/self/fd')), flush=True)
for number in range(3): os.close(number)
open('closed', 'w').close()
while not os.path.exists('go'): time.sleep(0.01)
terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
rest = b'x' * 200_000
while rest: rest = rest[os.write(terminal, rest):]";
    let (running, mut host) = Attempt::python(script).in_terminal().timeout(30_000).start();
    wait_until("it is closed", || running.path("closed").exists());
    // A shim that has read all there is would have seen the terminal close.
    host.output(9);
    running.connect().status();
    fs::write(running.path("go"), "").unwrap();
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 0 }));
    // The fourth is the list of files itself.
    assert_eq!(finished.log, [b"0 1 2 3\r\n".as_slice(), &[b'x'; 200_000]].concat());
}

#[test]
fn the_log_is_for_its_owner_alone() {
    let (running, mut host) = Attempt::shell("echo x").start();
    host.ended();
    for name in [LOG_FILE, "claim", "exit.json", "shim.sock"] {
        let mode = fs::metadata(running.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    running.finish(host);
}

#[test]
fn a_program_that_reopens_stderr_truncates_nothing() {
    let finished =
        Attempt::shell("echo one; echo two > /dev/stderr; echo three > /dev/stdout").run();
    assert_eq!(finished.text(), "one\ntwo\nthree\n");
}

#[test]
fn what_is_there_is_kept() {
    let attempt = Attempt::shell("echo new");
    fs::write(attempt.folder().join(LOG_FILE), "old\n").unwrap();
    let finished = attempt.run();
    assert_eq!((finished.text().as_str(), finished.report.size), ("old\nnew\n", 8));
}

#[test]
fn a_growing_log_is_announced_soon_but_not_often() {
    let script = "import time\nfor i in range(400): print('x', flush=True); time.sleep(0.002)";
    let finished = Attempt::python(script).run();
    let took = finished.report.ended_at.since(finished.report.started_at.unwrap());
    let sizes: Vec<u64> = finished
        .heard
        .iter()
        .filter_map(|message| match message {
            FromShim::Output { size } => Some(*size),
            _ => None,
        })
        .collect();
    assert!(sizes.is_sorted_by(|earlier, later| earlier < later), "{sizes:?}");
    assert_eq!(sizes.last(), Some(&800));
    assert!(sizes.len() as u64 <= took / 100 + 3, "{} in {took} ms", sizes.len());
}

#[test]
fn the_output_of_a_process_that_detached_is_kept_until_it_ends() {
    let script = "(trap 'echo last words; exit' TERM; echo ready; while :; do sleep 0.01; done) & \
        while ! grep -q ready out.log; do sleep 0.01; done";
    let finished = Attempt::shell(script).grace(20_000).run();
    assert!(finished.text().ends_with("last words\n"), "{}", finished.text());
}

/// A limit of file size stands in for the full disk: it can be lifted without being root.
#[test]
fn a_full_disk_makes_the_writer_wait_and_loses_nothing() {
    let script = "import resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
sys.stdout.buffer.write(b'y' * 500_000)";
    let attempt = || Attempt::python(script);
    for attempt in [attempt(), attempt().in_terminal(), attempt().interactive()] {
        waits_on_a_full_disk(attempt);
    }
}

fn waits_on_a_full_disk(attempt: Attempt) {
    let mut command = std::process::Command::new("prlimit");
    let shim = attempt.command();
    command.arg("--fsize=100000:unlimited").arg(shim.get_program()).args(shim.get_args());
    command.envs(shim.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (running, mut host) = attempt.start_as(command);
    let full = |message| match message {
        FromShim::DiskFull { full } => Some(full),
        _ => None,
    };
    assert!(host.until(full));
    assert_eq!(running.log().len() as u64, 100_000);
    let unlimited = Rlimit { current: None, maximum: None };
    rustix::process::prlimit(Some(Pid::from_child(&running.shim)), Resource::Fsize, unlimited)
        .unwrap();
    assert!(!host.until(full));
    let finished = running.finish(host);
    assert_eq!(finished.log, vec![b'y'; 500_000]);
}

#[test]
fn a_task_on_a_full_disk_can_be_stopped() {
    let attempt = || Attempt::shell("exec cat /dev/zero");
    for attempt in [attempt(), attempt().in_terminal(), attempt().interactive()] {
        stops_on_a_full_disk(attempt);
    }
}

fn stops_on_a_full_disk(attempt: Attempt) {
    // Appending to it always fails for want of space.
    std::os::unix::fs::symlink("/dev/full", attempt.folder().join(LOG_FILE)).unwrap();
    let (running, mut host) = attempt.start();
    host.until(|message| (message == FromShim::DiskFull { full: true }).then_some(()));
    host.send(&ToShim::Stop);
    let report = host.ended();
    assert_eq!(report.size, 0);
    assert!(running.living().is_empty());
    // Its log would be read without end.
    fs::remove_file(running.path(LOG_FILE)).unwrap();
    running.finish(host);
}

#[test]
fn a_host_that_does_not_read_holds_nothing_up() {
    let script =
        "import sys, time\nfor i in range(200): sys.stdout.write('x' * 50_000); sys.stdout.flush()";
    let (running, mut host) = Attempt::python(script).start();
    let mut silent = running.connect();
    silent.status();
    let report = host.ended();
    assert_eq!(report.size, 10_000_000);
    running.finish(host);
}
