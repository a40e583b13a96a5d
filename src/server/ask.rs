//! What a message asks for: the skill, the workflow, the input, and the runs above it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Failure;
use super::tasks::RUN_EXTENSION;
use crate::a2a::{self, Addressed, FieldViolation, Message, PartContent};
use crate::interpreter::Ancestor;
use crate::plan;
pub(super) use crate::plan::{EXECUTE_WORKFLOW as EXECUTE, ROUTE_REQUEST as ROUTE, WORKFLOW_PREFIX};
use crate::workflow::mistyped;

/// Every member of [`Execute`].
const MEMBERS: &[&str] = &["workflow_id", "version", "digest", "input", "idempotency_key"];

/// So many members that are mistyped are told.
const MISTYPED_TOLD_MAX: usize = 5;

/// So many members that are unknown are looked at: each is compared with every name, and a caller may send very many.
const UNKNOWN_MAX: usize = 64;

/// The input of `execute_workflow`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Execute {
    /// `id`, or a whole reference.
    pub(super) workflow_id: String,
    /// A tag.
    #[serde(default)]
    pub(super) version: Option<String>,
    /// A digest; goes before the tag.
    #[serde(default)]
    pub(super) digest: Option<String>,
    /// The workflow's input.
    #[serde(default)]
    pub(super) input: Value,
    /// The same key gives the same run.
    #[serde(default)]
    pub(super) idempotency_key: Option<String>,
}

impl Execute {
    /// The reference that discovery reads.
    pub(super) fn reference(&self) -> String {
        plan::reference_to(&self.workflow_id, self.version.as_deref(), self.digest.as_deref())
    }

    /// Reads and checks the input of the skill. Members that it does not know are somebody else's, unless they are mistyped.
    pub(super) fn read(mut input: Value) -> Result<Self, Failure> {
        refuse_mistyped(&input)?;
        a2a::normalize_numbers(&mut input);
        // Taken out first: it may be large, and would be built anew.
        let inner = input.as_object_mut().and_then(|members| members.remove("input"));
        let mut execute: Self = serde_json::from_value(input).map_err(|error| {
            Failure::field("workflow_id", format!("{EXECUTE} takes {{workflow_id, version?, digest?, input?, idempotency_key?}}: {error}"))
        })?;
        execute.input = inner.unwrap_or_default();
        if execute.workflow_id.trim().is_empty() {
            return Err(Failure::field("workflow_id", "is empty"));
        }
        if execute.idempotency_key.as_deref() == Some("") {
            return Err(Failure::field("idempotency_key", "is empty"));
        }
        if execute.input.is_null() {
            execute.input = Value::Object(Map::new());
        }
        Ok(execute)
    }
}

/// What would be lost without a word: the caller thinks that it is heard.
fn refuse_mistyped(input: &Value) -> Result<(), Failure> {
    let names = input.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    let unknown = names.filter(|name| !MEMBERS.contains(name)).take(UNKNOWN_MAX);
    // What is there in both spellings is heard.
    let absent: Vec<&str> = MEMBERS.iter().copied().filter(|member| input.get(member).is_none()).collect();
    let mistyped = unknown.filter_map(|name| Some((name, mistyped(name, absent.iter().copied())?)));
    let said = |(name, meant): (&str, &str)| FieldViolation {
        field: name.to_owned(),
        description: format!("unknown member `{name}`; did you mean `{meant}`?"),
    };
    match mistyped.take(MISTYPED_TOLD_MAX).map(said).collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        violations => Err(Failure::fields(violations)),
    }
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ask {
    /// Run this workflow.
    Execute(Execute),
    /// Run this workflow with the message as its input.
    Workflow {
        /// Its id.
        id: String,
        /// All text.
        text: String,
        /// Members of data parts.
        data: Map<String, Value>,
    },
    /// Find the workflow.
    Route {
        /// All text.
        text: String,
        /// Members of data parts, and the context that came along.
        data: Map<String, Value>,
    },
}

impl Ask {
    /// Resolves a message. Taken, so that the input of a run is moved out of it where nobody else has it.
    pub(super) fn of(message: Message) -> Result<Self, Failure> {
        match a2a::address(&message) {
            Addressed::Skill { skill, input, details } => Self::skill(message, &skill, input, details),
            Addressed::Request { text, .. } => {
                let data = data(&message);
                if text.is_empty() && data.contains_key("workflow_id") {
                    return Execute::read(Value::Object(data)).map(Self::Execute);
                }
                Ok(Self::Route { text, data })
            }
        }
    }

    fn skill(message: Message, skill: &str, input: Arc<Value>, details: Map<String, Value>) -> Result<Self, Failure> {
        match skill {
            EXECUTE => {
                drop(message);
                let mut members = spelled(input).unwrap_or_default();
                // What stands beside the skill's name (`version`, `workflow_id`) fills in what the input does not say.
                for (name, value) in details {
                    members.entry(name).or_insert(value);
                }
                Execute::read(Value::Object(members)).map(Self::Execute)
            }
            ROUTE => {
                let members = spelled(input).unwrap_or_default();
                let (text, data) = request(&members).unwrap_or_else(|| (message.text(), data(&message)));
                Ok(Self::Route { text, data })
            }
            other => match other.strip_prefix(WORKFLOW_PREFIX) {
                Some(id) => {
                    let mut data = spelled(input).unwrap_or_else(|| data(&message));
                    data.retain(|name, _| name != "text" || message.text().is_empty());
                    Ok(Self::Workflow { id: id.to_owned(), text: message.text(), data: normal(data) })
                }
                None => Err(Failure::field(
                    "message.metadata.skill",
                    format!("there is no skill `{other}`; there are {EXECUTE}, {ROUTE} and {WORKFLOW_PREFIX}<id>"),
                )),
            },
        }
    }
}

/// `{request, context?}` of `route_request`.
pub(super) fn request(members: &Map<String, Value>) -> Option<(String, Map<String, Value>)> {
    let text = members.get("request")?.as_str()?.to_owned();
    let mut data: Map<String, Value> = match members.get("context") {
        Some(Value::Object(context)) => context.clone(),
        Some(Value::Null) | None => Map::new(),
        Some(other) => Map::from_iter([("context".to_owned(), other.clone())]),
    };
    let more = members.iter().filter(|(name, _)| !matches!(name.as_str(), "request" | "context"));
    data.extend(more.map(|(name, value)| (name.clone(), value.clone())));
    Some((text, normal(data)))
}

/// An object, or a text that spells one: cards that take only text are sent inputs as text.
fn spelled(input: Arc<Value>) -> Option<Map<String, Value>> {
    match Arc::unwrap_or_clone(input) {
        Value::Object(members) => match members.get("text") {
            Some(Value::String(text)) if members.len() == 1 => serde_json::from_str(text).ok().or(Some(members)),
            _ => Some(members),
        },
        Value::String(text) => serde_json::from_str(&text).ok(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// What a message says in words: its text, or the text that its data is or holds. Agents answer a question with data.
pub(super) fn words(message: &Message) -> String {
    let text = message.text();
    if !text.trim().is_empty() {
        return text;
    }
    let said = message.parts.iter().find_map(|part| match &part.content {
        PartContent::Data(data) => match &**data {
            Value::Object(members) => ["text", "answer", "request"].iter().find_map(|name| members.get(*name)).cloned(),
            value => Some(value.clone()),
        },
        PartContent::Text(_) | PartContent::Raw(_) | PartContent::Url(_) | PartContent::Written(_) => None,
    });
    match said {
        Some(Value::String(text)) => text,
        Some(mut number @ Value::Number(_)) => {
            a2a::normalize_numbers(&mut number);
            number.to_string()
        }
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => text,
    }
}

/// Members of all data parts that are objects.
fn data(message: &Message) -> Map<String, Value> {
    let mut data = Map::new();
    for part in &message.parts {
        if let PartContent::Data(value) = &part.content
            && let Value::Object(members) = &**value
        {
            data.extend(members.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    normal(data)
}

fn normal(mut data: Map<String, Value>) -> Map<String, Value> {
    data.values_mut().for_each(a2a::normalize_numbers);
    data
}

/// The members of an input that a request's text goes to, best first, when the schema knows them.
const TEXT_MEMBERS: &[&str] = &["requirements", "request", "text", "query", "prompt", "input", "message", "content", "description"];

/// The input of a workflow made of a request's text and data, fitted to the workflow's schema.
pub(super) fn fitted_input(text: &str, data: Map<String, Value>, schema: Option<&Value>) -> Value {
    let mut input = data;
    if text.is_empty() {
        return Value::Object(input);
    }
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let Some(properties) = properties else {
        // Without a schema the workflow may call it by any of the usual names.
        for name in ["requirements", "request", "text"] {
            input.entry(name).or_insert_with(|| Value::String(text.to_owned()));
        }
        return Value::Object(input);
    };
    let takes_text = |name: &str| properties.get(name).is_some_and(|p| p.get("type").is_none_or(|t| t == "string"));
    let required = schema.and_then(|schema| schema.get("required")).and_then(Value::as_array);
    let missing = required.into_iter().flatten().filter_map(Value::as_str).find(|name| takes_text(name) && !input.contains_key(*name));
    let named = TEXT_MEMBERS.iter().copied().find(|name| takes_text(name) && !input.contains_key(*name));
    let only = properties.keys().map(String::as_str).find(|name| takes_text(name) && !input.contains_key(*name));
    if let Some(name) = missing.or(named).or(only) {
        input.insert(name.to_owned(), Value::String(text.to_owned()));
    }
    Value::Object(input)
}

/// The runs above a message, as another gantry told them.
#[derive(Debug, Default, Deserialize)]
struct Lineage {
    #[serde(default)]
    depth: Option<u32>,
    #[serde(default)]
    ancestry: Vec<Ancestor>,
}

/// Reads the runs above a message and refuses what is too deep. What is claimed can only make a call more restricted.
pub(super) fn ancestry(message: &Message, depth_max: u32) -> Result<Vec<Ancestor>, Failure> {
    let Some(told) = message.metadata.get(RUN_EXTENSION) else { return Ok(Vec::new()) };
    runs_above(told, || format!("message.metadata.{RUN_EXTENSION}"), depth_max)
}

/// The same of what stands in `field`.
pub(super) fn runs_above(told: &Value, field: impl Fn() -> String, depth_max: u32) -> Result<Vec<Ancestor>, Failure> {
    let lineage = Lineage::deserialize(told).map_err(|error| Failure::field(field(), error.to_string()))?;
    let depth = lineage.depth.unwrap_or(0).max(u32::try_from(lineage.ancestry.len()).unwrap_or(u32::MAX));
    if depth >= depth_max {
        let chain: Vec<&str> = lineage.ancestry.iter().map(|ancestor| ancestor.workflow.as_str()).take(32).collect();
        return Err(Failure::field(field(), format!("runs nest {depth} deep, the limit is {depth_max}: {}", chain.join(" → "))));
    }
    Ok(lineage.ancestry)
}

#[cfg(test)]
mod tests;
