//! Calls of skills that this process serves itself, beside running a workflow by name: made without the network. What such a call
//! runs is a run of this engine like any other.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Embedded;
use super::delegate::{Execute, Turn, child_key};
use super::invoke::{Lineage, Outcome, Ties, agent_call, delegated};
use crate::a2a::Card;
use crate::engine::{OwnReply, OwnSkills};
use crate::ids::RunId;
use crate::interpreter::{ErrorClass, Invocation, Question, RemoteTask, StepError};

/// Stands for the id of the task that asks, where there is none: no run has such an id.
const DIALOGUE: &str = "a dialogue of gantry's own";

/// An own skill that is called.
pub(super) struct OwnCall<'a> {
    pub(super) skills: &'a dyn OwnSkills,
    pub(super) card: &'a Arc<Card>,
}

impl Embedded {
    /// Calls a skill of this engine's own agent, within what is left of the step's time. Its answer may be a run, which is waited for, and
    /// cancelled with the call.
    pub(super) async fn call_this_engine(
        &self,
        own: OwnCall<'_>,
        parent: &RunId,
        invocation: &Invocation,
        lineage: &Lineage,
        ties: &Ties,
        left: Duration,
    ) -> Result<Outcome, StepError> {
        if let Some(delegated) = delegated(invocation) {
            return self.delegate(parent, &delegated, lineage, ties).await;
        }
        let invocation = &Invocation { timeout: left, ..invocation.clone() };
        if invocation.resume.as_ref().is_some_and(|remote| remote.task_id != DIALOGUE) {
            // The run asked, not the skill.
            return self.delegate(parent, invocation, lineage, ties).await;
        }
        let started = Instant::now();
        let rest = || invocation.timeout.saturating_sub(started.elapsed());
        if let Some(child) = self.child_of(&child_key(parent, invocation)).await? {
            return self.attend(parent, Ok(child), rest(), ties).await;
        }
        let call = agent_call(parent, invocation, Some(lineage.metadata()), Arc::clone(own.card), invocation.timeout);
        // All three are safe to drop; dropping the call is how it is given up.
        let reply = tokio::select! {
            reply = own.skills.call(call) => reply?,
            () = ties.cancel.cancelled() => return Err(StepError::new(ErrorClass::Canceled, "canceled")),
            () = tokio::time::sleep(invocation.timeout) => {
                let timeout = crate::time::humanize(invocation.timeout);
                return Err(StepError::new(ErrorClass::Timeout, format!("no answer within {timeout}")));
            }
        };
        match reply {
            OwnReply::Value(value) => Ok(Outcome::Value(value)),
            OwnReply::Run { workflow, input } => {
                let mut left = rest();
                let turn = Turn { left: &mut left, cancel: &ties.cancel };
                let child = self.start_child(parent, invocation, Execute::of(workflow, input), lineage, turn).await;
                self.attend(parent, child, left, ties).await
            }
            OwnReply::Question { prompt, auth, state } => Ok(Outcome::Question(ask(prompt, auth, state))),
        }
    }
}

fn ask(prompt: Value, auth: bool, state: String) -> Question {
    let remote = RemoteTask { task_id: DIALOGUE.to_owned(), context_id: state };
    Question { remote: Some(remote), schema: None, auth, prompt: Arc::new(prompt) }
}
