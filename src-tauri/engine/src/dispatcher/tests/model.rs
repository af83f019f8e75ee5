//! The dispatcher against a model that looks at every task, after every step.

use std::collections::BTreeMap;

use nod_core::protocol::{Edit, GroupChange, Which};
use nod_core::schedule::{Dependency, Retry, Schedule};
use nod_core::shim::ShimStop;
use nod_core::task::StopCause;
use proptest::prelude::*;

use super::*;

/// The default group, and one beside it.
const GROUPS: [&str; 2] = ["default", "beside"];
const SLOTS: [usize; 2] = [3, 1];
/// Of a resource that tasks of the default group use.
const SIZE: u32 = 2;
/// Longer than any test.
const DELAY_MS: u64 = 3_600_000;

/// What a new task is to be.
#[derive(Debug, Clone, Copy)]
struct Wish {
    priority: i32,
    after: Option<(usize, bool)>,
    retries: u32,
    /// It is of the kind that runs again when it was lost.
    requeued: bool,
    /// Its group, and how much it uses of the resource.
    place: (usize, u32),
    delayed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Submit(Wish),
    /// The process of the nth task ends.
    End(usize, i32),
    TimeOut(usize),
    /// The main process ends, and others are left.
    Leave(usize, i32),
    Lose(usize),
    Cancel(usize),
    CancelAll,
    Prioritise(usize, i32),
    Retry(usize),
    Pause(usize, bool),
    /// Takes away the nth task's delay.
    Release(usize),
    /// Puts the nth task into a group.
    Move(usize, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let after = proptest::option::of((0..40_usize, any::<bool>()));
    // Three of four are in the default group, where most use nothing.
    let place = prop_oneof![
        2 => Just((0, 0)),
        2 => (0..=SIZE).prop_map(|uses| (0, uses)),
        1 => Just((1, 0)),
    ];
    let submit = (-1..2, after, 0..2_u32, any::<bool>(), place, proptest::bool::weighted(0.2));
    prop_oneof![
        8 => submit.prop_map(|(priority, after, retries, requeued, place, delayed)| {
            Step::Submit(Wish { priority, after, retries, requeued, place, delayed })
        }),
        6 => (0..40_usize, 0..2).prop_map(|(n, code)| Step::End(n, code)),
        2 => (0..40_usize).prop_map(Step::TimeOut),
        2 => (0..40_usize, 0..2).prop_map(|(n, code)| Step::Leave(n, code)),
        2 => (0..40_usize).prop_map(Step::Lose),
        3 => (0..40_usize).prop_map(Step::Cancel),
        1 => Just(Step::CancelAll),
        1 => (0..40_usize, -1..2).prop_map(|(n, priority)| Step::Prioritise(n, priority)),
        1 => (0..40_usize).prop_map(Step::Retry),
        1 => (0..GROUPS.len(), any::<bool>()).prop_map(|(group, paused)| Step::Pause(group, paused)),
        2 => (0..40_usize).prop_map(Step::Release),
        1 => (0..40_usize, 0..GROUPS.len()).prop_map(|(n, group)| Step::Move(n, group)),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Queued,
    Active,
    /// For what, and whether it was cancelled as well.
    Stopping(Cause, bool),
    Ended(StateName),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Cancel,
    Time,
    Left,
}

#[derive(Debug, Clone)]
struct Modelled {
    stand: Stand,
    priority: i32,
    after: Option<(TaskId, bool)>,
    retries: u32,
    left: u32,
    requeued: bool,
    group: usize,
    uses: u32,
    /// How often in a row it was lost.
    losses: u32,
    /// How its main process ended, before those that it left.
    code: i32,
    /// It is too soon for another try.
    held: bool,
}

#[derive(Debug, Default)]
struct Model {
    tasks: BTreeMap<TaskId, Modelled>,
    paused: [bool; GROUPS.len()],
}

impl Model {
    fn nth(&self, n: usize) -> Option<TaskId> {
        self.tasks.keys().nth(n % self.tasks.len().max(1)).copied()
    }

    fn task(&mut self, id: TaskId) -> &mut Modelled {
        self.tasks.get_mut(&id).unwrap()
    }

    /// Returns whether what a task comes after lets it go on; nothing while that has not ended.
    fn is_let(&self, task: &Modelled) -> Option<bool> {
        let Some((after, any)) = task.after else { return Some(true) };
        match self.tasks[&after].stand {
            Stand::Ended(name) => Some(any || name == StateName::Succeeded),
            Stand::Queued | Stand::Active | Stand::Stopping(..) => None,
        }
    }

    fn is_queued(task: &Modelled) -> bool {
        task.stand == Stand::Queued
    }

    /// Skips and starts until nothing more happens.
    fn settle(&mut self) {
        loop {
            let skipped = self
                .tasks
                .iter()
                .find(|(_, task)| Self::is_queued(task) && self.is_let(task) == Some(false));
            let Some(id) = skipped.map(|(id, _)| *id) else { break };
            self.task(id).stand = Stand::Ended(StateName::Skipped);
        }
        while let Some(id) = self.next_start() {
            self.task(id).stand = Stand::Active;
        }
    }

    /// Returns the best of those that may start: nobody passes one that waits for the resource and
    /// comes first.
    fn next_start(&self) -> Option<TaskId> {
        let holds = |task: &&Modelled| matches!(task.stand, Stand::Active | Stand::Stopping(..));
        let running = || self.tasks.values().filter(holds);
        let taken: u32 = running().map(|task| task.uses).sum();
        let mut ready: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| Self::is_queued(task) && !task.held)
            .filter(|(_, task)| self.is_let(task) == Some(true))
            .collect();
        ready.sort_by_key(|(id, task)| (std::cmp::Reverse(task.priority), **id));
        let mut somebody_waits = false;
        for (id, task) in ready {
            let in_group = running().filter(|other| other.group == task.group).count();
            if self.paused[task.group] || in_group >= SLOTS[task.group] {
                continue;
            }
            if task.uses == 0 || (!somebody_waits && taken + task.uses <= SIZE) {
                return Some(*id);
            }
            somebody_waits = true;
        }
        None
    }

    fn end(&mut self, id: TaskId, code: i32) {
        let task = self.task(id);
        let (end, is_last) = match task.stand {
            Stand::Queued | Stand::Ended(_) => return,
            Stand::Active if code == 0 => (StateName::Succeeded, true),
            Stand::Active => (StateName::Failed, false),
            Stand::Stopping(Cause::Cancel, _) => (StateName::Cancelled, true),
            Stand::Stopping(Cause::Time, cancelled) => (StateName::TimedOut, cancelled),
            Stand::Stopping(Cause::Left, _) if task.code == 0 => (StateName::Succeeded, true),
            Stand::Stopping(Cause::Left, cancelled) => (StateName::Failed, cancelled),
        };
        task.losses = 0;
        task.stand = Stand::Ended(end);
        if !is_last && task.left > 0 {
            task.left -= 1;
            task.stand = Stand::Queued;
        }
    }

    fn lose(&mut self, id: TaskId) {
        let task = self.task(id);
        let again = task.requeued && task.losses < 10;
        task.stand = match task.stand {
            stand @ (Stand::Queued | Stand::Ended(_)) => return task.stand = stand,
            Stand::Stopping(Cause::Cancel, _) => {
                task.losses = 0;
                return task.stand = Stand::Ended(StateName::Cancelled);
            }
            Stand::Active | Stand::Stopping(_, false) if again => Stand::Queued,
            Stand::Active | Stand::Stopping(..) => Stand::Ended(StateName::Lost),
        };
        task.losses += 1;
    }

    fn cancel(&mut self, id: TaskId) {
        let task = self.task(id);
        task.stand = match task.stand {
            Stand::Queued => Stand::Ended(StateName::Cancelled),
            Stand::Active => Stand::Stopping(Cause::Cancel, true),
            Stand::Stopping(cause, _) => Stand::Stopping(cause, true),
            stand @ Stand::Ended(_) => stand,
        };
    }
}

fn stand(state: &TaskState) -> Stand {
    match state {
        TaskState::Queued { .. } => Stand::Queued,
        TaskState::Starting | TaskState::Running | TaskState::Waiting { .. } => Stand::Active,
        TaskState::Stopping { cause, .. } => {
            let cause = match cause {
                StopCause::Cancelled { .. } => Cause::Cancel,
                StopCause::TimedOut => Cause::Time,
                StopCause::LeftProcesses => Cause::Left,
            };
            Stand::Stopping(cause, state.cancelled_by().is_some())
        }
        TaskState::Ended { outcome } => Stand::Ended(outcome.name()),
    }
}

fn submit(table: &mut Table, model: &mut Model, wish: Wish) {
    let Wish { priority, retries, requeued, place: (group, uses), delayed, .. } = wish;
    let after = wish.after.and_then(|(n, any)| Some((model.nth(n)?, any)));
    let Change::Submit(mut new) = table.new_task(false) else { panic!("no submit") };
    if requeued {
        new.kind = "deploy".into();
    }
    new.schedule = Schedule {
        group: GROUPS[group].to_owned(),
        priority,
        after: after.map(|(task, any)| Dependency { task, any }).into_iter().collect(),
        retry: (retries > 0).then(|| Retry::new(retries, 0)),
        uses: (uses > 0).then(|| ("gpu".to_owned(), uses)).into_iter().collect(),
        ..Schedule::default()
    };
    new.delay_ms = delayed.then_some(DELAY_MS);
    let said = table.call(&PERSON, Change::Submit(new)).unwrap();
    let Reply::Submitted { id, .. } = said else { panic!("{said:?}") };
    let (stand, left, losses, code) = (Stand::Queued, retries, 0, 0);
    let new = Modelled {
        stand,
        priority,
        after,
        retries,
        left,
        requeued,
        group,
        uses,
        losses,
        code,
        held: delayed,
    };
    model.tasks.insert(id, new);
}

/// Edits the nth task, which only one that is queued allows; returns its number where it did.
fn edit(
    table: &mut Table,
    model: &Model,
    n: usize,
    change: impl FnOnce(&mut Edit),
) -> Option<TaskId> {
    let id = model.nth(n)?;
    let mut edit = Edit::new(table.operation(), id);
    change(&mut edit);
    let said = table.call(&PERSON, Change::Edit(Box::new(edit)));
    assert_eq!(said.is_ok(), Model::is_queued(&model.tasks[&id]), "{said:?}");
    said.is_ok().then_some(id)
}

/// Has the shim of the task's present try say something.
fn hear(table: &mut Table, id: TaskId, said: message::Said) {
    let attempt = table.stored(id).attempt;
    table.dispatcher.turn(vec![Message::Shim(id, attempt, said)]);
}

/// Ends the process of a task, as its shim reports it.
fn end(table: &mut Table, model: &mut Model, id: TaskId, code: i32) {
    let task = &model.tasks[&id];
    let code = if task.stand == Stand::Stopping(Cause::Left, true)
        || task.stand == Stand::Stopping(Cause::Left, false)
    {
        task.code
    } else {
        code
    };
    let message::Said::Ended { mut report, tail } = ended(id, code) else { return };
    report.attempt = table.stored(id).attempt;
    report.timed_out = matches!(task.stand, Stand::Stopping(Cause::Time, _));
    hear(table, id, message::Said::Ended { report, tail });
    model.end(id, code);
}

/// Loses the shim of a task; its pause before it runs again ends as soon as others have its slot.
fn lose(table: &mut Table, model: &mut Model, id: TaskId) {
    hear(table, id, message::Said::Gone { why: "killed".into() });
    model.lose(id);
    if model.tasks[&id].stand == Stand::Queued {
        model.task(id).held = true;
        model.settle();
        model.task(id).held = false;
        let mut edit = Edit::new(table.operation(), id);
        edit.delay_ms = Some(0);
        // Refused where it has started since.
        drop(table.call(&PERSON, Change::Edit(Box::new(edit))));
    }
}

/// Has the shim of a running task begin to end it for a reason of its own.
fn stop(table: &mut Table, model: &mut Model, id: TaskId, (cause, code): (ShimStop, i32)) {
    if model.tasks[&id].stand == Stand::Active {
        hear(table, id, lives::stopping(cause));
        let cause = if cause == ShimStop::TimedOut { Cause::Time } else { Cause::Left };
        model.task(id).stand = Stand::Stopping(cause, false);
        model.task(id).code = code;
    }
}

fn take_from_shim(table: &mut Table, model: &mut Model, id: TaskId, step: Step) {
    match step {
        Step::End(_, code) => end(table, model, id, code),
        Step::TimeOut(_) => stop(table, model, id, (ShimStop::TimedOut, 0)),
        Step::Leave(_, code) => stop(table, model, id, (ShimStop::LeftProcesses, code)),
        Step::Lose(_) => lose(table, model, id),
        Step::Submit(_)
        | Step::Cancel(_)
        | Step::CancelAll
        | Step::Prioritise(..)
        | Step::Retry(_)
        | Step::Pause(..)
        | Step::Release(_)
        | Step::Move(..) => {}
    }
}

/// Changes what a task that waits was submitted with.
fn change(table: &mut Table, model: &mut Model, step: Step) {
    match step {
        Step::Prioritise(n, priority) => {
            if let Some(id) = edit(table, model, n, |edit| edit.priority = Some(priority)) {
                model.task(id).priority = priority;
            }
        }
        Step::Release(n) => {
            if let Some(id) = edit(table, model, n, |edit| edit.delay_ms = Some(0)) {
                model.task(id).held = false;
            }
        }
        Step::Move(n, group) => {
            // Who uses the resource stays: in two groups it could wait for either.
            if model.nth(n).is_some_and(|id| model.tasks[&id].uses > 0) {
                return;
            }
            let name = Some(GROUPS[group].to_owned());
            if let Some(id) = edit(table, model, n, |edit| edit.group = name) {
                model.task(id).group = group;
            }
        }
        Step::Submit(_)
        | Step::End(..)
        | Step::TimeOut(_)
        | Step::Leave(..)
        | Step::Lose(_)
        | Step::Cancel(_)
        | Step::CancelAll
        | Step::Retry(_)
        | Step::Pause(..) => {}
    }
}

/// Does a step to the dispatcher and to the model.
fn take(table: &mut Table, model: &mut Model, step: Step) {
    let operation = table.operation();
    match step {
        Step::Submit(wish) => submit(table, model, wish),
        Step::End(n, _) | Step::TimeOut(n) | Step::Leave(n, _) | Step::Lose(n) => {
            let Some(id) = model.nth(n) else { return };
            take_from_shim(table, model, id, step);
        }
        Step::Cancel(n) => {
            let Some(id) = model.nth(n) else { return };
            let was = model.tasks[&id].stand;
            let said = table.call(&PERSON, Change::Cancel { operation, id });
            assert_eq!(said.is_ok(), !matches!(was, Stand::Ended(_)), "{said:?}");
            model.cancel(id);
        }
        Step::CancelAll => {
            let stands = model.tasks.values().map(|task| task.stand);
            let is_met = |stand: &Stand| {
                matches!(stand, Stand::Queued | Stand::Active | Stand::Stopping(_, false))
            };
            let met = stands.filter(is_met).count();
            let which = Which::default();
            let said = table.call(&PERSON, Change::CancelMany { operation, which }).unwrap();
            assert_eq!(said, Reply::Cancelled { count: met as u64 });
            let ids: Vec<_> = model.tasks.keys().copied().collect();
            ids.into_iter().for_each(|id| model.cancel(id));
        }
        Step::Prioritise(..) | Step::Release(_) | Step::Move(..) => change(table, model, step),
        Step::Retry(n) => {
            let Some(id) = model.nth(n) else { return };
            let had_ended = matches!(model.tasks[&id].stand, Stand::Ended(_));
            let said = table.call(&PERSON, Change::Retry { operation, id });
            assert_eq!(said.is_ok(), had_ended, "{said:?}");
            if had_ended {
                let task = model.task(id);
                (task.stand, task.left) = (Stand::Queued, task.retries);
                task.held = false;
            }
        }
        Step::Pause(group, paused) => {
            let change = if paused { GroupChange::Pause } else { GroupChange::Resume };
            let name = GROUPS[group].to_owned();
            table.call(&PERSON, Change::Group { operation, name, change }).unwrap();
            model.paused[group] = paused;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_dispatcher_does_what_the_model_does(
        steps in proptest::collection::vec(any_step(), 1..40),
    ) {
        let [usual, beside] = SLOTS;
        let config = format!(
            "[groups.default]\nslots = {usual}\n[groups.beside]\nslots = {beside}\n\
             [resources]\ngpu = {SIZE}\n{}",
            lives::REQUEUED
        );
        let mut table = Table::with_config(&config);
        let mut model = Model::default();
        for step in steps {
            take(&mut table, &mut model, step);
            model.settle();
            for (id, expected) in &model.tasks {
                let task = table.stored(*id);
                prop_assert_eq!(stand(&task.state), expected.stand, "task {} after {:?}", id, step);
                let in_memory = table.dispatcher.live.task(*id).map(|live| live.task().state.clone());
                prop_assert_eq!(in_memory.unwrap_or(task.state.clone()), task.state);
            }
        }
        let reader = table.dispatcher.readers.lend().unwrap();
        let mut seen = vec![];
        for id in model.tasks.keys() {
            let events = reader.events(*id).unwrap();
            let ends = |what: &str| StateName::parse(what).is_some_and(StateName::is_terminal);
            let lives = 1 + events.iter().filter(|event| event.what == "retried").count();
            prop_assert!(events.iter().filter(|event| ends(&event.what)).count() <= lives);
            seen.extend(events.into_iter().map(|event| event.seq));
        }
        let published: Vec<_> = table.published().iter().map(|event| event.seq).collect();
        prop_assert!(published.is_sorted());
        prop_assert!(seen.iter().all(|seq| published.contains(seq)));
    }
}
