//! One skill: its words, its schemas, its stand-in and the prompt for a model.
//!
//! Used by the agents' files, which declare skills, and by `agent`, which runs them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema::Schema;

/// Why a skill gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SkillError {
    /// The agent has no such skill.
    #[error("{0}")]
    Unknown(String),
    /// The caller's input is wrong; every problem is listed.
    #[error("bad input for `{skill}`: {}", problems.join("; "))]
    Params {
        /// The skill.
        skill: String,
        /// What is wrong, each naming its field.
        problems: Vec<String>,
    },
    /// The input is well-formed, but the work could not be done.
    #[error("{0}")]
    Failed(String),
}

/// What a stand-in refuses: a message for the caller.
pub(super) type StandInResult<T> = Result<T, String>;

/// What people and routers read about a skill.
pub(super) struct Words {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) tags: &'static [&'static str],
    pub(super) examples: &'static [&'static str],
    /// What a model is told to do.
    pub(super) prompt: &'static str,
}

type StandIn = Box<dyn Fn(Value) -> Result<Value, SkillError> + Send + Sync>;

/// One skill of a sample agent.
pub(super) struct Skill {
    pub(super) words: Words,
    pub(super) input: Schema,
    pub(super) output: Schema,
    stand_in: StandIn,
}

impl Skill {
    /// A skill whose schemas come from the types its stand-in reads and writes.
    pub(super) fn new<I, O>(words: Words, stand_in: fn(I) -> StandInResult<O>) -> Self
    where
        I: DeserializeOwned + JsonSchema + 'static,
        O: Serialize + JsonSchema + 'static,
    {
        let id = words.id;
        let stand_in = move |params: Value| {
            let input: I = serde_json::from_value(params)
                .map_err(|error| SkillError::Params { skill: id.to_owned(), problems: vec![error.to_string()] })?;
            let output = stand_in(input).map_err(SkillError::Failed)?;
            serde_json::to_value(output).map_err(|error| SkillError::Failed(format!("`{id}` made a result that is not JSON: {error}")))
        };
        Self { words, input: Schema::of_input::<I>(), output: Schema::of_output::<O>(), stand_in: Box::new(stand_in) }
    }

    /// Checks the input against the skill's schema; all problems are reported.
    pub(super) fn check_input(&self, params: &Value) -> Result<(), SkillError> {
        let problems = self.input.problems(params);
        if problems.is_empty() { Ok(()) } else { Err(SkillError::Params { skill: self.words.id.to_owned(), problems }) }
    }

    /// The deterministic answer. A panic in a lexicon or parser crate fails this call only.
    pub(super) fn stand_in(&self, params: Value) -> Result<Value, SkillError> {
        catch_unwind(AssertUnwindSafe(|| (self.stand_in)(params))).unwrap_or_else(|_| {
            Err(SkillError::Failed(format!("`{}` failed on this input; this is a bug of the sample agent", self.words.id)))
        })
    }
}
