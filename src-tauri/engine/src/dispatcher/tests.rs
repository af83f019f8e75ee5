//! The dispatcher over a real database, with workers that never come to their jobs.

use nod_core::access::{Actor, Surface};
use nod_core::command::CommandLine;
use nod_core::environment::Environment;
use nod_core::ids::{EventNumber, OperationId, RequestId, Timestamp};
use nod_core::protocol::{Ask, GiveAnswer};
use nod_core::request::{Answer, Request};
use nod_core::shim::{ProcessIdentity, Report, SHIM_PROTOCOL, ToShim};
use nod_core::task::{
    ExitStatus, Outcome, OutputMode, PLAIN_KIND, QueueReason, SpawnError, StateName,
};
use tokio::sync::oneshot;

use super::*;
use crate::store::Seal;

mod buttons;
mod cards;
mod clock_set;
mod deadlines;
mod folding;
mod lives;
mod loosening;
mod model;
mod refused;
mod removing;
mod resuming;
mod running;
mod times;
mod typing;

const PERSON: Actor = Actor::Person { surface: Surface::Window };

struct Table {
    dispatcher: Dispatcher,
    seal: Seal,
    subscription: crate::events::Subscription,
    operations: u32,
    shims: crate::shims::Shims,
    held_back: HeldBack,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

type Said = Result<Reply, EngineError>;

impl Table {
    fn with_slots(slots: usize) -> Self {
        Self::with_config(&format!("[groups.default]\nslots = {slots}\n"))
    }

    fn with_config(text: &str) -> Self {
        let config = Arc::new(Config::parse(text).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("nod.db");
        let store = Store::open(&database).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (inbox, _messages) = crossbeam_channel::unbounded();
        let outputs = Outputs::default();
        let shims = crate::shims::Shims::new(
            runtime.handle().clone(),
            inbox,
            outputs.clone(),
            Duration::from_secs(45),
        );
        let numbers = Numbers { task: TaskId(0), request: RequestId(0), event: EventNumber(0) };
        let events = Events::new();
        let settings = settings(config);
        let (live, held_back) = (Live::new(numbers, []), HeldBack::default());
        let mut table = Self {
            seal: Seal::load(&folder.path().join("seal.key")).unwrap(),
            subscription: events.subscribe(),
            operations: 0,
            shims: shims.clone(),
            held_back: held_back.clone(),
            dispatcher: Dispatcher {
                cards: Cards::new(&live, held_back),
                live,
                store,
                readers: Readers::new(database),
                events,
                outputs,
                effects: Effects::idle(shims, folder.path().join("tasks")),
                tokens: Tokens::default(),
                settings,
                alarm: crate::process::Alarm::new().unwrap(),
                board: ProgressBoard::default(),
                waiters: Waiters::default(),
                again: vec![],
                unstored_cancels: HashMap::new(),
                unstored_guards: None,
                unplaced: Default::default(),
                steady: Steady::since(None, Default::default(), "boot"),
                stuck: false,
                orphans: HashMap::new(),
                rules: Board::default(),
                talking: Talking::default(),
                typing: Typing::default(),
                pace: Pace::default(),
                reminders: Reminders::new(),
                room: Default::default(),
            },
            folder,
            _runtime: runtime,
        };
        table.dispatcher.apply_limits();
        table
    }

    fn operation(&mut self) -> OperationId {
        self.operations += 1;
        OperationId(format!("operation {}", self.operations))
    }

    fn begin(&mut self, actor: &Actor, change: Change) -> oneshot::Receiver<Said> {
        let (reply, said) = oneshot::channel();
        let incoming = Incoming { actor: actor.clone(), change, reply: reply.into() };
        self.dispatcher.turn(vec![Message::Call(Box::new(incoming))]);
        said
    }

    fn call(&mut self, actor: &Actor, change: Change) -> Said {
        self.begin(actor, change).try_recv().unwrap()
    }

    fn new_task(&mut self, ask_first: bool) -> Change {
        let operation = self.operation();
        let plain = Environment::new();
        let sealed = self.seal.seal(&plain);
        Change::Submit(Box::new(NewTask {
            operation,
            command: CommandLine::Shell { line: "make".into() },
            cwd: "/".into(),
            label: None,
            session: None,
            output: OutputMode::Terminal,
            options: Default::default(),
            timeout_ms: None,
            ask_first,
            kind: PLAIN_KIND.into(),
            schedule: Default::default(),
            delay_ms: None,
            environment: NewEnvironment::Given { sealed, plain: plain.into() },
            environment_changes: vec![],
            path: String::new(),
            typist: None,
        }))
    }

    fn submit(&mut self) -> TaskId {
        let change = self.new_task(false);
        match self.call(&PERSON, change) {
            Ok(Reply::Submitted { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    fn submit_with(&mut self, change: impl FnOnce(&mut NewTask)) -> TaskId {
        let Change::Submit(mut new) = self.new_task(false) else { panic!("no submit") };
        change(&mut new);
        match self.call(&PERSON, Change::Submit(new)) {
            Ok(Reply::Submitted { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    fn hear(&mut self, id: TaskId, said: message::Said) {
        self.dispatcher.turn(vec![Message::Shim(id, AttemptNumber::FIRST, said)]);
    }

    fn run(&mut self, id: TaskId) {
        let process = ProcessIdentity { pid: 1, start_time: 1 };
        self.hear(id, message::Said::Started { process, at: Timestamp(1) });
    }

    fn end(&mut self, id: TaskId, code: i32) {
        self.hear(id, ended(id, code));
    }

    fn ask(
        &mut self,
        id: TaskId,
        timeout_ms: Option<u64>,
    ) -> (OperationId, oneshot::Receiver<Said>) {
        let operation = self.operation();
        let question = "Deploy?".to_owned();
        let ask = Ask { timeout_ms, ..Ask::approval(operation.clone(), question) };
        (
            operation,
            self.begin(&Actor::Task { id, attempt: None }, Change::Ask(Box::new(ask), None)),
        )
    }

    /// Returns the events since the last look.
    fn published(&mut self) -> Vec<Event> {
        let mut published = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            while let Ok(Some(event)) =
                tokio::time::timeout(Duration::ZERO, self.subscription.next()).await
            {
                published.push((*event).clone());
            }
        });
        published
    }

    fn stored(&self, id: TaskId) -> Task {
        self.dispatcher.stored_task(id).unwrap()
    }

    fn open_request(&self) -> Request {
        let mut open = self.dispatcher.readers.lend().unwrap().open_requests().unwrap();
        open.pop().unwrap().request
    }

    fn approve(&mut self, request: &Request) -> Said {
        let operation = self.operation();
        let given = GiveAnswer {
            operation,
            request: request.id,
            answer: Answer::Approve,
            comment: None,
            shown: request.hash.clone(),
        };
        let answering = Answering { given, from: None, shown_ms: None };
        self.call(&PERSON, Change::Answer(Box::new(answering)))
    }

    /// Leaves the database no room for another page, or makes room again.
    fn fill_the_disk(&self, full: bool) {
        let pages = if full { 1 } else { 1_000_000 };
        self.dispatcher.store.limit_pages(pages);
    }
}

fn settings(config: Arc<Config>) -> Settings {
    Settings {
        config,
        boot_id: "boot".into(),
        open_files: None,
        umask: 0o022,
        shim_protocol: SHIM_PROTOCOL,
        cgroups: None,
        arming: Arming::off(),
        window: Default::default(),
        nod: "/nowhere/nod".into(),
    }
}

fn ended(id: TaskId, code: i32) -> message::Said {
    let report = Report {
        protocol: SHIM_PROTOCOL,
        task: id,
        attempt: AttemptNumber::FIRST,
        process: None,
        started_at: Some(Timestamp(1)),
        exit: Some(ExitStatus::Code { code }),
        exited_at: Some(Timestamp(2)),
        ended_at: Timestamp(2),
        ended_boot_ms: None,
        spawn_error: None,
        timed_out: false,
        stopped: false,
        terminated: false,
        peak_memory: Some(1),
        cpu_ms: Some(1),
        left: vec![],
        no_room: false,
        size: 0,
        typed: vec![],
    };
    message::Said::Ended { report: Box::new(report), tail: "x".repeat(10_000) }
}

#[test]
fn a_slot_that_becomes_free_starts_the_next_task_in_the_same_turn() {
    let mut table = Table::with_slots(1);
    let (first, second) = (table.submit(), table.submit());
    assert_eq!(table.stored(first).state.name(), StateName::Starting);
    assert_eq!(table.stored(second).state, TaskState::Queued { reason: QueueReason::Slot });
    table.run(first);
    table.end(first, 0);
    assert_eq!(table.stored(first).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(table.stored(second).state.name(), StateName::Starting);
}

#[test]
fn a_turn_that_cannot_be_stored_never_happened() {
    let mut table = Table::with_slots(10);
    let first = table.submit();
    let events_before = table.dispatcher.live.last_event();
    table.fill_the_disk(true);
    // Large enough that it fits into no page that is there already.
    let Change::Submit(mut large) = table.new_task(false) else { panic!("no submit") };
    large.label = Some("x".repeat(1 << 20));
    let refused = table.call(&PERSON, Change::Submit(large)).unwrap_err();
    assert_eq!(refused.code(), nod_core::protocol::ErrorCode::Storage, "{refused}");
    assert_eq!(table.dispatcher.live.last_event(), events_before);
    table.fill_the_disk(false);
    let second = table.submit();
    assert_eq!(second.0, first.0 + 1, "no number was used up");
}

#[test]
fn what_a_shim_said_while_the_disk_was_full_is_taken_in_later() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    table.fill_the_disk(true);
    for _ in 0..20 {
        // Until no free page is left to hide in.
        let Change::Submit(mut large) = table.new_task(false) else { panic!("no submit") };
        large.label = Some("x".repeat(1_000));
        drop(table.begin(&PERSON, Change::Submit(large)));
    }
    table.end(id, 3);
    assert_eq!(table.stored(id).state.name(), StateName::Running);
    assert!(table.dispatcher.next_wake().is_some_and(|wait| wait <= RETRY));
    table.fill_the_disk(false);
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(id).state.words(), "Failed (exit 3)");
}

#[test]
fn a_cancel_that_cannot_be_stored_ends_the_task_and_is_stored_later() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    let mut orders = table.shims.expect(id, AttemptNumber::FIRST);
    table.dispatcher.store.refuse_writes(true);
    let operation = table.operation();
    let refused = table.call(&PERSON, Change::Cancel { operation, id }).unwrap_err();
    assert!(refused.to_string().starts_with("the task is being ended, but"), "{refused}");
    assert_eq!(orders.try_recv().unwrap(), ToShim::Stop);
    assert_eq!(table.stored(id).state.name(), StateName::Running);
    // Tried again, and told once.
    table.dispatcher.turn(vec![]);
    assert!(orders.try_recv().is_err());
    table.dispatcher.store.refuse_writes(false);
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(id).state.name(), StateName::Stopping);
    table.end(id, 130);
    let ended = table.stored(id);
    assert_eq!(ended.state.outcome(), Some(&Outcome::Cancelled { by: PERSON }));
    assert!(table.dispatcher.unstored_cancels.is_empty());
}

#[test]
fn a_terminal_state_is_entered_once() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    table.end(id, 0);
    table.end(id, 3);
    table.hear(id, message::Said::Gone { why: "killed".into() });
    assert_eq!(table.stored(id).state.outcome(), Some(&Outcome::Succeeded));
    let reader = table.dispatcher.readers.lend().unwrap();
    let ends = reader.events(id).unwrap().into_iter().filter(|event| event.what == "succeeded");
    assert_eq!(ends.count(), 1);
}

#[test]
fn a_start_is_told_though_the_task_spoke_before_its_shim() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    let (_operation, _said) = table.ask(id, None);
    assert_eq!(table.stored(id).state.name(), StateName::Waiting);
    table.published();
    table.run(id);
    let published = table.published();
    let [Event { change: EventChange::Task { task }, .. }] = published.as_slice() else {
        panic!("{published:?}")
    };
    assert_eq!((task.state.name(), task.started_at), (StateName::Waiting, Some(Timestamp(1))));
    assert_eq!(table.stored(id), **task);
    // Said once more, as by the shim of an adopted task, it is no news.
    table.run(id);
    assert_eq!(table.published(), []);
}

#[test]
fn every_event_is_published_with_the_number_it_is_stored_under() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    table.end(id, 0);
    let published: Vec<_> = table.published().iter().map(|event| event.seq).collect();
    let stored = table.dispatcher.readers.lend().unwrap().events(id).unwrap();
    assert_eq!(published, stored.iter().map(|event| event.seq).collect::<Vec<_>>());
    assert_eq!(published, (1..=4).map(EventNumber).collect::<Vec<_>>());
}

#[test]
fn an_answer_reaches_everyone_who_asks_under_its_operation_and_nobody_twice() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    let (operation, mut first) = table.ask(id, None);
    let again = Box::new(Ask::approval(operation.clone(), "Deploy?"));
    let mut second =
        table.begin(&Actor::Task { id, attempt: None }, Change::Ask(again.clone(), None));
    assert!(first.try_recv().is_err() && second.try_recv().is_err());
    let request = table.open_request();
    table.approve(&request).unwrap();
    for waiting in [&mut first, &mut second] {
        assert!(matches!(waiting.try_recv(), Ok(Ok(Reply::Closed { .. }))));
    }
    // Asked once more after the answer, as after a lost connection.
    let later = table.call(&Actor::Task { id, attempt: None }, Change::Ask(again, None)).unwrap();
    assert!(matches!(later, Reply::Closed { request: same, .. } if same == request.id));
    let requests = table.dispatcher.readers.lend().unwrap().requests(id).unwrap();
    assert_eq!(requests.len(), 1);
}

#[test]
fn an_open_question_expires_by_itself() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    let (_, mut asking) = table.ask(id, Some(0));
    assert!(matches!(
        asking.try_recv(),
        Ok(Ok(Reply::Closed { closure: Closure::Expired { .. }, .. }))
    ));
    assert_eq!(table.stored(id).state.name(), StateName::Running);
    let (_, waiting) = table.ask(id, Some(60_000));
    let wake = table.dispatcher.next_wake().unwrap();
    assert!(wake <= Duration::from_secs(60) && wake > Duration::from_secs(50), "{wake:?}");
    drop(waiting);
}

#[test]
fn a_submit_and_a_cancel_at_once_leave_one_end_each() {
    let mut table = Table::with_slots(1);
    let blocked = table.submit();
    table.run(blocked);
    let ids: Vec<_> = (0..100).map(|_| table.submit()).collect();
    let mut messages = Vec::new();
    for id in &ids {
        let operation = table.operation();
        let (reply, _said) = oneshot::channel();
        let change = Change::Cancel { operation, id: *id };
        let incoming = Incoming { actor: PERSON, change, reply: reply.into() };
        messages.push(Message::Call(Box::new(incoming)));
    }
    table.dispatcher.turn(messages);
    let counts = table.dispatcher.readers.lend().unwrap().counts().unwrap();
    assert_eq!(counts, [(StateName::Running, 1), (StateName::Cancelled, 100)].into());
}

#[test]
fn an_idle_dispatcher_sleeps_without_a_timer() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    assert_eq!(table.dispatcher.next_wake(), None);
}

#[test]
fn an_edit_of_a_task_with_a_moved_deadline_and_a_group_is_read_back_by_the_next_host() {
    let mut table = Table::with_config("[groups.default]\nslots = 1\n[groups.b]\nslots = 3\n");
    let first = table.submit();
    let id = table.submit();
    let mut edit = nod_core::protocol::Edit::new(table.operation(), id);
    edit.group = Some("b".into());
    edit.delay_ms = Some(60_000);
    edit.timeout_ms = Some(5);
    table.call(&PERSON, Change::Edit(Box::new(edit))).unwrap();
    let stored = table.stored(id);
    assert_eq!((stored.schedule.group.as_str(), stored.timeout_ms), ("b", Some(5)));
    assert!(matches!(stored.state, TaskState::Queued { reason: QueueReason::Delay { .. } }));
    let wake = table.dispatcher.next_wake().unwrap();
    assert!(wake > Duration::from_secs(50) && wake <= Duration::from_secs(60), "{wake:?}");
    assert_eq!(table.stored(first).state.name(), StateName::Starting);
}

#[test]
fn with_ten_thousand_queued_a_start_changes_nothing_of_the_others() {
    let mut table = Table::with_slots(1);
    let first = table.submit();
    let mut all = Vec::new();
    for _ in 0..10_000 {
        let Change::Submit(new) = table.new_task(false) else { panic!("no submit") };
        all.push(Ok(*new));
    }
    table.call(&PERSON, Change::SubmitMany(all)).unwrap();
    table.published();
    table.run(first);
    table.end(first, 0);
    let changed: Vec<_> = table.published();
    // The start and the end of the first, and the start of the second.
    assert_eq!(changed.len(), 3, "{changed:?}");
}
