//! Parts and artifacts as JSON values, which is all that steps exchange.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::extension::{FORM_FILES, FORM_TEXT, OUTPUT, RUN};
use super::message::{Message, Part, PartContent};
use super::task::{Artifact, Task};

/// What a skill's output schema says about the value, as far as reading it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An object: a text that parses as one is that object.
    Object,
    /// Anything: a text stays text.
    Any,
}

impl Shape {
    /// Reads it off a JSON Schema.
    pub fn of(schema: Option<&Value>) -> Self {
        let says_object = schema.is_some_and(|schema| match schema.get("type") {
            Some(Value::String(name)) => name == "object",
            Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
            _ => schema.get("properties").is_some(),
        });
        if says_object { Self::Object } else { Self::Any }
    }
}

/// The value of a finished task: its artifacts, else its last status message. `None` if both are empty.
pub fn reply_value(task: Task, shape: Shape) -> Option<Value> {
    let mut artifacts: Vec<Artifact> = task.artifacts.into_iter().filter(|artifact| !artifact.parts.is_empty()).collect();
    // Another gantry also sends what its steps made, and says which artifact is the output.
    if let Some(output) = artifacts.iter().position(|artifact| about_run(artifact, "artifact") == Some(OUTPUT)) {
        return output_value(artifacts.swap_remove(output), shape);
    }
    match artifacts.len() {
        0 => parts_value(task.status.message.map(|message: Message| message.parts).unwrap_or_default(), shape),
        1 => parts_value(artifacts.remove(0).parts, shape),
        _ => {
            let mut members = Members::default();
            for artifact in artifacts {
                let name = artifact.name.unwrap_or(artifact.artifact_id);
                let name = if name.is_empty() { "artifact".to_owned() } else { name };
                if let Some(value) = parts_value(artifact.parts, Shape::Any) {
                    members.insert(name, value);
                }
            }
            (!members.members.is_empty()).then_some(Value::Object(members.members))
        }
    }
}

/// The output of a run, just as the run has it.
fn output_value(output: Artifact, shape: Shape) -> Option<Value> {
    match about_run(&output, "form") {
        Some(FORM_TEXT) => Some(Value::String(Message { parts: output.parts, ..Message::default() }.text())),
        Some(FORM_FILES) => Some(Value::Array(output.parts.into_iter().filter_map(|part| single(part, Shape::Any)).collect())),
        Some(_) | None => parts_value(output.parts, shape),
    }
}

fn about_run<'a>(artifact: &'a Artifact, member: &str) -> Option<&'a str> {
    artifact.metadata.get(RUN)?.get(member)?.as_str()
}

/// The value of parts: one data part is its JSON; one text is `{"text": …}`, or the object it spells where one is
/// expected; a file is `{"file": {url | bytes, mediaType, filename}}`; several become an object by name.
/// `None` if there is nothing.
pub fn parts_value(parts: Vec<Part>, shape: Shape) -> Option<Value> {
    let mut parts = joined_texts(parts);
    match parts.len() {
        0 => None,
        1 => single(parts.remove(0), shape),
        _ => {
            let mut members = Members::default();
            for part in parts {
                let (name, value) = named(part);
                members.insert(name, value);
            }
            Some(Value::Object(members.members))
        }
    }
}

/// A value as parts, such that [`parts_value`] gives it back: `{"text": …}` is a text, `{"file": …}` a file, anything else one
/// data part that shares the value.
pub fn value_parts(value: &Arc<Value>) -> Vec<Part> {
    let member = value.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next());
    let part = match member {
        Some((name, Value::String(text))) if name == "text" && !text.is_empty() => Some(Part::text(text.clone())),
        Some((name, Value::Object(file))) if name == "file" => file_part(file),
        _ => None,
    };
    vec![part.unwrap_or_else(|| Part::data(Arc::clone(value)))]
}

/// A file part, if the object says nothing that such a part cannot.
fn file_part(file: &Map<String, Value>) -> Option<Part> {
    let mut content = None;
    let (mut media_type, mut filename) = (None, None);
    for (name, value) in file {
        let text = value.as_str().filter(|text| !text.is_empty())?.to_owned();
        match name.as_str() {
            "url" if content.is_none() => content = Some(PartContent::Url(text)),
            "bytes" if content.is_none() => content = Some(PartContent::Raw(text)),
            "mediaType" => media_type = Some(text),
            "filename" => filename = Some(text),
            _ => return None,
        }
    }
    Some(Part { media_type, filename, ..Part::of(content?) })
}

/// Whether a value nests no deeper than the limit. Stops at the limit, so that depth never costs stack.
pub(crate) fn within_depth(value: &Value, depth_max: usize) -> bool {
    match value {
        Value::Array(items) => depth_max > 0 && items.iter().all(|item| within_depth(item, depth_max - 1)),
        Value::Object(members) => depth_max > 0 && members.values().all(|item| within_depth(item, depth_max - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Texts without a name that follow each other are one text: streaming agents send it in pieces.
fn joined_texts(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        if let PartContent::Text(more) = &part.content
            && name(&part).is_none()
            && let Some(last) = joined.last_mut()
            && name(last).is_none()
            && let PartContent::Text(text) = &mut last.content
        {
            text.push_str(more);
            continue;
        }
        joined.push(part);
    }
    joined
}

fn single(part: Part, shape: Shape) -> Option<Value> {
    match part.content {
        PartContent::Data(data) => Some(Arc::unwrap_or_clone(data)),
        PartContent::Written(data) => Some(data.value()),
        PartContent::Text(text) if text.is_empty() => None,
        PartContent::Text(text) => {
            let spelled = (shape == Shape::Object && text.trim_start().starts_with('{'))
                .then(|| serde_json::from_str(&text).ok())
                .flatten()
                .filter(Value::is_object);
            Some(spelled.unwrap_or_else(|| json!({ "text": text })))
        }
        PartContent::Raw(_) | PartContent::Url(_) => Some(json!({ "file": file(part) })),
    }
}

fn named(part: Part) -> (String, Value) {
    let name = name(&part);
    let or = |kind: &str| name.clone().unwrap_or_else(|| kind.to_owned());
    match part.content {
        PartContent::Data(data) => (or("data"), Arc::unwrap_or_clone(data)),
        PartContent::Written(data) => (or("data"), data.value()),
        PartContent::Text(text) => (or("text"), Value::String(text)),
        PartContent::Raw(_) | PartContent::Url(_) => (or("file"), file(part)),
    }
}

fn name(part: &Part) -> Option<String> {
    part.filename.clone().or_else(|| part.metadata.get("name")?.as_str().filter(|name| !name.is_empty()).map(str::to_owned))
}

fn file(part: Part) -> Value {
    let mut file = Map::new();
    match part.content {
        PartContent::Url(url) => file.insert("url".to_owned(), Value::String(url)),
        PartContent::Raw(bytes) => file.insert("bytes".to_owned(), Value::String(bytes)),
        PartContent::Text(_) | PartContent::Data(_) | PartContent::Written(_) => None,
    };
    file.extend(part.media_type.map(|media_type| ("mediaType".to_owned(), Value::String(media_type))));
    file.extend(part.filename.map(|filename| ("filename".to_owned(), Value::String(filename))));
    Value::Object(file)
}

/// Members by name; a name that is taken gets a number. Linear however many share a name.
#[derive(Default)]
struct Members {
    members: Map<String, Value>,
    taken: BTreeMap<String, usize>,
}

impl Members {
    fn insert(&mut self, name: String, value: Value) {
        if !self.members.contains_key(&name) {
            self.members.insert(name, value);
            return;
        }
        let count = self.taken.entry(name.clone()).or_insert(1);
        loop {
            *count += 1;
            let numbered = format!("{name}_{count}");
            if !self.members.contains_key(&numbered) {
                self.members.insert(numbered, value);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
