//! How a message names the skill it calls. A2A has no field for it, so both sides agree on an extension and fall back
//! step by step to what other orchestrators send.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::card::{Card, Skill};
use super::message::{Message, Part, PartContent, Role};
use super::value::{Shape, parts_value};

/// Names the skill in `message.metadata`.
pub const SKILL_EXTENSION: &str = "urn:gantry:a2a:skill:v1";
/// Declares the schemas of skills in a card.
pub const SKILL_SCHEMAS_EXTENSION: &str = "urn:gantry:a2a:skill-schemas:v1";
/// Declares the schemas of a whole agent, as Solace's agents do.
pub const SOLACE_SCHEMAS_EXTENSION: &str = "https://solace.com/a2a/extensions/sam/schemas";

impl Message {
    /// A message that calls a skill: named in the metadata in both forms, the inputs as one data part, or as text where
    /// the card takes nothing else. The inputs are shared, not copied.
    pub fn calling(card: &Card, skill: &str, inputs: &Arc<Value>, message_id: &str, mut metadata: Map<String, Value>) -> Self {
        metadata.insert(SKILL_EXTENSION.to_owned(), json!({ "skill": skill }));
        metadata.insert("skill".to_owned(), Value::String(skill.to_owned()));
        let part = if takes_data(card, card.skill(skill)) { Part::data(Arc::clone(inputs)) } else { Part::text(rendered(inputs)) };
        Self {
            message_id: message_id.to_owned(),
            role: Role::User,
            parts: vec![part],
            metadata,
            extensions: vec![SKILL_EXTENSION.to_owned()],
            ..Self::default()
        }
    }
}

/// Whether a skill takes data parts: the skill's media types decide, then the card's; none said means anything.
pub fn takes_data(card: &Card, skill: Option<&Skill>) -> bool {
    let modes = skill.map(|skill| &skill.input_modes).filter(|modes| !modes.is_empty()).unwrap_or(&card.input_modes);
    let is_text = |mode: &str| mode.eq_ignore_ascii_case("text") || mode.to_ascii_lowercase().starts_with("text/");
    modes.is_empty() || !modes.iter().all(|mode| is_text(mode))
}

/// The inputs as text: a single text stands for itself, anything else is JSON.
fn rendered(inputs: &Value) -> String {
    match inputs {
        Value::String(text) => text.clone(),
        Value::Object(members) if members.len() == 1 => match members.values().next() {
            Some(Value::String(text)) => text.clone(),
            _ => inputs.to_string(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => inputs.to_string(),
    }
}

/// What an incoming message asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Addressed {
    /// A skill by name.
    Skill {
        /// The skill.
        skill: String,
        /// Its inputs.
        input: Arc<Value>,
        /// What else the sender said beside the name, such as a version.
        details: Map<String, Value>,
    },
    /// No skill is named: the request is to be routed by its text.
    Request {
        /// All text of the message; may be empty.
        text: String,
        /// The message's parts as a value.
        input: Arc<Value>,
    },
}

/// Resolves what a message asks for, in order: the extension's metadata, `metadata.skill` or `.skillId`, one data part
/// `{"skill": …, "input": …}`, otherwise the text.
pub fn address(message: &Message) -> Addressed {
    let named = named_by_extension(message).or_else(|| named_by_metadata(message)).filter(|(skill, _)| !skill.is_empty());
    if let Some((skill, details)) = named {
        let input = input_of(message, &skill);
        return Addressed::Skill { skill, input, details };
    }
    if let Some((skill, input, details)) = named_by_part(message) {
        return Addressed::Skill { skill, input, details };
    }
    Addressed::Request { text: message.text(), input: input_of(message, "") }
}

fn named_by_extension(message: &Message) -> Option<(String, Map<String, Value>)> {
    match message.metadata.get(SKILL_EXTENSION)? {
        Value::String(skill) => Some((skill.clone(), Map::new())),
        Value::Object(members) => {
            let skill = members.get("skill")?.as_str()?.to_owned();
            Some((skill, members.iter().filter(|(name, _)| *name != "skill").map(|(n, v)| (n.clone(), v.clone())).collect()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

fn named_by_metadata(message: &Message) -> Option<(String, Map<String, Value>)> {
    let skill = ["skill", "skillId"].iter().find_map(|name| message.metadata.get(*name)?.as_str())?;
    Some((skill.to_owned(), Map::new()))
}

fn named_by_part(message: &Message) -> Option<(String, Arc<Value>, Map<String, Value>)> {
    let [Part { content: PartContent::Data(data), .. }] = message.parts.as_slice() else { return None };
    let members = data.as_object()?;
    let skill = members.get("skill")?.as_str().filter(|skill| !skill.is_empty())?;
    let input = members.get("input")?;
    let details = members.iter().filter(|(name, _)| *name != "skill" && *name != "input");
    Some((skill.to_owned(), Arc::new(input.clone()), details.map(|(n, v)| (n.clone(), v.clone())).collect()))
}

/// The parts as inputs. A sender that names the skill twice, in the metadata and as `{"skill", "input"}`, means the latter's input.
fn input_of(message: &Message, skill: &str) -> Arc<Value> {
    if let Some((named, input, details)) = named_by_part(message)
        && named == skill
        && details.is_empty()
    {
        return input;
    }
    if let [Part { content: PartContent::Data(data), .. }] = message.parts.as_slice() {
        return Arc::clone(data);
    }
    Arc::new(parts_value(message.parts.clone(), Shape::Object).unwrap_or_else(|| Value::Object(Map::new())))
}

#[cfg(test)]
mod tests;
