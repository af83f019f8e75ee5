//! What speed rests on, where no clock is needed to see it: statements, wake-ups, system calls.

use std::fs;
use std::thread;
use std::time::Duration;

use nod_core::protocol::Call;
use nod_core::request::Answer;
use nod_core::task::StateName;
use nod_tests::home::program;
use nod_tests::{TestHost, processes, until};

/// Returns how many statements the host's writer runs for `work`.
fn statements(host: &mut TestHost, work: impl FnOnce(&mut TestHost)) -> u64 {
    let before = host.statements();
    work(host);
    host.statements() - before
}

#[test]
fn a_task_from_submit_to_end_takes_few_statements() {
    let mut host = TestHost::start();
    // The first one brings the environment and the row of each state.
    let first = host.submit_with(&[], &["true", "x"]);
    host.wait_for_end(first);
    let counts: Vec<u64> = (0..5)
        .map(|_| {
            statements(&mut host, |host| {
                let id = host.submit_with(&[], &["true", "x"]);
                host.wait_for_end(id);
            })
        })
        .collect();
    // Two commits, one for the submit and the start, one for the rest; 28 with what the counts'
    // triggers and the search index do within.
    assert!(counts.iter().min() <= Some(&28), "{counts:?}");
    // On a slow machine the start and the exit may be stored alone: 9 more each.
    assert!(counts.iter().max() <= Some(&46), "{counts:?}");
}

#[test]
fn an_answer_takes_few_statements() {
    let mut host = TestHost::start();
    let counts: Vec<u64> = (0..3)
        .map(|_| {
            let id = host.submit("nod ask 'Go on?' && sleep 600");
            let request = host.wait_for_request(id);
            host.wait_for_state(id, StateName::Waiting);
            // A task may ask before its start is known; that is stored by itself.
            nod_tests::until("the start", || host.detail(id).attempts.first()?.process);
            statements(&mut host, |host| {
                host.answer(&request, Answer::Approve);
            })
        })
        .collect();
    // One commit: the answer in the audit with the trigger that lets no row be replaced, the question,
    // the task and its count, two events, and the operation. One more where the commit before it was
    // of the kind that no fsync follows.
    assert!(counts.iter().min() <= Some(&12), "{counts:?}");
    assert!(counts.iter().max() <= Some(&13), "{counts:?}");
}

#[test]
fn an_idle_host_does_not_wake_up() {
    let host = TestHost::start();
    let mut subscriber = host.connect();
    subscriber.send(&Call::Subscribe).unwrap();
    subscriber.receive().unwrap();
    let id = host.submit_with(&[], &["sleep", "600"]);
    host.wait_for_state(id, StateName::Running);
    let switches = || processes::voluntary_switches(host.pid());
    until("the host to come to rest", || {
        let before = switches();
        thread::sleep(Duration::from_millis(500));
        (switches() == before).then_some(())
    });
    let before = switches();
    thread::sleep(Duration::from_secs(10));
    // A thread of the pool that has had nothing to do for 10 s ends, once, and is not counted.
    let woken: u64 = switches()
        .iter()
        .map(|(thread, after)| after - before.get(thread).copied().unwrap_or(0))
        .sum();
    assert!(woken <= 3, "an idle host woke up {woken} times in 10 s");
}

/// Returns the system calls of `nod` with these words, one a line, as strace writes them.
fn system_calls(host: &TestHost, words: &[&str]) -> Vec<String> {
    let file = host.path().join("calls");
    let mut strace = host.command("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o"]).arg(&file).arg(program("nod"));
    let output = strace.args(words).output().expect("strace is installed by make test");
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(file).expect("strace wrote its file");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_submit_is_one_small_process_with_one_message() {
    let host = TestHost::start();
    let calls = system_calls(&host, &["submit", "--", "true", "x"]);
    let named = |names: &[&str]| {
        let calls = calls.iter().map(|line| line.split_whitespace().nth(1).unwrap_or_default());
        calls.filter(|call| names.iter().any(|name| call.starts_with(name))).count()
    };
    let all = calls.join("\n");
    assert_eq!(named(&["clone", "fork", "vfork"]), 0, "{all}");
    assert_eq!(named(&["connect("]), 1, "{all}");
    assert_eq!(named(&["sendto(", "sendmsg("]), 1, "{all}");
    // The message goes out with sendto; what is written is the one line for the caller.
    assert_eq!(named(&["write(", "writev("]), 1, "{all}");
    // 94 in a debug build, a third of which load its libraries; the static one has 59.
    assert!(calls.len() <= 104, "{} system calls:\n{all}", calls.len());
}
