//! Tasks that the history has lost: their folders tell what ran there.
//!
//! Looked for only after an unclean end, since only a damaged disk or file
//! takes away what was stored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nod_core::command::CommandLine;
use nod_core::environment::Environment;
use nod_core::ids::{AttemptNumber, EventNumber, TaskId, Timestamp};
use nod_core::shim::{CLAIM_FILE, SPEC_FILE, Spec};
use nod_core::task::{PLAIN_KIND, Task, TaskState};

use crate::clock;
use crate::process;
use crate::store::{
    AttemptRow, Commit, EventRow, Reader, Readers, Seal, Store, StoreError, TaskRow,
};
use crate::tokens::Token;

/// Where strays are looked for.
pub(crate) struct Strays<'a> {
    pub(crate) tasks: &'a Path,
    pub(crate) boot_id: &'a str,
    pub(crate) seal: &'a Seal,
    /// Look everywhere, not only where the newest tasks are.
    pub(crate) anywhere: bool,
}

/// The last attempt of a task that has a folder.
struct Stray {
    id: TaskId,
    attempt: AttemptNumber,
    /// Below the folder of all tasks.
    folder: String,
    path: PathBuf,
}

impl Strays<'_> {
    /// Puts back into the history what only folders know of, and says what that was.
    pub(crate) fn put_back(
        &self,
        store: &mut Store,
        readers: &Readers,
    ) -> Result<Vec<String>, StoreError> {
        let reader = readers.lend()?;
        let mut commit = Commit { durable: true, ..Commit::default() };
        let mut findings = vec![];
        let (last, _, mut event) = reader.last_numbers()?;
        let newest = if self.anywhere { None } else { reader.newest_folder()? };
        let since = newest.and_then(|folder| Some(folder.split_once('/')?.0.to_owned()));
        let known = reader.last_attempts()?;
        for stray in self.find(since.as_deref()) {
            if known.get(&stray.id).is_some_and(|known| *known >= stray.attempt) {
                continue;
            }
            if reader.is_leftover(&stray.folder)? || self.was_removed(&stray, last, &reader)? {
                continue;
            }
            if let Some(finding) = self.take(&stray, &reader, &mut commit, &mut event)? {
                findings.push(finding);
            }
        }
        drop(reader);
        if !findings.is_empty() {
            commit.environments.push(self.seal.seal(&Environment::new()));
            store.write(&commit)?;
        }
        Ok(findings)
    }

    /// Returns the last attempt of each task that has a folder of that day or a later one.
    fn find(&self, since: Option<&str>) -> Vec<Stray> {
        let mut found: BTreeMap<TaskId, Stray> = BTreeMap::new();
        let days = fs::read_dir(self.tasks).into_iter().flatten().flatten();
        for day in days {
            if since.is_some_and(|since| day.file_name().to_str() < Some(since)) {
                continue;
            }
            for entry in fs::read_dir(day.path()).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some((id, attempt)) = name.to_str().and_then(numbers) else { continue };
                let folder = format!("{}/{}", day.file_name().display(), name.display());
                let stray = Stray { id, attempt, folder, path: entry.path() };
                if found.get(&id).is_none_or(|known| known.attempt < attempt) {
                    found.insert(id, stray);
                }
            }
        }
        found.into_values().collect()
    }

    /// Returns whether the folder is what a task left that was taken out of the history.
    ///
    /// A log of the history that was cut off takes the newest numbers with it, so a number that was
    /// given and has no row was removed; but where rows are lost, or its shim runs, it was not.
    fn was_removed(
        &self,
        stray: &Stray,
        last: TaskId,
        reader: &Reader,
    ) -> Result<bool, StoreError> {
        let is_given = !self.anywhere && stray.id <= last && reader.task(stray.id)?.is_none();
        Ok(is_given && process::connect_shim(&stray.path).is_err())
    }

    /// Adds what a folder tells of its task to the commit.
    fn take(
        &self,
        stray: &Stray,
        reader: &Reader,
        commit: &mut Commit,
        event: &mut EventNumber,
    ) -> Result<Option<String>, StoreError> {
        let Stray { id, attempt, .. } = *stray;
        let known = reader.task(id)?;
        if known.as_ref().is_some_and(|row| row.task.state.outcome().is_some()) {
            return Ok(None);
        }
        // Without a claim no process was ever started there.
        let claimed = fs::metadata(stray.path.join(CLAIM_FILE)).ok();
        let Some(at) = claimed.and_then(|claim| claim.modified().ok()) else { return Ok(None) };
        let at = clock::timestamp(at);
        match known {
            Some(mut row) => {
                row.task.attempt = attempt;
                row.task.state = TaskState::Running;
                commit.tasks.push(row);
            }
            None => match self.described(stray, at) {
                Some(row) => commit.new_tasks.push(row),
                None => return Ok(Some(format!("nothing is known of task {id} but its folder"))),
            },
        }
        commit.attempts.push(self.attempt(stray));
        event.0 += 1;
        commit.events.push(EventRow {
            seq: *event,
            at: clock::now(),
            task: Some(id),
            what: "rescued".to_owned(),
            detail: Some("the history had lost it; its folder had not".to_owned()),
        });
        Ok(Some(format!("the history had lost task {id}: what its folder tells was put back")))
    }

    fn described(&self, stray: &Stray, at: Timestamp) -> Option<TaskRow> {
        let json = fs::read(stray.path.join(SPEC_FILE)).ok()?;
        let spec: Spec = serde_json::from_slice(&json).ok()?;
        let task = Task {
            id: stray.id,
            kind: PLAIN_KIND.to_owned(),
            label: None,
            command: command(spec.argv),
            cwd: spec.cwd,
            output: spec.output,
            session: None,
            parent: None,
            timeout_ms: spec.timeout_ms,
            ask_first: false,
            schedule: Default::default(),
            attempt: stray.attempt,
            state: TaskState::Running,
            progress: None,
            options: Default::default(),
            condition: Default::default(),
            created_at: at,
            started_at: Some(at),
            ended_at: None,
        };
        let environment = self.seal.seal(&Environment::new()).digest;
        Some(TaskRow { task, environment, environment_changes: vec![], bound: Default::default() })
    }

    fn attempt(&self, stray: &Stray) -> AttemptRow {
        // Nobody has the token: the one that the task was given is lost.
        let token_hash = Token::random().hash();
        let boot_id = self.boot_id.to_owned();
        AttemptRow::new((stray.id, stray.attempt), stray.folder.clone(), token_hash, boot_id)
    }
}

/// Returns the command whose words these are: a line for the shell is shown as that line.
fn command(argv: Vec<String>) -> CommandLine {
    match argv.as_slice() {
        [shell, flag, line] if shell == "/bin/sh" && flag == "-c" => {
            CommandLine::Shell { line: line.clone() }
        }
        _ => CommandLine::Argv { argv },
    }
}

/// Returns the task and the attempt that a folder's name stands for.
pub(crate) fn numbers(name: &str) -> Option<(TaskId, AttemptNumber)> {
    let (id, attempt) = name.split_once('-')?;
    Some((TaskId(id.parse().ok()?), AttemptNumber(attempt.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_by_its_words() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        for shown in [words(&["/bin/sh", "-c", "echo kept"]), words(&["make", "all"])] {
            let shown: Vec<String> = shown;
            assert_eq!(command(shown.clone()).argv(), shown);
        }
        assert_eq!(command(words(&["/bin/sh", "-c", "echo kept"])).display(), "echo kept");
    }

    #[test]
    fn a_folder_is_named_by_its_task_and_attempt() {
        let cases = [
            ("12-1", Some((TaskId(12), AttemptNumber(1)))),
            ("12", None),
            ("x-1", None),
            ("12-1-1", None),
        ];
        for (name, expected) in cases {
            assert_eq!(numbers(name), expected, "{name}");
        }
    }
}
