//! Making new tasks ready: everything that takes time to find out is found out here.

use std::path::Path;
use std::sync::Arc;

use nod_core::access::Actor;
use nod_core::environment::{self, Environment};
use nod_core::ids::{OperationId, TaskId};
use nod_core::protocol::{Edit, ErrorReply, HostKind, Reply, Submit, SubmitMany};
use nod_core::shim::{LEAST_LOG_LIMIT, ProcessIdentity};
use nod_core::task::{OutputMode, RunOptions};

use crate::config;
use crate::dispatcher::{Change, Message, NewEnvironment, NewTask};
use crate::error::EngineError;
use crate::process::{self};
use crate::scheduling;

use super::Handle;

/// No file has a longer name, in bytes, with all its folders (`PATH_MAX`).
const FILE_NAME: usize = 4_096;

impl Handle {
    pub(super) fn prepared(&self, submit: Submit) -> Result<NewTask, EngineError> {
        self.look_at_rules();
        let config = self.inner.config.current().config;
        let wanted = scheduling::resolved(submit, &config)?;
        let cwd = folder(&wanted.cwd)?;
        let mut plain = match wanted.environment {
            Some(given) => environment::without_leaks(&given),
            None => environment::without_leaks(self.login_environment()),
        };
        plain.extend(wanted.extra_environment.clone());
        check_environment(&plain)?;
        let may_wait = wanted.ask_first || self.inner.rules.book().may_ask();
        let usual = self.usual_environment(may_wait);
        // A name of a file there hides no secret, and may be what runs.
        let is_file =
            |value: &str| value.len() < FILE_NAME && Path::new(&cwd).join(value).is_file();
        let given = &wanted.extra_environment;
        let environment_changes = environment::changes(usual, &plain, given, &is_file);
        let sealed = self.inner.seal.seal(&plain);
        Ok(NewTask {
            operation: wanted.operation,
            command: wanted.command,
            cwd,
            label: wanted.label,
            session: wanted.session,
            output: wanted.output,
            options: checked(wanted.options)?,
            timeout_ms: wanted.timeout_ms,
            ask_first: wanted.ask_first,
            kind: wanted.kind,
            schedule: wanted.schedule,
            delay_ms: wanted.delay_ms,
            path: plain.get("PATH").cloned().unwrap_or_default(),
            environment: NewEnvironment::Given { sealed, plain: Arc::new(plain) },
            environment_changes,
            typist: None,
        })
    }

    pub(super) fn prepared_all(&self, many: SubmitMany) -> Vec<Result<NewTask, EngineError>> {
        let SubmitMany { environment, tasks } = many;
        let whole = |submit: Submit| Submit {
            environment: submit.environment.clone().or_else(|| environment.clone()),
            ..submit
        };
        tasks.into_iter().map(|submit| self.prepared(whole(submit))).collect()
    }

    /// Returns what is in force, after a look at the file; the dispatcher hears of a change first.
    ///
    /// The look is a stat, about a microsecond: no task starts by rules that the file has tightened.
    pub(super) fn refreshed_config(&self) -> config::Snapshot {
        self.inner.config.refresh(|now| {
            let message = Message::Config(Arc::clone(&now.config), now.note());
            // Nobody to tell means that the host is ending.
            drop(self.inner.inbox.send(message));
        })
    }

    /// Has the rules hold that the file has by now, in the folders where they lie by now.
    pub(super) fn look_at_rules(&self) {
        self.refreshed_config();
        self.inner.rules.look();
    }

    /// Does so off the runtime's threads.
    pub(super) async fn rules_looked_at(&self) -> Result<(), EngineError> {
        let look = |handle: &Self| {
            handle.look_at_rules();
            Ok(())
        };
        self.blocking(look).await
    }

    pub(super) async fn submit(&self, actor: &Actor, submit: Submit) -> Result<Reply, EngineError> {
        let by = actor.clone();
        let prepared = move |handle: &Self| Ok(handle.with_typist(handle.prepared(submit)?, &by));
        let new = self.blocking(prepared).await?;
        self.take_in(actor, new).await
    }

    pub(super) async fn run_again(
        &self,
        actor: &Actor,
        operation: OperationId,
        id: TaskId,
    ) -> Result<Reply, EngineError> {
        let by = actor.clone();
        let again = move |handle: &Self| Ok(handle.with_typist(handle.again(operation, id)?, &by));
        let new = self.blocking(again).await?;
        self.take_in(actor, new).await
    }

    pub(super) async fn submit_many(
        &self,
        actor: &Actor,
        many: SubmitMany,
    ) -> Result<Reply, EngineError> {
        let by = actor.clone();
        let prepared = move |handle: &Self| {
            let all = handle.prepared_all(many).into_iter();
            let ready = |new: NewTask| handle.with_typist(new, &by);
            Ok(all.map(|new| new.map(ready).map_err(ErrorReply::from)).collect())
        };
        let all = self.blocking(prepared).await?;
        let mut reply = self.change(actor, Change::SubmitMany(all)).await?;
        if let Reply::SubmittedMany { note, .. } = &mut reply {
            *note = self.inner.config.current().note();
        }
        Ok(reply)
    }

    pub(super) async fn edit(&self, actor: &Actor, edit: Edit) -> Result<Reply, EngineError> {
        let checked = move |handle: &Self| {
            handle.look_at_rules();
            scheduling::checked_edit(edit, &handle.inner.config.current().config)
        };
        let edit = self.blocking(checked).await?;
        self.change(actor, Change::Edit(Box::new(edit))).await
    }

    pub(super) async fn take_in(&self, actor: &Actor, new: NewTask) -> Result<Reply, EngineError> {
        let mut reply = self.change(actor, Change::Submit(Box::new(new))).await?;
        if let Reply::Submitted { note, .. } = &mut reply {
            *note = self.inner.config.current().note();
        }
        Ok(reply)
    }

    pub(super) async fn about_groups(
        &self,
        actor: &Actor,
        change: Change,
    ) -> Result<Reply, EngineError> {
        let now = self.blocking(|handle| Ok(handle.refreshed_config())).await?;
        let mut reply = self.change(actor, change).await?;
        if let Reply::Groups { note, .. } = &mut reply {
            *note = now.note();
        }
        Ok(reply)
    }

    pub(super) fn again(&self, operation: OperationId, id: TaskId) -> Result<NewTask, EngineError> {
        self.look_at_rules();
        let row = self.read(|reader| reader.task(id))?.ok_or(EngineError::TaskNotFound(id))?;
        let timeout_ms = row.own_limit();
        let task = row.task;
        Ok(NewTask {
            operation,
            command: task.command,
            cwd: folder(&task.cwd)?,
            label: task.label,
            session: task.session,
            output: task.output,
            options: task.options,
            timeout_ms,
            ask_first: task.ask_first,
            kind: task.kind,
            schedule: scheduling::again(task.schedule),
            delay_ms: None,
            path: row.bound.path,
            environment: NewEnvironment::Kept { digest: row.environment },
            environment_changes: row.environment_changes,
            typist: None,
        })
    }

    /// Notes which program may type into a new task that has no session.
    fn with_typist(&self, new: NewTask, by: &Actor) -> NewTask {
        let is_typed_into = new.output == OutputMode::Interactive && new.session.is_none();
        NewTask { typist: if is_typed_into { self.program_of(by) } else { None }, ..new }
    }

    /// Returns the processes that type through a caller: the program behind it, and its own, which
    /// was that program where a shell ends with the command and so becomes it.
    pub(super) fn typists_of(&self, actor: &Actor) -> Vec<ProcessIdentity> {
        let own = match actor {
            Actor::Peer { pid, .. } => process::identity(pid.cast_signed()),
            Actor::Person { .. } | Actor::Task { .. } | Actor::Host => None,
        };
        self.program_of(actor).into_iter().chain(own).collect()
    }

    /// Returns the program behind a caller, where it is one that is no task.
    fn program_of(&self, actor: &Actor) -> Option<ProcessIdentity> {
        match actor {
            Actor::Peer { pid, .. } => process::caller_of(*pid, &self.inner.nod),
            Actor::Person { .. } | Actor::Task { .. } | Actor::Host => None,
        }
    }

    /// Returns what a person is used to, against which changes are shown.
    ///
    /// A host may have been started by the very program that submits, with
    /// whatever environment that has, with a window or without: only the login
    /// shell's counts. What nobody approves does not wait for it.
    pub(super) fn usual_environment(&self, waits: bool) -> &Environment {
        if waits {
            return self.login_environment();
        }
        self.inner.login_environment.get().unwrap_or(&self.inner.account_environment)
    }

    /// Has the login shell asked now, where there is a window, so that nobody waits for it later.
    pub(crate) fn look_ahead(&self) -> std::io::Result<()> {
        if self.inner.kind == HostKind::Headless {
            return Ok(());
        }
        let handle = self.clone();
        let ask = move || {
            handle.login_environment();
        };
        std::thread::Builder::new().name("login-shell".into()).spawn(ask).map(drop)
    }

    /// Returns what a task of the window gets, read once from the person's login shell.
    pub(super) fn login_environment(&self) -> &Environment {
        self.inner.login_environment.get_or_init(|| {
            let account = &self.inner.account_environment;
            let shell = account.get("SHELL").map_or("/bin/sh", String::as_str);
            match process::login_environment(Path::new(shell), account) {
                Ok(environment) if environment.contains_key("PATH") => environment,
                Ok(_) => account.clone(),
                Err(error) => {
                    tracing::warn!("failed to read the environment of {shell}: {error}");
                    account.clone()
                }
            }
        })
    }
}

/// Returns the folder a task is to run in, without links and dots.
pub(crate) fn folder(cwd: &str) -> Result<String, EngineError> {
    let missing = || EngineError::NoFolder(cwd.to_owned());
    let path = Path::new(cwd);
    if !path.is_absolute() || !path.is_dir() {
        return Err(missing());
    }
    // What a link points to can change after it was approved.
    let real = path.canonicalize().map_err(|_gone| missing())?;
    real.into_os_string().into_string().map_err(|_not_text| missing())
}

/// Refuses options that no shim could keep to.
fn checked(options: RunOptions) -> Result<RunOptions, EngineError> {
    if options.log_limit.is_some_and(|limit| limit > 0 && limit < LEAST_LOG_LIMIT) {
        return Err(EngineError::Bad("a log needs 256 KiB at least: give a higher --log-limit"));
    }
    Ok(options)
}

fn check_environment(environment: &Environment) -> Result<(), EngineError> {
    let bad = |(name, value): (&String, &String)| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    if environment.iter().any(bad) {
        return Err(EngineError::Bad("a variable has a name or a value that no process can have"));
    }
    Ok(())
}
