//! Whatever bytes come over the socket, the host lives, keeps its size and serves the others.
//!
//! `corpus/protocol/` is sent first, line by line: what once did harm belongs there.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};
use nod_core::task::StateName;
use nod_tests::{TestHost, processes};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// How much a host may grow, in KiB: what allocators and caches keep, and no more.
const GROWTH: u64 = 24 * 1024;

/// How many inputs of each sort are made up.
const CASES: u32 = 400;

const HELLO: &[u8] =
    b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"hello\",\"params\":{\"protocol\":2,\"token\":null}}\n";

/// Returns every line that is kept, the valid ones apart.
fn corpus() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/protocol");
    let (mut valid, mut broken) = (vec![], vec![]);
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let lines = fs::read(&path).unwrap();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let kept = if path.ends_with("valid.jsonl") { &mut valid } else { &mut broken };
        kept.extend(lines.map(<[u8]>::to_vec));
    }
    (valid, broken)
}

/// Sends bytes after a hello, or without one, and reads what comes back for a moment.
fn send(host: &TestHost, bytes: &[u8], greets: bool) {
    let mut wire = UnixStream::connect(host.socket()).expect("the host listens");
    wire.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    wire.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let hello = if greets { HELLO } else { b"" };
    // A host that has heard enough hangs up.
    wire.write_all(&[hello, bytes, b"\n"].concat()).ok();
    wire.shutdown(Shutdown::Write).ok();
    let mut said = Vec::new();
    wire.read_to_end(&mut said).ok();
    for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: serde_json::Value = serde_json::from_slice(line).expect("it speaks JSON");
        assert_eq!(message["jsonrpc"], "2.0");
    }
}

fn assert_well(host: &TestHost, what: &str) {
    let log = fs::read_to_string(host.data().join("host.log")).unwrap_or_default();
    assert!(!log.contains("panicked"), "{what}: {log}");
    assert_eq!(host.run(&["list", "--limit", "1"]).code, Some(0), "{what}");
}

/// One slip in a line: bytes put in place of a part of it.
fn slips() -> impl Strategy<Value = (prop::sample::Index, prop::sample::Index, usize, Vec<u8>)> {
    let tokens: [&[u8]; 12] = [
        b"",
        b"\"",
        b"{",
        b"}",
        b"[",
        b"null",
        b"-1",
        b"9223372036854775808",
        b"1e400",
        b"\\u0000",
        b"\xff\xfe",
        b"\"method\":\"answer\",",
    ];
    let tokens: Vec<Vec<u8>> = tokens.iter().map(|token| token.to_vec()).collect();
    (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..12_usize,
        prop::sample::select(tokens),
    )
}

/// Ends the other client's calls, however the test goes on.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Calls the host as another client does, again and again; each call must be answered.
fn call_meanwhile(host: &TestHost, id: TaskId, ends: &AtomicBool, answered: &AtomicU64) {
    let mut kept = host.connect();
    kept.set_timeout(Some(Duration::from_secs(60))).unwrap();
    while !ends.load(Ordering::Relaxed) {
        let mut fresh = host.connect();
        fresh.set_timeout(Some(Duration::from_secs(60))).unwrap();
        for connection in [&mut kept, &mut fresh] {
            let shown = connection.call(&Call::Show { id }).expect("the others are served");
            assert!(matches!(shown, Reply::Task(_)), "{shown:?}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn no_bytes_hurt_the_host_or_those_whom_it_serves() {
    let host = TestHost::start();
    let id = host.submit("sleep 600");
    host.wait_for_state(id, StateName::Running);
    let (ends, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let other = scope.spawn(|| call_meanwhile(&host, id, &ends, &answered));
        let ending = Ending(&ends);
        hurt(&host, &answered);
        drop(ending);
        other.join().expect("every call of the other client was answered");
    });
    let after = host.submit("true");
    assert_eq!(host.wait_for_end(after).state.name(), StateName::Succeeded);
}

/// Sends all sorts of bytes, while another client counts its answered calls.
fn hurt(host: &TestHost, answered: &AtomicU64) {
    let (valid, broken) = corpus();
    assert!(!valid.is_empty() && !broken.is_empty());
    for line in valid.iter().chain(&broken) {
        send(host, line, true);
        send(host, line, false);
        assert_well(host, &String::from_utf8_lossy(line));
    }
    let served = || answered.swap(0, Ordering::Relaxed);
    served();
    let before = processes::memory_kib(host.pid());
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..ProptestConfig::default()
    };
    let rest = |config: &ProptestConfig| TestRunner::new(config.clone());
    let bytes = (prop::collection::vec(any::<u8>(), 0..600), any::<bool>());
    rest(&config)
        .run(&bytes, |(bytes, greets)| {
            send(host, &bytes, greets);
            prop_assert!(processes::is_alive(host.pid()));
            Ok(())
        })
        .unwrap();
    assert_well(host, "bytes");
    let during_bytes = served();
    rest(&config)
        .run(&prop::collection::vec(slips(), 1..4), |slips| {
            let mut line = Vec::new();
            for (n, (which, at, length, token)) in slips.into_iter().enumerate() {
                if n == 0 {
                    line = which.get(&valid).clone();
                }
                let start = at.index(line.len() + 1);
                let end = (start + length).min(line.len());
                line.splice(start..end, token);
            }
            send(host, &line, true);
            prop_assert!(processes::is_alive(host.pid()), "{}", String::from_utf8_lossy(&line));
            Ok(())
        })
        .unwrap();
    assert_well(host, "slips");
    assert!(during_bytes > 0 && served() > 0, "the other client was served all the while");
    let after = processes::memory_kib(host.pid());
    assert!(after < before + GROWTH, "the host grew from {before} to {after} KiB");
}
