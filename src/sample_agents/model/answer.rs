//! Reads a model's answer: finds the JSON, says who made it, holds it against the schema.

use serde_json::Value;

use super::super::skill::Skill;
use super::prompt::PROVENANCE;
use crate::a2a::within_depth;
use crate::limits;

/// The result, or everything that is wrong with the answer.
pub(super) fn read(skill: &Skill, text: &str, label: &str) -> Result<Value, Vec<String>> {
    let mut value = object_in(text).ok_or_else(|| vec!["it holds no complete JSON object".to_owned()])?;
    if !within_depth(&value, limits::VALUE_DEPTH_MAX) {
        return Err(vec![format!("it nests deeper than {} levels", limits::VALUE_DEPTH_MAX)]);
    }
    let properties = &skill.output.value()["properties"];
    for field in PROVENANCE.iter().filter(|field| properties.get(**field).is_some()) {
        let said = if *field == "source" { label.to_owned() } else { format!("This comes from {label}; only its form was checked") };
        value[*field] = Value::String(said);
    }
    let problems = skill.output.problems(&value);
    if problems.is_empty() { Ok(value) } else { Err(problems) }
}

/// The object that the text is, that its fenced block holds, or that starts at its first brace.
fn object_in(text: &str) -> Option<Value> {
    let whole = || serde_json::from_str::<Value>(text.trim()).ok().filter(Value::is_object);
    let fenced = || {
        let (_, after) = text.split_once("```")?;
        let (_, body) = after.split_once('\n')?;
        first_object(body)
    };
    whole().or_else(fenced).or_else(|| first_object(text))
}

fn first_object(text: &str) -> Option<Value> {
    let start = text.find('{')?;
    serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>().next()?.ok().filter(Value::is_object)
}
