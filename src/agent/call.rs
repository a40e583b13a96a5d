//! What is asked of an agent and what comes back. Plain data, shared by all dialects.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::a2a;

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
    /// Metadata that travels with the message: the runs above the call. The plain dialect has no metadata, and tells them in a header.
    pub metadata: Option<Arc<Map<String, Value>>>,
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
