//! Faults at random moments: what was promised before them holds after them.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]
#![expect(clippy::print_stdout, reason = "a failure shows how it is repeated")]

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use nod_client::{ClientError, Door, Next, new_operation, persist};
use nod_core::ids::{RequestId, TaskId};
use nod_core::protocol::{Call, GiveAnswer, Reply, Submit};
use nod_core::request::{Answer, Closure, Request};
use nod_core::schedule::Retry;
use nod_core::task::{Outcome, StateName};
use nod_tests::{Home, TestHost, processes, until};

const ROUNDS: u64 = 50;
const WORKERS: u64 = 3;
/// How many tasks a worker submits in a round at the most.
const TASKS: u64 = 5;

/// What a task of the load does, and so how it must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Exit(i32),
    Ask,
    Cancel,
    /// It runs out of time.
    Late,
    /// It fails once, and is tried again.
    Again,
    /// It leaves a process behind.
    Leaves,
}

impl Plan {
    fn of(random: &mut Rng) -> Self {
        match random.u32(0..14) {
            0..5 => Self::Exit(random.i32(0..3)),
            5..8 => Self::Ask,
            8..10 => Self::Cancel,
            10 => Self::Late,
            11..13 => Self::Again,
            _ => Self::Leaves,
        }
    }

    fn line(self, key: &str) -> String {
        match self {
            Self::Exit(code) => format!("nod progress 30 begun; echo done; exit {code}"),
            Self::Ask => format!("nod ask 'Go {key}?' >> said-{key}; echo $? >> code-{key}"),
            Self::Cancel | Self::Late => "sleep 6108".to_owned(),
            Self::Again => format!("[ -e once-{key} ] || {{ touch once-{key}; exit 1; }}"),
            Self::Leaves => "sleep 6111 & exit 0".to_owned(),
        }
    }
}

/// A task whose submit was acknowledged.
#[derive(Debug, Clone)]
struct Promised {
    id: TaskId,
    key: String,
    plan: Plan,
}

/// All that is random in a round: the same seed, the same load and the same moments.
struct Round {
    seed: u64,
    /// What each worker does: a plan, and how long it waits before and after, in milliseconds.
    load: Vec<Vec<(Plan, u64, u64)>>,
    /// After how many acknowledged calls the host is killed, and how much later.
    kill_after: usize,
    kill_later: Duration,
    /// Answers the questions whose numbers leave this rest.
    answers: u64,
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut task = |_| (Plan::of(&mut random), random.u64(0..30), random.u64(0..20));
        let load: Vec<Vec<_>> =
            (0..WORKERS).map(|worker| (0..TASKS - worker % 2).map(&mut task).collect()).collect();
        let calls: usize = load.iter().map(Vec::len).sum();
        Self {
            seed,
            kill_after: random.usize(0..=calls),
            kill_later: Duration::from_micros(random.u64(0..8_000)),
            answers: random.u64(0..2),
            load,
        }
    }
}

/// What the workers share.
struct Load {
    door: Door,
    work: PathBuf,
    template: Submit,
    acknowledged: AtomicUsize,
    promised: Mutex<Vec<Promised>>,
}

impl Load {
    /// Carries out a call, however many hosts that takes.
    fn call(&self, call: &Call) -> Reply {
        // At once, since the next host does not live long.
        let again = |_: &ClientError| {
            thread::sleep(Duration::from_millis(2));
            Ok::<_, ClientError>(Next::Now)
        };
        let reply = persist(&self.door, None, |host| host.call(call), again).unwrap();
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        reply
    }

    fn run(&self, round: &Round, worker: usize) {
        for (number, (plan, before, after)) in round.load[worker].iter().enumerate() {
            let key = format!("{}-{worker}-{number}", round.seed);
            // Each start leaves a line, so that one too many is seen.
            let line = format!("echo $NOD_ATTEMPT $$ >> runs-{key}; {}", plan.line(&key));
            let mut submit = Submit {
                operation: new_operation().unwrap(),
                command: nod_core::command::CommandLine::Shell { line },
                label: Some(key.clone()),
                ..self.template.clone()
            };
            match plan {
                Plan::Late => submit.timeout_ms = Some(300),
                Plan::Again => submit.scheduling.retry = Some(Retry::new(1, 10)),
                Plan::Exit(_) | Plan::Ask | Plan::Cancel | Plan::Leaves => {}
            }
            let reply = self.call(&Call::Submit(Box::new(submit)));
            let Reply::Submitted { id, .. } = reply else { panic!("{reply:?}") };
            self.promised.lock().unwrap().push(Promised { id, key, plan: *plan });
            if *plan == Plan::Cancel {
                thread::sleep(Duration::from_millis(*before));
                self.call(&Call::Cancel { operation: new_operation().unwrap(), id });
            }
            thread::sleep(Duration::from_millis(*after));
        }
    }

    fn read(&self, name: &str, key: &str) -> String {
        fs::read_to_string(self.work.join(format!("{name}-{key}"))).unwrap_or_default()
    }
}

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

fn check(host: &TestHost, load: &Load, promised: &Promised) {
    let Promised { id, key, plan } = promised;
    let detail = host.detail(*id);
    let what = format!("task {id} ({key}, {plan:?}): {detail:#?}");
    assert_eq!(detail.task.label.as_ref(), Some(key), "{what}");
    let outcome = detail.task.state.outcome().unwrap_or_else(|| panic!("not ended: {what}"));
    let ends = detail
        .events
        .iter()
        .filter(|event| StateName::parse(&event.what).is_some_and(StateName::is_terminal));
    assert_eq!(ends.count(), 1, "one end each: {what}");
    let runs = load.read("runs", key);
    match plan {
        Plan::Exit(0) => assert_eq!(*outcome, Outcome::Succeeded, "{what}"),
        Plan::Exit(code) => assert_eq!(outcome.words(), format!("Failed (exit {code})"), "{what}"),
        Plan::Ask => {
            assert_eq!(*outcome, Outcome::Succeeded, "{what}");
            let [request] = detail.requests.as_slice() else { panic!("one question each: {what}") };
            let Some(Closure::Answered { answer, .. }) = &request.closure else { panic!("{what}") };
            assert_eq!(*answer, answer_to(request), "{what}");
            let code = if *answer == Answer::Approve { "0\n" } else { "1\n" };
            assert_eq!(load.read("code", key), code, "{what}");
            let said = load.read("said", key);
            assert!(said.lines().count() <= 1, "an answer came twice: {said} {what}");
        }
        Plan::Cancel => assert_eq!(outcome.name(), StateName::Cancelled, "{what}"),
        Plan::Late => assert_eq!(*outcome, Outcome::TimedOut, "{what}"),
        Plan::Again | Plan::Leaves => assert_eq!(*outcome, Outcome::Succeeded, "{what}"),
    }
    let expected = match plan {
        // One that was cancelled may never have started.
        Plan::Cancel => 0..=1,
        Plan::Again => 2..=2,
        Plan::Exit(_) | Plan::Ask | Plan::Late | Plan::Leaves => 1..=1,
    };
    let mut attempts: Vec<_> = runs.lines().filter_map(|line| line.split_once(' ')).collect();
    assert!(expected.contains(&attempts.len()), "started {runs:?}: {what}");
    attempts.dedup_by_key(|(attempt, _)| *attempt);
    assert_eq!(attempts.len(), runs.lines().count(), "two processes for one try: {runs} {what}");
}

#[test]
fn a_host_that_is_killed_at_random_moments_keeps_every_promise() {
    // One round is repeated by its seed; else there are fifty, each with its own.
    let one = std::env::var("NOD_TEST_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let rounds = one.map_or(1..=ROUNDS, |seed| seed..=seed);
    let config = "[cancel]\ngrace_ms = 300\n";
    let mut host = TestHost::start_in(Home::new().with_config(config));
    let load = Load {
        door: Door { socket: host.socket(), token: None },
        work: host.work(),
        template: Submit {
            // That of a login shell takes longer to read than most of these hosts live.
            environment: Some([("PATH".into(), std::env::var("PATH").unwrap())].into()),
            ..host.shell_submit("true")
        },
        acknowledged: AtomicUsize::new(0),
        promised: Mutex::default(),
    };
    for round in rounds.map(Round::new) {
        println!("NOD_TEST_SEED={} repeats this round", round.seed);
        load.acknowledged.store(0, Ordering::Relaxed);
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
        });
    }
    let promised = load.promised.lock().unwrap().clone();
    until("every end", || {
        for request in open_requests(&mut host) {
            host.answer(&request, answer_to(&request));
        }
        host.tasks().iter().all(|task| task.state.outcome().is_some()).then_some(())
    });
    for promised in &promised {
        check(&host, &load, promised);
    }
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
        until(name, || host.work().join(name).exists().then_some(()));
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
