//! What is approved along with a command: what its task does otherwise than usual.

use crate::duration;
use crate::ids::SessionId;
use crate::task::{OutputMode, Task};

/// Returns it in sentences, for whoever is asked whether the task may start.
#[must_use]
pub fn terms(task: &Task, typed_by_program: bool) -> Vec<String> {
    let typed = (task.output == OutputMode::Interactive)
        .then(|| typed_by(task.session.as_ref(), typed_by_program));
    let retries =
        task.schedule.retry.map(|retry| retry.left).filter(|left| *left > 0).map(|left| {
            let tries = if left == 1 { "try" } else { "tries" };
            format!("{left} more {tries} if it fails, each asked about again")
        });
    let kept = task
        .options
        .keep_children
        .then(|| "what it leaves running goes on after its end (--keep-children)".to_owned());
    let limit = task
        .timeout_ms
        .map(|limit| format!("it is ended after {} at the latest", duration::words(limit)));
    let not_before =
        task.schedule.not_before.map(|at| format!("it starts no sooner than {}", at.utc()));
    [typed, retries, kept, limit, not_before].into_iter().flatten().collect()
}

fn typed_by(session: Option<&SessionId>, by_program: bool) -> String {
    let who = match session {
        Some(session) => format!("you and programs that name session {session}"),
        None if by_program => "you and the program that submitted it".to_owned(),
        None => "you".to_owned(),
    };
    format!("{who} can type into it (-i): what is typed is not shown here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandLine;
    use crate::ids::{AttemptNumber, TaskId, Timestamp};
    use crate::schedule::Retry;
    use crate::task::{PLAIN_KIND, QueueReason, TaskState};

    fn task() -> Task {
        Task {
            id: TaskId(1),
            kind: PLAIN_KIND.to_owned(),
            label: None,
            command: CommandLine::Shell { line: "cat".into() },
            cwd: "/".into(),
            output: OutputMode::Terminal,
            options: Default::default(),
            session: None,
            parent: None,
            timeout_ms: None,
            ask_first: true,
            schedule: Default::default(),
            attempt: AttemptNumber::FIRST,
            state: TaskState::Queued { reason: QueueReason::Slot },
            condition: Default::default(),
            progress: None,
            created_at: Timestamp(0),
            started_at: None,
            ended_at: None,
        }
    }

    #[test]
    fn what_is_otherwise_than_usual_is_said() {
        let mut task = task();
        assert_eq!(terms(&task, true), Vec::<String>::new());
        task.output = OutputMode::Interactive;
        task.schedule.retry = Some(Retry::new(3, 1_000));
        task.schedule.not_before = Some(Timestamp(0));
        task.options.keep_children = true;
        task.timeout_ms = Some(600_000);
        let expected = [
            "you and the program that submitted it can type into it (-i): what is typed is not \
             shown here",
            "3 more tries if it fails, each asked about again",
            "what it leaves running goes on after its end (--keep-children)",
            "it is ended after 10m00s at the latest",
            "it starts no sooner than 1970-01-01 00:00:00 UTC",
        ];
        assert_eq!(terms(&task, true), expected);
        assert!(terms(&task, false)[0].starts_with("you can type"));
        task.session = Some(SessionId("s".into()));
        assert!(terms(&task, false)[0].starts_with("you and programs that name session s can"));
    }
}
