//! The queue as tables, and against a model that looks at every task.

use proptest::prelude::*;

use super::*;

fn need(group: &str) -> Need {
    Need { group: group.into(), kind: "command".into(), session: None, uses: BTreeMap::new() }
}

fn using(group: &str, name: &str, weight: u32) -> Need {
    Need { uses: BTreeMap::from([(name.to_owned(), weight)]), ..need(group) }
}

fn limits(groups: &[(&str, usize)]) -> Limits {
    let limit = |slots| GroupLimit { slots, paused: false };
    let groups = groups.iter().map(|(name, slots)| ((*name).to_owned(), limit(*slots))).collect();
    Limits { groups, ..Limits::default() }
}

fn ready(queue: &mut Queue, id: i64, priority: i32, need: Need) {
    queue.set(TaskId(id), Some((Standing::Ready { priority }, need)));
}

/// Starts all that may start, as the dispatcher does.
fn start(queue: &mut Queue) -> Vec<i64> {
    let mut started = vec![];
    while let Some(id) = queue.next_start() {
        let need = (*queue.places[&id].need).clone();
        queue.set(id, Some((Standing::Running, need)));
        started.push(id.0);
    }
    started
}

#[test]
fn higher_priorities_start_first_and_then_the_oldest() {
    let mut queue = Queue::new(limits(&[("a", 3)]));
    for (id, priority) in [(1, 0), (2, 5), (3, 0), (4, 5), (5, -1)] {
        ready(&mut queue, id, priority, need("a"));
    }
    assert_eq!(start(&mut queue), [2, 4, 1]);
    queue.set(TaskId(4), None);
    assert_eq!(start(&mut queue), [3]);
}

#[test]
fn a_full_group_holds_up_no_other_and_a_paused_one_starts_nothing() {
    let mut queue = Queue::new(limits(&[("a", 1), ("b", 1)]));
    for (id, group) in [(1, "a"), (2, "a"), (3, "b")] {
        ready(&mut queue, id, 0, need(group));
    }
    assert_eq!(start(&mut queue), [1, 3]);
    assert_eq!(queue.reason(TaskId(2)), Some(QueueReason::Slot));
    let mut paused = limits(&[("a", 1)]);
    paused.groups.insert("b".into(), GroupLimit { slots: 9, paused: true });
    let mut queue = Queue::new(paused);
    ready(&mut queue, 1, 0, need("b"));
    assert_eq!(start(&mut queue), [0; 0]);
    assert_eq!(queue.reason(TaskId(1)), Some(QueueReason::Paused));
}

#[test]
fn caps_and_resources_hold_back_those_alone_who_need_them() {
    let mut queue = Queue::new(Limits {
        resources: BTreeMap::from([("gpu".into(), 2)]),
        kinds: BTreeMap::from([("deploy".into(), 1)]),
        per_session: Some(1),
        ..limits(&[("a", 99)])
    });
    let deploy = Need { kind: "deploy".into(), ..need("a") };
    let talk = Need { session: Some(SessionId("s".into())), ..need("a") };
    ready(&mut queue, 1, 0, using("a", "gpu", 1));
    ready(&mut queue, 2, 0, using("a", "gpu", 2));
    ready(&mut queue, 3, 0, using("a", "gpu", 1));
    ready(&mut queue, 4, 0, deploy.clone());
    ready(&mut queue, 5, 0, deploy);
    ready(&mut queue, 6, 0, talk.clone());
    ready(&mut queue, 7, 0, talk);
    ready(&mut queue, 8, 0, need("a"));
    assert_eq!(start(&mut queue), [1, 4, 6, 8]);
    let reasons = [2, 3, 5, 7].map(|id| queue.reason(TaskId(id)).unwrap().words("a"));
    let gpu = "waits for gpu";
    assert_eq!(reasons[..2], [gpu, gpu], "the third does not pass the second");
    assert!(reasons[2].contains("kind deploy") && reasons[3].contains("session s"), "{reasons:?}");
    queue.set(TaskId(1), None);
    assert_eq!(start(&mut queue), [2]);
    queue.set(TaskId(2), None);
    assert_eq!(start(&mut queue), [3]);
    // What needs more than there is has it alone.
    queue.set(TaskId(3), None);
    ready(&mut queue, 9, 0, using("a", "gpu", 7));
    assert_eq!(start(&mut queue), [9]);
}

#[test]
fn one_who_gives_up_lets_those_behind_pass() {
    let mut queue = Queue::new(Limits {
        resources: BTreeMap::from([("gpu".into(), 2)]),
        ..limits(&[("a", 99)])
    });
    for (id, weight) in [(1, 1), (2, 2), (3, 1)] {
        ready(&mut queue, id, 0, using("a", "gpu", weight));
    }
    assert_eq!(start(&mut queue), [1]);
    queue.set(TaskId(2), None);
    assert_eq!(start(&mut queue), [3]);
}

#[test]
fn a_start_looks_at_few_tasks_however_many_wait() {
    let mut queue = Queue::new(limits(&[("a", 1)]));
    for id in 1..=10_000 {
        ready(&mut queue, id, 0, need("a"));
    }
    assert_eq!(start(&mut queue), [1]);
    queue.looked_at();
    for id in 1..1_000 {
        queue.set(TaskId(id), None);
        assert_eq!(start(&mut queue), [id + 1]);
        assert!(queue.looked_at().len() <= 2, "the next one alone");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Submit(Need, i32),
    /// The nth of all that are there ends, or is cancelled.
    End(usize),
    Reorder(usize, i32),
    Pause(usize, bool),
}

const GROUPS: [&str; 2] = ["a", "b"];

fn any_step() -> impl Strategy<Value = Step> {
    let uses = prop_oneof![
        3 => Just(vec![]),
        2 => (0..2_usize, 1..4_u32).prop_map(|one| vec![one]),
        1 => (1..3_u32, 1..3_u32).prop_map(|(a, b)| vec![(0, a), (1, b)]),
    ];
    let need =
        (0..2_usize, 0..2_usize, 0..3_usize, uses).prop_map(|(group, kind, session, uses)| Need {
            group: GROUPS[group].into(),
            kind: ["plain", "capped"][kind].into(),
            session: (session > 0).then(|| SessionId(session.to_string())),
            uses: uses.into_iter().map(|(name, n)| (["gpu", "net"][name].into(), n)).collect(),
        });
    prop_oneof![
        6 => (need, -1..2).prop_map(|(need, priority)| Step::Submit(need, priority)),
        5 => any::<prop::sample::Index>().prop_map(|index| Step::End(index.index(64))),
        1 => (0..64_usize, -1..2).prop_map(|(n, priority)| Step::Reorder(n, priority)),
        1 => (0..2_usize, any::<bool>()).prop_map(|(group, on)| Step::Pause(group, on)),
    ]
}

/// Every task, looked at one by one.
#[derive(Default)]
struct Model {
    limits: Limits,
    tasks: BTreeMap<TaskId, (Standing, Need)>,
}

impl Model {
    fn running(&self) -> impl Iterator<Item = &Need> {
        let running = self.tasks.values().filter(|(standing, _)| *standing == Standing::Running);
        running.map(|(_, need)| need)
    }

    fn ready(&self) -> Vec<(Order, Need)> {
        let order = |(id, (standing, need)): (&TaskId, &(Standing, Need))| match standing {
            Standing::Ready { priority } => Some(((Reverse(*priority), *id), need.clone())),
            Standing::Running => None,
        };
        let mut ready: Vec<_> = self.tasks.iter().filter_map(order).collect();
        ready.sort();
        ready
    }

    fn free(&self, name: &str) -> u32 {
        let size = self.limits.resources[name];
        let used: u32 =
            self.running().filter_map(|need| need.uses.get(name)).map(|w| (*w).min(size)).sum();
        size.checked_sub(used).expect("no more is used than there is")
    }

    fn has_room_but_for_resources(&self, need: &Need) -> bool {
        let count = |same: &dyn Fn(&Need) -> bool| self.running().filter(|n| same(n)).count();
        let group = self.limits.groups[&need.group];
        let cap = self.limits.kinds.get(&need.kind).copied().unwrap_or(usize::MAX);
        let per_session = self.limits.per_session.filter(|_| need.session.is_some());
        !group.paused
            && count(&|other| other.group == need.group) < group.slots
            && count(&|other| other.kind == need.kind) < cap
            && per_session.is_none_or(|cap| count(&|other| other.session == need.session) < cap)
    }

    fn has_resources(&self, need: &Need) -> bool {
        let size = |name: &String| self.limits.resources[name];
        need.uses.iter().all(|(name, weight)| self.free(name) >= (*weight).min(size(name)))
    }

    /// Nothing that could start is left waiting, but behind an earlier one for the same resource.
    fn check_rest(&self) {
        let ready = self.ready();
        for (index, (order, need)) in ready.iter().enumerate() {
            if self.has_room_but_for_resources(need) && self.has_resources(need) {
                let shares = |other: &Need| need.uses.keys().any(|r| other.uses.contains_key(r));
                let waits_behind = ready[..index].iter().any(|(_, other)| shares(other));
                assert!(waits_behind, "{order:?} {need:?} was left behind");
            }
        }
    }

    /// What starts has room, and passes nobody who could have started in its place.
    fn check_start(&self, id: TaskId) {
        let ready = self.ready();
        let index = ready.iter().position(|((_, other), _)| *other == id).expect("it was ready");
        let (_, need) = &ready[index];
        assert!(self.has_room_but_for_resources(need) && self.has_resources(need), "{need:?}");
        for (order, other) in &ready[..index] {
            if other.uses.is_empty() {
                assert!(!self.has_room_but_for_resources(other), "{order:?} was passed");
            }
        }
    }
}

proptest! {
    #[test]
    fn the_queue_keeps_every_limit_and_leaves_nobody_behind(
        steps in proptest::collection::vec(any_step(), 0..120),
    ) {
        let limits = Limits {
            resources: BTreeMap::from([("gpu".into(), 2), ("net".into(), 3)]),
            kinds: BTreeMap::from([("capped".into(), 2)]),
            per_session: Some(2),
            ..limits(&[("a", 2), ("b", 4)])
        };
        let mut queue = Queue::new(limits.clone());
        let mut model = Model { limits, ..Model::default() };
        for (number, step) in (1..).zip(steps) {
            let nth = |n: usize, model: &Model| {
                model.tasks.keys().nth(n % model.tasks.len().max(1)).copied()
            };
            match step {
                Step::Submit(need, priority) => {
                    let standing = Standing::Ready { priority };
                    model.tasks.insert(TaskId(number), (standing, need.clone()));
                    queue.set(TaskId(number), Some((standing, need)));
                }
                Step::End(n) => if let Some(id) = nth(n, &model) {
                    model.tasks.remove(&id);
                    queue.set(id, None);
                },
                Step::Reorder(n, priority) => if let Some(id) = nth(n, &model)
                    && let Some((Standing::Ready { .. }, need)) = model.tasks.get(&id).cloned()
                {
                    let standing = Standing::Ready { priority };
                    model.tasks.insert(id, (standing, need.clone()));
                    queue.set(id, Some((standing, need)));
                },
                Step::Pause(group, paused) => {
                    let group = model.limits.groups.get_mut(GROUPS[group]).unwrap();
                    group.paused = paused;
                    queue = Queue::new(model.limits.clone());
                    for (id, (standing, need)) in &model.tasks {
                        queue.set(*id, Some((*standing, need.clone())));
                    }
                }
            }
            while let Some(id) = queue.next_start() {
                model.check_start(id);
                let need = model.tasks[&id].1.clone();
                model.tasks.insert(id, (Standing::Running, need.clone()));
                queue.set(id, Some((Standing::Running, need)));
            }
            model.check_rest();
        }
    }

    /// Without resources nobody ever waits behind another: the model itself can say who is next.
    #[test]
    fn without_resources_the_order_is_exactly_that_of_priority_and_age(
        steps in proptest::collection::vec(any_step(), 0..120),
    ) {
        let mut queue = Queue::new(limits(&[("a", 1), ("b", 2)]));
        let mut model = Model { limits: limits(&[("a", 1), ("b", 2)]), ..Model::default() };
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Submit(mut need, priority) => {
                    need.uses.clear();
                    let standing = Standing::Ready { priority };
                    model.tasks.insert(TaskId(number), (standing, need.clone()));
                    queue.set(TaskId(number), Some((standing, need)));
                }
                Step::End(n) => {
                    let id = model.tasks.keys().nth(n % model.tasks.len().max(1)).copied();
                    if let Some(id) = id {
                        model.tasks.remove(&id);
                        queue.set(id, None);
                    }
                }
                Step::Reorder(..) | Step::Pause(..) => continue,
            }
            loop {
                let ready = model.ready();
                let expected = ready.iter().find(|(_, need)| model.has_room_but_for_resources(need));
                let expected = expected.map(|((_, id), need)| (*id, need.clone()));
                prop_assert_eq!(queue.next_start(), expected.as_ref().map(|(id, _)| *id));
                let Some((id, need)) = expected else { break };
                model.tasks.insert(id, (Standing::Running, need.clone()));
                queue.set(id, Some((Standing::Running, need)));
            }
        }
    }
}
