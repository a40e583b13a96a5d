//! A value as parts: text → text part, file → file part, anything else → data part. The payload is shared, not copied.

use std::sync::Arc;

use serde_json::Value;

use crate::a2a::{Part, PartContent};

/// The parts that say a value.
pub(in crate::server) fn value_parts(value: &Arc<Value>) -> Vec<Part> {
    match &**value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![Part::text(text.clone())],
        Value::Array(items) if !items.is_empty() && items.iter().all(|item| file(item).is_some()) => {
            items.iter().filter_map(file).collect()
        }
        other => match text(other).or_else(|| file(other)) {
            Some(part) => vec![part],
            None => vec![Part::data(Arc::clone(value))],
        },
    }
}

/// `{"text": "…"}` and nothing else is how a text reads as a value.
fn text(value: &Value) -> Option<Part> {
    match value.as_object()?.iter().next()? {
        (name, Value::String(text)) if name == "text" && value.as_object()?.len() == 1 => Some(Part::text(text.clone())),
        _ => None,
    }
}

/// `{"file": {url | bytes, mediaType?, filename?}}` and nothing else.
fn file(value: &Value) -> Option<Part> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let file = members.get("file")?.as_object()?;
    let member = |name: &str| file.get(name).and_then(Value::as_str).map(str::to_owned);
    let content = match (member("url"), member("bytes")) {
        (Some(url), None) => PartContent::Url(url),
        (None, Some(bytes)) => PartContent::Raw(bytes),
        _ => return None,
    };
    Some(Part { filename: member("filename"), media_type: member("mediaType"), ..Part::of(content) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
