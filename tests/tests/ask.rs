//! Questions of every sort: choices, texts, forms; comments, defaults, reminders; who may ask.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use nod_core::access::{Actor, Surface};
use nod_core::ids::AttemptNumber;
use nod_core::protocol::{AuditQuery, AuditRow, AuditWhat, Call, ErrorCode, GiveAnswer, Reply};
use nod_core::request::{Answer, Closure, Origin, Request, Wants};
use nod_core::task::StateName;
use nod_tests::{TestHost, until};
use serde_json::{Value, json};

fn read(host: &TestHost, name: &str) -> String {
    std::fs::read_to_string(host.work().join(name)).unwrap()
}

fn answer_of(host: &TestHost) -> Value {
    serde_json::from_str(&read(host, "answer")).unwrap()
}

fn audit(host: &TestHost, query: AuditQuery) -> Vec<AuditRow> {
    let Reply::Audit(page) = host.call(&Call::Audit(query)) else { panic!("no audit") };
    page.rows
}

/// Returns the open questions of programs that are no tasks.
fn of_programs(host: &TestHost) -> Vec<Request> {
    let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
    snapshot.requests.into_iter().filter(|request| request.task.is_none()).collect()
}

const FORM: &str = r#"{
    "type": "object", "required": ["region"],
    "properties": {
        "region": { "enum": ["eu", "us"] },
        "replicas": { "type": "integer", "minimum": 1, "default": 2 }
    }
}"#;

#[test]
fn a_choice_and_a_text_reach_the_task_with_the_comment() {
    let mut host = TestHost::start();
    let ask = "nod ask 'Where?' --choice eu --choice us --default us > answer; echo $? > code";
    let id = host.submit(ask);
    let request = host.wait_for_request(id);
    let choices = ["eu", "us"].map(str::to_owned).to_vec();
    assert_eq!(request.shown.wants, Wants::Choice { choices, default: Some("us".into()) });
    assert_eq!(host.task(id).words(), "Needs input");
    assert!(host.run(&["list"]).out.contains("Needs input"));
    let strange = host.try_answer(&request, Answer::Choice { choice: "moon".into() });
    assert!(strange.unwrap_err().message.contains("one of its choices"));
    let approve = host.try_answer(&request, Answer::Approve).unwrap_err();
    assert_eq!(approve.code, ErrorCode::Conflict, "{approve}");
    let given = GiveAnswer {
        operation: nod_client::new_operation().unwrap(),
        request: request.id,
        answer: Answer::Choice { choice: "eu".into() },
        comment: Some("closer to them".into()),
        shown: request.hash,
    };
    host.person(&Call::Answer(given)).unwrap();
    host.wait_for_end(id);
    let expected = json!({ "answer": "choice", "choice": "eu", "comment": "closer to them" });
    assert_eq!((answer_of(&host), read(&host, "code").as_str()), (expected, "0\n"));

    let id = host.submit("nod ask 'Which branch?' --text > answer; echo $? > code");
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Text { text: "release/完了".into() });
    host.wait_for_end(id);
    assert_eq!(answer_of(&host), json!({ "answer": "text", "text": "release/完了" }));

    let id = host.submit("nod ask 'Which branch?' --text 2> reason; echo $? > code");
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Deny { reason: Some("none".into()) });
    host.wait_for_end(id);
    assert_eq!(read(&host, "code"), "1\n");
    assert!(read(&host, "reason").contains("denied: none"));
}

#[test]
fn a_form_that_does_not_fit_is_asked_again_at_its_fields_and_the_task_never_sees_it() {
    let mut host = TestHost::start();
    std::fs::write(host.work().join("form.json"), FORM).unwrap();
    let id = host.submit("nod ask 'How?' --schema form.json > answer; echo $? > code");
    let request = host.wait_for_request(id);
    let Wants::Form { initial, .. } = &request.shown.wants else { panic!("{request:?}") };
    assert_eq!(*initial, json!({ "replicas": 2 }));
    for (data, field) in [
        (json!({}), "/region"),
        (json!({ "region": "moon" }), "/region"),
        (json!({ "region": "eu", "replicas": 0 }), "/replicas"),
        (json!("eu"), ""),
    ] {
        let refused = host.try_answer(&request, Answer::Form { data }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid, "{refused}");
        let fields: Vec<_> = refused.fields.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, [field], "{refused}");
        assert_eq!(host.state(id), StateName::Waiting);
        assert!(host.request(id, request.id).is_open());
    }
    host.answer(&request, Answer::Form { data: json!({ "region": "eu" }) });
    host.wait_for_end(id);
    let expected = json!({ "answer": "form", "data": { "region": "eu", "replicas": 2 } });
    assert_eq!(answer_of(&host), expected);
}

#[test]
fn a_schema_that_makes_no_form_is_a_mistake_of_the_one_who_asks() {
    let host = TestHost::start();
    let schemas = [r##"{"properties":{"a":{"$ref":"#"}}}"##, r#"{"type":"thing"}"#, "{"];
    for (n, schema) in schemas.into_iter().enumerate() {
        std::fs::write(host.work().join("form.json"), schema).unwrap();
        let id = host.submit(&format!("nod ask 'How?' --schema form.json; echo $? > code-{n}"));
        host.wait_for_end(id);
        assert_eq!(read(&host, &format!("code-{n}")), "2\n", "{schema}");
    }
}

#[test]
fn silence_takes_the_default_where_there_is_one_and_never_approves() {
    let host = TestHost::start();
    let ask = "nod ask 'Where?' --choice eu --choice us --default us --timeout 200ms";
    let id = host.submit(&format!("{ask} --on-timeout default > answer; echo $? > code"));
    host.wait_for_end(id);
    let expected = json!({ "answer": "choice", "choice": "us", "by_default": true });
    assert_eq!((answer_of(&host), read(&host, "code").as_str()), (expected, "0\n"));
    let id = host.submit(&format!("{ask} > answer; echo $? > code"));
    host.wait_for_end(id);
    assert_eq!(
        (answer_of(&host), read(&host, "code").as_str()),
        (json!({ "answer": "expired" }), "124\n")
    );
    let id = host.submit("nod ask 'Go?' --timeout 200ms --on-timeout default; echo $? > code");
    host.wait_for_end(id);
    assert_eq!(read(&host, "code"), "2\n");
    assert!(host.detail(id).requests.is_empty());
    // Nor over the socket, past the command line's own check.
    let mut ask = nod_core::protocol::Ask::approval(nod_client::new_operation().unwrap(), "Go?");
    ask.timeout_ms = Some(1);
    ask.on_timeout = nod_core::request::OnTimeout::Default;
    let refused = host.connect().call(&Call::Ask(ask)).unwrap_err().to_string();
    assert!(refused.contains("only a person says yes"), "{refused}");
}

#[test]
fn a_question_that_was_never_put_is_no_denial_and_says_so() {
    let host = TestHost::start();
    let line = "trap 'nod ask Late? > answer; echo $? > code; exit' INT; touch up; \
                while true; do sleep 0.02; done";
    let id = host.submit(line);
    until("the trap", || host.work().join("up").exists().then_some(()));
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    host.wait_for_end(id);
    assert_eq!(
        (&answer_of(&host)["answer"], read(&host, "code").as_str()),
        (&json!("not_asked"), "75\n")
    );
    assert!(host.detail(id).requests.is_empty());
}

#[test]
fn a_program_that_is_no_task_asks_and_says_who_it_is() {
    let mut host = TestHost::start();
    let mut asking = host.command("sh");
    asking.args(["-c", "nod=$1; $nod ask 'May I?' > answer; echo $? > code", "sh"]);
    asking.arg(nod_tests::home::program("nod"));
    let mut asking = asking.spawn().unwrap();
    let request = until("a question", || of_programs(&host).into_iter().next());
    assert_eq!(request.origin, Origin::Program);
    assert_eq!(request.shown.task_name, format!("sh (process {})", asking.id()));
    assert_eq!(request.shown.argv[0], "sh");
    assert_eq!(request.shown.cwd, host.work().to_string_lossy());
    host.answer(&request, Answer::Approve);
    assert!(asking.wait().unwrap().success());
    assert_eq!(
        (answer_of(&host), read(&host, "code").as_str()),
        (json!({ "answer": "approved" }), "0\n")
    );

    // One that dies takes its question with it.
    let mut dying = host.nod(&["ask", "Still there?"]).spawn().unwrap();
    let request = until("a question", || of_programs(&host).into_iter().next());
    dying.kill().unwrap();
    dying.wait().unwrap();
    until("the question to close", || of_programs(&host).is_empty().then_some(()));
    let refused = host.try_answer(&request, Answer::Approve).unwrap_err();
    assert!(refused.message.contains("the process that asked is gone"), "{refused}");
}

#[test]
fn the_audit_says_who_asked_what_who_answered_what_and_from_where() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'One?'; nod ask 'Two?' --timeout 10ms; nod ask 'Three?'");
    let one = host.wait_for_request(id);
    host.answer(&one, Answer::Approve);
    let three = until("the third", || {
        host.detail(id).requests.into_iter().find(|request| request.shown.question == "Three?")
    });
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    host.wait_for_end(id);
    let rows = host.audit(id);
    let what: Vec<_> = rows.iter().map(|row| row.what).collect();
    assert_eq!(what, [AuditWhat::Withdrawn, AuditWhat::Expired, AuditWhat::Answered]);
    let answered = &rows[2];
    assert_eq!(answered.actor, Actor::Person { surface: Surface::Window });
    assert_eq!(answered.asked_by, Some(Actor::Task { id, attempt: Some(AttemptNumber::FIRST) }));
    assert_eq!(answered.shown.as_ref(), Some(&one.shown));
    assert_eq!(answered.hash.as_ref(), Some(&one.hash));
    assert_eq!(answered.answer, Some(Answer::Approve));
    assert_eq!((rows[0].request, &rows[0].actor), (Some(three.id), &Actor::Host));
    // A page at a time, newest first.
    let next = AuditQuery { before: Some(rows[0].id), limit: Some(1), ..AuditQuery::default() };
    assert_eq!(audit(&host, next), rows[1..2]);
    // It outlives the task.
    assert_eq!(host.run(&["remove", &id.to_string()]).code, Some(0));
    let after = host.audit(id);
    assert_eq!((after[0].what, &after[1..]), (AuditWhat::Removed, &rows[..]));
    assert_eq!(host.run(&["audit", &id.to_string()]).out.lines().count(), 4);
    assert_eq!(host.run(&["audit", "99"]).code, Some(1));
}

#[test]
fn the_same_question_twice_is_one_card_and_both_askers_hear_the_answer() {
    let mut host = TestHost::start();
    let id = host.submit(
        "(nod ask 'Go?' > one; true) & (nod ask 'Go?' > two; true) & \
         (nod ask 'Go?' --choice a > three; true) & wait",
    );
    // The third wants something else, so it is another card.
    let open = until("two cards", || {
        let open = host.detail(id).requests;
        (open.len() == 2).then_some(open)
    });
    let (choice, approval): (Vec<_>, Vec<_>) =
        open.into_iter().partition(|request| request.shown.wants != Wants::Approval);
    host.answer(&choice[0], Answer::Choice { choice: "a".into() });
    // Both are there before it is answered.
    until("both to ask", || {
        (host.request(id, approval[0].id).also_asked_by.len() == 1).then_some(())
    });
    host.answer(&approval[0], Answer::Approve);
    host.wait_for_end(id);
    assert_eq!((read(&host, "one"), read(&host, "two")), (read(&host, "two"), read(&host, "one")));
    assert!(read(&host, "one").contains("approved"));
    assert_eq!(host.detail(id).requests.len(), 2);
}

#[test]
fn an_answer_given_to_another_question_under_the_same_operation_is_refused() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'One?' && nod ask 'Two?'");
    let one = host.wait_for_request(id);
    let mut click = GiveAnswer {
        operation: nod_client::new_operation().unwrap(),
        request: one.id,
        answer: Answer::Approve,
        comment: None,
        shown: one.hash,
    };
    host.person(&Call::Answer(click.clone())).unwrap();
    let two = until("the second", || host.detail(id).requests.into_iter().find(Request::is_open));
    (click.request, click.shown) = (two.id, two.hash.clone());
    let refused = host.person(&Call::Answer(click)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::BadRequest, "{refused}");
    let closure = host.answer(&two, Answer::Deny { reason: None });
    assert!(matches!(closure, Closure::Answered { .. }));
    host.wait_for_end(id);
}

#[test]
fn a_task_that_waits_for_an_approval_among_others_needs_approval() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Which?' --text & nod ask 'Go?' & wait; nod ask 'Why?' --text");
    let open = |host: &TestHost| -> Vec<_> {
        host.detail(id).requests.into_iter().filter(Request::is_open).collect()
    };
    until("both questions", || (open(&host).len() == 2).then_some(()));
    assert_eq!(host.task(id).words(), "Needs approval");
    let (approval, text): (Vec<_>, Vec<_>) =
        open(&host).into_iter().partition(|request| request.shown.wants == Wants::Approval);
    host.answer(&approval[0], Answer::Approve);
    assert_eq!(host.task(id).words(), "Needs input");
    host.answer(&text[0], Answer::Text { text: "this".into() });
    // It lies beside the state, and outlives a host.
    until("the last question", || (open(&host).len() == 1).then_some(()));
    host.kill();
    host.restart();
    assert_eq!(host.task(id).words(), "Needs input");
    host.answer(&open(&host)[0], Answer::Text { text: "so".into() });
    assert_eq!(host.wait_for_end(id).words(), "Succeeded");
}
