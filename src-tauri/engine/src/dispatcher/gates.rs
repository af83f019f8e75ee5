//! Gates: which new tasks are asked about, and the rules that decide it.

use std::path::Path;
use std::sync::Arc;

use nod_core::access::Actor;
use nod_core::environment::redirecting;
use nod_core::ids::{OperationId, TaskId};
use nod_core::protocol::{AuditRow, AuditWhat, KeptRule, Reply};
use nod_core::request::{Closure, Origin, Request, Shown};
use nod_core::rule::{Command, Rule, RuleError, RuleId, Then};
use nod_core::task::{OutputMode, QueueReason, TaskState};
use nod_core::text::one_line;

use super::calls::Said;
use super::live::{Judged, LiveTask};
use super::questions::shown;
use super::turn::Turn;
use super::{Dispatcher, hex};
use crate::error::EngineError;
use crate::guards::{Gate, Posted, RuleBook};
use crate::process::{Files, Place};
use crate::store::{OperationResult, RuleChange};

/// How many variables are named that keep a rule from letting pass, and how much of each name.
const NAMED: usize = 5;
const NAME_SHOWN: usize = 40;

/// How much is shown of the name of a file that has changed.
const FILE_SHOWN: usize = 300;

impl Dispatcher {
    /// Asks about a task that is about to start, where the rules say so by now: one that let it
    /// pass may be over, and one that asks may be new. Returns whether it is held back.
    pub(super) fn holds_back(&mut self, id: TaskId, turn: &mut Turn) -> bool {
        if let Some(why) = self.runs_otherwise(id) {
            self.ask_gate(id, &Actor::Host, Some(why), turn);
            return true;
        }
        let may_gate = |live: &&LiveTask| {
            live.judged != Judged::Approved
                && (live.task().ask_first || self.rule_book(turn).may_gate())
        };
        let Some(mut live) = self.live.task(id).filter(may_gate).cloned() else { return false };
        if live.judged == Judged::Unknown && live.task().ask_first && self.was_approved(&live) {
            return false;
        }
        let because = self.asks_first(&mut live, &Actor::Host, turn);
        self.live.put_task(live);
        let Some(why) = because else { return false };
        self.ask_gate(id, &Actor::Host, why, turn);
        true
    }

    /// Notes which folder it is that a person is shown, and what would run. The folder was there when
    /// the task came; where it is gone by now, the start says so.
    pub(super) fn bind_folder(&mut self, id: TaskId) {
        let Some(mut live) = self.live.task(id).cloned() else { return };
        live.judged = Judged::Unknown;
        live.row.bound.place = Place::of(Path::new(&live.task().cwd)).ok();
        live.row.bound.files = Some(files_of(&live));
        self.live.put_task(live);
    }

    /// Returns what to tell the person of a task that would run another file than it would have when
    /// they were asked about it.
    fn runs_otherwise(&self, id: TaskId) -> Option<String> {
        let live = self.live.task(id)?;
        let file = live.row.bound.files.as_ref()?.changed(&files_of(live))?;
        let file = one_line(&file.to_string_lossy(), FILE_SHOWN);
        Some(format!(
            "It was approved, and what it runs has changed since it was asked about: {file}"
        ))
    }

    /// Keeps what was decided of a task's next try.
    pub(super) fn judge(&mut self, id: TaskId, judged: Judged) {
        if let Some(mut live) = self.live.task(id).filter(|live| live.judged != judged).cloned() {
            live.judged = judged;
            self.live.put_task(live);
        }
    }

    /// Returns whether a person approved the try that comes next, before this host was there.
    fn was_approved(&self, live: &LiveTask) -> bool {
        let next = live.next_attempt();
        let approved = |request: &Request| {
            let is_yes = request.closure.as_ref().is_some_and(Closure::approves);
            let is_gate = request.origin == Origin::Gate && request.attempt == next;
            is_yes && is_gate && is_what_was_shown(live, request)
        };
        let requests = self.readers.lend().map_err(EngineError::from);
        match requests.and_then(|reader| Ok(reader.requests(live.task().id)?)) {
            Ok(requests) => requests.iter().any(approved),
            Err(error) => {
                // Asked once more, rather than not at all.
                tracing::error!("failed to look whether a task was approved: {error}");
                false
            }
        }
    }

    /// Returns whether a person is asked before the task starts, and what they are told of why.
    pub(super) fn asks_first(
        &self,
        live: &mut LiveTask,
        actor: &Actor,
        turn: &mut Turn,
    ) -> Option<Option<String>> {
        // What a person looks at already is theirs to answer, as it is by now.
        let is_held =
            matches!(live.task().state, TaskState::Queued { reason: QueueReason::Gate { .. } });
        match self.gate_of(live, turn) {
            Gate::Open => None,
            Gate::Asks(why) => {
                live.row.task.ask_first = true;
                Some(why)
            }
            Gate::Passes(_) if is_held => Some(None),
            Gate::Passes(rule) => {
                self.let_pass(live, actor, rule, turn);
                None
            }
        }
    }

    /// Returns whether a person is asked about another try that follows by itself.
    pub(super) fn asks_again(&self, live: &mut LiveTask, turn: &mut Turn) -> bool {
        live.judged = Judged::Unknown;
        if !live.task().ask_first {
            return false;
        }
        let Gate::Passes(rule) = self.gate_of(live, turn) else { return true };
        self.let_pass(live, &Actor::Host, rule, turn);
        false
    }

    fn let_pass(&self, live: &mut LiveTask, by: &Actor, rule: String, turn: &mut Turn) {
        let passed = Judged::Passed(rule.clone());
        // Nobody was shown its folder, nor asked about what it runs.
        live.row.bound.place = None;
        live.row.bound.files = None;
        if live.judged != passed {
            live.judged = passed;
            self.note_pass(live.task().id, by, rule, turn);
        }
    }

    /// Returns what the rules say of a task that is about to start.
    fn gate_of(&self, live: &LiveTask, turn: &Turn) -> Gate {
        let task = live.task();
        let Posted { book, folders } = self.posted_rules(turn);
        let asked = task.ask_first || book.held.gated_kinds.contains(&task.kind);
        let argv = task.command.argv();
        let mut obstacles: Vec<_> = redirecting(&live.row.environment_changes)
            .take(NAMED)
            .map(|change| one_line(&change.name, NAME_SHOWN))
            .collect();
        if task.output == OutputMode::Interactive {
            obstacles.insert(0, "what is typed into it".to_owned());
        }
        let command = Command {
            argv: &argv,
            cwd: &task.cwd,
            session: task.session.as_ref(),
            kind: &task.kind,
            is_redirected: !obstacles.is_empty(),
            folders: &folders,
        };
        let gate = book.gate(command, asked, turn.now);
        let Gate::Asks(why) = gate else { return gate };
        let usual = Command { is_redirected: false, ..command };
        let narrower = (!obstacles.is_empty()).then(|| book.gate(usual, asked, turn.now));
        let Some(Gate::Passes(rule)) = narrower else { return Gate::Asks(why) };
        let obstacles = obstacles.join(", ");
        let but = format!("A rule would let it pass, but {obstacles} may decide what runs: {rule}");
        Gate::Asks(Some(why.map_or(but.clone(), |why| format!("{why}\n{but}"))))
    }

    /// Writes down that a rule let a task start.
    fn note_pass(&self, id: TaskId, by: &Actor, rule: String, turn: &mut Turn) {
        let row = AuditRow {
            task: Some(id),
            asked_by: Some(by.clone()),
            detail: Some(rule),
            ..said(AuditWhat::Passed, Actor::Host, turn)
        };
        turn.audit(row);
    }

    pub(super) fn add_rule(
        &mut self,
        by: Actor,
        operation: OperationId,
        rule: Rule,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        if self.is_done(&operation)? {
            return Ok(Said::Now(self.rule_list()));
        }
        rule.check()?;
        if rule.then == Then::NeedNotAsk && rule.expires_at.is_none() {
            return Err(EngineError::Rule(RuleError::Endless));
        }
        let mut book = RuleBook::clone(&self.rule_book(turn));
        book.last.0 += 1;
        let (id, at) = (book.last, turn.now);
        turn.rule(RuleChange::Added { id, rule: rule.clone(), at, by: by.clone() });
        turn.audit(AuditRow {
            detail: Some(words(&rule)),
            ..said(AuditWhat::RuleAdded, by.clone(), turn)
        });
        let (made_at, made_by) = (Some(at), Some(by));
        let kept = KeptRule { id: Some(id), rule, made_at, made_by, is_dropped: false };
        book.made.insert(0, kept);
        self.note_rules(book, operation, turn);
        Ok(self.rules_after(turn))
    }

    pub(super) fn revoke_rule(
        &mut self,
        by: Actor,
        operation: OperationId,
        id: RuleId,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        if self.is_done(&operation)? {
            return Ok(Said::Now(self.rule_list()));
        }
        let mut book = RuleBook::clone(&self.rule_book(turn));
        let Some(at) = book.made.iter().position(|kept| kept.id == Some(id)) else {
            return Err(EngineError::RuleNotFound(id.0));
        };
        let rule = book.made.remove(at).rule;
        turn.rule(RuleChange::Revoked { id, at: turn.now });
        turn.audit(AuditRow {
            detail: Some(words(&rule)),
            ..said(AuditWhat::RuleRevoked, by, turn)
        });
        self.note_rules(book, operation, turn);
        Ok(self.rules_after(turn))
    }

    /// Has Approve be a button of notifications, or no longer.
    pub(super) fn allow_buttons(
        &mut self,
        by: Actor,
        operation: OperationId,
        allowed: bool,
        turn: &mut Turn,
    ) -> Result<Said, EngineError> {
        if self.is_done(&operation)? {
            return Ok(Said::Now(Reply::Done));
        }
        let mut book = RuleBook::clone(&self.rule_book(turn));
        book.notification_approvals = allowed;
        turn.rule(RuleChange::NotificationApprovals(allowed));
        let words = if allowed { "turned on" } else { "turned off" };
        turn.audit(AuditRow {
            detail: Some(format!("Approve in notifications: {words}")),
            ..said(AuditWhat::SettingChanged, by, turn)
        });
        self.note_rules(book, operation, turn);
        Ok(Said::Now(Reply::Done))
    }

    /// Returns whether the person has Approve be a button of notifications.
    pub(super) fn allows_buttons(&self, turn: &Turn) -> bool {
        self.rule_book(turn).notification_approvals
    }

    pub(super) fn rule_list(&self) -> Reply {
        let Posted { book, folders } = self.rules.posted();
        Reply::Rules(book.list(&folders))
    }

    /// Returns the rules as they are within this turn.
    pub(super) fn rule_book(&self, turn: &Turn) -> Arc<RuleBook> {
        self.posted_rules(turn).book
    }

    /// Returns the same with the folders of these rules: those of the rules before would not do.
    pub(super) fn posted_rules(&self, turn: &Turn) -> Posted {
        turn.rules.clone().unwrap_or_else(|| self.rules.posted())
    }

    pub(super) fn rules_after(&self, turn: &Turn) -> Said {
        let Posted { book, folders } = self.posted_rules(turn);
        Said::Now(Reply::Rules(book.list(&folders)))
    }

    pub(super) fn note_rules(&mut self, book: RuleBook, operation: OperationId, turn: &mut Turn) {
        self.tell_rules(&book, turn);
        turn.operation(&mut self.live, operation, OperationResult::Rules);
        turn.rules = Some(Posted::new(Arc::new(book)));
        turn.durable = true;
    }

    pub(super) fn is_done(&self, operation: &OperationId) -> Result<bool, EngineError> {
        match self.operation(operation)? {
            Some(OperationResult::Rules) => Ok(true),
            Some(_) => Err(EngineError::OperationReused(operation.0.clone())),
            None => Ok(false),
        }
    }
}

/// Returns whether the command, folder and environment are those that a person was shown.
fn is_what_was_shown(live: &LiveTask, request: &Request) -> bool {
    let was = &request.shown;
    let now =
        Shown { terms: was.terms.clone(), ..shown(live, was.question.clone(), was.detail.clone()) };
    now.hash(&hex(&live.row.environment)) == request.hash
}

fn files_of(live: &LiveTask) -> Files {
    let task = live.task();
    Files::of(&task.command.argv(), &task.cwd, &live.row.bound.path)
}

pub(super) fn words(rule: &Rule) -> String {
    let then = match rule.then {
        Then::AskFirst => "asked first",
        Then::NeedNotAsk => "need not be asked",
    };
    format!("{then}: {}", rule.argv.join(" "))
}

/// Returns an empty row of the audit.
pub(super) fn said(what: AuditWhat, actor: Actor, turn: &Turn) -> AuditRow {
    AuditRow {
        id: 0,
        at: turn.now,
        what,
        actor,
        from: None,
        task: None,
        request: None,
        asked_by: None,
        also_asked_by: vec![],
        shown: None,
        hash: None,
        answer: None,
        comment: None,
        detail: None,
    }
}
