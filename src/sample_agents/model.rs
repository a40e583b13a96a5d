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

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use serde_json::json;

    use super::super::options::Prompt as Way;
    use super::super::skill::Words;
    use super::*;

    fn skill() -> Skill {
        let words = Words { id: "tell", name: "Tell", description: "tells", tags: &[], examples: &[], prompt: "tell" };
        Skill::new(words, |_: Value| Ok("told"))
    }

    fn model(argv: &[&str]) -> Model {
        let argv = argv.iter().map(|&part| part.to_owned()).collect();
        Model::new(ModelOptions::Command { argv, prompt: Way::Stdin }).unwrap()
    }

    #[tokio::test]
    async fn so_many_questions_are_asked_at_once_and_the_others_wait() {
        let (model, skill, params) = (model(&["sleep", "1000"]), skill(), json!({}));
        assert_eq!(model.slots.available_permits(), limits::MODEL_CALLS_MAX);
        let mut asking: Vec<_> = (0..=limits::MODEL_CALLS_MAX).map(|_| Box::pin(model.run(&skill, &params))).collect();
        for question in &mut asking {
            assert!(poll!(question.as_mut()).is_pending());
        }
        assert_eq!(model.slots.available_permits(), 0);
        // One that is not wanted any more leaves its place to the one that waits, and then there is one again.
        drop(asking.remove(0));
        assert_eq!(model.slots.available_permits(), 0);
        drop(asking.pop());
        assert_eq!(model.slots.available_permits(), 1);
    }

    #[tokio::test]
    async fn the_input_of_a_question_has_a_longest_length() {
        let (model, skill) = (model(&["false"]), skill());
        let ask = async |bytes: usize| model.run(&skill, &json!("x".repeat(bytes - 2))).await.unwrap_err().to_string();
        let asked = ask(limits::MODEL_INPUT_BYTES_MAX).await;
        assert!(asked.contains("the program ended with"), "{asked}");
        let refused = ask(limits::MODEL_INPUT_BYTES_MAX + 1).await;
        assert!(refused.ends_with("the input has 262145 bytes; a model is asked about at most 262144"), "{refused}");
    }
}
