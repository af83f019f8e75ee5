//! The dispatcher against a model that looks at every task, after every step.

use std::collections::BTreeMap;

use nod_core::protocol::{Edit, GroupChange, Which};
use nod_core::schedule::{Dependency, Retry, Schedule};
use proptest::prelude::*;

use super::*;

const SLOTS: usize = 2;

#[derive(Debug, Clone, Copy)]
enum Step {
    Submit {
        priority: i32,
        after: Option<(usize, bool)>,
        retries: u32,
    },
    /// The process of the nth task ends.
    End(usize, i32),
    Cancel(usize),
    CancelAll,
    Prioritise(usize, i32),
    Retry(usize),
    Pause(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let after = proptest::option::of((0..40_usize, any::<bool>()));
    prop_oneof![
        6 => (-1..2, after, 0..2_u32)
            .prop_map(|(priority, after, retries)| Step::Submit { priority, after, retries }),
        6 => (0..40_usize, 0..2).prop_map(|(n, code)| Step::End(n, code)),
        2 => (0..40_usize).prop_map(Step::Cancel),
        1 => Just(Step::CancelAll),
        1 => (0..40_usize, -1..2).prop_map(|(n, priority)| Step::Prioritise(n, priority)),
        1 => (0..40_usize).prop_map(Step::Retry),
        1 => any::<bool>().prop_map(Step::Pause),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Queued,
    Active,
    Stopping,
    Ended(StateName),
}

#[derive(Debug, Clone)]
struct Modelled {
    stand: Stand,
    priority: i32,
    after: Option<(TaskId, bool)>,
    retries: u32,
    left: u32,
}

#[derive(Debug, Default)]
struct Model {
    tasks: BTreeMap<TaskId, Modelled>,
    paused: bool,
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
            Stand::Queued | Stand::Active | Stand::Stopping => None,
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
        while !self.paused {
            let holds = |task: &&Modelled| matches!(task.stand, Stand::Active | Stand::Stopping);
            if self.tasks.values().filter(holds).count() >= SLOTS {
                return;
            }
            let ready = self
                .tasks
                .iter()
                .filter(|(_, task)| Self::is_queued(task) && self.is_let(task) == Some(true));
            let best = ready.min_by_key(|(id, task)| (std::cmp::Reverse(task.priority), **id));
            let Some(id) = best.map(|(id, _)| *id) else { return };
            self.task(id).stand = Stand::Active;
        }
    }

    fn end(&mut self, id: TaskId, code: i32) {
        let task = self.task(id);
        task.stand = match (task.stand, code) {
            (Stand::Stopping, _) => Stand::Ended(StateName::Cancelled),
            (Stand::Active, 0) => Stand::Ended(StateName::Succeeded),
            (Stand::Active, _) if task.left > 0 => {
                task.left -= 1;
                Stand::Queued
            }
            (Stand::Active, _) => Stand::Ended(StateName::Failed),
            (stand @ (Stand::Queued | Stand::Ended(_)), _) => stand,
        };
    }

    fn cancel(&mut self, id: TaskId) {
        let task = self.task(id);
        task.stand = match task.stand {
            Stand::Queued => Stand::Ended(StateName::Cancelled),
            Stand::Active => Stand::Stopping,
            stand @ (Stand::Stopping | Stand::Ended(_)) => stand,
        };
    }
}

fn stand(state: &TaskState) -> Stand {
    match state {
        TaskState::Queued { .. } => Stand::Queued,
        TaskState::Starting | TaskState::Running | TaskState::Waiting { .. } => Stand::Active,
        TaskState::Stopping { .. } => Stand::Stopping,
        TaskState::Ended { outcome } => Stand::Ended(outcome.name()),
    }
}

fn submit(
    table: &mut Table,
    model: &mut Model,
    priority: i32,
    after: Option<(usize, bool)>,
    retries: u32,
) {
    let after = after.and_then(|(n, any)| Some((model.nth(n)?, any)));
    let Change::Submit(mut new) = table.new_task(false) else { panic!("no submit") };
    new.schedule = Schedule {
        priority,
        after: after.map(|(task, any)| Dependency { task, any }).into_iter().collect(),
        retry: (retries > 0).then(|| Retry::new(retries, 0)),
        ..Schedule::default()
    };
    let said = table.call(&PERSON, Change::Submit(new)).unwrap();
    let Reply::Submitted { id, .. } = said else { panic!("{said:?}") };
    let stand = Stand::Queued;
    model.tasks.insert(id, Modelled { stand, priority, after, retries, left: retries });
}

/// Does a step to the dispatcher and to the model.
fn take(table: &mut Table, model: &mut Model, step: Step) {
    let operation = table.operation();
    match step {
        Step::Submit { priority, after, retries } => {
            submit(table, model, priority, after, retries);
        }
        Step::End(n, code) => {
            let Some(id) = model.nth(n) else { return };
            let attempt = table.stored(id).attempt;
            let message::Said::Ended { mut report, tail } = ended(id, code) else { return };
            report.attempt = attempt;
            let said = message::Said::Ended { report, tail };
            table.dispatcher.turn(vec![Message::Shim(id, attempt, said)]);
            model.end(id, code);
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
            let met = stands.filter(|it| matches!(it, Stand::Queued | Stand::Active)).count();
            let which = Which::default();
            let said = table.call(&PERSON, Change::CancelMany { operation, which }).unwrap();
            assert_eq!(said, Reply::Cancelled { count: met as u64 });
            let ids: Vec<_> = model.tasks.keys().copied().collect();
            ids.into_iter().for_each(|id| model.cancel(id));
        }
        Step::Prioritise(n, priority) => {
            let Some(id) = model.nth(n) else { return };
            let mut edit = Edit::new(operation, id);
            edit.priority = Some(priority);
            let said = table.call(&PERSON, Change::Edit(Box::new(edit)));
            assert_eq!(said.is_ok(), Model::is_queued(&model.tasks[&id]), "{said:?}");
            if said.is_ok() {
                model.task(id).priority = priority;
            }
        }
        Step::Retry(n) => {
            let Some(id) = model.nth(n) else { return };
            let had_ended = matches!(model.tasks[&id].stand, Stand::Ended(_));
            let said = table.call(&PERSON, Change::Retry { operation, id });
            assert_eq!(said.is_ok(), had_ended, "{said:?}");
            if had_ended {
                let task = model.task(id);
                (task.stand, task.left) = (Stand::Queued, task.retries);
            }
        }
        Step::Pause(paused) => {
            let change = if paused { GroupChange::Pause } else { GroupChange::Resume };
            let name = "default".to_owned();
            table.call(&PERSON, Change::Group { operation, name, change }).unwrap();
            model.paused = paused;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_dispatcher_does_what_the_model_does(
        steps in proptest::collection::vec(any_step(), 1..40),
    ) {
        let mut table = Table::with_slots(SLOTS);
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
