//! Forms whose schema says more than plain fields.

use nod_core::request::{Answer, Closure};
use nod_tests::{Desktop, by_name};
use serde_json::{Value, json};

use crate::{card, within};

const KINDS: &str = "
    return [...document.querySelectorAll('[data-field]')].map((field) => {
      const own = field.querySelector(':scope > input, :scope > textarea, :scope > [role=radiogroup]');
      return `${field.dataset.field} ${own?.getAttribute('role') ?? own?.localName ?? 'group'}`;
    })";

fn schema() -> Value {
    json!({
        "allOf": [
            { "$ref": "#/$defs/named" },
            { "properties": { "speed": { "title": "Speed <b>", "oneOf": [
                { "const": 1, "title": "ゆっくり" },
                { "const": 2, "title": "はやく" },
            ] } } },
        ],
        "properties": {
            "range": {
                "type": "array",
                "title": "Range",
                "prefixItems": [
                    { "type": "integer", "title": "From" },
                    { "type": "integer", "title": "To", "maximum": 9 },
                ],
                "items": false,
                "minItems": 2,
            },
            "other": { "title": "Other", "anyOf": [{ "type": "string" }, { "type": "array" }] },
        },
        "$defs": { "named": {
            "required": ["name"],
            "properties": { "name": { "title": "名前", "type": "string", "default": "港" } },
        } },
    })
}

#[test]
fn several_schemas_alternatives_and_places_are_fields_and_the_rest_is_json() {
    let desktop = Desktop::start();
    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    std::fs::write(desktop.work().join("form.json"), schema().to_string()).unwrap();
    let id = desktop.submit("nod ask 'How?' --schema form.json");
    let request = desktop.wait_for_request(id);
    let card = card(&request);
    window.wait_for(&format!("{}:enabled", within(&card, "answer")));
    let expected = json!([
        " group",
        "/range group",
        "/range/0 input",
        "/range/1 input",
        "/other textarea",
        "/name input",
        "/speed radiogroup",
    ]);
    assert_eq!(window.script(KINDS, &[]), expected);
    let field = |pointer: &str| format!("{card} [data-field='{pointer}']");
    assert_eq!(window.value(&format!("{} input", field("/name"))), "港");
    window.wait_for_text(&field("/speed"), "Speed <b>");

    window.fill(&format!("{} input", field("/range/0")), "3");
    window.click(&within(&card, "answer"));
    window.wait_for_text(&field("/range/1"), "Write a whole number.");
    window.fill(&format!("{} input", field("/range/1")), "12");
    window.click(&within(&card, "answer"));
    // What the engine says is at the place that it is about.
    window.wait_for_text(&format!("{} [role=alert]", field("/range/1")), "maximum");
    desktop.picture("form-places");
    window.fill(&format!("{} input", field("/range/1")), "9");
    window.fill(&format!("{} textarea", field("/other")), "[1]");
    window.click(&format!("{} label:last-child", field("/speed")));
    window.click(&within(&card, "answer"));
    window.wait_for_text(&card, "Answered by a person in the window");
    let data = json!({ "range": [3, 9], "other": [1], "name": "港", "speed": 2 });
    let Some(Closure::Answered { answer, .. }) = desktop.request(id, request.id).closure else {
        panic!("it is not answered");
    };
    assert_eq!(answer, Answer::Form { data });
}
