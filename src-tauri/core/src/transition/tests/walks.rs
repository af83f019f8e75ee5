//! The life of a task as random walks.

use proptest::prelude::*;

use super::*;

fn any_reason() -> impl Strategy<Value = QueueReason> {
    prop_oneof![
        Just(QueueReason::Slot),
        (1..4_i64).prop_map(|request| QueueReason::Gate { request: RequestId(request) }),
        Just(QueueReason::Dependency { tasks: BTreeSet::from([TaskId(9)]) }),
        Just(QueueReason::Delay { until: Timestamp(5) }),
        Just(QueueReason::Paused),
        Just(QueueReason::Resource { name: "gpu".into() }),
        Just(QueueReason::Cap { of: "tasks of kind deploy".into() }),
    ]
}

fn any_state() -> impl Strategy<Value = TaskState> {
    prop_oneof![
        any_reason().prop_map(|reason| TaskState::Queued { reason }),
        Just(TaskState::Starting),
        Just(TaskState::Running),
        Just(waiting([1])),
        Just(waiting([1, 2])),
        Just(cancelling()),
        Just(stopping_for(StopCause::TimedOut)),
        Just(stopping_for(StopCause::LeftProcesses)),
        Just(cancelled_while(StopCause::TimedOut)),
        Just(cancelled_while(StopCause::LeftProcesses)),
        Just(ended(Outcome::Succeeded)),
        Just(ended(Outcome::TimedOut)),
    ]
}

fn any_again() -> impl Strategy<Value = Option<Again>> {
    let some = |(when_failed, when_lost)| Some(Again { at: Timestamp(7), when_failed, when_lost });
    prop_oneof![Just(None), any::<(bool, bool)>().prop_map(some)]
}

/// What the dispatcher does with each input.
pub(super) fn transition_with_retry(
    state: &TaskState,
    input: Input,
    again: Option<Again>,
) -> Result<Next, Rejected> {
    let (next, effects) = transition(state, input)?;
    // No try, nothing to try again.
    let again = again.filter(|_| state.holds_slot());
    let retried = again.and_then(|again| retried(state, &next, again));
    Ok((retried.unwrap_or(next), effects))
}

fn any_input() -> impl Strategy<Value = Input> {
    let request = (1..4_i64).prop_map(RequestId);
    let cause = prop_oneof![
        Just(ShimStop::Requested),
        Just(ShimStop::TimedOut),
        Just(ShimStop::LeftProcesses)
    ];
    let exit = prop_oneof![
        Just(None),
        any::<i32>().prop_map(|code| Some(ExitStatus::Code { code })),
        (1..32).prop_map(|signal| Some(ExitStatus::Signal { signal })),
    ];
    prop_oneof![
        Just(Input::Admitted),
        any_reason().prop_map(|reason| Input::Requeued { reason }),
        Just(Input::DependencyFailed { task: TaskId(9) }),
        request.clone().prop_map(|request| Input::GateOpened { request }),
        request.clone().prop_map(|request| Input::GateShut { request, denial: denied() }),
        Just(Input::Started),
        Just(Input::StartFailed { error: spawn_error() }),
        Just(Input::NeverStarted),
        request.clone().prop_map(|request| Input::Asked { request }),
        request.prop_map(|request| Input::Closed { request }),
        Just(Input::CancelRequested { by: PERSON }),
        cause.prop_map(|cause| Input::Stopping { cause, stage: stage() }),
        Just(Input::ShimTerminated { stage: stage() }),
        any_report(exit.clone()).prop_map(|report| Input::Finished { report }),
        any_report(exit).prop_map(|report| Input::FinishedFailing { report, message: "no".into() }),
        Just(Input::Vanished { why: "killed".into() }),
        Just(Input::Unstorable { why: "refused".into() }),
    ]
}

fn any_report(
    exit: impl Strategy<Value = Option<ExitStatus>>,
) -> impl Strategy<Value = Box<Report>> {
    (exit, any::<(bool, bool, bool)>()).prop_map(|(exit, (late, stopped, terminated))| {
        let mut report = report(exit, late);
        (report.stopped, report.terminated) = (stopped, terminated);
        report
    })
}

/// Returns what a try that is over by the input leaves to do.
fn settling(state: &TaskState, input: &Input) -> &'static [Effect] {
    if matches!(input, Input::Finished { .. } | Input::FinishedFailing { .. }) {
        &[Effect::Acknowledge]
    } else if matches!(input, Input::Vanished { .. }) {
        &[Effect::Sweep]
    } else if matches!(input, Input::Unstorable { .. }) && state.holds_slot() {
        &[Effect::Stop, Effect::Acknowledge]
    } else {
        &[]
    }
}

proptest! {
    #[test]
    fn from_any_state_any_sequence_of_inputs_enters_at_most_one_terminal_state(
        first in any_state(),
        inputs in proptest::collection::vec((any_input(), any_again()), 0..60),
    ) {
        let mut state = first;
        let mut ends = 0;
        let mut cancelled = state.cancelled_by().is_some();
        for (input, again) in inputs {
            let before = state.clone();
            let settling = settling(&before, &input).to_vec();
            let is_cancel = matches!(input, Input::CancelRequested { .. });
            let fails = matches!(input, Input::FinishedFailing { .. });
            let Ok((next, effects)) = transition_with_retry(&state, input, again) else { continue };
            // After a cancel no other try begins, whatever the task was ended for.
            cancelled |= is_cancel;
            prop_assert!(!cancelled || !matches!(next, TaskState::Queued { .. }), "{before:?}");
            prop_assert!(!is_cancel || next.outcome().is_some() || next.cancelled_by().is_some());
            // Who said that it failed has not succeeded.
            prop_assert!(!fails || next.outcome() != Some(&Outcome::Succeeded));
            prop_assert!(before.outcome().is_none(), "left {before:?}");
            ends += usize::from(next.outcome().is_some());
            if let TaskState::Waiting { open } = &next {
                prop_assert!(!open.is_empty());
            }
            // A process is only ever started from the queue, and always enters `starting`.
            let starts = effects.contains(&Effect::Start);
            let was_ready = matches!(
                &before,
                TaskState::Queued { reason } if reason.is_ready()
            );
            prop_assert!(!starts || (was_ready && next == TaskState::Starting));
            prop_assert_eq!(starts, !before.holds_slot() && next.holds_slot());
            // Whatever questions a task had are closed once it can no longer hear.
            if let TaskState::Waiting { open } = &before {
                let deaf = !matches!(next, TaskState::Waiting { .. } | TaskState::Running);
                let withdrawn = effects.contains(&Effect::Withdraw { requests: open.clone() });
                prop_assert_eq!(deaf, withdrawn);
            }
            // A try that is over is acknowledged, swept, or never was; also where another follows.
            let is_over = before.holds_slot() && !next.holds_slot();
            prop_assert!(is_over || settling.is_empty(), "{before:?} {next:?}");
            let mut left = effects.clone();
            left.retain(|it| matches!(it, Effect::Acknowledge | Effect::Sweep | Effect::Stop));
            if is_over || !is_cancel {
                prop_assert_eq!(left, settling, "{:?}", before);
            } else {
                let told: &[Effect] = if before.holds_slot() { &[Effect::Stop] } else { &[] };
                prop_assert_eq!(left, told, "a cancel is told to the shim");
            }
            state = next;
        }
        prop_assert!(ends <= 1);
    }
}
