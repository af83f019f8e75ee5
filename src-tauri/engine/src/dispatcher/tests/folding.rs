//! Several who ask the same at once: all are named, each hears the answer once, and one that goes
//! leaves the others theirs.

use std::path::Path;

use nod_core::protocol::AuditQuery;
use nod_core::request::{AlsoAsked, Closure, OnTimeout};

use super::*;
use crate::process::Lineage;

/// The processes of this test, which stand for those of every program.
fn lineage() -> Option<Lineage> {
    Lineage::of(std::process::id(), Path::new("/nowhere/nod"))
}

fn program(pid: u32) -> Program {
    Program {
        name: format!("sh (process {pid})"),
        argv: vec!["sh".into()],
        cwd: "/".into(),
        source: Source::Program { pid, started: 1 },
        lineage: lineage(),
    }
}

/// The command line that a program ran, by its process.
fn peer(pid: u32) -> Actor {
    Actor::Peer { uid: 1000, pid }
}

impl Table {
    fn ask_of(&mut self, program: Program, pid: u32) -> (OperationId, oneshot::Receiver<Said>) {
        let operation = self.operation();
        let ask = Ask::approval(operation.clone(), "Go?");
        (operation, self.begin(&peer(pid), Change::Ask(Box::new(ask), Some(program))))
    }

    fn ask_with(&mut self, id: TaskId, change: fn(&mut Ask)) -> oneshot::Receiver<Said> {
        let operation = self.operation();
        let mut ask = Ask::approval(operation, "Deploy?");
        change(&mut ask);
        self.begin(&Actor::Task { id, attempt: None }, Change::Ask(Box::new(ask), None))
    }

    fn open(&self) -> Vec<Request> {
        let rows = self.dispatcher.readers.lend().unwrap().open_requests().unwrap();
        rows.into_iter().map(|row| row.request).collect()
    }

    fn pass_grace(&mut self) {
        for (_, until) in self.dispatcher.orphans.values_mut() {
            *until = Instant::now();
        }
        self.dispatcher.turn(vec![]);
    }
}

fn closure(said: &mut oneshot::Receiver<Said>) -> Closure {
    match said.try_recv().unwrap() {
        Ok(Reply::Closed { closure, .. }) => closure,
        other => panic!("{other:?}"),
    }
}

fn named(request: &Request) -> Vec<(Option<Actor>, bool)> {
    let also = request.also_asked_by.iter().map(|one| (Some(one.by.clone()), one.gone));
    [(request.asked_by.clone(), false)].into_iter().chain(also).collect()
}

#[test]
fn all_who_ask_the_same_are_named_on_the_card_in_the_events_and_in_the_audit() {
    let mut table = Table::with_slots(1);
    let mut asked: Vec<_> = (7..=10).map(|pid| table.ask_of(program(1), pid).1).collect();
    let [request] = table.open().try_into().unwrap();
    let expected: Vec<_> = (7..=10).map(|pid| (Some(peer(pid)), false)).collect();
    assert_eq!(named(&request), expected);
    let told = table.published().into_iter().filter_map(|event| {
        let EventChange::Request { request } = event.change else { return None };
        Some(request.also_asked_by.len())
    });
    assert_eq!(told.collect::<Vec<_>>(), [0, 1, 2, 3]);
    table.approve(&request).unwrap();
    for said in &mut asked {
        assert!(matches!(closure(said), Closure::Answered { answer: Answer::Approve, .. }));
    }
    let page = table.dispatcher.readers.lend().unwrap().audit(&AuditQuery::default()).unwrap();
    let [row] = page.rows.try_into().unwrap();
    assert_eq!(row.asked_by, Some(peer(7)));
    assert_eq!(row.also_asked_by, request.also_asked_by);
}

#[test]
fn only_what_is_the_same_to_the_eye_and_in_time_and_of_one_asker_is_folded() {
    let mut table = Table::with_slots(2);
    let (one, other) = (table.submit(), table.submit());
    table.run(one);
    table.run(other);
    let same: [fn(&mut Ask); 1] = [|_| {}];
    let others: [fn(&mut Ask); 6] = [
        |ask| ask.question = "Deploy? ".into(),
        |ask| ask.detail = Some("now".into()),
        |ask| ask.diff = Some("+a".into()),
        |ask| ask.wants = nod_core::request::Wants::Text { default: None },
        |ask| ask.timeout_ms = Some(1_000_000),
        |ask| {
            ask.wants = nod_core::request::Wants::Text { default: Some("x".into()) };
            (ask.timeout_ms, ask.on_timeout) = (Some(1_000_000), OnTimeout::Default);
        },
    ];
    let mut waiting = vec![table.ask_with(one, |_| {}), table.ask_with(other, |_| {})];
    waiting.extend(same.map(|change| table.ask_with(one, change)));
    waiting.extend(others.map(|change| table.ask_with(one, change)));
    let open = table.open();
    assert_eq!(open.len(), 2 + others.len());
    let folded: Vec<_> = open.iter().map(|request| request.also_asked_by.len()).collect();
    assert_eq!(folded.iter().sum::<usize>(), same.len());
    // Of programs of which nothing is known, nobody can say that they are one.
    let mut gone = program(1);
    gone.source = Source::Gone;
    for pid in [7, 8] {
        waiting.push(table.ask_of(gone.clone(), pid).1);
    }
    // Nor of a process that only has the number of another.
    let mut again = program(2);
    waiting.push(table.ask_of(again.clone(), 9).1);
    again.source = Source::Program { pid: 2, started: 2 };
    waiting.push(table.ask_of(again, 10).1);
    assert_eq!(table.open().len(), open.len() + 4);
}

#[test]
fn each_has_a_time_of_its_own_but_for_a_hundredth_of_it() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let waiting =
        [100_000, 100_000, 99_500, 98_000, 102_000].map(|timeout| table.ask(id, Some(timeout)));
    // The third ends half a hundredth sooner, which is the same; the others do not.
    let folded: Vec<_> = table.open().iter().map(|open| open.also_asked_by.len()).collect();
    assert_eq!(folded, [2, 0, 0]);
    drop(waiting);
}

#[test]
fn no_asker_of_one_card_has_less_time_than_it_said_and_none_draws_it_out() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let began = crate::clock::now();
    let waiting = [100_000, 100_900, 99_500].map(|timeout| table.ask(id, Some(timeout)));
    let [request] = table.open().try_into().unwrap();
    let end = request.expires_at.unwrap();
    assert!(end >= began.plus(100_900), "the second one has all of its time");
    assert!(end <= crate::clock::now().plus(100_900));
    assert_eq!(table.dispatcher.live.first_expiry(), Some((end, request.id)));
    // As far behind the end as it is now, but not as it was at first.
    let later = table.ask(id, Some(101_800));
    assert_eq!(table.open().len(), 2);
    // Who lengthened it may go.
    let (operation, _) = &waiting[1];
    table
        .call(&Actor::Task { id, attempt: None }, Change::Withdraw(operation.clone(), None))
        .unwrap();
    assert_eq!(table.open()[0].expires_at, Some(end));
    drop((waiting, later));
}

#[test]
fn one_that_withdraws_leaves_the_others_their_question_whoever_was_first() {
    let mut table = Table::with_slots(1);
    let (first, mut first_said) = table.ask_of(program(1), 7);
    let (second, mut second_said) = table.ask_of(program(1), 8);
    let (_third, mut third_said) = table.ask_of(program(1), 9);
    for (operation, said) in [(first, &mut first_said), (second, &mut second_said)] {
        table.call(&peer(1), Change::Withdraw(operation, lineage())).unwrap();
        assert!(matches!(closure(said), Closure::Withdrawn { .. }));
    }
    let [request] = table.open().try_into().unwrap();
    let expected = [(Some(peer(9)), false), (Some(peer(7)), true), (Some(peer(8)), true)];
    let mut names = named(&request);
    names.sort_by_key(|(by, gone)| (*gone, format!("{by:?}")));
    assert_eq!(names, expected);
    table.approve(&request).unwrap();
    assert!(matches!(closure(&mut third_said), Closure::Answered { .. }));
}

#[test]
fn the_last_one_takes_the_question_along() {
    let mut table = Table::with_slots(1);
    let asked: Vec<_> = (7..=9).map(|pid| table.ask_of(program(1), pid)).collect();
    for (operation, _) in &asked {
        assert_eq!(table.open().len(), 1);
        table.call(&peer(1), Change::Withdraw(operation.clone(), lineage())).unwrap();
    }
    assert!(table.open().is_empty());
}

#[test]
fn one_whose_process_is_gone_is_named_as_gone_and_may_come_back() {
    let mut table = Table::with_slots(1);
    let (first, first_said) = table.ask_of(program(1), 7);
    let (_second, mut second_said) = table.ask_of(program(1), 8);
    drop(first_said);
    table.dispatcher.turn(vec![Message::AskerGone(first.clone())]);
    table.pass_grace();
    let [request] = table.open().try_into().unwrap();
    assert_eq!(named(&request), [(Some(peer(8)), false), (Some(peer(7)), true)]);
    // Back under the same operation, as after a break in its connection.
    let ask = Ask::approval(first, "Go?");
    let mut back = table.begin(&peer(7), Change::Ask(Box::new(ask), Some(program(1))));
    let [request] = table.open().try_into().unwrap();
    assert_eq!(named(&request), [(Some(peer(8)), false), (Some(peer(7)), false)]);
    table.approve(&request).unwrap();
    assert!(matches!(closure(&mut back), Closure::Answered { .. }));
    assert!(matches!(closure(&mut second_said), Closure::Answered { .. }));
}

#[test]
fn a_host_that_starts_waits_for_each_of_them() {
    let mut table = Table::with_slots(1);
    let asked: Vec<_> = (7..=9).map(|pid| table.ask_of(program(1), pid)).collect();
    let mut rows = table.dispatcher.readers.lend().unwrap().open_requests().unwrap();
    let [row] = <[_; 1]>::try_from(std::mem::take(&mut rows)).unwrap();
    let operations: Vec<_> = asked.iter().map(|(operation, _)| operation).collect();
    assert_eq!(row.holders().collect::<Vec<_>>(), operations);
    let orphans = Dispatcher::orphans_of(&table.dispatcher.live, Duration::ZERO);
    assert_eq!(orphans.len(), 3);
    // Only the last one comes back.
    drop(asked);
    let operation = OperationId("operation 3".into());
    table.dispatcher.waiters = Waiters::default();
    table.dispatcher.orphans = orphans;
    let ask = Ask::approval(operation, "Go?");
    let mut said = table.begin(&peer(9), Change::Ask(Box::new(ask), Some(program(1))));
    table.pass_grace();
    let [request] = table.open().try_into().unwrap();
    assert_eq!(request.asked_by, Some(peer(9)));
    assert!(request.also_asked_by.iter().all(|one: &AlsoAsked| one.gone));
    table.approve(&request).unwrap();
    assert!(matches!(closure(&mut said), Closure::Answered { .. }));
}

#[test]
fn no_more_fold_into_one_than_can_be_named() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let waiting: Vec<_> = (0..150).map(|_| table.ask(id, None)).collect();
    let folded: Vec<_> = table.open().iter().map(|open| open.also_asked_by.len()).collect();
    assert_eq!(folded, [100, 48]);
    drop(waiting);
}
