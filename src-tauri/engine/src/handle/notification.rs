//! Answers that come from the buttons of desktop notifications.
//!
//! Whose press it was is for the desktop app to find out, which knows the bus.
//! Here is known since when each notification stands where it is, and whether
//! the person wants approvals from there at all.

use std::time::Instant;

use nod_core::access::{Actor, Surface, Verb, allowed};
use nod_core::ids::RequestId;
use nod_core::protocol::{ErrorReply, GiveAnswer, Reply};

use super::Handle;
use crate::dispatcher::{Answering, Change};
use crate::error::EngineError;
use crate::sight::Seen;

impl Handle {
    /// Returns whether the person has Approve be a button of notifications.
    #[must_use]
    pub fn allows_notification_approvals(&self) -> bool {
        self.inner.rules.book().notification_approvals
    }

    /// Notes that a notification shows a question from now on, by the hash of what it shows.
    pub fn is_notified(&self, request: RequestId, shown: &str) {
        self.inner.notifications.renew(Seen::Request(request, shown.to_owned()), Instant::now());
    }

    /// Notes that a notification came or went: those that stay may have moved under the pointer. A
    /// question that went itself may have been answered by that.
    pub fn notifications_moved(&self, gone: Option<(RequestId, &str)>) {
        let gone = gone.map(|(request, shown)| Seen::Request(request, shown.to_owned()));
        self.inner.notifications.renew_all_but(gone.as_ref(), Instant::now());
    }

    /// Carries out an answer that was given with a button; `server` is what showed it.
    pub async fn answer_in_notification(
        &self,
        given: GiveAnswer,
        server: String,
    ) -> Result<Reply, ErrorReply> {
        let actor = Actor::Person { surface: Surface::Notification };
        allowed(&actor, Verb::Answer, None).map_err(EngineError::from)?;
        let seen = Seen::Request(given.request, given.shown.clone());
        let shown_ms = self.inner.notifications.shown_ms(&seen);
        let answering = Answering { given, from: Some(server), shown_ms };
        Ok(self.change(&actor, Change::Answer(Box::new(answering))).await?)
    }

    /// Forgets a question that no notification shows any more.
    pub fn is_notified_no_more(&self, request: RequestId, shown: &str) {
        self.inner.notifications.forget(&Seen::Request(request, shown.to_owned()));
    }
}
