//! A pause halts every process of the task, and nothing else.

use nod_core::shim::{FromShim, ToShim};
use nod_core::task::ExitStatus;

use super::attempt::{Attempt, Host, Running, wait_until};

/// Three processes, one of them in a session of its own, that each count in a file.
const COUNTING: &str = r"
import os, time
def count(name):
    n = 0
    while True:
        n += 1
        with open(name, 'w') as file: file.write(str(n))
        time.sleep(0.002)
if os.fork() == 0: count('child')
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    count('detached')
count('main')
";
const NAMES: [&str; 3] = ["main", "child", "detached"];

fn counts(running: &Running) -> Vec<String> {
    let read = |name| std::fs::read_to_string(running.path(name)).unwrap_or_default();
    NAMES.iter().map(|name| read(*name)).collect()
}

fn states(running: &Running) -> Vec<String> {
    running.living_states()
}

fn hear_paused(host: &mut Host, expected: bool) {
    host.until(|message| match message {
        FromShim::Paused { paused } => (paused == expected).then_some(()),
        _ => None,
    });
}

fn all_count(running: &Running) {
    let before = counts(running);
    wait_until("all count", || {
        counts(running).iter().zip(&before).all(|(now, before)| !now.is_empty() && now != before)
    });
}

#[test]
fn every_process_halts_and_goes_on_however_it_detached() {
    let (running, mut host) = Attempt::python(COUNTING).start();
    all_count(&running);
    host.send(&ToShim::Pause);
    hear_paused(&mut host, true);
    // A signal that was sent stops a process once it is out of the kernel.
    wait_until("all halt", || states(&running) == ["T"; 3]);
    let halted = counts(&running);
    assert!(running.connect().status().paused);
    assert_eq!(counts(&running), halted);
    host.send(&ToShim::Resume);
    hear_paused(&mut host, false);
    all_count(&running);
    assert!(!running.connect().status().paused);
    host.send(&ToShim::Stop);
    running.finish(host);
}

#[test]
fn a_paused_task_can_be_cancelled_and_hears_of_it_first() {
    let script = "trap 'echo bye; exit 4' INT; echo ready; while :; do sleep 0.01; done";
    let (running, mut host) = Attempt::shell(script).grace(20_000).start();
    host.output(6);
    host.send(&ToShim::Pause);
    hear_paused(&mut host, true);
    host.send(&ToShim::Stop);
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 4 }));
    assert!(finished.text().ends_with("bye\n"));
}

#[test]
fn the_deadline_of_a_paused_task_goes_on() {
    let (running, mut host) = Attempt::of(&["sleep", "77"]).timeout(400).start();
    host.started();
    host.send(&ToShim::Pause);
    hear_paused(&mut host, true);
    assert!(running.finish(host).report.timed_out);
}

#[test]
fn what_had_halted_by_itself_stays_so() {
    let script = "import os, signal, time
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
os.waitpid(child, os.WUNTRACED)
os.write(1, b'r')
time.sleep(60)";
    let (running, mut host) = Attempt::python(script).start();
    host.output(1);
    for order in [ToShim::Pause, ToShim::Resume] {
        host.send(&order);
        hear_paused(&mut host, order == ToShim::Pause);
    }
    // The one that halts has done so for good; the other may still be on its way to sleep.
    wait_until("one halts and one sleeps", || {
        let mut states = states(&running);
        states.sort();
        states == ["S", "T"]
    });
    host.send(&ToShim::Stop);
    running.finish(host);
}

/// Says so, and is in the kernel until somebody opens the other end of the pipe: its child, which
/// shares its memory, waits there before it becomes `true`.
const IN_THE_KERNEL: &str = r"
import os
os.mkfifo('pipe')
os.write(1, b'r')
wait = (os.POSIX_SPAWN_OPEN, 5, 'pipe', os.O_RDONLY, 0)
child = os.posix_spawn('/bin/true', ['true'], {}, file_actions=[wait])
os.waitpid(child, 0)
os.write(1, b'on')
";

#[test]
fn what_could_not_halt_before_it_was_told_to_go_on_goes_on() {
    let (running, mut host) = Attempt::python(IN_THE_KERNEL).start();
    host.output(1);
    wait_until("one in the kernel", || states(&running).contains(&"D".to_owned()));
    for order in [ToShim::Pause, ToShim::Resume] {
        host.send(&order);
        hear_paused(&mut host, order == ToShim::Pause);
    }
    assert!(states(&running).contains(&"D".to_owned()), "{:?}", states(&running));
    std::fs::File::options().write(true).open(running.path("pipe")).unwrap();
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 0 }));
    assert_eq!(finished.text(), "ron");
}
