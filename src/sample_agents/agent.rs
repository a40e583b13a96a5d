//! One sample agent: a name, its skills, and the one way a skill is run.
//!
//! Used by both endpoints. Knows no HTTP.

use std::sync::Arc;

use serde_json::Value;

use super::model::Model;
use super::skill::{Skill, SkillError};
use super::{analysis, build, content, data, plan, test};
use crate::limits;

/// A sample agent.
pub(super) struct Agent {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) skills: Vec<Arc<Skill>>,
    model: Option<Arc<Model>>,
}

impl Agent {
    /// All six, in the order of their ports. They ask the model if there is one.
    pub(super) fn all(model: Option<&Arc<Model>>) -> [Self; 6] {
        [
            Self::new("plan-agent", "Turns requirements into a plan with steps and acceptance criteria", plan::skills()),
            Self::new("build-agent", "Writes code from a plan", build::skills()),
            Self::new("test-agent", "Parses and reviews code", test::skills()),
            Self::new("analysis-agent", "Analyses text: sentiment, entities, topics, what a request asks for", analysis::skills()),
            Self::new("content-agent", "Drafts articles, emails and other texts", content::skills()),
            Self::new("data-agent", "Describes tables in CSV or JSON with statistics", data::skills()),
        ]
        .map(|agent| Self { model: model.cloned(), ..agent })
    }

    fn new(name: &'static str, description: &'static str, skills: Vec<Skill>) -> Self {
        Self { name, description, skills: skills.into_iter().map(Arc::new).collect(), model: None }
    }

    /// The skill with this id, or an error that lists those there are.
    pub(super) fn skill(&self, id: &str) -> Result<&Arc<Skill>, SkillError> {
        self.skills.iter().find(|skill| skill.words.id == id).ok_or_else(|| {
            let known: Vec<_> = self.skills.iter().map(|skill| format!("`{}`", skill.words.id)).collect();
            let id: String = id.chars().take(limits::ID_BYTES_MAX).collect();
            SkillError::Unknown(format!("{} has no skill `{id}`; it offers {}", self.name, known.join(", ")))
        })
    }

    /// Runs a skill on checked input.
    pub(super) async fn run(&self, skill_id: &str, params: Value, size_bytes: usize) -> Result<Value, SkillError> {
        let skill = self.skill(skill_id)?;
        skill.check_input(&params)?;
        let late = || SkillError::Failed(format!("`{skill_id}` took longer than {} s", limits::SAMPLE_SKILL_TIMEOUT.as_secs()));
        if let Some(model) = &self.model {
            let asked = tokio::time::timeout(limits::SAMPLE_SKILL_TIMEOUT, model.run(skill, &params));
            return asked.await.unwrap_or_else(|_| Err(late()));
        }
        if size_bytes <= limits::SAMPLE_INLINE_BYTES_MAX {
            return skill.stand_in(params);
        }
        let skill = skill.clone();
        let work = tokio::task::spawn_blocking(move || skill.stand_in(params));
        match tokio::time::timeout(limits::SAMPLE_SKILL_TIMEOUT, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(SkillError::Failed(format!("`{skill_id}` was interrupted because the agent shuts down"))),
            Err(_) => Err(late()),
        }
    }
}
