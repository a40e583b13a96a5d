//! A value that a workflow hands on: text, or whatever object the step before returned.
//!
//! Workflows wire outputs to inputs of other agents, so the inputs take both. Used by every sample skill.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

/// Fields that hold the text of an object another agent returned, most telling first.
const TEXT_FIELDS: &[&str] = &["text", "content", "body", "code", "requirements", "request", "summary", "message", "result"];

/// Text, or a structured value that can be read as text.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Material(Value);

impl Material {
    /// As text: a string as it is, an object by its telling field, anything else as JSON.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Value::String(text) => Cow::Borrowed(text),
            Value::Object(fields) => match TEXT_FIELDS.iter().find_map(|field| fields.get(*field)?.as_str()) {
                Some(text) => Cow::Borrowed(text),
                None => Cow::Owned(pretty(&self.0)),
            },
            other => Cow::Owned(pretty(other)),
        }
    }

    /// A text field of the object, if it is one.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The value itself.
    pub(super) fn value(&self) -> &Value {
        &self.0
    }

    /// The first of these that holds text other than blanks.
    pub(super) fn first<'a>(candidates: &[&'a Option<Self>]) -> Option<&'a Self> {
        candidates.iter().filter_map(|candidate| candidate.as_ref()).find(|material| !material.text().trim().is_empty())
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

impl JsonSchema for Material {
    fn schema_name() -> Cow<'static, str> {
        "Material".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean", "object", "array"] })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_text_from_what_agents_return() {
        for (value, expected) in [
            (json!("plain"), "plain"),
            (json!({"code": "x = 1", "language": "python"}), "x = 1"),
            (json!({"text": 3, "summary": "s"}), "s"),
            (json!(42), "42"),
            (json!({"a": 1}), "{\n  \"a\": 1\n}"),
        ] {
            assert_eq!(Material(value).text(), expected);
        }
    }

    #[test]
    fn blank_and_missing_candidates_are_passed_over() {
        let (none, blank, text) = (None, Some(Material(json!("  "))), Some(Material(json!("x"))));
        assert_eq!(Material::first(&[&none, &blank, &text]).unwrap().text(), "x");
        assert!(Material::first(&[&none, &blank]).is_none());
    }
}
