//! The skills that this process offers as an agent itself and that take more than an engine: whoever serves them says here what a
//! call of one leads to, so that a run that calls its own process does not go over the network.

use std::fmt::Debug;

use async_trait::async_trait;
use serde_json::Value;

use crate::agent::Call;
use crate::interpreter::StepError;

/// What a call of an own skill leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnReply {
    /// The skill's value.
    Value(Value),
    /// A run, which the engine starts below the one that calls: with its depth, its ancestry and its records.
    Run {
        /// The reference of its workflow.
        workflow: String,
        /// Its input.
        input: Value,
    },
    /// Something must be said first.
    Question {
        /// The question as a value.
        prompt: Value,
        /// Whether credentials are asked for.
        auth: bool,
        /// What is known so far. It comes back as `resume.context_id` of the call that answers, also after a restart: it is kept with
        /// the question in the journal, and nowhere else.
        state: String,
    },
}

/// Those who serve such skills.
#[async_trait]
pub trait OwnSkills: Debug + Send + Sync {
    /// Says what a call leads to. Safe to drop, which is how a call is given up.
    async fn call(&self, call: Call) -> Result<OwnReply, StepError>;
}
