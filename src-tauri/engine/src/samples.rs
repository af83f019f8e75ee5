//! What the tests of several modules begin with.

use nod_core::ids::{AttemptNumber, RequestId, TaskId, Timestamp};
use nod_core::request::{OnTimeout, Origin, Request, Shown, Wants};

/// Returns an open question of a task that wants something.
pub(crate) fn request(wants: Wants) -> Request {
    let shown = Shown {
        task_name: "deploy".into(),
        question: "Deploy?".into(),
        detail: None,
        diff: None,
        wants,
        argv: vec![],
        cwd: "/".into(),
        environment: vec![],
        terms: vec![],
    };
    Request {
        id: RequestId(1),
        task: Some(TaskId(1)),
        attempt: AttemptNumber::FIRST,
        origin: Origin::Task,
        asked_by: None,
        also_asked_by: vec![],
        hash: shown.hash(""),
        shown,
        created_at: Timestamp(0),
        expires_at: None,
        on_timeout: OnTimeout::Deny,
        remind_ms: None,
        closure: None,
    }
}
