//! What must not work: ways in which a task, or another program, could take the person's say.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use nod_client::{ClientError, Connection, new_operation};
use nod_core::protocol::{
    Ask, Await, Call, ErrorCode, GiveAnswer, ListQuery, MESSAGE_LIMIT, SayOutcome,
};
use nod_core::request::{Answer, Request};
use nod_core::task::{StateName, TaskSaid};
use nod_tests::{TestHost, until};

fn approval(request: &Request) -> GiveAnswer {
    GiveAnswer {
        operation: new_operation().unwrap(),
        request: request.id,
        answer: Answer::Approve,
        comment: None,
        shown: request.hash.clone(),
    }
}

fn refused(said: Result<nod_core::protocol::Reply, ClientError>) -> ErrorCode {
    match said {
        Err(ClientError::Refused(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

/// A program for tasks: sends a raw approval over the socket, with or without the token.
const SEND: &str = r#"
import json, os, socket, sys
token = os.environ.get("NOD_TOKEN") if len(sys.argv) < 5 else sys.argv[4]
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def say(id, method, params):
    s.sendall((json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n").encode())
say(1, "hello", {"protocol": 1, "token": token or None})
say(2, "answer", {"operation": os.urandom(8).hex(), "request": int(sys.argv[2]),
                  "answer": {"type": "approve"}, "shown": sys.argv[3]})
f = s.makefile()
f.readline()
print(f.readline().strip())
"#;

#[test]
fn a_task_cannot_answer_for_itself_however_it_detaches() {
    let mut host = TestHost::start();
    std::fs::write(host.work().join("send.py"), SEND).unwrap();
    let gated = host.submit_with(&["--ask-first"], &["touch ran"]);
    let request = host.wait_for_request(gated);
    let send =
        format!("python3 send.py {} {} {}", host.socket().display(), request.id, request.hash);
    let ways = [
        send.clone(),
        format!("setsid {send}"),
        format!("env -i PATH=\"$PATH\" {send}"),
        format!(
            "(setsid sh -c '{send} > out.x; mv out.x out.d' &) ; while [ ! -e out.d ]; do sleep 0.02; done; cat out.d"
        ),
        format!("script -qec \"env -i PATH=\\\"$PATH\\\" {send}\" /dev/null"),
        format!(
            "python3 -c 'import pty; pty.spawn([\"sh\", \"-c\", \"env -i PATH=\\\"$PATH\\\" {send}\"])'"
        ),
    ];
    for (n, way) in ways.iter().enumerate() {
        let id = host.submit(&format!("{way} > said-{n} 2>&1"));
        host.wait_for_end(id);
        let said = std::fs::read_to_string(host.work().join(format!("said-{n}"))).unwrap();
        assert!(said.contains("forbidden"), "{way}: {said}");
        assert!(host.request(gated, request.id).is_open(), "{way}");
    }
    assert!(!host.work().join("ran").exists());
    host.answer(&request, Answer::Approve);
    host.wait_for_end(gated);
}

#[test]
fn a_token_answers_nothing_and_acts_for_no_other_task() {
    let mut host = TestHost::start();
    let one =
        host.submit("printf %s \"$NOD_TOKEN\" > token.new; mv token.new token; nod ask 'One?'");
    let request = host.wait_for_request(one);
    let token = std::fs::read_to_string(host.work().join("token")).unwrap();
    let gated = host.submit_with(&["--ask-first"], &["true"]);
    let gate = host.wait_for_request(gated);
    let mut as_task = Connection::open(&host.socket(), Some(token.clone())).unwrap();
    for request in [&request, &gate] {
        assert_eq!(refused(as_task.call(&Call::Answer(approval(request)))), ErrorCode::Forbidden);
        let as_peer = host.connect().call(&Call::Answer(approval(request)));
        assert_eq!(refused(as_peer), ErrorCode::Forbidden);
    }
    let other = Call::Cancel { operation: new_operation().unwrap(), id: gated };
    assert_eq!(refused(as_task.call(&other)), ErrorCode::Forbidden);
    host.answer(&request, Answer::Approve);
    host.wait_for_end(one);
    // It died with the task.
    let late = Connection::open(&host.socket(), Some(token.clone())).unwrap().call(&Call::Snapshot);
    assert_eq!(refused(late), ErrorCode::Forbidden);
    let ask = Call::Ask(Ask::approval(new_operation().unwrap(), "Still me?"));
    assert_eq!(refused(as_task.call(&ask)), ErrorCode::NotFound);
    assert!(host.tasks().iter().all(|task| !format!("{task:?}").contains(&token)));
    let database = std::fs::read(host.data().join("nod.db")).unwrap();
    let wal = std::fs::read(host.data().join("nod.db-wal")).unwrap_or_default();
    let log = std::fs::read(host.data().join("host.log")).unwrap_or_default();
    for kept in [database, wal, log] {
        assert!(!kept.windows(token.len()).any(|part| part == token.as_bytes()));
    }
}

#[test]
fn a_connection_of_an_earlier_try_does_not_speak_for_the_next() {
    let host = TestHost::start();
    let line =
        "printf %s \"$NOD_TOKEN\" > token.new; mv token.new token-$NOD_ATTEMPT; nod await go";
    let id = host.submit(line);
    let token = |attempt: u32| {
        let path = host.work().join(format!("token-{attempt}"));
        until("a token", || std::fs::read_to_string(&path).ok())
    };
    let mut first = Connection::open(&host.socket(), Some(token(1))).unwrap();
    first.call(&Call::IsCancelled).unwrap();
    let go = ["notify", &id.to_string(), "go"];
    assert_eq!(host.run(&go).code, Some(0));
    host.wait_for_end(id);
    assert_eq!(host.run(&["retry", &id.to_string()]).code, Some(0));
    let mut second = Connection::open(&host.socket(), Some(token(2))).unwrap();
    let operation = || new_operation().unwrap();
    let result = TaskSaid::Result { data: serde_json::json!({"forged": 1}), message: None };
    let calls = [
        Call::SayOutcome(SayOutcome { operation: operation(), said: result }),
        Call::Ask(Ask::approval(operation(), "Asked by the first try?")),
        Call::IsCancelled,
        Call::Cancel { operation: operation(), id },
        Call::Submit(Box::new(host.shell_submit("true"))),
    ];
    for call in &calls {
        assert_eq!(refused(first.call(call)), ErrorCode::Forbidden, "{call:?}");
    }
    second.call(&Call::IsCancelled).unwrap();
    assert_eq!(host.detail(id).requests, []);
    assert_eq!(host.run(&go).code, Some(0));
    assert_eq!(host.wait_for_end(id).condition.said, None);
}

#[test]
fn who_waits_in_a_try_that_is_over_takes_nothing_from_the_next() {
    let host = TestHost::start();
    let line = "printf %s \"$NOD_TOKEN\" > token.new; mv token.new token-$NOD_ATTEMPT; \
                nod await go-$NOD_ATTEMPT; nod await data > got; [ $NOD_ATTEMPT = 2 ]";
    let id = host.submit_with(&["--retries", "1", "--backoff", "1s"], &[line]);
    let token = host.work().join("token-1");
    let token = until("a token", || std::fs::read_to_string(&token).ok());
    let mut first = Connection::open(&host.socket(), Some(token)).unwrap();
    let wait = Call::Await(Await {
        operation: new_operation().unwrap(),
        key: "later".into(),
        timeout_ms: None,
        resume_at: None,
    });
    let waiting = std::thread::spawn(move || first.call(&wait).map(drop));
    let notify = |key: &str, data: &str| {
        assert_eq!(host.run(&["notify", &id.to_string(), key, data]).code, Some(0));
    };
    notify("go-1", "1");
    notify("data", "1");
    // It is told at once that nothing comes any more.
    waiting.join().unwrap().unwrap_err();
    notify("later", "2");
    notify("go-2", "1");
    notify("data", "2");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let got = std::fs::read_to_string(host.work().join("got")).unwrap();
    assert!(got.contains('2'), "{got}");
}

#[test]
fn a_replayed_a_forged_and_a_reordered_answer_change_nothing() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'One?' && nod ask 'Two?' --timeout 1h");
    let one = host.wait_for_request(id);
    let click = approval(&one);
    host.person(&Call::Answer(click.clone())).unwrap();
    let two = until("the second", || host.detail(id).requests.into_iter().find(Request::is_open));
    // Replayed: the first result. Aimed at the next: refused. Forged hashes: refused.
    host.person(&Call::Answer(click)).unwrap();
    assert!(host.request(id, two.id).is_open());
    let mut swapped = approval(&two);
    swapped.shown = one.hash.clone();
    let error = host.person(&Call::Answer(swapped)).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict, "{error}");
    let mut old = approval(&one);
    old.shown = two.hash.clone();
    let error = host.person(&Call::Answer(old)).unwrap_err();
    assert!(error.message.contains("approved by a person in the window at 20"), "{error}");
    host.answer(&two, Answer::Deny { reason: None });
    host.wait_for_end(id);
}

#[test]
fn a_text_that_imitates_is_kept_as_it_is_and_one_too_long_is_refused() {
    let mut host = TestHost::start();
    let evil =
        "Deploy?\u{1b}[2J\u{202e}dlo\nApproved by a person in the window\n\u{1b}]52;c;eA==\u{7}";
    std::fs::write(host.work().join("evil"), evil).unwrap();
    let id = host.submit("nod ask \"$(cat evil)\" --detail-file evil");
    let request = host.wait_for_request(id);
    assert_eq!(request.shown.detail.as_deref(), Some(evil));
    for words in [&["show", &id.to_string()][..], &["audit"][..]] {
        let shown = host.run(words).out;
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{shown}");
        assert!(!shown.lines().any(|line| line.starts_with("Approved by")), "{shown}");
    }
    host.answer(&request, Answer::Deny { reason: None });
    host.wait_for_end(id);
    let long = Ask::approval(new_operation().unwrap(), "x".repeat(MESSAGE_LIMIT / 2));
    assert_eq!(refused(host.connect().call(&Call::Ask(long))), ErrorCode::BadRequest);
    let id = host.submit("head -c 1000000 /dev/zero | tr '\\0' x > big; nod ask Go --detail-file big; echo $? > code");
    host.wait_for_end(id);
    assert_eq!(std::fs::read_to_string(host.work().join("code")).unwrap(), "2\n");
}

#[test]
fn ten_thousand_questions_are_folded_and_refused_and_the_host_answers_others() {
    let host = TestHost::start();
    let id = host.submit("printf %s \"$NOD_TOKEN\" > token.new; mv token.new token; while [ ! -e go ]; do sleep 0.02; done");
    until("the token", || host.work().join("token").exists().then_some(()));
    let token = std::fs::read_to_string(host.work().join("token")).unwrap();
    let mut wire = UnixStream::connect(host.socket()).unwrap();
    let mut lines = BufReader::new(wire.try_clone().unwrap()).lines();
    let hello = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"hello","params":{{"protocol":1,"token":"{token}"}}}}"#
    );
    writeln!(wire, "{hello}").unwrap();
    lines.next().unwrap().unwrap();
    let flood = std::thread::spawn(move || {
        for n in 1..=10_000 {
            // Half of them are the same question once more.
            let word = if n % 2 == 0 { 0 } else { n };
            let ask = format!(
                r#"{{"jsonrpc":"2.0","id":{n},"method":"ask","params":{{"operation":"flood-{n}","question":"Go {word}?","detail":null,"timeout_ms":null}}}}"#
            );
            writeln!(wire, "{ask}").unwrap();
        }
        wire
    });
    // The replies are read, or the flood would stop by itself: all but those that wait are refusals.
    let mut refusals = 0;
    while refusals < 9_936 {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains("busy") || line.contains("conflict"), "{line}");
        refusals += 1;
    }
    let wire = flood.join().unwrap();
    let open = host.detail(id).requests.into_iter().filter(Request::is_open).count();
    assert!((1..=20).contains(&open), "{open} cards");
    let other = host.submit("true");
    host.wait_for_end(other);
    assert_eq!(host.run(&["list"]).code, Some(0));
    drop((wire, lines));
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    assert!(host.detail(id).requests.iter().all(|request| !request.is_open()));
}

#[test]
fn a_thousand_idle_connections_and_a_client_that_never_reads_slow_nobody() {
    let host = TestHost::start();
    let idle: Vec<_> = (0..1_000).map(|_| UnixStream::connect(host.socket()).unwrap()).collect();
    let mut deaf = UnixStream::connect(host.socket()).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let hello = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"hello\",\"params\":{\"protocol\":1,\"token\":null}}\n";
    deaf.write_all(hello.as_bytes()).unwrap();
    let call = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"snapshot\"}\n".repeat(100);
    // Until nothing more is taken: what it does not read is not kept for it without end.
    let mut sent = 0;
    while sent < 64 << 20 {
        match deaf.write(call.as_bytes()) {
            Ok(n) => sent += n,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    let id = host.submit("true");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    assert_eq!(host.run(&["list"]).code, Some(0));
    drop((idle, deaf));
    let Ok(_) = host.connect().call(&Call::List(ListQuery::default())) else { panic!("no reply") };
}

#[test]
fn nonsense_on_the_wire_hurts_nobody() {
    let host = TestHost::start();
    let deep = "[".repeat(100_000);
    let long = "x".repeat(MESSAGE_LIMIT + 10);
    let corpus: Vec<Vec<u8>> = [
        "", "{}", "null", "[]", "{\"jsonrpc\":\"2.0\"}", "\u{0}", &deep, &long,
        "{\"jsonrpc\":\"2.0\",\"id\":-1,\"method\":\"hello\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"answer\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"protocol\":4294967296,\"token\":null}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1e999,\"method\":\"snapshot\"}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([vec![0xff, 0xfe, 0x80], vec![b'"'; 1_000]])
    .collect();
    for nonsense in &corpus {
        let mut wire = UnixStream::connect(host.socket()).unwrap();
        wire.write_all(nonsense).and_then(|()| wire.write_all(b"\n")).ok();
        wire.shutdown(std::net::Shutdown::Write).ok();
        for line in BufReader::new(wire).lines().map_while(Result::ok) {
            let said: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert!(said["error"].is_object(), "{line}");
        }
    }
    let id = host.submit("true");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
}
