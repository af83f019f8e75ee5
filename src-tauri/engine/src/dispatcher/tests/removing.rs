//! What is removed from the history, and what lost attempts left of processes.

use crate::config::Retention;
use crate::retention::{AT_ONCE, Pruner};

use super::*;

impl Table {
    fn pruner(&self, wanted: Retention) -> (Pruner, Receiver<Message>) {
        let (inbox, messages) = crossbeam_channel::unbounded();
        let tasks = self.dispatcher.effects.folder("");
        (Pruner::new(wanted, self.dispatcher.readers.clone(), inbox, tasks), messages)
    }

    fn end_some(&mut self, count: u32) -> Vec<TaskId> {
        let ids: Vec<_> = (0..count).map(|_| self.submit()).collect();
        for id in &ids {
            self.run(*id);
            self.end(*id, 0);
        }
        ids
    }
}

/// Returns the next tasks that are to be removed, past the folders that are gone.
fn pruned(messages: &Receiver<Message>) -> Vec<TaskId> {
    loop {
        let message = messages.recv_timeout(Duration::from_secs(30)).unwrap();
        if let Message::Prune(ids) = message {
            return ids;
        }
        let Message::Swept(folders) = message else { panic!("{message:?}") };
        assert!(folders.len() <= AT_ONCE as usize, "{folders:?}");
    }
}

fn prunes_nothing(messages: &Receiver<Message>) -> bool {
    messages.try_iter().all(|message| matches!(message, Message::Swept(_)))
}

#[test]
fn only_a_few_tasks_are_removed_at_once_and_those_that_ended_first() {
    let mut table = Table::with_slots(100);
    let ids = table.end_some(AT_ONCE * 2 + 5);
    let wanted = Retention { tasks: Some(1), ..Retention::default() };
    let (mut pruner, messages) = table.pruner(wanted);
    let mut gone = 0;
    for expected in [AT_ONCE, AT_ONCE, 4] {
        pruner.prune(None).unwrap();
        let some = pruned(&messages);
        assert_eq!(some, ids[gone..gone + expected as usize]);
        gone += some.len();
        table.published();
        table.dispatcher.turn(vec![Message::Prune(some.clone())]);
        let told: Vec<_> = table.published().into_iter().map(|event| event.change).collect();
        let removed = |id: &TaskId| EventChange::Removed { id: *id };
        assert_eq!(told, some.iter().map(removed).collect::<Vec<_>>());
        let events = table.dispatcher.readers.lend().unwrap().events_after(EventNumber(0), 500);
        let kept = events.unwrap().into_iter().filter(|event| event.event == "removed");
        assert_eq!(kept.count(), gone, "who was away hears of each");
        // Asked for again before it was known to be done.
        table.dispatcher.turn(vec![Message::Prune(some)]);
        assert_eq!(table.published(), []);
    }
    pruner.prune(None).unwrap();
    assert!(prunes_nothing(&messages));
    assert_eq!(table.stored(ids[gone]).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn what_is_removed_is_looked_for_once_in_a_while() {
    let mut table = Table::with_slots(100);
    table.end_some(3);
    let every = Duration::from_millis(60);
    let every_ms = every.as_millis() as u64;
    let wanted = Retention { tasks: Some(0), every_ms, ..Retention::default() };
    let (pruner, messages) = table.pruner(wanted);
    let (stop, stopped) = crossbeam_channel::bounded(0);
    let began = Instant::now();
    let thread = pruner.begin(stopped).unwrap();
    for times in 1..=3 {
        pruned(&messages);
        assert!(began.elapsed() >= every * times);
    }
    drop(stop);
    thread.join().unwrap();
}

#[test]
fn the_size_that_counts_is_that_on_the_disk() {
    let mut table = Table::with_slots(100);
    let ids = [(); 3].map(|()| {
        let id = table.submit();
        table.run(id);
        table.hear(id, message::Said::Files { tail: String::new(), disk: 1 << 20 });
        let message::Said::Ended { mut report, tail } = ended(id, 0) else { panic!("no end") };
        report.size = 100 << 20;
        table.hear(id, message::Said::Ended { report, tail });
        id
    });
    let wanted = |mib| Retention { mib: Some(mib), ..Retention::default() };
    let (mut pruner, messages) = table.pruner(wanted(2));
    pruner.prune(None).unwrap();
    assert_eq!(pruned(&messages), ids[..1]);
    let (mut pruner, messages) = table.pruner(wanted(3));
    pruner.prune(None).unwrap();
    assert!(messages.try_recv().is_err());
}

#[test]
fn a_removed_tasks_folders_are_known_until_they_are_gone() {
    let mut table = Table::with_slots(100);
    let ids = table.end_some(2);
    let folder = |table: &Table, id: TaskId| {
        let attempts = table.dispatcher.readers.lend().unwrap().attempts(id).unwrap();
        attempts[0].folder.clone()
    };
    let mut folders = vec![folder(&table, ids[0]), folder(&table, ids[1])];
    folders.sort();
    let operation = table.operation();
    let remove = Change::Remove { operation, id: ids[0], session: None };
    table.call(&PERSON, remove).unwrap();
    table.dispatcher.turn(vec![Message::Prune(vec![ids[1]])]);
    let left = |table: &Table| table.dispatcher.readers.lend().unwrap().leftovers("", 10).unwrap();
    assert_eq!(left(&table), folders);
    table.dispatcher.turn(vec![Message::Swept(folders)]);
    assert_eq!(left(&table), [] as [String; 0]);
}

#[test]
fn what_a_lost_attempt_left_is_noted_until_it_is_swept() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    table.hear(id, message::Said::Gone { why: "killed".into() });
    let sweeps = |table: &Table| table.dispatcher.readers.lend().unwrap().sweeps().unwrap();
    let attempt = AttemptNumber::FIRST;
    assert_eq!(sweeps(&table), [(id, attempt)]);
    let left = vec!["su (7), cannot kill pid 7 of root".to_owned()];
    table.dispatcher.turn(vec![Message::SweptTry(id, attempt, left.clone())]);
    assert_eq!(sweeps(&table), []);
    let attempts = table.dispatcher.readers.lend().unwrap().attempts(id).unwrap();
    assert_eq!(attempts[0].left, left);
}

#[test]
fn a_start_without_room_leaves_the_task_queued_and_holds_back_the_others() {
    let mut table = Table::with_slots(2);
    let (first, second, third) = (table.submit(), table.submit(), table.submit());
    let error = SpawnError {
        program: "make".into(),
        cwd: "/".into(),
        message: "No space left on device".into(),
        not_found: false,
    };
    for id in [first, second] {
        table.hear(id, message::Said::NoRoom { error: error.clone() });
    }
    for id in [first, second, third] {
        assert_eq!(table.stored(id).state, TaskState::Queued { reason: QueueReason::Slot });
    }
    assert!(table.dispatcher.outputs.is_full(first));
    assert!(table.dispatcher.next_wake().is_some_and(|wait| wait <= Duration::from_secs(1)));
    // There is no such folder: nothing can be written there.
    table.dispatcher.look_for_room(Instant::now() + Duration::from_secs(2));
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(first).state.name(), StateName::Queued);
    std::fs::create_dir(table.dispatcher.effects.folder("")).unwrap();
    table.dispatcher.look_for_room(Instant::now() + Duration::from_secs(9));
    table.dispatcher.turn(vec![]);
    assert!(!table.dispatcher.outputs.is_full(first));
    let states = [first, second, third].map(|id| table.stored(id).state.name());
    assert_eq!(states, [StateName::Starting, StateName::Starting, StateName::Queued]);
    assert_eq!(table.stored(first).attempt, AttemptNumber(2));
}

#[test]
fn a_shim_that_had_no_room_is_let_go_and_its_task_waits() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    let mut orders = table.shims.expect(id, AttemptNumber::FIRST);
    let message::Said::Ended { mut report, tail } = ended(id, 0) else { panic!("no end") };
    (report.no_room, report.exit, report.process) = (true, None, None);
    table.hear(id, message::Said::Ended { report, tail });
    assert_eq!(table.stored(id).state, TaskState::Queued { reason: QueueReason::Slot });
    assert_eq!(orders.try_recv().unwrap(), ToShim::Acknowledge);
}
