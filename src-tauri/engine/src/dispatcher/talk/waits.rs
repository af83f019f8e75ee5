//! Waiting for a signal: how a wait begins, and each way in which it ends.

use std::time::Instant;

use nod_core::access::Actor;
use nod_core::ids::{OperationId, TaskId, Timestamp};
use nod_core::protocol::{Await, Reply, WaitEnd, check_key};

use super::super::Dispatcher;
use super::super::message::ReplyTo;
use super::super::questions::ASKER_GRACE;
use super::super::turn::Turn;
use super::WAITS_LIMIT;
use crate::error::EngineError;
use crate::store::{OperationResult, TalkChange, WaitRow};

impl Dispatcher {
    pub(in crate::dispatcher) fn await_signal(
        &mut self,
        actor: &Actor,
        wait: Await,
        reply: ReplyTo,
        turn: &mut Turn,
    ) {
        match self.begin_wait(actor, wait, turn) {
            Ok(Ok(end)) => turn.replies.push((reply, Ok(Reply::Awaited { end }))),
            Ok(Err(operation)) => turn.waiting.push((operation, reply)),
            Err(error) => turn.replies.push((reply, Err(error))),
        }
    }

    /// Returns how the wait ended, or the operation under which it goes on.
    fn begin_wait(
        &mut self,
        actor: &Actor,
        wait: Await,
        turn: &mut Turn,
    ) -> Result<Result<WaitEnd, OperationId>, EngineError> {
        let id = self.calling_task(actor)?;
        check_key(&wait.key)?;
        match self.operation(&wait.operation)? {
            Some(OperationResult::Awaited { task, end }) if task == id => return Ok(Ok(end)),
            Some(_) => return Err(EngineError::OperationReused(wait.operation.0)),
            None => {}
        }
        let of = self.talking.tasks.entry(id).or_default();
        let known = of.waits.contains_key(&wait.operation.0);
        if !known && of.waits.len() >= WAITS_LIMIT {
            return Err(EngineError::Busy("100 waits of this task are open already"));
        }
        if let Some(at) = of.signals.iter().position(|signal| signal.key == wait.key) {
            let signal = of.signals.remove(at);
            turn.talk(TalkChange::Taken(signal.id));
            let end = WaitEnd::Signal { data: signal.data };
            self.end_wait(id, &wait.operation, end.clone(), turn);
            // Others that were waiting when it came, and are not back yet, get it as well.
            self.end_waits(
                id,
                turn,
                |row| row.key == signal.key && row.began_at <= signal.at,
                &end,
            );
            return Ok(Ok(end));
        }
        if known {
            return Ok(Err(wait.operation));
        }
        if wait.timeout_ms == Some(0) {
            return Ok(Ok(WaitEnd::Expired));
        }
        let row = WaitRow {
            operation: wait.operation.clone(),
            task: id,
            key: wait.key,
            began_at: turn.now,
            expires_at: wait.timeout_ms.map(|limit| turn.now.plus(limit)),
            resume_at: wait.resume_at,
        };
        turn.talk(TalkChange::Waits(row.clone()));
        turn.durable = true;
        self.talking.put_wait(row);
        Ok(Err(wait.operation))
    }

    /// Ends the waits of a task that `which` picks, all in the same way.
    pub(super) fn end_waits(
        &mut self,
        id: TaskId,
        turn: &mut Turn,
        which: impl Fn(&WaitRow) -> bool,
        end: &WaitEnd,
    ) {
        let Some(of) = self.talking.tasks.get(&id) else { return };
        let picked = of.waits.values().filter(|row| which(row));
        let operations: Vec<_> = picked.map(|row| row.operation.clone()).collect();
        for operation in operations {
            self.end_wait(id, &operation, end.clone(), turn);
        }
    }

    pub(super) fn end_wait(
        &mut self,
        task: TaskId,
        operation: &OperationId,
        end: WaitEnd,
        turn: &mut Turn,
    ) {
        if self.talking.take_wait(task, &operation.0).is_some() {
            turn.talk(TalkChange::WaitsNoMore(operation.clone()));
        }
        let result = OperationResult::Awaited { task, end: end.clone() };
        turn.operation(&mut self.live, operation.clone(), result);
        turn.woken.push((operation.clone(), end));
        turn.durable = true;
    }

    /// Moves the ends of waits along with a clock that was set.
    pub(in crate::dispatcher) fn move_waits(&mut self, jump: i64, turn: &mut Turn) {
        let ends = std::mem::take(&mut self.talking.ends);
        for (_, operation, task) in &ends {
            let of = self.talking.tasks.get_mut(task);
            let Some(mut row) = of.and_then(|of| of.waits.remove(operation)) else { continue };
            let moved = |at: Option<Timestamp>| at.map(|at| at.moved(jump));
            (row.expires_at, row.resume_at) = (moved(row.expires_at), moved(row.resume_at));
            turn.talk(TalkChange::WaitsNoMore(row.operation.clone()));
            turn.talk(TalkChange::Waits(row.clone()));
            self.talking.put_wait(row);
        }
    }

    /// Ends what ends by itself, and forgets the waits that nobody came back for.
    pub(in crate::dispatcher) fn end_due_waits(&mut self, turn: &mut Turn) {
        while let Some((at, operation, task)) =
            self.talking.ends.first().filter(|(at, ..)| *at <= turn.now).cloned()
        {
            let of = self.talking.tasks.get(&task);
            let row = of.and_then(|of| of.waits.get(&operation));
            let resumed = row.is_some_and(|row| row.resume_at == Some(at));
            let end = if resumed { WaitEnd::Resumed } else { WaitEnd::Expired };
            self.end_wait(task, &OperationId(operation), end, turn);
        }
        let waiting = &self.talking.waiting;
        let is_back = |operation: &OperationId| {
            let back = waiting.get(operation);
            back.is_some_and(|back| back.iter().any(|reply| !reply.is_closed()))
        };
        self.talking.orphans.retain(|operation, _| !is_back(operation));
        let now = Instant::now();
        let due = |(operation, (task, until)): (&OperationId, &(TaskId, Instant))| {
            (*until <= now).then(|| (operation.clone(), *task))
        };
        let due: Vec<_> = self.talking.orphans.iter().filter_map(due).collect();
        for (operation, task) in due {
            self.talking.orphans.remove(&operation);
            if turn.waiting.iter().all(|(waiting, _)| *waiting != operation)
                && self.talking.take_wait(task, &operation.0).is_some()
            {
                self.talking.waiting.remove(&operation);
                turn.talk(TalkChange::WaitsNoMore(operation));
            }
        }
    }

    /// Notes that one who waits is gone. It may be back in a moment.
    pub(in crate::dispatcher) fn waiter_gone(&mut self, operation: &OperationId) {
        let task = self.talking.tasks.iter().find(|(_, of)| of.waits.contains_key(&operation.0));
        if let Some(task) = task.map(|(id, _)| *id) {
            let until = Instant::now() + ASKER_GRACE;
            self.talking.orphans.entry(operation.clone()).or_insert((task, until));
        }
    }

    /// Ends the waits of a try that is over; signals and messages are kept for the next.
    pub(in crate::dispatcher) fn end_waits_of_try(&mut self, id: TaskId, turn: &mut Turn) {
        let waits = self.talking.tasks.get(&id).into_iter().flat_map(|of| of.waits.values());
        let operations: Vec<_> = waits.map(|row| row.operation.clone()).collect();
        for operation in operations {
            if self.talking.take_wait(id, &operation.0).is_some() {
                turn.talk(TalkChange::WaitsNoMore(operation.clone()));
                turn.deaf.push(operation);
            }
        }
        turn.over.push(id);
    }
}
