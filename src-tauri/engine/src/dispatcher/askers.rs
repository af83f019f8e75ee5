//! Who asks: with whom they are counted, who may have the answer, and questions that nobody waits for.

use std::collections::HashMap;

use nod_core::access::{Actor, Refusal};
use nod_core::ids::{OperationId, RequestId, TaskId};
use nod_core::protocol::Reply;
use nod_core::request::{Origin, Request};

use super::Dispatcher;
use super::calls::Said;
use super::live::Live;
use super::message::Program;
use super::pace::{Pace, Source};
use super::turn::Turn;
use crate::error::EngineError;
use crate::process::Lineage;
use crate::store::RequestRow;

/// How many open questions of programs are kept that nobody waits for.
pub(super) const UNATTENDED_OF_PROGRAMS: usize = 100;

impl Live {
    /// Returns with whom a task is counted: all that descend from one task are one source.
    pub(super) fn source_of(&self, id: TaskId) -> Source {
        Source::Task(self.task(id).and_then(|live| live.row.bound.root).unwrap_or(id))
    }

    pub(super) fn is_open(&self, id: RequestId) -> bool {
        self.request(id).is_some_and(|row| row.request.is_open())
    }
}

impl Pace {
    /// Returns what is known of those who asked before this host began.
    pub(crate) fn of(live: &Live) -> Self {
        let mut pace = Self::default();
        for request in live.open_requests().filter(|request| request.origin != Origin::Gate) {
            let program = |row: &RequestRow| row.asked_for.as_ref()?.program();
            let source = match request.task {
                Some(task) => live.source_of(task),
                None => live.request(request.id).and_then(program).map_or(Source::Gone, Source::of),
            };
            pace.note(request.id, source);
        }
        pace
    }
}

impl Dispatcher {
    pub(super) fn source(&self, task: Option<TaskId>, program: Option<&Program>) -> Source {
        match (task, program) {
            (Some(id), _) => self.live.source_of(id),
            (None, Some(program)) => program.source,
            (None, None) => Source::Gone,
        }
    }

    /// Counts a question before any work is put into it; refuses one too many.
    pub(super) fn may_ask(
        &mut self,
        actor: &Actor,
        operation: &OperationId,
        program: Source,
        turn: &Turn,
    ) -> Result<Said, EngineError> {
        let task = self.asking_task(actor)?;
        let source = task.map_or(program, |id| self.live.source_of(id));
        if self.operation(operation)?.is_none() {
            self.check_open(source)?;
        }
        self.pace.check(source, turn.now)?;
        Ok(Said::Now(Reply::Done))
    }

    /// Refuses a question where too many are open.
    pub(super) fn check_open(&self, source: Source) -> Result<(), EngineError> {
        let own = self.pace.asked_by(source).filter(|id| self.live.is_open(*id)).count();
        let of_programs = self.live.open_requests_of(None).map(|request| request.id);
        // What nobody waits for is bounded by itself: it keeps nobody from asking.
        let of_programs = of_programs.filter(|id| !self.is_unattended(*id)).count();
        self.pace.check_open(source, (own, of_programs))
    }

    /// Refuses one who is not who asked. Of a task, that is the same try of it.
    pub(super) fn check_asker(
        &self,
        row: &RequestRow,
        actor: &Actor,
        lineage: Option<&Lineage>,
    ) -> Result<(), EngineError> {
        let asker = self.asking_task(actor)?;
        match (row.request.task, asker) {
            (Some(task), Some(own)) if task == own => {
                let attempt = self.live.task(own).map(|live| live.task().attempt);
                if attempt == Some(row.request.attempt) {
                    return Ok(());
                }
                Err(EngineError::Bad("an earlier try of this task asked this"))
            }
            (Some(_), None) => {
                Err(EngineError::Bad("a task asked this: it alone waits for the answer"))
            }
            (Some(other), Some(_)) => Err(EngineError::Refused(Refusal::AnotherTask(other))),
            (None, None) if is_for(row, lineage) => Ok(()),
            (None, _) => Err(EngineError::Bad("another program asked this")),
        }
    }

    fn is_unattended(&self, id: RequestId) -> bool {
        !self.live.is_held(id) && !self.waiters.has_any_asker(id)
    }

    /// Withdraws questions of programs that nobody waits for, where there are too many of them: the
    /// oldest one of the source that left the most.
    pub(super) fn thin_out(&mut self, turn: &mut Turn) {
        loop {
            let waits = |request: &&Request| turn.askers.iter().any(|(id, _)| *id == request.id);
            let open = self.live.open_requests_of(None).filter(|request| request.is_open());
            let left = open.filter(|request| !waits(request)).map(|request| request.id);
            let left: Vec<_> = left.filter(|id| self.is_unattended(*id)).collect();
            if left.len() <= UNATTENDED_OF_PROGRAMS {
                return;
            }
            let mut oldest: HashMap<Source, (usize, RequestId)> = HashMap::new();
            for id in left {
                let (count, _) = oldest.entry(self.pace.source_of(id)).or_insert((0, id));
                *count += 1;
            }
            let most = oldest.into_values().max_by_key(|(count, id)| (*count, -id.0));
            let Some((_, id)) = most else { return };
            let why = "nobody waits for the answer, and too many such questions are open";
            self.withdraw_request(id, why, turn);
        }
    }
}

/// Returns whether a program's question is that of the one who comes.
pub(super) fn is_for(row: &RequestRow, lineage: Option<&Lineage>) -> bool {
    match (&row.asked_for, lineage) {
        (Some(asked), Some(lineage)) => lineage.speaks_for(asked),
        (None, _) | (_, None) => false,
    }
}
