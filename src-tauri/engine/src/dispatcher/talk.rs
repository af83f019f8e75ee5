//! How tasks wait for signals, take in messages, and speak for themselves.
//!
//! A signal goes to everyone who waits for its key, or is kept for the next
//! who does. Who waits is known by its operation, across hosts: a signal that
//! comes while a waiter has lost its host is kept until that one is back.

mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use nod_core::access::Actor;
use nod_core::ids::{OperationId, TaskId, Timestamp};
use nod_core::protocol::{
    Feedback, InboxMessage, Notify, ReadInbox, Reply, SayOutcome, Tell, WaitEnd, check_data,
    check_key, check_text,
};
use nod_core::task::{TaskSaid, TaskState};

use super::calls::Said;
use super::message::ReplyTo;
use super::turn::Turn;
use super::waiters::join;
use super::{Dispatcher, answer};
use crate::error::EngineError;
use crate::store::{NoticeRow, OperationResult, SignalRow, Talk, TalkChange, WaitRow};

/// How much is kept for one task that takes nothing.
const SIGNALS_LIMIT: usize = 100;
const MESSAGES_LIMIT: usize = 1_000;
const WAITS_LIMIT: usize = 100;

/// How many messages one reply holds at the most.
const PAGE: usize = 32;

/// What is still to be handed over to one task.
#[derive(Debug, Default)]
struct OfTask {
    signals: Vec<SignalRow>,
    waits: BTreeMap<String, WaitRow>,
    messages: Vec<InboxMessage>,
}

/// What is still to be handed over, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Talking {
    tasks: BTreeMap<TaskId, OfTask>,
    ends: BTreeSet<(Timestamp, String, TaskId)>,
    last_signal: i64,
    last_message: i64,
    /// Whoever waits on a connection, by the operation of the wait.
    waiting: HashMap<OperationId, Vec<ReplyTo>>,
    reading: HashMap<TaskId, Vec<ReplyTo>>,
    /// Waits whose connections are gone, and until when they may come back.
    orphans: HashMap<OperationId, (TaskId, Instant)>,
}

impl Talking {
    pub(crate) fn new(talk: Talk, grace: Duration) -> Self {
        let until = Instant::now() + grace;
        let mut talking = Self::default();
        talking.load(talk);
        talking.orphans = talking
            .tasks
            .iter()
            .flat_map(|(id, of)| {
                of.waits.values().map(|wait| (wait.operation.clone(), (*id, until)))
            })
            .collect();
        talking
    }

    /// Takes over what the store says; who waits on a connection goes on waiting.
    fn load(&mut self, talk: Talk) {
        self.tasks.clear();
        self.ends.clear();
        (self.last_signal, self.last_message) = (talk.last_signal, talk.last_message);
        for row in talk.signals {
            self.tasks.entry(row.task).or_default().signals.push(row);
        }
        for row in talk.waits {
            self.put_wait(row);
        }
        for (task, message) in talk.messages {
            self.tasks.entry(task).or_default().messages.push(message);
        }
    }

    /// Returns when something ends by itself.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.ends.first().map(|(at, ..)| *at)
    }

    /// Returns when a wait is given up whose connection is gone.
    pub(super) fn next_lost(&self) -> Option<Instant> {
        self.orphans.values().map(|(_, until)| *until).min()
    }

    fn put_wait(&mut self, row: WaitRow) {
        if let Some(at) = end_of(&row) {
            self.ends.insert((at, row.operation.0.clone(), row.task));
        }
        self.tasks.entry(row.task).or_default().waits.insert(row.operation.0.clone(), row);
    }

    fn take_wait(&mut self, task: TaskId, operation: &str) -> Option<WaitRow> {
        let row = self.tasks.get_mut(&task)?.waits.remove(operation)?;
        if let Some(at) = end_of(&row) {
            self.ends.remove(&(at, operation.to_owned(), task));
        }
        self.orphans.remove(&row.operation);
        Some(row)
    }

    /// Forgets a wait, and returns who waits on a connection for its end.
    pub(super) fn forget_wait(&mut self, task: TaskId, operation: &OperationId) -> Vec<ReplyTo> {
        self.take_wait(task, &operation.0);
        self.waiting.remove(operation).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn readers_of(&self, task: TaskId) -> usize {
        self.reading.get(&task).map_or(0, Vec::len)
    }

    fn is_waited_for(&self, operation: &OperationId) -> bool {
        let waiting = self.waiting.get(operation);
        waiting.is_some_and(|waiting| waiting.iter().any(|reply| !reply.is_closed()))
    }
}

/// Returns when a wait ends by itself.
fn end_of(row: &WaitRow) -> Option<Timestamp> {
    [row.expires_at, row.resume_at].into_iter().flatten().min()
}

impl Dispatcher {
    pub(super) fn notify(&mut self, notify: Notify, turn: &mut Turn) -> Result<Said, EngineError> {
        check_key(&notify.key)?;
        check_data(&notify.data)?;
        if let Some(known) = self.operation(&notify.operation)? {
            let OperationResult::Notified { woken, kept } = known else {
                return Err(EngineError::OperationReused(notify.operation.0));
            };
            return Ok(Said::Now(Reply::Notified { woken, kept }));
        }
        let id = notify.id;
        if self.live.task(id).is_none() {
            return Err(self.not_live(id, "it takes no signal any more"));
        }
        let of = self.talking.tasks.entry(id).or_default();
        let of_key = of.waits.values().filter(|row| row.key == notify.key);
        let present: Vec<_> = of_key.map(|row| row.operation.clone()).collect();
        let is_new = |operation: &OperationId| {
            turn.waiting.iter().any(|(waiting, reply)| waiting == operation && !reply.is_closed())
        };
        let present =
            present.iter().filter(|it| self.talking.is_waited_for(it) || is_new(it)).count();
        let woken = u32::try_from(present).unwrap_or(u32::MAX);
        if woken > 0 {
            let end = WaitEnd::Signal { data: notify.data };
            self.end_waits(id, turn, |row| row.key == notify.key, &end);
        } else {
            self.keep_signal(id, &notify, turn)?;
        }
        let kept = woken == 0;
        let what = if kept { "signal_kept" } else { "signal" };
        self.tell(id, what, notify.key, turn);
        turn.operation(&mut self.live, notify.operation, OperationResult::Notified { woken, kept });
        turn.durable = true;
        Ok(Said::Now(Reply::Notified { woken, kept }))
    }

    fn keep_signal(
        &mut self,
        task: TaskId,
        notify: &Notify,
        turn: &mut Turn,
    ) -> Result<(), EngineError> {
        let of = self.talking.tasks.entry(task).or_default();
        if of.signals.len() >= SIGNALS_LIMIT {
            return Err(EngineError::Busy(
                "100 signals wait for this task already: nobody takes them",
            ));
        }
        self.talking.last_signal += 1;
        let row = SignalRow {
            id: self.talking.last_signal,
            task,
            key: notify.key.clone(),
            data: notify.data.clone(),
            at: turn.now,
        };
        of.signals.push(row.clone());
        turn.talk(TalkChange::Kept(row));
        Ok(())
    }

    pub(super) fn feedback(
        &mut self,
        by: Actor,
        feedback: Feedback,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        check_text(&feedback.text)?;
        if self.is_told(&feedback.operation)? {
            return Ok(Said::Now(Reply::Done));
        }
        let id = feedback.id;
        if self.live.task(id).is_none() {
            return Err(self.not_live(id, "it reads no message any more"));
        }
        let of = self.talking.tasks.entry(id).or_default();
        if of.messages.len() >= MESSAGES_LIMIT {
            return Err(EngineError::Busy(
                "1000 messages wait for this task: it does not read them",
            ));
        }
        self.talking.last_message += 1;
        let message = InboxMessage {
            id: self.talking.last_message,
            at: turn.now,
            by,
            text: feedback.text.clone(),
            interrupt: feedback.interrupt,
        };
        of.messages.push(message.clone());
        turn.talk(TalkChange::Message(id, message));
        turn.read.insert(id);
        self.tell(id, "feedback", feedback.text.clone(), turn);
        if feedback.interrupt {
            let end = WaitEnd::Interrupted { text: feedback.text };
            self.end_waits(id, turn, |_| true, &end);
        }
        turn.operation(&mut self.live, feedback.operation, OperationResult::Told);
        turn.durable = true;
        Ok(Said::Now(Reply::Done))
    }

    pub(super) fn inbox(
        &mut self,
        actor: &Actor,
        read: &ReadInbox,
        reply: ReplyTo,
        turn: &mut Turn,
    ) {
        let id = match self.calling_task(actor) {
            Ok(id) => id,
            Err(error) => return turn.replies.push((reply, Err(error))),
        };
        let of = self.talking.tasks.entry(id).or_default();
        if let Some(seen) = read.seen {
            let before = of.messages.len();
            of.messages.retain(|message| message.id > seen);
            if of.messages.len() != before {
                turn.talk(TalkChange::Seen(id, seen));
                turn.durable = true;
            }
        }
        if of.messages.is_empty() && read.follow {
            turn.readers.push((id, reply));
        } else {
            let messages = of.messages.iter().take(PAGE).cloned().collect();
            turn.replies.push((reply, Ok(Reply::Inbox { messages })));
        }
    }

    pub(super) fn tell_agent(
        &mut self,
        actor: &Actor,
        tell: Tell,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let id = self.calling_task(actor)?;
        check_text(&tell.text)?;
        if self.is_told(&tell.operation)? {
            return Ok(Said::Now(Reply::Done));
        }
        self.leave_notice(id, (tell.text.clone(), tell.urgent), turn);
        self.tell(id, "told", tell.text, turn);
        turn.operation(&mut self.live, tell.operation, OperationResult::Told);
        turn.durable = true;
        Ok(Said::Now(Reply::Done))
    }

    /// Puts a notice into the outbox of a task's session.
    pub(super) fn leave_notice(
        &self,
        task: TaskId,
        (text, urgent): (String, bool),
        turn: &mut Turn,
    ) {
        let session = self.live.task(task).and_then(|live| live.task().session.clone());
        let at = turn.now;
        turn.talk(TalkChange::Notice(NoticeRow { session, task, at, urgent, text }));
    }

    pub(super) fn say_outcome(
        &mut self,
        actor: &Actor,
        say: SayOutcome,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let id = self.calling_task(actor)?;
        match &say.said {
            TaskSaid::Result { data, message } => {
                check_data(data)?;
                message.as_deref().map_or(Ok(()), check_text)?;
            }
            TaskSaid::Failed { message } => check_text(message)?,
        }
        if self.is_told(&say.operation)? {
            return Ok(Said::Now(Reply::Done));
        }
        let what = ("outcome_said", None);
        self.change_condition(id, what, turn, |condition| condition.said = Some(say.said));
        turn.operation(&mut self.live, say.operation, OperationResult::Told);
        turn.durable = true;
        Ok(Said::Now(Reply::Done))
    }

    pub(super) fn is_cancelled(&self, actor: &Actor) -> Result<Said, EngineError> {
        let id = self.calling_task(actor)?;
        let state = self.live.task(id).map(|live| &live.task().state);
        let cancelled = state.and_then(TaskState::cancelled_by).is_some();
        Ok(Said::Now(Reply::IsCancelled { cancelled }))
    }

    fn is_told(&self, operation: &OperationId) -> Result<bool, EngineError> {
        match self.operation(operation)? {
            Some(OperationResult::Told) => Ok(true),
            Some(_) => Err(EngineError::OperationReused(operation.0.clone())),
            None => Ok(false),
        }
    }

    /// Adds a line to the task's history.
    pub(super) fn tell(&mut self, id: TaskId, what: &str, words: String, turn: &mut Turn) {
        let Some(live) = self.live.task(id) else { return };
        let task = Box::new(live.task().clone());
        let change = nod_core::protocol::EventChange::Task { task };
        turn.event(&mut self.live, id, (what, Some(words)), change);
    }

    /// Forgets what was to be handed over to a task that has ended.
    pub(super) fn end_talk(&mut self, id: TaskId, turn: &mut Turn) {
        if let Some(of) = self.talking.tasks.remove(&id) {
            self.talking.ends.retain(|(_, _, task)| *task != id);
            for row in of.waits.into_values() {
                self.talking.orphans.remove(&row.operation);
                turn.deaf.push(row.operation);
            }
            turn.talk(TalkChange::Over(id));
        }
        turn.over.push(id);
    }

    /// Tells those who wait what has been stored.
    pub(super) fn hand_over(&mut self, turn: &mut Turn) {
        for (operation, reply) in turn.waiting.drain(..) {
            self.talking.orphans.remove(&operation);
            join(self.talking.waiting.entry(operation).or_default(), reply);
        }
        for (operation, end) in turn.woken.drain(..) {
            for reply in self.talking.waiting.remove(&operation).unwrap_or_default() {
                answer(reply, Ok(Reply::Awaited { end: end.clone() }));
            }
        }
        for (id, reply) in turn.readers.drain(..) {
            turn.read.insert(id);
            join(self.talking.reading.entry(id).or_default(), reply);
        }
        for id in std::mem::take(&mut turn.read) {
            let of = self.talking.tasks.get(&id);
            let messages: Vec<_> =
                of.into_iter().flat_map(|of| &of.messages).take(PAGE).cloned().collect();
            if messages.is_empty() {
                continue;
            }
            for reply in self.talking.reading.remove(&id).unwrap_or_default() {
                answer(reply, Ok(Reply::Inbox { messages: messages.clone() }));
            }
        }
        for operation in turn.deaf.drain(..) {
            for reply in self.talking.waiting.remove(&operation).unwrap_or_default() {
                answer(reply, Err(EngineError::TaskEnded));
            }
        }
        for id in turn.over.drain(..) {
            for reply in self.talking.reading.remove(&id).unwrap_or_default() {
                answer(reply, Err(EngineError::TaskEnded));
            }
        }
    }

    /// Goes back to what is on the disk, after a turn that could not be stored.
    pub(super) fn forget_unstored_talk(&mut self) {
        let read = self.readers.lend().and_then(|reader| reader.talk());
        match read {
            Ok(talk) => self.talking.load(talk),
            Err(error) => tracing::error!("failed to read what is to be handed over: {error}"),
        }
    }
}
