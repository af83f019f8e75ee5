//! How a task talks with the world beside questions: waiting, signals, messages, its own outcome.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use crate::access::Actor;
use crate::ids::{OperationId, TaskId, Timestamp};
use crate::request::APPROVAL_KEY;
use crate::task::TaskSaid;
use crate::text::is_visible;

/// The longest key, message and data of a signal, in bytes.
pub(super) const KEY_LIMIT: usize = 200;
pub(super) const MESSAGE_TEXT_LIMIT: usize = 16 * 1024;
pub(super) const SIGNAL_LIMIT: usize = 64 * 1024;

/// A wait of the calling task for a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Await {
    pub operation: OperationId,
    pub key: String,
    /// How long at the most, in milliseconds; 0 only looks.
    pub timeout_ms: Option<u64>,
    /// When to go on without a signal, which is no failure.
    #[serde(default)]
    pub resume_at: Option<Timestamp>,
}

/// A signal to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Notify {
    pub operation: OperationId,
    pub id: TaskId,
    pub key: String,
    #[ts(type = "unknown")]
    pub data: Value,
}

/// A message to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Feedback {
    pub operation: OperationId,
    pub id: TaskId,
    pub text: String,
    /// Ends the waits of the task, too.
    #[serde(default)]
    pub interrupt: bool,
}

/// Asks for the messages that the calling task has not seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
pub struct ReadInbox {
    /// The last message that was taken in: it and those before it do not come again.
    #[serde(default)]
    pub seen: Option<i64>,
    /// Waits for a message where there is none.
    #[serde(default)]
    pub follow: bool,
}

/// Words of the calling task to the agent that its result is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Tell {
    pub operation: OperationId,
    pub text: String,
    #[serde(default)]
    pub urgent: bool,
}

/// What the calling task says of its own outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SayOutcome {
    pub operation: OperationId,
    pub said: TaskSaid,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WaitEnd {
    Signal {
        #[ts(type = "unknown")]
        data: Value,
    },
    /// No signal came in time.
    Expired,
    /// The moment has come to go on without one.
    Resumed,
    /// A message came that is not to wait.
    Interrupted { text: String },
}

/// A message to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct InboxMessage {
    pub id: i64,
    pub at: Timestamp,
    pub by: Actor,
    pub text: String,
    pub interrupt: bool,
}

/// Why something cannot be said to a task, or by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TalkError {
    #[error(
        "the key `{APPROVAL_KEY}` is for people alone: a request is answered in the Nod window"
    )]
    KeyOfPeople,
    #[error("a key is 1 to {KEY_LIMIT} bytes of text that can be seen")]
    BadKey,
    #[error("there is nothing in the message")]
    Empty,
    #[error("{what} is too long: {limit} bytes at most")]
    TooLong { what: &'static str, limit: usize },
}

/// Returns whether a signal may have this key.
pub fn check_key(key: &str) -> Result<(), TalkError> {
    if key.trim().eq_ignore_ascii_case(APPROVAL_KEY) {
        return Err(TalkError::KeyOfPeople);
    }
    if is_visible(key) && key.len() <= KEY_LIMIT { Ok(()) } else { Err(TalkError::BadKey) }
}

/// Returns whether a message may have this text.
pub fn check_text(text: &str) -> Result<(), TalkError> {
    if !is_visible(text) {
        return Err(TalkError::Empty);
    }
    if text.len() > MESSAGE_TEXT_LIMIT {
        return Err(TalkError::TooLong { what: "the message", limit: MESSAGE_TEXT_LIMIT });
    }
    Ok(())
}

/// Returns whether data may be handed on.
pub fn check_data(data: &Value) -> Result<(), TalkError> {
    if data.to_string().len() > SIGNAL_LIMIT {
        return Err(TalkError::TooLong { what: "the data", limit: SIGNAL_LIMIT });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_people_is_nobodys() {
        for key in ["approval", "Approval", " approval "] {
            assert_eq!(check_key(key), Err(TalkError::KeyOfPeople));
        }
        for key in ["", " ", "\u{202e}", &"x".repeat(KEY_LIMIT + 1)] {
            assert_eq!(check_key(key), Err(TalkError::BadKey));
        }
        assert_eq!(check_key("approvals"), Ok(()));
    }
}
