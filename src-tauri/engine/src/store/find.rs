//! Pages of tasks, and the tasks in which a text is found.

use nod_core::ids::TaskId;
use nod_core::protocol::{ListQuery, Page};
use nod_core::task::Task;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::StoreError;
use super::read::{PAGE_BYTES, Reader, TASK, UNFINISHED, task_row};

/// How many tasks one page holds at the most.
const PAGE_LIMIT: u32 = 500;

/// How many ended tasks are looked through for a search too short for the index.
const SHORT_SEARCH_ROWS: i64 = 20_000;

/// The shortest text that the trigram index finds, in characters.
const TRIGRAM: usize = 3;

/// Where a list looks. The search is read first, in the order of the ids that it finds, and only
/// as far as the page goes: neither a sort nor a set of all that a common word is found in.
#[derive(Clone, Copy)]
enum Place {
    Tasks,
    Search,
}

impl Place {
    fn tables(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Search => "task_search CROSS JOIN tasks ON tasks.id = task_search.rowid",
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::Tasks => "tasks.id",
            Self::Search => "task_search.rowid",
        }
    }
}

impl Reader {
    /// Returns a page of tasks, newest first.
    pub(crate) fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let limit = query.limit.unwrap_or(100).clamp(1, PAGE_LIMIT);
        let search = query.search.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let mut tasks = match search {
            None => self.matching(Place::Tasks, ("1", vec![]), query, limit + 1)?,
            Some(text) => self.found(text, query, limit + 1)?,
        };
        let kept = fitting(&tasks).min(limit as usize);
        let more = tasks.len() > kept;
        tasks.truncate(kept);
        let next = if more { tasks.last().map(|task| task.id) } else { None };
        Ok(Page { tasks, next })
    }

    /// Returns the tasks that `text` is found in: unfinished ones by looking, ended ones by index.
    fn found(&self, text: &str, query: &ListQuery, limit: u32) -> Result<Vec<Task>, StoreError> {
        let pattern =
            format!("%{}%", text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_"));
        let like = |column: &str| format!("{column} LIKE ? ESCAPE '\\'");
        let fields = |columns: [&str; 3]| columns.map(like).join(" OR ");
        let condition = format!("{UNFINISHED} AND ({} OR {})", like("label"), like("command_text"));
        let patterns = |n: usize| vec![Value::Text(pattern.clone()); n];
        let mut tasks = self.matching(Place::Tasks, (&condition, patterns(2)), query, limit)?;
        let ended = if text.chars().count() >= TRIGRAM {
            let phrase = format!("\"{}\"", text.replace('"', "\"\""));
            let condition = ("task_search MATCH ?", vec![Value::Text(phrase)]);
            self.matching(Place::Search, condition, query, limit)?
        } else {
            let condition = format!(
                "task_search.rowid > (SELECT max(id) FROM tasks) - {SHORT_SEARCH_ROWS} AND ({})",
                fields(["task_search.label", "task_search.command", "tail"])
            );
            self.matching(Place::Search, (&condition, patterns(3)), query, limit)?
        };
        tasks.extend(ended);
        tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
        tasks.dedup_by_key(|task| task.id);
        tasks.truncate(limit as usize);
        Ok(tasks)
    }

    fn matching(
        &self,
        place: Place,
        (condition, mut values): (&str, Vec<Value>),
        query: &ListQuery,
        limit: u32,
    ) -> Result<Vec<Task>, StoreError> {
        let (tables, id) = (place.tables(), place.id());
        let mut sql = format!("SELECT {TASK} FROM {tables} WHERE ({condition})");
        if !query.states.is_empty() {
            let marks = vec!["?"; query.states.len()].join(", ");
            sql.push_str(&format!(" AND state IN ({marks})"));
            values.extend(query.states.iter().map(|state| Value::Text(state.as_str().to_owned())));
        }
        if let Some(TaskId(before)) = query.before {
            sql.push_str(&format!(" AND {id} < ?"));
            values.push(Value::Integer(before));
        }
        sql.push_str(&format!(" ORDER BY {id} DESC LIMIT ?"));
        values.push(Value::Integer(i64::from(limit)));
        let rows = self.rows(&sql, params_from_iter(values), task_row)?;
        Ok(rows.into_iter().map(|row| row.task).collect())
    }
}

/// Returns how many of the tasks fit into one message, at least one.
fn fitting(tasks: &[Task]) -> usize {
    let mut size = 0;
    let fits = |task: &&Task| {
        size += serde_json::to_string(task).map_or(0, |json| json.len());
        size <= PAGE_BYTES
    };
    tasks.iter().take_while(fits).count().max(1)
}
