//! Who may do what, on the socket: what the table refuses is refused there, whatever way the call takes.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use nod_client::{ClientError, Connection, new_operation};
use nod_core::access::{Actor, Verb, allowed};
use nod_core::ids::TaskId;
use nod_core::protocol::{Ask, Call, ErrorCode, GiveAnswer};
use nod_core::request::{Answer, Request};
use nod_tests::TestHost;
use nod_tests::home::LENDS_TOKEN;
use serde_json::{Value, json};

fn approval(request: &Request) -> GiveAnswer {
    GiveAnswer {
        operation: new_operation().unwrap(),
        request: request.id,
        answer: Answer::Approve,
        comment: None,
        shown: request.hash.clone(),
    }
}

/// Returns what a call of a verb says; nothing for those that everybody may make.
fn params(verb: Verb, id: TaskId, request: &Request) -> Option<Value> {
    let operation = || new_operation().unwrap();
    let about = || json!({ "operation": operation(), "id": id });
    let rule = json!({ "match": ["true"], "then": "need_not_ask" });
    Some(match verb {
        Verb::Hello | Verb::Submit | Verb::SubmitMany => return None,
        Verb::Snapshot
        | Verb::Subscribe
        | Verb::Groups
        | Verb::IsCancelled
        | Verb::Rules
        | Verb::Settings
        | Verb::Diagnose
        | Verb::ShowWindow
        | Verb::StopHost => Value::Null,
        Verb::List => json!({}),
        Verb::Show | Verb::Wait => json!({ "id": id }),
        Verb::RunAgain
        | Verb::Cancel
        | Verb::Pause
        | Verb::Resume
        | Verb::Retry
        | Verb::Edit
        | Verb::Remove
        | Verb::Deadline => about(),
        Verb::ReadLog => json!({ "id": id, "offset": 0, "limit": 1 }),
        Verb::FollowLog => json!({ "id": id, "offset": 0 }),
        Verb::SearchLogs => json!({ "text": "x" }),
        Verb::Input => json!({ "id": id, "data": "" }),
        Verb::Resize => json!({ "id": id, "columns": 80, "rows": 24 }),
        Verb::CancelMany => json!({ "operation": operation(), "which": { "kind": "x" } }),
        Verb::ChangeGroup => {
            json!({ "operation": operation(), "name": "default", "change": { "type": "pause" } })
        }
        Verb::Watch => json!({ "since": 0 }),
        Verb::Progress => json!({ "percent": 1 }),
        Verb::Ask => json!(Ask::approval(operation(), "Go?")),
        Verb::AwaitAnswer => json!({ "request": request.id }),
        Verb::Withdraw => json!({ "operation": operation() }),
        Verb::Answer => json!(approval(request)),
        Verb::OpenQuestion => json!({ "of": "task", "id": id }),
        Verb::Audit => json!({}),
        Verb::Await => json!({ "operation": operation(), "key": "k" }),
        Verb::Notify => json!({ "operation": operation(), "id": id, "key": "k", "data": null }),
        Verb::Feedback => json!({ "operation": operation(), "id": id, "text": "x" }),
        Verb::Inbox => json!({}),
        Verb::Tell => json!({ "operation": operation(), "text": "x" }),
        Verb::SayOutcome => {
            json!({ "operation": operation(), "said": { "type": "failed", "message": "x" } })
        }
        Verb::PreviewRule => json!({ "rule": rule }),
        Verb::AddRule => json!({ "operation": operation(), "rule": rule }),
        Verb::RevokeRule => json!({ "operation": operation(), "id": 1 }),
        Verb::ConfirmLoosening => json!({ "operation": operation(), "shown": "x" }),
        Verb::AllowNotificationApprovals => json!({ "operation": operation(), "allowed": true }),
    })
}

#[test]
fn what_the_table_refuses_is_refused_on_the_socket() {
    let mut host = TestHost::start();
    let id = host.submit(&format!("{LENDS_TOKEN}nod ask 'One?'"));
    let (request, token) = (host.wait_for_request(id), host.token());
    let other = host.submit_with(&["--ask-first"], &["true"]);
    let uid = rustix::process::getuid().as_raw();
    let task = Actor::Task { id, attempt: None };
    let (mut refused, before) = (0, host.count_of_tasks());
    for (actor, token) in [(Actor::Peer { uid, pid: 1 }, None), (task, Some(token))] {
        for (verb, target) in Verb::ALL.iter().flat_map(|verb| [(*verb, id), (*verb, other)]) {
            let Some(params) = params(verb, target, &request) else { continue };
            let call = json!({ "method": verb.as_str(), "params": params });
            let call: Call =
                serde_json::from_value(call).unwrap_or_else(|error| panic!("{verb:?}: {error}"));
            // Those that name no task are about the caller itself.
            let named = params.get("id").map(|_| target);
            if allowed(&actor, verb, named).is_ok() {
                continue;
            }
            let said = Connection::open(&host.socket(), token.clone()).unwrap().call(&call);
            let ClientError::Refused(why) = said.unwrap_err() else { panic!("{verb:?}") };
            assert_eq!(why.code, ErrorCode::Forbidden, "{actor:?} {verb:?} {target}: {why}");
            refused += 1;
        }
    }
    assert!(refused > 80, "{refused}");
    assert_eq!(host.count_of_tasks(), before);
    for id in [id, other] {
        let open = host.wait_for_request(id);
        host.answer(&open, Answer::Deny { reason: None });
        host.wait_for_end(id);
    }
}
