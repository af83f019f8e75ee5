//! Settling what an earlier host left: running tasks are adopted, the rest is found out.

use std::path::Path;

use nod_core::shim::{CLAIM_FILE, EXIT_FILE, LOG_FILE};
use nod_core::task::TaskState;

use crate::dispatcher::{Judged, Live, LiveTask, Message, Numbers, Said};
use crate::logs::Outputs;
use crate::process;
use crate::shims::{Link, Shims, last_word};
use crate::store::{AttemptRow, LiveRow, Readers, StoreError};
use crate::tokens::Tokens;

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
    Settled(Said),
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
        let mut messages = Vec::new();
        for LiveRow { task: row, attempt } in reader.live()? {
            let has_process = row.task.state.holds_slot();
            let id = row.task.id;
            let log = attempt.as_ref().map(|row| self.tasks.join(&row.folder).join(LOG_FILE));
            self.outputs.begin(id, log.filter(|_| has_process));
            if let Some(attempt) = attempt.as_ref().filter(|_| has_process) {
                self.tokens.restore(attempt.token_hash.clone(), id);
                messages.extend(self.settle(attempt, &row.task.state));
            }
            live.put_task(LiveTask { row, attempt, environment: None, judged: Judged::Unknown });
        }
        live.keep();
        Ok((live, messages))
    }

    /// Adopts the attempt, or returns what is to be decided of it.
    fn settle(&self, attempt: &AttemptRow, state: &TaskState) -> Option<Message> {
        let (id, number) = (attempt.task, attempt.number);
        let folder = self.tasks.join(&attempt.folder);
        let found = if attempt.boot_id == self.boot_id {
            find(&folder)
        } else if folder.join(EXIT_FILE).exists() {
            Found::Settled(last_word(&folder))
        } else {
            let why = "the machine was restarted while it was running".to_owned();
            Found::Settled(Said::Gone { why })
        };
        match found {
            Found::Shim(socket) => {
                tracing::info!(task = id.0, state = state.name().as_str(), "adopted");
                let orders = self.shims.expect(id, number);
                let link = Link { id, attempt: number, folder, orders, child: None };
                self.shims.link(link, socket);
                None
            }
            Found::Settled(said) => {
                // How it ended is in the history; its output is nobody's but the task's.
                tracing::info!(task = id.0, "settled: no shim runs any more");
                Some(Message::Shim(id, number, said))
            }
        }
    }
}

/// Finds out what became of an attempt of this boot.
///
/// A shim listens before it claims its attempt: where a claim is and nobody
/// listens, the shim is dead.
fn find(folder: &Path) -> Found {
    loop {
        // Looked at first: a claim that comes later says nothing of a socket tried earlier.
        let claimed = folder.join(CLAIM_FILE).exists();
        if let Ok(socket) = process::connect_shim(folder) {
            return Found::Shim(socket);
        }
        if claimed {
            return Found::Settled(last_word(folder));
        }
        // No shim has come so far; with the claim taken none can any more.
        match process::claim(folder) {
            Ok(true) => return Found::Settled(Said::NeverStarted),
            // One has come just now, and listens.
            Ok(false) => {}
            Err(error) => {
                let why = format!("its folder cannot be used: {error}");
                return Found::Settled(Said::Gone { why });
            }
        }
    }
}
