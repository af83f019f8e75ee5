//! Answers that come from a terminal, where the person has turned that on.

use nod_core::access::{Actor, Surface, Verb, allowed};
use nod_core::protocol::{ErrorReply, GiveAnswer, Reply};

use super::Handle;
use crate::dispatcher::{Answering, Change};
use crate::error::EngineError;
use crate::sight::{Seen, Sight};
use crate::terminals::{Distrust, Terminal, find};

/// Who is at the other end of a connection, as the system says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) pid: u32,
    /// When it connected, in milliseconds since the boot.
    pub(crate) connected_ms: u64,
}

impl Handle {
    /// Returns the terminal that a caller speaks for a person at.
    pub(crate) async fn terminal_of(&self, caller: Caller) -> Result<Terminal, ErrorReply> {
        let found = self.blocking(move |handle| {
            handle.check_terminals_are_on()?;
            Ok(find(caller.pid, caller.connected_ms, &handle.inner.nod)?)
        });
        let found = found.await;
        if let Err(error) = &found {
            tracing::warn!(pid = caller.pid, "not believed at a terminal: {error}");
        }
        Ok(found?)
    }

    /// Carries out an answer that came from a terminal.
    pub(crate) async fn answer_at(
        &self,
        (terminal, caller): (Terminal, Caller),
        sight: &Sight,
        given: GiveAnswer,
    ) -> Result<Reply, ErrorReply> {
        let actor = Actor::Person { surface: Surface::Terminal };
        allowed(&actor, Verb::Answer, None).map_err(EngineError::from)?;
        let shown_ms = sight.shown_ms(&Seen::Request(given.request, given.shown.clone()));
        // What held when it said hello may hold no longer.
        let looked = self.blocking(move |handle| {
            handle.check_terminals_are_on()?;
            let terminal = terminal.again(caller.connected_ms, &handle.inner.nod)?;
            Ok((terminal, handle.whole_answer(given)?))
        });
        let (terminal, given) = looked.await?;
        let answering = Answering { given, from: Some(terminal.words), shown_ms };
        Ok(self.change(&actor, Change::Answer(Box::new(answering))).await?)
    }

    /// Both must say so: the file as it is now, and what the person has confirmed of it.
    fn check_terminals_are_on(&self) -> Result<(), Distrust> {
        if !self.refreshed_config().config.approvals.terminal {
            return Err(Distrust::Off);
        }
        if !self.inner.rules.book().held.terminal_approvals {
            return Err(Distrust::Unconfirmed);
        }
        Ok(())
    }
}
