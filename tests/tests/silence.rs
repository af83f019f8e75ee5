//! Gates that nobody answers: denied when their time is up, and approved only where the person said so.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use nod_client::new_operation;
use nod_core::command::CommandLine;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, KindUse, Reply, Submit};
use nod_core::request::Request;
use nod_core::task::{Outcome, OutputMode, StateName};
use nod_tests::{Home, TestHost, until};

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
    let said = terms(&host, id);
    assert!(said.starts_with("it is denied if nobody answers for 1.0s"), "{said}");
    assert_eq!(host.run(&["wait", &id.to_string()]).code, Some(77));
    assert_eq!(host.state(id), StateName::Denied);
    assert!(!host.work().join("ran").exists());
    for words in [&["show", &id.to_string()][..], &["list"], &["audit"]] {
        let said = host.run(words).out;
        assert!(said.contains("xpired"), "{words:?}: {said}");
    }
}

/// Starts a host with a kind that silence approves after a second, which the person has confirmed.
fn approving() -> TestHost {
    let mut host = TestHost::start_in(Home::new().with_config(DENIES));
    let folder = host.work().canonicalize().unwrap().display().to_string();
    let config = format!("{DENIES}on_silence = \"approve\"\ncwd = \"{folder}\"\n");
    std::fs::write(host.data().join("config.toml"), config).unwrap();
    let loosening = until("something to confirm", || {
        let Reply::Rules(rules) = host.call(&Call::Rules) else { panic!("no rules") };
        rules.loosening
    });
    let expected = format!(
        "approved when nobody answers for 1.0s: tasks of kind deploy, which run touch ran in {folder}"
    );
    assert_eq!(loosening.changes, [expected]);
    // Until that is confirmed, silence denies.
    let denied = submit_plainly(&host, |_| ());
    assert_eq!(host.wait_for_end(denied).state.name(), StateName::Denied);
    let confirm =
        Call::ConfirmLoosening { operation: new_operation().unwrap(), shown: loosening.hash };
    host.person(&confirm).unwrap();
    host
}

/// Submits the kind as the window does, with nothing but the person's own environment.
fn submit_plainly(host: &TestHost, change: impl FnOnce(&mut Submit)) -> TaskId {
    let mut call = host.shell_submit("");
    call.command = CommandLine::Argv { argv: vec![] };
    call.scheduling.kind = Some(KindUse { name: "deploy".into(), values: Default::default() });
    change(&mut call);
    let Reply::Submitted { id, .. } = host.call(&Call::Submit(Box::new(call))) else { panic!() };
    id
}

/// Has the window show all that there is.
fn look(host: &mut TestHost) {
    let Reply::Snapshot(_) = host.person(&Call::Snapshot).unwrap() else { panic!("no snapshot") };
}

/// Returns what the newest question of a task says of silence; its second may be over by now.
fn terms(host: &TestHost, id: TaskId) -> String {
    host.detail(id).requests.pop().unwrap().shown.terms.join("\n")
}

#[test]
fn silence_approves_a_kind_once_the_person_has_confirmed_that_and_nothing_else() {
    let mut host = approving();
    let id = submit_plainly(&host, |_| ());
    let words = "it is approved if nobody answers for 1.0s while the window shows it";
    assert!(terms(&host, id).starts_with(words), "{}", terms(&host, id));
    look(&mut host);
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert!(host.work().join("ran").exists());
    assert!(host.run(&["audit"]).out.contains("approved, since nobody answered"));
    // With something in its environment that may decide what runs, it is not.
    let ran = host.run(&["submit", "--kind", "deploy", "--env", "GIT_SSH_COMMAND=/tmp/evil"]);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let redirected = TaskId(said["task_id"].as_i64().unwrap());
    // Nor is one that is typed into.
    let typed = submit_plainly(&host, |call| call.output = OutputMode::Interactive);
    for id in [redirected, typed] {
        assert_denied_in_sight(&mut host, id);
    }
}

#[track_caller]
fn assert_denied_in_sight(host: &mut TestHost, id: TaskId) {
    assert!(terms(host, id).contains("it is denied if nobody answers"), "{}", terms(host, id));
    look(host);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Denied);
}

#[test]
fn silence_approves_nothing_that_the_window_has_not_shown_for_so_long() {
    let mut host = approving();
    let id = submit_plainly(&host, |_| ());
    let asked = host.wait_for_request(id);
    let is_later = |host: &TestHost, than: &Request| {
        let now = host.request(id, than.id);
        assert!(now.is_open(), "{now:?}");
        (now.expires_at > than.expires_at).then_some(now)
    };
    let later = until("it to wait on", || is_later(&host, &asked));
    // Nor while there was no host, nor with the next one.
    host.kill();
    host.restart();
    until("it to wait on", || is_later(&host, &later));
    assert!(!host.work().join("ran").exists());
    look(&mut host);
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn silence_speaks_of_the_folder_of_its_kind_alone() {
    let mut host = approving();
    let evil = host.work().join("evil");
    std::fs::create_dir(&evil).unwrap();
    let id = submit_plainly(&host, |_| ());
    let shown = host.wait_for_request(id);
    let ran = host.run(&["edit", &id.to_string(), "--cwd", &evil.display().to_string()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    until("the question once more", || {
        host.detail(id).requests.pop().filter(|request| request.id != shown.id)
    });
    assert_denied_in_sight(&mut host, id);
    assert!(!evil.join("ran").exists());
}

#[test]
fn silence_does_not_approve_what_a_rule_asks_about() {
    let mut host = approving();
    let id = submit_plainly(&host, |_| ());
    let asked = host.wait_for_request(id);
    assert!(terms(&host, id).contains("it is approved"), "{asked:?}");
    let file = host.data().join("config.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let rule =
        "[[rules]]\nname = \"touching\"\nmatch = [\"touch\", \"**\"]\nthen = \"ask_first\"\n";
    std::fs::write(&file, format!("{config}{rule}")).unwrap();
    until("the rule", || {
        let Reply::Rules(rules) = host.call(&Call::Rules) else { panic!("no rules") };
        rules.rules.iter().any(|kept| kept.rule.name.as_deref() == Some("touching")).then_some(())
    });
    // Nor one that was asked before there was the rule.
    look(&mut host);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Denied);
    let id = submit_plainly(&host, |_| ());
    assert_denied_in_sight(&mut host, id);
    assert!(!host.work().join("ran").exists());
}
