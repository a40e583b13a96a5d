//! `aggregate_results`: any named results become one summary. Knows the results of this agent and describes others by their shape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::SOURCE;
use super::super::words::{count_of, shorten};

/// Characters of one text that is quoted.
const QUOTE_CHARS: usize = 160;

/// Named results.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub(super) struct Input {
    /// Each input is one result, under the name it shall have.
    #[serde(flatten)]
    named: Map<String, Value>,
}

/// Several results as one.
#[derive(Serialize, JsonSchema)]
pub(super) struct Summary {
    /// The most telling highlights in one sentence.
    pub(super) headline: String,
    /// One sentence for each result.
    pub(super) highlights: Vec<String>,
    /// The results themselves, by name.
    pub(super) combined: Map<String, Value>,
    /// How many results there are and what they hold.
    pub(super) statistics: Statistics,
    /// Who made this summary.
    pub(super) source: String,
}

/// Counts over all results.
#[derive(Serialize, JsonSchema)]
pub(super) struct Statistics {
    /// Results given.
    pub(super) results: usize,
    /// Results with a value.
    pub(super) present: usize,
    /// Names of results that are null or empty, such as those of failed branches.
    pub(super) missing: Vec<String>,
    /// Fields of all results, nested ones included.
    pub(super) fields: usize,
    /// Numbers among them.
    pub(super) numbers: usize,
    /// Bytes of all results as JSON.
    pub(super) size_bytes: usize,
}

/// Joins the results.
pub(super) fn aggregate(input: Input) -> Result<Summary, String> {
    let named = unpack(input.named);
    let missing: Vec<String> = named.iter().filter(|(_, value)| is_empty(value)).map(|(name, _)| name.clone()).collect();
    let highlights: Vec<String> = named.iter().filter(|(_, value)| !is_empty(value)).map(|(name, value)| highlight(name, value)).collect();
    let (mut fields, mut numbers) = (0, 0);
    named.values().for_each(|value| count(value, &mut fields, &mut numbers));
    let size_bytes = named.values().map(|value| value.to_string().len()).sum();
    let mut headline = if highlights.is_empty() { "No results".to_owned() } else { highlights[..highlights.len().min(3)].join("; ") };
    if !missing.is_empty() {
        headline.push_str(&format!("; without {}", missing.join(", ")));
    }
    let statistics = Statistics { results: named.len(), present: named.len() - missing.len(), missing, fields, numbers, size_bytes };
    Ok(Summary { headline: shorten(&headline, 600), highlights, combined: named, statistics, source: SOURCE.to_owned() })
}

/// A single `results` object holds the named results itself.
fn unpack(mut named: Map<String, Value>) -> Map<String, Value> {
    match named.get("results") {
        Some(Value::Object(_)) if named.len() == 1 => match named.remove("results") {
            Some(Value::Object(inner)) => inner,
            _ => named,
        },
        _ => named,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn highlight(name: &str, value: &Value) -> String {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let sentence = if let (Some(label), Some(compound)) = (text("label"), value.get("compound")) {
        format!("{label} ({compound})")
    } else if let (Some(Value::Array(entities)), Some(count)) = (value.get("entities"), value.get("count").and_then(Value::as_u64)) {
        let names: Vec<&str> = entities.iter().filter_map(|entity| entity.get("text")?.as_str()).take(5).collect();
        match count {
            0 => "none".to_owned(),
            1 => format!("1 entity ({})", names.join(", ")),
            _ => format!("{count} entities ({})", names.join(", ")),
        }
    } else if let (Some(primary), Some(Value::Array(keywords))) = (text("primary"), value.get("keywords")) {
        let words: Vec<&str> = keywords.iter().filter_map(|keyword| keyword.get("word")?.as_str()).take(5).collect();
        format!("{primary} (keywords {})", words.join(", "))
    } else if let Some(telling) = ["headline", "summary", "title", "text", "message"].iter().find_map(|field| text(field)) {
        telling.to_owned()
    } else {
        shape(value)
    };
    format!("{}: {}", shorten(name, 80), shorten(&sentence, QUOTE_CHARS))
}

fn shape(value: &Value) -> String {
    match value {
        Value::Array(items) => count_of(items.len(), "item"),
        Value::Object(fields) => {
            let names: Vec<&str> = fields.keys().map(String::as_str).take(8).collect();
            format!("{} ({})", count_of(fields.len(), "field"), names.join(", "))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Counts fields and numbers. Bounded by the depth of JSON that is read.
fn count(value: &Value, fields: &mut usize, numbers: &mut usize) {
    match value {
        Value::Number(_) => *numbers += 1,
        Value::Array(items) => items.iter().for_each(|item| count(item, fields, numbers)),
        Value::Object(members) => {
            *fields += members.len();
            members.values().for_each(|member| count(member, fields, numbers));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
