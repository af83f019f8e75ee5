//! How lives go on and end where something comes in between.

use nod_core::protocol::{Edit, GroupChange, SayOutcome};
use nod_core::rule::Then;
use nod_core::schedule::{Dependency, Retry};
use nod_core::shim::{ShimStop, Status};
use nod_core::task::{StopStage, TaskSaid};

use super::*;

pub(super) const REQUEUED: &str = "[kinds.deploy]\nargv = [\"true\"]\non_lost = \"requeue\"\n";

impl Table {
    pub(super) fn cancel(&mut self, id: TaskId) -> Said {
        let operation = self.operation();
        self.call(&PERSON, Change::Cancel { operation, id })
    }

    pub(super) fn retry(&mut self, id: TaskId) -> Said {
        let operation = self.operation();
        self.call(&PERSON, Change::Retry { operation, id })
    }

    pub(super) fn remove(&mut self, id: TaskId) -> Said {
        let operation = self.operation();
        self.call(&PERSON, Change::Remove { operation, id, session: None })
    }

    pub(super) fn edit_with(&mut self, id: TaskId, change: impl FnOnce(&mut Edit)) -> Said {
        let mut edit = Edit::new(self.operation(), id);
        change(&mut edit);
        self.call(&PERSON, Change::Edit(Box::new(edit)))
    }

    pub(super) fn run_try(&mut self, id: TaskId, attempt: u32) {
        let process = ProcessIdentity { pid: 1, start_time: 1 };
        let started = message::Said::Started { process, at: Timestamp(1) };
        self.dispatcher.turn(vec![Message::Shim(id, AttemptNumber(attempt), started)]);
    }

    /// Ends the process of the nth try.
    pub(super) fn end_try(&mut self, id: TaskId, attempt: u32, code: i32) {
        let attempt = AttemptNumber(attempt);
        let message::Said::Ended { mut report, tail } = ended(id, code) else { panic!("no end") };
        report.attempt = attempt;
        let said = message::Said::Ended { report, tail };
        self.dispatcher.turn(vec![Message::Shim(id, attempt, said)]);
    }

    /// Has a database row refused for a reason that never passes.
    pub(super) fn refuse(&self, what: &str) {
        let sql =
            format!("CREATE TRIGGER refused BEFORE {what} BEGIN SELECT raise(ABORT, 'no'); END");
        self.dispatcher.store.run(&sql);
    }
}

pub(super) fn stopping(cause: ShimStop) -> message::Said {
    let stage =
        StopStage { signal: "SIGINT".into(), next_at: None, waits_for: vec![], refused: vec![] };
    message::Said::Stopping { cause, stage, terminated: false }
}

fn after(task: TaskId) -> Vec<Dependency> {
    vec![Dependency { task, any: false }]
}

#[test]
fn an_asker_that_goes_as_its_question_closes_leaves_nothing_to_wake_up_for() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    let (operation, asking) = table.ask(id, None);
    let request = table.open_request();
    table.approve(&request).unwrap();
    drop(asking);
    table.dispatcher.turn(vec![Message::AskerGone(operation)]);
    assert_eq!(table.dispatcher.next_wake(), None);
    // One that goes before the answer is waited for, and then no more.
    let (operation, asking) = table.ask(id, None);
    drop(asking);
    table.dispatcher.turn(vec![Message::AskerGone(operation)]);
    assert!(table.dispatcher.next_wake().is_some());
    let request = table.open_request();
    table.approve(&request).unwrap();
    assert_eq!(table.dispatcher.next_wake(), None);
}

#[test]
fn a_cancel_is_the_last_word_whatever_the_task_is_ended_for() {
    for cause in [ShimStop::TimedOut, ShimStop::LeftProcesses] {
        let mut table = Table::with_slots(10);
        let id = table.submit_with(|new| new.schedule.retry = Some(Retry::new(5, 0)));
        table.run(id);
        table.hear(id, stopping(cause));
        table.cancel(id).unwrap();
        let which = nod_core::protocol::Which::default();
        let operation = table.operation();
        let many = table.call(&PERSON, Change::CancelMany { operation, which }).unwrap();
        assert_eq!(many, Reply::Cancelled { count: 0 }, "it is cancelled already");
        table.end(id, 1);
        assert_eq!(table.stored(id).state.words(), "Failed (exit 1)", "{cause:?}");
        assert_eq!(table.stored(id).attempt, AttemptNumber::FIRST);
    }
}

#[test]
fn a_task_that_is_being_ended_is_told_that_nobody_was_asked() {
    let mut table = Table::with_slots(10);
    let id = table.submit();
    table.run(id);
    table.cancel(id).unwrap();
    let (_, mut asking) = table.ask(id, None);
    let refused = asking.try_recv().unwrap().unwrap_err();
    assert_eq!(refused.code(), nod_core::protocol::ErrorCode::Conflict);
    let words = refused.to_string();
    assert!(words.contains("is Stopping") && words.contains("was not shown to anybody"), "{words}");
    assert!(table.dispatcher.readers.lend().unwrap().open_requests().unwrap().is_empty());
}

#[test]
fn a_cancelled_task_does_not_run_again_because_it_was_lost() {
    let mut table = Table::with_config(REQUEUED);
    let lost = || message::Said::Gone { why: "killed".into() };
    let id = table.submit_with(|new| new.kind = "deploy".into());
    table.run(id);
    table.cancel(id).unwrap();
    table.hear(id, lost());
    let cancelled = Outcome::Cancelled { by: PERSON };
    assert_eq!(table.stored(id).state.outcome(), Some(&cancelled));
    // Lost while it was ended for another reason.
    let id = table.submit_with(|new| new.kind = "deploy".into());
    table.run(id);
    table.hear(id, stopping(ShimStop::TimedOut));
    table.cancel(id).unwrap();
    table.hear(id, lost());
    assert_eq!(table.stored(id).state.name(), StateName::Lost);
}

#[test]
fn what_is_lost_again_and_again_runs_again_ever_later_and_not_for_ever() {
    let mut table = Table::with_config(REQUEUED);
    let id = table.submit_with(|new| {
        new.kind = "deploy".into();
        new.schedule.retry = Some(Retry::new(3, 0));
    });
    let mut pauses = vec![];
    for attempt in 1..=20 {
        let gone = message::Said::Gone { why: "killed".into() };
        table.dispatcher.turn(vec![Message::Shim(id, AttemptNumber(attempt), gone)]);
        let task = table.stored(id);
        let Some(until) = task.schedule.not_before else { break };
        pauses.push(until.since(table.dispatcher.steady.wall) / 1_000);
        assert_eq!(task.schedule.retry.map(|retry| retry.left), Some(3), "no failure of its own");
        table.edit_with(id, |edit| edit.delay_ms = Some(0)).unwrap();
        assert_eq!(table.stored(id).attempt, AttemptNumber(attempt + 1));
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    assert_eq!(table.stored(id).state.name(), StateName::Lost);
}

#[test]
fn another_try_is_not_judged_by_what_the_last_one_said() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let operation = table.operation();
    let said = TaskSaid::Failed { message: "first".into() };
    let say = Change::SayOutcome(SayOutcome { operation, said });
    table.call(&Actor::Task { id, attempt: None }, say).unwrap();
    table.end(id, 0);
    assert_eq!(table.stored(id).state.words(), "Failed");
    table.retry(id).unwrap();
    assert_eq!(table.stored(id).condition, Default::default());
    table.end_try(id, 2, 0);
    assert_eq!(table.stored(id).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn a_stricter_rule_holds_though_its_turn_could_not_be_stored() {
    let mut table = Table::with_slots(10);
    let text = "[[rules]]\nmatch = [\"sh\", \"**\"]\nthen = \"ask_first\"\n";
    let config = Arc::new(Config::parse(text).unwrap());
    table.dispatcher.store.refuse_writes(true);
    table.dispatcher.turn(vec![Message::Config(config, None)]);
    assert!(table.dispatcher.rules.book().held.rules.is_empty());
    table.dispatcher.store.refuse_writes(false);
    table.dispatcher.turn(vec![]);
    let held = |table: &Table| table.dispatcher.rules.book().held.rules.clone();
    assert!(held(&table).iter().any(|rule| rule.then == Then::AskFirst));
    let stored = table.dispatcher.readers.lend().unwrap().guards().unwrap();
    assert_eq!(stored.held.rules, held(&table));
}

#[test]
fn who_only_looks_is_answered_though_nothing_can_be_stored() {
    let mut table = Table::with_slots(10);
    let text = "[groups.extra]\n[[rules]]\nmatch = [\"x\"]\nthen = \"ask_first\"\n";
    let config = Arc::new(Config::parse(text).unwrap());
    let rules = |table: &mut Table| match table.call(&PERSON, Change::Rules) {
        Ok(Reply::Rules(list)) => list.rules.len(),
        other => panic!("{other:?}"),
    };
    table.dispatcher.store.refuse_writes(true);
    table.dispatcher.turn(vec![Message::Config(config, None)]);
    // What was said to hold is on the disk; what slots there are is in the file.
    assert_eq!(rules(&mut table), 0);
    let Ok(Reply::Groups { groups, .. }) = table.call(&PERSON, Change::Groups) else { panic!() };
    assert!(groups.iter().any(|group| group.name == "extra"), "{groups:?}");
    table.dispatcher.store.refuse_writes(false);
    // By the very turn that stores it.
    assert_eq!(rules(&mut table), 1);
}

#[test]
fn a_submit_is_judged_by_the_rules_of_its_own_turn() {
    let mut table = Table::with_slots(10);
    // And by where the folders of these rules lie.
    let text = "[[rules]]\nmatch = [\"**\"]\nthen = \"ask_first\"\nfolder = \"/\"\n";
    let config = Arc::new(Config::parse(text).unwrap());
    let change = table.new_task(false);
    let (reply, mut said) = oneshot::channel();
    let incoming = Incoming { actor: PERSON, change, reply: reply.into() };
    let call = Message::Call(Box::new(incoming));
    table.dispatcher.turn(vec![Message::Config(config, None), call]);
    let Ok(Ok(Reply::Submitted { id, .. })) = said.try_recv() else { panic!("not submitted") };
    assert_eq!(table.stored(id).state.words(), "Needs approval");
}

#[test]
fn a_task_whose_dependency_was_removed_can_be_changed_and_is_tried_again_if_that_succeeded() {
    let mut table = Table::with_slots(1);
    let (blocker, first) = (table.submit(), table.submit());
    let behind = table.submit_with(|new| new.schedule.after = after(blocker));
    let failed = table.submit_with(|new| new.schedule.after = after(first));
    let gated = table.submit_with(|new| {
        new.schedule.after = vec![Dependency { task: first, any: true }];
        new.ask_first = true;
    });
    table.end(blocker, 0);
    table.end(first, 1);
    assert_eq!(table.stored(failed).state.name(), StateName::Skipped);
    table.remove(first).unwrap();
    table.edit_with(gated, |edit| edit.priority = Some(3)).unwrap();
    // Whether it is there or not, it did not succeed: what removes old tasks starts nothing.
    let refused = table.retry(failed).unwrap_err();
    let is_gone = matches!(refused, EngineError::DependencyGone { id, dependency }
        if (id, dependency) == (failed, first));
    assert!(is_gone, "{refused}");
    assert_eq!(table.stored(failed).state.name(), StateName::Skipped);
    table.end(behind, 1);
    table.remove(blocker).unwrap();
    table.retry(behind).unwrap();
    assert_eq!(table.stored(behind).state.name(), StateName::Starting);
    // What is new must be there.
    let unknown = table.edit_with(gated, |edit| edit.after = Some(after(TaskId(99)))).unwrap_err();
    assert!(matches!(unknown, EngineError::TaskNotFound(TaskId(99))), "{unknown}");
}

#[test]
fn a_retry_does_not_make_tasks_wait_for_each_other() {
    let mut table = Table::with_slots(1);
    let first = table.submit();
    table.end(first, 0);
    let second = table.submit_with(|new| new.schedule.after = after(first));
    table.end(second, 1);
    let operation = table.operation();
    let (name, change) = ("default".to_owned(), GroupChange::Pause);
    table.call(&PERSON, Change::Group { operation, name, change }).unwrap();
    table.retry(first).unwrap();
    let any = vec![Dependency { task: second, any: true }];
    table.edit_with(first, |edit| edit.after = Some(any)).unwrap();
    let refused = table.retry(second).unwrap_err();
    assert!(matches!(refused, EngineError::Circle(id) if id == second), "{refused}");
}

#[test]
fn nobody_waits_for_a_task_that_a_damaged_history_lost() {
    let mut table = Table::with_slots(1);
    let lost = table.submit();
    let strict = table.submit_with(|new| new.schedule.after = after(lost));
    let any = vec![Dependency { task: lost, any: true }];
    let lenient = table.submit_with(|new| new.schedule.after = any);
    table.run(lost);
    for sql in ["PRAGMA foreign_keys = 0", "DELETE FROM attempts", "DELETE FROM tasks WHERE id = 1"]
    {
        table.dispatcher.store.run(sql);
    }
    // As the next host finds it.
    table.dispatcher.live.forget(lost);
    table.dispatcher.unplaced = Dispatcher::dependent(&table.dispatcher.live);
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(strict).state.name(), StateName::Skipped);
    assert_eq!(table.stored(lenient).state.name(), StateName::Starting);
}

#[test]
fn a_dependency_that_could_not_be_read_is_looked_at_again() {
    let mut table = Table::with_slots(10);
    let (first, last) = (table.submit(), table.submit());
    let both = [after(first), after(last)].concat();
    let dependent = table.submit_with(|new| new.schedule.after = both);
    for id in [first, last] {
        table.run(id);
    }
    table.end(first, 0);
    let garble = "UPDATE tasks SET state_json = '{' || state_json WHERE id = 1";
    table.dispatcher.store.run(garble);
    table.end(last, 0);
    // Once more, and in vain.
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(dependent).state.name(), StateName::Queued);
    assert_eq!(table.dispatcher.next_wake(), Some(RETRY));
    let mend = "UPDATE tasks SET state_json = substr(state_json, 2) WHERE id = 1";
    table.dispatcher.store.run(mend);
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(dependent).state.name(), StateName::Starting);
    assert_eq!(table.dispatcher.next_wake(), None);
}

#[test]
fn what_is_heard_while_nothing_can_be_stored_is_kept_once_and_told_once() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    table.dispatcher.store.refuse_writes(true);
    table
        .hear(id, message::Said::Exited { status: ExitStatus::Code { code: 1 }, at: Timestamp(2) });
    let status = Status {
        protocol: SHIM_PROTOCOL,
        task: id,
        attempt: AttemptNumber::FIRST,
        shim_pid: 1,
        process: None,
        started_at: None,
        size: 0,
        stopping: None,
        report: None,
        paused: false,
        disk_full: true,
        unbounded: false,
        terminated: false,
        typed: None,
    };
    table.hear(id, message::Said::Status(Box::new(status)));
    table.hear(id, message::Said::DiskFull(false));
    table.published();
    for _ in 0..50 {
        table.hear(id, message::Said::Progress(Progress::reported(Some(3.0), None).unwrap()));
        table.hear(id, message::Said::DiskFull(false));
        table.hear(id, message::Said::Prompt(Some("Password:".into())));
    }
    assert_eq!(table.published(), [], "nothing is told again and again");
    assert_eq!(table.dispatcher.again.len(), 3, "{:?}", table.dispatcher.again);
    table.dispatcher.store.refuse_writes(false);
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(id).condition.prompt.as_deref(), Some("Password:"));
    assert!(table.dispatcher.again.is_empty() && !table.dispatcher.stuck);
}

#[test]
fn a_call_that_cannot_be_stored_leaves_nothing_to_wake_up_for() {
    let mut table = Table::with_slots(1);
    table.submit();
    table.dispatcher.turn(vec![]);
    table.dispatcher.store.refuse_writes(true);
    let change = table.new_task(false);
    table.call(&PERSON, change).unwrap_err();
    table.dispatcher.turn(vec![]);
    assert_eq!(table.dispatcher.next_wake(), None);
}

#[test]
fn the_next_try_of_a_task_has_room_for_its_output_until_it_has_not() {
    let mut table = Table::with_slots(1);
    let id = table.submit_with(|new| new.schedule.retry = Some(Retry::new(1, 60_000)));
    table.run(id);
    table.hear(id, message::Said::DiskFull(true));
    table.published();
    table.end(id, 1);
    let told = |event: &Event| event.change == EventChange::DiskFull { id, full: false };
    assert!(table.published().iter().any(told));
    assert!(!table.dispatcher.outputs.is_full(id));
}

#[test]
fn those_who_wait_and_go_away_are_forgotten_before_the_end() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let (operation, asking) = table.ask(id, None);
    for _ in 0..1_000 {
        drop(table.begin(&PERSON, Change::Wait(id)));
        let again = Box::new(Ask::approval(operation.clone(), "Deploy?"));
        drop(table.begin(&Actor::Task { id, attempt: None }, Change::Ask(again, None)));
        let follow = nod_core::protocol::ReadInbox { seen: None, follow: true };
        drop(table.begin(&Actor::Task { id, attempt: None }, Change::Inbox(follow)));
    }
    let waiters = &table.dispatcher.waiters;
    assert!(waiters.ends[&id].len() < 4, "{}", waiters.ends[&id].len());
    let asking_again: usize = waiters.signals.values().map(Vec::len).sum();
    assert!(asking_again < 4, "{asking_again}");
    assert!(table.dispatcher.talking.readers_of(id) < 4);
    drop(asking);
}

#[test]
fn a_task_that_the_history_refuses_holds_up_nobody_else() {
    let mut table = Table::with_slots(10);
    let (refused, other) = (table.submit(), table.submit());
    let dependent = table.submit_with(|new| new.schedule.after = after(refused));
    table.run(refused);
    table.run(other);
    table.refuse("UPDATE ON tasks WHEN new.id = 1 AND new.state = 'succeeded'");
    let mut waiting = table.begin(&PERSON, Change::Wait(refused));
    let ends = [ended(refused, 0), ended(other, 0)];
    let heard = [refused, other].into_iter().zip(ends);
    let messages = heard.map(|(id, said)| Message::Shim(id, AttemptNumber::FIRST, said));
    table.dispatcher.turn(messages.collect());
    assert!(matches!(waiting.try_recv(), Ok(Ok(Reply::Ended { task })) if task.id == refused));
    let state = table.stored(refused).state;
    let why = state.outcome().and_then(Outcome::explanation).unwrap();
    assert!(state.name() == StateName::Lost && why.contains("cannot be recorded: "), "{why}");
    assert_eq!(table.stored(dependent).state.name(), StateName::Skipped);
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(other).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(table.dispatcher.next_wake(), None);
}

#[test]
fn a_task_whose_start_the_history_refuses_is_not_started_for_ever() {
    let mut table = Table::with_slots(1);
    let (first, refused, last) = (table.submit(), table.submit(), table.submit());
    table.refuse("INSERT ON attempts WHEN new.task_id = 2");
    table.end(first, 0);
    assert_eq!(table.dispatcher.next_wake(), Some(RETRY), "the last one is not forgotten");
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(first).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(table.stored(refused).state.name(), StateName::Lost);
    assert_eq!(table.stored(last).state.name(), StateName::Starting);
}

#[test]
fn a_task_of_which_nothing_can_be_stored_is_left_to_the_next_host() {
    let mut table = Table::with_slots(1);
    let (refused, other) = (table.submit(), table.submit());
    table.run(refused);
    table.refuse("UPDATE ON tasks WHEN new.id = 1");
    let mut waiting = table.begin(&PERSON, Change::Wait(refused));
    table.end(refused, 0);
    waiting.try_recv().unwrap().unwrap_err();
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(other).state.name(), StateName::Starting);
    assert_eq!(table.dispatcher.next_wake(), None);
}

#[test]
fn numbers_that_were_given_already_are_passed_over() {
    let mut table = Table::with_slots(1);
    let id = table.submit();
    table.run(id);
    let ahead = table.dispatcher.live.last_event().0 + 3;
    let sql = format!("INSERT INTO events (seq, at, task_id, what) VALUES ({ahead}, 0, 0, 'x')");
    table.dispatcher.store.run(&sql);
    let near =
        format!("INSERT INTO events (seq, at, task_id, what) VALUES ({}, 0, 0, 'x')", ahead - 2);
    table.dispatcher.store.run(&near);
    table.end(id, 0);
    table.dispatcher.turn(vec![]);
    assert_eq!(table.stored(id).state.outcome(), Some(&Outcome::Succeeded));
    assert!(table.dispatcher.live.last_event().0 > ahead);
}
