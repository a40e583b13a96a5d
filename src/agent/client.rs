//! One pooled HTTP client for every agent.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::a2a;

/// How the client behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Loopback, private and link-local addresses may be dialled.
    pub allow_private_addresses: bool,
    /// Largest reply, after decompression.
    pub reply_bytes_max: usize,
    /// Connecting.
    pub connect_timeout: Duration,
}

/// One call of a skill.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who is called.
    pub card: Arc<a2a::Card>,
    /// Which skill.
    pub skill: String,
    /// With what.
    pub inputs: Arc<Value>,
    /// Idempotency key, derived from run and step: the A2A `messageId`.
    pub message_id: String,
    /// How long the whole call may take, body included.
    pub timeout: Duration,
    /// Metadata that travels with the message (depth, ancestry).
    pub metadata: Map<String, Value>,
    /// The task that waits for these inputs, when this call answers a question.
    pub resume: Option<Remote>,
}

/// A task at the agent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Remote {
    /// A2A `taskId`.
    pub task_id: String,
    /// A2A `contextId`.
    pub context_id: String,
}

/// What an agent asks before it goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The task that waits.
    pub remote: Remote,
    /// `true` for AUTH_REQUIRED, `false` for INPUT_REQUIRED.
    pub auth: bool,
    /// The question as a value: `{"text": …}` or the data the agent sent.
    pub prompt: Value,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The skill's value.
    Value(Value),
    /// The agent waits for an answer.
    Question(Question),
}

/// News while a call is under way.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// The agent made a task for the call.
    Task(Remote),
    /// A status message for people.
    Status(String),
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    #[expect(dead_code, reason = "seam")]
    options: Arc<Options>,
}

impl Client {
    /// Builds the pool.
    pub fn new(options: Options) -> Self {
        Self { options: Arc::new(options) }
    }

    /// Calls a skill. Cancelling the token, and passing the deadline, also cancel the remote task when one is known.
    /// `on_progress` must not block.
    pub async fn call(&self, _call: Call, _cancel: CancellationToken, _on_progress: impl FnMut(Progress) + Send) -> Result<Reply, Error> {
        std::future::pending().await
    }

    /// Waits until every cancelled call's agent was told.
    pub async fn drain(&self) {}

    /// Reads the card at a URL (the card itself, or an agent's base: `/.well-known/agent-card.json`, then `/agent-card`).
    pub async fn fetch_card(&self, _url: &str) -> Result<a2a::Card, Error> {
        std::future::pending().await
    }
}
