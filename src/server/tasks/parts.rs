//! The results of steps and workflows as parts: text → text part, file → file part, anything else → data part. The payload
//! is shared, not copied.
//!
//! Beyond [`a2a::value_parts`], which must read back the same, a bare text is a text and a list of files is several files:
//! that is what people and other agents expect to see.

use std::sync::Arc;

use serde_json::Value;

use crate::a2a::extension::{FORM_FILES, FORM_TEXT};
use crate::a2a::{self, Part, PartContent};

/// The parts that say a value.
pub(in crate::server) fn value_parts(value: &Arc<Value>) -> Vec<Part> {
    match &**value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![Part::text(text.clone())],
        Value::Array(items) if !items.is_empty() => {
            let files: Option<Vec<Part>> = items.iter().map(file).collect();
            files.unwrap_or_else(|| a2a::value_parts(value))
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => a2a::value_parts(value),
    }
}

/// The parts that say a question. A text with data beside it, as agents ask, is a text for people and data for programs.
pub(in crate::server) fn question_parts(prompt: &Arc<Value>) -> Vec<Part> {
    match prompt.as_object().map(|members| (members.len(), members.get("text"), members.get("data"))) {
        Some((2, Some(Value::String(text)), Some(data))) => vec![Part::text(text.clone()), Part::data(data.clone())],
        _ => value_parts(prompt),
    }
}

/// How another gantry must read the parts of a value, when they alone would be read as another value.
pub(in crate::server) fn form(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(_) => Some(FORM_TEXT),
        Value::Array(items) if !items.is_empty() && items.iter().all(|item| file(item).is_some()) => Some(FORM_FILES),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value that is one file and nothing else.
fn file(value: &Value) -> Option<Part> {
    let members = value.as_object().filter(|members| members.len() == 1 && members.contains_key("file"))?;
    let mut parts = a2a::value_parts(&Arc::new(Value::Object(members.clone())));
    let is_file = matches!(parts.first()?.content, PartContent::Url(_) | PartContent::Raw(_));
    is_file.then(|| parts.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn questions_are_said_to_people_and_programs() {
        for (prompt, parts) in [
            (json!("red?"), json!([{"text": "red?"}])),
            (json!({"text": "red?"}), json!([{"text": "red?"}])),
            (json!({"text": "red?", "data": {"n": 1}}), json!([{"text": "red?"}, {"data": {"n": 1}}])),
            (json!({"text": "red?", "data": 1, "more": 2}), json!([{"data": {"text": "red?", "data": 1, "more": 2}}])),
            (json!({"text": 1, "data": 1}), json!([{"data": {"text": 1, "data": 1}}])),
        ] {
            assert_eq!(serde_json::to_value(question_parts(&Arc::new(prompt.clone()))).unwrap(), parts, "{prompt}");
        }
    }

    #[test]
    fn values_become_the_parts_that_say_them() {
        for (value, parts) in [
            (json!(null), json!([])),
            (json!("hi"), json!([{"text": "hi"}])),
            (json!({"text": "hi"}), json!([{"text": "hi"}])),
            (json!({"text": "hi", "n": 42}), json!([{"data": {"text": "hi", "n": 42}}])),
            (json!({"text": 1}), json!([{"data": {"text": 1}}])),
            (json!(18_446_744_073_709_551_615_u64), json!([{"data": 18_446_744_073_709_551_615_u64}])),
            (
                json!({"file": {"url": "https://x.example/a", "mediaType": "text/plain", "filename": "a"}}),
                json!([{"url": "https://x.example/a", "mediaType": "text/plain", "filename": "a"}]),
            ),
            (json!([{"file": {"bytes": "dGNr"}}]), json!([{"raw": "dGNr"}])),
            (json!({"file": {"path": "/etc"}}), json!([{"data": {"file": {"path": "/etc"}}}])),
            (json!([]), json!([{"data": []}])),
        ] {
            let found = serde_json::to_value(value_parts(&Arc::new(value.clone()))).unwrap();
            let found: Vec<Value> = found.as_array().unwrap().clone();
            assert_eq!(json!(found), parts, "{value}");
        }
    }
}
