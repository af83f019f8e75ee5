//! What is typed is told when it is typed, once, and to whoever asks for it again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_core::protocol::TypeIn;
use nod_core::shim::{Status, Typed};
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;

type Orders = UnboundedReceiver<ToShim>;

impl Table {
    /// Returns a task that can be typed into, and what its shim is told.
    fn interactive(&mut self) -> (TaskId, Orders) {
        let id = self.submit_with(|new| new.output = OutputMode::Interactive);
        self.run(id);
        (id, self.shims.expect(id, AttemptNumber::FIRST))
    }

    fn type_in(&mut self, id: TaskId, operation: &str) -> oneshot::Receiver<Said> {
        let operation = Some(OperationId(operation.into()));
        let typed = TypeIn { operation, id, data: BASE64.encode("y\n"), session: None };
        self.begin(&PERSON, Change::Input(typed, vec![]))
    }

    fn acknowledge(&mut self, id: TaskId, operation: &str, lost: u64) {
        self.hear(id, message::Said::Typed(typed(operation, lost)));
    }
}

fn typed(operation: &str, lost: u64) -> Typed {
    Typed { operation: OperationId(operation.into()), lost }
}

/// Returns the operations that a shim was told to type under.
fn told(orders: &mut Orders) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(ToShim::Input { operation, .. }) = orders.try_recv() {
        told.push(operation.map_or_else(|| "none".into(), |operation| operation.0));
    }
    told
}

fn status(id: TaskId, protocol: u32, typed: Option<Vec<Typed>>) -> message::Said {
    message::Said::Status(Box::new(Status {
        protocol,
        task: id,
        attempt: AttemptNumber::FIRST,
        shim_pid: 1,
        process: Some(ProcessIdentity { pid: 1, start_time: 1 }),
        started_at: Some(Timestamp(1)),
        size: 0,
        stopping: None,
        report: None,
        paused: false,
        disk_full: false,
        unbounded: false,
        terminated: false,
        typed,
    }))
}

#[test]
fn a_caller_hears_of_it_when_the_shim_has_taken_it() {
    let mut table = Table::with_slots(10);
    let (id, mut orders) = table.interactive();
    let mut first = table.type_in(id, "one");
    // Sent again on another connection, as one that was cut.
    let mut again = table.type_in(id, "one");
    assert_eq!(told(&mut orders), ["one"]);
    assert!(first.try_recv().is_err() && again.try_recv().is_err());
    table.acknowledge(id, "one", 0);
    for said in [&mut first, &mut again] {
        assert!(matches!(said.try_recv(), Ok(Ok(Reply::Done))));
    }
    assert!(matches!(table.type_in(id, "one").try_recv(), Ok(Ok(Reply::Done))));
    assert_eq!(told(&mut orders), Vec::<String>::new());
    // A shim that had no room for it says so, and what is asked again is told the same.
    let mut lost = table.type_in(id, "two");
    table.acknowledge(id, "two", 2);
    for said in [lost.try_recv().unwrap(), table.type_in(id, "two").try_recv().unwrap()] {
        assert!(matches!(said, Err(EngineError::NotTyped(2))), "{said:?}");
    }
}

#[test]
fn what_two_callers_send_under_one_name_in_one_turn_is_typed_once() {
    let mut table = Table::with_slots(10);
    let (id, mut orders) = table.interactive();
    let messages = (0..2).map(|_| {
        let operation = Some(OperationId("one".into()));
        let typed = TypeIn { operation, id, data: BASE64.encode("y\n"), session: None };
        let (reply, _said) = oneshot::channel();
        let change = Change::Input(typed, vec![]);
        Message::Call(Box::new(Incoming { actor: PERSON, change, reply: reply.into() }))
    });
    table.dispatcher.turn(messages.collect());
    assert_eq!(told(&mut orders), ["one"]);
}

#[test]
fn what_a_lost_connection_may_have_swallowed_is_told_to_the_shim_again() {
    let mut table = Table::with_slots(10);
    let (id, mut orders) = table.interactive();
    let mut said: Vec<_> = ["one", "two", "three"].map(|name| table.type_in(id, name)).into();
    assert_eq!(told(&mut orders), ["one", "two", "three"]);
    table.hear(id, status(id, SHIM_PROTOCOL, Some(vec![typed("one", 0)])));
    assert!(matches!(said.remove(0).try_recv(), Ok(Ok(Reply::Done))));
    assert_eq!(told(&mut orders), ["two", "three"]);
    assert!(said.iter_mut().all(|said| said.try_recv().is_err()));
    for name in ["two", "three"] {
        table.acknowledge(id, name, 0);
    }
    assert!(said.iter_mut().all(|said| matches!(said.try_recv(), Ok(Ok(Reply::Done)))));
}

#[test]
fn what_was_typed_under_an_earlier_host_is_known_while_the_task_runs_and_after() {
    let mut table = Table::with_slots(10);
    let (id, mut orders) = table.interactive();
    table.hear(id, status(id, SHIM_PROTOCOL, Some(vec![typed("one", 0)])));
    assert!(matches!(table.type_in(id, "one").try_recv(), Ok(Ok(Reply::Done))));
    let mut late = table.type_in(id, "never");
    let message::Said::Ended { mut report, tail } = ended(id, 0) else { panic!("no end") };
    report.typed = vec![typed("one", 0), typed("last", 0)];
    table.hear(id, message::Said::Ended { report, tail });
    for name in ["one", "last"] {
        assert!(matches!(table.type_in(id, name).try_recv(), Ok(Ok(Reply::Done))), "{name}");
    }
    assert_eq!(told(&mut orders), ["never"]);
    late.try_recv().unwrap().unwrap_err();
    table.type_in(id, "never").try_recv().unwrap().unwrap_err();
    let stored = table.dispatcher.readers.lend().unwrap().operation(&OperationId("last".into()));
    assert_eq!(stored.unwrap(), Some(crate::store::OperationResult::Typed { task: id, lost: 0 }));
    let other = table.submit_with(|new| new.output = OutputMode::Interactive);
    table.run(other);
    let reused = table.type_in(other, "last").try_recv().unwrap();
    assert!(matches!(reused, Err(EngineError::OperationReused(_))), "{reused:?}");
}

#[test]
fn older_shims_are_told_what_they_understand() {
    // Before its shim has said which build it is of.
    for (protocol, understands) in [(1, false), (2, true)] {
        let mut table = Table::with_slots(10);
        let (id, mut orders) = table.interactive();
        let mut early = table.type_in(id, "one");
        assert_eq!(told(&mut orders), ["one"]);
        table.hear(id, status(id, protocol, None));
        let said = early.try_recv().unwrap();
        assert_eq!(said.is_ok(), understands, "{protocol}: {said:?}");
        assert!(told(&mut orders).is_empty());
    }
}

#[test]
fn what_cannot_be_typed_is_refused() {
    let mut table = Table::with_slots(10);
    let (id, mut orders) = table.interactive();
    let long = "x".repeat(65);
    table.type_in(id, &long).try_recv().unwrap().unwrap_err();
    let typed = TypeIn { operation: None, id, data: "no base64!".into(), session: None };
    table.call(&PERSON, Change::Input(typed, vec![])).unwrap_err();
    assert!(told(&mut orders).is_empty());
}
