//! The mixed load that hosts are killed under, and what each of its tasks must have come to.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fastrand::Rng;
use nod_client::{ClientError, Door, Next, new_operation, persist};
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, ErrorCode, Notify, Reply, Submit, TypeIn};
use nod_core::request::{Answer, Closure, Request};
use nod_core::schedule::{Dependency, Retry};
use nod_core::task::{Outcome, OutputMode, StateName};
use nod_tests::{TestHost, until};
use serde_json::{Value, json};

use super::answer_to;

const WORKERS: u64 = 3;
/// How many tasks a worker submits in a round at the most.
const TASKS: u64 = 5;

/// What a task of the load does, and so how it must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Exit(i32),
    Ask,
    Cancel,
    /// It runs out of time.
    Late,
    /// It fails once, and is tried again.
    Again,
    /// It leaves a process behind.
    Leaves,
    /// It waits for a signal, which may come before it starts.
    Await,
    /// It is submitted twice under one key.
    Keyed,
    /// It comes after what the same worker has submitted before, if that succeeds.
    After,
    /// It is paused, and goes on.
    Paused,
    /// Somebody types into it.
    Typed,
}

impl Plan {
    fn of(random: &mut Rng) -> Self {
        match random.u32(0..24) {
            0..5 => Self::Exit(random.i32(0..3)),
            5..8 => Self::Ask,
            8..10 => Self::Cancel,
            10 => Self::Late,
            11..13 => Self::Again,
            13..15 => Self::Await,
            15..17 => Self::Keyed,
            17..19 => Self::After,
            19..21 => Self::Paused,
            21..23 => Self::Typed,
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
            Self::Await => format!("nod await signal >> heard-{key}"),
            Self::Keyed => format!("while [ ! -e twice-{key} ]; do sleep 0.01; done"),
            Self::After => "exit 0".to_owned(),
            Self::Paused => "sleep 0.05; sleep 0.05".to_owned(),
            Self::Typed => format!("read line; echo \"$line\" >> typed-{key}"),
        }
    }

    /// What of a submit is not as with every other task.
    fn prepare(self, submit: &mut Submit, key: &str, before: Option<TaskId>) {
        let scheduling = &mut submit.scheduling;
        match self {
            Self::Late => submit.timeout_ms = Some(300),
            Self::Again => scheduling.retry = Some(Retry::new(1, 10)),
            Self::Keyed => scheduling.key = Some(key.to_owned()),
            Self::After => {
                let after = before.map(|task| Dependency { task, any: false });
                scheduling.after = after.into_iter().collect();
            }
            Self::Typed => {
                submit.output = OutputMode::Interactive;
                // Its slot is never another's: it is typed into once it runs.
                scheduling.group = Some("typed".to_owned());
            }
            Self::Exit(_)
            | Self::Ask
            | Self::Cancel
            | Self::Leaves
            | Self::Await
            | Self::Paused => {}
        }
    }
}

/// A task whose submit was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Promised {
    pub(crate) id: TaskId,
    pub(crate) key: String,
    pub(crate) plan: Plan,
    /// What the same worker had submitted before.
    pub(crate) before: Option<TaskId>,
}

/// All that is random in a round: the same seed, the same load and the same moments.
pub(crate) struct Round {
    pub(crate) seed: u64,
    /// What each worker does: a plan, and how long it waits before and after, in milliseconds.
    pub(crate) load: Vec<Vec<(Plan, u64, u64)>>,
    /// After how many acknowledged calls the host is killed, and how much later.
    pub(crate) kill_after: usize,
    pub(crate) kill_later: Duration,
    /// Answers the questions whose numbers leave this rest.
    pub(crate) answers: u64,
}

impl Round {
    pub(crate) fn new(seed: u64) -> Self {
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

/// Paces the load, mostly by what the seed has chosen: so the calls of a round are spread over the
/// life of its host, which is killed in the middle of each sort of them. Nothing is expected to have
/// happened by then.
fn pace(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

/// What the workers share.
pub(crate) struct Load {
    pub(crate) door: Door,
    pub(crate) work: PathBuf,
    pub(crate) template: Submit,
    pub(crate) acknowledged: AtomicUsize,
    pub(crate) promised: Mutex<Vec<Promised>>,
}

impl Load {
    pub(crate) fn of(host: &TestHost) -> Self {
        Self {
            door: Door { socket: host.socket(), token: None },
            work: host.work(),
            template: Submit {
                // That of a login shell takes longer to read than most of these hosts live.
                environment: Some([("PATH".into(), std::env::var("PATH").unwrap())].into()),
                ..host.shell_submit("true")
            },
            acknowledged: AtomicUsize::new(0),
            promised: Mutex::default(),
        }
    }

    /// Carries out a call, however many hosts that takes.
    fn call(&self, call: &Call) -> Reply {
        self.try_call(call).unwrap_or_else(|| panic!("{call:?} is refused"))
    }

    /// Carries out a call that may be refused where a task has gone on, however many hosts that takes.
    fn try_call(&self, call: &Call) -> Option<Reply> {
        // Far sooner than a program tries again, since the next host does not live long.
        let again = |_: &ClientError| {
            pace(2);
            Ok::<_, ClientError>(Next::Now)
        };
        let reply = persist(&self.door, None, |host| host.call(call), again);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        match reply {
            Ok(reply) => Some(reply),
            Err(ClientError::Refused(why)) if why.code == ErrorCode::Conflict => None,
            Err(error) => panic!("{call:?}: {error}"),
        }
    }

    fn submit(&self, submit: Submit) -> (TaskId, bool) {
        let reply = self.call(&Call::Submit(Box::new(submit)));
        let Reply::Submitted { id, known, .. } = reply else { panic!("{reply:?}") };
        (id, known)
    }

    pub(crate) fn run(&self, round: &Round, worker: usize) {
        let mut before = None;
        for (number, (plan, wait, after)) in round.load[worker].iter().enumerate() {
            let key = format!("{}-{worker}-{number}", round.seed);
            // Each start leaves a line, so that one too many is seen.
            let line = format!("echo $NOD_ATTEMPT $$ >> runs-{key}; {}", plan.line(&key));
            let mut submit = Submit {
                operation: new_operation().unwrap(),
                command: nod_core::command::CommandLine::Shell { line },
                label: Some(key.clone()),
                ..self.template.clone()
            };
            plan.prepare(&mut submit, &key, before);
            let (id, known) = self.submit(submit.clone());
            assert!(!known, "{key} is there already");
            let promised = Promised { id, key, plan: *plan, before };
            self.promised.lock().unwrap().push(promised.clone());
            before = Some(id);
            self.follow_up(&promised, &submit, *wait);
            pace(*after);
        }
    }

    /// Does to a task what its plan is, after a while.
    fn follow_up(&self, promised: &Promised, submit: &Submit, wait: u64) {
        let Promised { id, key, plan, .. } = promised;
        let (id, operation) = (*id, new_operation().unwrap());
        match plan {
            Plan::Cancel => {
                pace(wait);
                self.call(&Call::Cancel { operation, id });
            }
            Plan::Await => {
                pace(wait);
                let (signal, data) = ("signal".to_owned(), json!(key));
                self.call(&Call::Notify(Notify { operation, id, key: signal, data }));
            }
            Plan::Keyed => {
                assert_eq!(self.submit(Submit { operation, ..submit.clone() }), (id, true));
                fs::write(self.work.join(format!("twice-{key}")), "").unwrap();
            }
            Plan::Paused => {
                pace(wait);
                // Refused where it does not run yet, or has ended.
                if self.try_call(&Call::Pause { operation, id }).is_some() {
                    let operation = new_operation().unwrap();
                    // Refused where it has ended before it halted.
                    drop(self.try_call(&Call::Resume { operation, id }));
                }
            }
            Plan::Typed => {
                let data = BASE64.encode(format!("{key}\n"));
                let typed = TypeIn { operation: Some(operation), id, data, session: None };
                // Refused until it runs.
                until("typing", || self.try_call(&Call::Input(typed.clone())));
            }
            Plan::Exit(_) | Plan::Ask | Plan::Late | Plan::Again | Plan::Leaves | Plan::After => {}
        }
    }

    pub(crate) fn read(&self, name: &str, key: &str) -> String {
        fs::read_to_string(self.work.join(format!("{name}-{key}"))).unwrap_or_default()
    }
}

/// Checks that a task is what was promised of it.
pub(crate) fn check(host: &TestHost, load: &Load, promised: &Promised) {
    let Promised { id, key, plan, before } = promised;
    let detail = host.detail(*id);
    let what = format!("task {id} ({key}, {plan:?}): {detail:#?}");
    assert_eq!(detail.task.label.as_ref(), Some(key), "{what}");
    let outcome = detail.task.state.outcome().unwrap_or_else(|| panic!("not ended: {what}"));
    let ends = detail
        .events
        .iter()
        .filter(|event| StateName::parse(&event.what).is_some_and(StateName::is_terminal));
    assert_eq!(ends.count(), 1, "one end each: {what}");
    match plan {
        Plan::Exit(0) => assert_eq!(*outcome, Outcome::Succeeded, "{what}"),
        Plan::Exit(code) => assert_eq!(outcome.words(), format!("Failed (exit {code})"), "{what}"),
        Plan::Ask => {
            assert_eq!(*outcome, Outcome::Succeeded, "{what}");
            check_answer(load, key, &detail.requests, &what);
        }
        Plan::Cancel => assert_eq!(outcome.name(), StateName::Cancelled, "{what}"),
        Plan::Late => assert_eq!(*outcome, Outcome::TimedOut, "{what}"),
        Plan::After => {
            let is_let = before.is_none_or(|id| host.state(id) == StateName::Succeeded);
            let expected = if is_let { StateName::Succeeded } else { StateName::Skipped };
            assert_eq!(outcome.name(), expected, "{what}");
        }
        Plan::Await => {
            assert_eq!(*outcome, Outcome::Succeeded, "{what}");
            assert_eq!(load.read("heard", key), format!("\"{key}\"\n"), "{what}");
        }
        Plan::Typed => {
            assert_eq!(*outcome, Outcome::Succeeded, "{what}");
            assert_eq!(load.read("typed", key), format!("{key}\n"), "{what}");
        }
        Plan::Again | Plan::Leaves | Plan::Keyed | Plan::Paused => {
            assert_eq!(*outcome, Outcome::Succeeded, "{what}");
        }
    }
    // What a task said of itself may be lost with the host that heard it, and never becomes another.
    if let Some(progress) = &detail.task.progress {
        assert!(matches!(plan, Plan::Exit(_)), "{what}");
        let said = (progress.percent, progress.message.as_deref());
        assert_eq!(said, (Some(30.0), Some("begun")), "{what}");
    }
    check_runs(load, key, (*plan, outcome.name()), &what);
}

/// Checks that a task asked once, and heard what was answered to that, once.
fn check_answer(load: &Load, key: &str, requests: &[Request], what: &str) {
    let [request] = requests else { panic!("one question each: {what}") };
    let Some(Closure::Answered { answer, .. }) = &request.closure else { panic!("{what}") };
    assert_eq!(*answer, answer_to(request), "{what}");
    let (code, expected) = if let Answer::Deny { reason } = answer {
        ("1\n", json!({ "answer": "denied", "reason": reason }))
    } else {
        ("0\n", json!({ "answer": "approved" }))
    };
    assert_eq!(load.read("code", key), code, "{what}");
    let said = load.read("said", key);
    let heard: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(heard, [expected], "{said} {what}");
}

/// Checks that a task was started as often as its plan and its end allow, and each try once.
fn check_runs(load: &Load, key: &str, (plan, end): (Plan, StateName), what: &str) {
    let runs = load.read("runs", key);
    let expected = match plan {
        // One that was cancelled may never have started.
        Plan::Cancel => 0..=1,
        Plan::After if end == StateName::Skipped => 0..=0,
        Plan::Again => 2..=2,
        Plan::Exit(_)
        | Plan::Ask
        | Plan::Late
        | Plan::Leaves
        | Plan::Await
        | Plan::Keyed
        | Plan::After
        | Plan::Paused
        | Plan::Typed => 1..=1,
    };
    let mut attempts: Vec<_> = runs.lines().filter_map(|line| line.split_once(' ')).collect();
    assert!(expected.contains(&attempts.len()), "started {runs:?}: {what}");
    attempts.dedup_by_key(|(attempt, _)| *attempt);
    assert_eq!(attempts.len(), runs.lines().count(), "two processes for one try: {runs} {what}");
}
