//! Making an attempt: its row, its token, and what its shim is to run.

use nod_core::ids::{AttemptNumber, TaskId, Timestamp};
use nod_core::shim::Spec;
use nod_core::task::Task;

use super::Dispatcher;
use super::turn::Turn;
use crate::clock;
use crate::effects::Start;
use crate::store::AttemptRow;
use crate::tokens::Token;

/// Returns where an attempt that begins now has its folder, below that of all tasks.
pub(crate) fn attempt_folder(now: Timestamp, id: TaskId, number: AttemptNumber) -> String {
    format!("{}/{id}-{number}", clock::day(now))
}

impl Dispatcher {
    /// Makes the attempt that a start needs.
    pub(super) fn note_start(&mut self, id: TaskId, turn: &mut Turn) {
        let Some(mut live) = self.live.task(id).cloned() else { return };
        let number = live.next_attempt();
        let folder = attempt_folder(turn.now, id, number);
        let token = Token::random();
        let boot_id = self.settings.boot_id.clone();
        live.attempt = Some(AttemptRow::new((id, number), folder.clone(), token.hash(), boot_id));
        live.row.task.attempt = number;
        let environment = live.environment.take();
        let spec = self.spec(live.task());
        let folder = self.effects.folder(&folder);
        let digest = live.row.environment.clone();
        let place = live.row.bound.place;
        turn.starts.push(Start { spec, folder, token, environment, digest, place });
        self.live.put_task(live);
    }

    pub(super) fn spec(&self, task: &Task) -> Spec {
        Spec {
            protocol: self.settings.shim_protocol,
            task: task.id,
            attempt: task.attempt,
            argv: task.command.argv(),
            cwd: task.cwd.clone(),
            output: task.output,
            timeout_ms: task.timeout_ms,
            grace_ms: task.options.grace_ms.unwrap_or(self.settings.config.cancel.grace_ms),
            open_files: self.settings.open_files,
            umask: Some(self.settings.umask),
            keep_children: task.options.keep_children,
            log_limit: match task.options.log_limit {
                Some(limit) => Some(limit).filter(|limit| *limit > 0),
                None => self.settings.config.output.limit(),
            },
            cgroup: self
                .settings
                .cgroups
                .as_ref()
                .and_then(|cgroups| cgroups.of(task.id, task.attempt)),
        }
    }
}
