//! After a stop nothing of the task is alive, whatever it does against that.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use nod_core::shim::{FromShim, ShimStop, ToShim};
use nod_core::task::ExitStatus;
use rustix::process::Signal;

use super::attempt::{Attempt, wait_until};

#[test]
fn a_polite_program_ends_at_the_first_signal() {
    let (running, mut host) = Attempt::of(&["sleep", "77"]).start();
    let pid = host.started();
    host.send(&ToShim::Stop);
    let (cause, stage) = host.until(|message| match message {
        FromShim::Stopping { cause, stage, .. } => Some((cause, stage)),
        _ => None,
    });
    assert_eq!((cause, stage.signal.as_str()), (ShimStop::Requested, "SIGINT"));
    assert_eq!(stage.waits_for, [format!("sleep ({pid})")]);
    assert!(stage.next_at.is_some());
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Signal { signal: 2 }));
    assert!(finished.report.left.is_empty() && !finished.report.timed_out);
    assert!(finished.report.stopped);
}

/// The shim hears of both at once, as it may on a busy machine.
#[test]
fn a_stop_that_comes_just_after_the_end_changes_nothing_about_it() {
    let script = "sleep 77 & while ! grep -q sleep /proc/$!/comm; do :; done
        echo ready; while ! test -e go; do sleep 0.01; done";
    let (running, mut host) = Attempt::shell(script).start();
    let main = host.started();
    host.output(6);
    let is = |pid: i32, state: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(state)
    };
    running.signal(Signal::STOP);
    wait_until("the shim stands still", || is(running.shim.id() as i32, ") T "));
    std::fs::write(running.path("go"), "").unwrap();
    wait_until("the task has ended", || is(main, ") Z "));
    host.send(&ToShim::Stop);
    running.signal(Signal::CONT);
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 0 }));
    assert!(!finished.report.stopped);
    let left: Vec<_> = finished.report.left.iter().map(|left| left.name.as_str()).collect();
    assert_eq!(left, ["sleep"]);
    let is_asked = |message: &FromShim| {
        matches!(message, FromShim::Stopping { cause: ShimStop::Requested, .. })
    };
    assert!(!finished.heard.iter().any(is_asked));
}

#[test]
fn a_program_that_ignores_everything_is_killed() {
    let script = "trap '' TERM INT; echo ready; while :; do sleep 60; done";
    let (running, mut host) = Attempt::shell(script).start();
    host.output(6);
    host.send(&ToShim::Stop);
    host.send(&ToShim::Stop);
    let report = host.ended();
    assert_eq!(report.exit, Some(ExitStatus::Signal { signal: 9 }));
    assert_eq!(host.stages(), ["SIGINT", "SIGTERM", "SIGKILL"]);
    running.finish(host);
}

/// As Ctrl-C reaches a build tool and its compilers: the tool waits for what they come to.
#[test]
fn every_process_of_the_group_hears_sigint() {
    let script = r"
import os, signal, subprocess, sys
signal.signal(signal.SIGINT, lambda *_: os.write(1, b'heard\n'))
child = subprocess.Popen(['sleep', '79'])
os.write(1, b'ready\n')
sys.exit(40 - child.wait())
";
    let (running, mut host) = Attempt::python(script).grace(20_000).start();
    host.output(6);
    host.send(&ToShim::Stop);
    let finished = running.finish(host);
    assert_eq!(finished.text(), "ready\nheard\n");
    // The child ended by SIGINT, which its parent knows as -2.
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 42 }));
}

#[test]
fn sigterm_gets_its_chance_after_sigint() {
    let script =
        "trap '' INT; trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done";
    let (running, mut host) = Attempt::shell(script).grace(1000).start();
    host.output(6);
    host.send(&ToShim::Stop);
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 5 }));
    assert!(finished.text().ends_with("bye\n"), "{}", finished.text());
}

/// A child that ignores SIGTERM and SIGINT, and one that left session and parent.
const STUBBORN: &str = r"
import os, signal, sys, time
def deaf():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def spawn(detach):
    if os.fork(): return
    if detach:
        os.setsid()
        if os.fork(): os._exit(0)
        os.setsid()
    deaf()
    os.write(1, b'r')
    while True: time.sleep(60)
spawn(False)
spawn(True)
time.sleep(600)
";

#[test]
fn descendants_are_gone_however_they_detached() {
    let (running, mut host) = Attempt::python(STUBBORN).start();
    host.output(2);
    assert_eq!(running.living().len(), 3);
    host.send(&ToShim::Stop);
    let report = host.ended();
    assert!(running.living().is_empty(), "{:?}", running.living());
    assert!(report.left.is_empty());
    assert_eq!(host.stages(), ["SIGINT", "SIGTERM", "SIGKILL"]);
    running.finish(host);
}

#[test]
fn detached_processes_do_not_outlive_a_main_process_that_ends() {
    let script = STUBBORN.replace(
        "time.sleep(600)",
        "sys.stdin.read()\nwhile os.path.getsize('out.log') < 2: time.sleep(0.01)",
    );
    let finished = Attempt::python(&script).run();
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 0 }));
    assert_eq!(finished.report.left.len(), 2);
    assert!(finished.report.left.iter().all(|left| left.ended));
}

#[test]
fn processes_that_fork_while_they_are_killed_are_gone_too() {
    // Each of the eight replaces itself over and over, half of them in a new session each time.
    let script = r"
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for i in range(8):
    if os.fork() == 0:
        if i == 0: os.write(1, b'r')
        while True:
            if os.fork(): os._exit(0)
            if i % 2: os.setsid()
            time.sleep(0.001)
while True: time.sleep(60)
";
    let (running, mut host) = Attempt::python(script).grace(50).start();
    host.output(1);
    host.send(&ToShim::Stop);
    let report = host.ended();
    assert_eq!(report.exit, Some(ExitStatus::Signal { signal: 9 }));
    assert!(running.living().is_empty(), "{:?}", running.living());
    running.finish(host);
}

#[test]
fn a_stopped_process_is_ended_as_well() {
    let script = "import os, signal\nos.write(1, b'r')\nos.kill(os.getpid(), signal.SIGSTOP)";
    let (running, mut host) = Attempt::python(script).grace(20_000).start();
    host.output(1);
    let pid = host.heard.iter().find_map(|message| match message {
        FromShim::Started { process, .. } => Some(process.pid),
        _ => None,
    });
    let stat = format!("/proc/{}/stat", pid.unwrap());
    wait_until("it is stopped", || std::fs::read_to_string(&stat).unwrap().contains(") T "));
    host.send(&ToShim::Stop);
    let finished = running.finish(host);
    // Python turns SIGINT into an exception, and that into a death by SIGINT.
    assert_eq!(finished.report.exit, Some(ExitStatus::Signal { signal: 2 }));
}

/// Returns of an ending whether nobody asked for it.
fn is_terminated(message: &FromShim) -> Option<bool> {
    match message {
        FromShim::Stopping { terminated, .. } => Some(*terminated),
        _ => None,
    }
}

#[test]
fn sigterm_to_the_shim_stops_its_task() {
    let (running, mut host) = Attempt::of(&["sleep", "77"]).start();
    host.started();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::ALARM] {
        running.signal(signal);
    }
    running.signal(Signal::TERM);
    assert!(host.until(|message| is_terminated(&message)));
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Signal { signal: 2 }));
    assert!(finished.report.terminated, "nobody asked for its end");
}

#[test]
fn sigterm_after_a_stop_changes_nothing_about_who_asked() {
    let (running, mut host) =
        Attempt::shell("trap '' INT; sleep 77 & wait; wait").grace(500).start();
    host.started();
    host.send(&ToShim::Stop);
    assert!(!host.until(|message| is_terminated(&message)));
    running.signal(Signal::TERM);
    assert!(!running.finish(host).report.terminated);
}

/// Shells stand in for the hosts in the folder of the shim.
#[test]
fn the_ladder_does_not_enter_another_shim_or_a_host() {
    let programs = tempfile::tempdir().unwrap();
    let at = |name: &str| programs.path().join(name);
    std::fs::copy(env!("CARGO_BIN_EXE_nod-shim"), at("nod-shim")).unwrap();
    std::fs::copy("/bin/sh", at("nod")).unwrap();
    std::fs::copy("/bin/sh", at("nod-desktop")).unwrap();
    let other = Attempt::of(&["sleep", "77"]);
    drop(other.command());
    // Started as a program starts others: what a shell puts in the background ignores SIGINT.
    let script = r"
import os, subprocess
at = os.environ['P'] + '/'
subprocess.Popen([at + 'nod-shim', os.environ['OTHER']])
for program, word in [('nod', 'serve'), ('nod-desktop', 'work'), ('nod', 'work')]:
    subprocess.Popen([at + program, word])
os.wait()
";
    let attempt = Attempt::python(script).grace(100);
    // Each has a process below it that is not to be touched either.
    for name in ["serve", "work"] {
        std::fs::write(attempt.folder().join(name), "sleep 77; exit").unwrap();
    }
    let usual = attempt.command();
    let mut command = std::process::Command::new(at("nod-shim"));
    command.args(usual.get_args()).env("P", programs.path()).env("OTHER", other.folder());
    command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (running, mut host) = attempt.start_as(command);
    wait_until("all nine run", || {
        let living = running.living();
        living.len() == 9 && living.iter().filter(|line| line.starts_with("sleep")).count() == 4
    });
    host.send(&ToShim::Stop);
    let report = host.ended();
    assert_eq!(report.exit, Some(ExitStatus::Signal { signal: 2 }));
    let mut left: Vec<_> = report.left.iter().map(|it| (it.name.as_str(), it.ended)).collect();
    left.sort_unstable();
    assert_eq!(left, [("nod", false), ("nod-desktop", false), ("nod-shim", false)]);
    let living = running.living();
    let sleeping = living.iter().filter(|line| line.starts_with("sleep")).count();
    assert_eq!((living.len(), sleeping), (6, 3), "{living:?}");
    running.kill_living();
    running.finish(host);
}

#[test]
fn a_name_of_nods_protects_no_process_of_a_task() {
    let script = "for it in nod-shim nod-desktop nod-test-host nod; do
            cp /bin/sh $it; ./$it serve & done; sleep 77";
    let attempt = Attempt::shell(script);
    std::fs::write(attempt.folder().join("serve"), "sleep 77; exit").unwrap();
    let (running, mut host) = attempt.grace(100).start();
    wait_until("all ten run", || {
        running.living().iter().filter(|line| line.starts_with("sleep")).count() == 5
    });
    host.send(&ToShim::Stop);
    assert!(running.finish(host).report.left.is_empty());
}

#[test]
fn a_main_process_that_is_a_host_can_be_stopped() {
    let attempt = Attempt::of(&["./nod", "serve"]);
    std::fs::copy("/bin/sh", attempt.folder().join("nod")).unwrap();
    std::fs::write(
        attempt.folder().join("serve"),
        "trap '' INT; echo ready; exec 9<> pipe; read it <&9",
    )
    .unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, attempt.folder().join("pipe"), rustix::fs::Mode::RWXU)
        .unwrap();
    let (running, mut host) = attempt.start();
    host.output(6);
    host.send(&ToShim::Stop);
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Signal { signal: 15 }));
}

/// What belongs to another user stays, is named, and does not hold up the end for ever.
#[test]
fn a_process_that_may_not_be_killed_is_reported() {
    // Only root can make a process that another user may not signal.
    if !rustix::process::getuid().is_root() {
        let without = std::env::var("NOD_TEST_WITHOUT").unwrap_or_default();
        let is_left_out = without.split_whitespace().any(|word| word == "root");
        assert!(is_left_out, "this test needs root: NOD_TEST_WITHOUT=root leaves it out");
        return;
    }
    const NOBODY: u32 = 65534;
    let root = "import os, time; os.setresuid(0, 0, 0); os.write(1, b'r'); time.sleep(60)";
    let script = format!("./root -c \"{root}\" & while ! test -s out.log; do sleep 0.01; done");
    let attempt = Attempt::shell(&script);
    let program = attempt.folder().join("root");
    std::fs::copy("/usr/bin/python3", &program).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o4755)).unwrap();
    std::os::unix::fs::chown(attempt.folder(), Some(NOBODY), None).unwrap();
    let mut command = attempt.command();
    std::os::unix::fs::chown(attempt.folder().join("spec.json"), Some(NOBODY), None).unwrap();
    command.uid(NOBODY);
    let (running, mut host) = attempt.start_as(command);
    let report = host.ended();
    assert_eq!(report.exit, Some(ExitStatus::Code { code: 0 }));
    let left: Vec<_> = report.left.iter().map(|it| (it.name.as_str(), it.ended)).collect();
    assert_eq!(left, [("root", false)]);
    assert_eq!(host.stages(), ["SIGTERM", "SIGKILL"]);
    running.kill_living();
    running.finish(host);
}
