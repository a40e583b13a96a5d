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
    /// It was not called: too many calls to it have failed, and it is left alone for a while.
    CircuitOpen,
}

impl ErrorKind {
    /// As the log says it, with the words that the error of a step has.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::RateLimited => "rate_limited",
            Self::AgentError => "agent_error",
            Self::Rejected => "rejected",
            Self::InvalidReply => "invalid_reply",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::Canceled => "canceled",
            Self::CircuitOpen => "circuit_open",
        }
    }

    /// Whether a repeat may succeed.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Timeout | Self::Unavailable | Self::RateLimited | Self::AgentError | Self::CircuitOpen => true,
            Self::Rejected | Self::InvalidReply | Self::TooLarge | Self::Refused | Self::Canceled => false,
        }
    }
}

/// How far a failed call came: whether somebody else may be asked instead, and whether it speaks against the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Not out of this machine, which had no file or memory for a connection: nothing was sent, and soon it may be.
    NoSocket,
    /// Not out of this machine, or not heard of again because of it.
    Nowhere,
    /// The agent surely began nothing: it was not reached, or turned the call away unread (429, 503).
    NotBegun,
    /// Nobody knows: the connection broke, the time ran out, or something in between answered with a 5xx.
    Unknown,
    /// The agent is there and answered, be it with a failure of its own.
    Answered,
}

impl Reach {
    /// Whether it is this machine's trouble, which says nothing of the agent.
    pub fn is_of_this_machine(self) -> bool {
        matches!(self, Self::NoSocket | Self::Nowhere)
    }

    /// What a kind of failure means when nothing more is known of it.
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Canceled => Self::Unknown,
            ErrorKind::RateLimited | ErrorKind::CircuitOpen => Self::NotBegun,
            ErrorKind::AgentError | ErrorKind::Rejected | ErrorKind::InvalidReply | ErrorKind::TooLarge | ErrorKind::Refused => {
                Self::Answered
            }
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
    /// The HTTP status, when that is how it failed.
    pub status: Option<u16>,
    /// When the agent asked to be called again.
    pub retry_after: Option<Duration>,
    /// How far the call came.
    pub reach: Reach,
}

impl Error {
    /// Whether a repeat may succeed. Only the engine repeats.
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }

    /// Whether it speaks against the agent: it is away or overloaded. Its own well-formed failures do not.
    pub fn is_outage(&self) -> bool {
        matches!(self.kind, ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::RateLimited)
            && matches!(self.reach, Reach::NotBegun | Reach::Unknown)
    }

    /// Whether another agent may be asked instead without doing anything twice.
    pub fn surely_not_begun(&self) -> bool {
        self.is_transient() && self.reach == Reach::NotBegun
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
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Duration>,
    pub(super) reach: Reach,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, status: None, retry_after: None, reach: Reach::of(kind) }
    }

    pub(super) fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// The failure of a later request of a call: whatever became of this one, the agent has begun.
    pub(super) fn after_begin(mut self) -> Self {
        self.reach = match self.reach {
            Reach::NotBegun => Reach::Unknown,
            // It took the message, and this request it has not seen.
            Reach::Nowhere | Reach::NoSocket => Reach::Answered,
            reach => reach,
        };
        self
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidReply, message)
    }

    pub(super) fn with_code(mut self, code: i64) -> Self {
        self.code = Some(code);
        self
    }

    /// The error as the caller gets it: here, and nowhere before, what the agent said is cut, once it holds no secret any more.
    pub(super) fn at(self, agent: &str, skill: &str) -> Error {
        let Self { kind, message, code, status, retry_after, reach } = self;
        Error { kind, agent: clip(agent), skill: skill.to_owned(), message: clip(&message), code, status, retry_after, reach }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_later_request_the_agent_has_heard_before() {
        for (reach, after) in [
            (Reach::NoSocket, Reach::Answered),
            (Reach::Nowhere, Reach::Answered),
            (Reach::NotBegun, Reach::Unknown),
            (Reach::Unknown, Reach::Unknown),
            (Reach::Answered, Reach::Answered),
        ] {
            assert_eq!(Failure::new(ErrorKind::Unavailable, "away").reaching(reach).after_begin().reach, after, "{reach:?}");
        }
    }
}
