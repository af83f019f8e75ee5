//! An attempt starts once.

use std::fs;
use std::process::Command;

use nod_core::shim::{CLAIM_FILE, EXIT_FILE, LOG_FILE, SHIM_SOCKET, SPEC_FILE, ToShim};
use nod_core::task::ExitStatus;

use super::attempt::Attempt;

fn exit_code(mut command: Command) -> Option<i32> {
    command.stderr(std::process::Stdio::null()).status().unwrap().code()
}

#[test]
fn a_second_shim_disturbs_nothing() {
    let attempt = Attempt::shell("echo once; while ! test -e go; do sleep 0.01; done");
    let second = attempt.command();
    let (running, mut host) = attempt.start();
    host.output(5);
    let claim = fs::read(running.path(CLAIM_FILE)).unwrap();
    assert_eq!(exit_code(second), Some(3));
    assert_eq!(fs::read(running.path(CLAIM_FILE)).unwrap(), claim);
    running.connect().status();
    fs::write(running.path("go"), "").unwrap();
    let finished = running.finish(host);
    assert_eq!(finished.text(), "once\n");
}

#[test]
fn of_many_shims_one_starts() {
    let attempt = Attempt::shell("echo once; sleep 0.2");
    let mut command = attempt.command();
    command.stderr(std::process::Stdio::null());
    let mut shims: Vec<_> = (0..8).map(|_| command.spawn().unwrap()).collect();
    let mut codes: Vec<_> = shims.iter_mut().map(|shim| shim.wait().unwrap().code()).collect();
    codes.sort();
    assert_eq!(codes, [[Some(0)].as_slice(), &[Some(3); 7]].concat());
    assert_eq!(fs::read(attempt.folder().join(LOG_FILE)).unwrap(), b"once\n");
}

#[test]
fn a_claimed_attempt_is_not_started() {
    let attempt = Attempt::shell("echo never");
    let command = attempt.command();
    fs::write(attempt.folder().join(CLAIM_FILE), "a host").unwrap();
    assert_eq!(exit_code(command), Some(3));
    assert_eq!(fs::read(attempt.folder().join(CLAIM_FILE)).unwrap(), b"a host");
    for name in [LOG_FILE, EXIT_FILE, SHIM_SOCKET] {
        assert!(!attempt.folder().join(name).exists(), "{name}");
    }
}

#[test]
fn a_claim_says_whose_it_is() {
    let (running, mut host) = Attempt::of(&["sleep", "77"]).start();
    host.started();
    let claim: serde_json::Value =
        serde_json::from_slice(&fs::read(running.path(CLAIM_FILE)).unwrap()).unwrap();
    assert_eq!(claim["pid"], running.shim.id());
    assert!(claim["start_time"].as_u64().unwrap() > 0);
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(claim["boot_id"], boot_id.trim());
    host.send(&ToShim::Stop);
    running.finish(host);
}

#[test]
fn a_socket_without_a_claim_is_in_nobodys_way() {
    let attempt = Attempt::shell("exit 1");
    drop(std::os::unix::net::UnixListener::bind(attempt.folder().join(SHIM_SOCKET)).unwrap());
    assert_eq!(attempt.run().report.exit, Some(ExitStatus::Code { code: 1 }));
}

#[test]
fn a_folder_or_spec_that_cannot_be_used_claims_nothing() {
    let attempt = Attempt::of(&["true"]);
    let mut newer = attempt.spec.clone();
    newer.protocol += 1;
    for spec in [b"{".to_vec(), serde_json::to_vec(&newer).unwrap()] {
        let command = attempt.command();
        fs::write(attempt.folder().join(SPEC_FILE), spec).unwrap();
        assert_eq!(exit_code(command), Some(2));
    }
    assert!(!attempt.folder().join(CLAIM_FILE).exists());
    let mut command = Command::new(env!("CARGO_BIN_EXE_nod-shim"));
    command.arg(attempt.folder().join("missing"));
    assert_eq!(exit_code(command), Some(2));
    assert_eq!(exit_code(Command::new(env!("CARGO_BIN_EXE_nod-shim"))), Some(2));
}

#[test]
fn a_long_path_to_the_folder_is_no_obstacle() {
    let attempt = Attempt::shell("echo deep");
    let mut deep = attempt.folder().to_owned();
    for _ in 0..4 {
        deep.push("x".repeat(60));
    }
    fs::create_dir_all(&deep).unwrap();
    drop(attempt.command());
    fs::copy(attempt.folder().join(SPEC_FILE), deep.join(SPEC_FILE)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nod-shim"));
    assert_eq!(
        exit_code({
            command.arg(&deep).stdin(std::process::Stdio::null());
            command
        }),
        Some(0)
    );
    assert_eq!(fs::read(deep.join(LOG_FILE)).unwrap(), b"deep\n");
    assert!(deep.join(EXIT_FILE).exists());
}
