//! The A2A endpoint: JSON-RPC at `POST /`, in the words of 1.0 and of 0.3. The method's name tells which is spoken.
//!
//! A method that is a skill's id is answered as on `/execute`. No push notifications, no lists, no extended card.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::plain::{self, Request};
use super::routes::{Served, json_value};
use super::skill::SkillError;
use super::stream;
use super::tasks::{Begun, Entry};
use super::words::shorten;
use crate::a2a::v03::V03;
use crate::a2a::{
    Addressed, CancelTaskParams, ErrorCode, FieldViolation, GetTaskParams, Method, RpcError, SendMessageParams, SendMessageResponse,
    StreamResponse, SubscribeToTaskParams, Task, VERSION_HEADER, address, normalize_numbers,
};
use crate::limits;

/// Which words of A2A a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// A2A 1.0.
    V1,
    /// A2A 0.3.
    V03,
}

impl Wire {
    fn send_params(self, params: Value) -> Result<SendMessageParams, RpcError> {
        match self {
            Self::V1 => read(params),
            Self::V03 => read::<V03<SendMessageParams>>(params).map(|V03(params)| params),
        }
    }

    fn sent(self, task: &Task) -> Value {
        let response = SendMessageResponse::Task(task.clone());
        match self {
            Self::V1 => json!(response),
            Self::V03 => json!(V03(&response)),
        }
    }

    fn task(self, task: &Task) -> Value {
        match self {
            Self::V1 => json!(task),
            Self::V03 => json!(V03(task)),
        }
    }

    /// One event of a stream.
    pub(super) fn event(self, event: &StreamResponse) -> Value {
        match self {
            Self::V1 => json!(event),
            Self::V03 => json!(V03(event)),
        }
    }
}

/// What a method answers.
enum Answer {
    Value(Value),
    Stream(Arc<Entry>),
}

/// Answers one request.
pub(super) async fn answer(served: Arc<Served>, headers: &HeaderMap, body: &[u8]) -> Response {
    let request = match Request::read(body) {
        Ok(request) => request,
        Err((id, error)) => return json_value(&plain::failure(&id, error)),
    };
    let id = request.id;
    let (method, wire) = match (Method::parse_v1(&request.method), Method::parse_v03(&request.method)) {
        (Some(method), _) => (method, Wire::V1),
        (None, Some(method)) => (method, Wire::V03),
        (None, None) => return json_value(&skill(&served, &request.method, request.params, body.len(), &id).await),
    };
    let answered = match check_version(headers) {
        Ok(()) => dispatch(&served, method, wire, request.params, body.len()).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(Answer::Value(result)) => json_value(&json!({ "jsonrpc": "2.0", "result": result, "id": id })),
        Ok(Answer::Stream(entry)) => stream::response(&entry, wire, id),
        Err(error) => json_value(&json!({ "jsonrpc": "2.0", "error": error, "id": id })),
    }
}

/// A method of no dialect is a skill's id, or a mistake that both lists help with.
async fn skill(served: &Served, method: &str, params: Value, size_bytes: usize, id: &Value) -> Value {
    let known =
        |method: Method| matches!(method, Method::SendMessage | Method::SendStreamingMessage | Method::GetTask | Method::CancelTask);
    if served.agent.skill(method).is_err() {
        let methods: Vec<_> = Method::ALL.into_iter().filter(|method| known(*method)).map(Method::v1).collect();
        let skills: Vec<_> = served.agent.skills.iter().map(|skill| skill.words.id).collect();
        let message =
            format!("no method `{}`; there are {} and the skills {}", shorten(method, 100), methods.join(", "), skills.join(", "));
        return plain::failure(id, (-32601, message));
    }
    plain::call(&served.agent, method, params, size_bytes, id).await
}

/// A2A 1.0 §3.6: an empty or missing version means 0.3.
fn check_version(headers: &HeaderMap) -> Result<(), RpcError> {
    let version = headers.get(VERSION_HEADER).map_or("", |version| version.to_str().unwrap_or("?")).trim();
    match version {
        "" | "0.3" | "0.3.0" | "1.0" => Ok(()),
        other => {
            Err(RpcError::new(ErrorCode::VersionNotSupported, format!("A2A {} is not spoken here; 1.0 and 0.3 are", shorten(other, 20))))
        }
    }
}

async fn dispatch(served: &Arc<Served>, method: Method, wire: Wire, params: Value, size_bytes: usize) -> Result<Answer, RpcError> {
    match method {
        Method::SendMessage => {
            let params = wire.send_params(params)?;
            let at_once = params.configuration.as_ref().is_some_and(|configuration| configuration.return_immediately);
            let entry = send(served, params, size_bytes)?;
            let task = if at_once { entry.task() } else { entry.ended().await };
            Ok(Answer::Value(wire.sent(&task)))
        }
        Method::SendStreamingMessage => send(served, wire.send_params(params)?, size_bytes).map(Answer::Stream),
        Method::GetTask => {
            let entry = find(served, &read::<GetTaskParams>(params)?.id)?;
            Ok(Answer::Value(wire.task(&entry.task())))
        }
        Method::CancelTask => {
            let entry = find(served, &read::<CancelTaskParams>(params)?.id)?;
            if !entry.cancel() {
                return Err(RpcError::new(ErrorCode::TaskNotCancelable, "the task has ended"));
            }
            Ok(Answer::Value(wire.task(&entry.task())))
        }
        Method::SubscribeToTask => {
            let entry = find(served, &read::<SubscribeToTaskParams>(params)?.id)?;
            if entry.task().status.state.is_terminal() {
                return Err(RpcError::new(ErrorCode::UnsupportedOperation, "the task has ended; read it with GetTask"));
            }
            Ok(Answer::Stream(entry))
        }
        Method::CreateTaskPushNotificationConfig
        | Method::GetTaskPushNotificationConfig
        | Method::ListTaskPushNotificationConfigs
        | Method::DeleteTaskPushNotificationConfig => {
            Err(RpcError::new(ErrorCode::PushNotificationNotSupported, "sample agents call no webhooks"))
        }
        Method::ListTasks | Method::GetExtendedAgentCard => {
            Err(RpcError::new(ErrorCode::UnsupportedOperation, format!("sample agents do not offer {}", method.v1())))
        }
    }
}

/// The task for a message: the one it made before, or a new one whose work is started.
fn send(served: &Arc<Served>, params: SendMessageParams, size_bytes: usize) -> Result<Arc<Entry>, RpcError> {
    let message = params.message;
    let invalid = |field: &str, why: &str| {
        let violation = FieldViolation { field: field.to_owned(), description: why.to_owned() };
        RpcError::invalid_params(format!("`{field}` {why}"), &[violation])
    };
    if message.message_id.is_empty() || message.message_id.len() > limits::SAMPLE_ID_BYTES_MAX {
        return Err(invalid("message.messageId", &format!("must have 1 to {} bytes", limits::SAMPLE_ID_BYTES_MAX)));
    }
    if message.parts.is_empty() {
        return Err(invalid("message.parts", "is empty; send the inputs as a data part, or text"));
    }
    if let Some(task_id) = &message.task_id {
        find(served, task_id)?;
        return Err(RpcError::new(ErrorCode::UnsupportedOperation, "tasks of this agent take one message; leave `taskId` out"));
    }
    if message.context_id.as_ref().is_some_and(|id| id.len() > limits::SAMPLE_ID_BYTES_MAX) {
        return Err(invalid("message.contextId", &format!("must have at most {} bytes", limits::SAMPLE_ID_BYTES_MAX)));
    }
    let (skill_id, mut input) = addressed(served, address(&message))?;
    normalize_numbers(&mut input);
    let skill = served.agent.skill(&skill_id).map_err(|error| invalid("message.metadata.skill", &error.to_string()))?;
    skill.check_input(&input).map_err(|error| refused(&error))?;
    match served.tasks.begin(&message.message_id, message.context_id, size_bytes) {
        None => Err(RpcError::new(ErrorCode::InternalError, "too many tasks are running; try again later")),
        Some(Begun::Known(entry)) => Ok(entry),
        Some(Begun::New(entry)) => {
            let served_by = Arc::clone(served);
            served.tasks.work(entry.clone(), async move { served_by.agent.run(&skill_id, input, size_bytes).await });
            Ok(entry)
        }
    }
}

/// The skill and its inputs. An agent with one skill needs no name for it.
fn addressed(served: &Served, addressed: Addressed) -> Result<(String, Value), RpcError> {
    match addressed {
        Addressed::Skill { skill, input, .. } => Ok((skill, Arc::unwrap_or_clone(input))),
        Addressed::Request { input, .. } => match served.agent.skills.as_slice() {
            [only] => Ok((only.words.id.to_owned(), Arc::unwrap_or_clone(input))),
            several => {
                let offered: Vec<_> = several.iter().map(|skill| skill.words.id).collect();
                let why = format!("is missing; name one of {}", offered.join(", "));
                let violation = FieldViolation { field: "message.metadata.skill".to_owned(), description: why.clone() };
                Err(RpcError::invalid_params(format!("`message.metadata.skill` {why}"), &[violation]))
            }
        },
    }
}

fn refused(error: &SkillError) -> RpcError {
    let violations: Vec<FieldViolation> = match error {
        SkillError::Params { problems, .. } => {
            problems.iter().map(|problem| FieldViolation { field: "message.parts".to_owned(), description: problem.clone() }).collect()
        }
        SkillError::Unknown(_) | SkillError::Failed(_) => Vec::new(),
    };
    RpcError::invalid_params(error.to_string(), &violations)
}

fn find(served: &Served, id: &str) -> Result<Arc<Entry>, RpcError> {
    served.tasks.find(id).ok_or_else(|| RpcError::new(ErrorCode::TaskNotFound, format!("no task `{}` is known here", shorten(id, 80))))
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    serde_json::from_value::<T>(params).map_err(|error| RpcError::invalid_params(shorten(&error.to_string(), 300), &[]))
}
