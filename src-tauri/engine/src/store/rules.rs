//! The rules that were made in the window, and what of the config file holds.

use nod_core::access::Actor;
use nod_core::guard::{Guards, Loosening};
use nod_core::ids::Timestamp;
use nod_core::protocol::KeptRule;
use nod_core::rule::{Rule, RuleId};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::StoreError;
use super::read::{Reader, json};
use super::write::text;

/// The setting that has Approve be a button of notifications.
const NOTIFICATION_APPROVALS: &str = "notification_approvals";

/// A change of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleChange {
    Added {
        id: RuleId,
        rule: Rule,
        at: Timestamp,
        by: Actor,
    },
    Revoked {
        id: RuleId,
        at: Timestamp,
    },
    /// The time of a rule is up: its name among those of which the audit says so.
    Expired {
        rule: String,
        at: Timestamp,
    },
    /// This is what holds of the config file from now on.
    Held(KeptGuards),
    /// Approve is a button of notifications from now on, or no longer.
    NotificationApprovals(bool),
}

/// What holds of the config file, and what the person was asked to confirm.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeptGuards {
    pub held: Guards,
    pub asked: Option<Loosening>,
}

pub(super) fn write(transaction: &Transaction<'_>, change: &RuleChange) -> Result<(), StoreError> {
    match change {
        RuleChange::Added { id, rule, at, by } => transaction.execute(
            "INSERT INTO rules (id, rule, made_at, made_by) VALUES (?1, ?2, ?3, ?4)",
            params![id.0, text(rule), at.0, text(by)],
        ),
        RuleChange::Revoked { id, at } => transaction
            .execute("UPDATE rules SET revoked_at = ?2 WHERE id = ?1", params![id.0, at.0]),
        RuleChange::Expired { rule, at } => transaction.execute(
            "INSERT OR IGNORE INTO expired_rules (rule, at) VALUES (?1, ?2)",
            params![rule, at.0],
        ),
        RuleChange::Held(guards) => transaction.execute(
            "INSERT INTO guards (id, held, asked) VALUES (1, ?1, ?2)
             ON CONFLICT (id) DO UPDATE SET held = excluded.held, asked = excluded.asked",
            params![text(&guards.held), guards.asked.as_ref().map(text)],
        ),
        RuleChange::NotificationApprovals(allowed) => transaction.execute(
            "INSERT INTO settings (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            params![NOTIFICATION_APPROVALS, text(allowed)],
        ),
    }?;
    Ok(())
}

impl Reader {
    /// Returns the rules that were made in the window and not revoked, the newest first.
    pub(crate) fn rules(&self) -> Result<Vec<KeptRule>, StoreError> {
        let sql = "SELECT id, rule, made_at, made_by FROM rules WHERE revoked_at IS NULL
             ORDER BY id DESC";
        self.rows(sql, [], kept_rule)
    }

    /// Returns the last number that a rule was given.
    pub(crate) fn last_rule(&self) -> Result<RuleId, StoreError> {
        let last = self.rows("SELECT coalesce(max(id), 0) FROM rules", [], |row| Ok(row.get(0)?));
        Ok(RuleId(last?.into_iter().next().unwrap_or(0)))
    }

    /// Returns whether the person has Approve be a button of notifications.
    pub(crate) fn notification_approvals(&self) -> Result<bool, StoreError> {
        let sql = "SELECT value FROM settings WHERE name = ?1";
        let values: Vec<String> =
            self.rows(sql, [NOTIFICATION_APPROVALS], |row| Ok(row.get(0)?))?;
        Ok(values.first().is_some_and(|value| *value == text(&true)))
    }

    /// Returns what held of the config file last.
    pub(crate) fn guards(&self) -> Result<KeptGuards, StoreError> {
        let sql = "SELECT held, asked FROM guards WHERE id = 1";
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?));
        let Some((held, asked)) = self.one(sql, read).optional()? else {
            return Ok(KeptGuards::default());
        };
        let asked = asked.map(|asked| json("guards", 1, &asked)).transpose()?;
        Ok(KeptGuards { held: json("guards", 1, &held)?, asked })
    }

    /// Returns the rules of which the audit says that their time is up.
    pub(crate) fn expired_rules(&self) -> Result<Vec<String>, StoreError> {
        self.rows("SELECT rule FROM expired_rules", [], |row| Ok(row.get(0)?))
    }
}

fn kept_rule(row: &Row<'_>) -> Result<KeptRule, StoreError> {
    let id: i64 = row.get(0)?;
    Ok(KeptRule {
        id: Some(RuleId(id)),
        rule: json("rules", id, &row.get::<_, String>(1)?)?,
        made_at: Some(Timestamp(row.get(2)?)),
        made_by: Some(json("rules", id, &row.get::<_, String>(3)?)?),
        is_dropped: false,
    })
}
