//! More than anybody can read: of replies that no client takes, and of questions to one person.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nod_core::task::StateName;
use nod_tests::TestHost;

const HELLO: &str =
    r#"{"jsonrpc":"2.0","id":0,"method":"hello","params":{"protocol":2,"token":null}}"#;

/// Returns how much memory a process has, in MiB.
fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_hundred_clients_that_never_read_get_little_memory_and_slow_nobody_for_long() {
    let host = TestHost::start();
    let long = host.submit("head -c 2000000 /dev/zero | tr '\\0' x");
    host.wait_for_end(long);
    let before = memory(host.pid());
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"read_log","params":{"id":1,"offset":0,"limit":700000}}"#;
    let calls = format!("{HELLO}\n{}", format!("{call}\n").repeat(200));
    let deaf: Vec<_> = (0..100)
        .map(|_| {
            let mut deaf = UnixStream::connect(host.socket()).unwrap();
            deaf.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
            // What is not taken any more is not carried out either.
            if let Err(error) = deaf.write_all(calls.as_bytes()) {
                let expected = [ErrorKind::WouldBlock, ErrorKind::BrokenPipe, ErrorKind::TimedOut];
                assert!(expected.contains(&error.kind()), "{error}");
            }
            deaf
        })
        .collect();
    // The others are served, also with what is long.
    let id = host.submit("true");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let logs = host.run(&["logs", &long.to_string()]);
    assert_eq!((logs.code, logs.out.len()), (Some(0), 2_000_000));
    let more = memory(host.pid()).saturating_sub(before);
    assert!(more < 300, "{more} MiB for clients that read nothing");
    drop(deaf);
}
