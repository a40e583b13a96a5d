//! Asks a model to carry out a skill: prompt out, JSON that fits the skill's schema back.
//!
//! An answer that does not fit is sent back once for repair; after that the skill fails. The stand-in is never used instead in
//! silence. What callers send is data inside the prompt, between marks that it cannot contain.

mod answer;
mod api;
mod command;
mod prompt;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::options::ModelOptions;
use super::skill::{Skill, SkillError};
use super::words::shorten;
use crate::limits;
use prompt::Prompt;

/// A model that can be asked.
pub(super) struct Model {
    way: Way,
    label: String,
    slots: Semaphore,
}

enum Way {
    Command(command::Program),
    Api(api::Api),
}

impl Model {
    /// A model as configured. Nothing is asked yet.
    pub(super) fn new(options: ModelOptions) -> Result<Self, String> {
        let label = options.label();
        let way = match options {
            ModelOptions::Command { argv, prompt } => Way::Command(command::Program::new(argv, prompt)?),
            ModelOptions::Api { provider, model, base_url, api_key } => Way::Api(api::Api::new(provider, model, base_url, api_key)?),
        };
        Ok(Self { way, label, slots: Semaphore::new(limits::MODEL_CALLS_MAX) })
    }

    /// Carries out a skill on checked input. The caller bounds the time; dropping the future stops the asking.
    pub(super) async fn run(&self, skill: &Skill, params: &Value) -> Result<Value, SkillError> {
        let failed = |why: String| SkillError::Failed(format!("`{}` by {}: {why}", skill.words.id, self.label));
        let input = params.to_string();
        if input.len() > limits::MODEL_INPUT_BYTES_MAX {
            return Err(failed(format!(
                "the input has {} bytes; a model is asked about at most {}",
                input.len(),
                limits::MODEL_INPUT_BYTES_MAX
            )));
        }
        let _slot = self.slots.acquire().await.map_err(|_| failed("the agent shuts down".to_owned()))?;
        let prompt = Prompt::new(skill, &input);
        let first = self.ask(&prompt).await.map_err(failed)?;
        let problems = match answer::read(skill, &first, &self.label) {
            Ok(result) => return Ok(result),
            Err(problems) => problems,
        };
        tracing::debug!(skill = skill.words.id, problems = problems.len(), "the model's answer does not fit and is sent back");
        let second = self.ask(&prompt.repair(&first, &problems)).await.map_err(failed)?;
        answer::read(skill, &second, &self.label).map_err(|problems| {
            failed(format!("the answer does not fit the output schema, also when asked again: {}", shorten(&problems.join("; "), 600)))
        })
    }

    async fn ask(&self, prompt: &Prompt) -> Result<String, String> {
        let answer = match &self.way {
            Way::Command(program) => program.ask(prompt).await?,
            Way::Api(api) => api.ask(prompt).await?,
        };
        if answer.len() > limits::MODEL_ANSWER_BYTES_MAX {
            return Err(format!("the answer is larger than {} bytes", limits::MODEL_ANSWER_BYTES_MAX));
        }
        if answer.trim().is_empty() { Err("the answer is empty".to_owned()) } else { Ok(answer) }
    }
}
