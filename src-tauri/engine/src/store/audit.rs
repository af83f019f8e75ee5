//! The audit: who decided what, from where, on what they had been shown. Rows are only ever added.

use nod_core::ids::{RequestId, TaskId, Timestamp};
use nod_core::protocol::{AuditPage, AuditQuery, AuditRow, AuditWhat};
use rusqlite::{Row, Transaction, params};

use super::StoreError;
use super::read::{PAGE_BYTES, Reader, json};
use super::write::text;

/// How many rows one page holds at the most, and how many without a wish.
const PAGE_LIMIT: u32 = 500;
const PAGE_USUAL: u32 = 100;

/// What concerns the rules, as the index of those rows says it.
const OF_RULES: &str = "what IN ('rule_added', 'rule_revoked', 'rule_expired', 'tightened',
    'loosening_asked', 'loosening_taken_back', 'loosened')";

/// Adds a row, which gets its number here.
pub(super) fn append(transaction: &Transaction<'_>, row: &AuditRow) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO audit (at, what, actor, from_where, task_id, request_id, asked_by, shown,
                 hash, answer, comment, detail, also_asked)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            row.at.0,
            row.what.as_str(),
            text(&row.actor),
            row.from,
            row.task.map(|task| task.0),
            row.request.map(|request| request.0),
            row.asked_by.as_ref().map(text),
            row.shown.as_ref().map(text),
            row.hash,
            row.answer.as_ref().map(text),
            row.comment,
            row.detail,
            (!row.also_asked_by.is_empty()).then(|| text(&row.also_asked_by)),
        ])?;
    Ok(())
}

impl Reader {
    /// Returns a page of the audit, newest first.
    pub(crate) fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let limit = query.limit.unwrap_or(PAGE_USUAL).clamp(1, PAGE_LIMIT);
        let of_task = if query.task.is_some() { "task_id = ?1" } else { "?1 IS NULL" };
        let of_rules = if query.rules { OF_RULES } else { "TRUE" };
        let sql = format!(
            "SELECT id, at, what, actor, from_where, task_id, request_id, asked_by, shown, hash,
                 answer, comment, detail, also_asked
             FROM audit WHERE {of_task} AND {of_rules} AND id < ?2 ORDER BY id DESC LIMIT ?3"
        );
        let before = query.before.unwrap_or(i64::MAX);
        let task = query.task.map(|task| task.0);
        let mut rows = self.rows(&sql, params![task, before, limit + 1], audit_row)?;
        let kept = fitting(&rows).min(limit as usize);
        let more = rows.len() > kept;
        rows.truncate(kept);
        let next = if more { rows.last().map(|row| row.id) } else { None };
        Ok(AuditPage { rows, next })
    }
}

/// Returns how many of the rows fit into one message, at least one.
fn fitting(rows: &[AuditRow]) -> usize {
    let mut size = 0;
    let fits = |row: &&AuditRow| {
        size += text(row).len();
        size <= PAGE_BYTES
    };
    rows.iter().take_while(fits).count().max(1)
}

fn audit_row(row: &Row<'_>) -> Result<AuditRow, StoreError> {
    let id: i64 = row.get(0)?;
    let what: String = row.get(2)?;
    let column = |column: usize| row.get::<_, Option<String>>(column);
    fn read<T: serde::de::DeserializeOwned>(
        id: i64,
        column: Option<String>,
    ) -> Result<Option<T>, StoreError> {
        column.map(|column| json("audit", id, &column)).transpose()
    }
    Ok(AuditRow {
        id,
        at: Timestamp(row.get(1)?),
        what: AuditWhat::parse(&what).ok_or(StoreError::UnknownAudit { id, what })?,
        actor: json("audit", id, &row.get::<_, String>(3)?)?,
        from: column(4)?,
        task: row.get::<_, Option<i64>>(5)?.map(TaskId),
        request: row.get::<_, Option<i64>>(6)?.map(RequestId),
        asked_by: read(id, column(7)?)?,
        shown: read(id, column(8)?)?,
        hash: column(9)?,
        answer: read(id, column(10)?)?,
        comment: column(11)?,
        detail: column(12)?,
        also_asked_by: read(id, column(13)?)?.unwrap_or_default(),
    })
}
