//! Calls that only look: they are told what holds after their turn, whether that could be stored or
//! not. On a full disk there is all the more to look at.

use nod_core::protocol::Reply;

use super::message::ReplyTo;
use super::{Dispatcher, answer};

/// What a caller wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Groups,
    Rules,
}

impl Dispatcher {
    /// Tells those who look what there is to see now.
    pub(super) fn show(&self, looks: Vec<(ReplyTo, Look)>) {
        for (reply, look) in looks {
            let seen = match look {
                Look::Groups => Reply::Groups { groups: self.groups(), note: None },
                Look::Rules => self.rule_list(),
            };
            answer(reply, Ok(seen));
        }
    }
}
