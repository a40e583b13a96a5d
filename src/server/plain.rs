//! The two skills called as JSON-RPC methods, without A2A around them: parameters in, the workflow's output out. The parameters are the
//! skill's inputs, so that what else there is to say stands in headers.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use super::ask::{self, Execute};
use super::error::{Failure, OwnCode};
use super::methods::Call;
use super::query;
use super::routing;
use super::start::{self, Begun, Key, Origin};
use super::state::App;
use super::tasks::Kind;
use crate::a2a::{ErrorCode, Message, Part, Role, extension};
use crate::interpreter::Outcome;
use crate::router::{Act, Decision};

/// The header whose value makes a repeat of a call the same call.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// `execute_workflow {workflow_id, version?, digest?, input?, idempotency_key?}`: the workflow's output.
pub(super) async fn execute(app: &Arc<App>, call: &Call, params: Value) -> Result<Arc<Value>, Failure> {
    // Boxed, because it is soon over: as long as the run is under way, no more is held than the wait for it needs.
    let mut begun = Box::pin(begin(app, call, params)).await?;
    let output = output(app, &mut begun).await;
    begun.task.pack();
    output
}

async fn begin(app: &Arc<App>, call: &Call, params: Value) -> Result<Begun, Failure> {
    let mut origin = origin(app, call, &params)?;
    let execute = Execute::read(params)?;
    let found = app.discovery.workflow(&execute.reference()).await?;
    if let Some(key) = execute.idempotency_key {
        origin.idempotency_key = Some(Key::Given(key));
    }
    start::begin(app, origin, found, execute.input, Map::new()).await
}

/// `route_request {request, context?}`: which workflow ran and why, and its output; or what must be said first.
pub(super) async fn route(app: &Arc<App>, call: &Call, params: &Value) -> Result<Value, Failure> {
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
    match routing::decide(app, &text, &message).await? {
        Decision::Run { run, reason } => {
            let (found, input) = routing::routed(app, &run, &text, data).await?;
            let about = routing::route_metadata(&reason, Some(&run.workflow));
            let origin = origin(app, call, params)?;
            let mut begun = start::begin(app, origin, found, input, about).await?;
            let output = output(app, &mut begun).await?;
            begun.task.pack();
            Ok(json!({ "workflow_id": run.workflow, "reason": reason, "task_id": begun.task.id, "output": output }))
        }
        Decision::Respond { acts, .. } => match acts.as_slice() {
            [Act::Message(said)] => Ok(json!({ "message": said.parts() })),
            _ => Err(Failure::new(ErrorCode::UnsupportedOperation, "this request is answered by a task: send it with SendMessage")),
        },
        Decision::Reject { message, .. } => Err(Failure::new(ErrorCode::UnsupportedOperation, message)),
        Decision::Ask { candidates, reason } => {
            let question = routing::question(&candidates);
            let list: Vec<Value> = candidates
                .iter()
                .map(|c| json!({ "workflow_id": c.id, "description": c.description, "confidence": c.confidence }))
                .collect();
            Ok(json!({ "state": "input_required", "question": question, "candidates": list, "reason": reason }))
        }
    }
}

/// What is said in headers, as it came.
#[derive(Debug)]
pub(super) struct Beside {
    /// The runs above the call, as another gantry tells them.
    run: Option<HeaderValue>,
    /// The same key gives the same run; of this caller only.
    idempotency_key: Option<HeaderValue>,
}

impl Beside {
    pub(super) fn of(headers: &HeaderMap) -> Option<Arc<Self>> {
        let (run, idempotency_key) = (headers.get(extension::RUN_HEADER).cloned(), headers.get(IDEMPOTENCY_KEY).cloned());
        (run.is_some() || idempotency_key.is_some()).then(|| Arc::new(Self { run, idempotency_key }))
    }

    fn run(&self) -> Result<Option<Value>, Failure> {
        let read = self.run.as_ref().map(|told| serde_json::from_slice(told.as_bytes()));
        read.transpose().map_err(|error| Failure::field(extension::RUN_HEADER, error.to_string()))
    }

    fn key(&self) -> Result<Option<Key>, Failure> {
        let read = self.idempotency_key.as_ref().map(|key| std::str::from_utf8(key.as_bytes()));
        let key = read.transpose().map_err(|_| Failure::field(IDEMPOTENCY_KEY, "is not UTF-8"))?;
        Ok(key.filter(|key| !key.is_empty()).map(|key| Key::Header(key.to_owned())))
    }
}

fn origin<'a>(app: &App, call: &'a Call, params: &Value) -> Result<Origin<'a>, Failure> {
    let depth_max = app.options.limits.depth_runs_max;
    let beside = call.beside.as_deref();
    let ancestry = match beside.map(Beside::run).transpose()?.flatten() {
        Some(told) => ask::runs_above(&told, || extension::RUN_HEADER.to_owned(), depth_max)?,
        None => {
            let metadata = params.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
            ask::ancestry(&Message { metadata, ..Message::default() }, depth_max)?
        }
    };
    Ok(Origin {
        caller: &call.caller,
        context_id: uuid::Uuid::new_v4().to_string(),
        message: None,
        ancestry,
        idempotency_key: beside.map(Beside::key).transpose()?.flatten(),
        webhook: None,
        streaming: false,
    })
}

/// Waits for the run's end.
async fn output(app: &Arc<App>, begun: &mut Begun) -> Result<Arc<Value>, Failure> {
    begun.settle(app).await;
    let task = &begun.task;
    query::goes_on(app, task)?;
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
        None => Err(Failure::own(OwnCode::Overloaded, format!("gantry is shutting down; run `{run}` has not ended"))),
    }
}
