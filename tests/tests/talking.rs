//! How a task talks: what each of its commands prints, and the code that it ends with.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixListener;

use nod_core::ids::TaskId;
use nod_core::request::{Answer, Request};
use nod_core::task::{Failure, Outcome, StateName, TaskSaid};
use nod_tests::{Home, TestHost, until};
use serde_json::{Value, json};

/// What the lines here begin with: `said NAME WORDS…` runs words, and keeps what they print and
/// their code; `there NAME` waits for a file.
const SAID: &str = "said() { name=$1; shift; \"$@\" > $name.out 2> $name.err; \
                    echo $? > $name.new; mv $name.new $name.code; }; \
                    there() { while [ ! -e $1 ]; do sleep 0.02; done; }; ";

fn submit(host: &TestHost, line: &str) -> TaskId {
    host.submit(&format!("{SAID}{line}"))
}

fn touch(host: &TestHost, name: &str) {
    fs::write(host.work().join(name), "").unwrap();
}

fn read(host: &TestHost, name: &str) -> String {
    fs::read_to_string(host.work().join(name)).unwrap()
}

/// Returns the code of a command of a task and what it printed, once it has ended.
#[track_caller]
fn said(host: &TestHost, name: &str) -> (i32, String) {
    let code = host.work().join(format!("{name}.code"));
    let code = until(name, || fs::read_to_string(&code).ok());
    (code.trim().parse().unwrap(), read(host, &format!("{name}.out")))
}

#[track_caller]
fn said_json(host: &TestHost, name: &str) -> (i32, Value) {
    let (code, out) = said(host, name);
    assert_eq!(out.lines().count(), 1, "{out:?}");
    (code, serde_json::from_str(&out).unwrap())
}

/// What a command prints that has nothing to say.
fn silent(code: i32) -> (i32, String) {
    (code, String::new())
}

#[test]
fn progress_prints_nothing_and_a_bad_number_is_an_error_of_the_caller_alone() {
    let host = TestHost::start();
    let id = submit(
        &host,
        "said whole nod progress 40 compiling; said bad nod progress nan; \
         said steps nod progress --total 4 --done none; there one; \
         said beyond nod progress 140 --phase link; there two; \
         said counted nod progress --total 4 --done 1; there three; \
         said going nod progress --indeterminate testing; there four",
    );
    assert_eq!(said(&host, "whole"), silent(0));
    assert_eq!((said(&host, "bad"), said(&host, "steps")), (silent(2), silent(2)));
    let bar = || host.task(id).progress;
    let shown = until("the bar", || bar().filter(|bar| bar.percent == Some(40.0)));
    assert_eq!(shown.message.as_deref(), Some("compiling"));
    touch(&host, "one");
    assert_eq!(said(&host, "beyond"), silent(0));
    let clamped = until("the bar", || bar().filter(|bar| bar.percent != Some(40.0)));
    assert!(clamped.percent.is_some_and(|percent| (99.0..=100.0).contains(&percent)));
    touch(&host, "two");
    assert_eq!(said(&host, "counted"), silent(0));
    until("a quarter", || bar().filter(|bar| bar.percent == Some(25.0)));
    touch(&host, "three");
    assert_eq!(said(&host, "going"), silent(0));
    until("no number", || bar().filter(|bar| bar.percent.is_none()));
    touch(&host, "four");
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn waiting_for_a_signal_ends_in_a_code_of_its_own_each_way() {
    let host = TestHost::start();
    let id = submit(
        &host,
        "said looked nod await k --timeout 0; said late nod await k --timeout 50ms; \
         said resumed nod await k --resume-after 50ms; \
         said hostless env NOD_SOCKET=/nowhere nod await k --timeout 50ms; \
         said wrong nod await approval; said signal nod await k; said interrupted nod await k",
    );
    assert_eq!((said(&host, "looked"), said(&host, "late")), (silent(124), silent(124)));
    assert_eq!(said(&host, "resumed"), (0, "null\n".into()));
    assert_eq!((said(&host, "hostless"), said(&host, "wrong")), (silent(69), silent(2)));
    let id_text = id.to_string();
    let notified = host.run(&["notify", &id_text, "k", r#"{"n":[1]}"#]);
    assert_eq!(notified.code, Some(0));
    assert_eq!(said(&host, "signal"), (0, "{\"n\":[1]}\n".into()));
    // Only who waits already is interrupted.
    host.wait_for_waits(1);
    let spoken = host.run(&["feedback", &id_text, "stop it", "--interrupt"]);
    assert_eq!((spoken.code, spoken.out.as_str()), (Some(0), ""));
    assert_eq!(said(&host, "interrupted"), silent(75));
    assert!(read(&host, "interrupted.err").contains("interrupted: stop it"));
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn asking_ends_in_a_code_of_its_own_each_way() {
    let mut host = TestHost::start();
    fs::write(host.work().join("form.json"), r#"{"type":"object"}"#).unwrap();
    let id = submit(
        &host,
        "said empty nod ask ''; said both nod ask Go --text --choice a; \
         said hostless env NOD_SOCKET=/nowhere nod ask Go --timeout 50ms; \
         said late nod ask Go --timeout 50ms; \
         said now nod ask Go --timeout 0; \
         said deny nod ask Which --choice a --default a --timeout 50ms --on-timeout deny; \
         said later nod ask Go --resume-after 50ms; \
         said yes nod ask 'Yes?'; said no nod ask 'No?'; said which nod ask 'Which?' --choice a; \
         said text nod ask 'Why?' --text; said form nod ask 'How?' --schema form.json",
    );
    assert_eq!((said(&host, "empty"), said(&host, "both")), (silent(2), silent(2)));
    assert_eq!(said(&host, "hostless"), silent(69));
    for name in ["late", "now", "deny"] {
        assert_eq!(said_json(&host, name), (124, json!({ "answer": "expired" })), "{name}");
    }
    let (code, open) = said_json(&host, "later");
    assert_eq!((code, &open["answer"]), (75, &json!("open")));
    let mut answered = |question: &str, answer: Answer, name: &str| {
        let request: Request = until(question, || {
            let mut requests = host.detail(id).requests.into_iter();
            requests.find(|request| request.shown.question == question)
        });
        host.answer(&request, answer);
        said_json(&host, name)
    };
    let yes = answered("Yes?", Answer::Approve, "yes");
    assert_eq!(yes, (0, json!({ "answer": "approved" })));
    let no = answered("No?", Answer::Deny { reason: Some("not now".into()) }, "no");
    assert_eq!(no, (1, json!({ "answer": "denied", "reason": "not now" })));
    let which = answered("Which?", Answer::Choice { choice: "a".into() }, "which");
    assert_eq!(which, (0, json!({ "answer": "choice", "choice": "a" })));
    let text = answered("Why?", Answer::Text { text: "完了\n".into() }, "text");
    assert_eq!(text, (0, json!({ "answer": "text", "text": "完了\n" })));
    let form = answered("How?", Answer::Form { data: json!({ "a": 1 }) }, "form");
    assert_eq!(form, (0, json!({ "answer": "form", "data": { "a": 1 } })));
    assert!(read(&host, "no.err").contains("denied: not now"));
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn what_a_task_says_of_its_end_prints_nothing_and_is_its_outcome() {
    // The next signal would end the last one in the middle of what it does at the first.
    let host = TestHost::start_in(Home::new().with_config("[cancel]\ngrace_ms = 600000\n"));
    let id =
        submit(&host, "said bad nod result '{'; said good nod result '{\"n\":1}' --message ok");
    let ended = host.wait_for_end(id);
    assert_eq!((said(&host, "bad"), said(&host, "good")), (silent(2), silent(0)));
    assert_eq!(ended.state.outcome(), Some(&Outcome::Succeeded));
    let message = Some("ok".to_owned());
    let result = TaskSaid::Result { data: json!({ "n": 1 }), message };
    assert_eq!(ended.condition.said, Some(result));

    let id = submit(&host, "said failed nod fail 'no disk'; exit 3");
    let ended = host.wait_for_end(id);
    assert_eq!(said(&host, "failed"), silent(0));
    assert_eq!(
        ended.state.outcome(),
        Some(&Outcome::Failed { failure: Failure::Exit { code: 3 } })
    );
    assert_eq!(ended.condition.said, Some(TaskSaid::Failed { message: "no disk".into() }));

    let line = "trap 'said after nod cancelled; exit' INT; said before nod cancelled; \
                while true; do sleep 0.02; done";
    let id = submit(&host, line);
    assert_eq!(said(&host, "before"), silent(1));
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
    assert_eq!(said(&host, "after"), silent(0));
}

#[test]
fn telling_prints_nothing_and_the_inbox_one_line_of_json_each() {
    let host = TestHost::start();
    let id = submit(
        &host,
        "said empty nod inbox; said told nod tell halfway --urgent; there go; \
         said inbox nod inbox; said again nod inbox; \
         said hostless env NOD_SOCKET=/nowhere nod tell x",
    );
    assert_eq!((said(&host, "empty"), said(&host, "told")), (silent(0), silent(0)));
    for text in ["one", "two\nlines"] {
        assert_eq!(host.run(&["feedback", &id.to_string(), text]).code, Some(0));
    }
    touch(&host, "go");
    let (code, lines) = said(&host, "inbox");
    let heard: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<_> = heard.iter().map(|message| message["message"].as_str().unwrap()).collect();
    assert_eq!((code, texts), (0, vec!["one", "two\nlines"]));
    let from = heard[0]["from"].as_str().unwrap();
    assert!(from.starts_with("the command line (process "), "{from}");
    assert_eq!((said(&host, "again"), said(&host, "hostless")), (silent(0), silent(69)));
    host.wait_for_end(id);
}

#[test]
fn a_task_speaks_to_the_socket_that_its_environment_names_and_to_no_other() {
    let host = TestHost::start();
    let other = UnixListener::bind(host.work().join("other")).unwrap();
    let id = submit(
        &host,
        "printf %s \"$NOD_SOCKET\" > socket; printf %s \"$NOD_TOKEN\" > token; \
         said named nod tell here; said unnamed env -u NOD_SOCKET nod tell nowhere; \
         said blank env NOD_SOCKET= nod progress 30; \
         said tokenless env -u NOD_TOKEN nod progress 30; \
         said elsewhere env NOD_SOCKET=\"$PWD/other\" nod progress 40",
    );
    let (stream, _) = other.accept().unwrap();
    let mut heard = BufReader::new(stream).lines().map_while(Result::ok);
    let hello: Value = serde_json::from_str(&heard.next().unwrap()).unwrap();
    let call: Value = serde_json::from_str(&heard.next().unwrap()).unwrap();
    assert_eq!(
        (&hello["method"], &hello["params"]["token"]),
        (&json!("hello"), &json!(read(&host, "token")))
    );
    assert_eq!((&call["method"], &call["params"]["percent"]), (&json!("progress"), &json!(40.0)));
    drop(heard);
    // One that hangs up is a host that cannot be reached.
    assert_eq!(said(&host, "elsewhere"), silent(0));
    assert_eq!(read(&host, "socket"), host.socket().to_str().unwrap());
    assert_eq!(said(&host, "named"), silent(0));
    for name in ["unnamed", "blank", "tokenless"] {
        assert_eq!(said(&host, name), silent(2), "{name}");
        assert!(read(&host, &format!("{name}.err")).contains("inside"), "{name}");
    }
    host.wait_for_end(id);
    assert_eq!(host.task(id).progress, None);
}
