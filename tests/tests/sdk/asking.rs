//! Questions: every sort of answer, and each way without one.

use nod_core::protocol::{Call, GiveAnswer};
use nod_core::request::{Answer, Request, Wants};
use nod_tests::{TestHost, until};
use serde_json::{Value, json};

use crate::{ends_well, submit, touch, written};

/// Asks, and writes down the whole answer.
const TOLD: &str = r#"
def told(name, *words, **more):
    it = nod_task.ask(*words, **more)
    write(name, [bool(it), it.approved, it.denied, it.kind, it.value, it.reason, it.comment,
                 it.by_default])
"#;

#[test]
fn an_approval_was_shown_all_that_was_given_and_brings_its_comment() {
    let mut host = TestHost::start();
    let code = format!(
        r#"{TOLD}
told("approved", "Deploy 🚀?", detail="計画", diff="--- a\n+++ b\n", timeout=3600, remind=600)
"#
    );
    let id = submit(&host, &code);
    let approve = host.wait_for_request(id);
    let shown = &approve.shown;
    assert_eq!((shown.question.as_str(), shown.detail.as_deref()), ("Deploy 🚀?", Some("計画")));
    assert_eq!((shown.diff.as_deref(), approve.remind_ms), (Some("--- a\n+++ b\n"), Some(600_000)));
    assert!(approve.expires_at.is_some());
    let given = GiveAnswer {
        operation: nod_client::new_operation().unwrap(),
        request: approve.id,
        answer: Answer::Approve,
        comment: Some("at night".into()),
        shown: approve.hash,
    };
    host.person(&Call::Answer(given)).unwrap();
    let expected = json!([true, true, false, "approved", null, null, "at night", false]);
    assert_eq!(written(&host, "approved"), expected);
    ends_well(&host, id);
}

#[test]
fn every_answer_reaches_the_task_and_a_denial_is_false() {
    let mut host = TestHost::start();
    let id = submit(
        &host,
        &format!(
            r#"{TOLD}
told("denied", "Sure?")
told("choice", "Where?", choices=["eu", "us"], default="us")
told("text", "Which?", text=True, default="main")
told("refused", "Which now?", text=True)
told("form", "How?", schema={{"properties": {{"n": {{"type": "integer"}}}}}})
told("default", "Where now?", choices=["eu", "us"], default="us", timeout=0.1, on_timeout="default")
"#
        ),
    );
    let deny = |reason: &str| Answer::Deny { reason: Some(reason.into()) };
    let data = json!({ "n": 7 });
    let cases = [
        ("denied", deny("not today"), json!(["denied", null, "not today"])),
        ("choice", Answer::Choice { choice: "eu".into() }, json!(["choice", "eu", null])),
        (
            "text",
            Answer::Text { text: "release/完了".into() },
            json!(["text", "release/完了", null]),
        ),
        ("refused", deny("none"), json!(["denied", null, "none"])),
        ("form", Answer::Form { data: data.clone() }, json!(["form", data, null])),
    ];
    for (name, answer, expected) in cases {
        let request = host.wait_for_request(id);
        if name == "choice" {
            let choices = ["eu", "us"].map(str::to_owned).to_vec();
            let wants = Wants::Choice { choices, default: Some("us".into()) };
            assert_eq!(request.shown.wants, wants);
        }
        host.answer(&request, answer);
        let told = written(&host, name);
        assert_eq!(json!([told[3], told[4], told[5]]), expected, "{name}");
        let denied = expected[0] == "denied";
        assert_eq!((&told[0], &told[2]), (&Value::Bool(!denied), &Value::Bool(denied)), "{name}");
    }
    let told = written(&host, "default");
    assert_eq!(told, json!([true, false, false, "choice", "us", null, null, true]));
    ends_well(&host, id);
}

#[test]
fn a_question_without_an_answer_raises_what_became_of_it() {
    let mut host = TestHost::start();
    let id = submit(
        &host,
        r#"
write("expired", caught(nod_task.ask, "Soon?", timeout=0.1))
write("at-once", caught(nod_task.ask, "At once?", timeout=0))
nod_task._operation = lambda: "0123456789abcdef"
def ask():
    write("withdrawn", caught(nod_task.ask, "Still?"))
asking = threading.Thread(target=ask)
asking.start()
until("withdraw")
nod_task._change("withdraw", {"operation": "0123456789abcdef"})
asking.join()
nod_task._operation = lambda: "fedcba9876543210"
try:
    nod_task.ask("Later?", resume_after=0.05)
except nod_task.StillOpen as error:
    write("open", error.request)
    until("answered")
    write("answer", nod_task.await_answer(error.request).kind)
"#,
    );
    assert_eq!(written(&host, "expired"), json!(["Expired", "nobody answered in time"]));
    assert_eq!(written(&host, "at-once"), json!(["Expired", "nobody answered in time"]));
    let asked = |host: &TestHost, question: &str| -> Request {
        until(question, || {
            let open = host.detail(id).requests.into_iter().find(Request::is_open);
            open.filter(|request| request.shown.question == question)
        })
    };
    asked(&host, "Still?");
    touch(&host, "withdraw");
    let expected = json!(["Withdrawn", "the asker no longer asks"]);
    assert_eq!(written(&host, "withdrawn"), expected);
    let later = asked(&host, "Later?");
    assert_eq!(written(&host, "open"), later.id.0);
    host.answer(&later, Answer::Approve);
    touch(&host, "answered");
    assert_eq!(written(&host, "answer"), "approved");
    ends_well(&host, id);
}

#[test]
fn what_cannot_be_asked_is_a_mistake_of_the_caller() {
    let host = TestHost::start();
    let id = submit(
        &host,
        r#"
write("mistakes", [caught(nod_task.ask, "Go?", **it) for it in [
    {"choices": ["a"], "text": True}, {"default": "a"}, {"choices": "ab"}, {"on_timeout": "yes"},
    {"timeout": 1, "on_timeout": "default"}, {"choices": ["a", "a"]}, {"schema": {"type": "thing"}},
]] + [caught(nod_task.ask, ""), caught(nod_task.await_answer, 77), caught(nod_task.wait, "approval")])
"#,
    );
    let mistakes = written(&host, "mistakes");
    let of = |n: usize| mistakes[n][0].as_str().unwrap().to_owned();
    let kinds: Vec<_> = (0..mistakes.as_array().unwrap().len()).map(of).collect();
    let expected = [["ValueError"; 4].as_slice(), &["Refused"; 6]].concat();
    assert_eq!(kinds, expected, "{mistakes}");
    assert!(mistakes[4][1].as_str().unwrap().contains("only a person says yes"), "{mistakes}");
    assert!(host.detail(id).requests.is_empty());
    ends_well(&host, id);
}

#[test]
fn two_threads_ask_at_once_and_each_has_its_own_answer() {
    let mut host = TestHost::start();
    let id = submit(
        &host,
        r#"
def ask(name):
    write(name, nod_task.ask("Is it " + name + "?", text=True).value)
threads = [threading.Thread(target=ask, args=(name,)) for name in ("left", "right")]
for thread in threads: thread.start()
for thread in threads: thread.join()
"#,
    );
    let open = until("both", || Some(host.detail(id).requests).filter(|all| all.len() == 2));
    for request in open.iter().rev() {
        host.answer(request, Answer::Text { text: request.shown.question.clone() });
    }
    assert_eq!(
        (written(&host, "left"), written(&host, "right")),
        (json!("Is it left?"), json!("Is it right?"))
    );
    ends_well(&host, id);
}
