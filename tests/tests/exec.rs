//! Programs that connect, or ask, and become another program: whom the host takes them for.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;

use nod_client::new_operation;
use nod_core::access::Actor;
use nod_core::protocol::{Call, Reply};
use nod_core::request::{Answer, Origin, Request};
use nod_tests::{TestHost, until};
use serde_json::{Value, json};

/// Connects and says hello, then becomes a shell that has the connection as its descriptor 3, and
/// writes one line after the other itself.
const BECOME: &str = r#"
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
token = os.environ.get("NOD_TOKEN")
hello = {"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"protocol": 2, "token": token}}
s.sendall((json.dumps(hello) + "\n").encode())
s.set_inheritable(True)
if s.fileno() != 3:
    os.dup2(s.fileno(), 3)
line = '''
for n in 2 3 4; do
    while [ ! -e line-$n ]; do sleep 0.02; done
    IFS= read -r line < line-$n
    printf '%s\\n' "$line" >&3
done
while IFS= read -r line; do printf '%s\\n' "$line" >> replies; done <&3
'''
os.execv("/bin/sh", ["sh", "-c", line])
"#;

fn line(host: &TestHost, number: u64, method: &str, params: &Value) {
    let line = json!({ "jsonrpc": "2.0", "id": number, "method": method, "params": params });
    let (new, path) = (host.work().join("line.new"), host.work().join(format!("line-{number}")));
    fs::write(&new, format!("{line}\n")).unwrap();
    fs::rename(new, path).unwrap();
}

fn ask(question: &str) -> Value {
    let operation = new_operation().unwrap();
    json!({ "operation": operation, "question": question, "detail": null, "timeout_ms": null })
}

fn approve(request: &Request) -> Value {
    let operation = new_operation().unwrap();
    json!({ "operation": operation, "request": request.id, "answer": { "type": "approve" },
            "comment": null, "shown": request.hash })
}

fn open(host: &TestHost) -> Vec<Request> {
    let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
    snapshot.requests
}

fn replies(host: &TestHost) -> Vec<Value> {
    let text = fs::read_to_string(host.work().join("replies")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn reply(host: &TestHost, number: u64) -> Value {
    until("a reply", || replies(host).into_iter().find(|reply| reply["id"] == number))
}

#[test]
fn a_program_that_becomes_another_is_named_as_what_it_is_and_is_no_person() {
    let mut host = TestHost::start();
    fs::write(host.work().join("become.py"), BECOME).unwrap();
    let mut becoming = host.command("python3");
    let mut becoming = becoming.arg("become.py").arg(host.socket()).spawn().unwrap();
    line(&host, 2, "ask", &ask("May I?"));
    let request = until("a question", || open(&host).pop());
    let pid = becoming.id();
    // Not as what it was when it connected, or said hello.
    assert_eq!(request.shown.task_name, format!("sh (process {pid})"));
    assert_eq!(request.shown.argv[..2], ["sh", "-c"]);
    assert_eq!((request.origin, request.task), (Origin::Program, None));
    assert!(matches!(request.asked_by, Some(Actor::Peer { pid: by, .. }) if by == pid));
    line(&host, 3, "answer", &approve(&request));
    let hello = json!({ "protocol": 2, "token": null, "terminal": true });
    line(&host, 4, "hello", &hello);
    assert_eq!(reply(&host, 3)["error"]["data"]["code"], "forbidden", "{:?}", replies(&host));
    assert!(reply(&host, 4)["error"].is_object());
    assert!(open(&host)[0].is_open());
    host.answer(&request, Answer::Deny { reason: None });
    assert_eq!(reply(&host, 2)["result"]["closure"]["answer"]["type"], "deny");
    becoming.kill().unwrap();
    becoming.wait().unwrap();
}

#[test]
fn a_task_that_becomes_another_program_speaks_for_itself_alone() {
    let mut host = TestHost::start();
    fs::write(host.work().join("become.py"), BECOME).unwrap();
    let other = host.submit_with(&["--ask-first"], &["touch ran"]);
    let gate = host.wait_for_request(other);
    let id = host.submit(&format!("exec python3 become.py {}", host.socket().display()));
    line(&host, 2, "ask", &ask("May I?"));
    let own = host.wait_for_request(id);
    // What is shown is what was submitted, whatever its process has become.
    assert_eq!(own.shown.argv.last().map(|word| word.starts_with("exec python3")), Some(true));
    assert!(matches!(own.asked_by, Some(Actor::Task { id: by, .. }) if by == id));
    line(&host, 3, "answer", &approve(&own));
    line(&host, 4, "answer", &approve(&gate));
    for number in [3, 4] {
        assert_eq!(reply(&host, number)["error"]["data"]["code"], "forbidden");
    }
    assert!(host.request(id, own.id).is_open() && host.request(other, gate.id).is_open());
    host.answer(&own, Answer::Approve);
    host.answer(&gate, Answer::Deny { reason: None });
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    host.wait_for_end(id);
    host.wait_for_end(other);
    assert!(!host.work().join("ran").exists());
}

#[test]
fn the_same_process_as_another_program_has_a_card_of_its_own() {
    let mut host = TestHost::start();
    let mut asking = host.command("sh");
    let again = "$1 ask 'May I?' & wait; exit 0";
    let line =
        "$1 ask 'May I?' & while [ ! -e asked ]; do sleep 0.02; done; exec sh -c \"$2\" sh $1";
    asking.args(["-c", line, "sh"]).arg(nod_tests::home::program("nod")).arg(again);
    let mut asking = asking.spawn().unwrap();
    let first = until("the first", || open(&host).pop());
    fs::write(host.work().join("asked"), "").unwrap();
    let both = until("the second", || Some(open(&host)).filter(|open| open.len() == 2));
    assert!(both.iter().all(|request| request.also_asked_by.is_empty()), "{both:?}");
    let kept = both.iter().find(|request| request.id == first.id).unwrap();
    assert_eq!(kept.shown, first.shown, "it says what asked, not what that has become");
    for request in &both {
        host.answer(request, Answer::Deny { reason: None });
    }
    asking.wait().unwrap();
}
