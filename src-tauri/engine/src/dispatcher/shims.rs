//! Deciding on what was heard of running attempts.

use nod_core::ids::{AttemptNumber, TaskId, Timestamp};
use nod_core::protocol::EventChange;
use nod_core::shim::{ProcessIdentity, Report, Status, ToShim};
use nod_core::task::{Task, TaskSaid, TaskState};
use nod_core::transition::{Effect, Input};

use super::message::Said;
use super::steady::as_of_now;
use super::turn::Turn;
use super::{Dispatcher, Heard};
use crate::store::AttemptRow;
use crate::{clock, process};

impl Dispatcher {
    /// Decides on what was heard, and keeps it in `heard` as far as it must be decided again where
    /// this turn cannot be stored.
    pub(super) fn hear(
        &mut self,
        (id, attempt, said): Heard,
        heard: &mut Vec<Heard>,
        turn: &mut Turn,
    ) {
        if let Said::Status(status) = &said
            && self.is_current(id, attempt)
        {
            // Told at once, and so only once.
            self.note_disk(id, status.disk_full);
        }
        if matches!(said, Said::Prompt(_)) {
            let earlier =
                |it: &Heard| (it.0, it.1) == (id, attempt) && matches!(it.2, Said::Prompt(_));
            heard.retain(|it| !earlier(it));
        }
        if said.is_kept() {
            heard.push((id, attempt, said.clone()));
        }
        self.decide_shim(id, attempt, said, turn);
    }

    /// Returns whether the attempt is the one that is going on.
    fn is_current(&self, id: TaskId, attempt: AttemptNumber) -> bool {
        let current = self.live.task(id).filter(|live| live.task().state.holds_slot());
        let current = current.and_then(|live| live.attempt.as_ref());
        current.is_some_and(|current| current.number == attempt)
    }

    pub(super) fn decide_shim(
        &mut self,
        id: TaskId,
        attempt: AttemptNumber,
        said: Said,
        turn: &mut Turn,
    ) {
        if !self.is_current(id, attempt) {
            // Its end is in the history already, or the attempt was given up.
            if matches!(said, Said::Ended { .. }) {
                turn.effects.push((id, attempt, Effect::Acknowledge));
            }
            return;
        }
        let Some(input) = self.input_of(id, attempt, said, turn) else { return };
        if let Err(rejected) = self.advance(id, input, turn) {
            tracing::warn!(task = id.0, "what a shim said does not fit: {rejected}");
        }
    }

    /// Takes in what was heard, and returns what that means for the task's state; nothing where it
    /// means nothing.
    fn input_of(
        &mut self,
        id: TaskId,
        attempt: AttemptNumber,
        said: Said,
        turn: &mut Turn,
    ) -> Option<Input> {
        let input = match said {
            Said::Status(status) => {
                self.adopted(id, attempt, *status, turn);
                return None;
            }
            said @ (Said::Progress(_)
            | Said::DiskFull(_)
            | Said::Unbounded
            | Said::Unanswering { .. }
            | Said::Prompt(_)
            | Said::InputLost(_)
            | Said::Typed(_)
            | Said::Exited { .. }
            | Said::Files { .. }) => {
                self.note_said(id, said, turn);
                return None;
            }
            Said::Started { process, at } => {
                self.started(id, process, at, turn);
                self.room.worked();
                Input::Started
            }
            Said::Stopping { stage, terminated: true, .. } => Input::ShimTerminated { stage },
            Said::Stopping { cause, stage, terminated: false } => Input::Stopping { cause, stage },
            Said::Ended { report, .. } if report.no_room => {
                turn.effects.push((id, attempt, Effect::Acknowledge));
                self.no_room(id, report.spawn_error, turn);
                Input::NeverStarted
            }
            Said::Ended { report, tail } => self.ended(id, report, tail, turn),
            Said::Gone { why } => {
                turn.durable = true;
                Input::Vanished { why }
            }
            Said::StartFailed { error } => {
                turn.durable = true;
                Input::StartFailed { error }
            }
            Said::NeverStarted => Input::NeverStarted,
            Said::NoRoom { error } => {
                self.no_room(id, Some(error), turn);
                Input::NeverStarted
            }
        };
        Some(input)
    }

    /// Takes in what changes no state.
    fn note_said(&mut self, id: TaskId, said: Said, turn: &mut Turn) {
        match said {
            Said::Progress(progress) => self.note_progress(id, progress),
            Said::DiskFull(full) => self.note_disk(id, full),
            Said::Unbounded => self.note_unbounded(id, turn),
            Said::Unanswering { what } => self.tell_task(id, ("shim_silent", Some(what)), turn),
            Said::Prompt(prompt) => self.note_prompt(id, prompt, turn),
            Said::InputLost(bytes) => {
                let detail = Some(format!("{bytes} bytes: the task does not read its input"));
                self.tell_task(id, ("input_lost", detail), turn);
            }
            Said::Typed(typed) => self.typing.taken(id, typed),
            Said::Exited { status, at } => self.change_attempt(id, |row| {
                row.exit = Some(status);
                row.exited_at = Some(at);
            }),
            Said::Files { tail, disk } => self.change_attempt(id, |row| {
                (row.tail, row.disk) = (Some(tail), Some(disk));
            }),
            Said::Status(_)
            | Said::Started { .. }
            | Said::Stopping { .. }
            | Said::Ended { .. }
            | Said::Gone { .. }
            | Said::StartFailed { .. }
            | Said::NeverStarted
            | Said::NoRoom { .. } => {}
        }
    }

    fn ended(
        &mut self,
        id: TaskId,
        mut report: Box<Report>,
        tail: String,
        turn: &mut Turn,
    ) -> Input {
        let attempt = self.live.task(id).and_then(|live| live.attempt.as_ref());
        if attempt.is_some_and(|attempt| attempt.boot_id == self.settings.boot_id) {
            as_of_now(&mut report, clock::now(), process::since_boot_ms());
        }
        self.change_attempt(id, |row| apply_report(row, &report));
        self.keep_typed(id, &report.typed, turn);
        if let Some(at) = report.started_at {
            self.set_started(id, at);
        }
        turn.tails.insert(id, tail);
        turn.durable = true;
        match self.said_failure(id) {
            Some(message) => Input::FinishedFailing { report, message },
            None => Input::Finished { report },
        }
    }

    /// Returns why a task failed, where it said so itself.
    fn said_failure(&self, id: TaskId) -> Option<String> {
        match self.live.task(id)?.task().condition.said.as_ref()? {
            TaskSaid::Failed { message } => Some(message.clone()),
            TaskSaid::Result { .. } => None,
        }
    }

    /// Takes in where a shim stands that this host did not know, or knew before a restart.
    fn adopted(&mut self, id: TaskId, attempt: AttemptNumber, status: Status, turn: &mut Turn) {
        if let (Some(process), Some(at)) = (status.process, status.started_at) {
            self.decide_shim(id, attempt, Said::Started { process, at }, turn);
        }
        self.type_again(id, attempt, &status, turn);
        if let Some((cause, stage)) = status.stopping {
            let terminated = status.terminated;
            self.decide_shim(id, attempt, Said::Stopping { cause, stage, terminated }, turn);
        }
        if status.unbounded {
            self.decide_shim(id, attempt, Said::Unbounded, turn);
        }
        let paused = self.live.task(id).is_some_and(|live| live.task().condition.paused);
        if paused != status.paused {
            let order = if paused { ToShim::Pause } else { ToShim::Resume };
            turn.orders.push((id, attempt, order));
        }
        let moved = self.live.task(id).and_then(|live| live.attempt.as_ref()?.deadline);
        if let Some(at) = moved {
            let at_boot_ms = Some(at).filter(|at| *at > 0);
            turn.orders.push((id, attempt, ToShim::Deadline { at_boot_ms }));
        }
        // Told once more: the host that stored the cancel may have died before it told.
        let state = self.live.task(id).map(|live| &live.task().state);
        if state.and_then(TaskState::cancelled_by).is_some() {
            turn.effects.push((id, attempt, Effect::Stop));
        }
    }

    fn started(&mut self, id: TaskId, process: ProcessIdentity, at: Timestamp, turn: &mut Turn) {
        self.change_attempt(id, |row| {
            row.process = Some(process.pid);
            // What is known of it has followed the clock.
            row.started_at.get_or_insert(at);
        });
        let Some(before) = self.live.task(id).map(|live| live.task().clone()) else { return };
        self.set_started(id, at);
        // One that spoke before its shim did is in its state already: that does not tell the start.
        if before.started_at.is_none() && before.state != TaskState::Starting {
            let task = Box::new(Task { started_at: Some(at), ..before });
            turn.event(&mut self.live, id, ("started", None), EventChange::Task { task });
        }
    }

    fn set_started(&mut self, id: TaskId, at: Timestamp) {
        let Some(live) = self.live.task(id) else { return };
        if live.task().started_at.is_none() {
            let mut live = live.clone();
            live.row.task.started_at = Some(at);
            self.live.put_task(live);
        }
    }

    pub(super) fn change_attempt(&mut self, id: TaskId, change: impl FnOnce(&mut AttemptRow)) {
        let Some(mut live) = self.live.task(id).cloned() else { return };
        if let Some(row) = &mut live.attempt {
            change(row);
            self.live.put_task(live);
        }
    }
}

fn apply_report(row: &mut AttemptRow, report: &Report) {
    row.process = report.process.map(|process| process.pid).or(row.process);
    // A shim that does not know how long ago its start is tells it by the clock as it stood then.
    row.started_at = match report.ended_boot_ms {
        Some(_) => report.started_at.or(row.started_at),
        None => row.started_at.or(report.started_at),
    };
    row.exit = report.exit.or(row.exit);
    row.exited_at = report.exited_at.or(row.exited_at);
    row.ended_at = Some(report.ended_at);
    row.peak_memory = report.peak_memory;
    row.cpu_ms = report.cpu_ms;
    row.size = report.size;
    row.left = report
        .left
        .iter()
        .map(|left| {
            let fate = match &left.foreign_user {
                _ if left.ended => "ended".to_owned(),
                Some(user) => format!("cannot kill pid {} of {user}", left.pid),
                None => "left alone".to_owned(),
            };
            format!("{} ({}), {fate}", left.name, left.pid)
        })
        .collect();
}
