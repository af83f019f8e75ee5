//! The audit as text: nothing in it is made up by who asks, and nothing is gone with a task.

use nod_core::protocol::{Call, Reply};
use nod_core::request::Answer;
use nod_tests::TestHost;

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
