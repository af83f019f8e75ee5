//! Made-up schemas, data, patterns and answers: none may do harm, and what is taken is what was meant.

use nod_core::access::{Actor, Surface};
use nod_core::ids::Timestamp;
use nod_core::request::{Answer, Closure, Given, OnTimeout, Request, Wants};
use nod_core::rule::{Command, Folders, Rule, Then};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::forms::Forms;
use crate::samples;

/// Returns data of any shape, with names and values that schemas speak of as well.
fn data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-c]{0,3}".prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            members("[abc]", inner),
        ]
    })
}

fn members(
    name: &'static str,
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Value> {
    prop::collection::vec((name, value), 0..4)
        .prop_map(|pairs| pairs.into_iter().collect::<Map<_, _>>().into())
}

/// Returns a keyword of a schema and what it is set to, which may be what it never is.
fn keyword(inner: &BoxedStrategy<Value>) -> impl Strategy<Value = (String, Value)> + use<> {
    let type_ = prop::sample::select(vec![
        "object", "array", "string", "integer", "number", "boolean", "null", "thing",
    ]);
    let pattern = prop::sample::select(vec!["^a+$", "(a|b)*c", "(", "a{2,3}", "\\\\p{L}", "[", ""]);
    let reference =
        prop::sample::select(vec!["#", "#/$defs/a", "#/$defs/b", "https://example.com/", "#a"]);
    let number = || prop_oneof![(-3..6_i64).prop_map(Value::from), data()];
    let list = || prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
    let named = |name: &'static str, value: BoxedStrategy<Value>| {
        value.prop_map(move |value| (name.to_owned(), value)).boxed()
    };
    prop_oneof![
        named("type", type_.prop_map(Value::from).boxed()),
        named("properties", members("[abc]", inner.clone()).boxed()),
        named("$defs", members("[ab]", inner.clone()).boxed()),
        named("required", prop::collection::vec("[abc]", 0..3).prop_map(Value::from).boxed()),
        named("items", inner.clone()),
        named("oneOf", list().boxed()),
        named("anyOf", list().boxed()),
        named("allOf", list().boxed()),
        named("if", inner.clone()),
        named("then", inner.clone()),
        named("additionalProperties", inner.clone()),
        named("enum", prop::collection::vec(data(), 0..4).prop_map(Value::from).boxed()),
        named("default", data().boxed()),
        named("const", data().boxed()),
        named("minimum", number().boxed()),
        named("maxLength", number().boxed()),
        named("minItems", number().boxed()),
        named("pattern", pattern.prop_map(Value::from).boxed()),
        named("$ref", reference.prop_map(Value::from).boxed()),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<bool>().prop_map(Value::from), Just(json!({})), data()];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop::collection::vec(keyword(&inner), 0..5)
            .prop_map(|pairs| pairs.into_iter().collect::<Map<_, _>>().into())
    })
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "", "*", "**", "?", "[*]", "[", "[[]", "]", "sh", "-c", "env", "git", "push", "./x",
            "/bin/git", "a b", "$(", "'", "\"", "`", "{a,b}", "--", "A=1", "完了",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(word(), 0..6)
}

fn rule(argv: Vec<String>, then: Then) -> Rule {
    let (session, kind) = (None, None);
    let expires_at = (then == Then::NeedNotAsk).then_some(Timestamp(10));
    Rule { name: None, argv, then, folder: Some("/".into()), session, kind, expires_at }
}

/// Returns the pattern that means these very words.
fn literal(words: &[String]) -> Vec<String> {
    let sign = |sign: char| match sign {
        '*' | '?' | '[' => format!("[{sign}]"),
        other => other.to_string(),
    };
    words.iter().map(|word| word.chars().map(sign).collect()).collect()
}

fn wants() -> impl Strategy<Value = Wants> {
    let some = || prop::option::of("[ab]{0,2}");
    prop_oneof![
        Just(Wants::Approval),
        (prop::collection::vec("[ab]{0,2}", 0..4), some())
            .prop_map(|(choices, default)| Wants::Choice { choices, default }),
        some().prop_map(|default| Wants::Text { default }),
        (schema(), data()).prop_map(|(schema, initial)| Wants::Form { schema, initial }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Approve),
        prop::option::of("\\PC{0,9}").prop_map(|reason| Answer::Deny { reason }),
        "[ab]{0,2}".prop_map(|choice| Answer::Choice { choice }),
        "\\PC{0,9}".prop_map(|text| Answer::Text { text }),
        data().prop_map(|data| Answer::Form { data }),
    ]
}

proptest! {
    #[test]
    fn a_schema_is_refused_or_what_it_takes_is_taken_again(schema in schema(), data in data()) {
        let forms = Forms::default();
        let Ok(initial) = forms.initial(&schema, false) else { return Ok(()) };
        // What is called complete is an answer by itself.
        if forms.initial(&schema, true).is_ok() {
            prop_assert_eq!(forms.filled(&schema, initial.clone()), Ok(initial));
        }
        // What a task is given is what the schema says, and nothing more is filled into it.
        if let Ok(whole) = forms.filled(&schema, data) {
            prop_assert_eq!(forms.filled(&schema, whole.clone()), Ok(whole));
        }
    }

    #[test]
    fn a_pattern_is_refused_or_means_its_words(argv in words(), other in words(), cwd in "/|/a|/a/b") {
        let folders = Folders::new();
        let command = |argv| Command {
            argv, cwd: &cwd, session: None, kind: "command", is_redirected: false, folders: &folders,
        };
        let now = Timestamp(1);
        for then in [Then::AskFirst, Then::NeedNotAsk] {
            let written = rule(argv.clone(), then);
            let exact = rule(literal(&argv), then);
            if exact.check().is_ok() {
                // A relative program is let pass in the very folder alone.
                let is_meant = then == Then::AskFirst || cwd == "/";
                prop_assert!(!is_meant || exact.matches(command(&argv), now), "{exact:?} of {argv:?}");
                // One that lets pass means these words and no others.
                if then == Then::NeedNotAsk && other != argv {
                    prop_assert!(!exact.matches(command(&other), now), "{exact:?} of {other:?}");
                }
            }
            if written.check().is_err() && then == Then::NeedNotAsk {
                prop_assert!(!written.matches(command(&other), now), "{written:?} of {other:?}");
            }
            let (first, later) = (command(&other), command(&other));
            let (is_now, is_later) = (written.matches(first, now), written.matches(later, Timestamp(10)));
            prop_assert_eq!(is_later, is_now && then == Then::AskFirst, "it ends when it says");
        }
        let all = rule(vec!["**".into()], Then::AskFirst);
        prop_assert!(all.matches(command(&other), now), "{other:?}");
    }

    #[test]
    fn an_answer_is_refused_or_of_the_sort_that_is_wanted(
        wants in wants(), answer in answer(), in_time in any::<bool>(), by_default in any::<bool>(),
    ) {
        let on_timeout = if by_default { OnTimeout::Default } else { OnTimeout::Deny };
        let expires_at = Some(Timestamp(10));
        let request = Request { on_timeout, expires_at, ..samples::request(wants.clone()) };
        let by = Actor::Person { surface: Surface::Window };
        let given = Given { answer: answer.clone(), comment: None, shown: request.hash.clone(), by };
        let now = Timestamp(if in_time { 9 } else { 10 });
        let fits = match (&wants, &answer) {
            (_, Answer::Deny { .. })
            | (Wants::Approval, Answer::Approve)
            | (Wants::Text { .. }, Answer::Text { .. })
            | (Wants::Form { .. }, Answer::Form { .. }) => true,
            (Wants::Choice { choices, .. }, Answer::Choice { choice }) => choices.contains(choice),
            _ => false,
        };
        prop_assert_eq!(request.answered(given, now).is_ok(), in_time && fits);
        // Silence never says yes.
        if let Closure::Defaulted { answer, .. } = request.unanswered() {
            prop_assert!(by_default && answer != Answer::Approve);
        }
    }
}
