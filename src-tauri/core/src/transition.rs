//! The life of a task as a pure function.
//!
//! [`transition`] decides what happens next; it never does it. The dispatcher
//! stores the new state, publishes it, and only then carries out the effects,
//! so a crash between two steps is always visible in the history.

use std::collections::BTreeSet;

use crate::access::Actor;
use crate::ids::{RequestId, TaskId, Timestamp};
use crate::shim::{Report, ShimStop};
use crate::task::{
    Denial, ExitStatus, Failure, Outcome, QueueReason, SpawnError, StateName, StopCause, StopStage,
    TaskState,
};

/// Something that happened to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A slot is free.
    Admitted,
    /// Something else holds a queued task back than before, or nothing but room any more.
    Requeued {
        reason: QueueReason,
    },
    /// A task that must have succeeded before has not.
    DependencyFailed {
        task: TaskId,
    },
    /// A person approved the gate.
    GateOpened {
        request: RequestId,
    },
    /// The gate will never open.
    GateShut {
        request: RequestId,
        denial: Denial,
    },
    /// The process exists.
    Started,
    /// No shim could be started at all.
    StartFailed {
        error: SpawnError,
    },
    /// No shim ever claimed the attempt, and none can any more.
    NeverStarted,
    /// The task asks a person.
    Asked {
        request: RequestId,
    },
    /// A question of the task was answered, expired or withdrawn.
    Closed {
        request: RequestId,
    },
    CancelRequested {
        by: Actor,
    },
    /// The shim is ending processes.
    Stopping {
        cause: ShimStop,
        stage: StopStage,
    },
    /// The shim was told to end by no host, and is ending processes for that.
    ShimTerminated {
        stage: StopStage,
    },
    /// Every process of the task is gone.
    Finished {
        report: Box<Report>,
    },
    /// The same of a task that had said that it failed.
    FinishedFailing {
        report: Box<Report>,
        message: String,
    },
    /// The shim is gone and left no report.
    Vanished {
        why: String,
    },
    /// The history refuses what became of it, now and whenever it is tried.
    Unstorable {
        why: String,
    },
}

/// Something to be done once the new state is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start a shim on the attempt.
    Start,
    /// Tell the shim to end the task's processes.
    Stop,
    /// Close the questions that the task can no longer hear the answers of.
    Withdraw { requests: BTreeSet<RequestId> },
    /// Tell the shim that its report is kept.
    Acknowledge,
    /// End the processes that a dead shim left.
    Sweep,
}

/// An input that means nothing in a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {} takes no such input", state.as_str())]
pub struct Rejected {
    pub state: StateName,
}

type Next = (TaskState, Vec<Effect>);

/// What is granted to a task whose try comes to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// When the next try may start.
    pub at: Timestamp,
    pub when_failed: bool,
    /// Also where nobody knows what became of the last one.
    pub when_lost: bool,
}

/// Returns what a task that was in `state` comes to in place of an end that another try may mend;
/// nothing where the end stays one, as that which somebody wanted does.
#[must_use]
pub fn retried(state: &TaskState, next: &TaskState, again: Again) -> Option<TaskState> {
    if state.cancelled_by().is_some() {
        return None;
    }
    let mends = match next.outcome()? {
        Outcome::Failed { .. } | Outcome::TimedOut => again.when_failed,
        Outcome::Lost { .. } => again.when_lost,
        Outcome::Succeeded
        | Outcome::Cancelled { .. }
        | Outcome::Denied { .. }
        | Outcome::Skipped { .. } => false,
    };
    mends.then_some(TaskState::Queued { reason: QueueReason::Delay { until: again.at } })
}

/// Returns the next state and the effects that follow from it.
pub fn transition(state: &TaskState, input: Input) -> Result<Next, Rejected> {
    match state {
        TaskState::Queued { reason } => queued(reason, input),
        TaskState::Starting => starting(input),
        TaskState::Running => running(&BTreeSet::new(), input),
        TaskState::Waiting { open } => running(open, input),
        TaskState::Stopping { cause, stage, .. } => stopping(state, cause, stage.as_ref(), input),
        TaskState::Ended { .. } => Err(input),
    }
    .map_err(|_input| Rejected { state: state.name() })
}

fn queued(reason: &QueueReason, input: Input) -> Result<Next, Input> {
    use Input as I;
    let gate = match reason {
        QueueReason::Gate { request } => Some(*request),
        QueueReason::Slot
        | QueueReason::Dependency { .. }
        | QueueReason::Delay { .. }
        | QueueReason::Paused
        | QueueReason::Resource { .. }
        | QueueReason::Cap { .. } => None,
    };
    let withdrawn = || gate.map(|gate| withdrawing(&BTreeSet::from([gate]))).unwrap_or_default();
    match input {
        I::Admitted if reason.is_ready() => Ok((TaskState::Starting, vec![Effect::Start])),
        // Only an answer opens a gate; it can be put in the place of another.
        I::Requeued { reason } if gate.is_none() || matches!(reason, QueueReason::Gate { .. }) => {
            Ok((TaskState::Queued { reason }, withdrawn()))
        }
        I::GateOpened { request } if gate == Some(request) => {
            Ok((TaskState::Queued { reason: QueueReason::Slot }, vec![]))
        }
        I::GateShut { request, denial } if gate == Some(request) => {
            Ok((ended(Outcome::Denied { denial }), vec![]))
        }
        I::CancelRequested { by } => Ok((ended(Outcome::Cancelled { by }), withdrawn())),
        I::DependencyFailed { task } => {
            Ok((ended(Outcome::Skipped { dependency: task }), withdrawn()))
        }
        I::Unstorable { why } => Ok((ended(Outcome::Lost { why }), withdrawn())),
        input @ (I::Admitted
        | I::Requeued { .. }
        | I::GateOpened { .. }
        | I::GateShut { .. }
        | I::Started
        | I::StartFailed { .. }
        | I::NeverStarted
        | I::Asked { .. }
        | I::Closed { .. }
        | I::Stopping { .. }
        | I::ShimTerminated { .. }
        | I::Finished { .. }
        | I::FinishedFailing { .. }
        | I::Vanished { .. }) => Err(input),
    }
}

fn starting(input: Input) -> Result<Next, Input> {
    match input {
        Input::Started => Ok((TaskState::Running, vec![])),
        Input::StartFailed { error } => {
            Ok((ended(Outcome::Failed { failure: Failure::Spawn { error } }), vec![]))
        }
        Input::NeverStarted => Ok((TaskState::Queued { reason: QueueReason::Slot }, vec![])),
        // The process may speak before its shim has said that it exists.
        input @ (Input::Admitted
        | Input::Requeued { .. }
        | Input::DependencyFailed { .. }
        | Input::GateOpened { .. }
        | Input::GateShut { .. }
        | Input::Asked { .. }
        | Input::Closed { .. }
        | Input::CancelRequested { .. }
        | Input::Stopping { .. }
        | Input::ShimTerminated { .. }
        | Input::Finished { .. }
        | Input::FinishedFailing { .. }
        | Input::Vanished { .. }
        | Input::Unstorable { .. }) => running(&BTreeSet::new(), input),
    }
}

fn running(open: &BTreeSet<RequestId>, input: Input) -> Result<Next, Input> {
    match input {
        Input::Started => Ok((active(open.clone()), vec![])),
        Input::Asked { request } => {
            let mut open = open.clone();
            open.insert(request);
            Ok((active(open), vec![]))
        }
        // A late click on an older card must not close a newer question.
        Input::Closed { request } if open.contains(&request) => {
            let mut open = open.clone();
            open.remove(&request);
            Ok((active(open), vec![]))
        }
        Input::CancelRequested { by } => {
            let mut effects = withdrawing(open);
            effects.push(Effect::Stop);
            Ok((being_stopped(StopCause::Cancelled { by }, None, None), effects))
        }
        Input::Stopping { cause, stage } => {
            let cause = match cause {
                ShimStop::TimedOut => StopCause::TimedOut,
                ShimStop::LeftProcesses => StopCause::LeftProcesses,
                // Asked for by a host that died before it stored who did.
                ShimStop::Requested => StopCause::Cancelled { by: Actor::Host },
            };
            Ok((being_stopped(cause, Some(stage), None), withdrawing(open)))
        }
        // Nobody wanted that. What it comes to is said by the report, if there is one.
        Input::ShimTerminated { .. } => Ok((active(open.clone()), vec![])),
        Input::Finished { report } => finished(None, &report, withdrawing(open)),
        Input::FinishedFailing { report, message } => {
            failing(finished(None, &report, withdrawing(open)), message)
        }
        Input::Vanished { why } => Ok(vanished(why, withdrawing(open))),
        Input::Unstorable { why } => Ok(given_up(why, withdrawing(open))),
        input @ (Input::Admitted
        | Input::Requeued { .. }
        | Input::DependencyFailed { .. }
        | Input::GateOpened { .. }
        | Input::GateShut { .. }
        | Input::StartFailed { .. }
        | Input::NeverStarted
        | Input::Closed { .. }) => Err(input),
    }
}

fn stopping(
    state: &TaskState,
    cause: &StopCause,
    stage: Option<&StopStage>,
    input: Input,
) -> Result<Next, Input> {
    let cancelled_by = match cause {
        StopCause::Cancelled { .. } => None,
        StopCause::TimedOut | StopCause::LeftProcesses => state.cancelled_by().cloned(),
    };
    match input {
        Input::Started => Ok((state.clone(), vec![])),
        // Why it ends is settled, and that nothing follows is from now on. The shim is told all the
        // same: it may not have heard the first time.
        Input::CancelRequested { by } => {
            let by = match cause {
                StopCause::Cancelled { .. } => None,
                StopCause::TimedOut | StopCause::LeftProcesses => cancelled_by.or(Some(by)),
            };
            Ok((being_stopped(cause.clone(), stage.cloned(), by), vec![Effect::Stop]))
        }
        Input::Stopping { stage, .. } | Input::ShimTerminated { stage } => {
            Ok((being_stopped(cause.clone(), Some(stage), cancelled_by), vec![]))
        }
        // Cancelled between its admission and its start: no process ever was.
        Input::StartFailed { .. } | Input::NeverStarted => match cause {
            StopCause::Cancelled { by } => {
                Ok((ended(Outcome::Cancelled { by: by.clone() }), vec![]))
            }
            StopCause::TimedOut | StopCause::LeftProcesses => Err(input),
        },
        Input::Finished { report } => finished(Some(cause), &report, vec![]),
        Input::FinishedFailing { report, message } => {
            failing(finished(Some(cause), &report, vec![]), message)
        }
        Input::Vanished { why } => Ok(match cause {
            // Whatever became of it was not wanted any more.
            StopCause::Cancelled { by } => {
                (ended(Outcome::Cancelled { by: by.clone() }), vec![Effect::Sweep])
            }
            StopCause::TimedOut | StopCause::LeftProcesses => vanished(why, vec![]),
        }),
        Input::Unstorable { why } => Ok(given_up(why, vec![])),
        input @ (Input::Admitted
        | Input::Requeued { .. }
        | Input::DependencyFailed { .. }
        | Input::GateOpened { .. }
        | Input::GateShut { .. }
        | Input::Asked { .. }
        | Input::Closed { .. }) => Err(input),
    }
}

fn being_stopped(
    cause: StopCause,
    stage: Option<StopStage>,
    cancelled_by: Option<Actor>,
) -> TaskState {
    TaskState::Stopping { cause, stage, cancelled_by }
}

fn active(open: BTreeSet<RequestId>) -> TaskState {
    if open.is_empty() { TaskState::Running } else { TaskState::Waiting { open } }
}

fn ended(outcome: Outcome) -> TaskState {
    TaskState::Ended { outcome }
}

fn withdrawing(open: &BTreeSet<RequestId>) -> Vec<Effect> {
    if open.is_empty() { vec![] } else { vec![Effect::Withdraw { requests: open.clone() }] }
}

fn vanished(why: String, mut effects: Vec<Effect>) -> Next {
    effects.push(Effect::Sweep);
    (ended(Outcome::Lost { why }), effects)
}

/// Ends the processes of a task that nothing can be said of any more.
fn given_up(why: String, mut effects: Vec<Effect>) -> Next {
    effects.extend([Effect::Stop, Effect::Acknowledge]);
    (ended(Outcome::Lost { why }), effects)
}

fn finished(
    cause: Option<&StopCause>,
    report: &Report,
    mut effects: Vec<Effect>,
) -> Result<Next, Input> {
    effects.push(Effect::Acknowledge);
    Ok((ended(outcome(cause, report)), effects))
}

/// Makes a success of what the task itself called a failure a failure.
fn failing(next: Result<Next, Input>, message: String) -> Result<Next, Input> {
    let (state, effects) = next?;
    if state.outcome() == Some(&Outcome::Succeeded) {
        return Ok((ended(Outcome::Failed { failure: Failure::Said { message } }), effects));
    }
    Ok((state, effects))
}

/// Returns how a task ended, from why it was being ended and what its shim saw.
fn outcome(cause: Option<&StopCause>, report: &Report) -> Outcome {
    // Also where it exited before the first signal: a cancel withdraws the task's questions, and
    // that alone can make it give up.
    if let Some(StopCause::Cancelled { by }) = cause {
        return Outcome::Cancelled { by: by.clone() };
    }
    if report.timed_out {
        return Outcome::TimedOut;
    }
    // Whoever ends shims ends their tasks' processes as well, in any order: only a success says
    // that it was none of that.
    if report.terminated && (report.stopped || report.exit != Some(ExitStatus::Code { code: 0 })) {
        return Outcome::Lost { why: "its shim was told to end, as in a shutdown".to_owned() };
    }
    if let Some(error) = &report.spawn_error {
        return Outcome::Failed { failure: Failure::Spawn { error: error.clone() } };
    }
    match report.exit {
        Some(ExitStatus::Code { code: 0 }) => Outcome::Succeeded,
        Some(ExitStatus::Code { code }) => Outcome::Failed { failure: Failure::Exit { code } },
        Some(ExitStatus::Signal { signal }) => {
            Outcome::Failed { failure: Failure::Signal { signal } }
        }
        None => Outcome::Lost { why: "the shim reported neither an exit nor an error".to_owned() },
    }
}

#[cfg(test)]
mod tests;
