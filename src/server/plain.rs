//! The two skills called as JSON-RPC methods, without A2A around them: parameters in, the workflow's output out.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ask::{self, Execute};
use super::auth::Caller;
use super::error::{Failure, OwnCode};
use super::query;
use super::send;
use super::start::{self, Begun, Key, Origin};
use super::state::App;
use super::tasks::Kind;
use crate::a2a::{ErrorCode, Message, Part, Role};
use crate::interpreter::Outcome;
use crate::router::{Act, Decision};

/// `execute_workflow {workflow_id, version?, digest?, input?, idempotency_key?}`: the workflow's output.
pub(super) async fn execute(app: &Arc<App>, caller: &Caller, params: Value) -> Result<Arc<Value>, Failure> {
    let mut origin = origin(app, caller, &params)?;
    let execute = Execute::read(params)?;
    let found = app.discovery.workflow(&execute.reference()).await?;
    origin.idempotency_key = execute.idempotency_key.map(Key::Given);
    output(app, &mut start::begin(app, origin, found, execute.input, Map::new()).await?).await
}

/// `route_request {request, context?}`: which workflow ran and why, and its output; or what must be said first.
pub(super) async fn route(app: &Arc<App>, caller: &Caller, params: &Value) -> Result<Value, Failure> {
    let (text, data) = params
        .as_object()
        .and_then(ask::request)
        .ok_or_else(|| Failure::field("request", "route_request takes {request, context?}; request is a text"))?;
    let message = Message {
        message_id: uuid::Uuid::new_v4().to_string(),
        role: Role::User,
        parts: vec![Part::text(text.clone())],
        metadata: params.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default(),
        ..Message::default()
    };
    match send::decide(app, &text, &message).await? {
        Decision::Run { run, reason } => {
            let (found, input) = send::routed(app, &run, &text, data).await?;
            let about = send::route_metadata(&reason, Some(&run.workflow));
            let origin = origin(app, caller, params)?;
            let mut begun = start::begin(app, origin, found, input, about).await?;
            let output = output(app, &mut begun).await?;
            Ok(json!({ "workflow_id": run.workflow, "reason": reason, "task_id": begun.task.id, "output": output }))
        }
        Decision::Respond { acts, .. } => match acts.as_slice() {
            [Act::Message(said)] => Ok(json!({ "message": said.parts() })),
            _ => Err(Failure::new(ErrorCode::UnsupportedOperation, "this request is answered by a task: send it with SendMessage")),
        },
        Decision::Reject { message, .. } => Err(Failure::new(ErrorCode::UnsupportedOperation, message)),
        Decision::Ask { candidates, reason } => {
            let question = send::question(&candidates);
            let list: Vec<Value> = candidates
                .iter()
                .map(|c| json!({ "workflow_id": c.id, "description": c.description, "confidence": c.confidence }))
                .collect();
            Ok(json!({ "state": "input_required", "question": question, "candidates": list, "reason": reason }))
        }
    }
}

fn origin<'a>(app: &App, caller: &'a Caller, params: &Value) -> Result<Origin<'a>, Failure> {
    let metadata = params.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let message = Message { metadata, ..Message::default() };
    Ok(Origin {
        caller,
        context_id: uuid::Uuid::new_v4().to_string(),
        message: None,
        ancestry: ask::ancestry(&message, app.options.limits.depth_runs_max)?,
        idempotency_key: None,
        webhook: None,
        streaming: false,
    })
}

/// Waits for the run's end.
async fn output(app: &Arc<App>, begun: &mut Begun) -> Result<Arc<Value>, Failure> {
    begun.settle(app).await;
    let task = &begun.task;
    let Kind::Run(run) = task.kind() else {
        return Err(Failure::new(ErrorCode::InternalError, "the task has no run"));
    };
    let outcome = match task.outcome() {
        Some(outcome) => Some(outcome),
        None => app.engine.snapshot(&run).await?.outcome,
    };
    match outcome {
        Some(Outcome::Completed { output }) => Ok(output),
        Some(Outcome::Failed { error }) => {
            let mut failure = Failure::new(ErrorCode::InternalError, error.to_string());
            failure.error.data = Some(json!([{ "task_id": task.id, "error": error }]));
            Err(failure)
        }
        Some(Outcome::Canceled { reason }) => Err(Failure::new(ErrorCode::InternalError, format!("run `{run}` was canceled: {reason}"))),
        None if task.state().0.is_interrupted() => {
            let told = format!("run `{run}` waits for an answer; give it with SendMessage to task `{}`", task.id);
            Err(Failure::new(ErrorCode::UnsupportedOperation, told))
        }
        None => {
            query::is_readable(app, task)?;
            Err(Failure::own(OwnCode::Overloaded, format!("gantry is shutting down; run `{run}` has not ended")))
        }
    }
}
