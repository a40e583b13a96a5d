//! The agent card of A2A 1.0 as it stands on the wire (section 4.4). The server fills and serves it; cards of others are
//! read by [`super::Card`], which takes every dialect.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lenient;

/// What an agent publishes at `/.well-known/agent-card.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentCard {
    /// The agent's name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The agent's own version.
    pub version: String,
    /// How to reach it, best first.
    #[serde(alias = "supported_interfaces", default, deserialize_with = "lenient::or_default")]
    pub supported_interfaces: Vec<AgentInterface>,
    /// What it can do.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub capabilities: AgentCapabilities,
    /// Media types it takes.
    #[serde(alias = "default_input_modes", default, deserialize_with = "lenient::or_default")]
    pub default_input_modes: Vec<String>,
    /// Media types it answers with.
    #[serde(alias = "default_output_modes", default, deserialize_with = "lenient::or_default")]
    pub default_output_modes: Vec<String>,
    /// Its skills.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub skills: Vec<AgentSkill>,
    /// Who runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<AgentProvider>,
    /// Where its manual is.
    #[serde(alias = "documentation_url", default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Where its icon is.
    #[serde(alias = "icon_url", default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    /// How callers may authenticate, by name.
    #[serde(alias = "security_schemes", default, deserialize_with = "lenient::or_default", skip_serializing_if = "Map::is_empty")]
    pub security_schemes: Map<String, Value>,
    /// Which of the schemes are asked for.
    #[serde(alias = "security_requirements", default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub security_requirements: Vec<Value>,
    /// Signatures over the card.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Value>,
}

/// One way to reach an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentInterface {
    /// Where.
    pub url: String,
    /// `JSONRPC`, `GRPC`, `HTTP+JSON`, or a URI of somebody's own.
    #[serde(alias = "protocol_binding", default, deserialize_with = "lenient::or_default")]
    pub protocol_binding: String,
    /// `1.0`, `0.3`.
    #[serde(alias = "protocol_version", default, deserialize_with = "lenient::or_default")]
    pub protocol_version: String,
    /// To be echoed in requests.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// What an agent can do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentCapabilities {
    /// It streams.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub streaming: bool,
    /// It calls webhooks.
    #[serde(alias = "push_notifications", default, deserialize_with = "lenient::or_default")]
    pub push_notifications: bool,
    /// It has a card for authenticated callers.
    #[serde(alias = "extended_agent_card", default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_false")]
    pub extended_agent_card: bool,
    /// Extensions it speaks.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<AgentExtension>,
}

/// An extension of the protocol.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AgentExtension {
    /// Its name.
    pub uri: String,
    /// For people.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Callers must speak it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub required: bool,
    /// Its parameters.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}

/// Who runs an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentProvider {
    /// Its site.
    pub url: String,
    /// Its name.
    pub organization: String,
}

/// One skill of an agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentSkill {
    /// The id.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people and routers.
    pub description: String,
    /// For routers.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub tags: Vec<String>,
    /// For routers.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Media types it takes; empty: the card's.
    #[serde(alias = "input_modes", default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub input_modes: Vec<String>,
    /// Media types it answers with; empty: the card's.
    #[serde(alias = "output_modes", default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub output_modes: Vec<String>,
    /// Which security schemes it asks for.
    #[serde(alias = "security_requirements", default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub security_requirements: Vec<Value>,
}
