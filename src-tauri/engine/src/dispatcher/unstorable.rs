//! Turns that the history refuses, and would refuse for ever.
//!
//! A full disk passes; a row that breaks a constraint does not. What such a
//! turn has taken in is decided and stored again, each thing by itself: a call
//! that is refused by itself is told so and has not happened, and everything
//! else goes on. What nobody called for is looked for in the rows: a task whose
//! own are refused is settled as lost, with the reason.

use std::collections::BTreeSet;

use nod_core::ids::{OperationId, RequestId, TaskId};
use nod_core::transition::{Effect, Input};

use super::message::{Incoming, Said};
use super::turn::Turn;
use super::{Dispatcher, FOLLOWING, Heard, Numbers, Refused, Taken, UNDONE, answer, unstored};
use crate::clock;
use crate::error::EngineError;
use crate::store::{Commit, OperationResult, StoreError, TalkChange};

impl Dispatcher {
    /// Decides again, each thing by itself, what a turn had taken in that was refused for good.
    pub(super) fn settle_each(&mut self, taken: Taken) {
        self.pass_over_numbers();
        for heard in taken.heard {
            self.hear_alone(heard);
        }
        for call in taken.calls {
            self.decide_alone(call);
        }
        let mut is_done = true;
        for step in UNDONE.iter().chain(&FOLLOWING) {
            let mut turn = Turn::new(clock::now());
            step(self, &mut turn);
            self.settle_ends(&mut turn);
            if let Err(refused) = self.store(turn) {
                is_done = false;
                if refused.error.is_lasting() {
                    self.give_up_on(*refused);
                }
            }
        }
        // What was in the way of a step is out of it when that is taken again.
        self.stuck = !is_done || !self.again.is_empty();
    }

    fn decide_alone(&mut self, call: Incoming) {
        let mut turn = Turn::new(clock::now());
        self.decide_call(call, &mut turn);
        self.settle_ends(&mut turn);
        if let Err(refused) = self.store(turn) {
            tracing::error!("the history refuses a call: {}", refused.error);
            unstored::refuse(refused.turn, refused.error);
        }
    }

    fn hear_alone(&mut self, heard: Heard) {
        let (id, attempt, said) = heard.clone();
        let mut turn = Turn::new(clock::now());
        self.decide_shim(id, attempt, said, &mut turn);
        self.settle_ends(&mut turn);
        let Err(refused) = self.store(turn) else { return };
        if !refused.error.is_lasting() {
            self.again.push(heard);
            return;
        }
        let mut culprits = self.culprits(&refused.commit);
        if culprits.is_empty() {
            culprits.push((id, refused.error));
        }
        if culprits.iter().all(|(culprit, _)| *culprit != id) {
            // Something that follows from it was in its way.
            self.again.push(heard.clone());
        }
        for (culprit, error) in culprits {
            let of_it = (culprit == id).then(|| heard.clone());
            self.settle_unstorable(culprit, &error, of_it);
        }
    }

    /// Settles what keeps something from ever being stored that happens by itself.
    fn give_up_on(&mut self, refused: Refused) {
        let Refused { turn, commit, .. } = refused;
        for (id, error) in self.culprits(&commit) {
            self.settle_unstorable(id, &error, None);
        }
        for row in commit.requests.iter().filter(|row| row.request.task.is_none()) {
            let id = row.request.id;
            let audit = commit.audit.iter().filter(|row| row.request == Some(id));
            let (requests, audit) = (vec![row.clone()], audit.cloned().collect());
            if let Some(error) = self.refusal(&Commit { requests, audit, ..Commit::default() }) {
                self.forget_question(id, &error);
            }
        }
        for row @ (operation, _, result) in &commit.operations {
            let part = Commit { operations: vec![row.clone()], ..Commit::default() };
            if let OperationResult::Awaited { task, .. } = result
                && let Some(error) = self.refusal(&part)
            {
                self.forget_wait(*task, operation, &error);
            }
        }
        let guards = Commit { rules: commit.rules.clone(), ..Commit::default() };
        if let Some(error) = self.refusal(&guards) {
            tracing::error!("what the config file asks for cannot be recorded: {error}");
            // It holds all the same, and the next host finds it in the file.
            turn.rules.into_iter().for_each(|book| self.rules.set(book));
            self.unstored_guards = None;
        }
        let clock = Commit { clock: commit.clock.clone(), ..Commit::default() };
        if let Some(error) = self.refusal(&clock) {
            tracing::error!("how the clock stands cannot be recorded: {error}");
            self.steady.settled();
        }
    }

    /// Returns why a part of a turn would be refused for ever.
    fn refusal(&mut self, part: &Commit) -> Option<StoreError> {
        self.store.would_write(part).err().filter(StoreError::is_lasting)
    }

    /// Leaves a question to the next host of which nothing can be stored.
    fn forget_question(&mut self, id: RequestId, error: &StoreError) {
        tracing::error!(request = id.0, "what became of a question cannot be recorded: {error}");
        self.live.forget_request(id);
        self.orphans.retain(|_, (request, _)| *request != id);
        self.pace.closed(id);
        for reply in self.waiters.forget(id) {
            let why = "what became of the question cannot be recorded";
            answer(reply, Err(EngineError::Bad(why)));
        }
    }

    /// Ends a wait of which it cannot be stored how it ended.
    fn forget_wait(&mut self, task: TaskId, operation: &OperationId, error: &StoreError) {
        tracing::error!(task = task.0, "the end of a wait cannot be recorded: {error}");
        for reply in self.talking.forget_wait(task, operation) {
            answer(reply, Err(EngineError::Bad("the end of the wait cannot be recorded")));
        }
    }

    /// Goes on after the numbers that the history has used already, whoever gave them.
    fn pass_over_numbers(&mut self) {
        match self.readers.lend().and_then(|reader| reader.last_numbers()) {
            Ok((task, request, event)) => self.live.catch_up(Numbers { task, request, event }),
            Err(error) => tracing::error!("failed to read the last numbers: {error}"),
        }
    }

    /// Returns the tasks whose part of the commit is refused by itself, and why.
    fn culprits(&mut self, commit: &Commit) -> Vec<(TaskId, StoreError)> {
        let mut culprits = Vec::new();
        for id in tasks_of(commit) {
            let refusal = self.refusal(&part_of(commit, id));
            culprits.extend(refusal.map(|error| (id, error)));
        }
        culprits
    }

    /// Settles a task as lost; after that, what was heard of it is of no use.
    fn settle_unstorable(&mut self, id: TaskId, error: &StoreError, heard: Option<Heard>) {
        tracing::error!(task = id.0, "the history refuses what became of it: {error}");
        let Some(live) = self.live.task(id) else { return };
        let attempt = live.task().attempt;
        let mut turn = Turn::new(clock::now());
        turn.durable = true;
        let why = format!("what became of it cannot be recorded: {error}");
        if let Err(rejected) = self.advance(id, Input::Unstorable { why }, &mut turn) {
            tracing::error!(task = id.0, "it cannot be settled: {rejected}");
            return;
        }
        if matches!(heard, Some((_, _, Said::Gone { .. }))) {
            turn.effects.push((id, attempt, Effect::Sweep));
        }
        self.settle_ends(&mut turn);
        let (mut commit, events) = turn.commit(&self.live);
        commit.history = Some(self.steady.history());
        self.cards.hide(&turn);
        match self.store.write(&commit) {
            Ok(()) => {
                self.live.keep();
                self.unstored_cancels.remove(&id);
                self.act(turn, events);
            }
            // Tried again with the next turn.
            Err(error) if !error.is_lasting() => {
                self.live.undo();
                self.cards.forget(&turn);
                self.again.extend(heard);
            }
            Err(error) => {
                tracing::error!(
                    task = id.0,
                    "nothing of it can be recorded until the next start: {error}"
                );
                self.live.undo();
                self.cards.forget(&turn);
                self.forget(id, turn);
            }
        }
    }

    /// Goes on without a task of which nothing at all can be stored: it holds up nobody else.
    fn forget(&mut self, id: TaskId, turn: Turn) {
        self.live.forget(id);
        self.unstored_cancels.remove(&id);
        self.typing.end(id);
        self.outputs.end(id);
        self.tokens.revoke(id);
        self.board.forget(id);
        for (id, attempt, effect) in turn.effects {
            self.effects.carry_out(id, attempt, &effect);
        }
        for reply in self.waiters.ends.remove(&id).unwrap_or_default() {
            answer(reply, Err(EngineError::Bad("nothing of the task can be recorded any more")));
        }
    }
}

/// Returns the tasks that a commit has something of.
fn tasks_of(commit: &Commit) -> BTreeSet<TaskId> {
    let rows = commit.tasks.iter().chain(&commit.new_tasks).chain(&commit.edited);
    let mut tasks: BTreeSet<_> = rows.map(|row| row.task.id).collect();
    tasks.extend(commit.attempts.iter().map(|row| row.task));
    tasks.extend(commit.requests.iter().filter_map(|row| row.request.task));
    tasks.extend(commit.events.iter().filter_map(|row| row.task));
    tasks.extend(commit.tails.iter().map(|(id, _)| *id));
    tasks
}

/// Returns what a commit has of one task.
fn part_of(commit: &Commit, id: TaskId) -> Commit {
    fn of<T: Clone>(all: &[T], is_its: impl Fn(&T) -> bool) -> Vec<T> {
        all.iter().filter(|it| is_its(it)).cloned().collect()
    }
    Commit {
        environments: commit.environments.clone(),
        new_tasks: of(&commit.new_tasks, |row| row.task.id == id),
        tasks: of(&commit.tasks, |row| row.task.id == id),
        edited: of(&commit.edited, |row| row.task.id == id),
        reopened: of(&commit.reopened, |reopened| *reopened == id),
        removed: of(&commit.removed, |removed| *removed == id),
        attempts: of(&commit.attempts, |row| row.task == id),
        requests: of(&commit.requests, |row| row.request.task == Some(id)),
        audit: of(&commit.audit, |row| row.task == Some(id)),
        events: of(&commit.events, |row| row.task == Some(id)),
        tails: of(&commit.tails, |(task, _)| *task == id),
        talk: of(&commit.talk, |change| task_of(change) == Some(id)),
        ..Commit::default()
    }
}

fn task_of(change: &TalkChange) -> Option<TaskId> {
    match change {
        TalkChange::Kept(row) => Some(row.task),
        TalkChange::Waits(row) => Some(row.task),
        TalkChange::Notice(row) => Some(row.task),
        TalkChange::Message(id, _) | TalkChange::Seen(id, _) | TalkChange::Over(id) => Some(*id),
        TalkChange::Taken(_) | TalkChange::WaitsNoMore(_) => None,
    }
}
