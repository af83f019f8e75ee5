//! How an attempt ends by itself, and what the report says about it.

use nod_core::shim::{FromShim, SHIM_PROTOCOL, ShimStop, ToShim};
use nod_core::task::ExitStatus;

use super::attempt::{Attempt, Finished, Host, Running};

fn exit(finished: &Finished) -> ExitStatus {
    finished.report.exit.unwrap()
}

#[test]
fn exit_codes_are_reported() {
    for code in [0, 3, 255] {
        let finished = Attempt::shell(&format!("exit {code}")).run();
        assert_eq!(exit(&finished), ExitStatus::Code { code });
    }
}

#[test]
fn a_death_by_signal_is_no_exit_code() {
    let finished = Attempt::shell("kill -KILL $$").run();
    assert_eq!(exit(&finished), ExitStatus::Signal { signal: 9 });
    assert!(!finished.report.timed_out);
}

#[test]
fn a_report_says_what_ran_when_and_how_much_it_used() {
    let finished =
        Attempt::python("x = bytearray(50_000_000)\nfor i in range(300_000): pass").run();
    let report = finished.report;
    assert_eq!(report.protocol, SHIM_PROTOCOL);
    let process = report.process.unwrap();
    assert!(process.pid > 0 && process.start_time > 0);
    let (started, exited) = (report.started_at.unwrap(), report.exited_at.unwrap());
    assert!(started <= exited && exited <= report.ended_at);
    assert!(report.peak_memory.unwrap() > 50_000_000);
    assert!(report.cpu_ms.unwrap() > 0);
    assert_eq!((report.left, report.spawn_error, report.size), (Vec::new(), None, 0));
}

#[test]
fn the_host_hears_the_whole_story_in_order() {
    let finished = Attempt::shell("echo hello; exit 4").run();
    let told: Vec<&str> = finished
        .heard
        .iter()
        .map(|message| match message {
            FromShim::Status(_) => "status",
            FromShim::Started { .. } => "started",
            FromShim::Output { .. } => "output",
            FromShim::Exited { .. } => "exited",
            FromShim::Stopping { .. } => "stopping",
            FromShim::DiskFull { .. } => "disk full",
            FromShim::Unbounded => "unbounded",
            FromShim::Paused { .. } => "paused",
            FromShim::InputLost { .. } => "input lost",
            FromShim::Typed(_) => "typed",
            FromShim::Ended { .. } => "ended",
        })
        .filter(|told| *told != "output")
        .collect();
    assert_eq!(told, ["status", "started", "exited", "ended"]);
    assert!(finished.heard.contains(&FromShim::Output { size: 6 }));
    assert_eq!(finished.heard[0], {
        let FromShim::Status(status) = finished.heard[0].clone() else { panic!() };
        assert_eq!((status.process, status.size, &status.report), (None, 0, &None));
        FromShim::Status(status)
    });
}

#[test]
fn a_missing_program_is_named() {
    for (program, message) in [
        ("nod-no-such-program", "there is no program nod-no-such-program on the PATH"),
        ("/no/such/program", "/no/such/program does not exist"),
    ] {
        let finished = Attempt::of(&[program, "argument"]).run();
        let error = finished.report.spawn_error.unwrap();
        assert_eq!((error.message.as_str(), error.not_found), (message, true));
        assert_eq!(error.program, program);
        assert_eq!((finished.report.process, finished.report.exit), (None, None));
    }
}

#[test]
fn a_missing_folder_is_not_taken_for_a_missing_program() {
    let mut attempt = Attempt::of(&["true"]);
    attempt.spec.cwd = "/no/such/folder".to_owned();
    let error = attempt.run().report.spawn_error.unwrap();
    assert_eq!(error.message, "the folder /no/such/folder does not exist");
    assert!(error.not_found);
}

#[test]
fn what_cannot_be_run_is_told_from_what_is_missing() {
    let write = |attempt: &Attempt, name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = attempt.folder().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let cases = [
        ("./plain", "./plain is not executable"),
        ("./", "./ is a folder, not a program"),
        ("./text", "./text is not a program; a script needs a first line such as #!/bin/sh"),
        ("./orphan", "the interpreter that ./orphan asks for does not exist"),
    ];
    for (program, message) in cases {
        let attempt = Attempt::of(&[program]);
        write(&attempt, "plain", "#!/bin/sh\n", 0o600);
        write(&attempt, "text", "echo hello\n", 0o700);
        write(&attempt, "orphan", "#!/no/such/interpreter\n", 0o700);
        let error = attempt.run().report.spawn_error.unwrap();
        assert_eq!((error.message.as_str(), error.not_found), (message, false));
    }
}

#[test]
fn a_program_is_found_relative_to_the_folder_it_runs_in() {
    let attempt = Attempt::of(&["./here"]);
    std::os::unix::fs::symlink("/bin/true", attempt.folder().join("here")).unwrap();
    assert_eq!(exit(&attempt.run()), ExitStatus::Code { code: 0 });
}

#[test]
fn no_command_at_all_is_a_spawn_error() {
    let error = Attempt::of(&[]).run().report.spawn_error.unwrap();
    assert_eq!((error.message.as_str(), error.not_found), ("there is no command to run", false));
}

#[test]
fn a_process_that_was_left_is_ended_and_named() {
    // Between fork and exec it still has the shell's name.
    let script = "sleep 77 & while ! grep -q sleep /proc/$!/comm; do :; done; echo quick";
    let finished = Attempt::shell(script).run();
    assert_eq!(exit(&finished), ExitStatus::Code { code: 0 });
    assert_eq!(finished.text(), "quick\n");
    assert!(!finished.report.stopped);
    let left = finished.report.left;
    assert_eq!((left.len(), left[0].name.as_str(), left[0].ended), (1, "sleep", true));
    let stage = finished.heard.iter().find_map(|message| match message {
        FromShim::Stopping { cause: ShimStop::LeftProcesses, stage, .. } => Some(stage.clone()),
        _ => None,
    });
    let stage = stage.unwrap();
    assert_eq!(stage.signal, "SIGTERM");
    assert_eq!(stage.waits_for, [format!("sleep ({})", left[0].pid)]);
    assert!(stage.next_at.is_some());
}

#[test]
fn what_is_left_goes_on_where_the_spec_says_so() {
    let script = "sleep 77 & while ! grep -q sleep /proc/$!/comm; do :; done; echo quick";
    let mut attempt = Attempt::shell(script);
    attempt.spec.keep_children = true;
    let (running, mut host) = attempt.start();
    let report = host.ended();
    assert_eq!(report.exit, Some(ExitStatus::Code { code: 0 }));
    assert_eq!(running.living(), ["sleep 77 "]);
    let left: Vec<_> = report.left.iter().map(|it| (it.name.as_str(), it.ended)).collect();
    assert_eq!(left, [("sleep", false)]);
    assert_eq!(host.stages(), [""; 0]);
    running.kill_living();
    running.finish(host);
}

fn boot_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    (now.tv_sec * 1000 + now.tv_nsec / 1_000_000) as u64
}

#[test]
fn a_deadline_can_be_moved_and_lifted_while_the_task_runs() {
    // Lifted: the first deadline would have been over long before the second.
    let (running, mut host) = Attempt::of(&["sleep", "77"]).timeout(400).start();
    host.started();
    host.send(&ToShim::Deadline { at_boot_ms: None });
    running.connect().status();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(running.living(), ["sleep 77 "]);
    host.send(&ToShim::Deadline { at_boot_ms: Some(boot_ms() + 50) });
    let finished = running.finish(host);
    assert!(finished.report.timed_out);
}

#[test]
fn a_time_limit_keeps_the_output_so_far() {
    let finished = Attempt::shell("echo begun; exec sleep 60").timeout(300).run();
    assert!(finished.report.timed_out && finished.report.stopped);
    assert_eq!(exit(&finished), ExitStatus::Signal { signal: 2 });
    assert_eq!(finished.text(), "begun\n");
    let took = finished.report.exited_at.unwrap().since(finished.report.started_at.unwrap());
    assert!(took >= 290, "{took} ms");
}

#[test]
fn a_time_limit_holds_without_host_and_without_output() {
    let attempt = Attempt::shell("exec >&- 2>&-; trap '' INT TERM; while :; do sleep 60; done");
    let finished = attempt.timeout(300).start_alone().wait();
    assert!(finished.report.timed_out);
    assert_eq!(exit(&finished), ExitStatus::Signal { signal: 9 });
}

#[test]
fn an_end_in_time_is_not_timed_out() {
    assert!(!Attempt::shell("exit 0").timeout(30_000).run().report.timed_out);
}

/// In a machine that has slept for longer than it was awake, so to say.
#[test]
fn a_deadline_counts_the_time_in_which_the_machine_slept() {
    const SLEPT_MS: u64 = 1_000_000_000;
    let slept = (SLEPT_MS / 1_000).to_string();
    let asleep = ["--time", "--boottime", &slept, "--fork", "--kill-child=TERM"];
    let flags = if rustix::process::getuid().is_root() { &[][..] } else { &["-r"] };
    let unshare = || {
        let mut command = std::process::Command::new("unshare");
        command.args(flags).args(asleep);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|tried| tried.success()) {
        let without = std::env::var("NOD_TEST_WITHOUT").unwrap_or_default();
        let is_left_out = without.split_whitespace().any(|word| word == "time-namespace");
        assert!(
            is_left_out,
            "this test needs a time namespace: NOD_TEST_WITHOUT=time-namespace leaves it out"
        );
        return;
    }
    // Moments that have passed there, and never will on a clock that stands still in a sleep.
    let begin = |attempt: Attempt| {
        let mut command = unshare();
        let shim = attempt.command();
        command.arg(shim.get_program()).args(shim.get_args());
        command.envs(shim.get_envs().filter_map(|(name, value)| Some((name, value?))));
        attempt.start_as(command)
    };
    let (running, mut host) = begin(Attempt::of(&["sleep", "7431"]));
    host.started();
    host.send(&ToShim::Deadline { at_boot_ms: Some(boot_ms() + SLEPT_MS / 2) });
    assert!(times_out(running, host));
    // What was set before the task began counts from its beginning, by the same clock.
    let (running, mut host) = begin(Attempt::of(&["sleep", "7432"]).timeout(100));
    host.started();
    assert!(times_out(running, host));
}

/// Returns whether an attempt, whose shim is behind another program, ends because its time is up.
fn times_out(running: Running, mut host: Host) -> bool {
    let report = host.ended();
    host.send(&ToShim::Acknowledge);
    assert_eq!(running.wait().report, report);
    report.timed_out
}
