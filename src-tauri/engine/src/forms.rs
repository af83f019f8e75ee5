//! Forms: whether a schema can be shown, what a form holds at first, and what is wrong with an answer.
//!
//! A schema comes from a task and is no more trusted than its output: it is
//! bounded in size, depth and work, refers to nothing outside of itself, and
//! its patterns run in linear time.

use std::collections::HashMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use nod_core::question::{DATA_LIMIT, DEPTH_LIMIT, FieldError, SCHEMA_LIMIT};
use serde_json::{Map, Value};

/// How many subschemas a schema may come to once every reference is followed.
const WORK_LIMIT: usize = 2_000;

/// How many errors a person is shown at once, and how long one may be, in characters.
const ERRORS_LIMIT: usize = 50;
const ERROR_LENGTH: usize = 300;

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
    #[error("the schema refers to {0}, which is not a part of it")]
    Outside(String),
    #[error("the schema refers to itself at {0}: a form has an end")]
    Endless(String),
    #[error("the schema may not use `{0}`")]
    Refused(&'static str),
    #[error("the schema cannot be used: {0}")]
    Invalid(String),
    #[error("the default does not fit the schema: {} {}", .0.field, .0.message)]
    BadDefault(FieldError),
}

/// Returns what a form of `schema` holds at first.
///
/// With `complete` that must be an answer by itself.
pub(crate) fn initial(schema: &Value, complete: bool) -> Result<Value, FormError> {
    check(schema)?;
    let validator = validator(schema)?;
    let initial = at_first(schema, schema).unwrap_or(Value::Null);
    if complete && let Some(error) = errors(&validator, &initial).into_iter().next() {
        return Err(FormError::BadDefault(error));
    }
    Ok(initial)
}

/// Returns `data` with its defaults filled in; or what is wrong with its fields.
pub(crate) fn filled(schema: &Value, mut data: Value) -> Result<Value, Vec<FieldError>> {
    let whole = |message: String| vec![FieldError { field: String::new(), message }];
    if data.to_string().len() > DATA_LIMIT {
        return Err(whole(format!("this is too large: {DATA_LIMIT} bytes of JSON at most")));
    }
    if depth(&data) > DEPTH_LIMIT {
        return Err(whole(format!("this is nested more than {DEPTH_LIMIT} levels deep")));
    }
    fill(schema, schema, &mut data);
    let validator = validator(schema).map_err(|error| whole(error.to_string()))?;
    let errors = errors(&validator, &data);
    if errors.is_empty() { Ok(data) } else { Err(errors) }
}

fn validator(schema: &Value) -> Result<Validator, FormError> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        // The engine without backtracking: no pattern takes exponential time.
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20))
        .build(schema)
        .map_err(|error| FormError::Invalid(shortened(&error.to_string())))
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

/// Refuses what is too large, too deep, endless, or refers to something else.
fn check(schema: &Value) -> Result<(), FormError> {
    if schema.to_string().len() > SCHEMA_LIMIT {
        return Err(FormError::TooLarge);
    }
    // A level of data takes two of a schema: `properties`, and the name of the property.
    if depth(schema) > 2 * DEPTH_LIMIT + 2 {
        return Err(FormError::TooDeep);
    }
    Walk { root: schema, work: HashMap::new() }.work(schema).map(|_work| ())
}

/// Counts how many subschemas a schema comes to.
struct Walk<'a> {
    root: &'a Value,
    /// By reference; nothing while it is being counted.
    work: HashMap<&'a str, Option<usize>>,
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
                for field in fields.values() {
                    work += self.work(field)?;
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
fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    // What is percent-encoded can be written otherwise.
    if pointer.contains('%') { None } else { root.pointer(pointer) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Returns the schema that a part of a schema stands for, references followed.
fn resolved<'a>(root: &'a Value, mut part: &'a Value) -> &'a Value {
    while let Some(Value::String(reference)) = part.get("$ref") {
        match target(root, reference) {
            Some(next) => part = next,
            None => break,
        }
    }
    part
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
    let own = part.get("default");
    let schema = resolved(root, part);
    let mut value = own.or_else(|| schema.get("default")).cloned();
    if value.is_none() && schema.get("properties").is_some() {
        value = Some(Value::Object(Map::new()));
    }
    for all in listed(schema, "allOf") {
        match (&mut value, at_first(root, all)) {
            (None, inner) => value = inner,
            (Some(Value::Object(fields)), Some(Value::Object(inner))) => {
                for (name, inner) in inner {
                    fields.entry(name).or_insert(inner);
                }
            }
            (Some(_), _) => {}
        }
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
    let schema = resolved(root, part);
    for all in listed(schema, "allOf") {
        fill(root, all, data);
    }
    match data {
        Value::Object(fields) => {
            for (name, property) in properties(schema) {
                match fields.get_mut(name) {
                    Some(field) => fill(root, property, field),
                    None => {
                        let default = property.get("default");
                        let default = default.or_else(|| resolved(root, property).get("default"));
                        fields.extend(default.map(|default| (name.clone(), default.clone())));
                    }
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deploy() -> Value {
        json!({
            "type": "object",
            "required": ["region", "owner"],
            "properties": {
                "region": { "enum": ["eu", "us"], "default": "eu" },
                "replicas": { "type": "integer", "minimum": 1, "default": 2 },
                "owner": {
                    "type": "object",
                    "required": ["mail"],
                    "properties": {
                        "mail": { "type": "string", "pattern": "^[^@]+@[^@]+$" },
                        "notify": { "$ref": "#/$defs/yes" },
                    },
                },
                "tags": { "type": "array", "items": { "type": "string" }, "maxItems": 2 },
            },
            "additionalProperties": false,
            "$defs": { "yes": { "type": "boolean", "default": true } },
        })
    }

    #[test]
    fn a_form_begins_with_its_defaults() {
        let expected = json!({ "region": "eu", "replicas": 2, "owner": { "notify": true } });
        assert_eq!(initial(&deploy(), false), Ok(expected));
        assert_eq!(initial(&json!({ "type": "string" }), false), Ok(Value::Null));
        assert_eq!(initial(&json!({ "default": 3 }), true), Ok(json!(3)));
        let incomplete = initial(&deploy(), true).unwrap_err().to_string();
        assert!(incomplete.contains("/owner/mail"), "{incomplete}");
    }

    #[test]
    fn what_several_schemas_say_together_and_lists_with_places_have_their_defaults_too() {
        let schema = json!({
            "allOf": [
                { "$ref": "#/$defs/named" },
                { "properties": { "size": { "prefixItems": [{ "default": 1 }, { "default": 2 }] } } },
            ],
            "properties": { "pair": { "prefixItems": [
                { "properties": { "x": { "default": 3 } } },
                { "type": "string" },
            ], "items": { "properties": { "rest": { "default": 4 } } } } },
            "$defs": { "named": { "properties": { "name": { "default": "harbour" } } } },
        });
        let expected = json!({ "name": "harbour", "size": [1, 2] });
        assert_eq!(initial(&schema, false), Ok(expected));
        let whole = filled(&schema, json!({ "pair": [{}, "a", {}] }));
        let expected = json!({ "pair": [{ "x": 3 }, "a", { "rest": 4 }], "name": "harbour" });
        assert_eq!(whole, Ok(expected));
        assert_eq!(initial(&json!({ "allOf": [{ "default": 5 }] }), true), Ok(json!(5)));
    }

    #[test]
    fn an_answer_gets_its_defaults_and_errors_are_at_their_fields() {
        let whole = filled(&deploy(), json!({ "owner": { "mail": "a@b" } }));
        let expected = json!({
            "owner": { "mail": "a@b", "notify": true }, "region": "eu", "replicas": 2,
        });
        assert_eq!(whole, Ok(expected));
        let bad = json!({
            "region": "moon", "replicas": 0, "owner": {}, "tags": ["a", 1, "c"], "x/y": 1,
        });
        let errors = filled(&deploy(), bad).unwrap_err();
        let mut fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["", "/owner/mail", "/region", "/replicas", "/tags", "/tags/1"]);
    }

    #[test]
    fn a_schema_is_bounded_whatever_it_says() {
        let many: Map<String, Value> = (0..3_000).map(|n| (n.to_string(), json!(1))).collect();
        let mut deep = json!({ "type": "string" });
        for _ in 0..20 {
            deep = json!({ "properties": { "a": deep } });
        }
        let mut doubling = Map::new();
        for n in 0..30 {
            let next = format!("#/$defs/{}", n + 1);
            doubling
                .insert(n.to_string(), json!({ "allOf": [{ "$ref": next }, { "$ref": next }] }));
        }
        doubling.insert("30".into(), json!({ "type": "string" }));
        let doubling = json!({ "$ref": "#/$defs/0", "$defs": doubling });
        let cases = [
            (json!({ "title": "x".repeat(SCHEMA_LIMIT) }), "too large"),
            (json!({ "default": many }), "too much work"),
            (deep, "levels"),
            (doubling, "too much work"),
            (json!({ "properties": { "a": { "$ref": "#" } } }), "refers to itself"),
            (json!({ "$ref": "https://example.com/form.json" }), "not a part"),
            (json!({ "$ref": "file:///etc/passwd" }), "not a part"),
            (json!({ "$ref": "#/nowhere" }), "not a part"),
            (json!({ "$id": "https://example.com/" }), "$id"),
            (json!({ "$dynamicRef": "#a" }), "$dynamicRef"),
            (json!({ "type": "strin" }), "cannot be used"),
            (json!({ "pattern": "(a" }), "cannot be used"),
            (json!({ "pattern": "(a+)+\\1" }), "cannot be used"),
            (json!({ "pattern": "(((a{1000}){1000}){1000})" }), "cannot be used"),
            (json!("a form"), "cannot be used"),
        ];
        for (schema, expected) in cases {
            let text = shortened(&schema.to_string());
            let error = initial(&schema, false).expect_err(&text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn data_is_bounded_too() {
        let any = json!({});
        let large = filled(&any, json!("x".repeat(DATA_LIMIT))).unwrap_err();
        assert!(large[0].message.contains("too large"), "{large:?}");
        let mut deep = json!(1);
        for _ in 0..=DEPTH_LIMIT {
            deep = json!([deep]);
        }
        assert!(filled(&any, deep).unwrap_err()[0].message.contains("levels"));
        let strict = json!({ "items": { "type": "string" } });
        let many = filled(&strict, json!(vec![1; 5_000])).unwrap_err();
        assert_eq!(many.len(), ERRORS_LIMIT);
    }

    #[test]
    fn an_evil_pattern_takes_no_longer_than_a_kind_one() {
        let schema = json!({ "pattern": "^(a|a)*(a|aa)+$" });
        assert!(filled(&schema, json!(format!("{}b", "a".repeat(10_000)))).is_err());
    }
}
