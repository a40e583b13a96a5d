//! Why a call to an agent has no value.

use std::fmt;
use std::time::Duration;

use crate::a2a::Method;
use crate::limits::REMOTE_ERROR_BYTES_MAX;

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

impl ErrorKind {
    /// Whether a repeat may succeed.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Timeout | Self::Unavailable | Self::RateLimited | Self::AgentError => true,
            Self::Rejected | Self::InvalidReply | Self::TooLarge | Self::Refused | Self::Canceled => false,
        }
    }
}

/// A failed call. Names skill, agent and cause; holds no secret and at most 2 KiB of what the agent said.
#[derive(Debug, Clone)]
pub struct Error {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// The agent's name.
    pub agent: String,
    /// The skill that was called, or the A2A method (by its 1.0 name); empty when the card was read.
    pub skill: String,
    /// What happened, for people.
    pub message: String,
    /// The remote error code, when there is one.
    pub code: Option<i64>,
    /// When the agent asked to be called again.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// Whether a repeat may succeed. Only the engine repeats.
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, skill, message, .. } = self;
        if skill.is_empty() {
            write!(f, "cannot read the card of agent `{agent}`: {message}")
        } else if Method::parse_v1(skill).is_some() {
            write!(f, "agent `{agent}` failed at {skill}: {message}")
        } else {
            write!(f, "agent `{agent}` failed at skill `{skill}`: {message}")
        }
    }
}

impl std::error::Error for Error {}

/// A failure before agent and skill are put beside it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    pub(super) code: Option<i64>,
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, retry_after: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidReply, message)
    }

    pub(super) fn with_code(mut self, code: i64) -> Self {
        self.code = Some(code);
        self
    }

    pub(super) fn at(self, agent: &str, skill: &str) -> Error {
        let Self { kind, message, code, retry_after } = self;
        Error { kind, agent: clip(agent), skill: skill.to_owned(), message: clip(&message), code, retry_after }
    }
}

/// Text of an agent, fit for an error: bounded, and without control characters that would move a terminal's cursor.
pub(super) fn clip(text: &str) -> String {
    let mut clipped = String::with_capacity(text.len().min(REMOTE_ERROR_BYTES_MAX));
    for letter in text.chars() {
        if clipped.len() + letter.len_utf8() > REMOTE_ERROR_BYTES_MAX - '…'.len_utf8() {
            clipped.push('…');
            break;
        }
        clipped.push(if letter.is_control() { ' ' } else { letter });
    }
    clipped
}
