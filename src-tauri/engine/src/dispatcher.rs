//! The one place where a state changes.
//!
//! One thread, in turns: take what has arrived, decide each with the pure
//! transition, store the whole turn in one transaction, publish its events,
//! act. Never in another order: a crash between two steps is then always
//! visible and can be repaired.

mod answering;
mod askers;
mod calls;
mod cards;
mod changes;
mod condition;
mod folding;
mod gates;
mod groups;
mod index;
mod live;
mod looking;
mod loosening;
mod message;
mod pace;
mod progress;
mod pruning;
mod questions;
mod queueing;
mod room;
mod shims;
mod silence;
mod starting;
mod steady;
mod storing;
mod submitting;
mod talk;
mod turn;
mod typing;
mod unstorable;
mod unstored;
mod waiters;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use nod_core::access::Actor;
use nod_core::ids::{AttemptNumber, TaskId, Timestamp};
use nod_core::progress::Progress;
use nod_core::protocol::{Event, EventChange, Reply};
use nod_core::request::{APPROVAL_KEY, Closure};
use nod_core::shim::LOG_FILE;
use nod_core::task::{Outcome, Task, TaskState};
use nod_core::transition::{Effect, Input, transition};

pub(crate) use cards::{Cards, HeldBack};
pub(crate) use folding::Orphans;
pub(crate) use live::{Judged, Live, LiveTask, Numbers};
pub(crate) use message::{
    Answering, Change, Incoming, Message, NewEnvironment, NewTask, Program, ReplyTo, Said,
};
pub(crate) use pace::{Pace, Source};
pub(crate) use questions::{Reminders, reminders_of};
pub(crate) use room::Room;
pub(crate) use talk::Talking;
pub(crate) use typing::Typing;
pub(crate) use waiters::Waiters;

use crate::clock;
use crate::config::Config;
use crate::effects::Effects;
use crate::error::EngineError;
use crate::events::Events;
use crate::guards::Board;
use crate::logs::{Outputs, Try};
use crate::process::{Alarm, Cgroups};
use crate::sight::{Arming, Sight};
use crate::store::{Commit, KeptGuards, Readers, Store};
use crate::tokens::Tokens;
use progress::ProgressBoard;
pub(crate) use starting::attempt_folder;
pub(crate) use steady::Steady;
use storing::{Refused, Taken};
use turn::Turn;

/// How much one turn takes in at the most.
const TURN_LIMIT: usize = 512;

/// How long what can wait is kept for something that cannot: a tiny task's end comes so soon after
/// its start that one commit holds both.
const LINGER: Duration = Duration::from_millis(3);

/// How soon a turn that could not be stored is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Everything the dispatcher works with.
pub(crate) struct Dispatcher {
    pub(crate) live: Live,
    pub(crate) store: Store,
    pub(crate) readers: Readers,
    pub(crate) events: Events,
    pub(crate) outputs: Outputs,
    pub(crate) effects: Effects,
    pub(crate) tokens: Tokens,
    pub(crate) settings: Settings,
    pub(crate) alarm: Alarm,
    pub(crate) board: ProgressBoard,
    pub(crate) waiters: Waiters,
    /// What a turn that could not be stored had taken in, to be decided again.
    pub(crate) again: Vec<Heard>,
    /// The last turn could not be stored.
    pub(crate) stuck: bool,
    pub(crate) steady: Steady,
    /// Queued tasks of which it could not be told yet whether they may go on.
    pub(crate) unplaced: BTreeSet<TaskId>,
    /// What the store knows of the config file, where more is taken in and not stored yet.
    pub(crate) unstored_guards: Option<KeptGuards>,
    /// Tasks that are being ended though their cancel could not be stored yet, and who wanted it.
    pub(crate) unstored_cancels: HashMap<TaskId, Actor>,
    /// Askers who are gone, by what they asked under, and until when they may come back.
    pub(crate) orphans: Orphans,
    pub(crate) rules: Board,
    pub(crate) talking: Talking,
    pub(crate) typing: Typing,
    pub(crate) pace: Pace,
    pub(crate) cards: Cards,
    pub(crate) reminders: Reminders,
    pub(crate) room: Room,
}

/// What was heard of an attempt.
pub(crate) type Heard = (TaskId, AttemptNumber, Said);

type Step = fn(&mut Dispatcher, &mut Turn);

/// What a turn begins with: what earlier ones could not do, and a clock that was set, by which goes
/// all that comes in this turn.
const UNDONE: [Step; 5] = [
    Dispatcher::settle_guards_again,
    Dispatcher::follow_the_clock,
    Dispatcher::note_expired_rules,
    Dispatcher::cancel_again,
    Dispatcher::place_again,
];

/// What follows by itself, from the time and from what was decided.
const FOLLOWING: [Step; 10] = [
    Dispatcher::expire,
    Dispatcher::remind,
    Dispatcher::end_due_waits,
    Dispatcher::resume_askers,
    Dispatcher::withdraw_orphans,
    Dispatcher::settle_ends,
    Dispatcher::end_delays,
    |dispatcher, _| dispatcher.look_for_room(Instant::now()),
    Dispatcher::admit,
    Dispatcher::show_cards,
];

/// What does not change while a host runs.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) config: Arc<Config>,
    pub(crate) boot_id: String,
    pub(crate) open_files: Option<u64>,
    pub(crate) umask: u32,
    /// What the shims that are started are told to speak.
    pub(crate) shim_protocol: u32,
    /// Where attempts have cgroups of their own; nothing where this host may make none.
    pub(crate) cgroups: Option<Cgroups>,
    pub(crate) arming: Arming,
    /// What the window shows.
    pub(crate) window: Arc<Sight>,
    /// The command line that belongs to this host.
    pub(crate) nod: PathBuf,
}

impl Dispatcher {
    /// Takes turns until a stop is asked for.
    pub(crate) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let mut messages = Vec::new();
            match self.next_message(inbox) {
                Ok(message) => messages.push(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            gather(inbox, &mut messages);
            let stop = messages.iter().any(|message| matches!(message, Message::Stop));
            self.turn(messages);
            self.tell_progress(Instant::now());
            if stop {
                return self.finish();
            }
        }
    }

    fn next_message(&mut self, inbox: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        // What a full disk holds up is tried again by the clock below, not at once and for ever.
        let first = self.next_due().filter(|_| !self.stuck);
        if let Err(error) = self.alarm.set(first) {
            // It is woken all the same, but for the time that the machine sleeps.
            tracing::warn!("failed to set the alarm: {error}");
        }
        match self.next_wake() {
            Some(wait) => inbox.recv_timeout(wait),
            None => inbox.recv().map_err(RecvTimeoutError::from),
        }
    }

    /// Returns how long nothing happens by itself; nothing when that is for ever.
    fn next_wake(&self) -> Option<Duration> {
        if self.stuck || !self.unplaced.is_empty() {
            // Whatever is due: no sooner than the disk may have room again.
            return Some(RETRY);
        }
        let due = self.next_due().map(|at| Duration::from_millis(at.since(clock::now())));
        let orphan = self.orphans.values().map(|(_, until)| *until).min();
        let lost = self.talking.next_lost();
        let soon = [self.board.next(), self.room.next(), orphan, lost].into_iter().flatten().min();
        let soon = soon.map(|at| at.saturating_duration_since(Instant::now()));
        [due, soon].into_iter().flatten().min()
    }

    /// Returns when something happens by itself, by the clock on the wall.
    fn next_due(&self) -> Option<Timestamp> {
        let expiry = self.live.first_expiry().map(|(at, _)| at);
        let reminder = self.reminders.first().map(|(at, _)| *at);
        let delay = self.live.first_delay().map(|(at, _)| at);
        let due = [expiry, reminder, delay, self.talking.next(), self.waiters.next_resume()];
        due.into_iter().chain([self.cards.next(), self.next_rule_expiry()]).flatten().min()
    }

    /// Decides, stores, publishes and acts, once.
    pub(crate) fn turn(&mut self, messages: Vec<Message>) {
        let mut turn = Turn::new(clock::now());
        UNDONE.iter().for_each(|step| step(self, &mut turn));
        let mut taken = Taken { heard: std::mem::take(&mut self.again), calls: vec![] };
        for (id, attempt, said) in taken.heard.clone() {
            self.decide_shim(id, attempt, said, &mut turn);
        }
        for message in messages {
            match message {
                Message::Call(incoming) => {
                    taken.calls.push(Incoming::clone(&incoming));
                    self.decide_call(*incoming, &mut turn);
                }
                Message::Shim(id, attempt, said) => {
                    self.hear((id, attempt, said), &mut taken.heard, &mut turn);
                }
                Message::AskerGone(operation) => {
                    self.asker_gone(&operation);
                    self.waiter_gone(&operation);
                }
                Message::Rung => self.alarm.has_rung(),
                Message::Config(config, error) => self.configure(config, error, &mut turn),
                Message::Prune(ids) => self.prune(&ids, &mut turn),
                Message::Swept(folders) => self.swept(&folders),
                Message::SweptTry(id, attempt, left) => self.swept_try(id, attempt, &left),
                Message::DataMoved => self.tell_to_look_again(),
                Message::Stop => {}
            }
        }
        FOLLOWING.iter().for_each(|step| step(self, &mut turn));
        self.settle(turn, taken);
    }

    /// Tells everyone what is now on the disk, and sets in motion what follows from it.
    fn act(&mut self, mut turn: Turn, events: Vec<Event>) {
        self.cards.keep(&mut turn);
        if let Some(rules) = turn.rules.take() {
            self.rules.set(rules);
        }
        for event in events {
            self.events.publish(event);
        }
        if turn.look_again {
            self.tell_to_look_again();
        }
        self.hand_over(&mut turn);
        self.keep_askers(&mut turn);
        for (id, attempt, under_way) in turn.typing {
            self.effects.tell(id, attempt, under_way.order.clone());
            self.typing.begin(id, under_way);
        }
        for (id, _) in turn.tried {
            self.typing.end(id);
            // The next try has a log of its own.
            self.note_disk(id, false);
            self.tokens.revoke(id);
            self.board.forget(id);
        }
        for (reply, said) in turn.replies {
            answer(reply, said);
        }
        for (request, closure) in &turn.closed {
            self.orphans.retain(|_, (of, _)| of != request);
            self.pace.closed(*request);
            self.waiters.notify(APPROVAL_KEY, *request, closure);
        }
        for request in turn.resumed {
            self.waiters.resume(request, turn.now);
        }
        for start in turn.starts {
            let (id, attempt) = (start.spec.task, start.spec.attempt);
            self.outputs.begin(id, Some(Try { attempt, log: start.folder.join(LOG_FILE) }));
            self.tokens.admit(&start.token, (id, attempt));
            self.effects.start(start);
        }
        for (id, attempt, order) in turn.orders {
            self.effects.tell(id, attempt, order);
        }
        for (id, attempt, effect) in turn.effects {
            self.effects.carry_out(id, attempt, &effect);
        }
        self.effects.remove(&turn.folders);
        for id in turn.ended {
            self.typing.end(id);
            self.outputs.end(id);
            self.tokens.revoke(id);
            self.board.forget(id);
            self.pace.forget(id);
            self.tell_end(id);
        }
    }

    fn tell_end(&mut self, id: TaskId) {
        let Some(waiting) = self.waiters.ends.remove(&id) else { return };
        for reply in waiting {
            let said = self.stored_task(id).map(|task| Reply::Ended { task: Box::new(task) });
            answer(reply, said);
        }
    }

    /// Moves a task on, and notes all that follows from it.
    pub(crate) fn advance(
        &mut self,
        id: TaskId,
        input: Input,
        turn: &mut Turn,
    ) -> Result<(), EngineError> {
        let live = self.live.task(id).ok_or(EngineError::TaskNotFound(id))?;
        let gives_up = matches!(input, Input::Unstorable { .. });
        let over = over_at(&input, turn.now);
        let (state, effects) =
            transition(&live.task().state, input).map_err(|_rejected| EngineError::WrongState {
                id,
                state: live.task().state.words(),
                hint: "that is not possible in this state",
            })?;
        let mut live = live.clone();
        let tries = turn.tried.len();
        let state = if gives_up { state } else { self.after_try(&mut live, state, turn) };
        let again = turn.tried.get(tries).map(|(_, outcome)| outcome.words());
        let asks_again = again.is_some() && self.asks_again(&mut live, turn);
        let changed = live.task().state != state;
        condition::settle(&mut live.row.task.condition, &state);
        live.row.task.state = state;
        if changed && live.task().state.outcome().is_some() {
            live.row.task.ended_at = Some(over.max(live.task().started_at.unwrap_or(over)));
            if live.row.task.state.outcome() == Some(&Outcome::Succeeded) {
                live.row.task.progress = live.row.task.progress.map(Progress::completed);
            }
            turn.ended.push(id);
            self.end_talk(id, turn);
        }
        let attempt = live.task().attempt;
        self.live.put_task(live);
        if again.is_some() {
            self.end_waits_of_try(id, turn);
        }
        if changed {
            self.tell_state(id, again, turn);
        }
        for effect in effects {
            self.note_effect(id, attempt, effect, turn);
        }
        if asks_again {
            self.ask_gate(id, &Actor::Host, None, turn);
        }
        Ok(())
    }

    /// Tells where a task has come to; after a try that was not the last, what came of that.
    fn tell_state(&mut self, id: TaskId, tried: Option<String>, turn: &mut Turn) {
        let Some(live) = self.live.task(id) else { return };
        let (what, detail) = match tried {
            Some(came) => ("tried", Some(format!("try {}: {came}", live.task().attempt))),
            None => described(live.task()),
        };
        self.tell_task(id, (what, detail), turn);
    }

    /// Tells that something about a task is new.
    fn tell_task(&mut self, id: TaskId, what: (&str, Option<String>), turn: &mut Turn) {
        let Some(live) = self.live.task(id) else { return };
        let task = Box::new(live.task().clone());
        turn.event(&mut self.live, id, what, EventChange::Task { task });
    }

    fn note_effect(&mut self, id: TaskId, attempt: AttemptNumber, effect: Effect, turn: &mut Turn) {
        match effect {
            Effect::Start => self.note_start(id, turn),
            Effect::Withdraw { requests } => {
                for request in requests {
                    let why = "the task can no longer hear the answer".to_owned();
                    self.close_request(request, Closure::Withdrawn { why, at: turn.now }, turn);
                }
            }
            Effect::Stop | Effect::Acknowledge | Effect::Sweep => {
                turn.effects.push((id, attempt, effect));
            }
        }
    }

    fn tell_progress(&mut self, now: Instant) {
        let due = self.board.take(now);
        let live = &self.live;
        let progress = |id: &TaskId| live.task(*id).map(|task| (*id, task.task().progress.clone()));
        for (id, progress) in due.publish.iter().filter_map(progress) {
            let change = EventChange::Progress { id, progress };
            self.events.publish(Event { seq: live.last_event(), at: clock::now(), change });
        }
        let stored: Vec<_> = due.store.iter().filter_map(progress).collect();
        if stored.is_empty() {
            return;
        }
        if let Err(error) = self.store.write(&Commit { progress: stored, ..Commit::default() }) {
            // The next change of the task stores it along.
            tracing::warn!("failed to store progress: {error}");
        }
    }

    /// Stores the progress that is still only in memory, and ends.
    fn finish(mut self) {
        self.tell_progress(Instant::now() + Duration::from_secs(60));
    }

    pub(crate) fn stored_task(&self, id: TaskId) -> Result<Task, EngineError> {
        let row = self.readers.lend()?.task(id)?.ok_or(EngineError::TaskNotFound(id))?;
        Ok(row.task)
    }
}

/// Returns when all was over that `input` tells of; now, where nobody saw it end.
fn over_at(input: &Input, now: Timestamp) -> Timestamp {
    let (Input::Finished { report } | Input::FinishedFailing { report, .. }) = input else {
        return now;
    };
    // What ended lies behind, whatever clock its shim read.
    report.ended_at.min(now)
}

/// Adds all that has arrived; and what arrives within a moment, while nobody waits for the first.
fn gather(inbox: &Receiver<Message>, messages: &mut Vec<Message>) {
    messages.extend(inbox.try_iter().take(TURN_LIMIT));
    let until = Instant::now() + LINGER;
    let mut seen = 0;
    while !messages.is_empty()
        && messages.len() < TURN_LIMIT
        && messages[seen..].iter().all(Message::can_wait)
    {
        seen = messages.len();
        let Ok(message) = inbox.recv_deadline(until) else { return };
        messages.push(message);
        messages.extend(inbox.try_iter().take(TURN_LIMIT));
    }
}

/// Returns how the history names the state a task has come to.
fn described(task: &Task) -> (&'static str, Option<String>) {
    let detail = match &task.state {
        TaskState::Ended { outcome } => outcome.explanation().or_else(|| Some(outcome.words())),
        TaskState::Stopping { stage: Some(stage), .. } => Some(format!("sent {}", stage.signal)),
        TaskState::Queued { reason } => Some(reason.words(&task.schedule.group)),
        TaskState::Starting
        | TaskState::Running
        | TaskState::Waiting { .. }
        | TaskState::Stopping { stage: None, .. } => None,
    };
    (task.state.name().as_str(), detail)
}

/// Replies to a caller.
#[expect(clippy::needless_pass_by_value, reason = "nothing is said to a caller after the reply")]
fn answer(reply: ReplyTo, said: Result<Reply, EngineError>) {
    reply.say(said);
}

/// Returns `bytes` as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
