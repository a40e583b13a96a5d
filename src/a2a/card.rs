//! Agent cards: one model for A2A 1.0, A2A 0.3 and the prototype's `{name, url, skills}`.

use serde::Serialize;
use serde_json::Value;

use crate::ids::SkillId;

/// How an interface of an agent is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Dialect {
    /// A2A 1.0 JSON-RPC.
    #[serde(rename = "a2a-1.0")]
    A2a1,
    /// A2A 0.3 JSON-RPC.
    #[serde(rename = "a2a-0.3")]
    A2a03,
    /// `POST {url}/execute`, method = skill id, params = inputs.
    #[serde(rename = "plain")]
    Plain,
}

/// One way to reach an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Where to POST. For [`Dialect::Plain`] the base, without `/execute`.
    pub url: String,
    /// How to speak.
    pub dialect: Dialect,
    /// Echoed in requests when the card names one.
    pub tenant: Option<String>,
}

/// One skill of an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Skill {
    /// The id that steps name.
    pub id: SkillId,
    /// For people.
    pub name: String,
    /// For people and routers.
    pub description: String,
    /// For routers.
    pub tags: Vec<String>,
    /// For routers.
    pub examples: Vec<String>,
    /// JSON Schema of the inputs, when known.
    pub input_schema: Option<Value>,
    /// JSON Schema of the output, when known.
    pub output_schema: Option<Value>,
    /// Media types the skill takes; empty: the card's defaults.
    pub input_modes: Vec<String>,
}

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Card {
    /// The agent's name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The agent's own version.
    pub version: String,
    /// How to reach it, best first: 1.0, then 0.3, then plain.
    pub interfaces: Vec<Interface>,
    /// Whether it streams.
    pub streaming: bool,
    /// Whether it calls webhooks.
    pub push_notifications: bool,
    /// Media types it takes.
    pub input_modes: Vec<String>,
    /// Extension URIs it requires of callers.
    pub required_extensions: Vec<String>,
    /// Its skills.
    pub skills: Vec<Skill>,
}

/// Why a text is not an agent card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Not JSON, or not an object.
    #[error("not an agent card: {0}")]
    Form(String),
    /// Larger than is read.
    #[error("not an agent card: larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// A member that a card must have.
    #[error("the agent card has no `{field}`: {why}")]
    Missing {
        /// The path of the member.
        field: String,
        /// What it is needed for.
        why: &'static str,
    },
    /// A member that is not what it must be.
    #[error("the agent card's `{field}` {why}")]
    Invalid {
        /// The path of the member.
        field: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Card {
    /// Reads a card of any dialect. Bounded in size, depth and number of skills.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardError> {
        super::card_read::parse(bytes)
    }

    /// The skill with this id.
    pub fn skill(&self, id: &str) -> Option<&Skill> {
        self.skills.iter().find(|skill| skill.id.as_str() == id)
    }
}
