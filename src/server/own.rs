//! The skills that runs of this very process call: answered here, without the network. The decisions are those that callers from
//! outside get; a run that is wanted is left to the engine, and a dialogue is kept by the step that waits.

use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ask::{self, Ask};
use super::error::Failure;
use super::routing::{asked_back, decide, reconsider, routed};
use super::state::App;
use super::tasks::{Dialogue, Kind, NewTask, now, play};
use crate::a2a::{self, Artifact, ErrorCode, Message, Shape, TaskState};
use crate::agent::Call;
use crate::engine::{OwnReply, OwnSkills};
use crate::interpreter::{ErrorClass, StepError};
use crate::router::{Act, Decision};

/// Serves as long as the server is there. It does not keep the server, which keeps the engine, which keeps this.
pub(super) struct Own {
    app: Weak<App>,
}

/// What a step that waits keeps for us.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Waits {
    /// It is not clear which workflow is meant.
    Dialogue(Dialogue),
    /// A script asks; it has made these.
    Script { artifacts: Vec<Artifact> },
}

impl Own {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::downgrade(app) }
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

#[async_trait]
impl OwnSkills for Own {
    async fn call(&self, call: Call) -> Result<OwnReply, StepError> {
        let Some(app) = self.app.upgrade() else {
            return Err(StepError::new(ErrorClass::Unavailable, "gantry has stopped serving"));
        };
        let metadata = call.metadata.as_deref().cloned().unwrap_or_default();
        let mut message = Message::calling(&call.card, &call.skill, &call.inputs, &call.message_id, metadata);
        let answered = match call.resume {
            None => begin(&app, &message).await,
            Some(remote) => {
                message.task_id = Some(remote.task_id);
                go_on(&app, &message, &remote.context_id).await
            }
        };
        answered.map_err(Refusal::into_step_error)
    }
}

/// Why there is no answer: what a caller from outside would be told, or what the script says.
enum Refusal {
    Failure(Failure),
    Script(ErrorClass, String),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Refusal {
    fn into_step_error(self) -> StepError {
        match self {
            Self::Script(class, message) => StepError::new(class, message),
            Self::Failure(failure) => {
                let is_ours = failure.error.code == i64::from(ErrorCode::InternalError.number());
                let class = if is_ours { ErrorClass::Unavailable } else { ErrorClass::Rejected };
                StepError::new(class, failure.error.message)
            }
        }
    }
}

async fn begin(app: &App, message: &Message) -> Result<OwnReply, Refusal> {
    match Ask::of(message.clone())? {
        Ask::Execute(execute) => Ok(OwnReply::Run { workflow: execute.reference(), input: execute.input }),
        Ask::Workflow { id, text, data } => {
            let found = app.discovery.workflow(&id).await.map_err(Failure::from)?;
            let input = ask::fitted_input(&text, data, found.plan.workflow().input.as_deref());
            Ok(OwnReply::Run { workflow: id, input })
        }
        Ask::Route { text, data } => {
            let decision = decide(app, &text, message).await?;
            follow(app, decision, Dialogue { text, data, offered: Vec::new() }, Vec::new()).await
        }
    }
}

/// The answer to what was asked.
async fn go_on(app: &App, message: &Message, state: &str) -> Result<OwnReply, Refusal> {
    let waits: Waits = serde_json::from_str(state)
        .map_err(|error| Refusal::Script(ErrorClass::Internal, format!("what the step keeps of the dialogue cannot be read: {error}")))?;
    match waits {
        Waits::Dialogue(dialogue) => {
            let (decision, dialogue) = reconsider(app, dialogue, message).await?;
            follow(app, decision, dialogue, Vec::new()).await
        }
        Waits::Script { artifacts } => match decide(app, &ask::words(message), message).await? {
            decision @ Decision::Respond { .. } => follow(app, decision, Dialogue::default(), artifacts).await,
            Decision::Run { .. } | Decision::Reject { .. } | Decision::Ask { .. } => {
                Err(Refusal::Script(ErrorClass::Rejected, "no rule goes on from this answer".to_owned()))
            }
        },
    }
}

async fn follow(app: &App, decision: Decision, dialogue: Dialogue, artifacts: Vec<Artifact>) -> Result<OwnReply, Refusal> {
    match decision {
        Decision::Run { run, reason } => {
            let (_, input) = routed(app, &run, &dialogue.text, dialogue.data).await?;
            tracing::info!(workflow = run.workflow, reason, "request of a run routed");
            Ok(OwnReply::Run { workflow: run.workflow, input })
        }
        Decision::Respond { acts, .. } => recite(app, acts, artifacts).await,
        Decision::Reject { message, .. } => Err(Refusal::Script(ErrorClass::Rejected, message)),
        Decision::Ask { candidates, reason } => {
            let prompt = a2a::parts_value(asked_back(&candidates, &reason), Shape::Any).unwrap_or_default();
            let offered = candidates.into_iter().map(|candidate| candidate.id).collect();
            Ok(question(prompt, false, &Waits::Dialogue(Dialogue { offered, ..dialogue })))
        }
    }
}

/// Plays a script for a step alone, on a task that nobody else sees.
async fn recite(app: &App, acts: Vec<Act>, artifacts: Vec<Artifact>) -> Result<OwnReply, Refusal> {
    if let [Act::Message(said)] = acts.as_slice() {
        return Ok(OwnReply::Value(a2a::parts_value(said.parts(), Shape::Any).unwrap_or_default()));
    }
    let new = NewTask {
        id: uuid::Uuid::new_v4().to_string(),
        context_id: uuid::Uuid::new_v4().to_string(),
        caller: Arc::from(""),
        kind: Kind::Script,
        history: Vec::new(),
        about: None,
        metadata: Map::new(),
        since: now(),
        is_remade: false,
    };
    let task = app.store.unlisted(new);
    for artifact in artifacts {
        task.add_artifact(artifact, false, true);
    }
    play(Arc::clone(&task), acts).await;
    let record = task.record();
    let said = || record.status.message.as_ref().map(Message::text).unwrap_or_default();
    match record.status.state {
        TaskState::Completed => Ok(OwnReply::Value(a2a::reply_value(record, Shape::Any).unwrap_or_default())),
        state @ (TaskState::InputRequired | TaskState::AuthRequired) => {
            let parts = record.status.message.map(|message| message.parts).unwrap_or_default();
            let prompt = a2a::parts_value(parts, Shape::Any).unwrap_or_else(|| serde_json::json!({ "text": "" }));
            Ok(question(prompt, state == TaskState::AuthRequired, &Waits::Script { artifacts: record.artifacts }))
        }
        TaskState::Rejected => Err(Refusal::Script(ErrorClass::Rejected, said())),
        TaskState::Failed | TaskState::Canceled | TaskState::Submitted | TaskState::Working | TaskState::Unspecified => {
            Err(Refusal::Script(ErrorClass::AgentError, said()))
        }
    }
}

fn question(prompt: Value, auth: bool, waits: &Waits) -> OwnReply {
    let state = serde_json::to_string(waits).expect("texts, JSON values and artifacts can be written");
    OwnReply::Question { prompt, auth, state }
}
