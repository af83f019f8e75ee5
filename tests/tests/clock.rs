//! Somebody sets the clock of the machine under a host, its tasks and those who wait.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::path::Path;

use nod_core::ids::{TaskId, Timestamp};
use nod_core::protocol::{Call, Reply};
use nod_core::request::Answer;
use nod_core::task::{Outcome, StateName};
use nod_tests::{Clock, Home, TestHost, processes, until};

const HALF_AN_HOUR: i64 = 1_800_000;

/// Lets the host look at its clock, as it does whenever something happens.
fn poke(host: &TestHost) {
    assert!(host.wait_for_end(host.submit("true")).state.outcome().is_some());
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

fn waits(host: &TestHost) -> Vec<i64> {
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let mut statement = database.prepare("SELECT expires_at FROM waits").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Whether what ends at `at` has its half an hour yet, less the time that a test takes.
#[track_caller]
fn assert_has_its_time(clock: &Clock, at: i64) {
    let left = at - clock.now();
    assert!((HALF_AN_HOUR / 2..=HALF_AN_HOUR + 2_000).contains(&left), "{left} ms are left");
}

#[test]
fn what_counts_down_keeps_its_time_and_what_waits_for_a_time_of_day_does_not() {
    let (home, mut clock) = Clock::of(Home::new());
    let mut host = TestHost::start_in(home);
    let asks = host.submit("nod ask 'Go?' --timeout 30m > answer; echo $? > asked");
    let waiter = host.submit("nod await k --timeout 30m > signal; echo $? > waited");
    let delayed = host.submit_with(&["--delay", "30m"], &["true"]);
    let bounded = host.submit_with(&["--timeout", "30m"], &["sleep", "1000"]);
    let mut at_a_time = host.shell_submit("true");
    at_a_time.scheduling.not_before = Some(Timestamp(clock.now() + 3 * HALF_AN_HOUR));
    let Reply::Submitted { id: timed, .. } = host.call(&Call::Submit(Box::new(at_a_time))) else {
        panic!("it is taken in");
    };
    let request = host.wait_for_request(asks);
    until("a wait", || (waits(&host).len() == 1).then_some(()));
    host.wait_for_state(bounded, StateName::Running);
    poke(&host);
    assert_eq!(host.state(timed), StateName::Queued);

    let check = |host: &TestHost, clock: &Clock| {
        let open = host.request(asks, request.id);
        assert!(open.is_open(), "{open:?}");
        assert_has_its_time(clock, open.expires_at.unwrap().0);
        assert_has_its_time(clock, waits(host)[0]);
        let task = host.task(delayed);
        assert_eq!(task.state.name(), StateName::Queued);
        assert_has_its_time(clock, task.schedule.not_before.unwrap().0);
        assert_eq!(host.state(bounded), StateName::Running);
        assert_eq!(host.state(waiter), StateName::Running);
    };
    // Two hours on; then a day back.
    clock.set(7_200);
    poke(&host);
    check(&host, &clock);
    assert_eq!(host.wait_for_end(timed).state.outcome(), Some(&Outcome::Succeeded));
    clock.set(-86_400);
    poke(&host);
    check(&host, &clock);
    // Three days on while no host runs.
    host.kill();
    clock.set(172_800);
    host.restart();
    check(&host, &clock);

    host.answer(&host.request(asks, request.id), Answer::Approve);
    assert_eq!(host.run(&["notify", &waiter.to_string(), "k", "7"]).code, Some(0));
    for id in [asks, waiter] {
        assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    }
    assert_eq!(read(&host.work(), "asked"), "0\n");
    assert_eq!(
        (read(&host.work(), "waited"), read(&host.work(), "signal")),
        ("0\n".into(), "7\n".into())
    );
    let seen: Vec<_> = host.detail(asks).events.into_iter().map(|event| event.what).collect();
    assert_eq!(seen.iter().filter(|what| *what == "clock_set").count(), 3, "{seen:?}");
}

#[test]
fn what_counts_down_ends_in_its_time_though_the_clock_went_back() {
    let (home, mut clock) = Clock::of(Home::new());
    let host = TestHost::start_in(home);
    let ids: Vec<TaskId> = [
        host.submit_with(&["--timeout", "2s"], &["sleep", "77"]),
        host.submit("nod await k --timeout 2s 2> /dev/null; echo $? > waited"),
        host.submit("nod ask 'Go?' --timeout 2s 2> /dev/null; echo $? > asked"),
        host.submit_with(&["--delay", "2s"], &["true"]),
    ]
    .into();
    let _open = host.wait_for_request(ids[2]);
    until("a wait", || (waits(&host).len() == 1).then_some(()));
    clock.set(-86_400);
    let outcomes: Vec<_> = ids.iter().map(|id| host.wait_for_end(*id).state.words()).collect();
    assert_eq!(outcomes, ["Timed out", "Succeeded", "Succeeded", "Succeeded"]);
    assert_eq!(
        (read(&host.work(), "waited"), read(&host.work(), "asked")),
        ("124\n".into(), "124\n".into())
    );
}

#[test]
fn what_is_due_is_not_missed_by_a_host_whose_own_waiting_stood_still() {
    let (home, clock) = Clock::of(Home::new());
    let host = TestHost::start_in(home);
    let ids = [
        host.submit("nod await k --timeout 5s 2> /dev/null; echo $? > waited"),
        host.submit("nod ask 'Go?' --timeout 5s 2> /dev/null; echo $? > asked"),
        host.submit_with(&["--delay", "6s"], &["true"]),
    ];
    let _open = host.wait_for_request(ids[1]);
    until("a wait", || (waits(&host).len() == 1).then_some(()));
    clock.sleep_an_hour();
    // From here on the host waits for what comes next by a clock that is an hour late.
    poke(&host);
    let outcomes = ids.map(|id| host.wait_for_end(id).state.words());
    assert_eq!(outcomes, ["Succeeded", "Succeeded", "Succeeded"]);
    assert_eq!(
        (read(&host.work(), "waited"), read(&host.work(), "asked")),
        ("124\n".into(), "124\n".into())
    );
}

#[test]
fn an_asker_that_slept_as_long_as_its_machine_is_waited_for() {
    let (home, mut clock) = Clock::of(Home::new());
    let mut host = TestHost::start_in(home);
    let id = host.submit("echo $$ > pid; exec nod ask 'Go?'");
    let request = host.wait_for_request(id);
    let asker = read(&host.work(), "pid").trim().parse().unwrap();
    processes::stop(asker);
    host.kill();
    host.restart();
    (0..90).for_each(|_| clock.pass_a_second(&host));
    processes::go_on(asker);
    let open = host.request(id, request.id);
    assert!(open.is_open(), "{open:?}");
    host.answer(&open, Answer::Approve);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
}

/// Whether a task's start lies as far behind as a test takes, by every account of it.
#[track_caller]
fn assert_has_just_begun(host: &TestHost, clock: &Clock, id: TaskId) {
    let detail = host.detail(id);
    for at in [detail.task.started_at, detail.attempts[0].started_at] {
        let ago = clock.now() - at.unwrap().0;
        assert!((-2_000..HALF_AN_HOUR).contains(&ago), "it began {ago} ms ago: {detail:?}");
    }
    // As a person sees it, in a list: what took hours ends with minutes.
    let listed = host.run(&["list"]).out;
    let line = listed.lines().find(|line| line.contains("sleep 6183")).unwrap().to_owned();
    assert!(line.trim_end().ends_with('s'), "{line}");
}

#[test]
fn how_long_a_task_runs_is_what_passes_and_not_what_the_clock_says() {
    let (home, mut clock) = Clock::of(Home::new());
    let mut host = TestHost::start_in(home);
    let line = ": sleep 6183; while [ ! -e end ]; do sleep 0.02; done; exit 3";
    let ids = [host.submit(line), host.submit(line)];
    let processes =
        ids.map(|id| until("the process", || host.detail(id).attempts.first()?.process));
    // While a host runs, on and back; and while none does.
    for ahead in [7_200, -86_400] {
        clock.set(ahead);
        poke(&host);
        ids.iter().for_each(|id| assert_has_just_begun(&host, &clock, *id));
    }
    host.kill();
    clock.set(172_800);
    host.restart();
    ids.iter().for_each(|id| assert_has_just_begun(&host, &clock, *id));

    // It ends by a clock that is set again before any host hears of that.
    host.kill();
    clock.set(3_600);
    fs::write(host.work().join("end"), "").unwrap();
    until("the end", || processes.iter().all(|it| !processes::is_alive(*it)).then_some(()));
    let report = |id: TaskId| {
        let days = fs::read_dir(host.data().join("tasks")).unwrap().flatten();
        let mut folders = days.map(|day| day.path().join(format!("{id}-1/exit.json")));
        folders.find(|path| path.exists())
    };
    until("the reports", || ids.iter().all(|id| report(*id).is_some()).then_some(()));
    clock.set(-7_200);
    host.restart();
    for id in ids {
        let task = host.wait_for_end(id);
        assert_eq!(task.state.words(), "Failed (exit 3)");
        assert_has_just_begun(&host, &clock, id);
        let tried = &host.detail(id).attempts[0];
        let of_task = [task.started_at, task.ended_at];
        let of_try = [tried.started_at, tried.exited_at, tried.ended_at];
        for moments in [&of_task[..], &of_try] {
            let moments: Vec<i64> = moments.iter().map(|at| at.unwrap().0).collect();
            assert!(moments.is_sorted(), "{moments:?}");
            let took = moments.last().unwrap() - moments[0];
            assert!(took < HALF_AN_HOUR, "it took {took} ms");
            assert!(*moments.last().unwrap() <= clock.now() + 2_000);
        }
    }
}

const DAY: i64 = 86_400;

#[test]
fn no_clock_that_is_set_makes_what_is_kept_for_a_time_any_older() {
    let config = "[retention]\ndays = 30\nevery_ms = 20\n";
    let (home, mut clock) = Clock::of(Home::new().with_config(config));
    let mut host = TestHost::start_in(home);
    let mut kept: Vec<i64> = vec![];
    let mut times = 0;
    keeps_all(&host, &mut kept, &mut times);
    // On, and back again, and far back, under a host that runs.
    for days in [400, 0, -4_000, 40] {
        clock.set(days * DAY);
        keeps_all(&host, &mut kept, &mut times);
    }
    // While no host runs; what ends meanwhile is kept as well.
    let late = host.submit("while [ ! -e go ]; do sleep 0.02; done; touch gone");
    kept.insert(0, late.0);
    host.wait_for_state(late, StateName::Running);
    host.kill();
    fs::write(host.work().join("go"), "").unwrap();
    until("its end", || host.work().join("gone").exists().then_some(()));
    clock.jump(40 * DAY);
    host.restart();
    host.wait_for_end(late);
    keeps_all(&host, &mut kept, &mut times);
}

/// Checks that what is old is removed by now, and nothing else; then ends a task that is to stay.
fn keeps_all(host: &TestHost, kept: &mut Vec<i64>, times: &mut i64) {
    let old = host.submit("true");
    host.wait_for_end(old);
    *times += 1;
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    // A day more than it is to be kept.
    let sql = "UPDATE tasks SET kept_since = kept_since - 31 * 86400000 WHERE id = ?1";
    assert_eq!(database.execute(sql, [old.0]).unwrap(), 1);
    let removed = "SELECT count(*) FROM events WHERE what = 'removed'";
    let removed = || database.query_row::<i64, _, _>(removed, [], |row| row.get(0)).unwrap();
    until("what is old to go", || (removed() >= *times).then_some(()));
    assert_eq!(host.tasks().iter().map(|task| task.id.0).collect::<Vec<_>>(), *kept);
    let young = host.submit("true");
    host.wait_for_end(young);
    kept.insert(0, young.0);
}
