//!
//! Each agent is a real HTTP server with cards in both shapes, a plain JSON-RPC endpoint and an A2A endpoint. Asked without a
//! model they answer as deterministic stand-ins that do what can be done honestly offline; with a model they ask it.

mod options;
mod start;
mod workflows;

mod agent;
mod card;
mod connection;
mod model;
mod plain;
mod protocol;
mod routes;
mod schema;
mod skill;
mod stream;
mod tasks;

mod analysis;
mod build;
mod content;
mod data;
mod plan;
mod test;

mod brief;
mod catalogue;
mod material;
mod words;

#[cfg(test)]
mod skill_check;

pub use options::{AGENT_NAMES, ApiKey, ModelOptions, ModelOptionsError, Options, PORTS, Prompt, Provider};
pub use start::{Error, Running, RunningAgent, cards, start};
pub use workflows::EMBEDDED_WORKFLOWS;

/// What a stand-in says of itself in `source`.
const SOURCE: &str = "offline stand-in";
