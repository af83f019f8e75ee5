//! Askers that go on without an answer, and who waits for a signal and is away as it comes.

use nod_core::protocol::{Await, Notify, Resume, WaitEnd};

use super::*;

fn ask(table: &mut Table, id: TaskId, resume: Resume) -> oneshot::Receiver<Said> {
    let operation = table.operation();
    let ask = Ask { resume: Some(resume), ..Ask::approval(operation, "Deploy?") };
    table.begin(&Actor::Task { id, attempt: None }, Change::Ask(Box::new(ask), None))
}

#[test]
fn a_question_that_was_let_go_is_withdrawn_for_nobody() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let mut said = ask(&mut table, id, Resume::After { milliseconds: 0 });
    let request = table.open_request();
    assert!(
        matches!(said.try_recv(), Ok(Ok(Reply::StillOpen { request: id })) if id == request.id)
    );
    // Neither by this host, nor by the next one.
    assert!(Dispatcher::orphans_of(&table.dispatcher.live, Duration::ZERO).is_empty());
    let first = OperationId("operation 2".into());
    table.dispatcher.orphans.insert(first, (request.id, Instant::now()));
    table.dispatcher.turn(vec![]);
    assert_eq!(table.open_request().id, request.id);
    let row = table.dispatcher.readers.lend().unwrap().open_requests().unwrap().remove(0);
    assert_eq!(row.operation, None);
    // Another asker of the same is one more who waits for it.
    let (operation, mut waiting) = table.ask(id, None);
    table.dispatcher.turn(vec![Message::AskerGone(operation)]);
    assert!(table.dispatcher.orphans.is_empty());
    table.approve(&request).unwrap();
    assert!(matches!(waiting.try_recv(), Ok(Ok(Reply::Closed { .. }))));
}

#[test]
fn a_question_that_is_still_waited_for_goes_with_its_asker() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let mut said = ask(&mut table, id, Resume::After { milliseconds: 3_600_000 });
    assert!(said.try_recv().is_err());
    assert_eq!(Dispatcher::orphans_of(&table.dispatcher.live, Duration::ZERO).len(), 1);
    assert!(table.dispatcher.waiters.next_resume().is_some());
}

#[test]
fn a_clock_that_is_set_moves_what_counts_and_not_a_time_of_day() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let hour = 3_600_000;
    let after = ask(&mut table, id, Resume::After { milliseconds: hour });
    let next = table.dispatcher.waiters.next_resume().unwrap();
    let day = Timestamp(next.0 + 1);
    let at = ask(&mut table, id, Resume::At { at: day });
    table.dispatcher.waiters.follow_clock(2);
    assert_eq!(table.dispatcher.waiters.next_resume(), Some(day));
    drop((after, at));
}

#[test]
fn who_is_away_as_a_signal_wakes_the_others_hears_it_on_coming_back() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let task = Actor::Task { id, attempt: None };
    let waits = [table.operation(), table.operation()];
    let wait = |operation: &OperationId| {
        let (operation, key) = (operation.clone(), "k".to_owned());
        Change::Await(Await { operation, key, timeout_ms: None, resume_at: None })
    };
    let [mut there, away] = [0, 1].map(|n| table.begin(&task, wait(&waits[n])));
    drop(away);
    let notify = Notify { operation: table.operation(), id, key: "k".into(), data: 7.into() };
    let told = table.call(&PERSON, Change::Notify(notify)).unwrap();
    assert!(matches!(told, Reply::Notified { woken: 1, kept: false }), "{told:?}");
    let mut back = table.begin(&task, wait(&waits[1]));
    for said in [there.try_recv(), back.try_recv()] {
        let end = WaitEnd::Signal { data: 7.into() };
        assert_eq!(said.unwrap().unwrap(), Reply::Awaited { end });
    }
    assert!(table.waits().is_empty());
}
