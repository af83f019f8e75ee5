//! How many questions a person is shown, and which of them are one.

use std::path::Path;

use nod_core::protocol::Edit;

use super::*;
use crate::process::Lineage;

fn program(pid: u32) -> Actor {
    Actor::Peer { uid: 1, pid }
}

impl Table {
    fn gate(&mut self, by: &Actor) -> TaskId {
        let change = self.new_task(true);
        let Ok(Reply::Submitted { id, .. }) = self.call(by, change) else { panic!("no submit") };
        id
    }

    /// Returns the requests that were told to be open since the last look.
    fn told(&mut self) -> Vec<Request> {
        let events = self.published().into_iter();
        let requests = events.filter_map(|event| {
            let EventChange::Request { request } = event.change else { return None };
            Some(*request)
        });
        requests.filter(Request::is_open).collect()
    }

    /// Returns the open requests that a window which comes now is shown.
    fn shown(&self) -> Vec<Request> {
        let open = self.dispatcher.readers.lend().unwrap().open_requests().unwrap();
        let open = open.into_iter().map(|row| row.request).collect();
        self.held_back.shown(open)
    }

    fn edit(&mut self, by: &Actor, id: TaskId, line: usize) -> Said {
        let mut edit = Edit::new(self.operation(), id);
        edit.command = Some(CommandLine::Shell { line: format!("make {line}") });
        self.call(by, Change::Edit(Box::new(edit)))
    }

    fn ask_as(&mut self, pid: u32, question: &str, timeout_ms: Option<u64>) -> RequestId {
        let before = self.told();
        assert_eq!(before, []);
        let ask = Ask { timeout_ms, ..Ask::approval(self.operation(), question) };
        let source = Source::Program { pid, started: 1 };
        let name = format!("agent {pid}");
        let lineage = Lineage::of(std::process::id(), Path::new("/nowhere/nod"));
        let program = Program { name, argv: vec![], cwd: "/".into(), source, lineage };
        let change = Change::Ask(Box::new(ask), Some(program));
        // Nobody waits for it any more; it stays all the same for a while.
        drop(self.begin(&Actor::Peer { uid: 1, pid }, change));
        let told = self.told();
        told.last().map_or_else(|| self.open_request().id, |request| request.id)
    }
}

#[test]
fn of_five_hundred_gates_a_person_is_shown_twenty_and_the_next_when_one_is_answered() {
    let mut table = Table::with_slots(1);
    let agent = program(u32::MAX);
    let ids: Vec<_> = (0..500).map(|_| table.gate(&agent)).collect();
    let told = table.told();
    assert_eq!(told.iter().map(|request| request.task.unwrap()).collect::<Vec<_>>(), ids[..20]);
    assert_eq!(table.shown(), told);
    // Each waits for its approval all the same.
    let waits = |table: &Table, id| {
        matches!(table.stored(id).state, TaskState::Queued { reason: QueueReason::Gate { .. } })
    };
    assert!(ids.iter().all(|id| waits(&table, *id)));
    // Another submitter is heard.
    let other = table.gate(&PERSON);
    assert_eq!(table.told()[0].task, Some(other));
    table.approve(&told[3]).unwrap();
    let next = table.told();
    assert_eq!(next.iter().map(|request| request.task.unwrap()).collect::<Vec<_>>(), [ids[20]]);
    // One whose card is held back can be answered by its number.
    let last = table.dispatcher.readers.lend().unwrap().requests(ids[499]).unwrap().remove(0);
    table.approve(&last).unwrap();
    assert!(!waits(&table, ids[499]));
    assert_eq!(table.told(), []);
    // The next host shows as many.
    let next = Cards::new(&table.dispatcher.live, table.held_back.clone());
    assert_eq!(table.shown().len(), 21, "{next:?}");
}

#[test]
fn gates_that_come_and_go_are_shown_at_a_pace() {
    let mut table = Table::with_slots(1);
    let agent = program(u32::MAX);
    for _ in 0..200 {
        let id = table.gate(&agent);
        let operation = table.operation();
        table.call(&agent, Change::Cancel { operation, id }).unwrap();
    }
    let told = table.told().len();
    assert!((40..50).contains(&told), "{told} cards");
    // What is held back by nothing else comes by itself.
    table.gate(&agent);
    if table.told().is_empty() {
        let wake = table.dispatcher.next_wake().unwrap();
        assert!(wake <= Duration::from_secs(1), "{wake:?}");
    }
}

#[test]
fn a_task_that_is_edited_again_and_again_is_asked_about_a_few_times() {
    let mut table = Table::with_slots(1);
    let agent = program(u32::MAX);
    let id = table.gate(&agent);
    let refused = (0..784).filter(|line| table.edit(&agent, id, *line).is_err()).count();
    let told = table.told().len();
    assert!(refused >= 770 && told <= 12, "{refused} refused, {told} cards");
    let said = table.edit(&agent, id, 1_000).unwrap_err();
    assert_eq!(said.code(), nod_core::protocol::ErrorCode::Busy, "{said}");
    // The person is not held up by that, nor is another task.
    table.edit(&PERSON, id, 1_001).unwrap();
    let other = table.gate(&agent);
    table.edit(&agent, other, 1).unwrap();
}

#[test]
fn what_could_not_be_stored_hides_nothing() {
    let mut table = Table::with_slots(1);
    let agent = program(u32::MAX);
    for _ in 0..20 {
        table.gate(&agent);
    }
    table.told();
    table.dispatcher.store.refuse_writes(true);
    let change = table.new_task(true);
    table.call(&agent, change).unwrap_err();
    table.dispatcher.store.refuse_writes(false);
    // The same number is that of a question now.
    let asked = table.ask_as(7, "Go?", None);
    assert!(table.shown().iter().any(|request| request.id == asked));
}

#[test]
fn one_card_stands_for_the_same_question_only_where_both_end_together() {
    let mut table = Table::with_slots(1);
    let minute = 60_000;
    let soon = table.ask_as(7, "Go?", Some(minute));
    assert_eq!(table.ask_as(7, "Go?", Some(minute)), soon);
    let late = table.ask_as(7, "Go?", Some(60 * minute));
    assert_ne!(late, soon, "it would expire an hour early");
    let never = table.ask_as(7, "Go?", None);
    assert!(never != late && never != soon);
    // Nor is anybody kept waiting for longer than they said.
    assert_ne!(table.ask_as(7, "Go?", Some(2 * minute)), late);
}

#[test]
fn a_person_is_reminded_of_an_open_question_once_a_minute_at_the_most() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let operation = table.operation();
    let ask = Ask { remind_ms: Some(1_000), ..Ask::approval(operation, "Go?") };
    let _waiting =
        table.begin(&Actor::Task { id, attempt: None }, Change::Ask(Box::new(ask), None));
    let wake = table.dispatcher.next_wake().unwrap();
    assert!(wake > Duration::from_secs(50) && wake <= Duration::from_secs(60), "{wake:?}");
    let request = table.told().remove(0);
    table.dispatcher.reminders = [(crate::clock::now(), request.id)].into();
    table.dispatcher.turn(vec![]);
    assert_eq!(table.told(), [request]);
    let stored = table.dispatcher.readers.lend().unwrap().events(id).unwrap();
    assert_eq!(stored.last().unwrap().what, "request_reminded");
    assert!(table.dispatcher.next_wake().unwrap() > Duration::from_secs(50));
}

#[test]
fn the_tasks_of_a_family_are_one_source_also_for_the_next_host() {
    let mut table = Table::with_slots(10);
    let first = table.submit();
    table.run(first);
    let child_of = |table: &mut Table, id| {
        let change = table.new_task(false);
        let parent = Actor::Task { id, attempt: None };
        let Ok(Reply::Submitted { id, .. }) = table.call(&parent, change) else { panic!() };
        table.run(id);
        id
    };
    let child = child_of(&mut table, first);
    let grandchild = child_of(&mut table, child);
    // Who began the family may be gone.
    table.end(first, 0);
    let live = &table.dispatcher.live;
    assert_eq!(live.source_of(grandchild), Source::Task(first));
    assert_eq!(live.source_of(child), live.source_of(grandchild));
    let other = table.submit();
    assert_eq!(table.dispatcher.live.source_of(other), Source::Task(other));
    let (_operation, _said) = table.ask(grandchild, None);
    let request = table.open_request().id;
    let pace = Pace::of(&table.dispatcher.live);
    assert_eq!(pace.asked_by(Source::Task(first)).collect::<Vec<_>>(), [request]);
}
