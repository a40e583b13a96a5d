//! What agents return is data for ever, and no text makes a parser panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::World;
use crate::expression::{Condition, Template};

/// Lists that test template engines for access to anything but the data. Each is refused, fails, or is plain text; none reaches anything.
#[test]
fn point_2_template_injection_lists() {
    let world = World::new();
    for source in [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ config }}",
        "{{ config.items() }}",
        "{{ request.application }}",
        "{{ lipsum.__globals__ }}",
        "{{ joiner }}",
        "{{ namespace }}",
        "{{ env }}",
        "{{ environ.PATH }}",
        "{{ loop }}",
        "{{ caller }}",
        "{{ _context }}",
        "{{ workflow.__class__ }}",
        "{{ workflow['__class__'] }}",
        "{{ (workflow | first).__class__ }}",
        "{{ [].append(1) }}",
        "{{ r0 }}",
        "{{ r1 + 1 }}",
        "{{ constructor.constructor('return 1')() }}",
        "{{ steps.__proto__ }}",
        "{{ [workflow] | map(attribute='__class__') }}",
    ] {
        let outcome = Template::parse(source).map(|template| template.evaluate(&world.scope()));
        assert!(matches!(outcome, Err(_) | Ok(Err(_))), "{source}: {outcome:?}");
    }
    for source in ["${7*7}", "<%= 7*7 %>", "#{7*7}", "*{7*7}", "@(7*7)", "$(id)", "`id`", "[[7*7]]", "{7*7}", "%{7*7}"] {
        assert_eq!(world.template(source).expect(source), json!(source));
    }
    assert_eq!(world.template("{{7*7}}").expect("arithmetic"), json!(49));
}

fn passes_as_data(text: &str) {
    let mut world = World::new();
    world.step("agent", json!({ "reply": text, "map": {text: text} }));
    for (source, expected) in [
        ("{{ steps.agent.outputs.reply }}", json!(text)),
        ("{{ steps.agent.outputs.reply | default('x') }}", json!(text)),
        ("{{ [steps.agent.outputs.reply] }}", json!([text])),
        ("<{{ steps.agent.outputs.reply }}>", json!(format!("<{text}>"))),
        ("{{ steps.agent.outputs.map | default({}) }}", json!({ text: text })),
        ("{{ steps.agent.outputs.map | values | first }}", json!(text)),
    ] {
        assert_eq!(world.template(source).expect(source), expected, "{source} with {text:?}");
    }
    assert_eq!(world.holds("{{ steps.agent.outputs.reply }} == steps.agent.outputs.map | keys | first"), Ok(true), "{text:?}");
    // As a template: any outcome but a panic, and text without delimiters stands for itself.
    let parsed = Template::parse(text);
    let _ = parsed.as_ref().map(|template| template.evaluate(&world.scope()));
    let _ = Condition::parse(text).map(|condition| condition.holds(&world.scope()));
    let _ = Condition::parse_value(text).map(|condition| condition.value(&world.scope()));
    if !["{{", "{%", "{#"].iter().any(|sign| text.contains(sign)) {
        assert_eq!(parsed.expect("plain text").literal(), Some(text));
    }
}

#[test]
fn naughty_strings_are_data() {
    let text = include_str!("../../../tests/fixtures/naughty-strings/blns.json");
    let strings: Vec<String> = serde_json::from_str(text).expect("a list of strings");
    assert!(strings.len() > 400);
    for string in &strings {
        passes_as_data(string);
        passes_as_data(&format!("{{{{ {string} }}}}"));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e12f64..1e12).prop_filter("an integer by another type", |number| number.fract() != 0.0).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Text that is likely to get far into the parsers.
fn hostile_text() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "{{", "}}", "{%", "{#", "{", "}", "(", ")", "[", "]", "'", "\"", "\\", ".", "-", "|", "is", "not", "defined", "default", "steps",
        "plan", "a", "0", "1.5", " ", ",", ":", "=", "==", "~", "*", "in", "if", "else", "\n", "ü", "string", "$",
    ];
    prop::collection::vec(prop::sample::select(WORDS).prop_map(str::to_owned), 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(text in prop_oneof![hostile_text(), ".{0,80}"]) {
        passes_as_data(&text);
        passes_as_data(&format!("{{{{ {text} }}}}"));
    }

    #[test]
    fn spans_are_within_the_text(text in hostile_text()) {
        for error in [Template::parse(&text).err(), Condition::parse(&text).err(), Condition::parse_value(&text).err()].into_iter().flatten() {
            prop_assert!(text.get(error.span.clone()).is_some(), "{error:?}");
        }
        if let Ok(template) = Template::parse(&text) {
            for reference in template.references() {
                prop_assert!(text.get(reference.span.clone()).is_some_and(|place| place.starts_with(&*reference.path[0])), "{reference:?}");
            }
        }
        if let Ok(condition) = Condition::parse(&text) {
            for reference in condition.references() {
                prop_assert!(text.get(reference.span.clone()).is_some_and(|place| place.starts_with(&*reference.path[0])), "{reference:?}");
            }
        }
    }

    #[test]
    fn values_survive(value in json_value()) {
        let mut world = World::new();
        world.value("item", json!({ "v": value }));
        for (source, expected) in [
            ("{{ item.v }}", value.clone()),
            ("{{ item.v | default(1) }}", value.clone()),
            ("{{ [item.v, 1] | first }}", value.clone()),
            ("{{ {'k': [item.v]} }}", json!({"k": [value]})),
            ("{{ item['v' ~ ''] }}", value.clone()),
        ] {
            let got = world.template(source);
            prop_assert_eq!(got.as_ref().map(Value::to_string).ok(), Some(expected.to_string()), "{}: {:?}", source, got);
        }
        prop_assert_eq!(world.template("{{ item.v | tojson }}"), Ok(json!(value.to_string())));
        prop_assert_eq!(world.holds("item.v == item.v"), Ok(true));
    }
}
