//! Messages and their parts (A2A 1.0, section 4.1).

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::lenient;
use crate::json;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Role {
    /// The caller.
    #[serde(rename = "ROLE_USER")]
    User,
    /// The agent.
    #[serde(rename = "ROLE_AGENT")]
    Agent,
    /// Not said. Never sent by gantry.
    #[default]
    #[serde(rename = "ROLE_UNSPECIFIED", other)]
    Unspecified,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Made by the sender; a repeat carries the same.
    #[serde(alias = "message_id")]
    pub message_id: String,
    /// The conversation.
    #[serde(alias = "context_id", default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// The task it belongs to.
    #[serde(alias = "task_id", default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Who speaks.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub role: Role,
    /// What is said; at least one when sent.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub parts: Vec<Part>,
    /// Free form, keyed by extension.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// URIs of the extensions that this message uses.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Other tasks it refers to.
    #[serde(alias = "reference_task_ids", default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub reference_task_ids: Vec<String>,
}

impl Message {
    /// A message of an agent with one text part.
    pub fn agent_text(message_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { message_id: message_id.into(), role: Role::Agent, parts: vec![Part::text(text)], ..Self::default() }
    }

    /// All text parts, joined by line ends.
    pub fn text(&self) -> String {
        let mut joined = String::new();
        for part in &self.parts {
            if let PartContent::Text(text) = &part.content {
                if !joined.is_empty() {
                    joined.push('\n');
                }
                joined.push_str(text);
            }
        }
        joined
    }

    /// The same in little memory, for one who only keeps it to pass it on.
    #[must_use]
    pub fn compact(mut self) -> Self {
        self.parts.iter_mut().for_each(Part::compact);
        self
    }
}

/// What a part holds: exactly one of these.
#[derive(Debug, Clone, PartialEq)]
pub enum PartContent {
    /// Text.
    Text(String),
    /// Bytes in base64, kept as they came.
    Raw(String),
    /// Where the bytes are.
    Url(String),
    /// A JSON value. Shared, so that one payload serves journal, history and stream.
    Data(Arc<Value>),
    /// A JSON value as its text. Never what was just read: see [`Part::compact`].
    Written(Written),
}

/// A JSON value as its text.
#[derive(Debug, Clone)]
pub struct Written(Arc<RawValue>);

impl Written {
    /// The value.
    pub fn value(&self) -> Value {
        serde_json::from_str(self.0.get()).expect("only what is read back is written")
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.0.get().starts_with('{')
    }
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A piece of a message or artifact.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "PartWire")]
pub struct Part {
    /// The content.
    pub content: PartContent,
    /// Free form.
    pub metadata: Map<String, Value>,
    /// A name for files.
    pub filename: Option<String>,
    /// The media type of the content.
    pub media_type: Option<String>,
}

impl Part {
    /// A text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::of(PartContent::Text(text.into()))
    }

    /// A data part.
    pub fn data(value: impl Into<Arc<Value>>) -> Self {
        Self::of(PartContent::Data(value.into()))
    }

    /// A part without name, media type or metadata.
    pub fn of(content: PartContent) -> Self {
        Self { content, metadata: Map::new(), filename: None, media_type: None }
    }

    /// Keeps data with very many values as their text: for parts that are kept only to be passed on.
    pub fn compact(&mut self) {
        if let PartContent::Data(data) = &self.content
            && let Some(text) = json::compact(data)
        {
            self.content = PartContent::Written(Written(Arc::from(text)));
        }
    }
}

/// Written by hand, so that neither text nor data is copied.
impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.content {
            PartContent::Text(text) => map.serialize_entry("text", text)?,
            PartContent::Raw(raw) => map.serialize_entry("raw", raw)?,
            PartContent::Url(url) => map.serialize_entry("url", url)?,
            PartContent::Data(data) => map.serialize_entry("data", data)?,
            PartContent::Written(data) => map.serialize_entry("data", data)?,
        }
        if !self.metadata.is_empty() {
            map.serialize_entry("metadata", &self.metadata)?;
        }
        if let Some(filename) = &self.filename {
            map.serialize_entry("filename", filename)?;
        }
        if let Some(media_type) = &self.media_type {
            map.serialize_entry("mediaType", media_type)?;
        }
        map.end()
    }
}

/// The part as it stands on the wire: one member per kind of content.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartWire {
    text: Option<String>,
    raw: Option<String>,
    url: Option<String>,
    #[serde(default, deserialize_with = "lenient::present")]
    data: Option<Arc<Value>>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    metadata: Map<String, Value>,
    #[serde(default, deserialize_with = "lenient::text")]
    filename: Option<String>,
    #[serde(alias = "media_type", default, deserialize_with = "lenient::text")]
    media_type: Option<String>,
}

impl TryFrom<PartWire> for Part {
    type Error = &'static str;

    fn try_from(wire: PartWire) -> Result<Self, Self::Error> {
        let PartWire { text, raw, url, data, metadata, filename, media_type } = wire;
        // `"data": null` beside another member is an SDK that writes all members; alone it is the value null.
        let data = data.filter(|data| !data.is_null() || (text.is_none() && raw.is_none() && url.is_none()));
        let content = match (text, raw, url, data) {
            (Some(text), None, None, None) => PartContent::Text(text),
            (None, Some(raw), None, None) => PartContent::Raw(raw),
            (None, None, Some(url), None) => PartContent::Url(url),
            (None, None, None, Some(data)) => PartContent::Data(data),
            (None, None, None, None) => return Err("a part has none of text, raw, url and data"),
            _ => return Err("a part has more than one of text, raw, url and data"),
        };
        Ok(Self { content, metadata, filename, media_type })
    }
}

#[cfg(test)]
mod tests;
