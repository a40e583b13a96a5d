//! Why a call to an agent has no value.

use std::time::Duration;

/// What a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The deadline passed.
    Timeout,
    /// Not reached, connection lost, or 408/5xx.
    Unavailable,
    /// 429, or told to come back later.
    RateLimited,
    /// The agent says that it failed (task failed, JSON-RPC -32603, the prototype's -1).
    AgentError,
    /// The agent refuses this call: other 4xx, -32700…-32600, -3200x, task rejected. Repeating is useless.
    Rejected,
    /// The answer is not what the protocol or the skill's schema says.
    InvalidReply,
    /// The answer is larger than the limit.
    TooLarge,
    /// The address may not be dialled, or the card offers no interface that is spoken here.
    Refused,
    /// The caller cancelled.
    Canceled,
}

/// A failed call. Names skill, agent and cause; holds no secret and at most 2 KiB of what the agent said.
#[derive(Debug, Clone, thiserror::Error)]
#[error("agent `{agent}` failed at skill `{skill}`: {message}")]
pub struct Error {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// The agent's name.
    pub agent: String,
    /// The skill that was called.
    pub skill: String,
    /// What happened, for people.
    pub message: String,
    /// The remote error code, when there is one.
    pub code: Option<i64>,
    /// When the agent asked to be called again.
    pub retry_after: Option<Duration>,
}
