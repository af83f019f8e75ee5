//! More than anybody can read: of replies that no client takes, and of questions to one person.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Lines, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};
use nod_core::request::{Answer, Request};
use nod_core::task::StateName;
use nod_tests::home::LENDS_TOKEN;
use nod_tests::{TestHost, processes, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

const HELLO: &str =
    r#"{"jsonrpc":"2.0","id":0,"method":"hello","params":{"protocol":2,"token":null}}"#;

/// How many questions are a flood, and how many of them come on one connection: fewer than may wait
/// on it, so that it is not the limit of the connection that refuses.
const FLOOD: u64 = 10_000;
const OF_ONE: u64 = 50;

/// How many ask on one card: as many as it can name, but for the first.
const ON_ONE_CARD: u64 = 100;

/// How many questions of one task may come at once; after that it is one a second.
const BURST: u64 = 40;

/// A connection that sends without waiting for what comes back.
struct Wire {
    stream: UnixStream,
    lines: Lines<BufReader<UnixStream>>,
}

impl Wire {
    /// Connects without a word.
    fn silent(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        Self { stream, lines }
    }

    /// Connects for a task, or for a program that is none.
    fn open(socket: &Path, token: Option<&str>) -> Self {
        let mut wire = Self::silent(socket);
        wire.greet(token);
        wire
    }

    fn greet(&mut self, token: Option<&str>) {
        let hello = json!({ "protocol": 2, "token": token });
        assert_eq!(self.call(0, "hello", &hello)["result"]["type"], "welcome");
    }

    fn send(&mut self, id: u64, method: &str, params: &Value) {
        let mut message = json!({ "jsonrpc": "2.0", "id": id, "method": method });
        if !params.is_null() {
            message["params"] = params.clone();
        }
        writeln!(self.stream, "{message}").unwrap();
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    fn call(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.send(id, method, params);
        self.next()
    }

    fn ask(&mut self, id: u64, question: &str, timeout_ms: Option<u64>) {
        let operation = nod_client::new_operation().unwrap();
        let ask = json!({ "operation": operation, "question": question, "detail": null,
                          "timeout_ms": timeout_ms });
        self.send(id, "ask", &ask);
    }
}

/// Submits a task that only lends its token, until the file `go` is there.
fn task_with_token(host: &TestHost) -> (TaskId, String) {
    let id = host.submit(&format!("{LENDS_TOKEN}while [ ! -e go ]; do sleep 0.02; done"));
    (id, host.token())
}

/// Ends the flood, however the test goes on.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What has become of the questions of a flood.
#[derive(Default)]
struct Flood {
    asked: AtomicU64,
    refused: AtomicU64,
    is_over: AtomicBool,
}

impl Flood {
    /// Asks without end, each time something else, which nobody has time to answer.
    fn go_on(&self, socket: &Path, token: &str, source: usize) {
        let mut number = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let mut wire = Wire::open(socket, Some(token));
            for n in 1..=OF_ONE {
                number += 1;
                wire.ask(n, &format!("Go {source}, {number}?"), Some(1));
            }
            for _ in 1..=OF_ONE {
                let said = wire.next();
                let what = match said["error"]["data"]["code"].as_str() {
                    Some("busy") => &self.refused,
                    None => &self.asked,
                    Some(_) => panic!("{said}"),
                };
                what.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn all(&self) -> u64 {
        self.refused() + self.asked.load(Ordering::Relaxed)
    }
}

#[test]
fn of_ten_thousand_questions_few_are_asked_and_another_task_is_answered_meanwhile() {
    let mut host = TestHost::start();
    let (id, token) = task_with_token(&host);
    let (flood, socket) = (Flood::default(), host.socket());
    let began = Instant::now();
    thread::scope(|scope| {
        for source in 0..4 {
            let (flood, socket, token) = (&flood, &socket, &token);
            scope.spawn(move || flood.go_on(socket, token, source));
        }
        let ending = Ending(&flood.is_over);
        until("the flood", || (flood.refused() > 0).then_some(()));
        for _ in 0..5 {
            let before = flood.refused();
            let other = host.submit("nod ask 'Is anybody there?'");
            let request = host.wait_for_request(other);
            host.answer(&request, Answer::Approve);
            assert_eq!(host.wait_for_end(other).state.name(), StateName::Succeeded);
            until("the flood to go on", || (flood.refused() > before).then_some(()));
        }
        until("all of the flood", || (flood.all() >= FLOOD).then_some(()));
        drop(ending);
    });
    let most = BURST + began.elapsed().as_secs() + 1;
    let cards = host.detail(id).requests.len() as u64;
    assert!((1..=most).contains(&cards), "{cards} cards of {} questions", flood.all());
    assert_eq!(flood.asked.into_inner(), cards, "none but these was taken");
    fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
}

#[test]
fn a_hundred_times_the_same_question_is_one_card_whose_answer_each_of_them_hears() {
    let mut host = TestHost::start();
    let (id, token) = task_with_token(&host);
    let mut wires: Vec<_> = (0..ON_ONE_CARD / OF_ONE)
        .map(|_| {
            let mut wire = Wire::open(&host.socket(), Some(&token));
            (1..=OF_ONE).for_each(|n| wire.ask(n, "Go?", None));
            wire
        })
        .collect();
    let request = until("all of them", || {
        let request = host.detail(id).requests.pop()?;
        (1 + request.also_asked_by.len() as u64 == ON_ONE_CARD).then_some(request)
    });
    host.answer(&request, Answer::Approve);
    for wire in &mut wires {
        for _ in 1..=OF_ONE {
            let closure = &wire.next()["result"]["closure"];
            assert_eq!(closure["answer"]["type"], "approve", "{closure}");
        }
    }
    assert_eq!(host.detail(id).requests.len(), 1);
    fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
}

/// Lets this process have as many connections as the system does.
fn raise_limit_of_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

#[test]
fn two_thousand_idle_connections_keep_nobody_out_and_are_served_when_they_speak() {
    raise_limit_of_files();
    let mut host = TestHost::start();
    let (mut greeted, mut silent) = (vec![], vec![]);
    for n in 1..=1_000 {
        greeted.push(Wire::open(&host.socket(), None));
        silent.push(Wire::silent(&host.socket()));
        // Who comes meanwhile is served.
        if n % 100 == 0 {
            let Reply::Snapshot(_) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
        }
    }
    let id = host.submit("nod ask 'Go?'");
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Approve);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    assert_eq!(host.run(&["list"]).code, Some(0));
    for wire in &mut silent {
        wire.greet(None);
    }
    for wire in greeted.iter_mut().chain(&mut silent) {
        let reply = wire.call(7, "groups", &Value::Null);
        assert!(reply["id"] == 7 && reply["result"].is_object(), "{reply}");
    }
}

#[test]
fn a_client_that_never_reads_is_not_written_to_without_end() {
    let host = TestHost::start();
    let mut deaf = Wire::open(&host.socket(), None).stream;
    deaf.set_nonblocking(true).unwrap();
    let call = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"snapshot\"}\n".repeat(100);
    let (mut sent, mut served, limit) = (0, 0, 64 << 20);
    // Until nothing more is taken, however often others are served meanwhile: a host that is only
    // slow takes more. What it does not read is not kept for it without end.
    while sent < limit && served < 100 {
        match deaf.write(call.as_bytes()) {
            Ok(n) => (sent, served) = (sent + n, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                let Reply::Snapshot(_) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
                served += 1;
            }
        }
    }
    assert!(sent < limit, "all of {sent} bytes were taken from who reads nothing");
    let id = host.submit("true");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    drop(deaf);
    let Reply::Snapshot(_) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
}

/// Returns how much memory a process has, in MiB.
fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Sends what a client takes within a moment.
fn send(wire: &mut UnixStream, bytes: &[u8]) {
    wire.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    // What is not taken any more has no room.
    if let Err(error) = wire.write_all(bytes) {
        let expected = [ErrorKind::WouldBlock, ErrorKind::BrokenPipe, ErrorKind::TimedOut];
        assert!(expected.contains(&error.kind()), "{error}");
    }
}

#[test]
fn four_hundred_lines_that_never_end_get_little_memory_and_others_are_served() {
    let host = TestHost::start();
    host.wait_for_end(host.submit("true"));
    let before = memory(host.pid());
    // With a hello and without one: each line is as long as a message may be, but for its end.
    let line = [b"{\"jsonrpc\":\"2.0\",".to_vec(), vec![b' '; 1_000_000]].concat();
    let greeted = [format!("{HELLO}\n").as_bytes(), &line].concat();
    let open: Vec<_> = (0..400)
        .map(|n| {
            let mut wire = UnixStream::connect(host.socket()).unwrap();
            send(&mut wire, if n % 2 == 0 { &line } else { &greeted });
            wire
        })
        .collect();
    let more = memory(host.pid()).saturating_sub(before);
    assert!(more < 130, "{more} MiB for 400 MB that are no message yet");
    // Short messages wait for nobody; long ones wait until those have gone that end none.
    let id = host.submit("true");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let long = host.submit(&format!("true {}", "x".repeat(100_000)));
    assert_eq!(host.wait_for_end(long).state.name(), StateName::Succeeded);
    let more = memory(host.pid()).saturating_sub(before);
    assert!(more < 130, "{more} MiB at the end");
    drop(open);
}

#[test]
fn more_connections_than_there_are_places_for_shut_nobody_out() {
    raise_limit_of_files();
    let host = TestHost::start();
    let mut speaking = host.connect();
    speaking.call(&Call::Snapshot).unwrap();
    let before = memory(host.pid());
    // As many as are taken, and then some; a host that may open fewer files takes fewer.
    let mut silent = Vec::new();
    while silent.len() < 4_200 {
        match UnixStream::connect(host.socket()) {
            Ok(wire) => silent.push(wire),
            Err(error) => panic!("{} connections, then {error}", silent.len()),
        }
    }
    until("a place", || (host.run(&["list"]).code == Some(0)).then_some(()));
    let id = host.submit("true");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let more = memory(host.pid()).saturating_sub(before);
    assert!(more < 200, "{more} MiB for connections that say nothing");
    // Who said hello keeps its place.
    speaking.call(&Call::Snapshot).unwrap();
    drop(silent);
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

#[test]
fn a_line_of_a_hundred_megabytes_with_zero_bytes_is_kept_followed_and_searched() {
    const SIZE: usize = 100_000_000;
    let host = TestHost::start();
    let line = format!(
        "echo begun; while [ ! -e go ]; do sleep 0.02; done; \
         head -c {SIZE} /dev/zero | tr '\\0' x; printf '\\0needle\\0'; echo; echo the end"
    );
    let id = host.submit_with(&["--no-tty"], &["sh", "-c", &line]);
    let word = id.to_string();
    let followed = host.path().join("followed");
    let mut follower = host.nod(&["logs", "-f", &word]);
    let mut follower = follower.stdout(fs::File::create(&followed).unwrap()).spawn().unwrap();
    until("the follower", || fs::metadata(&followed).ok().filter(|it| it.len() == 6));
    fs::write(host.work().join("go"), "").unwrap();
    let ended = host.wait_for_end(id);
    assert_eq!(ended.state.name(), StateName::Succeeded);
    assert!(follower.wait().unwrap().success());
    let log = host.log(id);
    let expected = [b"begun\n", vec![b'x'; SIZE].as_slice(), b"\0needle\0\nthe end\n"].concat();
    assert!(log == expected, "{} bytes", log.len());
    assert!(fs::read(&followed).unwrap() == expected, "what was followed is not what was printed");

    let tail = host.run(&["logs", &word, "--tail", "1"]);
    assert_eq!(tail.out, "the end\n");
    let found = host.run(&["search", "needle"]);
    let counted = (found.code, found.out.lines().count());
    assert_eq!(counted, (Some(0), 1), "{} bytes, {}", found.out.len(), found.err);
    // What is shown of it is short, with the host's memory.
    assert!(found.out.len() < 10_000, "{} bytes", found.out.len());
    let shown = host.run(&["show", &word]);
    assert!(shown.code == Some(0) && shown.out.len() < 10_000, "{} bytes", shown.out.len());
    let peak = processes::peak_kib(host.pid()).unwrap();
    assert!(peak < 128 * 1024, "{peak} KiB");
}

#[test]
fn of_ten_thousand_times_the_same_question_few_cards_are_made_and_each_that_asks_is_told() {
    let mut host = TestHost::start();
    let (id, token) = task_with_token(&host);
    let began = Instant::now();
    let wires = (0..FLOOD / OF_ONE).map(|_| Wire::open(&host.socket(), Some(&token)));
    let mut wires: Vec<_> = wires.collect();
    thread::scope(|scope| {
        let asking: Vec<_> = wires
            .chunks_mut(50)
            .map(|some| {
                scope.spawn(move || {
                    for wire in &mut *some {
                        (1..=OF_ONE).for_each(|n| wire.ask(n, "Go?", None));
                    }
                    let told = some.iter_mut().flat_map(|wire| (0..OF_ONE).map(|_| wire.next()));
                    told.filter(|said| said["result"]["type"] == "closed").count() as u64
                })
            })
            .collect();
        let _first = host.wait_for_request(id);
        for _ in 0..5 {
            let other = host.submit("nod ask 'Is anybody there?'");
            let request = host.wait_for_request(other);
            host.answer(&request, Answer::Approve);
            assert_eq!(host.wait_for_end(other).state.name(), StateName::Succeeded);
        }
        // Whoever was not refused is on a card, and hears what becomes of it.
        until("each that asks to be told", || {
            let open = host.detail(id).requests.into_iter().filter(Request::is_open);
            open.for_each(|request| drop(host.answer(&request, Answer::Approve)));
            asking.iter().all(thread::ScopedJoinHandle::is_finished).then_some(())
        });
        let asked: u64 = asking.into_iter().map(|one| one.join().unwrap()).sum();
        let cards = host.detail(id).requests;
        let on_cards: u64 = cards.iter().map(|card| 1 + card.also_asked_by.len() as u64).sum();
        let most = BURST + began.elapsed().as_secs() + 1;
        assert!((1..=most).contains(&(cards.len() as u64)), "{} cards", cards.len());
        assert_eq!(asked, on_cards);
        assert!(cards.iter().all(|card| card.also_asked_by.len() as u64 <= ON_ONE_CARD));
        assert!(asked < FLOOD, "most are refused where nobody reads so much");
    });
    fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
}
