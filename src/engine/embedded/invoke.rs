//! One attempt at a skill: find an agent, call it, turn what came of it into an event.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Embedded, now};
use crate::a2a::extension;
use crate::agent::{self, ErrorKind, Progress, Reply};
use crate::discovery::{self, FoundAgent};
use crate::ids::{RunId, SkillId};
use crate::interpreter::{AgentUsed, Ancestor, ErrorClass, Event, Invocation, Question, RemoteTask, StepError};
use crate::limits;

/// The skill that starts a workflow.
pub(super) const EXECUTE_WORKFLOW: &str = "execute_workflow";

/// What came of an attempt.
pub(super) enum Outcome {
    Value(Value),
    Question(Question),
    /// None yet: this engine stops, and the attempt is made again after the restart.
    Parked,
}

/// How this engine is called where an agent's name is wanted.
const OWN_NAME: &str = "gantry";

impl Embedded {
    /// Makes one attempt. `None` when it was cancelled: nobody waits for its outcome.
    pub(super) async fn invoke(
        self,
        run: RunId,
        invocation: Invocation,
        lineage: Arc<[Ancestor]>,
        cancel: CancellationToken,
    ) -> Option<Event> {
        let Invocation { path, step, attempt, skill, .. } = &invocation;
        let (path, attempt) = (path.clone(), *attempt);
        debug!(%step, attempt, %skill, "step started");
        let mut by = None;
        let made = AssertUnwindSafe(self.attempt(&run, &invocation, &lineage, &cancel, &mut by)).catch_unwind().await;
        // A fault of ours must end the step: nothing else would.
        let outcome = made.unwrap_or_else(|_| Err(StepError::new(ErrorClass::Internal, "gantry broke while it made this call")));
        if cancel.is_cancelled() {
            return None;
        }
        let at = now();
        Some(match outcome {
            Ok(Outcome::Value(value)) => Event::Replied { path, attempt, value: Arc::new(value), by, at },
            Ok(Outcome::Question(question)) => Event::Asked { path, attempt, question, by, at },
            Ok(Outcome::Parked) => return None,
            Err(mut error) => {
                error.skill.get_or_insert_with(|| skill.to_string());
                if error.agent.is_none() {
                    error.agent = by.as_ref().map(|by| by.name.clone());
                }
                warn!(%step, attempt, %skill, agent = by.as_ref().map(|by: &AgentUsed| by.name.as_str()), code = error.code.code(), "attempt failed");
                Event::Failed { path, attempt, error, by, entropy: fastrand::u32(..), at }
            }
        })
    }

    async fn attempt(
        &self,
        run: &RunId,
        invocation: &Invocation,
        lineage: &Arc<[Ancestor]>,
        cancel: &CancellationToken,
        by: &mut Option<AgentUsed>,
    ) -> Result<Outcome, StepError> {
        let started = tokio::time::Instant::now();
        if invocation.own {
            *by = Some(AgentUsed { name: "gantry".to_owned(), card: None, reason: "a sub-workflow".to_owned() });
            return self.delegate(run, invocation, lineage, cancel).await;
        }
        let found = match self.find(invocation).await {
            Ok(found) => found,
            Err(error)
                if invocation.skill.as_str() == EXECUTE_WORKFLOW
                    && error.code == ErrorClass::NoAgent
                    && invocation.agent.as_deref().is_none_or(|agent| agent == OWN_NAME) =>
            {
                *by = Some(AgentUsed { name: OWN_NAME.to_owned(), card: None, reason: "no other agent offers it".to_owned() });
                return self.delegate(run, invocation, lineage, cancel).await;
            }
            Err(error) => return Err(error),
        };
        *by = Some(AgentUsed { name: found.card.name.clone(), card: found.digest.clone(), reason: found.reason.clone() });
        let timeout = invocation.timeout.saturating_sub(started.elapsed());
        self.call(run, invocation, lineage, cancel, &found, timeout).await
    }

    async fn find(&self, invocation: &Invocation) -> Result<FoundAgent, StepError> {
        let skill = invocation.skill.as_str();
        let looked_up = self.inner.discovery.agent(skill, invocation.agent.as_deref());
        let timed = tokio::time::timeout(invocation.timeout, looked_up).await;
        let failed = StepError::new;
        match timed {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error @ discovery::Error::Registry(_))) => Err(failed(ErrorClass::Unavailable, error.to_string())),
            Ok(Err(error)) => Err(failed(ErrorClass::NoAgent, error.to_string())),
            Err(_) => Err(failed(ErrorClass::Timeout, format!("no agent for skill `{skill}` was found in time"))),
        }
    }

    /// Tells whoever has a task that it waits in vain. Whether it listens changes nothing.
    pub(super) async fn give_up(self, skill: SkillId, own: bool, agent: Option<String>, remote: RemoteTask) {
        if own {
            return self.give_up_child(&remote).await;
        }
        let found = tokio::time::timeout(limits::REGISTRY_TIMEOUT, self.inner.discovery.agent(skill.as_str(), agent.as_deref())).await;
        match found {
            Ok(Ok(found)) => self.inner.agents.cancel_task(&found.card, &remote.task_id),
            Ok(Err(_)) if skill.as_str() == EXECUTE_WORKFLOW => self.give_up_child(&remote).await,
            Ok(Err(error)) => warn!(task = %remote.task_id, %error, "remote task not canceled"),
            Err(_) => warn!(task = %remote.task_id, "remote task not canceled: its agent was not found in time"),
        }
    }

    async fn call(
        &self,
        run: &RunId,
        invocation: &Invocation,
        lineage: &[Ancestor],
        cancel: &CancellationToken,
        found: &FoundAgent,
        timeout: Duration,
    ) -> Result<Outcome, StepError> {
        let call = agent::Call {
            card: Arc::clone(&found.card),
            skill: invocation.skill.to_string(),
            inputs: Arc::clone(&invocation.inputs),
            message_id: format!("{run}{}#{}", invocation.path, invocation.attempt),
            timeout,
            metadata: Map::from_iter([(extension::RUN.to_owned(), json!({"depth": lineage.len(), "ancestry": lineage}))]),
            resume: invocation
                .resume
                .as_ref()
                .map(|remote| agent::Remote { task_id: remote.task_id.clone(), context_id: remote.context_id.clone() }),
        };
        let step = &invocation.step;
        let progress = |news: Progress| match news {
            Progress::Task(remote) => debug!(%step, task = %remote.task_id, "agent made a task"),
            Progress::Status(text) => debug!(%step, text, "agent says"),
        };
        match self.inner.agents.call(call, cancel.clone(), progress).await {
            Ok(Reply::Value(value)) => Ok(Outcome::Value(value)),
            Ok(Reply::Question(question)) => Ok(Outcome::Question(Question {
                remote: Some(RemoteTask { task_id: question.remote.task_id, context_id: question.remote.context_id }),
                schema: None,
                auth: question.auth,
                prompt: Arc::new(question.prompt),
            })),
            Err(error) => {
                if explained_by_a_move(error.kind) {
                    self.inner.discovery.forget_agent(&found.card.name);
                }
                Err(step_error(&error))
            }
        }
    }
}

/// Failures that an agent which moved, or whose card was updated, would explain: look its card up again next time.
fn explained_by_a_move(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Rejected | ErrorKind::InvalidReply | ErrorKind::Refused | ErrorKind::Timeout => true,
        ErrorKind::RateLimited | ErrorKind::AgentError | ErrorKind::TooLarge | ErrorKind::Canceled => false,
    }
}

fn step_error(error: &agent::Error) -> StepError {
    let code = match error.kind {
        ErrorKind::Timeout => ErrorClass::Timeout,
        ErrorKind::Unavailable => ErrorClass::Unavailable,
        ErrorKind::RateLimited => ErrorClass::RateLimited,
        ErrorKind::AgentError => ErrorClass::AgentError,
        ErrorKind::Rejected => ErrorClass::Rejected,
        ErrorKind::InvalidReply => ErrorClass::InvalidReply,
        ErrorKind::TooLarge => ErrorClass::TooLarge,
        ErrorKind::Refused => ErrorClass::Refused,
        ErrorKind::Canceled => ErrorClass::Canceled,
    };
    let retry_after_ms = error.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    let (skill, agent) = (Some(error.skill.clone()), Some(error.agent.clone()));
    StepError { skill, agent, retry_after_ms, ..StepError::new(code, error.to_string()) }
}
