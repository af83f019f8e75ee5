//! What the history refuses for good is refused alone: everything beside it goes on.

use nod_core::protocol::{ErrorCode, GroupChange, Notify, Tell};
use nod_core::rule::{Rule, Then};

use super::*;

impl Table {
    fn incoming(&self, actor: Actor, change: Change) -> (Message, oneshot::Receiver<Said>) {
        let (reply, said) = oneshot::channel();
        let incoming = Incoming { actor, change, reply: reply.into() };
        (Message::Call(Box::new(incoming)), said)
    }

    fn question(&mut self, pid: u32, question: &str, timeout_ms: Option<u64>) -> (Actor, Change) {
        let source = Source::Program { pid, started: 1 };
        let (name, cwd) = ("sh".into(), "/".into());
        let program = Program { name, argv: vec![], cwd, source, lineage: None };
        let ask = Ask { timeout_ms, ..Ask::approval(self.operation(), question) };
        (peer(pid), Change::Ask(Box::new(ask), Some(program)))
    }

    fn open_questions(&self) -> Vec<String> {
        let open = self.dispatcher.readers.lend().unwrap().open_requests().unwrap();
        open.into_iter().map(|row| row.request.shown.question).collect()
    }
}

fn peer(pid: u32) -> Actor {
    Actor::Peer { uid: 1, pid }
}

/// What of which table is refused, who wants it, and what they want.
type Case = (&'static str, &'static str, fn(&mut Table, TaskId) -> (Actor, Change));

const CASES: [Case; 7] = [
    ("an operation", "INSERT ON operations WHEN new.id = 'refused'", |_, id| {
        let operation = OperationId("refused".into());
        (PERSON, Change::Pause { operation, id, paused: true })
    }),
    (
        "a question of a program",
        "INSERT ON requests WHEN new.shown LIKE '%refused%'",
        |table, _| table.question(7, "refused?", None),
    ),
    ("a group", "INSERT ON groups WHEN new.name = 'refused'", |table, _| {
        let change = GroupChange::Add { slots: 2 };
        (PERSON, Change::Group { operation: table.operation(), name: "refused".into(), change })
    }),
    ("a rule", "INSERT ON rules", |table, _| {
        let rule = serde_json::json!({ "match": ["rm"], "then": "ask_first" });
        let rule: Rule = serde_json::from_value(rule).unwrap();
        (PERSON, Change::AddRule(table.operation(), Box::new(rule)))
    }),
    ("a notice of a session", "INSERT ON notices", |table, id| {
        let (operation, text) = (table.operation(), "halfway".into());
        let tell = Tell { operation, text, urgent: false };
        (Actor::Task { id, attempt: None }, Change::Tell(tell))
    }),
    ("a signal", "INSERT ON signals", |table, id| {
        let notify = Notify { operation: table.operation(), id, key: "k".into(), data: 1.into() };
        (PERSON, Change::Notify(notify))
    }),
    ("a new task", "INSERT ON tasks WHEN new.label = 'refused'", |table, _| {
        let Change::Submit(mut new) = table.new_task(false) else { panic!("no submit") };
        new.label = Some("refused".into());
        (PERSON, Change::Submit(new))
    }),
];

#[test]
fn what_is_refused_for_good_is_undone_and_told_and_all_beside_it_goes_on() {
    for (name, refused, wanted) in CASES {
        let mut table = Table::with_slots(10);
        let (id, ends) = (table.submit(), table.submit());
        table.run(id);
        table.run(ends);
        table.refuse(refused);
        let events = table.dispatcher.live.last_event();
        let (actor, change) = wanted(&mut table, id);
        let (call, mut said) = table.incoming(actor, change);
        let (asker, question) = table.question(8, "Go?", None);
        let (asked, mut open) = table.incoming(asker, question);
        let new = table.new_task(false);
        let (submit, mut submitted) = table.incoming(PERSON, new);
        let end = Message::Shim(ends, AttemptNumber::FIRST, ended(ends, 0));
        table.dispatcher.turn(vec![asked, call, end, submit]);
        let error = said.try_recv().unwrap().expect_err(name);
        assert_eq!(error.code(), ErrorCode::Storage, "{name}: {error}");
        // The others are stored, once each.
        let Ok(Ok(Reply::Submitted { id: new, .. })) = submitted.try_recv() else {
            panic!("{name}: the other is not submitted")
        };
        assert_eq!(new.0, ends.0 + 1, "{name}: no number was used up");
        assert_eq!(table.stored(new).state.name(), StateName::Starting, "{name}");
        assert_eq!(table.stored(ends).state.name(), StateName::Succeeded, "{name}");
        assert_eq!(table.open_questions(), ["Go?"], "{name}");
        assert!(open.try_recv().is_err(), "{name}: its asker waits");
        // Of the refused one there is nothing, in memory neither.
        assert_eq!(table.stored(id).state.name(), StateName::Running, "{name}");
        assert!(!table.dispatcher.live.groups().contains_key("refused"), "{name}");
        assert!(table.dispatcher.rules.book().made.is_empty(), "{name}");
        assert!(!table.stored(id).condition.paused, "{name}");
        assert!(table.dispatcher.live.open_requests().count() == 1, "{name}");
        assert!(table.dispatcher.live.last_event() > events, "{name}");
        assert_eq!(table.dispatcher.next_wake(), None, "{name}");
    }
}

#[test]
fn a_question_whose_end_is_refused_holds_up_nobody_and_its_asker_is_told() {
    let mut table = Table::with_slots(10);
    let (actor, change) = table.question(7, "refused?", Some(1_000));
    let mut asking = table.begin(&actor, change);
    table.refuse("UPDATE ON requests WHEN new.closure IS NOT NULL");
    let jump = -2_000;
    let request = table.open_request();
    let mut row = table.dispatcher.live.request(request.id).cloned().unwrap();
    row.request.expires_at = row.request.expires_at.map(|at| at.moved(jump));
    table.dispatcher.live.put_request(row);
    table.dispatcher.live.keep();
    let id = table.submit();
    assert_eq!(table.stored(id).state.name(), StateName::Starting);
    asking.try_recv().unwrap().unwrap_err();
    table.dispatcher.turn(vec![]);
    assert_eq!(table.dispatcher.next_wake(), None);
    // The next host finds it open, and may have more luck.
    assert_eq!(table.open_questions(), ["refused?"]);
}

#[test]
fn a_wait_whose_end_is_refused_holds_up_nobody_and_its_waiter_is_told() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    table.refuse("INSERT ON operations WHEN new.id = 'refused'");
    let wait = nod_core::protocol::Await {
        operation: OperationId("refused".into()),
        key: "k".into(),
        timeout_ms: Some(10),
        resume_at: None,
    };
    let mut waiting = table.begin(&Actor::Task { id, attempt: None }, Change::Await(wait));
    while clock::now() < table.dispatcher.talking.next().unwrap() {
        std::hint::spin_loop();
    }
    let other = table.submit();
    assert_eq!(table.stored(other).state.name(), StateName::Starting);
    waiting.try_recv().unwrap().unwrap_err();
    assert_eq!(table.stored(id).state.name(), StateName::Running);
}

#[test]
fn a_stricter_rule_holds_though_it_can_never_be_stored() {
    let mut table = Table::with_slots(10);
    table.refuse("INSERT ON guards");
    let text = "[[rules]]\nmatch = [\"sh\", \"**\"]\nthen = \"ask_first\"\n";
    let config = Arc::new(Config::parse(text).unwrap());
    table.dispatcher.turn(vec![Message::Config(config, None)]);
    let held = table.dispatcher.rules.book().held.rules.clone();
    assert!(held.iter().any(|rule| rule.then == Then::AskFirst), "{held:?}");
    let id = table.submit();
    assert_eq!(table.stored(id).state.words(), "Needs approval");
    table.dispatcher.turn(vec![]);
    assert_eq!(table.dispatcher.next_wake(), None);
}
