//! Naming a skill, out and in.

use serde_json::{Value, json};

use super::*;

fn message(json: Value) -> Message {
    serde_json::from_value(json).unwrap()
}

#[test]
fn incoming_messages_are_resolved_in_order() {
    let named = |skill: &str, input: Value, details: Value| {
        let Value::Object(details) = details else { panic!("not an object") };
        Addressed::Skill { skill: skill.to_owned(), input: Arc::new(input), details }
    };
    let request = |text: &str, input: Value| Addressed::Request { text: text.to_owned(), input: Arc::new(input) };
    for (metadata, parts, expected) in [
        (
            json!({ SKILL_EXTENSION: { "skill": "a", "version": "v2" }, "skill": "b" }),
            json!([{ "data": { "x": 1 } }]),
            named("a", json!({ "x": 1 }), json!({ "version": "v2" })),
        ),
        (json!({ SKILL_EXTENSION: "a" }), json!([{ "data": 1 }]), named("a", json!(1), json!({}))),
        (
            json!({ SKILL_EXTENSION: { "skill": 7 }, "skill": "b" }),
            json!([{ "text": "hi" }]),
            named("b", json!({ "text": "hi" }), json!({})),
        ),
        (json!({ "skillId": "c" }), json!([{ "text": "{\"x\": 1}" }]), named("c", json!({ "x": 1 }), json!({}))),
        (json!({ "skill": "a" }), json!([{ "data": { "skill": "a", "input": { "x": 1 } } }]), named("a", json!({ "x": 1 }), json!({}))),
        (json!({ "skill": "a" }), json!([]), named("a", json!({}), json!({}))),
        (
            json!({}),
            json!([{ "data": { "skill": "d", "input": [1], "version": "v1" } }]),
            named("d", json!([1]), json!({ "version": "v1" })),
        ),
        (json!({ "skill": "" }), json!([{ "text": "do it" }]), request("do it", json!({ "text": "do it" }))),
        (json!({}), json!([{ "text": "do" }, { "text": "it" }]), request("do\nit", json!({ "text": "doit" }))),
        (json!({}), json!([{ "data": { "skill": "d" } }]), request("", json!({ "skill": "d" }))),
        (json!({}), json!([{ "data": { "skill": 1, "input": 1 } }]), request("", json!({ "skill": 1, "input": 1 }))),
        (json!({}), json!([]), request("", json!({}))),
    ] {
        let given = message(json!({ "messageId": "m", "metadata": metadata, "parts": parts }));
        assert_eq!(address(&given), expected, "{given:?}");
    }
}

#[test]
fn outgoing_messages_name_the_skill_twice_and_are_understood() {
    let inputs = Arc::new(json!({ "x": 1 }));
    let Value::Object(metadata) = json!({ "depth": 2 }) else { panic!("not an object") };
    let out = Message::calling(&Card::default(), "work", &inputs, "m-1", metadata);
    assert_eq!(out.metadata["depth"], 2);
    assert_eq!(out.metadata["skill"], "work");
    assert_eq!(out.metadata[SKILL_EXTENSION], json!({ "skill": "work" }));
    assert_eq!((out.message_id.as_str(), out.role), ("m-1", Role::User));
    let PartContent::Data(data) = &out.parts[0].content else { panic!("not data") };
    assert!(Arc::ptr_eq(data, &inputs));
    assert_eq!(address(&out), Addressed::Skill { skill: "work".to_owned(), input: inputs, details: Map::new() });
}

#[test]
fn cards_that_take_only_text_get_text() {
    let card = |modes: &[&str]| Card { input_modes: modes.iter().map(|mode| (*mode).to_owned()).collect(), ..Card::default() };
    for (modes, inputs, expected) in [
        (&["text/plain"][..], json!({ "request": "hi" }), json!({ "text": "hi" })),
        (&["text"], json!("hi"), json!({ "text": "hi" })),
        (&["Text/Markdown"], json!({ "a": "x", "b": 1 }), json!({ "text": "{\"a\":\"x\",\"b\":1}" })),
        (&["text/plain"], json!({ "a": 1 }), json!({ "text": "{\"a\":1}" })),
        (&["text/plain", "application/json"], json!({ "a": "x" }), json!({ "data": { "a": "x" } })),
        (&[], json!(1), json!({ "data": 1 })),
    ] {
        let out = Message::calling(&card(modes), "s", &Arc::new(inputs.clone()), "m", Map::new());
        assert_eq!(serde_json::to_value(&out.parts).unwrap(), json!([expected]), "{modes:?} {inputs}");
    }
}
