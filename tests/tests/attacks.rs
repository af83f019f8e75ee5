//! What must not work: ways in which a task, or another program, could take the person's say.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use nod_client::{ClientError, Connection, Incoming, new_operation};
use nod_core::protocol::{
    Ask, Await, Call, ErrorCode, GiveAnswer, MESSAGE_LIMIT, Reply, SayOutcome,
};
use nod_core::request::{Answer, DETAIL_LIMIT, DIFF_LIMIT, QUESTION_LIMIT, Request};
use nod_core::task::{StateName, TaskSaid};
use nod_tests::home::LENDS_TOKEN;
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

fn refused(said: Result<Reply, ClientError>) -> ErrorCode {
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
    let one = host.submit(&format!("{LENDS_TOKEN}nod ask 'One?'"));
    let (request, token) = (host.wait_for_request(one), host.token());
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
fn what_is_too_long_for_a_card_is_refused_by_the_host_itself() {
    let host = TestHost::start();
    let of = |question: usize, detail: usize, diff: usize| {
        let mut ask = Ask::approval(new_operation().unwrap(), "x".repeat(question));
        ask.detail = Some("x".repeat(detail));
        ask.diff = Some("x".repeat(diff));
        Call::Ask(ask)
    };
    let (question, detail, diff) = (QUESTION_LIMIT, DETAIL_LIMIT, DIFF_LIMIT);
    for long in
        [(question + 1, detail, diff), (question, detail + 1, diff), (question, detail, diff + 1)]
    {
        let said = host.connect().call(&of(long.0, long.1, long.2));
        assert_eq!(refused(said), ErrorCode::BadRequest, "{long:?}");
    }
    let mut asking = host.connect();
    asking.send(&of(question, detail, diff)).unwrap();
    let request = until("the longest question", || {
        let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
        snapshot.requests.into_iter().next()
    });
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let shown = &request.shown;
    assert_eq!(
        (shown.question.len(), length(&shown.detail), length(&shown.diff)),
        (question, detail, diff)
    );
}

#[test]
fn a_task_does_not_withdraw_what_a_program_asks() {
    let host = TestHost::start();
    let id = host.submit(&format!("{LENDS_TOKEN}while [ ! -e go ]; do sleep 0.02; done"));
    let token = host.token();
    let operation = new_operation().unwrap();
    let mut asking = host.connect();
    asking.send(&Call::Ask(Ask::approval(operation.clone(), "May I?"))).unwrap();
    let open = || {
        let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
        snapshot.requests.len()
    };
    until("the question", || (open() == 1).then_some(()));
    let withdraw = Call::Withdraw { operation };
    let mut as_task = Connection::open(&host.socket(), Some(token)).unwrap();
    assert_eq!(refused(as_task.call(&withdraw)), ErrorCode::BadRequest);
    assert_eq!(open(), 1);
    // The program takes it back, on whichever connection.
    host.call(&withdraw);
    assert_eq!(open(), 0);
    let Ok(Incoming::Reply(reply)) = asking.receive() else { panic!("no reply") };
    let Reply::Closed { closure, .. } = *reply else { panic!("{reply:?}") };
    assert_eq!(closure.words(), "withdrawn, the asker no longer asks");
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
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

#[test]
fn a_task_cannot_approve_its_own_question_by_nod_approve() {
    let mut host = TestHost::start();
    let line = "nod ask 'Go?' > answer & while [ ! -e asked ]; do sleep 0.02; done; \
                nod approve $NOD_TASK_ID > said 2>&1; echo $? > code.new; mv code.new code; wait";
    let id = host.submit(line);
    let request = host.wait_for_request(id);
    std::fs::write(host.work().join("asked"), "").unwrap();
    let code = until("its end", || std::fs::read_to_string(host.work().join("code")).ok());
    let said = std::fs::read_to_string(host.work().join("said")).unwrap();
    assert_eq!(code, "77\n", "{said}");
    assert!(host.request(id, request.id).is_open(), "{said}");
    host.answer(&request, Answer::Deny { reason: None });
    host.wait_for_end(id);
    let answer = std::fs::read_to_string(host.work().join("answer")).unwrap();
    assert!(answer.contains("denied"), "{answer}");
}
