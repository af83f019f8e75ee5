//! What is asked first after a history was damaged: never less than before.
//!
//! A config file may have been changed to ask for less, and the history alone
//! says that nobody has confirmed that. Where this is lost, nobody can tell
//! what was asked before, so everything is until the person confirms the file.

use nod_core::guard::Guards;
use nod_core::rule::{Rule, Then};
use rusqlite::Connection;

use crate::store::StoreError;
use crate::store::write::text;

/// What the person reads of a rule that stands for those that are lost.
const NAME: &str = "everything, since the history that said what is asked first was damaged";

/// Sees to it that nothing is asked about less than before: `is_whole` says that the old history
/// could be read as far as it speaks of rules.
pub(super) fn keep(new: &Connection, is_whole: bool) -> Result<(), StoreError> {
    let dropped = drop_unreadable(new)?;
    let held = held(new)?;
    if let Some(held) = held.filter(|_| is_whole && dropped == 0) {
        tracing::debug!(rules = held.rules.len(), "what is asked first was kept");
        return Ok(());
    }
    // What let pass may have been revoked, or been followed by a rule that asked.
    new.execute(
        "UPDATE rules SET revoked_at = made_at WHERE revoked_at IS NULL
             AND json_extract(rule, '$.then') = 'need_not_ask'",
        [],
    )?;
    let everything = Rule {
        name: Some(NAME.to_owned()),
        argv: vec!["**".to_owned()],
        then: Then::AskFirst,
        folder: None,
        session: None,
        kind: None,
        expires_at: None,
    };
    let strict = Guards { rules: vec![everything], ..Guards::default() };
    let sql = "INSERT INTO guards (id, held) VALUES (1, ?1)
         ON CONFLICT (id) DO UPDATE SET held = excluded.held";
    new.execute(sql, [text(&strict)])?;
    Ok(())
}

/// Takes out rules that cannot be understood, with which no host would start.
fn drop_unreadable(new: &Connection) -> Result<usize, StoreError> {
    let mut statement = new.prepare("SELECT id, rule, made_by FROM rules")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    })?;
    let mut dropped = 0;
    for row in rows {
        let (id, rule, by): (i64, _, _) = row?;
        let is_read = serde_json::from_str::<Rule>(&rule).is_ok()
            && serde_json::from_str::<nod_core::access::Actor>(&by).is_ok();
        if !is_read {
            dropped += new.execute("DELETE FROM rules WHERE id = ?1", [id])?;
        }
    }
    Ok(dropped)
}

fn held(new: &Connection) -> Result<Option<Guards>, StoreError> {
    let mut statement = new.prepare("SELECT held FROM guards WHERE id = 1")?;
    let mut rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let text = rows.next().transpose()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}
