//! Reminding a person of an open question: how often, for how long, and whatever becomes of clocks
//! and hosts.

use nod_core::ids::TaskId;
use nod_core::request::Answer;
use nod_tests::wait::until_equal;
use nod_tests::{Clock, Home, TestHost};

/// A minute, less what a reminder may come late: time passes by whole seconds here.
const NEARLY_A_MINUTE: i64 = 58_500;

/// Returns when the person was reminded so far, by the clock of then.
fn reminders(home: &Home, id: TaskId) -> Vec<i64> {
    let events = home.detail(id).events;
    let reminders = events.into_iter().filter(|event| event.what == "request_reminded");
    reminders.map(|event| event.at.0).collect()
}

/// Lets time pass until there is one reminder more; returns how long that was after `since`, which
/// is a minute at the most.
#[track_caller]
fn next(clock: &mut Clock, home: &Home, id: TaskId, since: i64) -> i64 {
    let before = reminders(home, id).len();
    // The seconds that really pass come on top.
    for _ in 0..=61 {
        if let Some(at) = reminders(home, id).get(before) {
            return at - since;
        }
        clock.pass_a_second(home);
    }
    panic!("no reminder within a minute: {:?}", reminders(home, id));
}

#[test]
fn a_person_is_reminded_once_a_minute_until_the_question_is_closed() {
    let (home, mut clock) = Clock::of(Home::new());
    let mut host = TestHost::start_in(home);
    let id = host.submit("nod ask 'Go?' --remind 1s");
    let request = host.wait_for_request(id);
    let mut last = request.created_at.0;
    for _ in 0..2 {
        assert!(next(&mut clock, &host, id, last) >= NEARLY_A_MINUTE);
        last = *reminders(&host, id).last().expect("there was one");
    }
    // Somebody sets the clock: on, and then back behind the question.
    for jump in [5_430, -86_407] {
        clock.jump(jump);
        last += jump * 1_000;
        for _ in 0..2 {
            let after = next(&mut clock, &host, id, last);
            assert!(after >= NEARLY_A_MINUTE, "{after} ms after a jump of {jump} s");
            last = *reminders(&host, id).last().expect("there was one");
        }
    }
    // The next host goes on with it, also where the clock is set meanwhile.
    for jump in [0, -86_411] {
        host.kill();
        clock.jump(jump);
        host.restart();
        next(&mut clock, &host, id, last);
    }
    let count = reminders(&host, id).len();
    host.answer(&host.request(id, request.id), Answer::Approve);
    host.wait_for_end(id);
    (0..130).for_each(|_| clock.pass_a_second(&host));
    until_equal("no reminder", &count, || reminders(&host, id).len());
}

#[test]
fn who_wants_no_reminder_gets_none() {
    let (home, mut clock) = Clock::of(Home::new());
    let host = TestHost::start_in(home);
    let reminded = host.submit("nod ask 'Now?' --remind 1m");
    let plain = host.submit("nod ask 'Later?'");
    let since = host.wait_for_request(reminded).created_at.0;
    let _open = host.wait_for_request(plain);
    next(&mut clock, &host, reminded, since);
    assert_eq!(reminders(&host, plain), [] as [i64; 0]);
}
