//! The life of a task as tables.

use super::*;
use crate::access::Surface;
use crate::ids::AttemptNumber;
use crate::shim::SHIM_PROTOCOL;

mod walks;

use walks::transition_with_retry;

const PERSON: Actor = Actor::Person { surface: Surface::Window };

fn queued_for_slot() -> TaskState {
    TaskState::Queued { reason: QueueReason::Slot }
}

fn gated(request: i64) -> TaskState {
    TaskState::Queued { reason: QueueReason::Gate { request: RequestId(request) } }
}

fn waiting<const N: usize>(open: [i64; N]) -> TaskState {
    TaskState::Waiting { open: open.into_iter().map(RequestId).collect() }
}

fn stopping_for(cause: StopCause) -> TaskState {
    TaskState::Stopping { cause, stage: None, cancelled_by: None }
}

fn cancelled_while(cause: StopCause) -> TaskState {
    TaskState::Stopping { cause, stage: None, cancelled_by: Some(PERSON) }
}

fn cancelling() -> TaskState {
    stopping_for(StopCause::Cancelled { by: PERSON })
}

fn stage() -> StopStage {
    StopStage { signal: "SIGINT".into(), next_at: None, waits_for: vec![], refused: vec![] }
}

fn spawn_error() -> SpawnError {
    SpawnError { program: "x".into(), cwd: "/".into(), message: "no".into(), not_found: true }
}

fn report(exit: Option<ExitStatus>, timed_out: bool) -> Box<Report> {
    Box::new(Report {
        protocol: SHIM_PROTOCOL,
        task: TaskId(1),
        attempt: AttemptNumber::FIRST,
        process: None,
        started_at: None,
        exit,
        exited_at: None,
        ended_at: Timestamp(1),
        ended_boot_ms: None,
        spawn_error: None,
        timed_out,
        stopped: timed_out,
        terminated: false,
        peak_memory: None,
        cpu_ms: None,
        left: vec![],
        no_room: false,
        size: 0,
        typed: vec![],
    })
}

fn exited(code: i32) -> Input {
    Input::Finished { report: report(Some(ExitStatus::Code { code }), false) }
}

fn stopped_with(code: i32) -> Input {
    let mut report = report(Some(ExitStatus::Code { code }), false);
    report.stopped = true;
    Input::Finished { report }
}

fn denied() -> Denial {
    Denial::ByPerson { by: PERSON, reason: Some("not today".into()) }
}

fn check<const N: usize>(cases: [(&str, TaskState, Input, TaskState); N]) {
    for (name, from, input, expected) in cases {
        let (actual, _) = transition(&from, input).unwrap_or_else(|err| panic!("{name}: {err}"));
        assert_eq!(actual, expected, "{name}");
    }
}

#[test]
fn accepted_inputs_lead_to_the_expected_state() {
    let cancel = || Input::CancelRequested { by: PERSON };
    let cancelled = || ended(Outcome::Cancelled { by: PERSON });
    let asked = |request| Input::Asked { request: RequestId(request) };
    let closed = |request| Input::Closed { request: RequestId(request) };
    let opened = |request| Input::GateOpened { request: RequestId(request) };
    let shut = |request| Input::GateShut { request: RequestId(request), denial: denied() };
    let cases = [
        ("a queued task starts", queued_for_slot(), Input::Admitted, TaskState::Starting),
        ("an opened gate queues", gated(1), opened(1), queued_for_slot()),
        ("a shut gate ends", gated(1), shut(1), ended(Outcome::Denied { denial: denied() })),
        ("a gated task can be cancelled", gated(1), cancel(), cancelled()),
        ("a queued task can be cancelled", queued_for_slot(), cancel(), cancelled()),
        ("a started task runs", TaskState::Starting, Input::Started, TaskState::Running),
        ("a task may ask before its start is known", TaskState::Starting, asked(1), waiting([1])),
        ("the start does not wipe a question", waiting([1]), Input::Started, waiting([1])),
        ("a second question joins the first", waiting([1]), asked(2), waiting([1, 2])),
        ("one answer leaves the other open", waiting([1, 2]), closed(1), waiting([2])),
        ("the last answer lets it run", waiting([2]), closed(2), TaskState::Running),
    ];
    check(cases);
}

#[test]
fn every_way_to_end_has_its_outcome() {
    let cancel = || Input::CancelRequested { by: PERSON };
    let cancelled = || ended(Outcome::Cancelled { by: PERSON });
    let killed = report(Some(ExitStatus::Signal { signal: 9 }), true);
    let failed = |failure| ended(Outcome::Failed { failure });
    let cases = [
        ("a running task is cancelled", TaskState::Running, cancel(), cancelling()),
        ("exit 0 succeeds", TaskState::Running, exited(0), ended(Outcome::Succeeded)),
        ("exit 2 fails", TaskState::Running, exited(2), failed(Failure::Exit { code: 2 })),
        (
            "an end before the start is known counts",
            TaskState::Starting,
            exited(0),
            ended(Outcome::Succeeded),
        ),
        ("exit after cancel is a cancellation", cancelling(), stopped_with(0), cancelled()),
        ("also one before the first signal", cancelling(), exited(75), cancelled()),
        (
            "a timeout is a timeout",
            TaskState::Running,
            Input::Finished { report: killed.clone() },
            ended(Outcome::TimedOut),
        ),
        (
            "a cancel before the timeout is a cancellation",
            cancelling(),
            Input::Finished { report: killed },
            cancelled(),
        ),
        (
            "no exit is lost, never success",
            TaskState::Running,
            Input::Finished { report: report(None, false) },
            ended(Outcome::Lost { why: "the shim reported neither an exit nor an error".into() }),
        ),
        (
            "a cancel during the clean-up keeps the exit",
            stopping_for(StopCause::LeftProcesses),
            exited(0),
            ended(Outcome::Succeeded),
        ),
    ];
    check(cases);
}

#[test]
fn an_end_without_a_report_has_its_outcome_too() {
    let cancelled = || ended(Outcome::Cancelled { by: PERSON });
    let failed = |failure| ended(Outcome::Failed { failure });
    let lost = || ended(Outcome::Lost { why: "killed".into() });
    let vanished = || Input::Vanished { why: "killed".into() };
    let cases = [
        ("a shim that dies loses its task", TaskState::Running, vanished(), lost()),
        ("unless nobody wanted it any more", cancelling(), vanished(), cancelled()),
        (
            "a cancel during another ending does not tell what became of it",
            cancelled_while(StopCause::TimedOut),
            vanished(),
            lost(),
        ),
        ("a cancel that comes before the start", cancelling(), Input::NeverStarted, cancelled()),
        (
            "an attempt nobody claimed is queued again",
            TaskState::Starting,
            Input::NeverStarted,
            queued_for_slot(),
        ),
        (
            "no shim",
            TaskState::Starting,
            Input::StartFailed { error: spawn_error() },
            failed(Failure::Spawn { error: spawn_error() }),
        ),
    ];
    check(cases);
}

#[test]
fn a_shim_that_was_told_to_end_by_nobody_of_us_lost_its_task() {
    let exit = |code, stopped| {
        let mut report = report(Some(ExitStatus::Code { code }), false);
        (report.stopped, report.terminated) = (stopped, true);
        Input::Finished { report }
    };
    let lost = || ended(Outcome::Lost { why: "its shim was told to end, as in a shutdown".into() });
    let terminated = || Input::ShimTerminated { stage: stage() };
    check([
        ("it goes on until its end", waiting([1]), terminated(), waiting([1])),
        ("it is lost", TaskState::Running, exit(130, true), lost()),
        ("also where it gives up in peace", TaskState::Running, exit(0, true), lost()),
        ("also where it heard of it first", TaskState::Running, exit(143, false), lost()),
        (
            "a success before it is one",
            TaskState::Running,
            exit(0, false),
            ended(Outcome::Succeeded),
        ),
        (
            "a cancel is one",
            cancelling(),
            exit(130, true),
            ended(Outcome::Cancelled { by: PERSON }),
        ),
    ]);
}

#[test]
fn effects_follow_from_what_happened() {
    let cancel = || Input::CancelRequested { by: PERSON };
    let withdraw =
        |open: &[i64]| Effect::Withdraw { requests: open.iter().copied().map(RequestId).collect() };
    let cases = [
        ("start", queued_for_slot(), Input::Admitted, vec![Effect::Start]),
        ("a gate's question closes", gated(4), cancel(), vec![withdraw(&[4])]),
        ("open questions close", waiting([1, 2]), cancel(), vec![withdraw(&[1, 2]), Effect::Stop]),
        (
            "an end closes questions",
            waiting([1]),
            exited(0),
            vec![withdraw(&[1]), Effect::Acknowledge],
        ),
        ("a second cancel is passed on", cancelling(), cancel(), vec![Effect::Stop]),
        (
            "a lost task is swept",
            waiting([1]),
            Input::Vanished { why: String::new() },
            vec![withdraw(&[1]), Effect::Sweep],
        ),
        (
            "a question starts nothing",
            TaskState::Running,
            Input::Asked { request: RequestId(1) },
            vec![],
        ),
    ];
    for (name, from, input, expected) in cases {
        let (_, actual) = transition(&from, input).unwrap_or_else(|err| panic!("{name}: {err}"));
        assert_eq!(actual, expected, "{name}");
    }
}

#[test]
fn what_means_nothing_in_a_state_is_rejected() {
    let closed = Input::Closed { request: RequestId(1) };
    let cases = [
        ("a gated task is not admitted", gated(1), Input::Admitted),
        (
            "another gate's approval opens nothing",
            gated(1),
            Input::GateOpened { request: RequestId(2) },
        ),
        ("an older card closes nothing", waiting([2]), closed.clone()),
        ("no question is open", TaskState::Running, closed),
        ("a stopping task does not ask", cancelling(), Input::Asked { request: RequestId(1) }),
        ("an ended task stays ended", ended(Outcome::Succeeded), exited(1)),
        (
            "an ended task is not cancelled",
            ended(Outcome::Succeeded),
            Input::CancelRequested { by: PERSON },
        ),
    ];
    for (name, from, input) in cases {
        assert!(transition(&from, input).is_err(), "{name}");
    }
}

#[test]
fn a_try_that_came_to_nothing_is_followed_by_another() {
    let at = Timestamp(7);
    let delayed = || TaskState::Queued { reason: QueueReason::Delay { until: at } };
    let failed = |failure| ended(Outcome::Failed { failure });
    let late = report(Some(ExitStatus::Signal { signal: 9 }), true);
    let lost = || Input::Vanished { why: "killed".into() };
    let cases = [
        ("a failure", TaskState::Running, exited(2), false, delayed()),
        ("a timeout", TaskState::Running, Input::Finished { report: late }, false, delayed()),
        (
            "no start",
            TaskState::Starting,
            Input::StartFailed { error: spawn_error() },
            false,
            delayed(),
        ),
        ("a success stays", TaskState::Running, exited(0), false, ended(Outcome::Succeeded)),
        (
            "a cancel stays",
            cancelling(),
            stopped_with(1),
            true,
            ended(Outcome::Cancelled { by: PERSON }),
        ),
        (
            "lost stays",
            TaskState::Running,
            lost(),
            false,
            ended(Outcome::Lost { why: "killed".into() }),
        ),
        ("lost, where that was asked for", TaskState::Running, lost(), true, delayed()),
    ];
    for (name, from, input, when_lost, expected) in cases {
        let again = Some(Again { at, when_failed: true, when_lost });
        let (next, _) = transition_with_retry(&from, input, again).unwrap();
        assert_eq!(next, expected, "{name}");
    }
    let (next, _) = transition_with_retry(&TaskState::Running, exited(2), None).unwrap();
    assert_eq!(next, failed(Failure::Exit { code: 2 }), "without another try");
}

#[test]
fn what_holds_a_task_back_can_change_while_it_is_queued() {
    let paused = || TaskState::Queued { reason: QueueReason::Paused };
    let requeued = |reason| Input::Requeued { reason };
    let gate = |request| QueueReason::Gate { request: RequestId(request) };
    let failed = || Input::DependencyFailed { task: TaskId(3) };
    let skipped = || ended(Outcome::Skipped { dependency: TaskId(3) });
    check([
        ("its group is paused", queued_for_slot(), requeued(QueueReason::Paused), paused()),
        ("it is asked about", queued_for_slot(), requeued(gate(1)), gated(1)),
        ("it is asked about anew", gated(1), requeued(gate(2)), gated(2)),
        ("a dependency failed", queued_for_slot(), failed(), skipped()),
        ("also behind a gate", gated(1), failed(), skipped()),
    ]);
    for (from, input) in [
        (gated(1), requeued(QueueReason::Slot)),
        (TaskState::Queued { reason: QueueReason::Delay { until: Timestamp(9) } }, Input::Admitted),
        (TaskState::Running, requeued(QueueReason::Slot)),
        (TaskState::Running, failed()),
    ] {
        assert!(transition(&from, input.clone()).is_err(), "{from:?} {input:?}");
    }
    let (_, effects) = transition(&gated(1), requeued(gate(2))).unwrap();
    let requests = BTreeSet::from([RequestId(1)]);
    assert_eq!(effects, [Effect::Withdraw { requests }], "the older question is withdrawn");
}
