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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};
    use std::task::Poll;

    use serde_json::json;

    use super::*;
    use crate::sample_agents::options::{ModelOptions, Prompt};
    use crate::sample_agents::skill::Words;

    const WORDS: Words = Words { id: "tell", name: "Tell", description: "tells", tags: &[], examples: &[], prompt: "tell" };

    fn thread(_: Value) -> Result<String, String> {
        Ok(format!("{:?}", std::thread::current().id()))
    }

    /// What a stand-in waits for that takes its time.
    static WAIT: Mutex<Option<Receiver<()>>> = Mutex::new(None);

    fn wait(_: Value) -> Result<String, String> {
        let wait = WAIT.lock().unwrap().take().expect("it is called once");
        wait.recv().map(|()| "at last".to_owned()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_is_larger_does_not_hold_up_the_connections() {
        let agent = Agent::new("teller", "", vec![Skill::new(WORDS, thread)]);
        let here = json!(thread(Value::Null).unwrap());
        for (bytes, is_here) in [(0, true), (limits::SAMPLE_INLINE_BYTES_MAX, true), (limits::SAMPLE_INLINE_BYTES_MAX + 1, false)] {
            let told = agent.run("tell", json!({}), bytes).await.unwrap();
            assert_eq!(told == here, is_here, "{bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stand_in_and_a_model_have_so_much_time() {
        let late = SkillError::Failed("`tell` took longer than 290 s".to_owned());
        let (go, waiting) = channel();
        *WAIT.lock().unwrap() = Some(waiting);
        let agent = Agent::new("teller", "", vec![Skill::new(WORDS, wait)]);
        let begun = tokio::time::Instant::now();
        let mut running = std::pin::pin!(agent.run("tell", json!({}), limits::SAMPLE_INLINE_BYTES_MAX + 1));
        assert!(futures_util::poll!(&mut running).is_pending());
        // The clock does not go on by itself while a thread works.
        tokio::time::advance(limits::SAMPLE_SKILL_TIMEOUT - std::time::Duration::from_millis(1)).await;
        assert!(futures_util::poll!(&mut running).is_pending());
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
        // Polled, not waited for: while the thread works the clock stands still.
        let Poll::Ready(outcome) = futures_util::poll!(&mut running) else { panic!("it has more time") };
        assert_eq!(outcome, Err(late.clone()));
        assert_eq!(begun.elapsed(), limits::SAMPLE_SKILL_TIMEOUT);
        go.send(()).unwrap();

        let argv = ["sleep", "1000"].map(str::to_owned).to_vec();
        let model = Model::new(ModelOptions::Command { argv, prompt: Prompt::Stdin }).unwrap();
        let agent = Agent { model: Some(Arc::new(model)), ..Agent::new("teller", "", vec![Skill::new(WORDS, thread)]) };
        assert_eq!(agent.run("tell", json!({}), 1).await, Err(late));
    }
}
