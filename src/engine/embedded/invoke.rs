//! One attempt at a skill: find an agent, call it, turn what came of it into an event.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::choice::Chosen;
use super::tree::Usage;
use super::{Embedded, Inner, now};
use crate::a2a::{Card, Dialect, extension};
use crate::agent::{self, ErrorKind, Hold, Pass, Progress, Reach, Reply};
use crate::discovery::{self, FoundAgent};
use crate::engine::payload;
use crate::ids::{RunId, SkillId};
use crate::interpreter::{AgentUsed, Ancestor, ErrorClass, Event, Invocation, Payload, Question, RemoteTask, StepError};
use crate::plan::{EXECUTE_WORKFLOW, OWN_NAME, ROUTE_REQUEST, WORKFLOW_PREFIX};
use crate::{json, limits};

/// How long a call waits for a socket of this machine, at first and at most, before it is tried again.
const SOCKET_REST_MIN: Duration = Duration::from_millis(20);
const SOCKET_REST_MAX: Duration = Duration::from_secs(1);

/// What came of an attempt.
pub(super) enum Outcome {
    Value(Value),
    Question(Question),
    /// None yet: this engine stops, and the attempt is made again after the restart.
    Parked,
}

/// How a call is given up.
#[derive(Debug, Clone, Default)]
pub(super) struct Ties {
    /// Nobody waits for its outcome any more, which is in the journal.
    pub(super) cancel: CancellationToken,
    /// What it left behind is canceled when the failure that made it useless is in the journal.
    pub(super) hold: Hold,
    /// Which attempt it is.
    pub(super) attempt: u32,
    /// Whom it asks, once that is known: the last of several.
    asks: Arc<Mutex<Option<Arc<AgentUsed>>>>,
}

impl Ties {
    pub(super) fn of(attempt: u32) -> Self {
        Self { attempt, ..Self::default() }
    }

    /// Notes who is asked from now on, for who gives the call up.
    pub(super) fn ask(&self, by: &Option<Arc<AgentUsed>>) {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner).clone_from(by);
    }

    pub(super) fn asked(&self) -> Option<Arc<AgentUsed>> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The runs that calls of one run belong to: its ancestors and itself, and the same as agents are told.
#[derive(Debug)]
pub(super) struct Lineage {
    pub(super) runs: Vec<Ancestor>,
    /// What the runs that these calls start count for.
    pub(super) usage: Arc<Usage>,
    metadata: OnceLock<Arc<Map<String, Value>>>,
}

impl Lineage {
    pub(super) fn new(runs: Vec<Ancestor>, usage: Arc<Usage>) -> Self {
        Self { runs, usage, metadata: OnceLock::new() }
    }

    /// The same as agents are told. Made once for each run, not for each call.
    pub(super) fn metadata(&self) -> Arc<Map<String, Value>> {
        let make = || {
            let Self { runs, .. } = self;
            Arc::new(Map::from_iter([(extension::RUN.to_owned(), json!({"depth": runs.len(), "ancestry": runs}))]))
        };
        Arc::clone(self.metadata.get_or_init(make))
    }
}

impl Embedded {
    /// Makes one attempt. `None` when it was cancelled: nobody waits for its outcome.
    #[expect(clippy::manual_async_fn, reason = "an async fn would hold what it is given twice, and each call under way has one of these")]
    pub(super) fn invoke(
        self,
        run: RunId,
        invocation: Invocation,
        lineage: Arc<Lineage>,
        ties: Ties,
    ) -> impl Future<Output = Option<Event>> + Send + 'static {
        async move {
            let Invocation { path, step, attempt, skill, .. } = &invocation;
            let (path, attempt) = (path.clone(), *attempt);
            debug!(%step, attempt, %skill, "step started");
            let mut by = None;
            let (made, inputs) = {
                // Pinned where it is: an attempt is large, and would be copied.
                let making = pin!(self.bounded_attempt(&run, &invocation, &lineage, &ties, &mut by));
                // The call goes first each time: what it is asked with is hashed while the agent works.
                futures_util::future::join(AssertUnwindSafe(making).catch_unwind(), asked_with(&invocation.inputs)).await
            };
            let inputs = Some(inputs);
            // A fault of ours must end the step: nothing else would.
            let outcome = made.unwrap_or_else(|_| Err(StepError::new(ErrorClass::Internal, "gantry broke while it made this call")));
            if ties.cancel.is_cancelled() {
                ties.hold.release();
                if let Ok(Outcome::Question(Question { remote: Some(remote), .. })) = outcome {
                    let agent = invocation.agent.or_else(|| by.map(|by| by.name.clone()));
                    Box::pin(self.give_up(invocation.skill, invocation.own, agent, remote)).await;
                }
                return None;
            }
            let at = now();
            Some(match outcome {
                Ok(Outcome::Value(value)) => Event::Replied { path, attempt, value: Arc::new(value), by, inputs, at },
                Ok(Outcome::Question(question)) => Event::Asked { path, attempt, question, by, inputs, at },
                Ok(Outcome::Parked) => return None,
                Err(mut error) => {
                    error.skill.get_or_insert_with(|| skill.to_string());
                    if error.agent.is_none() {
                        error.agent = by.as_ref().map(|by| by.name.clone());
                    }
                    warn!(run_id = %run, %step, attempt, %skill, agent = by.as_ref().map(|by: &Arc<AgentUsed>| by.name.as_str()), code = error.code.code(), "attempt failed");
                    Event::Failed { path, attempt, error, by, inputs, entropy: fastrand::u32(..), at }
                }
            })
        }
    }

    /// The attempt, and the bound that the workflow sets on its reply.
    async fn bounded_attempt(
        &self,
        run: &RunId,
        invocation: &Invocation,
        lineage: &Lineage,
        ties: &Ties,
        by: &mut Option<Arc<AgentUsed>>,
    ) -> Result<Outcome, StepError> {
        let outcome = self.attempt(run, invocation, lineage, ties, by).await?;
        if let (Outcome::Value(value), Some(bytes_max)) = (&outcome, invocation.reply_bytes_max) {
            let bytes = payload::bytes(value);
            if bytes > bytes_max {
                let message = format!("the reply has {bytes} bytes, more than the workflow's `limits.max_payload` of {bytes_max}");
                return Err(StepError::new(ErrorClass::TooLarge, message));
            }
        }
        Ok(outcome)
    }

    async fn attempt(
        &self,
        run: &RunId,
        invocation: &Invocation,
        lineage: &Lineage,
        ties: &Ties,
        by: &mut Option<Arc<AgentUsed>>,
    ) -> Result<Outcome, StepError> {
        let started = tokio::time::Instant::now();
        if invocation.own {
            *by = Some(Arc::new(AgentUsed { name: "gantry".to_owned(), card: None, reason: "a sub-workflow".to_owned() }));
            ties.ask(by);
            return Box::pin(self.delegate(run, invocation, lineage, ties)).await;
        }
        let found = match self.find(invocation, &ties.cancel).await {
            Ok(found) => found,
            // It was waited for, and is looked for again after the restart.
            Err(_) if self.inner.stopping.is_cancelled() && self.inner.discovery.awaits_registry() => return Ok(Outcome::Parked),
            Err(error) => {
                let ours = error.code == ErrorClass::NoAgent && invocation.agent.as_deref().is_none_or(|agent| agent == OWN_NAME);
                let Some(delegated) = delegated(invocation).filter(|_| ours) else { return Err(error) };
                *by = Some(Arc::new(AgentUsed { name: OWN_NAME.to_owned(), card: None, reason: "no other agent offers it".to_owned() }));
                ties.ask(by);
                return Box::pin(self.delegate(run, &delegated, lineage, ties)).await;
            }
        };
        self.call_one_of(run, invocation, lineage, ties, started, found, by).await
    }

    async fn find(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Chosen, StepError> {
        let skill = invocation.skill.as_str();
        let timed = tokio::select! {
            timed = tokio::time::timeout(invocation.timeout, self.find_patiently(|| self.choose(invocation))) => timed,
            () = cancel.cancelled() => return Err(StepError::new(ErrorClass::Canceled, "canceled")),
        };
        let failed = StepError::new;
        match timed {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error @ discovery::Error::Registry(_))) => {
                warn!(skill, %error, "no agent was looked for");
                Err(failed(ErrorClass::Unavailable, error.without_place()))
            }
            Ok(Err(error)) => Err(failed(ErrorClass::NoAgent, error.to_string())),
            Err(_) => Err(failed(ErrorClass::Timeout, format!("no agent for skill `{skill}` was found in time"))),
        }
    }

    /// Looks something up. A registry that has not answered since the process began is waited for, until gantry stops: nothing of it is known
    /// yet, and what a start goes on with would fail for that. Safe to drop.
    pub(super) async fn find_patiently<T, F>(&self, look: impl Fn() -> F) -> Result<T, discovery::Error>
    where
        F: Future<Output = Result<T, discovery::Error>>,
    {
        let Inner { discovery, stopping, .. } = &*self.inner;
        loop {
            let is_awaited = discovery.awaits_registry();
            let outcome = look().await;
            if !(is_awaited && matches!(outcome, Err(discovery::Error::Registry(_)))) {
                return outcome;
            }
            tokio::select! {
                () = discovery.registry_answers() => {}
                () = stopping.cancelled() => return outcome,
            }
            // What has just failed is not asked for again at once.
            tokio::time::sleep(limits::REGISTRY_REST).await;
        }
    }

    /// Tells whoever has a task that it waits in vain. Whether it listens changes nothing.
    pub(super) async fn give_up(self, skill: SkillId, own: bool, agent: Option<String>, remote: RemoteTask) {
        if own {
            return self.give_up_child(&remote).await;
        }
        let found = tokio::time::timeout(limits::REGISTRY_TIMEOUT, self.inner.discovery.agent(skill.as_str(), agent.as_deref())).await;
        match found {
            Ok(Ok(found)) if self.own_skills(&found.card).is_some() => self.give_up_child(&remote).await,
            Ok(Ok(found)) => self.inner.agents.cancel_task(&found.card, &remote.task_id),
            Ok(Err(_)) if runs_a_workflow(skill.as_str()) => self.give_up_child(&remote).await,
            Ok(Err(error)) => warn!(task = %remote.task_id, %error, "remote task not canceled"),
            Err(_) => warn!(task = %remote.task_id, "remote task not canceled: its agent was not found in time"),
        }
    }

    /// Takes back a call that an earlier process gave up, and may not have told its agent: its task is canceled. Only where there is no doubt
    /// which agent had it: another one would begin the work anew. What it started as a run below is [seen to](Self::unwanted) beside this.
    pub(super) async fn take_back(self, run: RunId, invocation: Invocation, lineage: Arc<Lineage>) {
        if let Some(remote) = invocation.resume {
            return self.give_up(invocation.skill, invocation.own, invocation.agent, remote).await;
        }
        if invocation.own {
            return;
        }
        let look = self.only_agent(&invocation);
        let Ok(Some(found)) = tokio::time::timeout(invocation.timeout, look).await else {
            debug!(step = %invocation.step, skill = %invocation.skill, "a call that was given up is not taken back: it is not known whose it was");
            return;
        };
        if self.own_skills(&found.card).is_none() {
            let call = agent_call(&run, &invocation, Some(lineage.metadata()), found.card, invocation.timeout);
            self.inner.agents.take_back(&call);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a call is made of, from one caller")]
    pub(super) async fn call(
        &self,
        run: &RunId,
        invocation: &Invocation,
        lineage: &Lineage,
        ties: &Ties,
        found: &FoundAgent,
        timeout: Duration,
        mut pass: Option<&mut Pass>,
    ) -> Result<Outcome, agent::Error> {
        // Over the plain dialect only another gantry knows what to do with it.
        let is_plain = found.card.interfaces.first().is_some_and(|interface| interface.dialect == Dialect::Plain);
        let metadata = (!is_plain || is_served_by_gantrys(invocation.skill.as_str())).then(|| lineage.metadata());
        let mut call = agent_call(run, invocation, metadata, Arc::clone(&found.card), timeout);
        let step = &invocation.step;
        let mut progress = |news: Progress| {
            if let Some(pass) = &mut pass {
                pass.sign_of_life();
            }
            match news {
                Progress::Task(remote) => debug!(%step, task = %remote.task_id, "agent made a task"),
                Progress::Status(text) => debug!(%step, bytes = text.len(), "agent says how far it is"),
            }
        };
        let (deadline, mut rest, mut waited) = (Instant::now() + timeout, SOCKET_REST_MIN, false);
        let answered = loop {
            let answered = self.inner.agents.call_held(&call, ties.cancel.clone(), &ties.hold, &mut progress).await;
            // This machine had no socket for it: nobody has heard of the call, and one may be free soon.
            let had_none = answered.as_ref().is_err_and(|error| error.reach == Reach::NoSocket);
            let left = deadline.saturating_duration_since(Instant::now());
            if !had_none || left.is_zero() {
                break answered;
            }
            debug!(%step, ?rest, "there is no socket for a call; it waits for one");
            waited = true;
            tokio::select! {
                () = tokio::time::sleep(rest.mul_f64(0.5 + fastrand::f64()).min(left)) => {}
                () = ties.cancel.cancelled() => {}
                // As a call that waits for a place: the next start makes it.
                () = self.inner.stopping.cancelled(), if self.inner.journal.is_durable() => return Ok(Outcome::Parked),
            }
            rest = (rest * 2).min(SOCKET_REST_MAX);
            call.timeout = deadline.saturating_duration_since(Instant::now());
            if call.timeout.is_zero() && !ties.cancel.is_cancelled() {
                break answered;
            }
        };
        match answered {
            Ok(Reply::Value(value)) => Ok(Outcome::Value(value)),
            Ok(Reply::Question(question)) => Ok(Outcome::Question(Question {
                remote: Some(RemoteTask { task_id: question.remote.task_id, context_id: question.remote.context_id }),
                schema: None,
                auth: question.auth,
                prompt: Arc::new(question.prompt),
            })),
            Err(mut error) => {
                if waited && error.kind == ErrorKind::Timeout {
                    // The agent had less time than the step has: that it was not enough does not speak against it.
                    error.reach = Reach::Nowhere;
                    error.message.push_str(", after it had waited for a socket of this machine");
                }
                if !error.reach.is_of_this_machine() && explained_by_a_move(error.kind) {
                    self.inner.discovery.forget_agent(&found.card.name);
                }
                Err(error)
            }
        }
    }
}

/// What is recorded of the inputs of a call that has just begun.
async fn asked_with(inputs: &Value) -> Payload {
    // The task of a connection that the call was just given to has not written it yet, and would wait for this one.
    if json::weighs_more_than(inputs, limits::INPUTS_HASHED_AT_ONCE_BYTES_MAX) {
        tokio::task::yield_now().await;
    }
    payload::of(inputs)
}

/// What an agent is asked by an attempt.
pub(super) fn agent_call(
    run: &RunId,
    invocation: &Invocation,
    metadata: Option<Arc<Map<String, Value>>>,
    card: Arc<Card>,
    timeout: Duration,
) -> agent::Call {
    let remote = invocation.resume.as_ref();
    agent::Call {
        card,
        skill: invocation.skill.to_string(),
        inputs: Arc::clone(&invocation.inputs),
        message_id: format!("{run}{}#{}", invocation.path, invocation.attempt),
        timeout,
        metadata,
        resume: remote.map(|remote| agent::Remote { task_id: remote.task_id.clone(), context_id: remote.context_id.clone() }),
    }
}

/// Skills of ours that run a workflow, and nothing else.
fn runs_a_workflow(skill: &str) -> bool {
    skill == EXECUTE_WORKFLOW || skill.starts_with(WORKFLOW_PREFIX)
}

/// Skills that a gantry serves.
fn is_served_by_gantrys(skill: &str) -> bool {
    runs_a_workflow(skill) || skill == ROUTE_REQUEST
}

/// The same call as one of `execute_workflow`, when it runs a workflow.
pub(super) fn delegated(invocation: &Invocation) -> Option<Invocation> {
    if !runs_a_workflow(invocation.skill.as_str()) {
        return None;
    }
    let mut delegated = invocation.clone();
    // An answer is passed on as it is; only what starts a run names the workflow.
    if let (Some(id), None) = (invocation.skill.as_str().strip_prefix(WORKFLOW_PREFIX), &invocation.resume) {
        delegated.inputs = Arc::new(json!({"workflow_id": id, "input": Value::clone(&invocation.inputs)}));
    }
    Some(delegated)
}

/// Failures that an agent which moved, or whose card was updated, would explain: look its card up again next time.
fn explained_by_a_move(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Rejected | ErrorKind::InvalidReply | ErrorKind::Refused | ErrorKind::Timeout => true,
        ErrorKind::RateLimited | ErrorKind::AgentError | ErrorKind::TooLarge | ErrorKind::Canceled | ErrorKind::CircuitOpen => false,
    }
}

pub(super) fn step_error(error: &agent::Error) -> StepError {
    let code = match error.kind {
        ErrorKind::Timeout => ErrorClass::Timeout,
        ErrorKind::Unavailable | ErrorKind::CircuitOpen => ErrorClass::Unavailable,
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
    StepError::new(code, error.to_string()).with(|error| (error.skill, error.agent, error.retry_after_ms) = (skill, agent, retry_after_ms))
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    /// What is asked with much is hashed when the others have had a turn, with little at once; it is the same hash.
    #[tokio::test]
    async fn others_have_a_turn_before_large_inputs_are_hashed() {
        for (bytes, is_at_once) in
            [(2, true), (limits::INPUTS_HASHED_AT_ONCE_BYTES_MAX, true), (limits::INPUTS_HASHED_AT_ONCE_BYTES_MAX + 1, false)]
        {
            let inputs = json!("x".repeat(bytes - 2));
            let mut asked = std::pin::pin!(asked_with(&inputs));
            let first = poll!(asked.as_mut());
            assert_eq!(first.is_ready(), is_at_once, "{bytes} bytes");
            if !is_at_once {
                assert_eq!(asked.await, payload::of(&inputs), "{bytes} bytes");
            }
        }
    }
}
