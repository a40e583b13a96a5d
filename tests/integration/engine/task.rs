//! The A2A side of a scripted agent: every call makes a task, and one that is under way is polled.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use serde_json::{Value, json};

use super::agent::{Act, Call, Gate, Inner, Speaks, respond, respond_json};

/// A task as the agent has it.
pub(super) struct Remembered {
    context_id: String,
    /// The message that made it, so that a repeat finds it again.
    message_id: String,
    progress: Progress,
}

enum Progress {
    Done(Value),
    Failed(String),
    Canceled,
    Asking(Value),
    Working,
    Behind(Gate, Box<Progress>),
}

impl Remembered {
    pub(super) fn is_of(&self, message_id: &str) -> bool {
        self.message_id == message_id
    }
}

pub(super) fn answer(inner: &Arc<Inner>, envelope: &Value) -> Response<Body> {
    let params = &envelope["params"];
    let result = match envelope["method"].as_str().unwrap() {
        "SendMessage" | "message/send" => match send(inner, &params["message"]) {
            Ok(id) => {
                let task = show(inner, &id).unwrap();
                if inner.speaks() == Speaks::A2a1 { json!({"task": task}) } else { task }
            }
            Err(response) => return response,
        },
        "GetTask" | "tasks/get" => match show(inner, params["id"].as_str().unwrap()) {
            Some(task) => task,
            None => return not_found(envelope),
        },
        "CancelTask" | "tasks/cancel" => {
            let id = params["id"].as_str().unwrap();
            if let Some(task) = inner.tasks.lock().unwrap().get_mut(id) {
                task.progress = Progress::Canceled;
            }
            inner.note(|seen| seen.canceled.push(id.to_owned()));
            show(inner, id).unwrap_or_default()
        }
        _ => return respond_json(&json!({"jsonrpc": "2.0", "id": envelope["id"], "error": {"code": -32601, "message": "no such method"}})),
    };
    respond_json(&json!({"jsonrpc": "2.0", "id": envelope["id"], "result": result}))
}

/// Makes a task, goes on with one, or finds the one that a repeated message made. `Err`: an answer that is none.
fn send(inner: &Arc<Inner>, message: &Value) -> Result<String, Response<Body>> {
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    let message_id = text("messageId").unwrap();
    let call = Call {
        skill: message["metadata"]["skill"].as_str().unwrap().to_owned(),
        message_id: message_id.clone(),
        inputs: message["parts"][0]["data"].clone(),
        task_id: text("taskId"),
        context_id: text("contextId"),
        metadata: message["metadata"].clone(),
        before: 0,
    };
    let known = inner.tasks.lock().unwrap().iter().find(|(_, task)| task.message_id == message_id).map(|(id, _)| id.clone());
    let (task_id, context_id) = (call.task_id.clone(), call.context_id.clone());
    let act = inner.arrives(call);
    if let Some(id) = known {
        return Ok(id);
    }
    let progress = match act {
        Act::Http(status, headers, body) => return Err(respond(status, &headers, body)),
        act => progress(act),
    };
    let mut tasks = inner.tasks.lock().unwrap();
    let id = task_id.unwrap_or_else(|| format!("task-{}", tasks.len() + 1));
    let context_id = context_id.unwrap_or_else(|| format!("context-of-{id}"));
    tasks.insert(id.clone(), Remembered { context_id, message_id, progress });
    Ok(id)
}

fn progress(act: Act) -> Progress {
    match act {
        Act::Reply(value) => Progress::Done(value),
        Act::Fail(message) => Progress::Failed(message),
        Act::Hang => Progress::Working,
        Act::Ask(prompt) => Progress::Asking(prompt),
        Act::Behind(gate, then) => Progress::Behind(gate, Box::new(progress(*then))),
        Act::Http(..) | Act::Meet(..) => panic!("this needs the connection, which a task does not keep"),
    }
}

fn show(inner: &Inner, id: &str) -> Option<Value> {
    let old = inner.speaks() == Speaks::A2a03;
    let part = |key: &str, value: &Value| if old { json!({"kind": key, key: value}) } else { json!({key: value}) };
    let tasks = inner.tasks.lock().unwrap();
    let task = tasks.get(id)?;
    let mut progress = &task.progress;
    while let Progress::Behind(gate, then) = progress
        && gate.is_open()
    {
        progress = then;
    }
    let (state, says, result) = match progress {
        Progress::Done(value) => ("completed", None, Some(value)),
        Progress::Failed(message) => ("failed", Some(json!(message)), None),
        Progress::Canceled => ("canceled", None, None),
        Progress::Asking(prompt) => ("input-required", Some(prompt.clone()), None),
        Progress::Working | Progress::Behind(..) => ("working", None, None),
    };
    let state = if old { state.to_owned() } else { format!("TASK_STATE_{}", state.to_uppercase().replace('-', "_")) };
    let mut shown = json!({"id": id, "contextId": task.context_id, "status": {"state": state}, "artifacts": [], "history": []});
    if old {
        shown["kind"] = json!("task");
    }
    if let Some(says) = says {
        let role = if old { "agent" } else { "ROLE_AGENT" };
        let key = if says.is_string() { "text" } else { "data" };
        shown["status"]["message"] = json!({"messageId": "says", "role": role, "parts": [part(key, &says)]});
        if old {
            shown["status"]["message"]["kind"] = json!("message");
        }
    }
    if let Some(result) = result {
        shown["artifacts"] = json!([{"artifactId": "result", "parts": [part("data", result)]}]);
    }
    Some(shown)
}

fn not_found(envelope: &Value) -> Response<Body> {
    respond_json(&json!({"jsonrpc": "2.0", "id": envelope["id"], "error": {"code": -32001, "message": "no such task"}}))
}
