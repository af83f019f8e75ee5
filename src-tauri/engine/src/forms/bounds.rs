//! What a schema may cost: known before anything of it is compiled.

use std::collections::{BTreeSet, HashMap};

use nod_core::question::{DEPTH_LIMIT, FieldError, SCHEMA_LIMIT};
use serde_json::Value;

use super::choices::check_choices;
use super::shortened;

/// How many subschemas a schema may come to once every reference is followed.
const WORK_LIMIT: usize = 2_000;

/// How many patterns a schema may have that differ, and how many bytes all of them.
const PATTERNS_LIMIT: usize = 64;
const PATTERNS_LENGTH: usize = 4 * 1024;

/// Words for what nothing else has spoken of: all else beside them is compiled for them once more.
const AGAIN: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

/// Words that reach outside of a schema, or that name parts of it in ways that are not followed here.
const REFUSED: [&str; 6] =
    ["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$vocabulary"];

/// Why a schema makes no form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("the schema is too large: {SCHEMA_LIMIT} bytes of JSON at most")]
    TooLarge,
    #[error("the schema is nested more than {DEPTH_LIMIT} levels of data deep")]
    TooDeep,
    #[error("the schema is too much work: {WORK_LIMIT} subschemas at most, references followed")]
    TooMuch,
    #[error(
        "the schema has too many patterns: {PATTERNS_LIMIT}, and {PATTERNS_LENGTH} bytes of them, \
         at most"
    )]
    ManyPatterns,
    #[error("the schema refers to {0}, which is not a part of it")]
    Outside(String),
    #[error("the schema refers to itself at {0}: a form has an end")]
    Endless(String),
    #[error("the schema may not use `{0}`")]
    Refused(&'static str),
    #[error("the schema offers {0}, which no window holds exactly: write it as a text")]
    Inexact(String),
    #[error("the choice `{0}` cannot be seen, or looks like another one")]
    Alike(String),
    #[error("the schema cannot be used: {0}")]
    Invalid(String),
    #[error("the default does not fit the schema: {} {}", .0.field, .0.message)]
    BadDefault(FieldError),
}

/// Refuses what is too large, too deep, endless, or refers to something else; returns how many
/// patterns there are to compile.
pub(super) fn check(schema: &Value) -> Result<usize, FormError> {
    if schema.to_string().len() > SCHEMA_LIMIT {
        return Err(FormError::TooLarge);
    }
    // A level of data takes two of a schema: `properties`, and the name of the property.
    if depth(schema) > 2 * DEPTH_LIMIT + 2 {
        return Err(FormError::TooDeep);
    }
    let mut walk = Walk { root: schema, work: HashMap::new(), patterns: BTreeSet::new() };
    walk.work(schema)?;
    let length: usize = walk.patterns.iter().map(|pattern| pattern.len()).sum();
    if walk.patterns.len() > PATTERNS_LIMIT || length > PATTERNS_LENGTH {
        return Err(FormError::ManyPatterns);
    }
    Ok(walk.patterns.len())
}

/// Counts how many subschemas a schema comes to, and collects its patterns.
struct Walk<'a> {
    root: &'a Value,
    /// By reference; nothing while it is being counted.
    work: HashMap<&'a str, Option<usize>>,
    /// What may be one, wherever it stands.
    patterns: BTreeSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn work(&mut self, part: &'a Value) -> Result<usize, FormError> {
        let mut work = 1;
        match part {
            Value::Object(fields) => {
                if let Some(word) = REFUSED.into_iter().find(|word| fields.contains_key(*word)) {
                    return Err(FormError::Refused(word));
                }
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    work += self.of_reference(reference)?;
                }
                check_choices(self.root, fields)?;
                if let Some(Value::String(pattern)) = fields.get("pattern") {
                    self.patterns.insert(pattern);
                }
                if let Some(Value::Object(by_pattern)) = fields.get("patternProperties") {
                    self.patterns.extend(by_pattern.keys().map(String::as_str));
                }
                for field in fields.values() {
                    work += self.work(field)?;
                }
                for _ in AGAIN.into_iter().filter(|word| fields.contains_key(*word)) {
                    work = work.saturating_mul(3);
                }
            }
            Value::Array(items) => {
                for item in items {
                    work += self.work(item)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        if work > WORK_LIMIT { Err(FormError::TooMuch) } else { Ok(work) }
    }

    fn of_reference(&mut self, reference: &'a str) -> Result<usize, FormError> {
        match self.work.get(reference) {
            Some(Some(work)) => return Ok(*work),
            Some(None) => return Err(FormError::Endless(shortened(reference))),
            None => {}
        }
        let target = target(self.root, reference);
        let target = target.ok_or_else(|| FormError::Outside(shortened(reference)))?;
        self.work.insert(reference, None);
        let work = self.work(target)?;
        self.work.insert(reference, Some(work));
        Ok(work)
    }
}

/// Returns the part of a schema that a reference names.
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    // What is percent-encoded can be written otherwise.
    if pointer.contains('%') { None } else { root.pointer(pointer) }
}

pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
