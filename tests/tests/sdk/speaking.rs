//! What a task says of itself: progress, its outcome, words for the agent; and that it is cancelled.

use nod_core::access::Actor;
use nod_core::request::Answer;
use nod_core::task::{Failure, Outcome, TaskSaid};
use nod_tests::{TestHost, until};
use serde_json::json;

use crate::{ends_well, folder, nod, submit, touch, written};

#[test]
fn progress_moves_the_bar_and_a_bad_number_harms_nobody() {
    let host = TestHost::start();
    let id = submit(
        &host,
        r#"
write("told", [nod_task.progress(40, "compiling 完了"), nod_task.task_id()])
until("1")
nod_task.progress(phase="link", done=1, total=4, message="a.o")
until("2")
nod_task.progress(-5)
write("bad", [caught(nod_task.progress, *it) for it in [(float("nan"),), (float("inf"),)]] + [
    caught(nod_task.progress, **it) for it in [
        {"done": 1}, {"done": 1, "total": 0}, {"percent": 1, "done": 1, "total": 2}]])
"#,
    );
    let bar = |percent: f64| {
        until("the bar", || host.task(id).progress.filter(|it| it.percent == Some(percent)))
    };
    assert_eq!(bar(40.0).message.as_deref(), Some("compiling 完了"));
    assert_eq!(written(&host, "told"), json!([true, id.0]));
    touch(&host, "1");
    let linking = bar(25.0);
    assert_eq!(linking.message.as_deref(), Some("link: a.o"));
    assert_eq!(linking.phase_name.as_deref(), Some("link"));
    touch(&host, "2");
    bar(0.0);
    let bad = written(&host, "bad");
    assert!(bad.as_array().unwrap().iter().all(|it| it[0] == "ValueError"), "{bad}");
    ends_well(&host, id);
}

#[test]
fn a_task_says_how_it_ended() {
    let host = TestHost::start();
    let id = submit(&host, r#"nod_task.success("there", {"url": "完了"})"#);
    ends_well(&host, id);
    let message = Some("there".to_owned());
    let said = TaskSaid::Result { data: json!({ "url": "完了" }), message };
    assert_eq!(host.task(id).condition.said, Some(said));

    let id = submit(
        &host,
        r#"
try:
    open("/nowhere")
except OSError as error:
    nod_task.fail("no input", error)
"#,
    );
    let message = "no input: [Errno 2] No such file or directory: '/nowhere'".to_owned();
    let outcome = Outcome::Failed { failure: Failure::Said { message } };
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&outcome));

    let id = submit(&host, r#"nod_task.cancel("nothing to do"); until("never")"#);
    let ended = host.wait_for_end(id);
    let Some(Outcome::Cancelled { by: Actor::Task { id: by, .. } }) = ended.state.outcome() else {
        panic!("{ended:?}")
    };
    assert_eq!(*by, id);
    let message = Some("nothing to do".to_owned());
    assert_eq!(ended.condition.said, Some(TaskSaid::Result { data: json!(null), message }));
}

#[test]
fn what_a_task_tells_is_in_the_outbox_of_its_session() {
    let host = TestHost::start();
    let id = submit(&host, r#"nod_task.notify_agent("halfway"); nod_task.notify_agent("!", True)"#);
    ends_well(&host, id);
    assert_eq!(host.notices(), [(None, "halfway".into(), false), (None, "!".into(), true)]);
}

#[test]
fn a_task_hears_that_it_is_cancelled_by_signal_and_by_asking() {
    let host = TestHost::start();
    let id = submit(
        &host,
        r#"
write("before", nod_task.is_cancelled())
try:
    until("never")
except KeyboardInterrupt:
    write("asked", nod_task.is_cancelled())
"#,
    );
    assert_eq!(written(&host, "before"), false);
    nod(&host, &["cancel", &id.to_string()]);
    assert_eq!(written(&host, "asked"), true);
    assert_eq!(host.wait_for_end(id).words(), "Cancelled");
}

#[test]
fn handled_signals_end_what_waits_and_nothing_else() {
    let host = TestHost::start();
    let id = submit(
        &host,
        r#"
nod_task.handle_signals()
def wait():
    write("ready", True)
    nod_task.wait("k")
write("waited", caught(wait))
write("after", [nod_task.is_cancelled(), caught(nod_task.ask, "Go?"), nod_task.progress(50)])
"#,
    );
    assert_eq!(written(&host, "ready"), true);
    nod(&host, &["cancel", &id.to_string()]);
    assert_eq!(written(&host, "waited")[0], "Cancelled");
    let after = written(&host, "after");
    assert_eq!(after, json!([true, ["Cancelled", "a signal came before"], true]));
    assert_eq!(host.wait_for_end(id).words(), "Cancelled");
    assert!(host.detail(id).requests.is_empty());
}

#[test]
fn the_example_builds_asks_and_says_what_came_of_it() {
    let mut host = TestHost::start();
    let example = folder().join("examples/deploy.py");
    let words = ["python3", example.to_str().unwrap()];
    let options = ["--env", "PYTHONDONTWRITEBYTECODE=1"];
    let id = host.submit_with(&options, &words);
    let request = host.wait_for_request(id);
    assert_eq!(host.task(id).progress.unwrap().message.as_deref(), Some("package"));
    host.answer(&request, Answer::Choice { choice: "eu".into() });
    ends_well(&host, id);
    let message = Some("deployed to eu".to_owned());
    let said = TaskSaid::Result { data: json!({ "region": "eu" }), message };
    assert_eq!(host.task(id).condition.said, Some(said));

    let id = host.submit_with(&options, &words);
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Deny { reason: Some("not today".into()) });
    let message = Some(TaskSaid::Failed { message: "not deployed: not today".into() });
    assert_eq!(host.wait_for_end(id).condition.said, message);
}
