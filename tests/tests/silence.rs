//! Gates that nobody answers: denied when their time is up, and approved only where the person said so.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use nod_client::new_operation;
use nod_core::command::CommandLine;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, KindUse, Reply};
use nod_core::task::{Outcome, StateName};
use nod_tests::{Home, TestHost};

const DENIES: &str =
    "[kinds.deploy]\nargv = [\"touch\", \"ran\"]\ngate = true\ngate_timeout = \"1s\"\n";

fn submit(host: &TestHost) -> TaskId {
    let ran = host.run(&["submit", "--kind", "deploy"]);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    TaskId(said["task_id"].as_i64().unwrap())
}

#[test]
fn a_gate_whose_time_is_up_is_denied_and_said_to_have_expired() {
    let host = TestHost::start_in(Home::new().with_config(DENIES));
    let id = submit(&host);
    let shown = host.wait_for_request(id).shown;
    assert!(shown.terms[0].starts_with("it is denied if nobody answers for 1.0s"), "{shown:?}");
    assert_eq!(host.run(&["wait", &id.to_string()]).code, Some(77));
    assert_eq!(host.state(id), StateName::Denied);
    assert!(!host.work().join("ran").exists());
    for words in [&["show", &id.to_string()][..], &["list"], &["audit"]] {
        let said = host.run(words).out;
        assert!(said.contains("xpired"), "{words:?}: {said}");
    }
}

#[test]
fn silence_approves_a_kind_once_the_person_has_confirmed_that_and_nothing_else() {
    let mut host = TestHost::start_in(Home::new().with_config(DENIES));
    let config = format!("{DENIES}on_silence = \"approve\"\n");
    std::fs::write(host.data().join("config.toml"), config).unwrap();
    let denied = submit(&host);
    assert_eq!(host.wait_for_end(denied).state.name(), StateName::Denied);
    let Reply::Rules(rules) = host.call(&Call::Rules) else { panic!("no rules") };
    let loosening = rules.loosening.unwrap();
    let expected =
        "approved when nobody answers for 1.0s: tasks of kind deploy, which run touch ran";
    assert_eq!(loosening.changes, [expected]);
    let confirm =
        Call::ConfirmLoosening { operation: new_operation().unwrap(), shown: loosening.hash };
    host.person(&confirm).unwrap();
    // As the window submits it, with nothing but the person's own environment.
    let mut call = host.shell_submit("");
    call.command = CommandLine::Argv { argv: vec![] };
    call.scheduling.kind = Some(KindUse { name: "deploy".into(), values: Default::default() });
    let Reply::Submitted { id, .. } = host.call(&Call::Submit(Box::new(call))) else { panic!() };
    let terms = host.wait_for_request(id).shown.terms;
    assert!(terms[0].starts_with("it is approved if nobody answers"), "{terms:?}");
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert!(host.work().join("ran").exists());
    assert!(host.run(&["audit"]).out.contains("approved, since nobody answered"));
    // With something in its environment that may decide what runs, it is not.
    let ran = host.run(&["submit", "--kind", "deploy", "--env", "GIT_SSH_COMMAND=/tmp/evil"]);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let id = TaskId(said["task_id"].as_i64().unwrap());
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Denied);
}
