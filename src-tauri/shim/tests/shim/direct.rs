//! The log itself as the task's output.

use std::fs;

use nod_core::shim::{FromShim, LOG_FILE, ToShim};
use nod_core::task::ExitStatus;

use super::attempt::Attempt;

#[test]
fn a_direct_task_writes_the_log_itself() {
    let script = "readlink /proc/self/fd/1; readlink /proc/self/fd/2; printf '\\377\\000x\\n' >&2";
    let (running, mut host) = Attempt::shell(script).direct().start();
    host.ended();
    let log = running.path(LOG_FILE).canonicalize().unwrap();
    let log = log.to_str().unwrap();
    let expected = [format!("{log}\n{log}\n").as_bytes(), b"\xff\0x\n"].concat();
    assert_eq!(running.finish(host).log, expected);
}

#[test]
fn a_direct_log_is_announced_as_it_grows_and_its_silence_costs_nothing() {
    let script = "import os, time
print('one', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
print('two')";
    let (running, mut host) = Attempt::python(script).direct().start();
    host.output(4);
    // The look that finds nothing new is the last one: a shorter while than a second is not rest.
    assert_eq!(running.rests(), None);
    fs::write(running.path("go"), "").unwrap();
    host.output(8);
    let finished = running.finish(host);
    assert_eq!(finished.text(), "one\ntwo\n");
}

#[test]
fn a_direct_task_that_writes_without_end_is_announced_ten_times_a_second() {
    let (running, mut host) =
        Attempt::of(&["dd", "if=/dev/zero", "bs=512", "status=none"]).direct().start();
    host.started();
    host.output(20_000_000);
    let sizes = host.heard.iter().filter(|it| matches!(it, FromShim::Output { .. })).count();
    host.send(&ToShim::Stop);
    let report = host.ended();
    assert_eq!(report.exit, Some(ExitStatus::Signal { signal: 2 }));
    let took = report.ended_at.since(report.started_at.unwrap()) as usize;
    assert!(sizes <= took / 100 + 2, "{sizes} in {took} ms");
    running.finish(host);
}
