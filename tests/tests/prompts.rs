//! What looks like a prompt: said once it stays the last line, and each time that it does.

use std::fs;

use nod_core::ids::TaskId;
use nod_core::task::StateName;
use nod_tests::{Home, TestHost, until};

fn host(silence_ms: u32) -> TestHost {
    TestHost::start_in(Home::new().with_config(&format!("[output]\nsilence_ms = {silence_ms}\n")))
}

/// Returns what was told of a task's prompts, in order.
fn told(host: &TestHost, id: TaskId) -> Vec<(String, Option<String>)> {
    let events = host.detail(id).events.into_iter();
    let events = events.filter(|event| event.what == "needs_input" || event.what == "goes_on");
    events.map(|event| (event.what, event.detail)).collect()
}

#[test]
fn a_line_that_looks_like_a_prompt_and_is_printed_again_and_again_is_none() {
    // Hundreds of times in as long as it would have to be silent.
    let host = host(4_000);
    let again = host.submit("until [ -e go ]; do printf 'Continue? [Y/n] '; sleep 0.01; done");
    let lines = host.submit("until [ -e go ]; do echo 'Continue? [Y/n]'; sleep 0.01; done");
    for id in [again, lines] {
        host.wait_for_state(id, StateName::Running);
        until("the first one", || (!host.log(id).is_empty()).then_some(()));
    }
    // One that was asked later, and stays, is told before.
    let stays = host.submit("printf 'Continue? [Y/n] '; while [ ! -e go ]; do sleep 0.02; done");
    until("the prompt", || host.task(stays).condition.prompt);
    for id in [again, lines] {
        assert_eq!(host.task(id).condition.prompt, None);
        assert_eq!(told(&host, id), []);
    }
    fs::write(host.work().join("go"), "").unwrap();
    for id in [again, lines, stays] {
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    }
    assert_eq!((told(&host, again), told(&host, lines)), (vec![], vec![]));
}

#[test]
fn each_prompt_is_told_though_it_is_the_same_once_the_task_has_gone_on() {
    let host = host(100);
    let line = "for n in 1 2 3; do printf 'Overwrite? (y/n) '; read it; echo $n $it >> got; \
                echo written; done; while [ ! -e go ]; do sleep 0.02; done";
    let id = host.submit_with(&["-i"], &[line]);
    host.wait_for_state(id, StateName::Running);
    for answer in ["y", "n", "all"] {
        let prompt = until("the prompt", || host.task(id).condition.prompt);
        assert_eq!(prompt, "Overwrite? (y/n)");
        let before = told(&host, id).len();
        assert_eq!(host.run(&["stdin", &id.to_string(), "--line", answer]).code, Some(0));
        // What was typed is echoed, and it prints more.
        until("it goes on", || (told(&host, id).len() > before).then_some(()));
    }
    until("it goes on", || host.task(id).condition.prompt.is_none().then_some(()));
    fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let got = fs::read_to_string(host.work().join("got")).unwrap();
    assert_eq!(got, "1 y\n2 n\n3 all\n");
    let asked = ("needs_input".to_owned(), Some("Overwrite? (y/n)".to_owned()));
    let went_on = ("goes_on".to_owned(), None);
    let one = [asked, went_on];
    assert_eq!(told(&host, id), [one.clone(), one.clone(), one].concat());
}

#[test]
fn each_wait_to_be_typed_into_is_one_notice_for_the_session_also_after_a_host_died() {
    let mut host = host(100);
    let line = "printf 'Overwrite? (y/n) '; while [ ! -e yes ]; do sleep 0.02; done; \
                printf 'y\nContinue? '; while [ ! -e go ]; do sleep 0.02; done";
    let id = host.submit_with(&["--session", "s"], &[line]);
    let prompt = |host: &TestHost| host.task(id).condition.prompt;
    until("the first", || prompt(&host).filter(|line| line.contains("Overwrite?")));
    host.kill();
    host.restart();
    fs::write(host.work().join("yes"), "").unwrap();
    until("the second", || prompt(&host).filter(|line| line.contains("Continue?")));
    fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    let notice = |line: &str| (Some("s".to_owned()), format!("needs input: {line}"), true);
    assert_eq!(host.notices(), [notice("Overwrite? (y/n)"), notice("Continue?")]);
}
