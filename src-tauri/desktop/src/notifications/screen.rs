//! What stands on the desktop, and what a press of it does.

use std::collections::{BTreeMap, VecDeque};

use nod_client::new_operation;
use nod_core::ids::{OperationId, RequestId};
use nod_core::protocol::{ErrorCode, GiveAnswer};
use nod_core::request::Answer;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use super::bus::{Bus, Heard, Poster, Server};
use super::notes::Deed;
use super::wording::{BODY_LIMIT, Notice, Question, TITLE_LIMIT, line};
use super::{Review, Word};

const APP_NAME: &str = "Nod";
const ICON: &str = "dev.nod.desktop";

const NORMAL: u8 = 1;
const CRITICAL: u8 = 2;

/// A press on the notification itself does the same as the first button.
const LOOK: [&str; 4] = ["default", "Review", "review", "Review"];
const ANSWER: [&str; 6] = ["default", "Review", "review", "Review", "deny", "Deny"];
const APPROVE: [&str; 8] =
    ["default", "Review", "review", "Review", "deny", "Deny", "approve", "Approve"];

/// What the one who asked reads in the place of a reason.
const PRESSED: &str = "pressed in a desktop notification";

/// How many notifications of closed questions are known: a press may be on its way.
const OVER_LIMIT: usize = 64;

/// The notifications of Nod that can be pressed or taken back.
pub(super) struct Screen {
    runtime: Handle,
    engine: nod_engine::Handle,
    words: UnboundedSender<Word>,
    review: Review,
    bus: Option<Bus>,
    signs: BTreeMap<u32, Sign>,
    asked: BTreeMap<RequestId, u32>,
    /// The numbers of notifications whose question is closed, the oldest first.
    over: VecDeque<u32>,
    sum: Option<u32>,
    looser: Option<u32>,
}

/// A notification that can be pressed.
struct Sign {
    what: What,
    /// The server has not said that it is gone.
    is_there: bool,
}

enum What {
    /// What waits in the window.
    Window,
    Question {
        request: RequestId,
        question: Question,
        /// Has a second press of a button be the same answer.
        operation: OperationId,
        has_approve: bool,
    },
}

impl Screen {
    pub(super) fn new(
        runtime: Handle,
        engine: nod_engine::Handle,
        words: UnboundedSender<Word>,
        review: Review,
    ) -> Self {
        let (bus, signs, asked, over) = (None, BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Self { runtime, engine, words, review, bus, signs, asked, over, sum: None, looser: None }
    }

    /// Returns what the server says next. Can be dropped without a loss.
    pub(super) async fn hear(&mut self) -> Heard {
        match &mut self.bus {
            Some(bus) => bus.hear().await,
            None => std::future::pending().await,
        }
    }

    pub(super) async fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Pressed { id, action } => {
                let Some(bus) = &self.bus else { return };
                if bus.is_still_there().await {
                    self.press(id, &action);
                } else {
                    self.forget_all();
                }
            }
            Heard::Closed { id } => {
                let Some(sign) = self.signs.get_mut(&id) else { return };
                sign.is_there = false;
                // Its own buttons are gone with it, or one of them was pressed just now.
                let own = match &sign.what {
                    What::Question { request, question, .. } => Some((*request, &*question.hash)),
                    What::Window => None,
                };
                self.engine.notifications_moved(own);
            }
            Heard::Gone => {
                self.forget_all();
                self.bus = None;
            }
        }
    }

    pub(super) async fn carry_out(&mut self, deed: Deed) {
        let done = match deed {
            Deed::Ask(request, question) => self.ask(request, question).await,
            Deed::Close(request) => self.close_question(request).await,
            Deed::Tell(notice) => self.show(&notice, &[], NORMAL, None).await.map(drop),
            Deed::Sum(notice) => {
                let before = self.sum.take();
                self.look(notice, before).await.map(|id| self.sum = id)
            }
            Deed::Looser(notice) => {
                let before = self.looser.take();
                self.look(notice, before).await.map(|id| self.looser = id)
            }
        };
        if let Err(error) = done {
            tracing::warn!("failed to show a notification: {error}");
        }
    }

    async fn ask(&mut self, request: RequestId, question: Question) -> zbus::Result<()> {
        let is_allowed = self.engine.allows_notification_approvals();
        let server = self.server().await?;
        let has_room = server.has_actions() && server.has_bodies();
        let whole = question.whole.clone().filter(|_| is_allowed && has_room);
        let has_approve = whole.is_some();
        let actions = if has_approve { &APPROVE[..] } else { &ANSWER[..] };
        let body = whole.unwrap_or_else(|| question.notice.body.clone());
        let notice = Notice { title: question.notice.title.clone(), body };
        let before = self.asked.remove(&request);
        let id = self.show(&notice, actions, CRITICAL, before).await?;
        let operation = new_operation().map_err(|error| zbus::Error::Failure(error.to_string()))?;
        self.engine.is_notified(request, &question.hash);
        let what = What::Question { request, question, operation, has_approve };
        self.signs.insert(id, Sign { what, is_there: true });
        self.asked.insert(request, id);
        Ok(())
    }

    async fn close_question(&mut self, request: RequestId) -> zbus::Result<()> {
        let Some(id) = self.asked.remove(&request) else { return Ok(()) };
        self.over.push_back(id);
        if self.over.len() > OVER_LIMIT {
            self.over.pop_front().and_then(|oldest| self.signs.remove(&oldest));
        }
        if let Some(Sign { what: What::Question { question, .. }, .. }) = self.signs.get(&id) {
            self.engine.is_notified_no_more(request, &question.hash);
        }
        self.take_back(id).await
    }

    /// Shows what is looked at in the window, or takes it back.
    async fn look(
        &mut self,
        notice: Option<Notice>,
        before: Option<u32>,
    ) -> zbus::Result<Option<u32>> {
        let Some(notice) = notice else {
            if let Some(before) = before {
                self.take_back(before).await?;
                self.signs.remove(&before);
            }
            return Ok(None);
        };
        let id = self.show(&notice, &LOOK, CRITICAL, before).await?;
        self.signs.insert(id, Sign { what: What::Window, is_there: true });
        Ok(Some(id))
    }

    /// Shows a notice, in the place of an earlier one that is still there.
    async fn show(
        &mut self,
        notice: &Notice,
        actions: &[&str],
        urgency: u8,
        before: Option<u32>,
    ) -> zbus::Result<u32> {
        self.server().await?;
        let before = before.filter(|id| self.signs.remove(id).is_some_and(|sign| sign.is_there));
        let Notice { title, body } = notice;
        let (program, icon) = (APP_NAME, ICON);
        let poster = Poster { program, icon, title, body, actions, urgency };
        let shown = self.known()?.show(&poster, before.unwrap_or(0)).await;
        self.engine.notifications_moved(None);
        shown
    }

    async fn take_back(&mut self, id: u32) -> zbus::Result<()> {
        let is_there = self.signs.get(&id).is_some_and(|sign| sign.is_there);
        if is_there {
            self.known()?.close(id).await?;
        }
        self.engine.notifications_moved(None);
        Ok(())
    }

    /// Returns the server that there is now. What another one showed is forgotten.
    async fn server(&mut self) -> zbus::Result<&Server> {
        if self.bus.is_none() {
            self.bus = Some(Bus::open().await?);
        }
        let bus = self.bus.as_mut().expect("it was opened just now");
        if bus.server().await?.1 {
            self.forget_all();
        }
        self.known()
    }

    fn known(&self) -> zbus::Result<&Server> {
        let known = self.bus.as_ref().and_then(Bus::known);
        known.ok_or_else(|| zbus::Error::Failure("there is no notification server".to_owned()))
    }

    fn forget_all(&mut self) {
        for sign in std::mem::take(&mut self.signs).into_values() {
            if let What::Question { request, question, .. } = sign.what {
                self.engine.is_notified_no_more(request, &question.hash);
            }
        }
        self.asked.clear();
        self.over.clear();
        (self.sum, self.looser) = (None, None);
    }

    fn press(&self, id: u32, action: &str) {
        let Some(sign) = self.signs.get(&id) else { return };
        match (&sign.what, action) {
            (What::Window, "default" | "review") => (self.review)(None),
            (What::Question { request, .. }, "default" | "review") => (self.review)(Some(*request)),
            (What::Question { .. }, "deny") => {
                self.answer(&sign.what, Answer::Deny { reason: None });
            }
            (What::Question { has_approve: true, .. }, "approve") => {
                self.answer(&sign.what, Answer::Approve);
            }
            _ => tracing::warn!(id, "a button was pressed that is not there"),
        }
    }

    /// Gives an answer; what comes of it is told where it comes to nothing.
    fn answer(&self, what: &What, answer: Answer) {
        let What::Question { request, question, operation, .. } = what else { return };
        let (name, refused, comment) = match answer {
            Answer::Approve => ("approve", "Not approved", None),
            Answer::Deny { .. }
            | Answer::Choice { .. }
            | Answer::Text { .. }
            | Answer::Form { .. } => ("deny", "Not denied", Some(PRESSED.to_owned())),
        };
        let given = GiveAnswer {
            operation: OperationId(format!("{operation}-{name}")),
            request: *request,
            answer,
            comment,
            shown: question.hash.clone(),
        };
        let server = self.known().map_or_else(|_| String::new(), Server::words);
        let (engine, words) = (self.engine.clone(), self.words.clone());
        let (request, question) = (*request, question.clone());
        self.runtime.spawn(async move {
            let Err(error) = engine.answer_in_notification(given, server).await else { return };
            let word = if error.code == ErrorCode::TooEarly {
                Word::Again(request, question.once_more())
            } else {
                let title = line(&format!("{refused}: {}", question.name), TITLE_LIMIT);
                Word::Refused(Notice { title, body: line(&error.message, BODY_LIMIT) })
            };
            // Nobody to show it means that the app is ending.
            drop(words.send(word));
        });
    }
}
