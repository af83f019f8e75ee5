//! Reading what can be read of a damaged history into a new one.
//!
//! Row by row, past what cannot be read: a page that is garbled takes the rows
//! that were on it, and nothing else.

mod baseline;

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row, ToSql, params_from_iter};

use super::read::Reader;
use super::remove::keep_last_event;
use super::{MIGRATIONS, StoreError, configure, migrations, open_reader, version};

/// Numbers in a row that are tried one by one after one that cannot be read; then in longer steps.
const SMALL_STEPS: i64 = 500;

/// The migration with which rules came, and a row of what holds that is there from the first start.
const RULES_SINCE: usize = 4;

/// What a rescue came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rescued {
    pub(crate) tasks: u64,
    /// Rows that were there and could not be read or understood, as far as that can be told.
    pub(crate) lost: u64,
    /// What the old history said of rules is all there.
    knows_rules: bool,
    /// It may have held rules at all.
    had_rules: bool,
}

/// Writes what can be read of `old` to `fresh`.
pub(crate) fn rescue(old: &Path, fresh: &Path) -> Result<Rescued, StoreError> {
    let opened = |source| StoreError::Open { path: fresh.to_owned(), source };
    let mut new = Connection::open(fresh).map_err(opened)?;
    configure(&new).map_err(opened)?;
    // The whole is thrown away if it does not come to its end.
    new.pragma_update(None, "synchronous", "OFF").map_err(opened)?;
    new.pragma_update(None, "foreign_keys", false).map_err(opened)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut rescued = Rescued { had_rules: true, ..Rescued::default() };
    match Connection::open_with_flags(old, flags) {
        Ok(old) => copy(&old, &mut new, fresh, &mut rescued)?,
        Err(error) => tracing::warn!("nothing of the damaged history can be read: {error}"),
    }
    migrate(&mut new, fresh, MIGRATIONS.len())?;
    weed(&new, fresh, &mut rescued)?;
    // Whether what was allowed still is may be among what is lost: the person says so again.
    forget_settings(&new)?;
    if rescued.had_rules {
        baseline::keep(&new, rescued.knows_rules)?;
    }
    new.pragma_update(None, "synchronous", "FULL")?;
    new.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
    Ok(rescued)
}

fn migrate(new: &mut Connection, path: &Path, version: usize) -> Result<(), StoreError> {
    migrations()
        .to_version(new, version)
        .map_err(|source| StoreError::Migrate { path: path.to_owned(), source })
}

fn copy(
    old: &Connection,
    new: &mut Connection,
    fresh: &Path,
    rescued: &mut Rescued,
) -> Result<(), StoreError> {
    // Tables as the old history had them; what cannot be told was most likely of this version.
    let known = version(old).ok().filter(|version| (1..=MIGRATIONS.len()).contains(version));
    migrate(new, fresh, known.unwrap_or(MIGRATIONS.len()))?;
    let transaction = new.transaction()?;
    rescued.knows_rules = known.is_some();
    for table in tables(&transaction)? {
        let lost = Table { old, new: &transaction, name: &table }.copy()?;
        rescued.lost += lost;
        rescued.knows_rules &= lost == 0 || !matches!(table.as_str(), "rules" | "guards");
    }
    rescued.had_rules = known.is_none_or(|version| version >= RULES_SINCE);
    // A number that was given once is not given again.
    if let Ok(rows) = numbers(old) {
        for (table, last) in rows {
            transaction.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
                (&table, last),
            )?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn numbers(old: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    let mut statement = old.prepare("SELECT name, seq FROM sqlite_sequence")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Returns the tables that are to be copied: the counts follow from the tasks, by their triggers.
fn tables(new: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = new.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'counts'
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'task\\_search\\_%' ESCAPE '\\'
         ORDER BY rowid",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// One table on its way from the old history to the new one.
struct Table<'a> {
    old: &'a Connection,
    new: &'a Connection,
    name: &'a str,
}

impl Table<'_> {
    /// Copies what can be read, and returns how many rows surely could not.
    fn copy(&self) -> Result<u64, StoreError> {
        let columns = self.columns()?;
        if columns.is_empty() {
            return Ok(0);
        }
        let numbered = self.new.prepare(&format!("SELECT rowid FROM {}", self.name)).is_ok();
        if numbered { self.copy_by_number(&columns) } else { self.copy_by_key(&columns) }
    }

    /// Returns the columns that both have.
    fn columns(&self) -> Result<Vec<String>, StoreError> {
        let of = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
            let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
            statement.query_map([self.name], |row| row.get(0))?.collect()
        };
        let mut columns = of(self.new)?;
        let old = of(self.old).unwrap_or_default();
        columns.retain(|column| old.contains(column));
        Ok(columns)
    }

    fn copy_by_number(&self, columns: &[String]) -> Result<u64, StoreError> {
        let list = columns.join(", ");
        let all =
            format!("SELECT rowid, {list} FROM {} WHERE rowid > ?1 ORDER BY rowid", self.name);
        let (names, skipped) = self.names(columns)?;
        let (mut last, mut lost) = (0, 0);
        loop {
            let after = last;
            let read = self.each(&all, &[&after], columns.len() + 1, |values| {
                if let Some(Value::Integer(number)) = values.first() {
                    last = *number;
                }
                lost += u64::from(!self.insert(&names, &values[skipped..]));
            });
            if read {
                return Ok(lost);
            }
            lost += 1;
            match self.next_readable(last, &list) {
                Some(next) => last = next - 1,
                None => return Ok(lost),
            }
        }
    }

    /// Returns what a numbered row is inserted as, and how many of its values that leaves out: the
    /// number is a value of its own only where no column bears it.
    fn names(&self, columns: &[String]) -> Result<(Vec<String>, usize), StoreError> {
        let key = "SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0";
        let keys: i64 = self.new.query_row(key, [self.name], |row| row.get(0))?;
        if keys > 0 {
            return Ok((columns.to_vec(), 1));
        }
        let number = std::iter::once("rowid".to_owned());
        Ok((number.chain(columns.iter().cloned()).collect(), 0))
    }

    /// Returns the first number after `last` whose whole row can be read, past those that cannot.
    fn next_readable(&self, last: i64, list: &str) -> Option<i64> {
        // With every column: an index alone would find rows whose page is gone.
        let sql = format!(
            "SELECT rowid, {list} FROM {} WHERE rowid > ?1 ORDER BY rowid LIMIT 1",
            self.name
        );
        let mut step = 1_i64;
        while step < 1 << 40 {
            let from = last.saturating_add(step);
            match self.old.query_row(&sql, [from], |row| row.get(0)) {
                Ok(number) => return Some(number),
                Err(rusqlite::Error::QueryReturnedNoRows) => return None,
                Err(_) if step < SMALL_STEPS => step += 1,
                Err(_) => step *= 2,
            }
        }
        None
    }

    /// Copies from both ends: a table without numbers cannot be entered in its middle.
    fn copy_by_key(&self, columns: &[String]) -> Result<u64, StoreError> {
        let list = columns.join(", ");
        let key = format!(
            "SELECT group_concat(name) FROM (
                 SELECT name FROM pragma_table_info('{}') WHERE pk > 0 ORDER BY pk)",
            self.name
        );
        let key: String = self.new.query_row(&key, [], |row| row.get(0))?;
        let mut lost = 0;
        let descending = key.split(',').map(|name| format!("{name} DESC")).collect::<Vec<_>>();
        for order in [key.clone(), descending.join(", ")] {
            let sql = format!("SELECT {list} FROM {} ORDER BY {order}", self.name);
            let read = self.each(&sql, &[], columns.len(), |values| {
                lost += u64::from(!self.insert(columns, &values));
            });
            if read {
                return Ok(lost);
            }
        }
        Ok(lost + 1)
    }

    /// Calls `take` with each row, and returns whether the last one was reached.
    fn each(
        &self,
        sql: &str,
        parameters: &[&dyn ToSql],
        width: usize,
        mut take: impl FnMut(Vec<Value>),
    ) -> bool {
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.old.prepare(sql)?;
            let mut rows = statement.query(parameters)?;
            while let Some(row) = rows.next()? {
                let values: rusqlite::Result<Vec<Value>> =
                    (0..width).map(|n| value(row, n)).collect();
                take(values?);
            }
            Ok(())
        };
        read().is_ok()
    }

    /// Returns whether the row could be taken in; one that is there already is.
    fn insert(&self, columns: &[String], values: &[Value]) -> bool {
        let marks = vec!["?"; columns.len()].join(", ");
        let sql = format!(
            "INSERT OR IGNORE INTO {} ({}) VALUES ({marks})",
            self.name,
            columns.join(", ")
        );
        let inserted = self
            .new
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.execute(params_from_iter(values)));
        inserted.is_ok()
    }
}

fn value(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    row.get(column)
}

/// Has every setting be as at first.
pub(super) fn forget_settings(history: &Connection) -> Result<(), StoreError> {
    history.execute("DELETE FROM settings", [])?;
    Ok(())
}

/// Takes out what cannot be understood or belongs to nothing any more.
fn weed(new: &Connection, path: &Path, rescued: &mut Rescued) -> Result<(), StoreError> {
    // An environment that is gone cannot be opened, which its task says when it is to start.
    new.execute(
        "INSERT OR IGNORE INTO environments (digest, sealed) SELECT environment, x'' FROM tasks",
        [],
    )?;
    keep_last_event(new)?;
    let reader = Reader::over(open_reader(path)?);
    let mut statement = new.prepare("SELECT id FROM tasks")?;
    let ids: Vec<i64> =
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for id in ids {
        if reader.can_read(nod_core::ids::TaskId(id)) {
            rescued.tasks += 1;
            continue;
        }
        rescued.lost += 1;
        for sql in [
            "DELETE FROM requests WHERE task_id = ?1",
            "DELETE FROM attempts WHERE task_id = ?1",
            "DELETE FROM events WHERE task_id = ?1",
            "DELETE FROM task_search WHERE rowid = ?1",
            "DELETE FROM tasks WHERE id = ?1",
        ] {
            new.execute(sql, [id])?;
        }
    }
    for table in ["attempts", "requests"] {
        let orphans = new.execute(
            &format!("DELETE FROM {table} WHERE task_id NOT IN (SELECT id FROM tasks)"),
            [],
        )?;
        rescued.lost += orphans as u64;
    }
    // Should the task come back from its folder, it is searched for anew.
    new.execute("DELETE FROM task_search WHERE rowid NOT IN (SELECT id FROM tasks)", [])?;
    // What ended is found by its label and its command at least.
    new.execute(
        "INSERT INTO task_search (rowid, label, command, tail)
             SELECT id, label, command_text, '' FROM tasks
             WHERE state NOT IN ('queued', 'starting', 'running', 'waiting', 'stopping')
                 AND id NOT IN (SELECT rowid FROM task_search)",
        [],
    )?;
    Ok(())
}
