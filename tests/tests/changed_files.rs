//! What is approved is what runs: the program, and the script that is named for it.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::os::unix::fs::PermissionsExt as _;

use nod_core::request::{Answer, Request};
use nod_core::task::Outcome;
use nod_tests::{Home, TestHost, until};

fn script(host: &TestHost, name: &str, says: &str) {
    let path = host.work().join(name);
    std::fs::write(&path, format!("#!/bin/sh\necho {says}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_script_that_changes_between_the_approval_and_the_start_is_asked_about_again() {
    let mut host = TestHost::start();
    assert_eq!(host.run(&["group", "pause", "default"]).code, Some(0));
    for words in [&["./d.sh"][..], &["sh", "d.sh"], &["/bin/sh", "-c", "true; ./d.sh", "x"]] {
        script(&host, "d.sh", "shown");
        let id = host.submit_with(&["--ask-first"], words);
        let shown = host.wait_for_request(id);
        host.answer(&shown, Answer::Approve);
        script(&host, "d.sh", "another");
        assert_eq!(host.run(&["group", "resume", "default"]).code, Some(0));
        let again = until("the question once more", || {
            let open = host.detail(id).requests.into_iter().find(Request::is_open);
            open.filter(|request| request.id != shown.id)
        });
        let why = again.shown.detail.clone().unwrap();
        assert!(why.contains("has changed since") && why.ends_with("d.sh"), "{why}");
        // A host that comes later knows it too.
        host.kill();
        host.restart();
        host.answer(&again, Answer::Approve);
        assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
        assert_eq!(host.plain_log(id), "another\n");
        assert_eq!(host.run(&["group", "pause", "default"]).code, Some(0));
    }
}

#[test]
fn a_program_that_is_found_earlier_by_then_is_asked_about_again() {
    let first = Home::new();
    let path = format!("{}:{}", first.work().display(), std::env::var("PATH").unwrap());
    let mut host = TestHost::start_in(first.with_variable("PATH", path));
    assert_eq!(host.run(&["group", "pause", "default"]).code, Some(0));
    let id = host.submit_with(&["--ask-first"], &["printf", "%s", "shown"]);
    let shown = host.wait_for_request(id);
    host.answer(&shown, Answer::Approve);
    script(&host, "printf", "evil");
    assert_eq!(host.run(&["group", "resume", "default"]).code, Some(0));
    let again = until("the question once more", || {
        host.detail(id).requests.into_iter().find(Request::is_open)
    });
    assert!(again.shown.detail.unwrap().ends_with("work/printf"));
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    host.wait_for_end(id);
}

#[test]
fn a_script_that_was_not_there_when_it_was_asked_about_is_asked_about_again() {
    let mut host = TestHost::start();
    let options = ["-e"; 40];
    let far_behind: Vec<_> = ["sh"].into_iter().chain(options).chain(["far.sh"]).collect();
    for (name, words) in [("clean.sh", &["./clean.sh"][..]), ("far.sh", &far_behind)] {
        let id = host.submit_with(&["--ask-first"], words);
        let shown = host.wait_for_request(id);
        script(&host, name, "late");
        host.answer(&shown, Answer::Approve);
        let again = until("the question once more", || {
            let open = host.detail(id).requests.into_iter().find(Request::is_open);
            open.filter(|request| request.id != shown.id)
        });
        assert!(again.shown.detail.as_ref().unwrap().ends_with(name), "{again:?}");
        // One that goes is another matter, too.
        std::fs::remove_file(host.work().join(name)).unwrap();
        host.answer(&again, Answer::Approve);
        let last = until("the question a third time", || {
            let open = host.detail(id).requests.into_iter().find(Request::is_open);
            open.filter(|request| request.id != again.id)
        });
        script(&host, name, "known");
        host.answer(&last, Answer::Deny { reason: None });
        host.wait_for_end(id);
    }
}
