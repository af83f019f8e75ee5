//! Hosts come, go, stay silent and talk nonsense; the task does not notice.

use nod_core::shim::{EXIT_FILE, FromShim, ToShim};
use nod_core::task::ExitStatus;

use super::attempt::{Attempt, Host};

/// Runs until the file `go` appears.
fn waiting(then: &str) -> Attempt {
    Attempt::shell(&format!("echo begun; while ! test -e go; do sleep 0.01; done; {then}"))
}

#[test]
fn without_a_host_the_report_is_on_the_disk() {
    let finished = Attempt::shell("echo alone; exit 6").start_alone().wait();
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 6 }));
    assert_eq!(finished.text(), "alone\n");
}

/// Returns which files the shim of an attempt waits for the disk for.
fn forced_files(attempt: Attempt, has_host: bool) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calls");
    let shim = attempt.command();
    let mut command = std::process::Command::new("strace");
    // The shim stays the child of the test.
    command.args(["-D", "-qq", "-y", "-e", "signal=none", "-e", "trace=fsync,fdatasync", "-o"]);
    command.arg(&file);
    // What marks the attempt's processes is not for strace itself.
    for (name, value) in shim.get_envs() {
        let mark = format!("{}={}", name.to_str().unwrap(), value.unwrap().to_str().unwrap());
        command.args(["-E", &mark]);
    }
    command.arg(shim.get_program()).args(shim.get_args());
    let (running, host) = attempt.start_as(command);
    if has_host {
        running.finish(host);
    } else {
        drop(host);
        running.wait();
    }
    let text = std::fs::read_to_string(file).unwrap();
    let named = text.lines().map(|line| {
        let path = line.split(['<', '>']).nth(1).unwrap();
        path.rsplit('/').next().unwrap().to_owned()
    });
    named.collect()
}

#[test]
fn a_report_that_no_host_takes_is_forced_onto_the_disk_and_others_are_not() {
    let attempt = || Attempt::shell("exit 6");
    assert_eq!(forced_files(attempt(), true), [] as [String; 0]);
    let alone = attempt();
    let folder = alone.folder().file_name().unwrap().to_str().unwrap().to_owned();
    // The file, and the folder for the sake of its name.
    assert_eq!(forced_files(alone, false), ["exit.json".to_owned(), folder]);
}

#[test]
fn a_host_that_comes_later_hears_where_it_stands_and_how_it_ends() {
    let (running, mut first) = waiting("exit 5").start();
    let pid = first.started();
    first.output(6);
    drop(first);
    let mut second = running.connect();
    let status = second.status();
    assert_eq!(status.process.map(|process| process.pid), Some(pid));
    assert_eq!((status.size, status.shim_pid), (6, running.shim.id() as i32));
    assert!(status.started_at.is_some() && status.report.is_none());
    std::fs::write(running.path("go"), "").unwrap();
    let finished = running.finish(second);
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 5 }));
}

#[test]
fn a_shim_whose_folder_is_gone_ends_with_its_task_and_its_last_host() {
    let out_of_the_way = tempfile::tempdir().unwrap();
    let go = out_of_the_way.path().join("go");
    for with_host in [false, true] {
        let line = format!("while ! test -e {}; do sleep 0.01; done; exit 3", go.display());
        let mut attempt = Attempt::shell(&line);
        attempt.spec.cwd = "/".into();
        let (mut running, mut host) = attempt.start();
        host.started();
        std::fs::remove_dir_all(running.path("")).unwrap();
        let mut host = Some(host).filter(|_| with_host);
        std::fs::write(&go, "").unwrap();
        if let Some(host) = &mut host {
            assert_eq!(host.ended().exit, Some(ExitStatus::Code { code: 3 }));
        }
        drop(host);
        let status = running.shim.wait().unwrap();
        assert_eq!(status.code(), Some(0), "with a host: {with_host}");
        std::fs::remove_file(&go).unwrap();
    }
}

#[test]
fn a_report_whose_room_was_taken_away_is_written_all_the_same() {
    let (running, mut host) = waiting("exit 4").start();
    host.output(6);
    drop(host);
    std::fs::remove_file(running.path("exit.json.part")).unwrap();
    std::fs::write(running.path("go"), "").unwrap();
    assert_eq!(running.wait().report.exit, Some(ExitStatus::Code { code: 4 }));
}

#[test]
fn every_connected_host_hears_the_end() {
    let (running, mut first) = waiting("exit 0").start();
    let mut others = [running.connect(), running.connect()];
    for other in &mut others {
        other.status();
    }
    std::fs::write(running.path("go"), "").unwrap();
    let report = first.ended();
    for other in &mut others {
        assert_eq!(other.ended(), report);
    }
    running.finish(first);
}

#[test]
fn the_report_waits_for_a_host_that_stores_it() {
    let (running, mut silent) = Attempt::shell("exit 9").start();
    silent.ended();
    assert!(running.path(EXIT_FILE).exists());
    let mut other = running.connect();
    let status = other.status();
    let report = status.report.unwrap();
    assert_eq!(report.exit, Some(ExitStatus::Code { code: 9 }));
    other.send(&ToShim::Acknowledge);
    assert_eq!(running.wait().report, report);
    assert!(silent.hung_up());
}

#[test]
fn an_acknowledgement_before_the_end_means_nothing() {
    let (running, mut host) = waiting("exit 0").start();
    host.send(&ToShim::Acknowledge);
    host.output(6);
    std::fs::write(running.path("go"), "").unwrap();
    let mut late = running.connect();
    late.ended();
    running.finish(host);
}

#[test]
fn hosts_that_leave_let_the_shim_go() {
    let (running, mut host) = Attempt::shell("exit 2").start();
    host.ended();
    drop(host);
    assert_eq!(running.wait().report.exit, Some(ExitStatus::Code { code: 2 }));
}

#[test]
fn whoever_talks_nonsense_is_hung_up_on() {
    let (running, mut host) = waiting("exit 0").start();
    let nonsense: [&[u8]; 5] = [
        b"hello\n",
        b"\n",
        b"{\"type\":\"explode\"}\n",
        b"{\"type\":\"stop\"\xff}\n",
        &[b'x'; 70_000],
    ];
    for bytes in nonsense {
        let mut stranger = running.connect();
        stranger.write(bytes);
        assert!(stranger.hung_up());
    }
    std::fs::write(running.path("go"), "").unwrap();
    host.ended();
    assert!(host.stages().is_empty());
    assert_eq!(running.finish(host).report.exit, Some(ExitStatus::Code { code: 0 }));
}

#[test]
fn a_message_may_come_in_pieces() {
    let (running, mut host) = Attempt::of(&["sleep", "77"]).start();
    host.started();
    host.write(b"{\"type\":");
    running.connect().status();
    host.write(b"\"stop\"}\n");
    assert_eq!(running.finish(host).report.exit, Some(ExitStatus::Signal { signal: 2 }));
}

#[test]
fn a_seventeenth_host_takes_the_place_of_the_most_silent() {
    let (running, mut starter) = waiting("exit 0").start();
    starter.started();
    let mut others: Vec<_> = (0..15).map(|_| running.connect()).collect();
    for other in &mut others {
        other.status();
    }
    // The shim listens to those it knows before it lets another in.
    others[0].send(&ToShim::Acknowledge);
    let mut newcomers = [running.connect(), running.connect()];
    for newcomer in &mut newcomers {
        newcomer.status();
    }
    let silent: Vec<_> = others.drain(1..3).collect();
    assert!(silent.into_iter().all(Host::hung_up));
    std::fs::write(running.path("go"), "").unwrap();
    let report = starter.ended();
    for host in others.iter_mut().chain(&mut newcomers) {
        assert_eq!(host.ended(), report);
    }
    running.finish(starter);
}

#[test]
fn a_stop_under_way_is_part_of_the_status() {
    let (running, mut host) =
        Attempt::shell("trap '' INT; echo ready; while :; do sleep 60; done").grace(20_000).start();
    host.output(6);
    host.send(&ToShim::Stop);
    host.until(|message| matches!(message, FromShim::Stopping { .. }).then_some(()));
    let mut other = running.connect();
    let (_, stage) = other.status().stopping.unwrap();
    assert_eq!(stage.signal, "SIGINT");
    running.kill_living();
    running.finish(host);
}

/// What an idle task costs is what a thousand of them cost a thousand times.
#[test]
fn an_idle_shim_does_not_wake_up() {
    let (running, mut host) = Attempt::of(&["sleep", "77"]).timeout(60_000).start();
    host.started();
    running.connect().status();
    // Nothing but the deadline wakes it.
    assert!(running.rests().is_some_and(|seconds| seconds > 30));
    host.send(&ToShim::Stop);
    running.finish(host);
}
