//! The rules by which a reply becomes a value.

use serde_json::{Value, json};

use super::super::task::{Task, TaskState, TaskStatus};
use super::*;

fn parts(json: Value) -> Vec<Part> {
    serde_json::from_value(json).unwrap()
}

#[test]
fn parts_become_values() {
    use Shape::{Any, Object};
    for (given, shape, expected) in [
        (json!([]), Any, None),
        (json!([{ "text": "" }]), Any, None),
        (json!([{ "data": { "a": 1 } }]), Any, Some(json!({ "a": 1 }))),
        (json!([{ "data": [1, 2] }]), Object, Some(json!([1, 2]))),
        (json!([{ "data": null }]), Any, Some(Value::Null)),
        (json!([{ "text": "hi" }]), Any, Some(json!({ "text": "hi" }))),
        (json!([{ "text": "{\"a\": 1}" }]), Any, Some(json!({ "text": "{\"a\": 1}" }))),
        (json!([{ "text": " {\"a\": 1}" }]), Object, Some(json!({ "a": 1 }))),
        (json!([{ "text": "{\"a\"" }, { "text": ": 1}" }]), Object, Some(json!({ "a": 1 }))),
        (json!([{ "text": "{broken" }]), Object, Some(json!({ "text": "{broken" }))),
        (json!([{ "text": "[1]" }]), Object, Some(json!({ "text": "[1]" }))),
        (json!([{ "text": "{{ steps.x }}" }]), Object, Some(json!({ "text": "{{ steps.x }}" }))),
        (json!([{ "text": "a" }, { "text": "b" }]), Any, Some(json!({ "text": "ab" }))),
        (json!([{ "text": "t" }, { "data": 1 }, { "text": "u" }]), Any, Some(json!({ "text": "t", "data": 1, "text_2": "u" }))),
        (json!([{ "data": 1, "metadata": { "name": "x" } }, { "data": 2 }]), Any, Some(json!({ "x": 1, "data": 2 }))),
        (
            json!([{ "url": "http://f/a.png", "mediaType": "image/png", "filename": "a.png" }]),
            Any,
            Some(json!({ "file": { "url": "http://f/a.png", "mediaType": "image/png", "filename": "a.png" } })),
        ),
        (json!([{ "raw": "AAAA" }]), Any, Some(json!({ "file": { "bytes": "AAAA" } }))),
        (
            json!([{ "raw": "AA", "filename": "a" }, { "url": "http://b" }]),
            Any,
            Some(json!({ "a": { "bytes": "AA", "filename": "a" }, "file": { "url": "http://b" } })),
        ),
    ] {
        assert_eq!(parts_value(parts(given.clone()), shape), expected, "{given} {shape:?}");
    }
}

#[test]
fn tasks_become_values() {
    for (artifacts, message, expected) in [
        (json!([]), json!(null), None),
        (json!([{ "artifactId": "a", "parts": [] }]), json!(null), None),
        (json!([]), json!([{ "text": "done" }]), Some(json!({ "text": "done" }))),
        (json!([{ "artifactId": "a", "parts": [{ "data": 1 }] }]), json!([{ "text": "done" }]), Some(json!(1))),
        (json!([{ "artifactId": "a", "parts": [] }]), json!([{ "text": "done" }]), Some(json!({ "text": "done" }))),
        (
            json!([{ "artifactId": "a", "name": "plan", "parts": [{ "data": 1 }] }, { "artifactId": "b", "parts": [{ "text": "x" }] }]),
            json!(null),
            Some(json!({ "plan": 1, "b": { "text": "x" } })),
        ),
        (
            json!([{ "artifactId": "1", "name": "n", "parts": [{ "data": 1 }] }, { "artifactId": "2", "name": "n", "parts": [{ "data": 2 }] }]),
            json!(null),
            Some(json!({ "n": 1, "n_2": 2 })),
        ),
    ] {
        let message = (!message.is_null()).then(|| Message { parts: parts(message.clone()), ..Message::default() });
        let status = TaskStatus { state: TaskState::Completed, message, timestamp: None };
        let task = Task { status, artifacts: serde_json::from_value(artifacts.clone()).unwrap(), ..Task::default() };
        assert_eq!(reply_value(task, Shape::Any), expected, "{artifacts}");
    }
}

#[test]
fn the_output_of_a_run_is_its_value_alone() {
    let step = json!({ "artifactId": "step:/0", "name": "one", "parts": [{ "data": 1 }], "metadata": { RUN: { "artifact": "step" } } });
    for (form, parts, expected) in [
        (json!({}), json!([{ "data": { "n": 42 } }]), json!({ "n": 42 })),
        (json!({}), json!([{ "data": null }]), Value::Null),
        (json!({}), json!([{ "text": "hi" }]), json!({ "text": "hi" })),
        (json!({ "form": "text" }), json!([{ "text": "hi" }]), json!("hi")),
        (json!({ "form": "text" }), json!([{ "text": "" }]), json!("")),
        (json!({ "form": "text" }), json!([{ "text": "{\"a\": 1}" }]), json!("{\"a\": 1}")),
        (json!({ "form": "files" }), json!([{ "raw": "AA", "filename": "a" }]), json!([{ "file": { "bytes": "AA", "filename": "a" } }])),
        (json!({ "form": "of a later version" }), json!([{ "text": "hi" }]), json!({ "text": "hi" })),
        (json!({ "form": 7 }), json!([{ "data": 1 }]), json!(1)),
    ] {
        let mut about = form.clone();
        about["artifact"] = json!("output");
        let output = json!({ "artifactId": "output", "name": "output", "parts": parts, "metadata": { RUN: about } });
        let task = Task { artifacts: serde_json::from_value(json!([step, output])).unwrap(), ..Task::default() };
        assert_eq!(reply_value(task, Shape::Any), Some(expected), "{form} {parts}");
    }
}

#[test]
fn many_parts_of_one_name_stay_cheap() {
    let many: Vec<Part> = (0..200_000).map(|_| Part::data(Value::Null)).collect();
    let Some(Value::Object(members)) = parts_value(many, Shape::Any) else { panic!("not an object") };
    assert_eq!(members.len(), 200_000);
}

#[test]
fn shapes_are_read_off_schemas() {
    for (schema, expected) in [
        (json!({ "type": "object" }), Shape::Object),
        (json!({ "type": ["object", "null"] }), Shape::Object),
        (json!({ "properties": {} }), Shape::Object),
        (json!({ "type": "string" }), Shape::Any),
        (json!({}), Shape::Any),
        (json!(true), Shape::Any),
    ] {
        assert_eq!(Shape::of(Some(&schema)), expected, "{schema}");
    }
    assert_eq!(Shape::of(None), Shape::Any);
}

#[test]
fn values_become_parts_and_come_back() {
    for (value, kind) in [
        (json!({ "text": "hi" }), "text"),
        (json!({ "text": "" }), "data"),
        (json!({ "text": 1 }), "data"),
        (json!({ "text": "hi", "more": 1 }), "data"),
        (json!({ "file": { "url": "http://x", "mediaType": "image/png", "filename": "x.png" } }), "url"),
        (json!({ "file": { "bytes": "AAAA" } }), "raw"),
        (json!({ "file": { "bytes": "AAAA", "url": "http://x" } }), "data"),
        (json!({ "file": { "url": "http://x", "size": "3" } }), "data"),
        (json!({ "file": {} }), "data"),
        (json!([1, 2]), "data"),
        (Value::Null, "data"),
    ] {
        let parts = value_parts(&Arc::new(value.clone()));
        assert!(serde_json::to_value(&parts).unwrap()[0].get(kind).is_some(), "{value}");
        assert_eq!(parts_value(parts, Shape::Any), Some(value));
    }
}
