//! Deciding on new tasks.

use nod_core::access::Actor;
use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::protocol::{ErrorReply, EventChange, Reply, SubmitResult};
use nod_core::schedule::{Dependency, Schedule};
use nod_core::task::{QueueReason, Task, TaskState};

use super::Dispatcher;
use super::live::{Judged, LiveTask};
use super::message::{NewEnvironment, NewTask};
use super::turn::Turn;
use crate::config::there_are;
use crate::error::EngineError;
use crate::store::{Bound, OperationResult, TaskRow};

impl Dispatcher {
    /// Takes in many, in their order; each is refused by itself.
    pub(super) fn submit_many(
        &mut self,
        actor: &Actor,
        all: Vec<Result<NewTask, ErrorReply>>,
        turn: &mut Turn,
    ) -> Reply {
        let submitted = all.into_iter().map(|new| {
            match new.and_then(|new| Ok(self.submit(actor, new, turn)?)) {
                Ok((id, known)) => SubmitResult::Submitted { id, known, gated: self.is_gated(id) },
                Err(error) => SubmitResult::Refused { error },
            }
        });
        Reply::SubmittedMany { results: submitted.collect(), note: None }
    }

    /// Returns the new task; or that which has its key already, and that it was there.
    pub(super) fn submit(
        &mut self,
        actor: &Actor,
        new: NewTask,
        turn: &mut Turn,
    ) -> Result<(TaskId, bool), EngineError> {
        match self.operation(&new.operation)? {
            Some(OperationResult::Submitted { id, known }) => return Ok((id, known)),
            Some(_) => return Err(EngineError::OperationReused(new.operation.0)),
            None => {}
        }
        if matches!(actor, Actor::Task { .. }) {
            // Its token died with its try; only the connection may still be there.
            self.calling_task(actor)?;
        }
        let operation = new.operation.clone();
        let key = new.schedule.key.as_deref();
        if let Some(id) = key.and_then(|key| self.live.keyed(&new.kind, key)) {
            let result = OperationResult::Submitted { id, known: true };
            turn.operation(&mut self.live, operation, result);
            turn.durable = true;
            return Ok((id, true));
        }
        self.check_schedule(&new.schedule)?;
        self.check_dependencies(&new.schedule.after)?;
        let id = self.live.next_task();
        turn.begun.push(id);
        let mut live = self.new_task(id, actor, new, turn);
        let because = self.asks_first(&mut live, actor, turn);
        let after = !live.task().schedule.after.is_empty();
        let delayed = live.task().schedule.not_before.is_some();
        let task = Box::new(live.task().clone());
        self.live.put_task(live);
        turn.event(&mut self.live, id, ("submitted", None), EventChange::Task { task });
        if let Some(rule) = because {
            self.ask_gate(id, actor, rule, turn);
        }
        if after || delayed {
            self.place(id, turn);
        }
        turn.operation(&mut self.live, operation, OperationResult::Submitted { id, known: false });
        turn.durable = true;
        Ok((id, false))
    }

    /// Returns whether a task waits for a person before it starts.
    pub(super) fn is_gated(&self, id: TaskId) -> bool {
        let state = self.live.task(id).map(|live| &live.task().state);
        matches!(state, Some(TaskState::Queued { reason: QueueReason::Gate { .. } }))
    }

    /// Refuses what could never start.
    pub(super) fn check_schedule(&self, schedule: &Schedule) -> Result<(), EngineError> {
        let groups = &self.live.limits().groups;
        let is_known = groups.contains_key(&schedule.group) && self.is_set_up(&schedule.group);
        if !is_known {
            let known = there_are(groups.keys().filter(|name| self.is_set_up(name)));
            return Err(EngineError::GroupNotFound { name: schedule.group.clone(), known });
        }
        let resources = &self.settings.config.resources;
        for (name, wanted) in &schedule.uses {
            let Some(size) = resources.get(name).map(|size| size.get()) else {
                let known = there_are(resources.keys());
                return Err(EngineError::ResourceNotFound { name: name.clone(), known });
            };
            if *wanted > size {
                let (name, wanted) = (name.clone(), *wanted);
                return Err(EngineError::ResourceTooSmall { name, size, wanted });
            }
        }
        Ok(())
    }

    /// Refuses to come after a task that is not there. One that was there, and was removed since,
    /// is no reason to refuse anything: it ended.
    pub(super) fn check_dependencies(&self, after: &[Dependency]) -> Result<(), EngineError> {
        for Dependency { task, .. } in after {
            if self.live.task(*task).is_none() {
                self.stored_task(*task)?;
            }
        }
        Ok(())
    }

    fn new_task(&self, id: TaskId, actor: &Actor, new: NewTask, turn: &mut Turn) -> LiveTask {
        let digest = new.environment.digest().to_vec();
        let plain = match new.environment {
            NewEnvironment::Given { sealed, plain } => {
                turn.environment(sealed);
                Some(plain)
            }
            NewEnvironment::Kept { .. } => None,
        };
        let parent = match actor {
            Actor::Task { id, .. } => self.live.task(*id),
            Actor::Person { .. } | Actor::Peer { .. } | Actor::Host => None,
        };
        // A task's children are for the conversation that the task is for.
        let session = parent.and_then(|parent| parent.task().session.clone()).or(new.session);
        let mut schedule = new.schedule;
        if let Some(delay) = new.delay_ms {
            schedule.delay(turn.now, delay);
        }
        let task = Task {
            id,
            kind: new.kind,
            label: new.label,
            command: new.command,
            cwd: new.cwd,
            output: new.output,
            options: new.options,
            condition: Default::default(),
            session,
            parent: parent.map(|parent| parent.task().id),
            timeout_ms: new.timeout_ms,
            ask_first: new.ask_first,
            schedule,
            attempt: AttemptNumber::FIRST,
            state: TaskState::Queued { reason: QueueReason::Slot },
            progress: None,
            created_at: turn.now,
            started_at: None,
            ended_at: None,
        };
        let environment_changes = new.environment_changes;
        let root = parent.map(|parent| parent.row.bound.root.unwrap_or(parent.task().id));
        let by_person = matches!(actor, Actor::Person { .. });
        let (typist, path) = (new.typist, new.path);
        let bound = Bound { typist, root, by_person, path, ..Bound::default() };
        let row = TaskRow { task, environment: digest, environment_changes, bound };
        LiveTask { row, attempt: None, environment: plain, judged: Judged::Unknown }
    }
}
