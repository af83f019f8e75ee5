//! Whatever bytes come over the socket, whoever they are from: each line gets its one reply, the host
//! lives, keeps its size and serves the others.
//!
//! `corpus/protocol/` is sent first: what once did harm belongs there. What is found is written there,
//! as a file to be sent whole.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, CallMessage, Reply};
use nod_core::task::StateName;
use nod_tests::home::LENDS_TOKEN;
use nod_tests::seat::Seat;
use nod_tests::wait::PATIENCE;
use nod_tests::{TestHost, processes};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use serde_json::{Value, json};

/// How much a host may grow, in KiB: what allocators and caches keep, and no more.
const GROWTH: u64 = 24 * 1024;

/// How many inputs of each sort are made up.
const CASES: u32 = 400;

/// The number of the last line on each connection, which no call has.
const LAST: u64 = 987_654_321;

/// Whom a connection speaks for.
#[derive(Debug, Clone)]
enum Speaker {
    /// It says no hello of its own.
    Nobody,
    Program,
    /// A task, with its token.
    Task(String),
    /// A person at a terminal, through a socket behind which the hello was said.
    Person(PathBuf),
}

impl Speaker {
    fn hello(&self) -> String {
        let token = match self {
            Self::Nobody | Self::Person(_) => return String::new(),
            Self::Program => None,
            Self::Task(token) => Some(token),
        };
        let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "hello",
                            "params": { "protocol": 2, "token": token } });
        format!("{hello}\n")
    }

    fn connect(&self, host: &TestHost) -> UnixStream {
        let stream = match self {
            Self::Person(socket) => UnixStream::connect(socket),
            Self::Nobody | Self::Program | Self::Task(_) => UnixStream::connect(host.socket()),
        };
        stream.expect("the host listens")
    }
}

/// What was kept of earlier finds.
struct Corpus {
    /// Lines that are calls.
    valid: Vec<Vec<u8>>,
    /// Lines and whole inputs that are none, or did harm.
    broken: Vec<Vec<u8>>,
}

fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/protocol")
}

fn corpus() -> Corpus {
    let mut corpus = Corpus { valid: vec![], broken: vec![] };
    for file in fs::read_dir(corpus_folder()).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "bin") {
            corpus.broken.push(bytes);
            continue;
        }
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(<[u8]>::to_vec);
        if path.ends_with("valid.jsonl") {
            corpus.valid.extend(lines);
        } else {
            corpus.broken.extend(lines);
        }
    }
    for line in &corpus.valid {
        let read = serde_json::from_slice::<CallMessage>(line);
        read.unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(line)));
    }
    assert!(!corpus.valid.is_empty() && !corpus.broken.is_empty());
    corpus
}

/// How many replies there are to be, by the number that they carry.
#[derive(Debug, Default)]
struct Due {
    at_least: BTreeMap<Option<u64>, usize>,
    /// Calls that last until something happens may be replied to, or not.
    more: BTreeMap<Option<u64>, usize>,
}

impl Due {
    fn to(bytes: &[u8]) -> Self {
        let mut due = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let (id, lasts) = match serde_json::from_slice::<CallMessage>(line) {
                Ok(message) => (Some(message.id), message.call.waits()),
                Err(_) => (readable_id(line), false),
            };
            let of = if lasts { &mut due.more } else { &mut due.at_least };
            *of.entry(id).or_default() += 1;
        }
        due
    }

    fn is_met(&self, heard: &BTreeMap<Option<u64>, usize>) -> bool {
        self.at_least.iter().all(|(id, n)| heard.get(id).is_some_and(|heard| heard >= n))
    }

    fn most(&self, id: Option<u64>) -> usize {
        [&self.at_least, &self.more].into_iter().filter_map(|of| of.get(&id)).sum()
    }
}

/// Returns the number of a call that cannot be read but for that.
fn readable_id(line: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        id: Option<u64>,
    }
    serde_json::from_slice(line).ok().and_then(|Numbered { id }| id)
}

/// Returns the next message, or nothing where the host has hung up. It must not say nothing.
fn next(wire: &mut BufReader<UnixStream>) -> Option<Value> {
    let mut line = Vec::new();
    match wire.read_until(b'\n', &mut line) {
        Ok(0) => None,
        Ok(_) => {
            let message: Value = serde_json::from_slice(&line).expect("it speaks JSON");
            assert_eq!(message["jsonrpc"], "2.0");
            assert!(
                message.get("error").is_some()
                    || message.get("result").is_some()
                    || message.get("method").is_some(),
                "{message}"
            );
            Some(message)
        }
        // It hung up on what it had not read.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
        Err(error) => panic!("the host says nothing to {:?}: {error}", wire.get_ref()),
    }
}

/// Sends bytes for somebody; each line must get its one reply, or nobody's connection its end.
fn send(host: &TestHost, bytes: &[u8], speaker: &Speaker) {
    let stream = speaker.connect(host);
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut wire = BufReader::new(stream);
    let all = [speaker.hello().as_bytes(), bytes, b"\n"].concat();
    match wire.get_mut().write_all(&all) {
        Ok(()) => {}
        // A host that has heard enough hangs up.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => panic!("the host does not read: {error}"),
    }
    if matches!(speaker, Speaker::Nobody) {
        wire.get_ref().shutdown(Shutdown::Write).ok();
        let lines = bytes.split(|byte| *byte == b'\n').count();
        let replies = std::iter::from_fn(|| next(&mut wire));
        let replies = replies.filter(|message| message.get("method").is_none()).count();
        assert!(replies <= lines, "{replies} replies to {lines} lines");
        return;
    }
    let welcome = next(&mut wire).expect("a welcome");
    assert_eq!(welcome["result"]["type"], "welcome", "{welcome}");
    check_replies(&mut wire, &Due::to(bytes));
}

fn check_replies(wire: &mut BufReader<UnixStream>, due: &Due) {
    let mut heard = BTreeMap::<_, usize>::new();
    let last = format!("{{\"jsonrpc\":\"2.0\",\"id\":{LAST},\"method\":\"none\"}}\n");
    let mut is_last = false;
    loop {
        if !is_last && due.is_met(&heard) {
            wire.get_mut().write_all(last.as_bytes()).expect("the connection goes on");
            is_last = true;
        }
        let message = next(wire).unwrap_or_else(|| panic!("it ended: {heard:?} of {due:?}"));
        if message.get("method").is_some() {
            continue;
        }
        let id = message["id"].as_u64();
        if id == Some(LAST) {
            assert!(is_last);
            return;
        }
        let count = heard.entry(id).or_default();
        *count += 1;
        assert!(*count <= due.most(id), "one reply too many: {message}");
    }
}

fn assert_well(host: &TestHost, what: &str) {
    let log = fs::read_to_string(host.data().join("host.log")).unwrap_or_default();
    assert!(!log.contains("panicked"), "{what}: {log}");
    assert_eq!(host.run(&["list", "--limit", "1"]).code, Some(0), "{what}");
}

/// One slip in a line: bytes put in place of a part of it.
type Slip = (prop::sample::Index, prop::sample::Index, usize, Vec<u8>);

fn slips() -> impl Strategy<Value = Slip> {
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

/// Submits a task that lends its token to the test for as long as that goes on.
fn token(host: &TestHost) -> String {
    let id = host.submit(&format!("{LENDS_TOKEN}sleep 6161"));
    host.wait_for_state(id, StateName::Running);
    host.token()
}

#[test]
fn no_bytes_hurt_the_host_or_those_whom_it_serves() {
    let host = TestHost::start();
    hurt_beside_others(&host, || {
        vec![Speaker::Nobody, Speaker::Program, Speaker::Task(token(&host))]
    });
}

/// Sends all sorts of bytes for those who speak; everybody else is served meanwhile and afterwards.
fn hurt_beside_others(host: &TestHost, speakers: impl FnOnce() -> Vec<Speaker>) {
    // The first task, which is the one that the kept lines speak of.
    let id = host.submit("sleep 600");
    host.wait_for_state(id, StateName::Running);
    let speakers = speakers();
    let (ends, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let other = scope.spawn(|| call_meanwhile(host, id, &ends, &answered));
        let ending = Ending(&ends);
        hurt(host, &speakers, &answered);
        drop(ending);
        other.join().expect("every call of the other client was answered");
    });
    let after = host.submit("true");
    assert_eq!(host.wait_for_end(after).state.name(), StateName::Succeeded);
}

#[test]
fn no_bytes_from_a_persons_terminal_hurt_the_host_or_those_whom_it_serves() {
    let (seat, socket) = Seat::with_voice();
    let person = Speaker::Person(socket);
    hurt_beside_others(&seat.host, || {
        // It is a person indeed: what nobody else may say is taken from it.
        let id = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
        let request = seat.host.wait_for_request(id);
        let params = json!({ "operation": "real", "request": request.id,
                             "answer": { "type": "deny", "reason": "no" }, "shown": request.hash });
        let deny = json!({ "jsonrpc": "2.0", "id": 1, "method": "answer", "params": params });
        send(&seat.host, deny.to_string().as_bytes(), &person);
        assert_eq!(seat.host.wait_for_end(id).state.name(), StateName::Denied);
        // What is sent as an answer finds a question.
        let open = seat.host.submit(&format!("{} ask 'Go?'", seat.nod));
        seat.host.wait_for_state(open, StateName::Waiting);
        vec![person]
    });
}

/// Sends what a strategy makes up; what does harm is made as small as it can be, and kept.
fn run(host: &TestHost, what: &str, inputs: &impl Strategy<Value = (Vec<u8>, Speaker)>) {
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..ProptestConfig::default()
    };
    let ran = TestRunner::new(config).run(inputs, |(bytes, speaker)| {
        send(host, &bytes, &speaker);
        prop_assert!(processes::is_alive(host.pid()));
        Ok(())
    });
    match ran {
        Ok(()) => assert_well(host, what),
        Err(TestError::Fail(why, (bytes, speaker))) => {
            let path = corpus_folder().join(format!("found-{}.bin", bytes.len()));
            fs::write(&path, &bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            panic!("{what}, as {speaker:?}: {why}\n{text}\nkept in {}", path.display());
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

/// Sends all sorts of bytes, while another client counts its answered calls.
fn hurt(host: &TestHost, speakers: &[Speaker], answered: &AtomicU64) {
    let Corpus { valid, broken } = corpus();
    for bytes in valid.iter().chain(&broken) {
        for speaker in speakers {
            send(host, bytes, speaker);
        }
        assert_well(host, &String::from_utf8_lossy(bytes));
    }
    let served = || answered.swap(0, Ordering::Relaxed);
    served();
    let before = processes::memory_kib(host.pid());
    let speaker = prop::sample::select(speakers.to_vec());
    let bytes = prop::collection::vec(any::<u8>(), 0..600);
    run(host, "bytes", &(bytes, speaker.clone()));
    let during_bytes = served();
    let slipped =
        prop::collection::vec(slips(), 1..4).prop_map(move |slips| slipped(&valid, slips));
    run(host, "slips", &(slipped, speaker));
    assert!(during_bytes > 0 && served() > 0, "the other client was served all the while");
    let after = processes::memory_kib(host.pid());
    assert!(after < before + GROWTH, "the host grew from {before} to {after} KiB");
}

/// Returns one of the lines with all the slips in it.
fn slipped(valid: &[Vec<u8>], slips: Vec<Slip>) -> Vec<u8> {
    let mut line = Vec::new();
    for (n, (which, at, length, token)) in slips.into_iter().enumerate() {
        if n == 0 {
            line = which.get(valid).clone();
        }
        let start = at.index(line.len() + 1);
        let end = (start + length).min(line.len());
        line.splice(start..end, token);
    }
    line
}
