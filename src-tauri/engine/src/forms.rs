//! Forms: whether a schema can be shown, what a form holds at first, and what is wrong with an answer.
//!
//! A schema comes from a task and is no more trusted than its output: it is
//! bounded in size, depth, work and patterns, refers to nothing outside of itself, and
//! its patterns run in linear time.

mod bounds;
mod choices;
mod compiled;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use nod_core::question::{DATA_LIMIT, DEPTH_LIMIT, FieldError};
use serde_json::{Map, Value};

pub(crate) use bounds::FormError;
pub(crate) use compiled::Forms;

use bounds::{depth, target};

/// How many errors a person is shown at once, and how long one may be, in characters.
const ERRORS_LIMIT: usize = 50;
const ERROR_LENGTH: usize = 300;

impl Forms {
    /// Returns what a form of `schema` holds at first.
    ///
    /// With `complete` that must be an answer by itself.
    pub(crate) fn initial(&self, schema: &Value, complete: bool) -> Result<Value, FormError> {
        let validator = self.validator(schema)?;
        let initial = at_first(schema, schema).unwrap_or(Value::Null);
        if complete && let Some(error) = errors(&validator, &initial).into_iter().next() {
            return Err(FormError::BadDefault(error));
        }
        Ok(initial)
    }

    /// Returns `data` with its defaults filled in; or what is wrong with its fields.
    pub(crate) fn filled(&self, schema: &Value, mut data: Value) -> Result<Value, Vec<FieldError>> {
        let whole = |message: String| vec![FieldError { field: String::new(), message }];
        if data.to_string().len() > DATA_LIMIT {
            return Err(whole(format!("this is too large: {DATA_LIMIT} bytes of JSON at most")));
        }
        if depth(&data) > DEPTH_LIMIT {
            return Err(whole(format!("this is nested more than {DEPTH_LIMIT} levels deep")));
        }
        let validator = self.validator(schema).map_err(|error| whole(error.to_string()))?;
        fill(schema, schema, &mut data);
        let errors = errors(&validator, &data);
        if errors.is_empty() { Ok(data) } else { Err(errors) }
    }
}

fn errors(validator: &Validator, data: &Value) -> Vec<FieldError> {
    validator.iter_errors(data).take(ERRORS_LIMIT).map(|error| field_error(&error)).collect()
}

fn field_error(error: &ValidationError<'_>) -> FieldError {
    let path = error.instance_path().as_str();
    // At the field that is missing, not at what it is missing from.
    if let ValidationErrorKind::Required { property } = error.kind() {
        let name = property.as_str().unwrap_or_default();
        let name = name.replace('~', "~0").replace('/', "~1");
        return FieldError { field: format!("{path}/{name}"), message: "this is required".into() };
    }
    FieldError { field: path.to_owned(), message: shortened(&error.to_string()) }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(ERROR_LENGTH).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Returns the schemas that hold of the same value: the part itself, then what it refers to.
fn with_references<'a>(root: &'a Value, part: &'a Value) -> Vec<&'a Value> {
    let mut all = vec![part];
    while let Some(Value::String(reference)) = all[all.len() - 1].get("$ref")
        && let Some(next) = target(root, reference)
    {
        all.push(next);
    }
    all
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// Returns the subschemas under a word that holds a list of them.
fn listed<'a>(schema: &'a Value, word: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(word).and_then(Value::as_array).into_iter().flatten()
}

/// Returns what a field holds before anybody has touched it.
fn at_first(root: &Value, part: &Value) -> Option<Value> {
    let mut value = None;
    for schema in with_references(root, part) {
        merge(&mut value, own_at_first(root, schema));
    }
    value
}

/// Adds the fields of `more` that are not there yet.
fn merge(value: &mut Option<Value>, more: Option<Value>) {
    match (value, more) {
        (Some(Value::Object(fields)), Some(Value::Object(more))) => {
            for (name, field) in more {
                fields.entry(name).or_insert(field);
            }
        }
        (Some(_), _) => {}
        (value @ None, more) => *value = more,
    }
}

/// Returns what a schema says of that by itself, whatever it refers to.
fn own_at_first(root: &Value, schema: &Value) -> Option<Value> {
    let mut value = schema.get("default").cloned();
    if value.is_none() && schema.get("properties").is_some() {
        value = Some(Value::Object(Map::new()));
    }
    for all in listed(schema, "allOf") {
        merge(&mut value, at_first(root, all));
    }
    if value.is_none() && schema.get("prefixItems").is_some() {
        // Where one place has no value there is no list yet.
        let items: Option<Vec<_>> =
            listed(schema, "prefixItems").map(|item| at_first(root, item)).collect();
        value = items.map(Value::Array);
    }
    let mut value = value?;
    if let Value::Object(fields) = &mut value {
        for (name, property) in properties(schema) {
            if !fields.contains_key(name)
                && let Some(inner) = at_first(root, property)
                && inner != Value::Object(Map::new())
            {
                fields.insert(name.clone(), inner);
            }
        }
    }
    Some(value)
}

/// Fills the defaults of the fields that are missing into what is there.
fn fill(root: &Value, part: &Value, data: &mut Value) {
    for schema in with_references(root, part) {
        for all in listed(schema, "allOf") {
            fill(root, all, data);
        }
        match data {
            Value::Object(fields) => fill_fields(root, schema, fields),
            Value::Array(items) => {
                let mut items = items.iter_mut();
                for (of_item, item) in listed(schema, "prefixItems").zip(items.by_ref()) {
                    fill(root, of_item, item);
                }
                if let Some(of_items) = schema.get("items") {
                    items.for_each(|item| fill(root, of_items, item));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn fill_fields(root: &Value, schema: &Value, fields: &mut Map<String, Value>) {
    for (name, property) in properties(schema) {
        match fields.get_mut(name) {
            Some(field) => fill(root, property, field),
            None => {
                let of_property = with_references(root, property).into_iter();
                let default = of_property.filter_map(|schema| schema.get("default")).next();
                fields.extend(default.map(|default| (name.clone(), default.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests;
