//! Answering what only reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_core::access::Actor;
use nod_core::ids::{AttemptNumber, RequestId, TaskId};
use nod_core::protocol::{
    LeftOut, ListQuery, LogPart, LogQuery, Reply, Snapshot, SnapshotPlace, SnapshotRest, TaskDetail,
};
use nod_core::shim::LOG_FILE;
use nod_core::task::{StateName, Task, TaskSaid};

use crate::clock;
use crate::dispatcher::Change;
use crate::error::EngineError;
use crate::logs::{self, PIECE, Try};
use crate::search::Search;
use crate::store::AttemptRow;

use super::fitting::{self, PAGE, Part};
use super::{Handle, WINDOW};

/// How many ended tasks a snapshot holds.
const RECENT: u32 = 50;

/// How long a text may be that tasks are looked for by, in bytes.
const SEARCH_LIMIT: usize = 1_000;

/// How many unfinished tasks are looked at for one message, which holds fewer.
const AT_ONCE: u32 = 4_000;

/// Before every task; a number that any language can hold.
const BEGINNING: SnapshotPlace =
    SnapshotPlace { requests_after: RequestId(0), tasks_before: TaskId((1 << 53) - 1) };

impl Handle {
    /// Adds to a task what is known of it and never stored.
    pub(super) fn add_what_is_not_stored(&self, task: &mut Task) {
        task.condition.disk_full = self.inner.outputs.is_full(task.id);
    }

    pub(super) fn list(&self, query: &ListQuery) -> Result<Reply, EngineError> {
        if query.search.as_ref().is_some_and(|text| text.len() > SEARCH_LIMIT) {
            return Err(EngineError::TooLong { what: "the text to look for", limit: SEARCH_LIMIT });
        }
        let mut page = self.read(|reader| reader.list(query))?;
        page.tasks.iter_mut().for_each(|task| self.add_what_is_not_stored(task));
        Ok(Reply::Tasks(page))
    }

    pub(super) fn show(&self, id: TaskId) -> Result<Reply, EngineError> {
        let (row, attempts, requests, events) = self.read(|reader| {
            Ok((reader.task(id)?, reader.attempts(id)?, reader.requests(id)?, reader.events(id)?))
        })?;
        let mut row = row.ok_or(EngineError::TaskNotFound(id))?;
        self.add_what_is_not_stored(&mut row.task);
        let log_path = attempts
            .last()
            .map(|row| self.inner.tasks.join(&row.folder).join(LOG_FILE).display().to_string());
        let log = |row: &AttemptRow| self.inner.tasks.join(&row.folder).join(LOG_FILE);
        let public = |row: AttemptRow| {
            let log_path = log(&row).display().to_string();
            row.into_public(log_path)
        };
        let result_text = match &row.task.condition.said {
            Some(TaskSaid::Result { data, .. }) => Some(data.to_string()),
            Some(TaskSaid::Failed { .. }) | None => None,
        };
        Ok(Reply::Task(Box::new(fitting::fit(TaskDetail {
            argv: row.task.command.argv(),
            task: row.task,
            environment: row.environment_changes,
            attempts: attempts.into_iter().map(public).collect(),
            requests,
            events,
            log_path,
            result_text,
            left_out: LeftOut::default(),
        }))))
    }

    pub(super) async fn snapshot(&self, actor: &Actor) -> Result<Reply, EngineError> {
        // The window has no messages that could be too long.
        let is_whole = *actor == WINDOW;
        let mut snapshot = self.blocking(move |handle| handle.stored_snapshot(is_whole)).await?;
        // Later than the rest: what changes meanwhile is told once more.
        if let Reply::Groups { groups, .. } = self.change(actor, Change::Groups).await? {
            snapshot.groups = groups;
        }
        Ok(Reply::Snapshot(Box::new(snapshot)))
    }

    pub(super) fn stored_snapshot(&self, is_whole: bool) -> Result<Snapshot, EngineError> {
        let recent = ListQuery {
            states: StateName::ALL.into_iter().filter(|name| name.is_terminal()).collect(),
            limit: Some(RECENT),
            ..ListQuery::default()
        };
        let environment = &self.inner.host_environment;
        let home = environment.get("HOME").cloned().unwrap_or_else(|| "/".to_owned());
        self.read(|reader| {
            let limit = if is_whole { u32::MAX } else { AT_ONCE };
            let tasks = reader.unfinished_before(BEGINNING.tasks_before, limit)?;
            let mut ended = reader.list(&recent)?.tasks;
            // Looked at first: what is shown later is told by its event.
            let asked = reader.open_requests()?.into_iter().map(|row| row.request).collect();
            let requests = self.inner.held_back.shown(asked);
            let all = (requests, tasks);
            let part = if is_whole {
                Part { requests: all.0, tasks: all.1, more: None }
            } else {
                let taken = fitting::first_fitting(&mut ended, PAGE / 4);
                fitting::page(BEGINNING, all, (PAGE - taken, 0))
            };
            let Part { requests, mut tasks, more } = part;
            tasks.extend(ended);
            tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
            tasks.iter_mut().for_each(|task| self.add_what_is_not_stored(task));
            Ok(Snapshot {
                epoch: self.inner.epoch.clone(),
                seq: reader.last_numbers()?.2,
                tasks,
                requests,
                counts: reader.counts()?,
                loosening: self.inner.rules.book().loosening.clone(),
                home,
                groups: vec![],
                config_error: self.inner.config.current().note(),
                now: clock::now(),
                findings: self.findings(),
                more,
            })
        })
    }

    /// Returns what a snapshot had no room for, from a place on.
    pub(super) fn rest(&self, from: SnapshotPlace) -> Result<Reply, EngineError> {
        let (asked, tasks) = self.read(|reader| {
            Ok((reader.open_requests()?, reader.unfinished_before(from.tasks_before, AT_ONCE)?))
        })?;
        let asked = asked.into_iter().map(|row| row.request);
        let later = asked.filter(|request| request.id > from.requests_after).collect();
        let requests = self.inner.held_back.shown(later);
        let Part { requests, mut tasks, more } = fitting::page(from, (requests, tasks), (PAGE, 1));
        tasks.iter_mut().for_each(|task| self.add_what_is_not_stored(task));
        Ok(Reply::SnapshotRest(SnapshotRest { tasks, requests, more }))
    }

    pub(super) fn read_log(
        &self,
        (id, attempt): (TaskId, Option<AttemptNumber>),
        offset: u64,
        limit: u64,
    ) -> Result<Reply, EngineError> {
        let tries = self.tries(id)?;
        let which = match attempt {
            None => tries.last().ok_or(EngineError::NoOutput(id))?,
            Some(attempt) => tries
                .iter()
                .find(|it| it.attempt == attempt)
                .ok_or(EngineError::NoAttempt { id, attempt })?,
        };
        let limit = usize::try_from(limit).unwrap_or(PIECE).min(PIECE);
        let part = match logs::read_range(&which.log, offset, limit) {
            Ok(part) => part,
            // Its shim has not opened the log yet, or could not.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                logs::Part { offset, bytes: vec![], size: 0 }
            }
            Err(source) => return Err(EngineError::Log { id, source }),
        };
        let data = BASE64.encode(part.bytes);
        let (offset, size, attempt) = (part.offset, part.size, Some(which.attempt));
        Ok(Reply::Log(LogPart { offset, data, size, attempt }))
    }

    pub(super) fn search(&self, query: &LogQuery) -> Result<Reply, EngineError> {
        if let Some(id) = query.id {
            self.read(|reader| reader.task(id))?.ok_or(EngineError::TaskNotFound(id))?;
        }
        let search = Search::new(query)?;
        let log = |folder: &str| self.inner.tasks.join(folder).join(LOG_FILE);
        let found =
            search.run(|from, limit| self.read(|it| it.logs(query.id, from, limit)), log)?;
        Ok(Reply::Matches(found))
    }

    /// Returns the tries of a task so far, with their logs.
    pub(super) fn tries(&self, id: TaskId) -> Result<Vec<Try>, EngineError> {
        let (task, attempts) = self.read(|reader| Ok((reader.task(id)?, reader.attempts(id)?)))?;
        task.ok_or(EngineError::TaskNotFound(id))?;
        Ok(attempts.iter().map(|row| Try::of(row, &self.inner.tasks)).collect())
    }
}
