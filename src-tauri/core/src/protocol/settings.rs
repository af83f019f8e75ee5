//! What a person has set in the window, and what is in force beside it.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What a person has set, and what else decides how they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Settings {
    /// Approve is a button of notifications that show all that is approved.
    pub notification_approvals: bool,
    pub notifications: NotificationsBy,
    pub config: ConfigInForce,
}

/// Who shows notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NotificationsBy {
    /// This host has no window, and shows none.
    Nobody,
    Server(NotificationServer),
    /// Nothing on the desktop does, or it does not say.
    Missing {
        why: String,
    },
}

/// The program of the desktop that shows notifications, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct NotificationServer {
    pub name: String,
    pub version: String,
    /// It shows buttons.
    pub actions: bool,
}

/// What holds of the config file, as far as it decides how a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ConfigInForce {
    /// Where the file lies, or would.
    pub file: String,
    pub is_there: bool,
    /// What is wrong with it, where the last version without an error holds.
    pub error: Option<String>,
    /// `nod approve` and `nod deny` work in a terminal.
    pub terminal_approvals: bool,
    /// The group of a task that names none, and its slots.
    pub default_group: String,
    pub default_slots: u32,
    /// How long each signal of a cancel may take to work.
    pub grace_ms: u64,
}
