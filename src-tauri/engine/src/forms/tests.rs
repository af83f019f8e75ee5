//! Forms, by their schemas and their data.

use std::sync::Arc;

use serde_json::json;

use nod_core::question::SCHEMA_LIMIT;

use super::*;

fn initial(schema: &Value, complete: bool) -> Result<Value, FormError> {
    Forms::default().initial(schema, complete)
}

fn filled(schema: &Value, data: Value) -> Result<Value, Vec<FieldError>> {
    Forms::default().filled(schema, data)
}

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
fn what_stands_beside_a_reference_holds_too() {
    let schema = json!({
        "$ref": "#/$defs/x",
        "properties": {
            "a": { "type": "integer", "default": 7 },
            "b": { "$ref": "#/$defs/x", "properties": { "c": { "default": 8 } } },
        },
        "$defs": { "x": { "type": "object", "properties": { "d": { "default": 9 } } } },
    });
    let expected = json!({ "a": 7, "b": { "c": 8, "d": 9 }, "d": 9 });
    assert_eq!(initial(&schema, true), Ok(expected));
    let whole = filled(&schema, json!({ "b": { "d": 1 } }));
    assert_eq!(whole, Ok(json!({ "a": 7, "b": { "c": 8, "d": 1 }, "d": 9 })));
}

#[test]
fn the_patterns_of_a_schema_are_bounded_together_wherever_they_stand() {
    let many = |count: usize| -> Map<String, Value> {
        (0..count).map(|n| (format!("p{n}"), json!({ "pattern": format!("a{n}") }))).collect()
    };
    assert_eq!(initial(&json!({ "$defs": many(64) }), false), Ok(Value::Null));
    let by_pattern: Map<String, Value> = (0..65).map(|n| (format!("a{n}"), json!({}))).collect();
    let long = json!({ "pattern": "a".repeat(5_000) });
    // Each of them is allowed by itself.
    let large: Map<String, Value> = (0..20)
        .map(|n| (format!("p{n}"), json!({ "pattern": format!(r"\p{{L}}{{10}}{n}") })))
        .collect();
    assert!(initial(&large["p1"], false).is_ok());
    let mut nested = json!({});
    for _ in 0..12 {
        nested = json!({ "allOf": [nested], "unevaluatedProperties": false });
    }
    let cases = [
        (json!({ "properties": many(65) }), "too many patterns"),
        (json!({ "$defs": many(65) }), "too many patterns"),
        (json!({ "contentSchema": { "properties": many(65) } }), "too many patterns"),
        (json!({ "patternProperties": by_pattern }), "too many patterns"),
        (json!({ "items": long }), "too many patterns"),
        (json!({ "properties": large }), "cannot be used"),
        (nested, "too much work"),
    ];
    for (schema, expected) in cases {
        let error = initial(&schema, false).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn choices_can_be_told_apart_and_are_what_they_look_like() {
    let titled = |one: &str, other: &str| json!({ "oneOf": [{ "const": 1, "title": one }, { "const": 2, "title": other }] });
    let fine = [
        titled("eu", "us"),
        json!({ "enum": [9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64, 1.5, null, ""] }),
        json!({ "type": "integer", "maximum": u64::MAX }),
        json!({ "anyOf": [{ "const": 1 }, { "const": 1 }, { "type": "null" }] }),
    ];
    for schema in fine {
        assert!(initial(&schema, false).is_ok(), "{schema}");
    }
    let cases = [
        (titled("eu", " eu"), "looks like another"),
        (titled("eu", "e\u{200b}u"), "looks like another"),
        (titled("eu", "\u{2800}"), "cannot be seen"),
        (json!({ "enum": ["a b", "a  b"] }), "looks like another"),
        (json!({ "enum": ["1", 1] }), "looks like another"),
        (
            json!({
                "anyOf": [{ "$ref": "#/$defs/a" }, { "const": 2, "title": "x" }],
                "$defs": { "a": { "const": 1, "title": "x" } },
            }),
            "looks like another",
        ),
        (json!({ "enum": [9_007_199_254_740_993_i64, 9_007_199_254_740_992_i64] }), "exactly"),
        (json!({ "properties": { "a": { "const": [u64::MAX] } } }), "exactly"),
        (json!({ "default": { "a": i64::MIN } }), "exactly"),
    ];
    for (schema, expected) in cases {
        let error = initial(&schema, false).unwrap_err().to_string();
        assert!(error.contains(expected), "{schema}: {error}");
    }
}

#[test]
fn a_schema_is_compiled_once_and_the_newest_are_kept() {
    let forms = Forms::default();
    let first = forms.validator(&deploy()).unwrap();
    assert!(Arc::ptr_eq(&first, &forms.validator(&deploy()).unwrap()));
    for n in 0..8 {
        forms.validator(&json!({ "const": n })).unwrap();
    }
    assert_eq!(Arc::strong_count(&first), 1);
    assert!(!Arc::ptr_eq(&first, &forms.validator(&deploy()).unwrap()));
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
        doubling.insert(n.to_string(), json!({ "allOf": [{ "$ref": next }, { "$ref": next }] }));
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
