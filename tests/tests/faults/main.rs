//! Faults at random moments: what was promised before them holds after them.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]
#![expect(clippy::print_stdout, reason = "a failure shows how it is repeated")]

mod load;

use std::fs;
use std::sync::atomic::Ordering;
use std::thread;

use nod_client::{Door, new_operation};
use nod_core::ids::{RequestId, TaskId};
use nod_core::protocol::{Call, GiveAnswer, Reply, Submit};
use nod_core::request::{Answer, Request};
use nod_core::task::{Outcome, StateName};
use nod_tests::{Home, TestHost, processes, until};

use load::{Load, Promised, Round, check};

const ROUNDS: u64 = 50;

fn open_requests(host: &mut TestHost) -> Vec<Request> {
    let reply = host.person(&Call::Snapshot).unwrap();
    let Reply::Snapshot(snapshot) = reply else { panic!("{reply:?}") };
    snapshot.requests
}

fn answer_to(request: &Request) -> Answer {
    if request.id.0 % 3 == 0 {
        Answer::Deny { reason: Some(format!("no {}", request.id)) }
    } else {
        Answer::Approve
    }
}

/// Answers some of what is open, and does not wait to hear whether that was taken.
fn answer_some(host: &mut TestHost, round: &Round) {
    for request in open_requests(host) {
        if request.id.0.unsigned_abs() % 2 == round.answers {
            host.say_as_person(&Call::Answer(GiveAnswer {
                operation: new_operation().unwrap(),
                request: request.id,
                answer: answer_to(&request),
                comment: None,
                shown: request.hash.clone(),
            }));
        }
    }
}

/// Answers what is asked until every task has ended. There are few slots for many, so each end has
/// the patience of a condition.
fn end_all(host: &mut TestHost) {
    let unfinished = |host: &TestHost| {
        let Reply::Snapshot(shown) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
        let tasks = shown.tasks.into_iter().filter(|task| task.state.outcome().is_none());
        tasks.map(|task| (task.id, task.label, task.state)).collect::<Vec<_>>()
    };
    loop {
        let left = unfinished(host);
        if left.is_empty() {
            return;
        }
        until(&format!("an end of one of {left:?}"), || {
            for request in open_requests(host) {
                host.answer(&request, answer_to(&request));
            }
            (unfinished(host).len() < left.len()).then_some(())
        });
    }
}

#[test]
fn a_host_that_is_killed_at_random_moments_keeps_every_promise() {
    // One round is repeated by its seed; else there are fifty, each with its own.
    let one = std::env::var("NOD_TEST_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let rounds = one.map_or(1..=ROUNDS, |seed| seed..=seed);
    // Few slots: of what a host is killed with, some is queued.
    let config = "[cancel]\ngrace_ms = 300\n[groups.default]\nslots = 4\n[groups.typed]\n";
    let mut host = TestHost::start_in(Home::new().with_config(config));
    let mut found_queued = false;
    let load = Load::of(&host);
    for round in rounds.map(Round::new) {
        println!("NOD_TEST_SEED={} repeats this round", round.seed);
        load.acknowledged.store(0, Ordering::Relaxed);
        // Who asks has a slot, which others wait for.
        for request in open_requests(&mut host) {
            host.answer(&request, answer_to(&request));
        }
        thread::scope(|scope| {
            for worker in 0..round.load.len() {
                let (load, round) = (&load, &round);
                scope.spawn(move || load.run(round, worker));
            }
            until("the calls before the kill", || {
                (load.acknowledged.load(Ordering::Relaxed) >= round.kill_after).then_some(())
            });
            answer_some(&mut host, &round);
            // Not to wait for anything: a moment of its own is what this is about.
            thread::sleep(round.kill_later);
            host.kill();
            host.restart();
            found_queued |= host.tasks().iter().any(|it| it.state.name() == StateName::Queued);
        });
    }
    assert!(found_queued || one.is_some(), "no host was killed with a queued task");
    let promised = load.promised.lock().unwrap().clone();
    end_all(&mut host);
    promised.iter().for_each(|promised| check(&host, &load, promised));
    let has_progress = |it: &Promised| host.task(it.id).progress.is_some();
    assert!(promised.iter().any(has_progress) || one.is_some(), "no progress was kept");
    let mut ids: Vec<TaskId> = promised.iter().map(|promised| promised.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), promised.len(), "an id was given twice");
    assert_eq!(host.count_of_tasks(), promised.len(), "a submit was carried out twice");
    let own = host.pid();
    until("all processes but the host to be gone", || {
        let left = processes::with_mark(&host.path().to_string_lossy());
        left.iter().all(|pid| *pid == own).then_some(())
    });
    println!("{} tasks", promised.len());
}

#[test]
fn a_task_that_ends_after_it_spoke_to_a_dead_host_harms_no_other() {
    let mut host = TestHost::start();
    let speaks = host.submit("touch one; while [ ! -e go ]; do sleep 0.02; done; nod progress 50");
    let other = host.submit("touch two; while [ ! -e end ]; do sleep 0.02; done");
    for name in ["one", "two"] {
        host.wait_for_file(name);
    }
    let process_of = |id| until("a process", || host.detail(id).attempts.first()?.process);
    let (process, ends) = (process_of(other), process_of(speaks));
    host.kill();
    fs::write(host.work().join("go"), "").unwrap();
    until("the end of the first", || (!processes::is_alive(ends)).then_some(()));
    assert!(processes::is_alive(process));
    host.restart();
    assert_eq!(host.wait_for_end(speaks).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(host.state(other), StateName::Running);
    assert_eq!(host.detail(other).attempts[0].process, Some(process));
    fs::write(host.work().join("end"), "").unwrap();
    assert_eq!(host.wait_for_end(other).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn a_hundred_submits_and_cancels_at_once_end_a_hundred_times() {
    // A shell that is interrupted just as it starts a program waits for that: SIGTERM ends both.
    let mut host = TestHost::start_in(Home::new().with_config("[cancel]\ngrace_ms = 300\n"));
    let door = Door { socket: host.socket(), token: None };
    let template = host.shell_submit("sleep 6109");
    let both: Vec<_> = (0..10)
        .map(|_| {
            let (door, template) = (door.clone(), template.clone());
            thread::spawn(move || {
                let mut ids = vec![];
                for _ in 0..10 {
                    let operation = new_operation().unwrap();
                    let submit = Submit { operation, ..template.clone() };
                    let mut connection = door.open().unwrap();
                    let reply = connection.call(&Call::Submit(Box::new(submit))).unwrap();
                    let Reply::Submitted { id, .. } = reply else { panic!("{reply:?}") };
                    let operation = new_operation().unwrap();
                    connection.call(&Call::Cancel { operation, id }).unwrap();
                    ids.push(id);
                }
                ids
            })
        })
        .collect();
    let ids: Vec<TaskId> = both.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    for id in &ids {
        assert_eq!(host.wait_for_end(*id).state.name(), StateName::Cancelled);
        let events = host.detail(*id).events;
        let ends = events.iter().filter(|event| event.what == "cancelled");
        assert_eq!(ends.count(), 1, "{events:?}");
    }
    let Reply::Snapshot(snapshot) = host.person(&Call::Snapshot).unwrap() else { panic!() };
    let active = snapshot.counts.iter().filter(|(name, n)| !name.is_terminal() && **n > 0);
    assert_eq!(active.collect::<Vec<_>>(), []);
    assert_eq!(snapshot.counts[&StateName::Cancelled], 100);
    until("no process", || processes::with_mark("sleep\u{0}6109").is_empty().then_some(()));
}

#[test]
fn a_thousand_tasks_run_at_once_and_are_all_cancelled() {
    let config = "[groups.default]\nslots = 1000\n[cancel]\ngrace_ms = 10000\n";
    let host = TestHost::start_in(Home::new().with_config(config));
    let lines = host.path().join("tasks.jsonl");
    // A program of its own, not a shell: each hears the first signal.
    let line = "{\"command\": [\"sleep\", \"6123\"], \"no_tty\": true}\n";
    fs::write(&lines, line.repeat(1_000)).unwrap();
    let ran = host.run(&["submit", "--from", lines.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let count = |host: &TestHost, state: StateName| {
        let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
        snapshot.counts.get(&state).copied().unwrap_or(0)
    };
    until("all to run", || (count(&host, StateName::Running) == 1_000).then_some(()));
    assert_eq!(processes::with_mark("sleep\u{0}6123").len(), 1_000);
    assert_eq!(host.run(&["cancel", "--all"]).code, Some(0));
    until("all to end", || (count(&host, StateName::Cancelled) == 1_000).then_some(()));
    assert_eq!(processes::with_mark("sleep\u{0}6123"), [] as [i32; 0]);
}

#[test]
fn a_shim_that_is_killed_while_no_host_runs_loses_its_task_alone() {
    let mut host = TestHost::start();
    let lost = host.submit("sleep 6110");
    let other = host.submit("touch two; while [ ! -e end ]; do sleep 0.02; done");
    until("the other", || host.work().join("two").exists().then_some(()));
    let process = until("the process", || host.detail(lost).attempts.first()?.process);
    host.kill();
    processes::kill_9(processes::parent(process));
    host.restart();
    let ended = host.wait_for_end(lost);
    let Some(Outcome::Lost { why }) = ended.state.outcome() else { panic!("{ended:?}") };
    assert!(why.contains("shim"), "{why}");
    until("the sweep", || processes::with_mark("sleep\u{0}6110").is_empty().then_some(()));
    assert_eq!(host.state(other), StateName::Running);
    fs::write(host.work().join("end"), "").unwrap();
    assert_eq!(host.wait_for_end(other).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn a_number_of_a_request_is_not_used_for_another_after_a_kill() {
    let mut host = TestHost::start();
    let mut seen: Vec<RequestId> = vec![];
    for _ in 0..3 {
        let id = host.submit("nod ask 'Go?'");
        let request = host.wait_for_request(id);
        assert!(!seen.contains(&request.id), "{seen:?}");
        seen.push(request.id);
        host.kill();
        host.restart();
    }
    assert_eq!(open_requests(&mut host).len(), 3);
}
