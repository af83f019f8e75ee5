//! The groups: what the config file says of them, and what was said beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nod_core::ids::OperationId;
use nod_core::protocol::{Event, EventChange, Group, GroupChange, Reply};
use nod_core::schedule::{GroupLimit, Limits};
use nod_core::task::TaskState;

use super::Dispatcher;
use super::calls::Said;
use super::turn::Turn;
use crate::config::{Config, there_are};
use crate::error::EngineError;
use crate::store::{GroupRow, OperationResult};

/// The longest name of a group, in characters.
const NAME_LIMIT: usize = 64;

impl Dispatcher {
    /// Returns every group with its slots; what was said by command holds over the file.
    pub(super) fn group_slots(&self) -> BTreeMap<String, u32> {
        let mut groups = self.settings.config.groups();
        for row in self.live.groups().values() {
            if let Some(slots) = row.slots {
                groups.insert(row.name.clone(), slots);
            }
        }
        groups
    }

    /// Returns every group that anything is known of: also one that was paused or still has tasks,
    /// and is no longer set up, which lets its last tasks run one by one.
    fn known_groups(&self) -> BTreeMap<String, u32> {
        let mut groups = self.limited_groups();
        for task in self.live.tasks().map(super::LiveTask::task) {
            if !groups.contains_key(&task.schedule.group) {
                groups.insert(task.schedule.group.clone(), 1);
            }
        }
        groups
    }

    /// Returns the groups that are set up, and those that were paused and are so no longer.
    fn limited_groups(&self) -> BTreeMap<String, u32> {
        let mut groups = self.group_slots();
        for name in self.live.groups().keys() {
            groups.entry(name.clone()).or_insert(1);
        }
        groups
    }

    /// Returns whether tasks can be put into a group.
    pub(super) fn is_set_up(&self, name: &str) -> bool {
        let row = self.live.groups().get(name);
        row.is_some_and(|row| row.slots.is_some())
            || self.settings.config.groups().contains_key(name)
    }

    fn is_paused(&self, name: &str) -> bool {
        self.live.groups().get(name).is_some_and(|row| row.paused)
    }

    /// Returns every group as clients see it.
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut queued: BTreeMap<&str, u64> = BTreeMap::new();
        for task in self.live.tasks().map(super::LiveTask::task) {
            if matches!(task.state, TaskState::Queued { .. }) {
                *queued.entry(&task.schedule.group).or_default() += 1;
            }
        }
        let group = |(name, slots): (String, u32)| Group {
            slots,
            paused: self.is_paused(&name),
            running: self.live.running_in(&name),
            queued: queued.get(name.as_str()).copied().unwrap_or(0),
            name,
        };
        self.known_groups().into_iter().map(group).collect()
    }

    /// Brings the queue to the limits that are in force now.
    pub(crate) fn apply_limits(&mut self) {
        let limits = self.limits();
        if *self.live.limits() != limits {
            self.live.set_limits(limits);
        }
    }

    fn limits(&self) -> Limits {
        let config = &self.settings.config;
        let limit = |(name, slots): (String, u32)| {
            let paused = self.is_paused(&name);
            (name, GroupLimit { slots: slots as usize, paused })
        };
        let cap = |(name, kind): (&String, &crate::config::Kind)| {
            kind.cap.map(|cap| (name.clone(), cap.get() as usize))
        };
        Limits {
            groups: self.limited_groups().into_iter().map(limit).collect(),
            resources: config.resources.iter().map(|(name, n)| (name.clone(), n.get())).collect(),
            kinds: config.kinds.iter().filter_map(cap).collect(),
            per_session: config.sessions.cap.map(|cap| cap.get() as usize),
        }
    }

    /// Puts another configuration in force.
    pub(super) fn configure(
        &mut self,
        config: Arc<Config>,
        error: Option<String>,
        turn: &mut Turn,
    ) {
        let (seq, before) = (self.live.last_event(), self.groups());
        self.events.publish(Event { seq, at: turn.now, change: EventChange::Config { error } });
        self.settle_guards_of(&config, turn);
        self.settings.config = config;
        self.apply_limits();
        let groups = self.groups();
        // With a number of its own: under that of another event it would be taken for that one.
        if groups != before {
            let words = "the config file says otherwise".to_owned();
            let change = EventChange::Groups { groups };
            turn.event_of_host(&mut self.live, "group", words, change);
        }
    }

    pub(super) fn change_group(
        &mut self,
        operation: OperationId,
        name: String,
        change: GroupChange,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        match self.operation(&operation)? {
            Some(OperationResult::GroupChanged { name: same }) if same == name => {
                return Ok(Said::Now(Reply::Groups { groups: self.groups(), note: None }));
            }
            Some(_) => return Err(EngineError::OperationReused(operation.0)),
            None => {}
        }
        let groups = self.changed_groups(&name, change)?;
        self.live.put_groups(groups);
        self.apply_limits();
        let change_words = match change {
            GroupChange::Add { slots } => format!("{name} was added with {slots} slots"),
            GroupChange::Set { slots } => format!("{name} has {slots} slots"),
            GroupChange::Remove => format!("{name} was removed"),
            GroupChange::Pause => format!("{name} is paused"),
            GroupChange::Resume => format!("{name} goes on"),
        };
        let groups = self.groups();
        let published = EventChange::Groups { groups: groups.clone() };
        turn.event_of_host(&mut self.live, "group", change_words, published);
        turn.operation(&mut self.live, operation, OperationResult::GroupChanged { name });
        turn.durable = true;
        Ok(Said::Now(Reply::Groups { groups, note: None }))
    }

    /// Returns what is said of groups after a change.
    fn changed_groups(
        &self,
        name: &str,
        change: GroupChange,
    ) -> Result<BTreeMap<String, GroupRow>, EngineError> {
        check_name(name)?;
        let known = self.known_groups();
        let mut groups = self.live.groups().clone();
        if let GroupChange::Add { slots } = change {
            if self.is_set_up(name) {
                return Err(EngineError::GroupExists(name.to_owned()));
            }
            let slots = Some(some_slots(slots)?);
            let paused = self.is_paused(name);
            groups.insert(name.to_owned(), GroupRow { name: name.to_owned(), slots, paused });
            return Ok(groups);
        }
        if !known.contains_key(name) {
            let known = there_are(known.keys());
            return Err(EngineError::GroupNotFound { name: name.to_owned(), known });
        }
        let mut row = groups.remove(name).unwrap_or_else(|| GroupRow {
            name: name.to_owned(),
            slots: None,
            paused: false,
        });
        match change {
            GroupChange::Remove => {
                self.check_unused(name)?;
                return Ok(groups);
            }
            GroupChange::Set { slots } => row.slots = Some(some_slots(slots)?),
            GroupChange::Pause => row.paused = true,
            GroupChange::Resume => row.paused = false,
            GroupChange::Add { .. } => {}
        }
        if row.slots.is_some() || row.paused {
            groups.insert(name.to_owned(), row);
        }
        Ok(groups)
    }

    fn check_unused(&self, name: &str) -> Result<(), EngineError> {
        let stays = |why: &str| EngineError::GroupStays { name: name.into(), why: why.into() };
        if self.settings.config.groups().contains_key(name) {
            return Err(stays(
                "is set up in the config file, or is the default one: remove it there",
            ));
        }
        let mut tasks = self.live.tasks().map(super::LiveTask::task);
        if tasks.any(|task| task.schedule.group == name && task.state.outcome().is_none()) {
            let why = format!("has unfinished tasks: `nod cancel --group {name}` ends them");
            return Err(stays(&why));
        }
        Ok(())
    }
}

fn some_slots(slots: u32) -> Result<u32, EngineError> {
    if slots == 0 {
        return Err(EngineError::Bad("a group has at least one slot: pause it to start nothing"));
    }
    Ok(slots)
}

fn check_name(name: &str) -> Result<(), EngineError> {
    let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.chars().count() > NAME_LIMIT || !name.chars().all(fits) {
        return Err(EngineError::GroupName(name.to_owned()));
    }
    Ok(())
}
