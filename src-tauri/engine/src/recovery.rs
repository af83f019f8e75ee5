//! Settling what an earlier host left: running tasks are adopted, the rest is found out.

use std::path::Path;
use std::time::Duration;

use nod_core::ids::Timestamp;
use nod_core::shim::{CLAIM_FILE, EXIT_FILE};
use nod_core::task::{StopCause, Task, TaskState};

use crate::clock;
use crate::dispatcher::{Judged, Live, LiveTask, Message, Numbers, Said, attempt_folder};
use crate::logs::{Outputs, Try};
use crate::process;
use crate::shims::{Link, Shims, files_of, last_words};
use crate::store::{AttemptRow, ClockRow, LiveRow, Readers, StoreError};
use crate::tokens::{Token, Tokens};

/// Where the parts of a host stand while it starts.
pub(crate) struct Recovery<'a> {
    pub(crate) shims: &'a Shims,
    pub(crate) outputs: &'a Outputs,
    pub(crate) tokens: &'a Tokens,
    pub(crate) tasks: &'a Path,
    pub(crate) boot_id: &'a str,
}

/// What became of an attempt while no host ran.
enum Found {
    Shim(std::os::unix::net::UnixStream),
    Settled(Vec<Said>),
}

impl Recovery<'_> {
    /// Returns the live state of the history, and what is to be decided first.
    pub(crate) fn recover(&self, readers: &Readers) -> Result<(Live, Vec<Message>), StoreError> {
        let reader = readers.lend()?;
        let (task, request, event) = reader.last_numbers()?;
        let mut live = Live::new(Numbers { task, request, event }, reader.operations()?);
        live.restore_groups(reader.groups()?);
        for row in reader.open_requests()? {
            live.put_request(row);
        }
        let now =
            as_it_stood(reader.clock()?, self.boot_id, clock::now(), process::since_boot_ms());
        let mut messages = Vec::new();
        for LiveRow { task: row, attempt } in reader.live()? {
            let has_process = row.task.state.holds_slot();
            // A damaged history may have lost what it says of the attempt.
            let attempt = attempt.or_else(|| has_process.then(|| self.unknown_attempt(&row.task)));
            let id = row.task.id;
            let current = attempt.as_ref().filter(|_| has_process);
            self.outputs.begin(id, current.map(|row| Try::of(row, self.tasks)));
            if let Some(attempt) = attempt.as_ref().filter(|_| has_process) {
                self.tokens.restore(attempt.token_hash.clone(), (id, attempt.number));
                let said = self.settle(attempt, &row.task, now).into_iter();
                messages.extend(said.map(|said| Message::Shim(id, attempt.number, said)));
            }
            live.put_task(LiveTask { row, attempt, environment: None, judged: Judged::Unknown });
        }
        live.keep();
        Ok((live, messages))
    }

    /// Returns the attempt of a running task of which nothing is known but that there was one.
    fn unknown_attempt(&self, task: &Task) -> AttemptRow {
        let started = task.started_at.unwrap_or(task.created_at);
        let folder = attempt_folder(started, task.id, task.attempt);
        let token = Token::random().hash();
        AttemptRow::new((task.id, task.attempt), folder, token, self.boot_id.to_owned())
    }

    /// Adopts the attempt, or returns what is to be decided of it.
    fn settle(&self, attempt: &AttemptRow, task: &Task, now: Timestamp) -> Vec<Said> {
        let state = &task.state;
        let (id, number) = (attempt.task, attempt.number);
        let folder = self.tasks.join(&attempt.folder);
        let found = if attempt.boot_id == self.boot_id {
            find(&folder, state)
        } else if folder.join(EXIT_FILE).exists() {
            Found::Settled(last_words(&folder))
        } else {
            let why = "the machine was restarted while it was running".to_owned();
            Found::Settled(vec![files_of(&folder), Said::Gone { why }])
        };
        match found {
            Found::Shim(socket) => {
                tracing::info!(task = id.0, state = state.name().as_str(), "adopted");
                let orders = self.shims.expect(id, number);
                let prompt = task.condition.prompt.clone();
                let link = Link {
                    id,
                    attempt: number,
                    folder,
                    prompt,
                    limit: time_left(attempt, task, now),
                    is_ending: matches!(state, TaskState::Stopping { .. }),
                    orders,
                    child: None,
                };
                self.shims.link(link, socket);
                vec![]
            }
            Found::Settled(said) => {
                // How it ended is in the history; its output is nobody's but the task's.
                tracing::info!(task = id.0, "settled: no shim runs any more");
                said
            }
        }
    }
}

/// Returns the time by the clock as it stood when a host looked last, in this run of the machine:
/// what the history says of tasks that run goes by that.
fn as_it_stood(row: Option<ClockRow>, boot_id: &str, now: Timestamp, boot_ms: u64) -> Timestamp {
    let row = row.filter(|row| row.boot_id == boot_id);
    row.map_or(now, |row| Timestamp(row.offset_ms).plus(boot_ms))
}

/// Returns how much time a running task has left; nothing where it has no limit.
fn time_left(attempt: &AttemptRow, task: &Task, now: Timestamp) -> Option<Duration> {
    let left = match attempt.deadline {
        // It was lifted.
        Some(0) => return None,
        Some(at) => at.saturating_sub(process::since_boot_ms()),
        None => {
            let began = attempt.started_at.or(task.started_at)?;
            began.plus(task.timeout_ms?).since(now)
        }
    };
    Some(Duration::from_millis(left))
}

/// Returns whether a task can be in the state without a shim having come to its attempt.
fn may_be_unclaimed(state: &TaskState) -> bool {
    match state {
        TaskState::Starting => true,
        TaskState::Stopping { cause: StopCause::Cancelled { .. }, stage: None, .. } => true,
        TaskState::Queued { .. }
        | TaskState::Running
        | TaskState::Waiting { .. }
        | TaskState::Stopping { .. }
        | TaskState::Ended { .. } => false,
    }
}

/// Finds out what became of an attempt of this boot.
///
/// A shim listens before it claims its attempt: where a claim is and nobody
/// listens, the shim is dead.
fn find(folder: &Path, state: &TaskState) -> Found {
    loop {
        // Looked at first: a claim that comes later says nothing of a socket tried earlier.
        let claimed = folder.join(CLAIM_FILE).exists();
        if let Ok(socket) = process::connect_shim(folder) {
            return Found::Shim(socket);
        }
        if claimed {
            return Found::Settled(last_words(folder));
        }
        // No shim has come so far; with the claim taken none can any more.
        match process::claim(folder) {
            Ok(true) if may_be_unclaimed(state) => return Found::Settled(vec![Said::NeverStarted]),
            // It did run once, or its shim could not have said what it said.
            Ok(true) => {
                let why = "nothing of its attempt is in its folder any more".to_owned();
                return Found::Settled(vec![Said::Gone { why }]);
            }
            // One has come just now, and listens.
            Ok(false) => {}
            Err(error) => {
                let why = format!("its folder cannot be used: {error}");
                return Found::Settled(vec![Said::Gone { why }]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_time_a_task_has_left_goes_by_the_clock_that_told_its_start() {
        let row = |boot_id: &str| ClockRow {
            boot_id: boot_id.into(),
            offset_ms: 1_000_000,
            history: Timestamp(0),
            seen: Timestamp(0),
        };
        let set = Timestamp(90_000_000);
        let cases = [
            ("the clock was set while no host ran", Some(row("this")), Timestamp(1_060_000)),
            ("the machine was restarted", Some(row("another")), set),
            ("no host has looked before", None, set),
        ];
        for (name, row, expected) in cases {
            assert_eq!(as_it_stood(row, "this", set, 60_000), expected, "{name}");
        }
    }
}
