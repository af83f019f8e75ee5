//! How calls and replies lie on the wire: JSON-RPC 2.0, one message a line.

use serde::{Deserialize, Serialize};

use super::{Call, ErrorCode, ErrorReply, Event, LogPart, Reply, WatchedEvent};
use crate::question::FieldError;

/// A call on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallMessage {
    pub jsonrpc: Version,
    pub id: u64,
    #[serde(flatten)]
    pub call: Call,
}

/// What a host sends on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HostMessage {
    Reply {
        jsonrpc: Version,
        id: u64,
        result: Reply,
    },
    /// The id is missing where the call could not be read at all.
    Error {
        jsonrpc: Version,
        id: Option<u64>,
        error: WireError,
    },
    Notification {
        jsonrpc: Version,
        #[serde(flatten)]
        notification: Notification,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Notification {
    Event(Event),
    Log(LogPart),
    Watched(WatchedEvent),
}

/// An error as JSON-RPC wants it: a number, a text, and ours as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireError {
    pub code: i32,
    pub message: String,
    pub data: WireErrorData,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireErrorData {
    pub code: ErrorCode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldError>,
}

/// The `"jsonrpc": "2.0"` of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Version {
    #[default]
    #[serde(rename = "2.0")]
    Two,
}

impl CallMessage {
    #[must_use]
    pub fn new(id: u64, call: Call) -> Self {
        Self { jsonrpc: Version::Two, id, call }
    }
}

impl HostMessage {
    #[must_use]
    pub fn reply(id: u64, result: Result<Reply, ErrorReply>) -> Self {
        match result {
            Ok(result) => Self::Reply { jsonrpc: Version::Two, id, result },
            Err(error) => Self::error(Some(id), error),
        }
    }

    #[must_use]
    pub fn error(id: Option<u64>, error: ErrorReply) -> Self {
        // -32600 to -32603 are JSON-RPC's own; -32000 stands for every error of the application.
        let code = match error.code {
            ErrorCode::BadRequest => -32600,
            ErrorCode::Internal => -32603,
            ErrorCode::Version
            | ErrorCode::NotFound
            | ErrorCode::Conflict
            | ErrorCode::Forbidden
            | ErrorCode::Invalid
            | ErrorCode::Busy
            | ErrorCode::TooEarly
            | ErrorCode::Storage
            | ErrorCode::Stopping => -32000,
        };
        let data = WireErrorData { code: error.code, fields: error.fields };
        Self::Error {
            jsonrpc: Version::Two,
            id,
            error: WireError { code, message: error.message, data },
        }
    }

    #[must_use]
    pub fn notification(notification: Notification) -> Self {
        Self::Notification { jsonrpc: Version::Two, notification }
    }
}

impl From<WireError> for ErrorReply {
    fn from(error: WireError) -> Self {
        Self { code: error.data.code, message: error.message, fields: error.data.fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Verb;
    use crate::ids::{OperationId, TaskId};
    use crate::protocol::{Hello, PROTOCOL};

    #[test]
    fn a_call_reads_back_from_its_line() {
        let calls = [
            Call::Hello(Hello { protocol: PROTOCOL, token: None, terminal: false, nonce: None }),
            Call::Snapshot,
            Call::Cancel { operation: OperationId("a".into()), id: TaskId(7) },
            Call::ReadLog { id: TaskId(1), offset: 0, limit: 10, attempt: None },
        ];
        for call in calls {
            let message = CallMessage::new(3, call);
            let line = serde_json::to_string(&message).unwrap();
            assert_eq!(serde_json::from_str::<CallMessage>(&line).unwrap(), message, "{line}");
        }
    }

    #[test]
    fn a_call_is_what_json_rpc_says() {
        let message = CallMessage::new(3, Call::Show { id: TaskId(7) });
        let line = serde_json::to_string(&message).unwrap();
        assert_eq!(line, r#"{"jsonrpc":"2.0","id":3,"method":"show","params":{"id":7}}"#);
    }

    #[test]
    fn what_a_host_sends_reads_back() {
        let messages = [
            HostMessage::reply(1, Ok(Reply::Done)),
            HostMessage::reply(2, Err(ErrorReply::new(ErrorCode::NotFound, "no task has id 9"))),
            HostMessage::error(None, ErrorReply::new(ErrorCode::BadRequest, "no JSON")),
            HostMessage::notification(Notification::Log(LogPart {
                offset: 0,
                data: "YQ==".into(),
                size: 1,
                attempt: None,
            })),
        ];
        for message in messages {
            let line = serde_json::to_string(&message).unwrap();
            assert_eq!(serde_json::from_str::<HostMessage>(&line).unwrap(), message, "{line}");
        }
    }

    #[test]
    fn another_version_of_json_rpc_is_refused() {
        let line = r#"{"jsonrpc":"1.0","id":3,"method":"snapshot"}"#;
        assert!(serde_json::from_str::<CallMessage>(line).is_err());
    }

    #[test]
    fn every_verb_is_named_as_its_call() {
        for &verb in Verb::ALL {
            let json = serde_json::to_string(&verb).unwrap();
            assert_eq!(json, format!("\"{}\"", verb.as_str()));
        }
    }
}
