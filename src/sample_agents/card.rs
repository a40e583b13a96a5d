//! Agent cards: the prototype's `{name, url, skills}` and the A2A card that readers of 1.0 and of 0.3 understand.
//!
//! Both carry the schemas of the skills.

use serde_json::{Map, Value, json};

use super::agent::Agent;

/// The extension under which an A2A card carries the schemas of skills.
const SCHEMAS_EXTENSION: &str = "urn:gantry:a2a:skill-schemas:v1";
/// The extension under which a message names a skill.
const SKILL_EXTENSION: &str = "urn:gantry:a2a:skill:v1";

/// The card at `/agent-card`.
pub(super) fn plain(agent: &Agent, url: &str) -> Value {
    let skills: Vec<Value> = agent
        .skills
        .iter()
        .map(|skill| {
            json!({
                "id": skill.words.id,
                "description": skill.words.description,
                "input_schema": skill.input.value(),
                "output_schema": skill.output.value(),
            })
        })
        .collect();
    json!({ "name": agent.name, "url": url, "skills": skills })
}

/// The card at `/.well-known/agent-card.json`: A2A 1.0 §4.4, with the fields 0.3 readers look for.
pub(super) fn a2a(agent: &Agent, url: &str) -> Value {
    let skills: Vec<Value> = agent
        .skills
        .iter()
        .map(|skill| {
            let words = &skill.words;
            json!({ "id": words.id, "name": words.name, "description": words.description, "tags": words.tags, "examples": words.examples })
        })
        .collect();
    let schemas: Map<String, Value> = agent
        .skills
        .iter()
        .map(|skill| (skill.words.id.to_owned(), json!({ "input": skill.input.value(), "output": skill.output.value() })))
        .collect();
    let endpoint = format!("{url}/");
    json!({
        "name": agent.name,
        "description": agent.description,
        "version": env!("CARGO_PKG_VERSION"),
        "supportedInterfaces": [
            { "url": endpoint, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
            { "url": endpoint, "protocolBinding": "JSONRPC", "protocolVersion": "0.3" },
        ],
        "url": endpoint,
        "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3.0",
        "capabilities": {
            "streaming": true,
            "pushNotifications": false,
            "extensions": [
                { "uri": SKILL_EXTENSION, "description": "Names the skill a message is for", "required": false },
                { "uri": SCHEMAS_EXTENSION, "description": "JSON Schemas of the skills", "required": false, "params": schemas },
            ],
        },
        "defaultInputModes": ["application/json", "text/plain"],
        "defaultOutputModes": ["application/json"],
        "skills": skills,
    })
}
