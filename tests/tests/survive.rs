//! Killing the host: nothing is lost, nothing runs twice.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use nod_core::access::{Actor, Surface};
use nod_core::ids::TaskId;
use nod_core::request::Answer;
use nod_core::task::{Outcome, StateName, StopCause, TaskState};
use nod_tests::{TestHost, processes, until};

const NUMBERS: &str = "i=0; while [ ! -e go ]; do i=$((i+1)); echo line $i; sleep 0.01; done; \
                       echo last $i; exit 7";

/// Checks that the lines are numbered without one missing or twice.
fn assert_whole(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    let (last, numbered) = lines.split_last().unwrap();
    for (line, number) in numbered.iter().zip(1..) {
        assert_eq!(*line, format!("line {number}"));
    }
    assert_eq!(*last, format!("last {}", numbered.len()));
}

/// Returns the hosts that commands have started for a data directory.
fn headless(host: &TestHost) -> Vec<i32> {
    let here = processes::with_mark(&host.path().to_string_lossy());
    processes::with_mark("\u{0}serve").into_iter().filter(|pid| here.contains(pid)).collect()
}

#[test]
fn tasks_of_a_killed_host_go_on_and_are_adopted() {
    let mut host = TestHost::start();
    let printing = host.submit(NUMBERS);
    let asking = host.submit("echo $$ > before; nod ask 'Deploy?' && echo $$ > after");
    let request = host.wait_for_request(asking);
    until("output", || (!host.log(printing).is_empty()).then_some(()));
    let log_path = host.detail(printing).log_path.unwrap();

    host.kill();
    let size = || std::fs::metadata(&log_path).unwrap().len();
    let at_death = size();
    until("output without a host", || (size() > at_death + 100).then_some(()));
    host.restart();

    assert_eq!(host.state(printing), StateName::Running);
    assert_eq!(host.state(asking), StateName::Waiting);
    let still_open = host.request(asking, request.id);
    assert_eq!(still_open, request);
    host.answer(&still_open, Answer::Approve);
    assert_eq!(host.wait_for_end(asking).state.outcome(), Some(&Outcome::Succeeded));
    let read = |name| std::fs::read_to_string(host.work().join(name)).unwrap();
    assert_eq!(read("before"), read("after"));
    std::fs::write(host.work().join("go"), "").unwrap();
    let ended = host.wait_for_end(printing);
    assert_eq!(ended.state.words(), "Failed (exit 7)");
    assert_whole(&host.plain_log(printing));
}

#[test]
fn a_task_that_ends_while_no_host_runs_is_settled_by_the_next() {
    let mut host = TestHost::start();
    let id = host.submit(NUMBERS);
    until("output", || host.detail(id).attempts.first().and_then(|attempt| attempt.process));
    let process = host.detail(id).attempts[0].process.unwrap();
    host.kill();
    std::fs::write(host.work().join("go"), "").unwrap();
    until("the end", || (!processes::is_alive(process)).then_some(()));
    host.restart();
    assert_eq!(host.wait_for_end(id).state.words(), "Failed (exit 7)");
    assert_whole(&host.plain_log(id));
    assert_eq!(host.detail(id).attempts.len(), 1);
}

#[test]
fn a_cancel_that_was_stored_is_carried_out_by_the_next_host() {
    let mut host = TestHost::start();
    let id = host.submit("trap '' INT; touch ready; while :; do sleep 0.02; done");
    until("ready", || host.work().join("ready").exists().then_some(()));
    host.kill();
    // As a host leaves it that dies between the storing and the telling of its shim.
    let by = Actor::Person { surface: Surface::Window };
    let state =
        TaskState::Stopping { cause: StopCause::Cancelled { by }, stage: None, cancelled_by: None };
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let changed = history.execute(
        "UPDATE tasks SET state = 'stopping', state_json = ?2 WHERE id = ?1",
        (id.0, serde_json::to_string(&state).unwrap()),
    );
    assert_eq!(changed.unwrap(), 1);
    drop(history);
    host.restart();
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
}

#[test]
fn queued_tasks_start_under_the_next_host_with_their_environment() {
    let mut host =
        TestHost::start_in(nod_tests::Home::new().with_config("[groups.default]\nslots = 1\n"));
    let first = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let queued = host.submit_with(&["--env", "MY_TOKEN=s3cret"], &["printf %s $MY_TOKEN > seen"]);
    host.kill();
    host.restart();
    std::fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(first).state.name(), StateName::Succeeded);
    assert_eq!(host.wait_for_end(queued).state.name(), StateName::Succeeded);
    assert_eq!(std::fs::read_to_string(host.work().join("seen")).unwrap(), "s3cret");
}

#[test]
fn a_killed_shim_loses_its_task_and_its_processes_and_nothing_else() {
    let host = TestHost::start();
    let lost = host.submit("sleep 6101");
    let other = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let process = until("the process", || host.detail(lost).attempts.first()?.process);
    processes::kill_9(processes::parent(process));
    let ended = host.wait_for_end(lost);
    let Some(Outcome::Lost { why }) = ended.state.outcome() else { panic!("{ended:?}") };
    assert_eq!(why, "its shim ended without a report");
    let shown = host.run(&["show", &lost.to_string()]);
    assert!(shown.out.contains(why.as_str()), "{shown:?}");
    until("the sweep", || processes::with_mark("sleep\u{0}6101").is_empty().then_some(()));
    host.wait_for_state(other, StateName::Running);
    std::fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(other).state.name(), StateName::Succeeded);
}

#[test]
fn what_a_lost_task_left_is_ended_though_it_cleared_its_variables() {
    let host = TestHost::start();
    for (options, line, mark) in [
        (vec![], "exec env -i sleep 6131", "sleep\u{0}6131"),
        // With a session of its own, which the end of its terminal does not end.
        (vec!["-i"], "trap '' HUP; exec env -i sleep 6132", "sleep\u{0}6132"),
    ] {
        let id = host.submit_with(&options, &[line]);
        let process = until("the process", || processes::with_mark(mark).first().copied());
        host.wait_for_state(id, StateName::Running);
        processes::kill_9(processes::parent(process));
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Lost);
        until("the sweep", || (!processes::is_alive(process)).then_some(()));
    }
}

#[test]
fn what_a_lost_task_left_is_ended_by_the_next_host_where_the_last_one_died_before() {
    let mut host = TestHost::start();
    let id = host.submit("sleep 6133");
    let process = until("the process", || host.detail(id).attempts.first()?.process);
    host.kill();
    processes::kill_9(processes::parent(process));
    // As a host leaves it that dies between the storing of the loss and the sweep.
    let outcome = Outcome::Lost { why: "its shim ended without a report".into() };
    let state = TaskState::Ended { outcome };
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let changed = history.execute(
        "UPDATE tasks SET state = 'lost', state_json = ?2, ended_at = 1 WHERE id = ?1",
        (id.0, serde_json::to_string(&state).unwrap()),
    );
    assert_eq!(changed.unwrap(), 1);
    history.execute("INSERT INTO sweeps VALUES (?1, 1)", [id.0]).unwrap();
    assert!(processes::is_alive(process));
    host.restart();
    until("the sweep", || (!processes::is_alive(process)).then_some(()));
    let count = || -> i64 {
        history.query_row("SELECT count(*) FROM sweeps", [], |row| row.get(0)).unwrap()
    };
    until("the sweep to be noted", || (count() == 0).then_some(()));
}

#[test]
fn what_ran_when_the_machine_was_restarted_is_lost_or_runs_again_as_its_kind_says() {
    let again = "[kinds.again]\nargv = [\"sh\", \"-c\", \"echo $NOD_ATTEMPT >> runs; \
                 [ -e go ] || sleep 6122\"]\non_lost = \"requeue\"\n";
    let mut host = TestHost::start_in(nod_tests::Home::new().with_config(again));
    let lost = host.submit("echo $$ > lost; sleep 6122");
    let ran = host.run(&["submit", "--kind", "again"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let requeued = host.tasks()[0].id;
    for name in ["lost", "runs"] {
        host.wait_for_file(name);
    }
    host.kill();
    // A restart takes the processes with it, and the machine has another boot id then.
    processes::end_all_of(host.path());
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    assert_eq!(history.execute("UPDATE attempts SET boot_id = 'the one before'", []).unwrap(), 2);
    drop(history);
    std::fs::write(host.work().join("go"), "").unwrap();
    host.restart();

    let ended = host.wait_for_end(lost);
    let Some(Outcome::Lost { why }) = ended.state.outcome() else { panic!("{ended:?}") };
    assert!(why.contains("machine was restarted"), "{why}");
    assert_eq!(host.wait_for_end(requeued).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(std::fs::read_to_string(host.work().join("runs")).unwrap(), "1\n2\n");
    assert_eq!(host.detail(requeued).attempts.len(), 2);
}

#[test]
fn what_had_ended_before_the_machine_was_restarted_keeps_its_end_and_does_not_run_again() {
    let again = "[kinds.again]\nargv = [\"sh\", \"-c\", \"echo $NOD_ATTEMPT >> runs; \
                 while [ ! -e go ]; do sleep 0.02; done\"]\non_lost = \"requeue\"\n";
    let mut host = TestHost::start_in(nod_tests::Home::new().with_config(again));
    let failed = host.submit("while [ ! -e go ]; do sleep 0.02; done; exit 3");
    let ran = host.run(&["submit", "--kind", "again"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let succeeded = host.tasks()[0].id;
    let reports = [failed, succeeded].map(|id| {
        host.wait_for_state(id, StateName::Running);
        std::path::PathBuf::from(host.detail(id).log_path.unwrap()).with_file_name("exit.json")
    });
    host.kill();
    std::fs::write(host.work().join("go"), "").unwrap();
    until("the reports", || reports.iter().all(|report| report.exists()).then_some(()));
    // A restart takes the processes with it, and the machine has another boot id then.
    processes::end_all_of(host.path());
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    assert_eq!(history.execute("UPDATE attempts SET boot_id = 'the one before'", []).unwrap(), 2);
    drop(history);
    host.restart();

    assert_eq!(host.wait_for_end(failed).state.words(), "Failed (exit 3)");
    assert_eq!(host.wait_for_end(succeeded).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(std::fs::read_to_string(host.work().join("runs")).unwrap(), "1\n");
    for id in [failed, succeeded] {
        assert_eq!(host.detail(id).attempts.len(), 1);
    }
}

#[test]
fn progress_without_a_host_starts_none_and_harms_nobody() {
    let mut host = TestHost::start();
    let id = host.submit(
        "touch ready; while [ ! -e go ]; do sleep 0.02; done; nod progress 50; echo $? > code",
    );
    until("ready", || host.work().join("ready").exists().then_some(()));
    host.kill();
    std::fs::write(host.work().join("go"), "").unwrap();
    until("the code", || {
        std::fs::read_to_string(host.work().join("code")).ok().filter(|code| !code.is_empty())
    });
    assert_eq!(headless(&host), [] as [i32; 0]);
    host.restart();
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(std::fs::read_to_string(host.work().join("code")).unwrap(), "0\n");
}

#[test]
fn a_command_of_a_task_that_dropped_its_variables_starts_no_host_and_waits_for_one() {
    let mut host = TestHost::start();
    let ended = host.submit("exit 7");
    host.wait_for_end(ended);
    let id = host.submit(&format!(
        "unset NOD_SOCKET NOD_TOKEN NOD_TASK_ID; touch ready; \
         while [ ! -e go ]; do sleep 0.02; done; \
         {{ nod wait {ended} 2> waits; echo $? > waited; }} & \
         nod list > listed 2>&1; echo $? > list; wait"
    ));
    until("ready", || host.work().join("ready").exists().then_some(()));
    host.kill();
    std::fs::write(host.work().join("go"), "").unwrap();
    let read = |name| std::fs::read_to_string(host.work().join(name)).unwrap_or_default();
    // One waits for as long as it takes, the other gives up after a while.
    until("the wait", || [read("waits"), read("waited")].concat().contains('\n').then_some(()));
    until("the list", || read("list").contains('\n').then_some(()));
    assert!(read("waits").contains("waiting for the next one"), "{}", read("waits"));
    assert_eq!(read("list"), "69\n");
    assert!(read("listed").contains("no Nod host listens"), "{}", read("listed"));
    assert_eq!(headless(&host), [] as [i32; 0]);
    let log = std::fs::read_to_string(host.data().join("host.log")).unwrap();
    assert_eq!(log.matches("the host serves").count(), 1, "{log}");

    host.restart();
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(std::fs::read_to_string(host.work().join("waited")).unwrap(), "7\n");
}

#[test]
fn the_output_of_a_settled_task_is_not_in_the_hosts_log() {
    let mut host = TestHost::start();
    let id = host.submit("while [ ! -e go ]; do sleep 0.02; done; echo password is hunter2");
    host.wait_for_state(id, StateName::Running);
    let log = std::path::PathBuf::from(host.detail(id).log_path.unwrap());
    let folder = log.parent().unwrap();
    host.kill();
    std::fs::write(host.work().join("go"), "").unwrap();
    until("the report", || folder.join("exit.json").exists().then_some(()));
    // Gone, as it is by itself when no host comes for a while.
    let shims = || processes::with_mark(&folder.to_string_lossy());
    shims().into_iter().for_each(processes::kill_9);
    until("the shim to go", || shims().is_empty().then_some(()));
    host.restart();
    host.wait_for_end(id);
    let log = std::fs::read_to_string(host.data().join("host.log")).unwrap();
    assert!(log.contains("settled") && !log.contains("hunter2"), "{log}");
}

/// Returns the shim of a task that runs.
fn shim_of(host: &TestHost, id: TaskId) -> i32 {
    let process = until("the process", || host.detail(id).attempts.last()?.process);
    processes::parent(process)
}

#[test]
fn what_an_orderly_shutdown_ends_is_lost_or_runs_again_as_its_kind_says() {
    let again = "[kinds.again]\nargv = [\"sh\", \"-c\", \"echo $NOD_ATTEMPT >> runs; \
                 [ -e go ] || exec sleep 6141\"]\non_lost = \"requeue\"\n";
    let mut host = TestHost::start_in(nod_tests::Home::new().with_config(again));
    let seen = host.submit_with(&["--retries", "3"], &["sleep 6141"]);
    let unseen = host.submit_with(&["--retries", "3"], &["sleep 6141"]);
    let ran = host.run(&["submit", "--kind", "again"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let requeued = host.tasks()[0].id;
    // Each shim is told as the system tells every process, with a host and without one.
    processes::terminate(shim_of(&host, seen));
    let ended = host.wait_for_end(seen);
    let Some(Outcome::Lost { why }) = ended.state.outcome() else { panic!("{ended:?}") };
    assert!(why.contains("told to end"), "{why}");
    let shims = [unseen, requeued].map(|id| shim_of(&host, id));
    host.kill();
    shims.into_iter().for_each(processes::terminate);
    until("their processes", || processes::with_mark("sleep\u{0}6141").is_empty().then_some(()));
    std::fs::write(host.work().join("go"), "").unwrap();
    host.restart();
    assert_eq!(host.wait_for_end(unseen).state.name(), StateName::Lost);
    assert_eq!(host.wait_for_end(requeued).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(std::fs::read_to_string(host.work().join("runs")).unwrap(), "1\n2\n");
}

#[test]
fn a_cancelled_task_does_not_run_again_though_its_shim_dies() {
    let again = "[kinds.again]\nargv = [\"sh\", \"-c\", \"echo $NOD_ATTEMPT >> runs; \
                 trap '' INT TERM; sleep 6142\"]\non_lost = \"requeue\"\n";
    let host = TestHost::start_in(nod_tests::Home::new().with_config(again));
    let ran = host.run(&["submit", "--kind", "again", "--grace", "60s"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let id = host.tasks()[0].id;
    let shim = shim_of(&host, id);
    until("its trap", || (!processes::with_mark("sleep\u{0}6142").is_empty()).then_some(()));
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    processes::kill_9(shim);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
    assert_eq!(host.detail(id).attempts.len(), 1);
}

#[test]
fn a_running_task_of_which_nothing_is_left_is_lost_at_the_next_start() {
    let mut host = TestHost::start();
    let (gone, unknown) = (host.submit("sleep 6143"), host.submit("sleep 6143"));
    let shims = [gone, unknown].map(|id| shim_of(&host, id));
    host.kill();
    shims.into_iter().for_each(processes::kill_9);
    processes::with_mark("sleep\u{0}6143").into_iter().for_each(processes::kill_9);
    for entry in std::fs::read_dir(host.data().join("tasks")).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let forgotten = history.execute("DELETE FROM attempts WHERE task_id = ?1", [unknown.0]);
    assert_eq!(forgotten.unwrap(), 1);
    drop(history);
    host.restart();
    for id in [gone, unknown] {
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Lost);
    }
    let again = host.run(&["retry", &unknown.to_string()]);
    assert_eq!(again.code, Some(0), "{again:?}");
    host.wait_for_state(unknown, StateName::Running);
    assert_eq!(host.task(unknown).attempt.0, 2, "no number is given twice");
}
