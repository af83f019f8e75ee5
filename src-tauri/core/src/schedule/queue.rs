//! The tasks that wait for room, and which of them starts next.
//!
//! Tasks that need the same things stand in one lane, in their order. Only the
//! first of a lane is ever looked at; a lane whose first may not start waits in
//! line for what is missing, and is looked at again when some of that becomes
//! free. So a start costs the logarithm of the tasks that wait, not their number.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::ids::{SessionId, TaskId};
use crate::task::QueueReason;

/// How much room there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    pub groups: BTreeMap<String, GroupLimit>,
    /// The size of each named resource.
    pub resources: BTreeMap<String, u32>,
    /// How many tasks of a kind may run at once.
    pub kinds: BTreeMap<String, usize>,
    /// How many tasks of one session may run at once.
    pub per_session: Option<usize>,
}

/// A group's part of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimit {
    pub slots: usize,
    /// Nothing new starts.
    pub paused: bool,
}

/// What a task takes of the room when it runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Need {
    pub group: String,
    pub kind: String,
    pub session: Option<SessionId>,
    pub uses: BTreeMap<String, u32>,
}

/// What a task is to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits for nothing but room.
    Ready { priority: i32 },
    /// It has room: a task that has a process, also while it waits for a person.
    Running,
}

/// Something that there is too little of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Line {
    Group(String),
    Kind(String),
    Session(SessionId),
    Resource(String),
}

/// Higher priorities first, then the oldest.
type Order = (Reverse<i32>, TaskId);

#[derive(Debug, Default)]
struct Lane {
    tasks: BTreeSet<Order>,
    /// What the first one was found to wait for; nothing until it is looked at.
    waits_for: Option<Line>,
}

#[derive(Debug)]
struct Place {
    need: Arc<Need>,
    standing: Standing,
}

/// Every task that waits for room or has it.
#[derive(Debug, Default)]
pub struct Queue {
    limits: Limits,
    places: HashMap<TaskId, Place>,
    lanes: HashMap<Arc<Need>, Lane>,
    /// The firsts of lanes that are to be looked at.
    open: BTreeMap<Order, Arc<Need>>,
    /// The firsts of lanes that wait; for a resource in the line of each that the lane needs.
    lines: BTreeMap<Line, BTreeMap<Order, Arc<Need>>>,
    /// Lines where there may be room again.
    woken: BTreeSet<Line>,
    taken: HashMap<Line, u64>,
    /// Tasks whose reason to wait may have changed.
    looked_at: BTreeSet<TaskId>,
}

impl Queue {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns how many tasks of a group run.
    #[must_use]
    pub fn running_in(&self, group: &str) -> u64 {
        self.taken_of(&Line::Group(group.to_owned()))
    }

    /// Says where a task stands now; nothing when it has no place here any more.
    pub fn set(&mut self, id: TaskId, standing: Option<(Standing, Need)>) {
        let before = self.places.get(&id);
        match (before, &standing) {
            (None, None) => return,
            (Some(place), Some((standing, need)))
                if place.standing == *standing && *place.need == *need =>
            {
                return;
            }
            _ => {}
        }
        if let Some(place) = self.places.remove(&id) {
            self.leave(id, &place);
        }
        if let Some((standing, need)) = standing {
            self.enter(id, standing, need);
        }
    }

    /// Returns the task that is to start next. It must be [`Standing::Running`] before the next call.
    pub fn next_start(&mut self) -> Option<TaskId> {
        loop {
            let (order, need) = self.best()?;
            let Some(line) = self.obstacle(&need, order) else { return Some(order.1) };
            self.looked_at.insert(order.1);
            self.stand_in(&need, order, line);
        }
    }

    /// Returns the tasks whose reason to wait may have changed since the last call.
    pub fn looked_at(&mut self) -> BTreeSet<TaskId> {
        std::mem::take(&mut self.looked_at)
    }

    /// Returns why a ready task waits; nothing for a task that is not ready.
    #[must_use]
    pub fn reason(&self, id: TaskId) -> Option<QueueReason> {
        let place = self.places.get(&id)?;
        let Standing::Ready { .. } = place.standing else { return None };
        let lane = self.lanes.get(&place.need)?;
        Some(match &lane.waits_for {
            None => QueueReason::Slot,
            Some(Line::Group(name)) if self.group(name).paused => QueueReason::Paused,
            Some(Line::Group(_)) => QueueReason::Slot,
            Some(Line::Kind(kind)) => QueueReason::Cap { of: format!("tasks of kind {kind}") },
            Some(Line::Session(session)) => {
                QueueReason::Cap { of: format!("tasks of session {session}") }
            }
            Some(Line::Resource(name)) => QueueReason::Resource { name: name.clone() },
        })
    }

    fn enter(&mut self, id: TaskId, standing: Standing, need: Need) {
        let need = match self.lanes.get_key_value(&need) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(need),
        };
        match standing {
            Standing::Ready { priority } => {
                self.change_lane(&need, |lane| lane.tasks.insert((Reverse(priority), id)));
                self.looked_at.insert(id);
            }
            Standing::Running => {
                for (line, amount) in self.takes(&need) {
                    *self.taken.entry(line).or_default() += amount;
                }
            }
        }
        self.places.insert(id, Place { need, standing });
    }

    fn leave(&mut self, id: TaskId, place: &Place) {
        match place.standing {
            Standing::Ready { priority } => {
                self.change_lane(&place.need, |lane| lane.tasks.remove(&(Reverse(priority), id)));
            }
            Standing::Running => {
                for (line, amount) in self.takes(&place.need) {
                    if let Some(taken) = self.taken.get_mut(&line) {
                        *taken = taken.saturating_sub(amount);
                        if *taken == 0 {
                            self.taken.remove(&line);
                        }
                    }
                    self.wake(line);
                }
            }
        }
    }

    /// Changes who stands in a lane; where that changes its first, the lane is looked at again.
    fn change_lane(&mut self, need: &Arc<Need>, change: impl FnOnce(&mut Lane) -> bool) {
        let lane = self.lanes.entry(Arc::clone(need)).or_default();
        let before = lane.tasks.first().copied();
        change(lane);
        let after = lane.tasks.first().copied();
        if before == after {
            return;
        }
        let waits_for = lane.waits_for.take();
        if lane.tasks.is_empty() {
            self.lanes.remove(need);
        }
        if let Some(before) = before {
            self.step_out(need, before, waits_for);
        }
        if let Some(after) = after {
            self.open.insert(after, Arc::clone(need));
        }
    }

    /// Takes the first of a lane out of where it stands. Who waits behind it may go on.
    fn step_out(&mut self, need: &Need, order: Order, waits_for: Option<Line>) {
        self.open.remove(&order);
        for line in waits_for.into_iter().flat_map(|line| standing_in(need, line)) {
            if let Some(waiting) = self.lines.get_mut(&line) {
                waiting.remove(&order);
                if waiting.is_empty() {
                    self.lines.remove(&line);
                }
            }
            self.wake(line);
        }
    }

    fn stand_in(&mut self, need: &Arc<Need>, order: Order, line: Line) {
        let waits_for = self.lanes.get_mut(need).and_then(|lane| lane.waits_for.take());
        self.step_out(need, order, waits_for);
        for line in standing_in(need, line.clone()) {
            self.woken.remove(&line);
            self.lines.entry(line).or_default().insert(order, Arc::clone(need));
        }
        if let Some(lane) = self.lanes.get_mut(need) {
            lane.waits_for = Some(line);
        }
    }

    fn wake(&mut self, line: Line) {
        if self.lines.contains_key(&line) {
            self.woken.insert(line);
        }
    }

    /// Returns the first of all that are to be looked at.
    fn best(&mut self) -> Option<(Order, Arc<Need>)> {
        let lines = &self.lines;
        self.woken.retain(|line| lines.contains_key(line));
        let woken = self.woken.iter().filter_map(|line| self.lines.get(line)?.first_key_value());
        let best = woken.chain(self.open.first_key_value()).min_by_key(|(order, _)| **order)?;
        Some((*best.0, Arc::clone(best.1)))
    }

    /// Returns what the first of a lane has to wait for.
    fn obstacle(&self, need: &Need, order: Order) -> Option<Line> {
        let group = self.group(&need.group);
        let line = Line::Group(need.group.clone());
        if group.paused || self.taken_of(&line) >= group.slots as u64 {
            return Some(line);
        }
        let line = Line::Kind(need.kind.clone());
        if let Some(cap) = self.limits.kinds.get(&need.kind)
            && self.taken_of(&line) >= *cap as u64
        {
            return Some(line);
        }
        if let (Some(cap), Some(session)) = (self.limits.per_session, &need.session) {
            let line = Line::Session(session.clone());
            if self.taken_of(&line) >= cap as u64 {
                return Some(line);
            }
        }
        need.uses.iter().find_map(|(name, weight)| self.scarce(name, *weight, order))
    }

    /// Returns the line of a resource that has too little room, or that others wait for already:
    /// a task that needs much of it is not passed for ever by those that need little.
    fn scarce(&self, name: &str, weight: u32, order: Order) -> Option<Line> {
        let size = u64::from(*self.limits.resources.get(name)?);
        // What needs more than there is, needs all of it.
        let wanted = u64::from(weight).min(size);
        let line = Line::Resource(name.to_owned());
        let earlier = self.lines.get(&line).and_then(|line| line.first_key_value());
        let passed = earlier.is_some_and(|(earlier, _)| *earlier < order);
        (passed || self.taken_of(&line) + wanted > size).then_some(line)
    }

    fn takes(&self, need: &Need) -> Vec<(Line, u64)> {
        let mut takes = vec![(Line::Group(need.group.clone()), 1)];
        if self.limits.kinds.contains_key(&need.kind) {
            takes.push((Line::Kind(need.kind.clone()), 1));
        }
        if self.limits.per_session.is_some() {
            takes.extend(need.session.clone().map(|session| (Line::Session(session), 1)));
        }
        for (name, weight) in &need.uses {
            if let Some(size) = self.limits.resources.get(name) {
                takes.push((Line::Resource(name.clone()), u64::from((*weight).min(*size))));
            }
        }
        takes
    }

    fn taken_of(&self, line: &Line) -> u64 {
        self.taken.get(line).copied().unwrap_or(0)
    }

    /// Returns a group's room. One that is no longer set up lets its last tasks run one by one.
    fn group(&self, name: &str) -> GroupLimit {
        self.limits.groups.get(name).copied().unwrap_or(GroupLimit { slots: 1, paused: false })
    }
}

/// Returns where a lane stands that waits for `line`: who waits for one resource keeps its place
/// for the others too.
fn standing_in(need: &Need, line: Line) -> Vec<Line> {
    match line {
        Line::Resource(_) => need.uses.keys().cloned().map(Line::Resource).collect(),
        line @ (Line::Group(_) | Line::Kind(_) | Line::Session(_)) => vec![line],
    }
}

#[cfg(test)]
mod tests;
