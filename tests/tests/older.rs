//! Clients and shims of the version before: a host understands them, and says what they cannot do.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_core::ids::TaskId;
use nod_core::request::Answer;
use nod_core::task::{Outcome, StateName};
use nod_tests::home::{LENDS_TOKEN, program};
use nod_tests::{Home, TestHost, processes, until};
use serde_json::{Value, json};

const NUMBERS: &str = "i=0; while [ ! -e go ]; do i=$((i+1)); echo line $i; sleep 0.01; done; \
                       echo last $i; exit 7";

/// Says lines of the protocol on a socket, and reads a reply to each.
fn converse(host: &Home, lines: &[Value]) -> Vec<Value> {
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut heard = vec![];
    for line in lines {
        writeln!(stream, "{line}").unwrap();
        heard.push(serde_json::from_str(&replies.next().unwrap().unwrap()).unwrap());
    }
    heard
}

/// Has a client of protocol 1 make one call that goes on, and returns what it is told after the welcome
/// until `is_last`.
fn listen(
    host: &Home,
    method: &str,
    params: Value,
    is_last: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let hello = call(0, "hello", json!({ "protocol": 1, "token": null }));
    for line in [hello, call(1, method, params)] {
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    let mut told: Vec<Value> = vec![];
    for line in lines {
        told.push(serde_json::from_str(&line.unwrap()).unwrap());
        match told.as_slice() {
            // Welcomed, and told the first of it: now something happens.
            [_, _] => fs::write(host.work().join(method), "").unwrap(),
            [_, _, .., last] if is_last(last) => break,
            _ => {}
        }
    }
    told.split_off(1)
}

/// A call as a client of protocol 1 wrote it.
fn call(id: u64, method: &str, params: Value) -> Value {
    let mut call = json!({ "jsonrpc": "2.0", "id": id, "method": method });
    if !params.is_null() {
        call["params"] = params;
    }
    call
}

#[test]
fn a_client_of_the_protocol_before_hears_what_goes_on() {
    let host = TestHost::start();
    let line = "while [ ! -e subscribe ]; do sleep 0.02; done; exit 4";
    let ends = host.submit_with(&["--no-tty"], &[line]);
    let told = listen(&host, "subscribe", Value::Null, |event| {
        event["params"]["change"]["task"]["state"]["name"] == "ended"
    });
    assert_eq!(told[0]["id"], 1, "{told:?}");
    let last = told.last().unwrap();
    assert_eq!(
        (&last["method"], &last["params"]["change"]["task"]["id"]),
        (&json!("event"), &json!(ends))
    );
    let line = "echo one; while [ ! -e follow_log ]; do sleep 0.02; done; echo two";
    let follows = host.submit_with(&["--no-tty"], &[line]);
    let params = json!({ "id": follows, "offset": 0 });
    let text = |log: &Value| {
        let data = log["params"]["data"].as_str().unwrap_or_default();
        String::from_utf8(BASE64.decode(data).unwrap()).unwrap()
    };
    // The reply to who follows says that nothing more comes.
    let told = listen(&host, "follow_log", params, |said| said["id"] == 1);
    let (reply, logs) = told.split_last().unwrap();
    assert!(reply["result"].is_object(), "{reply}");
    assert!(logs.iter().all(|log| log["method"] == "log"), "{told:?}");
    assert_eq!(logs.iter().map(text).collect::<String>(), "one\ntwo\n");
}

#[test]
fn a_client_of_the_protocol_before_is_understood() {
    let mut host = TestHost::start();
    let hello = call(0, "hello", json!({ "protocol": 1, "token": null }));
    let submit = json!({
        "operation": "00112233445566778899aabbccddeeff",
        "command": { "type": "shell", "line": "echo out; exit 3" },
        "cwd": host.work(), "environment": { "PATH": "/usr/bin:/bin" }, "extra_environment": {},
        "label": "of old", "session": null, "output": "pipe", "timeout_ms": null,
        "ask_first": false,
    });
    let heard = converse(
        &host,
        &[
            hello.clone(),
            call(1, "submit", submit),
            call(2, "wait", json!({ "id": 1 })),
            call(3, "show", json!({ "id": 1 })),
            call(4, "list", json!({ "states": [], "search": null, "before": null, "limit": 5 })),
            call(5, "read_log", json!({ "id": 1, "offset": 0, "limit": 100 })),
            call(6, "snapshot", Value::Null),
            call(7, "cancel", json!({ "operation": "ff112233445566778899aabbccddeeff", "id": 1 })),
        ],
    );
    assert_eq!(heard[0]["result"]["type"], "welcome");
    assert_eq!(heard[0]["result"]["protocol"], 1);
    assert_eq!(heard[1]["result"]["type"], "submitted");
    assert_eq!(heard[1]["result"]["id"], 1);
    let outcome = json!({ "type": "failed", "failure": { "type": "exit", "code": 3 } });
    assert_eq!(heard[2]["result"]["task"]["state"], json!({ "name": "ended", "outcome": outcome }));
    assert_eq!(heard[3]["result"]["task"]["label"], "of old");
    assert_eq!(heard[3]["result"]["attempts"][0]["exit"], json!({ "type": "code", "code": 3 }));
    assert_eq!(heard[4]["result"]["tasks"][0]["id"], 1);
    assert_eq!(heard[5]["result"]["data"], "b3V0Cg==");
    assert_eq!(heard[6]["result"]["counts"]["failed"], 1);
    assert_eq!(heard[7]["error"]["data"]["code"], "conflict");

    // A question, as a task of then asked it.
    let id = host.submit(&format!("{LENDS_TOKEN}while [ ! -e go ]; do sleep 0.02; done"));
    let hello = call(0, "hello", json!({ "protocol": 1, "token": host.token() }));
    let ask = json!({
        "operation": "aa112233445566778899aabbccddeeff", "question": "Go?", "detail": null,
        "timeout_ms": 600_000,
    });
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    writeln!(stream, "{hello}\n{}", call(1, "ask", ask)).unwrap();
    assert!(replies.next().unwrap().unwrap().contains("welcome"));
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Deny { reason: Some("no".into()) });
    let closed: Value = serde_json::from_str(&replies.next().unwrap().unwrap()).unwrap();
    let answer = &closed["result"]["closure"]["answer"];
    assert_eq!(*answer, json!({ "type": "deny", "reason": "no" }));
    fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));

    let [refused] = converse(&host, &[call(0, "hello", json!({ "protocol": 0, "token": null }))])
        .try_into()
        .unwrap();
    assert_eq!(refused["error"]["data"]["code"], "version");
}

fn check_deadline(host: &TestHost, id: TaskId) {
    let ran = host.run(&["deadline", &id.to_string(), "20m"]);
    assert!(ran.code == Some(1) && ran.err.contains("an older Nod, whose shim cannot"), "{ran:?}");
    assert_eq!((host.task(id).timeout_ms, host.state(id)), (None, StateName::Running));
}

/// Starts a host whose shim is that of the version before; returns where that lies as well.
fn host_of_the_shim_before() -> (TestHost, PathBuf) {
    let home = Home::new();
    let folder = home.path().join("old");
    fs::create_dir(&folder).unwrap();
    let shim = folder.join("nod-shim");
    fs::copy(program("nod-shim-1"), &shim).unwrap();
    (TestHost::start_as(home, &json!({ "shim_protocol": 1, "shim": shim })), shim)
}

#[test]
fn a_task_of_the_shim_before_is_adopted_watched_and_ended() {
    let (mut host, older) = host_of_the_shim_before();
    let printing = host.submit(&format!("printf '\\033]9;4;1;30\\a'; {NUMBERS}"));
    let stubborn = host.submit("trap '' INT; touch trapped; while :; do sleep 0.02; done");
    let late = host.submit_with(&["--timeout", "1s"], &["sleep 6121"]);
    host.wait_for_file("trapped");
    // What no shim has come to is started by the next host, with its own.
    for id in [printing, stubborn, late] {
        until("the process", || host.detail(id).attempts.first()?.process);
    }
    host.kill();
    host.restart();

    assert_eq!(host.state(printing), StateName::Running);
    let shim = processes::parent(host.detail(printing).attempts[0].process.unwrap());
    let exe = fs::read_link(format!("/proc/{shim}/exe")).unwrap();
    assert_eq!(exe, older, "the task is not the older shim's");
    until("progress", || host.task(printing).progress?.percent.filter(|it| *it == 30.0));
    // What it never learnt is refused in so many words, and harms nothing.
    let ran = host.run(&["pause", &printing.to_string()]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("older"), "{ran:?}");
    check_deadline(&host, printing);
    assert_eq!(host.run(&["cancel", &stubborn.to_string()]).code, Some(0));
    assert_eq!(host.wait_for_end(stubborn).state.name(), StateName::Cancelled);
    assert_eq!(host.wait_for_end(late).state.name(), StateName::TimedOut);
    assert!(processes::with_mark("sleep\u{0}6121").is_empty());
    fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(printing).state.words(), "Failed (exit 7)");
    let log = host.plain_log(printing);
    assert!(log.contains("line 1\n") && log.lines().last().unwrap().starts_with("last"), "{log}");
    // New tasks have the new shim.
    let id = host.submit("sleep 0.01");
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn a_task_of_the_shim_before_that_ends_while_no_host_runs_is_settled_by_the_next_one() {
    let (mut host, _) = host_of_the_shim_before();
    let ids = ["exit 7", "kill -9 $$", "true"].map(|end| {
        let line = format!("echo first; while [ ! -e go ]; do sleep 0.02; done; echo last; {end}");
        host.submit_with(&["--no-tty"], &[&line])
    });
    let shims = ids.map(|id| {
        host.wait_for_state(id, StateName::Running);
        processes::parent(host.detail(id).attempts[0].process.unwrap())
    });
    host.kill();
    fs::write(host.work().join("go"), "").unwrap();
    until("the shims to go", || {
        (!shims.iter().any(|shim| processes::is_alive(*shim))).then_some(())
    });
    host.restart();
    let words = ids.map(|id| host.wait_for_end(id).state.words());
    assert_eq!(words, ["Failed (exit 7)", "Failed (SIGKILL)", "Succeeded"]);
    for id in ids {
        assert_eq!(host.plain_log(id), "first\nlast\n");
        let detail = host.detail(id);
        assert_eq!(detail.attempts.len(), 1, "it ran once");
        let attempt = &detail.attempts[0];
        assert!(attempt.exited_at.is_some() && attempt.ended_at.is_some(), "{attempt:?}");
    }
}
