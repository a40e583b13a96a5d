//! Writes agent cards: A2A 1.0, the same with the members that 0.3 clients and the prototype read, and the prototype's own.

use serde_json::{Map, Value, json};

use super::agent_card::{AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentSkill};
use super::card::{Card, Dialect, Interface, Skill};
use super::skill::{SKILL_EXTENSION, SKILL_SCHEMAS_EXTENSION};

/// The `protocolBinding` of `POST {url}/execute`. The protocol leaves bindings of one's own to URIs.
pub(super) const PLAIN_BINDING: &str = "urn:gantry:a2a:binding:plain:v1";

/// What an agent answers with when its card does not say.
const MODES: [&str; 2] = ["application/json", "text/plain"];

impl Card {
    /// The card as A2A 1.0 types, for a server to add security and signatures to.
    pub fn to_agent_card(&self) -> AgentCard {
        AgentCard {
            name: self.name.clone(),
            description: self.description.clone(),
            version: if self.version.is_empty() { "0.0.0".to_owned() } else { self.version.clone() },
            supported_interfaces: self.interfaces.iter().map(interface).collect(),
            capabilities: AgentCapabilities {
                streaming: self.streaming,
                push_notifications: self.push_notifications,
                extended_agent_card: false,
                extensions: self.extensions(),
            },
            default_input_modes: if self.input_modes.is_empty() { modes() } else { self.input_modes.clone() },
            default_output_modes: modes(),
            skills: self.skills.iter().map(agent_skill).collect(),
            ..AgentCard::default()
        }
    }

    /// The card that serves everyone: A2A 1.0, with the members that 0.3 clients and the prototype's read beside it.
    pub fn to_json(&self) -> Value {
        self.with_older_members(&self.to_agent_card())
    }

    /// The same around a card that a server has completed.
    pub fn with_older_members(&self, agent_card: &AgentCard) -> Value {
        let Ok(Value::Object(mut json)) = serde_json::to_value(agent_card) else {
            unreachable!("a struct of texts, lists and JSON values is a JSON object")
        };
        let older: Vec<&Interface> = self.interfaces.iter().filter(|i| i.dialect == Dialect::A2a03).collect();
        if let Some(first) = older.first() {
            json.insert("url".to_owned(), json!(first.url));
            json.insert("protocolVersion".to_owned(), json!("0.3.0"));
            json.insert("preferredTransport".to_owned(), json!("JSONRPC"));
            let all: Vec<Value> = older.iter().map(|i| json!({ "url": i.url, "transport": "JSONRPC" })).collect();
            json.insert("additionalInterfaces".to_owned(), Value::Array(all));
            json.insert("supportsAuthenticatedExtendedCard".to_owned(), json!(agent_card.capabilities.extended_agent_card));
        } else if let Some(plain) = self.interfaces.iter().find(|i| i.dialect == Dialect::Plain) {
            json.insert("url".to_owned(), json!(plain.url));
            json.insert("preferredTransport".to_owned(), json!(PLAIN_BINDING));
        }
        if let Some(Value::Array(skills)) = json.get_mut("skills") {
            for (json, skill) in skills.iter_mut().zip(&self.skills) {
                if let Value::Object(json) = json {
                    add_schemas(json, skill);
                }
            }
        }
        Value::Object(json)
    }

    /// The prototype's card and nothing else: `{name, url, skills: [{id, description, input_schema, output_schema}]}`.
    /// The `url` is that of the plain interface, else of the first.
    pub fn to_plain_json(&self) -> Value {
        let plain = self.interfaces.iter().find(|i| i.dialect == Dialect::Plain).or_else(|| self.interfaces.first());
        let skills: Vec<Value> = self
            .skills
            .iter()
            .map(|skill| {
                let mut json = Map::new();
                json.insert("id".to_owned(), json!(skill.id));
                json.insert("description".to_owned(), json!(skill.description));
                add_schemas(&mut json, skill);
                Value::Object(json)
            })
            .collect();
        json!({ "name": self.name, "url": plain.map_or("", |i| i.url.as_str()), "skills": skills })
    }

    /// Ours, plus what the card requires of callers.
    fn extensions(&self) -> Vec<AgentExtension> {
        let mut extensions = vec![AgentExtension {
            uri: SKILL_EXTENSION.to_owned(),
            description: "A message may name the skill it calls in its metadata".to_owned(),
            required: self.required_extensions.iter().any(|uri| uri == SKILL_EXTENSION),
            params: Map::new(),
        }];
        let schemas: Map<String, Value> = self.skills.iter().filter_map(schemas).collect();
        if !schemas.is_empty() {
            extensions.push(AgentExtension {
                uri: SKILL_SCHEMAS_EXTENSION.to_owned(),
                description: "JSON Schemas of the skills' inputs and outputs".to_owned(),
                required: self.required_extensions.iter().any(|uri| uri == SKILL_SCHEMAS_EXTENSION),
                params: schemas,
            });
        }
        for uri in &self.required_extensions {
            if !extensions.iter().any(|extension| extension.uri == *uri) {
                extensions.push(AgentExtension { uri: uri.clone(), required: true, ..AgentExtension::default() });
            }
        }
        extensions
    }
}

fn modes() -> Vec<String> {
    MODES.map(str::to_owned).to_vec()
}

fn interface(interface: &Interface) -> AgentInterface {
    let (binding, version) = match interface.dialect {
        Dialect::A2a1 => ("JSONRPC", "1.0"),
        Dialect::A2a03 => ("JSONRPC", "0.3"),
        Dialect::Plain => (PLAIN_BINDING, "1.0"),
    };
    AgentInterface {
        url: interface.url.clone(),
        protocol_binding: binding.to_owned(),
        protocol_version: version.to_owned(),
        tenant: interface.tenant.clone(),
    }
}

fn agent_skill(skill: &Skill) -> AgentSkill {
    AgentSkill {
        id: skill.id.as_str().to_owned(),
        name: skill.name.clone(),
        description: skill.description.clone(),
        tags: skill.tags.clone(),
        examples: skill.examples.clone(),
        input_modes: skill.input_modes.clone(),
        ..AgentSkill::default()
    }
}

fn schemas(skill: &Skill) -> Option<(String, Value)> {
    let mut both = Map::new();
    both.extend(skill.input_schema.clone().map(|schema| ("input".to_owned(), schema)));
    both.extend(skill.output_schema.clone().map(|schema| ("output".to_owned(), schema)));
    (!both.is_empty()).then(|| (skill.id.as_str().to_owned(), Value::Object(both)))
}

fn add_schemas(json: &mut Map<String, Value>, skill: &Skill) {
    json.extend(skill.input_schema.clone().map(|schema| ("input_schema".to_owned(), schema)));
    json.extend(skill.output_schema.clone().map(|schema| ("output_schema".to_owned(), schema)));
}
