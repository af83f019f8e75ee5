//! Turns that the history refuses, and would refuse for ever.
//!
//! A full disk passes; a row that breaks a constraint does not. The tasks whose
//! rows are refused are looked for one by one and settled as lost, with the
//! reason, so that everything else goes on.

use std::collections::BTreeSet;

use nod_core::ids::TaskId;
use nod_core::transition::{Effect, Input};

use super::message::Said;
use super::turn::Turn;
use super::{Dispatcher, Heard, Numbers, answer};
use crate::clock;
use crate::error::EngineError;
use crate::store::{Commit, StoreError, TalkChange};

impl Dispatcher {
    /// Settles what keeps a turn from ever being stored, after it was taken back; returns what is
    /// still to be decided again of what was heard.
    pub(super) fn give_up_on(&mut self, commit: &Commit, heard: Vec<Heard>) -> Vec<Heard> {
        if self.numbers_were_behind() {
            return heard;
        }
        let mut heard = heard;
        for (id, error) in self.culprits(commit) {
            tracing::error!(task = id.0, "the history refuses what became of it: {error}");
            let (of_it, others): (Vec<_>, Vec<_>) = heard.into_iter().partition(|it| it.0 == id);
            heard = others;
            self.settle_unstorable(id, &error, &of_it);
        }
        heard
    }

    /// Returns whether numbers were given that the history has used already, and goes on after those.
    fn numbers_were_behind(&mut self) -> bool {
        match self.readers.lend().and_then(|reader| reader.last_numbers()) {
            Ok((task, request, event)) => self.live.catch_up(Numbers { task, request, event }),
            Err(error) => {
                tracing::error!("failed to read the last numbers: {error}");
                false
            }
        }
    }

    /// Returns the tasks whose part of the commit is refused by itself, and why.
    fn culprits(&mut self, commit: &Commit) -> Vec<(TaskId, StoreError)> {
        let mut culprits = Vec::new();
        for id in tasks_of(commit) {
            if let Err(error) = self.store.would_write(&part_of(commit, id))
                && error.is_lasting()
            {
                culprits.push((id, error));
            }
        }
        culprits
    }

    fn settle_unstorable(&mut self, id: TaskId, error: &StoreError, heard: &[Heard]) {
        let Some(live) = self.live.task(id) else { return };
        let attempt = live.task().attempt;
        let mut turn = Turn::new(clock::now());
        turn.durable = true;
        let why = format!("what became of it cannot be recorded: {error}");
        if let Err(rejected) = self.advance(id, Input::Unstorable { why }, &mut turn) {
            tracing::error!(task = id.0, "it cannot be settled: {rejected}");
            return;
        }
        if heard.iter().any(|(_, _, said)| matches!(said, Said::Gone { .. })) {
            turn.effects.push((id, attempt, Effect::Sweep));
        }
        self.settle_ends(&mut turn);
        let (commit, events) = turn.commit(&self.live);
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
