//! The audit as text: nothing in it is made up by who asks, and nothing is gone with a task.

use nod_core::access::{Actor, Surface};
use nod_core::protocol::{AuditWhat, Call, ErrorCode, Reply};
use nod_core::request::Answer;
use nod_tests::TestHost;

const WINDOW: Actor = Actor::Person { surface: Surface::Window };

#[test]
fn the_audit_names_the_command_and_nobody_writes_a_part_of_it() {
    let mut host = TestHost::start();
    let gated = host.submit_with(&["--ask-first"], &["true", "to prod"]);
    let request = host.wait_for_request(gated);
    host.answer(&request, Answer::Approve);
    host.wait_for_end(gated);
    let said = host.run(&["audit", &gated.to_string()]).out;
    assert!(said.contains("“Start this task?”, command “true 'to prod'”"), "{said}");
    let forged = "x”, asked by a person in the window, comment “fine\\”, “\ny";
    let asking = host.submit_with(&[], &["nod", "ask", forged]);
    let request = host.wait_for_request(asking);
    host.answer(&request, Answer::Deny { reason: Some("no”, from “me".into()) });
    host.wait_for_end(asking);
    let said = host.run(&["audit", &asking.to_string()]).out;
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("denied by a person in the window: “no\\”, from \\“me”"), "{said}");
    let quoted = "“x\\”, asked by a person in the window, comment \\“fine\\\\\\”, \\“\\ny”";
    assert!(said.contains(quoted), "{said}");
}

#[test]
fn the_rows_of_a_removed_task_are_found_by_its_number_and_say_who_removed_it() {
    let mut host = TestHost::start();
    let id = host.submit_with(&["--ask-first"], &["true", "x"]);
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Approve);
    host.wait_for_end(id);
    assert_eq!(host.run(&["remove", &id.to_string()]).code, Some(0));
    let said = host.run(&["audit", &id.to_string()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("removed by the command line (process "), "{said:?}");
    assert!(said.out.contains("approved by a person in the window"), "{said:?}");
    assert_eq!(host.run(&["audit", "99"]).code, Some(1));
}

#[test]
fn what_a_person_submitted_in_the_window_is_not_removed_by_a_program() {
    let mut host = TestHost::start();
    let call = Call::Submit(Box::new(host.shell_submit("true")));
    let Ok(Reply::Submitted { id, .. }) = host.person(&call) else { panic!("not taken") };
    host.wait_for_end(id);
    let refused = host.run(&["remove", &id.to_string()]);
    assert!(refused.code == Some(77) && refused.err.contains("a person's own"), "{refused:?}");
    let operation = nod_client::new_operation().unwrap();
    let remove = Call::Remove { operation, id, session: None };
    assert!(matches!(host.person(&remove), Ok(Reply::Done)));
}

#[test]
fn an_answer_that_came_too_late_is_in_the_audit_with_who_gave_it_and_why_it_was_refused() {
    let mut host = TestHost::start();
    let line = "nod ask 'Deploy?'; while [ ! -e go ]; do sleep 0.02; done; \
                nod ask 'Late?' --timeout 50ms; [ $? = 124 ]";
    let id = host.submit(line);
    let first = host.wait_for_request(id);
    host.answer(&first, Answer::Deny { reason: Some("not today".into()) });
    // Another person, who still had the card in front of them, and one who had an older one.
    let refused = host.try_answer(&first, Answer::Approve).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    let [row, denied] = host.audit(id).try_into().unwrap();
    assert_eq!((row.what, denied.what), (AuditWhat::Refused, AuditWhat::Answered));
    assert_eq!(
        (row.actor, row.request, &row.answer),
        (WINDOW, Some(first.id), &Some(Answer::Approve))
    );
    assert_eq!((&row.shown, &row.hash), (&denied.shown, &denied.hash));
    assert!(row.at >= denied.at);
    assert_eq!(row.detail.as_ref(), Some(&refused.message));
    let why = format!("request {} is closed: denied by a person in the window at ", first.id);
    assert!(refused.message.starts_with(&why), "{refused:?}");

    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    let second = host.detail(id).requests.pop().unwrap();
    host.try_answer(&second, Answer::Deny { reason: Some("“no”".into()) }).unwrap_err();
    host.kill();
    host.restart();
    let said = host.run(&["audit", &id.to_string()]).out;
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    let words = "refused a denial by a person in the window: “\\“no\\””";
    assert!(lines[0].contains(words) && lines[0].contains("is closed: it expired"), "{said}");
    assert!(lines[2].contains("refused an approval by a person in the window, task"), "{said}");
    assert!(lines[2].contains("“Deploy?”") && lines[2].contains(&why), "{said}");
    let events = host.detail(id).events;
    assert_eq!(events.iter().filter(|event| event.what == "answer_refused").count(), 1);
}

#[test]
fn an_answer_to_what_was_not_shown_is_in_the_audit_without_what_they_had_not_seen() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Deploy?'");
    let request = host.wait_for_request(id);
    let mut other = request.clone();
    other.hash = "0".repeat(64);
    host.try_answer(&other, Answer::Approve).unwrap_err();
    // What does not fit is given anew, and was no decision.
    host.try_answer(&request, Answer::Text { text: "yes".into() }).unwrap_err();
    let [row] = host.audit(id).try_into().unwrap();
    assert_eq!((row.what, row.shown, row.hash), (AuditWhat::Refused, None, None));
    assert!(row.detail.unwrap().contains("is not what was shown"));
    assert!(host.request(id, request.id).is_open());
}

#[test]
fn an_audit_as_json_has_all_that_was_shown_and_says_when_it_was_answered() {
    let mut host = TestHost::start();
    let id = host.submit("printf 'to prod' | nod ask 'Deploy?' --detail-file -");
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Deny { reason: Some("no".into()) });
    host.wait_for_end(id);
    let closed = host.request(id, request.id).closure.unwrap().at();
    let [row] = host.audit(id).try_into().unwrap();
    assert_eq!(row.at, closed);
    let told = host.run(&["audit", &id.to_string()]).out;
    assert!(told.starts_with(&format!("{}  denied by a person", closed.utc())), "{told}");

    let said = host.run(&["audit", &id.to_string(), "--json"]).out;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, serde_json::json!([row]));
    let said = &said[0];
    assert_eq!((&said["at"], &said["hash"]), (&closed.0.into(), &request.hash.clone().into()));
    assert_eq!(
        (&said["shown"]["question"], &said["shown"]["detail"]),
        (&"Deploy?".into(), &"to prod".into())
    );
    assert_eq!(said["asked_by"], serde_json::to_value(&request.asked_by).unwrap());
    assert_eq!(said["answer"], serde_json::json!({ "type": "deny", "reason": "no" }));
    assert_eq!(said["actor"], serde_json::json!(WINDOW));
}
