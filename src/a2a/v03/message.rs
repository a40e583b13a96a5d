//! Messages and parts in 0.3: `kind` discriminators, lower-case roles, files one level down.

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::V03;
use crate::a2a::lenient;
use crate::a2a::{Message, Part, PartContent, Role};

/// Marks a data part whose value stands under `value`, because 0.3 allows only objects there. Set by the reference SDKs too.
const WRAPPED: &str = "data_part_compat";

impl Serialize for V03<&Message> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "message")?;
        map.serialize_entry("messageId", &message.message_id)?;
        map.serialize_entry("role", if message.role == Role::Agent { "agent" } else { "user" })?;
        map.serialize_entry("parts", &Each(&message.parts))?;
        if let Some(context_id) = &message.context_id {
            map.serialize_entry("contextId", context_id)?;
        }
        if let Some(task_id) = &message.task_id {
            map.serialize_entry("taskId", task_id)?;
        }
        if !message.metadata.is_empty() {
            map.serialize_entry("metadata", &message.metadata)?;
        }
        if !message.extensions.is_empty() {
            map.serialize_entry("extensions", &message.extensions)?;
        }
        if !message.reference_task_ids.is_empty() {
            map.serialize_entry("referenceTaskIds", &message.reference_task_ids)?;
        }
        map.end()
    }
}

/// A list whose items are written in 0.3.
pub(super) struct Each<'a, T>(pub(super) &'a [T]);

impl<'a, T> Serialize for Each<'a, T>
where
    V03<&'a T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(V03))
    }
}

/// Unwraps a list that was read.
pub(super) fn all<T>(items: Vec<V03<T>>) -> Vec<T> {
    items.into_iter().map(|item| item.0).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageWire {
    message_id: String,
    role: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    parts: Vec<V03<Part>>,
    #[serde(default, deserialize_with = "lenient::text")]
    context_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    task_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    metadata: Map<String, Value>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    extensions: Vec<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    reference_task_ids: Vec<String>,
}

impl<'de> Deserialize<'de> for V03<Message> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = MessageWire::deserialize(deserializer)?;
        Ok(Self(Message {
            message_id: wire.message_id,
            context_id: wire.context_id,
            task_id: wire.task_id,
            role: match wire.role.as_deref() {
                Some("user") => Role::User,
                Some("agent") => Role::Agent,
                _ => Role::Unspecified,
            },
            parts: all(wire.parts),
            metadata: wire.metadata,
            extensions: wire.extensions,
            reference_task_ids: wire.reference_task_ids,
        }))
    }
}

/// The file of a file part.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl Serialize for V03<&Part> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = self.0;
        let mut map = serializer.serialize_map(None)?;
        let mut wrapped = false;
        match &part.content {
            PartContent::Text(text) => {
                map.serialize_entry("kind", "text")?;
                map.serialize_entry("text", text)?;
            }
            PartContent::Data(data) => wrapped = serialize_data(&mut map, data, data.is_object())?,
            PartContent::Written(data) => wrapped = serialize_data(&mut map, data, data.is_object())?,
            PartContent::Raw(bytes) => {
                map.serialize_entry("kind", "file")?;
                map.serialize_entry("file", &file(part, Some(bytes), None))?;
            }
            PartContent::Url(url) => {
                map.serialize_entry("kind", "file")?;
                map.serialize_entry("file", &file(part, None, Some(url)))?;
            }
        }
        if wrapped {
            let mut metadata = part.metadata.clone();
            metadata.insert(WRAPPED.to_owned(), Value::Bool(true));
            map.serialize_entry("metadata", &metadata)?;
        } else if !part.metadata.is_empty() {
            map.serialize_entry("metadata", &part.metadata)?;
        }
        map.end()
    }
}

/// Whether it had to be wrapped: data is an object here.
fn serialize_data<M: SerializeMap>(map: &mut M, data: &impl Serialize, is_object: bool) -> Result<bool, M::Error> {
    map.serialize_entry("kind", "data")?;
    if is_object {
        map.serialize_entry("data", data)?
    } else {
        map.serialize_entry("data", &Wrapped { value: data })?
    }
    Ok(!is_object)
}

#[derive(Serialize)]
struct Wrapped<'a, T> {
    value: &'a T,
}

fn file<'a>(part: &'a Part, bytes: Option<&'a str>, uri: Option<&'a str>) -> File<'a> {
    File { bytes, uri, mime_type: part.media_type.as_deref(), name: part.filename.as_deref() }
}

#[derive(Deserialize)]
struct PartWire {
    text: Option<String>,
    file: Option<FileWire>,
    #[serde(default)]
    data: Option<Arc<Value>>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    metadata: Map<String, Value>,
}

/// The content decides, not `kind`: agents of 0.2 called the discriminator `type`.
impl<'de> Deserialize<'de> for V03<Part> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let PartWire { text, file, data, mut metadata } = PartWire::deserialize(deserializer)?;
        let (mut filename, mut media_type) = (None, None);
        let content = match (text, file, data) {
            (Some(text), None, None) => PartContent::Text(text),
            (None, None, Some(data)) => PartContent::Data(unwrapped(data, &mut metadata)),
            (None, Some(file), None) => {
                (filename, media_type) = (file.name, file.mime_type);
                match (file.bytes, file.uri) {
                    (Some(bytes), None) => PartContent::Raw(bytes),
                    (None, Some(uri)) => PartContent::Url(uri),
                    _ => return Err(de::Error::custom("a file part has not exactly one of bytes and uri")),
                }
            }
            (None, None, None) => return Err(de::Error::custom("a part has none of text, file and data")),
            _ => return Err(de::Error::custom("a part has more than one of text, file and data")),
        };
        Ok(Self(Part { content, metadata, filename, media_type }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileWire {
    bytes: Option<String>,
    uri: Option<String>,
    mime_type: Option<String>,
    name: Option<String>,
}

fn unwrapped(mut data: Arc<Value>, metadata: &mut Map<String, Value>) -> Arc<Value> {
    if metadata.remove(WRAPPED) != Some(Value::Bool(true)) {
        return data;
    }
    match Arc::make_mut(&mut data).get_mut("value") {
        Some(value) => Arc::new(value.take()),
        None => data,
    }
}
