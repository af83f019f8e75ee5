//! Who asks: no source takes the place of the others, and nobody takes another's answer.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use nod_client::{Connection, new_operation};
use nod_core::protocol::{Ask, Call, Reply};
use nod_core::request::{Answer, Closure, Request};
use nod_core::task::StateName;
use nod_tests::processes::peak_kib;
use nod_tests::{TestHost, until};
use serde_json::{Value, json};

fn open(host: &TestHost) -> Vec<Request> {
    let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
    snapshot.requests.into_iter().filter(Request::is_open).collect()
}

/// A program for a shell's line, as a command of an agent of its own.
fn agent(host: &TestHost, line: &str) -> Child {
    let mut command = host.command("setsid");
    let nod = host.nod(&[]).get_program().to_owned();
    command.args(["sh", "-c", "sh -c \"$0\"; exit $?"]).arg(line);
    command.env("NOD", nod).stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_task_and_all_that_descend_from_it_have_as_many_cards_as_one() {
    let host = TestHost::start();
    let ask = "for n in 1 2 3 4 5 6 7 8 9 10; do \
               (nod ask \"$NOD_TASK_ID $n?\" > /dev/null 2>&1; touch ended-$NOD_TASK_ID-$n) & done; wait";
    std::fs::write(host.work().join("ask.sh"), ask).unwrap();
    // Children, and a grandchild.
    let line = "nod submit -- sh ask.sh; nod submit -- sh ask.sh; \
                nod submit -- sh -c 'nod submit -- sh ask.sh; :'; while [ ! -e go ]; do sleep 0.02; done";
    let first = host.submit(line);
    let refused = || {
        let names = std::fs::read_dir(host.work()).unwrap();
        names
            .filter(|it| it.as_ref().unwrap().file_name().to_string_lossy().starts_with("ended-"))
            .count()
    };
    until("all of them to have asked", || (open(&host).len() + refused() == 30).then_some(()));
    assert_eq!(refused(), 10);
    // Another task is heard.
    let other = host.submit("nod ask 'Another?'");
    assert!(host.wait_for_request(other).is_open());
    assert_eq!(host.run(&["cancel", "--all"]).code, Some(0));
    host.wait_for_end(first);
}

#[test]
fn nobody_but_who_asked_gets_a_programs_answer() {
    let mut host = TestHost::start();
    let asker = agent(&host, "\"$NOD\" ask 'Which?' --text; :");
    let request = until("the question", || open(&host).pop());
    let again = format!("\"$NOD\" ask --request {}; exit $?", request.id);
    let other = agent(&host, &again).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(!other.status.success() && said.contains("another program asked this"), "{other:?}");
    let of_test = host.run(&["ask", "--request", &request.id.to_string()]);
    assert!(of_test.err.contains("another program asked this"), "{of_test:?}");
    // Neither does another host forget who it was.
    host.kill();
    host.restart();
    let other = agent(&host, &again).wait_with_output().unwrap();
    assert!(!other.status.success(), "{other:?}");
    host.answer(&request, Answer::Text { text: "hunter2".into() });
    let heard = asker.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&heard.stdout).contains("hunter2"), "{heard:?}");
}

#[test]
fn a_program_that_goes_on_gets_its_answer_in_another_process_of_its_own() {
    let mut host = TestHost::start();
    // Each command in a session of its own, as agents run them.
    let line = "setsid -w sh -c '\"$NOD\" ask Which? --resume-after 0s; :' > open; \
                while [ ! -e go ]; do sleep 0.02; done; \
                setsid -w sh -c '\"$NOD\" ask --request 1; :'";
    let asker = agent(&host, line);
    let request = until("the question", || open(&host).pop());
    host.answer(&request, Answer::Approve);
    std::fs::write(host.work().join("go"), "").unwrap();
    let heard = asker.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&heard.stdout).contains("approved"), "{heard:?}");
}

#[test]
fn questions_that_nobody_waits_for_keep_no_program_from_asking() {
    let host = TestHost::start();
    let ask = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do \
               \"$NOD\" ask \"$$ $n?\" --resume-after 0s > /dev/null; done";
    let askers: Vec<_> = (0..6).map(|_| agent(&host, ask)).collect();
    let ended = askers.into_iter().map(|asker| asker.wait_with_output().unwrap());
    for ended in ended.collect::<Vec<_>>() {
        assert_eq!(String::from_utf8_lossy(&ended.stderr).matches("busy").count(), 0, "{ended:?}");
    }
    assert_eq!(open(&host).len(), 100);
    let ran = host.run(&["ask", "And me?", "--resume-after", "0s"]);
    assert!(ran.code == Some(75) && ran.out.contains("open"), "{ran:?}");
    // The oldest of who left the most made room, and the audit says why.
    assert_eq!(open(&host).len(), 100);
    assert!(open(&host).iter().any(|request| request.shown.question == "And me?"));
    assert!(host.run(&["audit"]).out.contains("too many such questions are open"));
}

/// Sends a question with each schema on one connection, and returns the replies that come at once.
fn ask_forms(host: &TestHost, schemas: &[Value], replies: usize) -> (UnixStream, Vec<Value>) {
    let mut wire = UnixStream::connect(host.socket()).unwrap();
    let mut lines = BufReader::new(wire.try_clone().unwrap()).lines();
    let hello = json!({
        "jsonrpc": "2.0", "id": 0, "method": "hello", "params": { "protocol": 1, "token": null },
    });
    writeln!(wire, "{hello}").unwrap();
    lines.next().unwrap().unwrap();
    for (n, schema) in schemas.iter().enumerate() {
        let ask = Ask {
            wants: nod_core::request::Wants::Form { schema: schema.clone(), initial: Value::Null },
            ..Ask::approval(new_operation().unwrap(), format!("Form {n}?"))
        };
        let ask = json!({ "jsonrpc": "2.0", "id": n + 1, "method": "ask", "params": ask });
        writeln!(wire, "{ask}").unwrap();
    }
    let replies = (0..replies).map(|_| lines.next().unwrap().unwrap());
    let replies = replies.map(|line| serde_json::from_str(&line).unwrap()).collect();
    (wire, replies)
}

#[test]
fn schemas_of_forms_take_little_memory_whoever_sends_how_many() {
    let host = TestHost::start();
    assert_eq!(host.run(&["list"]).code, Some(0));
    let before = peak_kib(host.pid()).unwrap();
    let many = |count: usize, pattern: &str, of: usize| {
        let properties: serde_json::Map<_, _> = (0..count)
            .map(|n| (format!("p{n}"), json!({ "pattern": format!("{pattern}{of}k{n}") })))
            .collect();
        json!({ "type": "object", "properties": properties })
    };
    let bombs: Vec<_> = (0..5).map(|of| many(700, r"(?i)\p{L}{15}", of)).collect();
    let (_wire, refused) = ask_forms(&host, &bombs, 5);
    for reply in refused {
        assert!(
            reply["error"]["message"].as_str().unwrap().contains("too many patterns"),
            "{reply}"
        );
    }
    // As much as is allowed, and all of it in the open questions of one program.
    let forms: Vec<_> = (0..20).map(|of| many(60, "^[a-z0-9-]{1,40}", of)).collect();
    let (_forms, _) = ask_forms(&host, &forms, 0);
    until("the questions", || (open(&host).len() == 20).then_some(()));
    let after = peak_kib(host.pid()).unwrap();
    assert!(after < 8 * before, "{before} KiB at first, {after} KiB at the most");
    // One too many is not even compiled.
    let (_more, refused) = ask_forms(&host, &[many(60, "x", 21)], 1);
    assert!(
        refused[0]["error"]["message"].as_str().unwrap().contains("20 questions"),
        "{refused:?}"
    );
}

#[test]
fn a_task_withdraws_its_own_question_and_nobody_elses() {
    let host = TestHost::start();
    let line =
        "printf %s \"$NOD_TOKEN\" > $0.new; mv $0.new $0; while [ ! -e go ]; do sleep 0.02; done";
    let ids = ["one", "two"].map(|name| host.submit_with(&[], &["sh", "-c", line, name]));
    let open_as = |name: &str| {
        let path = host.work().join(name);
        let token = until("a token", || std::fs::read_to_string(&path).ok());
        Connection::open(&host.socket(), Some(token)).unwrap()
    };
    let operation = new_operation().unwrap();
    let ask = Call::Ask(Ask::approval(operation.clone(), "Deploy?"));
    let mut asking = open_as("one");
    let asker = std::thread::spawn(move || asking.call(&ask));
    let request = host.wait_for_request(ids[0]);
    let withdraw = Call::Withdraw { operation };
    assert!(open_as("two").call(&withdraw).is_err(), "another task");
    assert!(host.connect().call(&withdraw).is_err(), "a program");
    assert!(host.request(ids[0], request.id).is_open());
    open_as("one").call(&withdraw).unwrap();
    let Reply::Closed { closure, .. } = asker.join().unwrap().unwrap() else { panic!("no answer") };
    assert!(matches!(closure, Closure::Withdrawn { .. }), "{closure:?}");
    std::fs::write(host.work().join("go"), "").unwrap();
    for id in ids {
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    }
}
