//! Tasks that a host finds running count, wait and halt as they did for the one that was killed.

use nod_core::ids::TaskId;
use nod_core::request::Answer;
use nod_core::task::{QueueReason, StateName, TaskState};
use nod_tests::{Home, TestHost, processes};

const HOLD: &str = "while [ ! -e go ]; do sleep 0.02; done";

fn reason(host: &TestHost, id: TaskId) -> QueueReason {
    let TaskState::Queued { reason } = host.task(id).state else { panic!("{id} is not queued") };
    reason
}

fn succeeds(host: &TestHost, id: TaskId) {
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded, "task {id}");
}

#[test]
fn what_runs_on_without_its_host_keeps_its_slot_its_resource_and_its_place_under_each_cap() {
    let config = format!(
        "[groups.default]\nslots = 9\n[groups.one]\nslots = 1\n[resources]\ngpu = 2\n\
         [sessions]\ncap = 1\n[kinds.k]\nargv = [\"sh\", \"-c\", \"{HOLD}\"]\ncap = 1\n"
    );
    let mut host = TestHost::start_in(Home::new().with_config(&config));
    let of_kind = |host: &TestHost| {
        let ran = host.run(&["submit", "--kind", "k"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        host.tasks()[0].id
    };
    let takes: [&[&str]; 3] = [&["--group", "one"], &["--session", "s"], &["--uses", "gpu:2"]];
    let mut running: Vec<_> = takes.iter().map(|it| host.submit_with(it, &[HOLD])).collect();
    running.push(of_kind(&host));
    running.iter().for_each(|id| host.wait_for_state(*id, StateName::Running));
    let queued_before = host.submit_with(takes[0], &["true", "x"]);
    host.kill();
    host.restart();
    running.iter().for_each(|id| assert_eq!(host.state(*id), StateName::Running));
    let mut queued: Vec<_> = takes.iter().map(|it| host.submit_with(it, &["true", "y"])).collect();
    queued.push(of_kind(&host));
    // Whatever starts next would have started by the end of one that may.
    succeeds(&host, host.submit("true"));
    let reasons = [queued_before, queued[0], queued[2]].map(|id| reason(&host, id));
    let gpu = QueueReason::Resource { name: "gpu".into() };
    assert_eq!(reasons, [QueueReason::Slot, QueueReason::Slot, gpu]);
    for id in [queued[1], queued[3]] {
        assert!(matches!(reason(&host, id), QueueReason::Cap { .. }), "{:?}", reason(&host, id));
    }
    let groups = host.run(&["group", "list"]).out;
    assert!(groups.contains("one: 1 of 1 slots taken, 2 queued"), "{groups}");
    std::fs::write(host.work().join("go"), "").unwrap();
    running.into_iter().chain(queued).chain([queued_before]).for_each(|id| succeeds(&host, id));
}

#[test]
fn an_answer_to_a_paused_task_that_another_host_gives_is_heard_once_it_goes_on() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Go?' > answer; echo $? > code; touch heard");
    let word = id.to_string();
    let request = host.wait_for_request(id);
    assert_eq!(host.run(&["pause", &word]).code, Some(0));
    host.kill();
    host.restart();
    let task = host.task(id);
    assert!(task.condition.paused && task.state.name() == StateName::Waiting, "{task:?}");
    let open = host.request(id, request.id);
    assert!(open.is_open(), "{open:?}");
    host.answer(&open, Answer::Approve);
    // It is halted, and stays so: nobody has asked for more.
    host.wait_for_state(id, StateName::Running);
    let task = host.task(id);
    assert!(task.condition.paused && task.words() == "Paused", "{task:?}");
    let process = host.detail(id).attempts[0].process.unwrap();
    assert!(processes::is_halted(process));
    assert!(!host.work().join("heard").exists());
    assert_eq!(host.run(&["resume", &word]).code, Some(0));
    succeeds(&host, id);
    let read = |name: &str| std::fs::read_to_string(host.work().join(name)).unwrap();
    assert_eq!(read("code"), "0\n");
    assert!(read("answer").contains("approved"), "{}", read("answer"));
}
