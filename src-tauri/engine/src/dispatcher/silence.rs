//! Gates that nobody answers: how long they wait, and what becomes of their tasks.
//!
//! Silence denies. It approves only a task of a kind of which the person has
//! said so, and only where nothing but that kind has it asked about.

use std::path::Path;

use nod_core::access::Actor;
use nod_core::duration;
use nod_core::environment::redirecting;
use nod_core::ids::{RequestId, Timestamp};
use nod_core::request::{Answer, Closure, OnTimeout, Origin, Request};
use nod_core::rule::{Command, Verdict, verdict};
use nod_core::task::OutputMode;
use nod_core::terms::terms;

use super::live::LiveTask;
use super::questions::shown;
use super::turn::Turn;
use super::{Dispatcher, hex};
use crate::guards::Posted;
use crate::process::Files;

/// What becomes of a question that nobody has answered in its time.
pub(super) enum Unanswered {
    Closes(Closure),
    /// Nobody could have seen it for so long.
    Waits {
        until: Timestamp,
    },
}

/// How long a gate waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    after_ms: u64,
    approves: bool,
}

impl Limit {
    fn words(self) -> String {
        let after = duration::words(self.after_ms);
        let what = if self.approves { "it is approved" } else { "it is denied" };
        let seen = if self.approves { " while the window shows it" } else { "" };
        format!("{what} if nobody answers for {after}{seen}, as the config file says of its kind")
    }
}

impl Dispatcher {
    /// Returns how long the gate of a task waits; nothing where it waits until it is answered.
    pub(super) fn limit_of(&self, live: &LiveTask, turn: &Turn) -> Option<Limit> {
        if let Some(after_ms) = self.silence_of(live, turn) {
            return Some(Limit { after_ms, approves: true });
        }
        let kind = self.settings.config.kinds.get(&live.task().kind)?;
        Some(Limit { after_ms: kind.gate_timeout?, approves: false })
    }

    /// Returns after how many milliseconds silence approves a task; nothing where it never does.
    fn silence_of(&self, live: &LiveTask, turn: &Turn) -> Option<u64> {
        let (task, Posted { book, folders }) = (live.task(), self.posted_rules(turn));
        let silence = book.held.silent_kinds.get(&task.kind)?;
        let is_redirected = redirecting(&live.row.environment_changes).next().is_some();
        if is_redirected || task.output == OutputMode::Interactive {
            return None;
        }
        let argv = task.command.argv();
        // Its task has the real folder, and the config file may name it by a link.
        let is_there = Path::new(&silence.folder)
            .canonicalize()
            .is_ok_and(|folder| folder == Path::new(&task.cwd));
        if !is_there || !silence.speaks_of(&argv) {
            return None;
        }
        let command = Command {
            argv: &argv,
            cwd: &task.cwd,
            session: task.session.as_ref(),
            kind: &task.kind,
            is_redirected,
            folders: &folders,
        };
        // A rule of the person's asks about it, whatever its kind.
        let asks = matches!(verdict(book.rules(), command, turn.now), Verdict::Ask(_));
        (!asks).then_some(silence.after_ms)
    }

    /// Returns what becomes of a question whose time is up. A gate whose card says that silence
    /// approves it is approved where that still holds, and once somebody could have seen it so long.
    pub(super) fn unanswered(&self, request: &Request, turn: &Turn) -> Unanswered {
        let closure = request.unanswered();
        let says_so = request.origin == Origin::Gate && request.on_timeout == OnTimeout::Default;
        let live = request.task.and_then(|task| self.live.task(task)).filter(|_| says_so);
        let Some(after_ms) = live.and_then(|live| self.silence_of(live, turn)) else {
            return Unanswered::Closes(closure);
        };
        let seen_ms = self.settings.window.seen_ms(request).unwrap_or(0);
        match after_ms.saturating_sub(seen_ms) {
            0 => Unanswered::Closes(Closure::Defaulted {
                answer: Answer::Approve,
                at: closure.at().max(turn.now),
            }),
            left => Unanswered::Waits { until: turn.now.plus(left) },
        }
    }
}

/// Returns the question that a task waits for before it starts.
pub(super) fn gate_request(
    live: &LiveTask,
    asked_by: &Actor,
    id: RequestId,
    why: Option<String>,
    (limit, turn): (Option<Limit>, &Turn),
) -> Request {
    let mut shown = shown(live, "Start this task?".to_owned(), why);
    let timeout_ms = limit.as_ref().map(|limit| limit.after_ms);
    let on_timeout = match &limit {
        Some(Limit { approves: true, .. }) => OnTimeout::Default,
        Some(_) | None => OnTimeout::Deny,
    };
    shown.terms = terms(live.task(), live.row.bound.typist.is_some());
    shown.terms.extend(live.row.bound.files.as_ref().and_then(Files::gap));
    shown.terms.extend(limit.map(Limit::words));
    Request {
        id,
        task: Some(live.task().id),
        attempt: live.next_attempt(),
        origin: Origin::Gate,
        asked_by: Some(asked_by.clone()),
        also_asked_by: vec![],
        hash: shown.hash(&hex(&live.row.environment)),
        shown,
        created_at: turn.now,
        expires_at: timeout_ms.map(|limit| turn.now.plus(limit)),
        on_timeout,
        remind_ms: None,
        closure: None,
    }
}
