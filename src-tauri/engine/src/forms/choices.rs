//! Whether a person can tell the choices of a form apart, and choose exactly what they see.

use std::collections::BTreeMap;

use nod_core::text::{as_seen, is_visible, one_line};
use serde_json::{Map, Value};

use super::bounds::FormError;
use super::with_references;

/// The largest whole number that is the same in a window: its numbers have 53 bits.
const EXACT: u64 = (1 << 53) - 1;

/// How much is shown of a choice that cannot be one, in characters.
const SHOWN: usize = 80;

/// Words whose values a window shows, and gives back.
const VALUES: [&str; 3] = ["enum", "const", "default"];

/// Refuses a part of a schema that offers choices which look the same, or are not what they look.
pub(super) fn check_choices(root: &Value, part: &Map<String, Value>) -> Result<(), FormError> {
    if let Some(inexact) = VALUES.iter().filter_map(|word| inexact(part.get(*word)?)).next() {
        return Err(FormError::Inexact(inexact.to_string()));
    }
    let mut seen: BTreeMap<String, &Value> = BTreeMap::new();
    for (words, value) in choices(root, part) {
        let is_other = seen.insert(as_seen(&words), value).is_some_and(|earlier| earlier != value);
        if is_other || !is_visible(&words) {
            return Err(FormError::Alike(one_line(&words, SHOWN)));
        }
    }
    Ok(())
}

fn inexact(value: &Value) -> Option<&Value> {
    match value {
        Value::Number(number) => {
            let size = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
            size.is_some_and(|size| size > EXACT).then_some(value)
        }
        Value::Array(items) => items.iter().find_map(inexact),
        Value::Object(fields) => fields.values().find_map(inexact),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

/// Returns the choices that a window makes of a part, each with its words.
fn choices<'a>(root: &'a Value, part: &'a Map<String, Value>) -> Vec<(String, &'a Value)> {
    let of_enum = part.get("enum").and_then(Value::as_array).into_iter().flatten();
    let mut all: Vec<_> = of_enum.map(|value| (words(value), value)).collect();
    let titled = ["oneOf", "anyOf"].into_iter().filter_map(|word| part.get(word)?.as_array());
    for alternative in titled.flatten() {
        let parts = with_references(root, alternative);
        let first = |word: &str| parts.iter().find_map(|part| part.get(word));
        let title = first("title").and_then(Value::as_str).filter(|title| !title.trim().is_empty());
        let named = |value| title.map_or_else(|| words(value), str::to_owned);
        match (first("const"), first("enum").and_then(Value::as_array).map(Vec::as_slice)) {
            (Some(value), _) | (None, Some([value])) => all.push((named(value), value)),
            (None, Some(values)) => all.extend(values.iter().map(|value| (words(value), value))),
            (None, None) => {}
        }
    }
    all
}

fn words(value: &Value) -> String {
    let text = value.as_str().filter(|text| !text.trim().is_empty());
    text.map_or_else(|| value.to_string(), str::to_owned)
}
