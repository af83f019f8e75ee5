//! What went wrong, as clients are told.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::question::FieldError;

/// An error as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS, thiserror::Error)]
#[error("{message}")]
pub struct ErrorReply {
    pub code: ErrorCode,
    /// A sentence for a person: what is wrong, and what to do.
    pub message: String,
    /// What is wrong with the fields of an answer, where that is what is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<FieldError>>")]
    pub fields: Vec<FieldError>,
}

/// The part of an error that a client may branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The message is no valid call.
    BadRequest,
    /// The protocol's version is not spoken here.
    Version,
    NotFound,
    /// Too late, or in another state.
    Conflict,
    /// Nobody can have read yet what is agreed to: look at it, then try again.
    TooEarly,
    Forbidden,
    /// An answer does not fit its question; its fields are named.
    Invalid,
    /// Too much of it at once: wait, then try again.
    Busy,
    /// The disk is full or cannot be written.
    Storage,
    /// The host is going; try again with the next one.
    Stopping,
    Internal,
}

impl ErrorReply {
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fields: vec![] }
    }
}
