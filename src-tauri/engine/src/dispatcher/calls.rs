//! Deciding on what callers want.

use nod_core::access::{Actor, Refusal};
use nod_core::ids::{OperationId, RequestId, TaskId};
use nod_core::progress::Progress;
use nod_core::protocol::Reply;
use nod_core::transition::Input;

use super::looking::Look;
use super::message::{Change, Incoming};
use super::turn::Turn;
use super::waiters::{Asker, Due, join};
use super::{Dispatcher, answer};
use crate::error::EngineError;
use crate::store::OperationResult;

/// What a decision says to its caller: now, or later when a question is closed.
pub(super) enum Said {
    Now(Reply),
    OnClosing(RequestId),
    OnEnd(TaskId),
}

impl Dispatcher {
    pub(super) fn decide_call(&mut self, incoming: Incoming, turn: &mut Turn) {
        let Incoming { actor, change, reply } = incoming;
        let (mut resume, mut asked) = (None, None);
        let said = match change {
            Change::Submit(new) => self.submit(&actor, *new, turn).map(|(id, known)| {
                let gated = self.is_gated(id);
                Said::Now(Reply::Submitted { id, known, gated, note: None })
            }),
            Change::SubmitMany(all) => Ok(Said::Now(self.submit_many(&actor, all, turn))),
            Change::Cancel { operation, id } => self.cancel(actor, operation, id, turn),
            Change::Pause { operation, id, paused } => self.pause(operation, id, paused, turn),
            Change::Input(typed, by) => return self.type_in((&actor, by), typed, reply, turn),
            Change::Resize { id, columns, rows } => self.resize(id, columns, rows, turn),
            Change::Progress(progress) => return answer(reply, self.report(&actor, progress)),
            Change::Ask(ask, program) => {
                resume = ask.resume;
                asked = Some(ask.operation.clone());
                self.ask(&actor, *ask, program, turn)
            }
            Change::MayAsk(operation, source) => self.may_ask(&actor, &operation, source, turn),
            Change::AwaitAnswer(wait, lineage) => {
                resume = wait.resume;
                self.await_answer(&actor, lineage.as_ref(), wait.request)
            }
            Change::Withdraw(operation, lineage) => {
                self.withdraw((&actor, lineage.as_ref()), &operation, turn)
            }
            Change::Answer(answering) => self.answer(actor, *answering, turn),
            Change::Wait(id) => self.wait(id),
            Change::Await(wait) => return self.await_signal(&actor, wait, reply, turn),
            Change::Inbox(read) => return self.inbox(&actor, &read, reply, turn),
            Change::Notify(notify) => self.notify(notify, turn),
            Change::Feedback(feedback) => self.feedback(actor, feedback, turn),
            Change::Tell(tell) => self.tell_agent(&actor, tell, turn),
            Change::SayOutcome(say) => self.say_outcome(&actor, say, turn),
            Change::IsCancelled => self.is_cancelled(&actor),
            Change::Rules => return turn.looks.push((reply, Look::Rules)),
            Change::AddRule(operation, rule) => self.add_rule(actor, operation, *rule, turn),
            Change::RevokeRule(operation, id) => self.revoke_rule(actor, operation, id, turn),
            Change::ConfirmLoosening(operation, shown, shown_ms) => {
                self.confirm_loosening(actor, operation, (&shown, shown_ms), turn)
            }
            Change::AllowButtons(operation, on) => self.allow_buttons(actor, operation, on, turn),
            Change::CancelMany { operation, which } => {
                self.cancel_many(&actor, operation, &which, turn)
            }
            Change::Edit(edit) => self.edit(&actor, *edit, turn),
            Change::Retry { operation, id } => self.retry(&actor, operation, id, turn),
            Change::Remove { operation, id, session } => {
                self.remove(&actor, operation, (id, session), turn)
            }
            Change::Deadline { operation, id, timeout_ms } => {
                self.move_deadline(&actor, operation, (id, timeout_ms), turn)
            }
            Change::Groups => return turn.looks.push((reply, Look::Groups)),
            Change::Group { operation, name, change } => {
                self.change_group(operation, name, change, turn)
            }
        };
        let resume = resume.map(|resume| Due::of(resume, turn.now));
        self.say(said, Asker { reply, operation: asked, resume }, turn);
    }

    fn say(&mut self, said: Result<Said, EngineError>, asker: Asker, turn: &mut Turn) {
        match said {
            Ok(Said::Now(now)) => turn.replies.push((asker.reply, Ok(now))),
            Ok(Said::OnClosing(request)) => self.say_on_closing(request, asker, turn),
            Ok(Said::OnEnd(id)) => join(self.waiters.ends.entry(id).or_default(), asker.reply),
            Err(error) => turn.replies.push((asker.reply, Err(error))),
        }
    }

    fn cancel(
        &mut self,
        by: Actor,
        operation: OperationId,
        id: TaskId,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        let known = self.operation(&operation)?;
        if known.as_ref().is_some_and(|known| *known != OperationResult::Cancelled { id }) {
            return Err(EngineError::OperationReused(operation.0));
        }
        if known.is_none() {
            if let Actor::Task { .. } = by {
                self.calling_task(&by)?;
            }
            if self.live.task(id).is_none() {
                return Err(self.not_live(id, "there is nothing to cancel"));
            }
            self.advance(id, Input::CancelRequested { by }, turn)?;
            turn.operation(&mut self.live, operation, OperationResult::Cancelled { id });
            turn.durable = true;
        }
        let task = match self.live.task(id) {
            Some(live) => live.task().clone(),
            None => self.stored_task(id)?,
        };
        Ok(Said::Now(Reply::Cancelling { task: Box::new(task) }))
    }

    /// Takes in what a task says of itself, which no turn has to store.
    fn report(&mut self, actor: &Actor, progress: Progress) -> Result<Reply, EngineError> {
        let id = self.calling_task(actor)?;
        self.note_progress(id, progress);
        Ok(Reply::Done)
    }

    /// Takes in a progress from whatever source.
    pub(super) fn note_progress(&mut self, id: TaskId, progress: Progress) {
        let Some(live) = self.live.task(id) else { return };
        if !live.task().state.holds_slot() {
            return;
        }
        if let Some(merged) = Progress::merged(live.task().progress.as_ref(), progress) {
            self.live.set_progress(id, merged);
            self.board.changed(id, std::time::Instant::now());
        }
    }

    /// Returns what an operation came to, if it was carried out before.
    pub(super) fn operation(
        &self,
        id: &OperationId,
    ) -> Result<Option<OperationResult>, EngineError> {
        let known = self.live.operation(id).cloned();
        if known.is_some() || !self.live.has_forgotten_operations() {
            return Ok(known);
        }
        Ok(self.readers.lend()?.operation(id)?)
    }

    fn wait(&self, id: TaskId) -> Result<Said, EngineError> {
        if self.live.task(id).is_some() {
            return Ok(Said::OnEnd(id));
        }
        Ok(Said::Now(Reply::Ended { task: Box::new(self.stored_task(id)?) }))
    }

    pub(super) fn calling_task(&self, actor: &Actor) -> Result<TaskId, EngineError> {
        match actor {
            Actor::Task { id, attempt } => {
                let live = self.live.task(*id).ok_or(EngineError::TaskNotFound(*id))?;
                let task = live.task();
                // A connection outlives the process that made it, and its try.
                let speaks = attempt.is_none_or(|attempt| attempt == task.attempt);
                if speaks && task.state.holds_slot() {
                    return Ok(*id);
                }
                Err(EngineError::Refused(Refusal::EarlierTry(*id)))
            }
            Actor::Person { .. } | Actor::Peer { .. } | Actor::Host => {
                Err(EngineError::Bad("only a running task can do this"))
            }
        }
    }

    pub(super) fn not_live(&self, id: TaskId, hint: &'static str) -> EngineError {
        match self.stored_task(id) {
            Ok(task) => EngineError::WrongState { id, state: task.state.words(), hint },
            Err(error) => error,
        }
    }
}
