//! Questions, answers and rules, made ready for the dispatcher or read beside it.

use std::iter;

use nod_core::access::Actor;
use nod_core::environment::redirecting;
use nod_core::protocol::{
    Ask, AuditQuery, Call, GiveAnswer, ListQuery, QuestionOf, Reply, RulePreview,
};
use nod_core::request::{Answer, AnswerError, OnTimeout, Request, Wants};
use nod_core::rule::{Command, Rule, Then};
use nod_core::task::{OutputMode, Task};

use super::Handle;
use crate::dispatcher::{Answering, Change, Program, Source};
use crate::error::EngineError;
use crate::process::Lineage;
use crate::sight::Seen;
use crate::{clock, guards, process};

/// How many of the newest tasks the preview of a rule looks at, in which pages, and shows.
const PREVIEW_LIMIT: u32 = 2_000;
const PREVIEW_PAGE: u32 = 500;
const PREVIEW_SHOWN: usize = 50;

impl Handle {
    /// Returns a question that can be put, and the program that asks where it is no task.
    pub(super) async fn prepared_ask(
        &self,
        actor: &Actor,
        mut ask: Ask,
    ) -> Result<(Ask, Option<Program>), EngineError> {
        let program = match *actor {
            Actor::Peer { pid, .. } => {
                let program = move |handle: &Self| Ok(process::program_of(pid, &handle.inner.nod));
                Some(self.blocking(program).await?)
            }
            Actor::Person { .. } | Actor::Task { .. } | Actor::Host => None,
        };
        if let Wants::Form { schema, .. } = &ask.wants {
            let source = program.as_ref().map_or(Source::Gone, |program| program.source);
            self.change(actor, Change::MayAsk(ask.operation.clone(), source)).await?;
            let (schema, whole) = (schema.clone(), ask.on_timeout == OnTimeout::Default);
            let _turn = self.inner.forms.turn().await;
            let first = move |handle: &Self| Ok(handle.inner.forms.initial(&schema, whole)?);
            let first = self.blocking(first).await?;
            if let Wants::Form { initial, .. } = &mut ask.wants {
                *initial = first;
            }
        }
        ask.check()?;
        Ok((ask, program))
    }

    /// Returns who comes for an answer, where that is no task.
    pub(super) async fn lineage(&self, actor: &Actor) -> Result<Option<Lineage>, EngineError> {
        let Actor::Peer { pid, .. } = *actor else { return Ok(None) };
        self.blocking(move |handle| Ok(Lineage::of(pid, &handle.inner.nod))).await
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "every other call has its own place")]
    /// Carries out what is about answers, rules and what became of them.
    pub(super) async fn decide(&self, actor: &Actor, call: Call) -> Result<Reply, EngineError> {
        let change = match call {
            Call::Answer(given) => {
                let seen = Seen::Request(given.request, given.shown.clone());
                let shown_ms = self.inner.window.shown_ms(&seen);
                let given = self.blocking(move |handle| handle.whole_answer(given)).await?;
                Change::Answer(Box::new(Answering { given, from: None, shown_ms }))
            }
            Call::Withdraw { operation } => Change::Withdraw(operation, self.lineage(actor).await?),
            Call::AwaitAnswer(wait) => Change::AwaitAnswer(wait, self.lineage(actor).await?),
            Call::Notify(notify) => Change::Notify(notify),
            Call::Feedback(feedback) => Change::Feedback(feedback),
            Call::Inbox(read) => Change::Inbox(read),
            Call::Tell(tell) => Change::Tell(tell),
            Call::SayOutcome(say) => Change::SayOutcome(say),
            Call::IsCancelled => Change::IsCancelled,
            Call::Rules => {
                self.rules_looked_at().await?;
                let mut reply = self.change(actor, Change::Rules).await?;
                if let Reply::Rules(list) = &mut reply {
                    list.notes.extend(self.inner.config.current().note());
                }
                return Ok(reply);
            }
            Call::AddRule { operation, rule } => Change::AddRule(operation, Box::new(rule)),
            Call::RevokeRule { operation, id } => Change::RevokeRule(operation, id),
            Call::ConfirmLoosening { operation, shown } => {
                let shown_ms = self.inner.window.shown_ms(&Seen::Loosening(shown.clone()));
                Change::ConfirmLoosening(operation, shown, shown_ms)
            }
            Call::AllowNotificationApprovals { operation, allowed } => {
                Change::AllowButtons(operation, allowed)
            }
            Call::Settings => return self.settings(actor).await,
            Call::Audit(query) => {
                return self.blocking(move |handle| handle.audit(&query)).await;
            }
            Call::PreviewRule { rule } => {
                return self.blocking(move |handle| handle.preview(&rule)).await;
            }
            _ => return Err(EngineError::Bad("this call is carried out elsewhere")),
        };
        self.change(actor, change).await
    }

    /// Returns an open question, be its card held back or not.
    pub(super) fn open_question(&self, of: QuestionOf) -> Result<Reply, EngineError> {
        let requests = match of {
            QuestionOf::Request { id } => {
                let request = self.read(|reader| reader.request(id))?;
                let request = request.ok_or(EngineError::RequestNotFound(id))?;
                if let Some(closure) = request.closure {
                    let closure = Box::new(closure);
                    return Err(AnswerError::Closed { request: id, closure }.into());
                }
                vec![request]
            }
            QuestionOf::Task { id } => {
                let (task, requests) =
                    self.read(|reader| Ok((reader.task(id)?, reader.requests(id)?)))?;
                task.ok_or(EngineError::TaskNotFound(id))?;
                requests
            }
        };
        let mut open = requests.into_iter().filter(Request::is_open);
        let request = open.next().map(Box::new);
        Ok(Reply::OpenQuestion { request, others: open.map(|request| request.id).collect() })
    }

    /// Fills the defaults into the data of a form; refuses data that does not fit.
    ///
    /// The schema is that of the stored question: the dispatcher checks that it is what was shown.
    pub(super) fn whole_answer(&self, mut given: GiveAnswer) -> Result<GiveAnswer, EngineError> {
        let Answer::Form { data } = &given.answer else { return Ok(given) };
        let request = self.read(|reader| reader.request(given.request))?;
        let request = request.ok_or(EngineError::RequestNotFound(given.request))?;
        // What is closed or changed is refused for that, whatever its data.
        if let Wants::Form { schema, .. } = &request.shown.wants
            && request.is_open()
            && request.hash == given.shown
        {
            let data =
                self.inner.forms.filled(schema, data.clone()).map_err(EngineError::Invalid)?;
            given.answer = Answer::Form { data };
        }
        Ok(given)
    }

    /// Returns what a rule would have spoken of among the newest tasks.
    pub(super) fn preview(&self, rule: &Rule) -> Result<Reply, EngineError> {
        rule.check()?;
        let folders = guards::real_folders(iter::once(rule));
        let now = clock::now();
        let mut preview =
            RulePreview { tasks: vec![], matching: 0, looked_at: 0, redirected: vec![] };
        let mut query = ListQuery { limit: Some(PREVIEW_PAGE), ..ListQuery::default() };
        while preview.looked_at < PREVIEW_LIMIT {
            let page = self.read(|reader| reader.list(&query))?;
            for task in page.tasks {
                preview.looked_at += 1;
                let argv = task.command.argv();
                let command = Command {
                    argv: &argv,
                    cwd: &task.cwd,
                    session: task.session.as_ref(),
                    kind: &task.kind,
                    is_redirected: false,
                    folders: &folders,
                };
                if rule.matches(command, now) {
                    if rule.then == Then::NeedNotAsk && self.is_redirected(&task)? {
                        preview.redirected.push(task.id);
                        continue;
                    }
                    preview.matching += 1;
                    if preview.tasks.len() < PREVIEW_SHOWN {
                        preview.tasks.push(task);
                    }
                }
            }
            query.before = page.next;
            if page.next.is_none() {
                break;
            }
        }
        Ok(Reply::Preview(preview))
    }

    /// Returns whether something beside its words may decide what a task runs.
    fn is_redirected(&self, task: &Task) -> Result<bool, EngineError> {
        if task.output == OutputMode::Interactive {
            return Ok(true);
        }
        let row = self.read(|reader| reader.task(task.id))?;
        Ok(row.is_some_and(|row| redirecting(&row.environment_changes).next().is_some()))
    }

    pub(super) fn audit(&self, query: &AuditQuery) -> Result<Reply, EngineError> {
        let page = self.read(|reader| reader.audit(query))?;
        // The rows of a task stay when it is removed.
        if let Some(id) = query.task.filter(|_| page.rows.is_empty() && query.before.is_none()) {
            self.read(|reader| reader.task(id))?.ok_or(EngineError::TaskNotFound(id))?;
        }
        Ok(Reply::Audit(page))
    }
}
