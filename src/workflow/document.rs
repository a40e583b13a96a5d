//! The document model: a workflow as its author meant it, with every text parsed and every position kept.

use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::step_kind::StepKind;
use crate::expression::{Condition, Tree};
use crate::ids::{StepId, WorkflowId};

/// A whole document.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// Who it is.
    pub metadata: Metadata,
    /// JSON Schema of the input, when the author gave one.
    pub input: Option<Arc<Value>>,
    /// What the run yields; without it the outputs of the last step that ran.
    pub output: Option<Tree>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Defaults for every step, and handlers for the run.
    pub error_handling: ErrorHandling,
    /// Bounds that tighten the server's.
    pub limits: Limits,
}

/// `metadata:`.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The id.
    pub id: WorkflowId,
    /// A name for people.
    pub name: String,
    /// Semantic version.
    pub version: semver::Version,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Requests it is for.
    pub examples: Vec<String>,
}

/// `error_handling:`.
#[derive(Debug, Clone, Default)]
pub struct ErrorHandling {
    /// Retry policy of every step that has none.
    pub retry: Option<Retry>,
    /// What a failed step without `on_error` does.
    pub on_failure: OnFailure,
    /// Steps run after a run that completed.
    pub on_success: Vec<Step>,
    /// Steps run after a run that failed.
    pub on_error: Vec<Step>,
    /// Steps run after a run that was canceled.
    pub on_cancel: Vec<Step>,
    /// Steps run last, whatever happened.
    pub always: Vec<Step>,
}

/// `error_handling.on_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// A failed step ends the run.
    #[default]
    Fail,
    /// The run goes on.
    Continue,
}

/// `limits:`.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Longest time the run may take.
    pub max_duration: Option<Duration>,
    /// Most calls to agents, repeats and those of sub-workflows included.
    pub max_agent_calls: Option<u64>,
    /// Largest reply of one step, in bytes.
    pub max_payload_bytes: Option<u64>,
}

/// One node of a workflow.
#[derive(Debug, Clone)]
pub struct Step {
    /// Unique in the workflow.
    pub id: StepId,
    /// Where the step stands in the text, in bytes.
    pub span: Range<usize>,
    /// Line of its start, from 1.
    pub line: usize,
    /// What it does.
    pub kind: StepKind,
    /// The name its reply is stored under.
    pub outputs: Option<String>,
    /// Guard: when it does not hold, the step is skipped.
    pub when: Option<Condition>,
    /// Longest time of one attempt, or of a whole group. `None`: the author said nothing.
    pub timeout: Option<Duration>,
    /// Retry policy; `None`: the workflow's.
    pub retry: Option<Retry>,
    /// What its failure does; `None`: the workflow's `on_failure`.
    pub on_error: Option<OnError>,
}

/// `on_error:` of a step.
#[derive(Debug, Clone)]
pub enum OnError {
    /// The failure is the sequence's failure.
    Fail,
    /// The sequence goes on; `steps.<id>.error` is set and outputs is null.
    Continue,
    /// These steps run, and their result stands for the step's.
    Catch(Vec<Step>),
}

/// `retry:`.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub max_attempts: NonZeroU32,
    /// Delay before the second attempt.
    pub initial: Duration,
    /// Each delay is this much longer than the one before.
    pub factor: f64,
    /// Longest delay.
    pub max: Duration,
    /// Whether delays are drawn at random between half and the whole.
    pub jitter: bool,
    /// Failures worth another attempt.
    pub on: Vec<RetryOn>,
}

/// Failures that can be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// The attempt took longer than the step's timeout.
    Timeout,
    /// The agent could not be reached or answered 5xx.
    Unavailable,
    /// The agent asked to come back later (429).
    RateLimited,
    /// The agent said that it failed.
    AgentError,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: NonZeroU32::new(3).expect("3 is not 0"),
            initial: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(30),
            jitter: true,
            on: vec![RetryOn::Timeout, RetryOn::Unavailable, RetryOn::RateLimited, RetryOn::AgentError],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the descriptions in the JSON Schema say.
    #[test]
    fn what_an_author_leaves_out_of_a_retry() {
        let default = Retry {
            max_attempts: NonZeroU32::new(3).unwrap(),
            initial: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(30),
            jitter: true,
            on: vec![RetryOn::Timeout, RetryOn::Unavailable, RetryOn::RateLimited, RetryOn::AgentError],
        };
        assert_eq!(Retry::default(), default);
        let read = |retry: &str| {
            let text = format!("metadata: {{id: w, name: W, version: 1.0.0}}\nerror_handling: {{retry: {retry}}}\nsteps: []");
            crate::workflow::parse(&text).workflow.unwrap().error_handling.retry.unwrap()
        };
        assert_eq!(read("{}"), default);
        assert_eq!(read("{initial: 1m}"), Retry { initial: Duration::from_secs(60), max: Duration::from_secs(60), ..default });
    }
}
