//! Why a step or run failed, and why an event cannot be.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use crate::plan::Path;
use crate::workflow::RetryOn;

/// Classes of failure; `code` of `steps.<id>.error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// It took too long.
    Timeout,
    /// The agent could not be reached, or answered 5xx.
    Unavailable,
    /// The agent asked to come back later.
    RateLimited,
    /// The agent said that it failed.
    AgentError,
    /// The agent refused the call: repeating it is useless.
    Rejected,
    /// The reply is not what the protocol or schema says.
    InvalidReply,
    /// The reply is larger than the limit.
    TooLarge,
    /// The agent's address may not be dialled.
    Refused,
    /// Nobody offers the skill.
    NoAgent,
    /// A template has no value.
    Template,
    /// The run's input does not fit its schema.
    InvalidInput,
    /// No case of a switch fits.
    NoMatch,
    /// The workflow's author ended it: a `fail` step.
    Author,
    /// Canceled with its group or run.
    Canceled,
    /// A bound of the workflow or the server was met.
    Limit,
    /// A fault of gantry's own.
    Internal,
}

impl ErrorClass {
    /// The class as it is written in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::RateLimited => "rate_limited",
            Self::AgentError => "agent_error",
            Self::Rejected => "rejected",
            Self::InvalidReply => "invalid_reply",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::NoAgent => "no_agent",
            Self::Template => "template",
            Self::InvalidInput => "invalid_input",
            Self::NoMatch => "no_match",
            Self::Author => "author",
            Self::Canceled => "canceled",
            Self::Limit => "limit",
            Self::Internal => "internal",
        }
    }

    /// The `retry.on` word for this class, when there is one.
    pub fn retry_on(self) -> Option<RetryOn> {
        match self {
            Self::Timeout => Some(RetryOn::Timeout),
            Self::Unavailable => Some(RetryOn::Unavailable),
            Self::RateLimited => Some(RetryOn::RateLimited),
            Self::AgentError => Some(RetryOn::AgentError),
            Self::Rejected
            | Self::InvalidReply
            | Self::TooLarge
            | Self::Refused
            | Self::NoAgent
            | Self::Template
            | Self::InvalidInput
            | Self::NoMatch
            | Self::Author
            | Self::Canceled
            | Self::Limit
            | Self::Internal => None,
        }
    }
}

/// Why a step failed. As small as a pointer: every event, report and result has room for one, and most have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepError(Box<StepFailure>);

/// What a [`StepError`] says. Plain data: what an agent said stands in `message` and is never interpreted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailure {
    /// The class.
    pub code: ErrorClass,
    /// What happened, for people.
    pub message: String,
    /// The code that the author of a `fail` step gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The author's id of the step where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The skill that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    /// The agent that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line of the step in the workflow's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// When the agent asked to be called again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl StepError {
    /// An error with a class and a message.
    pub fn new(code: ErrorClass, message: impl Into<String>) -> Self {
        Self(Box::new(StepFailure {
            code,
            message: message.into(),
            reason: None,
            step: None,
            skill: None,
            agent: None,
            hint: None,
            line: None,
            retry_after_ms: None,
        }))
    }

    /// The same, with more said of it.
    pub fn with(mut self, say: impl FnOnce(&mut StepFailure)) -> Self {
        say(&mut self);
        self
    }

    /// The same in other words: as what is around the step where it happened says it, which has no one place.
    pub fn told_as(&self, message: String) -> Self {
        self.clone().with(|error| (error.message, error.step, error.line) = (message, None, None))
    }

    /// The same, with what to do about it.
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The code for people: the one that the author of a `fail` step gave, else the class.
    pub fn shown_code(&self) -> &str {
        self.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or_else(|| self.code.code())
    }

    /// The code as it is shown after its message: not again after one that ends with it, as that of a run below does.
    pub fn code_after(&self, message: &str) -> Option<&str> {
        let code = self.shown_code();
        let is_told = message.strip_suffix(')').and_then(|rest| rest.strip_suffix(code)).is_some_and(|rest| rest.ends_with('('));
        (!is_told).then_some(code)
    }
}

impl Deref for StepError {
    type Target = StepFailure;

    fn deref(&self) -> &StepFailure {
        &self.0
    }
}

impl DerefMut for StepError {
    fn deref_mut(&mut self) -> &mut StepFailure {
        &mut self.0
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = &self.step {
            write!(f, "step `{step}`: ")?;
        }
        f.write_str(&self.message)?;
        self.code_after(&self.message).map_or(Ok(()), |code| write!(f, " ({code})"))
    }
}

/// An event that cannot be: the journal and the plan, or the engine and the interpreter, do not fit. Stops the run loudly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The first event is not `Started`, or a later one is.
    #[error("`started` must be the first event and only that")]
    Start,
    /// The run is pinned to another plan.
    #[error("the run is pinned to {expected}, not to {found}")]
    Plan {
        /// Digest in the event.
        expected: String,
        /// Digest of the plan at hand.
        found: String,
    },
    /// The run was made by a newer gantry.
    #[error("the run needs interpreter semantics {0}, newer than this version's")]
    Semantics(u32),
    /// No such step in the plan, or it has never been started.
    #[error("an event for `{0}`, which is not under way")]
    Path(Path),
    /// An attempt that was never made.
    #[error("an event for attempt {attempt} of `{path}`, which was never made")]
    Attempt {
        /// Which step.
        path: Path,
        /// Which attempt.
        attempt: u32,
    },
}
