//! `sequential`: one skill call, with its attempts, questions and answers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::named;
use crate::expression::Tree;
use crate::ids::SkillId;
use crate::interpreter::sequence::template_error;
use crate::interpreter::state::{CallPhase, CallState, Place, Record, State, Work};
use crate::interpreter::{
    AgentUsed, Change, Command, ErrorClass, Invocation, Question, RemoteTask, Run, StepError, StepStatus, Timer, retry,
};
use crate::limits;
use crate::plan::{EXECUTE_WORKFLOW, Node, NodeKind, OWN_NAME, Path};
use crate::workflow::Call;

impl Run {
    pub(super) fn start_call(&mut self, place: Place, node: &Node, inputs: &Tree) {
        match self.with_scope(place.frame, |scope| inputs.evaluate(scope)) {
            Ok(inputs) => {
                let inputs = match &node.kind {
                    NodeKind::Workflow { reference, .. } => {
                        Arc::new(json!({"workflow_id": &**reference, "input": Arc::unwrap_or_clone(inputs)}))
                    }
                    _ => inputs,
                };
                let (started_at, phase) = (self.now, CallPhase::InFlight);
                let state = CallState { attempt: 1, failures: 0, resume: None, inputs, started_at, phase, by: None, away: false };
                self.set_state(place, State::Call(state));
                self.invoke(place);
            }
            Err(error) => self.fail_early(place, template_error(node, "inputs", &error)),
        }
    }

    /// Commands the attempt that the step's state names.
    fn invoke(&mut self, place: Place) {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(place.node);
        let (skill, pinned, own) = addressed(node);
        if let Some(max) = plan.workflow().limits.max_agent_calls
            && self.agent_calls >= max
        {
            let message = format!("the run may make at most {max} calls to agents (`limits.max_agent_calls`)");
            if let Some(State::Call(call)) = self.state_mut(place) {
                // The attempt that was due is never made.
                call.attempt -= 1;
            }
            return self.settle_call(place, Err(StepError::new(ErrorClass::Limit, message)));
        }
        self.agent_calls += 1;
        let Some(State::Call(state)) = self.state(place) else { return };
        let (resume, inputs, agent) = match state.resume.clone() {
            Some((remote, answer)) => (Some(remote), answer, asker(pinned, state.by.as_deref())),
            None => (None, Arc::clone(&state.inputs), pinned),
        };
        let attempt = state.attempt;
        let after = state.by.clone().filter(|_| state.away && resume.is_none());
        let (path, step) = (self.path(place), node.id.clone());
        self.out.changes.push(Change::StepStarted { path: path.clone(), step: step.clone(), skill: Some(skill.clone()), attempt });
        let timeout = node.timeout.unwrap_or(limits::DURATION_MAX);
        let reply_bytes_max = plan.workflow().limits.max_payload_bytes;
        self.out.commands.push(Command::Call(Invocation {
            path,
            step,
            attempt,
            skill,
            own,
            agent,
            inputs,
            timeout,
            reply_bytes_max,
            resume,
            after,
        }));
    }

    /// The state of a call that waits for the outcome of just this attempt. Anything else is late or a repetition.
    fn expecting(&mut self, path: &Path, attempt: u32) -> Option<(Place, &mut CallState)> {
        let place = *self.places.get(path)?;
        match self.state_mut(place) {
            Some(State::Call(call)) if call.attempt == attempt && matches!(call.phase, CallPhase::InFlight) => Some((place, call)),
            _ => None,
        }
    }

    pub(in crate::interpreter) fn replied(&mut self, path: &Path, attempt: u32, value: Arc<Value>, by: Option<Arc<AgentUsed>>) {
        let Some((place, call)) = self.expecting(path, attempt) else { return };
        call.by = by;
        call.resume = None;
        self.settle_call(place, Ok(value));
    }

    pub(in crate::interpreter) fn failed(&mut self, path: &Path, attempt: u32, error: StepError, by: Option<Arc<AgentUsed>>, entropy: u32) {
        let (plan, is_first) = (Arc::clone(&self.plan), self.semantics < 2);
        let Some((place, call)) = self.expecting(path, attempt) else { return };
        // A failure without an agent, such as one that was not found, does not make forget who has the task.
        call.by = if by.is_none() && call.resume.is_some() && !is_first { call.by.take() } else { by };
        call.away = matches!(error.code, ErrorClass::Unavailable | ErrorClass::RateLimited | ErrorClass::Timeout);
        call.failures += 1;
        let node = plan.node(place.node);
        let failures = if is_first { attempt } else { call.failures };
        let delay = retry::delay(node.retry.as_ref(), failures, &error, entropy);
        let is_own = !matches!(node.kind, NodeKind::Call(_)) || call.by.as_ref().is_some_and(|by| by.name == OWN_NAME);
        let abandoned = match &call.resume {
            // The answer may not have arrived: the next attempt passes it on again. What was given up for good is told so below.
            Some((remote, _)) if !is_first && !is_over(remote, error.code, is_own) => None,
            _ if is_first || error.code == ErrorClass::AgentError => call.resume.take().and(None),
            _ => call.resume.take(),
        };
        if let Some((remote, by)) = abandoned.map(|(remote, _)| (remote, call.by.clone())) {
            self.cancel_task(place, Some(remote), by.as_deref());
        }
        let Some(delay) = delay else {
            return self.settle_call(place, Err(error));
        };
        let Some(State::Call(call)) = self.state_mut(place) else { return };
        call.phase = CallPhase::BackingOff;
        let due = self.now.plus(delay);
        self.out.commands.push(Command::StartTimer { path: path.clone(), timer: Timer::Retry, due });
        self.out.changes.push(Change::StepRetrying { path: path.clone(), step: node.id.clone(), attempt: attempt + 1, due, error });
    }

    pub(in crate::interpreter) fn retry_call(&mut self, place: Place) {
        let Some(State::Call(call)) = self.state_mut(place) else { return };
        if !matches!(call.phase, CallPhase::BackingOff) {
            return;
        }
        call.attempt += 1;
        call.phase = CallPhase::InFlight;
        self.invoke(place);
    }

    pub(in crate::interpreter) fn asked(&mut self, path: &Path, attempt: u32, question: Question, by: Option<Arc<AgentUsed>>) {
        let Some((place, call)) = self.expecting(path, attempt) else { return };
        call.by = by;
        call.resume = None;
        call.phase = CallPhase::Waiting(question.clone());
        self.waiting += 1;
        let step = self.plan.node(place.node).id.clone();
        self.out.changes.push(Change::StepWaiting { path: path.clone(), step, question });
    }

    pub(in crate::interpreter) fn answered(&mut self, path: &Path, answer: Arc<Value>) {
        if self.is_unasked(path) {
            return self.keep_answer(path, answer);
        }
        let Some(place) = self.places.get(path).copied() else { return };
        if let Some(State::Input { started_at, .. }) = self.state(place) {
            let started_at = *started_at;
            return self.input_answered(place, answer, started_at);
        }
        let Some(State::Call(call)) = self.state_mut(place) else { return };
        let CallPhase::Waiting(question) = &call.phase else { return };
        call.resume = question.remote.clone().map(|remote| (remote, answer));
        // The answer goes on with the agent's task as a new attempt, so that its outcome cannot be taken for an earlier one.
        call.attempt += 1;
        call.phase = CallPhase::InFlight;
        self.waiting -= 1;
        self.invoke(place);
    }

    fn settle_call(&mut self, place: Place, outcome: Result<Arc<Value>, StepError>) {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(place.node);
        let Some(State::Call(call)) = self.state_mut(place) else { return };
        call.phase = CallPhase::Over;
        let unanswered = call.resume.take().map(|(remote, _)| (remote, call.by.clone()));
        let (status, outputs, error) = match outcome {
            Ok(value) => (StepStatus::Completed, named(node, value), None),
            Err(error) => (StepStatus::Failed, Arc::new(Value::Null), Some(error)),
        };
        let record = Record { status, outputs, error, attempts: call.attempt, by: call.by.clone(), started_at: Some(call.started_at) };
        self.work.push_back(Work::Settle(place, record));
        if let Some((remote, by)) = unanswered {
            self.cancel_task(place, Some(remote), by.as_deref());
        }
    }

    /// Whom an attempt of the step of this path went to: the skill, whether it is a run of this engine itself, and the agent.
    pub fn addressee(&self, path: &Path, by: Option<&AgentUsed>) -> Option<(SkillId, bool, Option<String>)> {
        let (skill, pinned, own) = addressed(self.plan.node(self.plan.find(path.step())?));
        Some((skill, own, asker(pinned, by)))
    }

    /// The call is over, so nothing else would tell whoever asked that its task waits in vain.
    pub(in crate::interpreter) fn cancel_task(&mut self, place: Place, remote: Option<RemoteTask>, by: Option<&AgentUsed>) {
        let Some(remote) = remote else { return };
        let (skill, pinned, own) = addressed(self.plan.node(place.node));
        self.out.commands.push(Command::CancelTask { path: self.path(place), skill, own, agent: asker(pinned, by), remote });
    }
}

/// Whom a call is for: the skill, the agent that the author wants, and whether it is a run of this engine's own.
fn addressed(node: &Node) -> (SkillId, Option<String>, bool) {
    match &node.kind {
        NodeKind::Call(Call { skill, agent, .. }) => (skill.clone(), agent.clone(), false),
        _ => (SkillId::parse(EXECUTE_WORKFLOW).expect("the name of the skill is one"), None, true),
    }
}

/// Whether a task takes no answer any more after such a failure, so that the step begins anew: it said that it failed, was given up because
/// it took too long, or is a run below, which is named by the path of its step: those fail in every way that steps can.
fn is_over(remote: &RemoteTask, code: ErrorClass, is_own: bool) -> bool {
    matches!(code, ErrorClass::AgentError | ErrorClass::Timeout) || (is_own && remote.context_id.starts_with('/'))
}

/// Who has the task that waits for an answer: nobody else knows it, whoever offers the skill by now.
fn asker(pinned: Option<String>, by: Option<&AgentUsed>) -> Option<String> {
    pinned.or_else(|| by.map(|by| by.name.clone()))
}
