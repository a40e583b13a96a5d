//! Plain JSON-RPC as the prototype speaks it: `POST /execute`, method = skill id, params = inputs.
//!
//! Every answer is HTTP 200; a failed skill has the code -1, as the prototype's had.

use serde_json::{Value, json};

use super::agent::Agent;
use super::skill::SkillError;
use crate::a2a::within_depth;
use crate::limits;

/// A JSON-RPC error: code and message.
pub(super) type RpcError = (i64, String);

/// A JSON-RPC request that has the right form.
pub(super) struct Request {
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Value,
}

impl Request {
    /// Reads a body. The error carries the id if there is one.
    pub(super) fn read(body: &[u8]) -> Result<Self, (Value, RpcError)> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| (Value::Null, (-32700, format!("the body is not JSON: {error}"))))?;
        let refuse = |id: &Value, message: &str| (id.clone(), (-32600, message.to_owned()));
        let Value::Object(mut fields) = value else {
            return Err(refuse(&Value::Null, "the request must be a JSON object; batches are not supported"));
        };
        let id = fields.remove("id").unwrap_or(Value::Null);
        if !matches!(id, Value::Null | Value::String(_) | Value::Number(_)) {
            return Err(refuse(&Value::Null, "`id` must be a string, a number or null"));
        }
        if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(refuse(&id, "`jsonrpc` must be \"2.0\""));
        }
        let Some(Value::String(method)) = fields.remove("method") else {
            return Err(refuse(&id, "`method` must be a string: the id of a skill"));
        };
        let params = match fields.remove("params") {
            None | Some(Value::Null) => json!({}),
            Some(params @ Value::Object(_)) => params,
            Some(_) => return Err((id, (-32602, "`params` must be an object with the skill's inputs".to_owned()))),
        };
        if !within_depth(&params, limits::VALUE_DEPTH_MAX) {
            return Err((id, (-32602, format!("`params` nests deeper than {} levels", limits::VALUE_DEPTH_MAX))));
        }
        Ok(Self { id, method, params })
    }
}

/// Answers one request.
pub(super) async fn answer(agent: &Agent, body: &[u8]) -> Value {
    let request = match Request::read(body) {
        Ok(request) => request,
        Err((id, error)) => return failure(&id, error),
    };
    call(agent, &request.method, request.params, body.len(), &request.id).await
}

/// Runs a skill and wraps what comes of it.
pub(super) async fn call(agent: &Agent, skill: &str, params: Value, size_bytes: usize, id: &Value) -> Value {
    match agent.run(skill, params, size_bytes).await {
        Ok(result) => json!({ "jsonrpc": "2.0", "result": result, "id": id }),
        Err(error) => failure(id, (code(&error), error.to_string())),
    }
}

/// An answer that says what went wrong.
pub(super) fn failure(id: &Value, (code, message): RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "error": { "code": code, "message": message }, "id": id })
}

fn code(error: &SkillError) -> i64 {
    match error {
        SkillError::Unknown(_) => -32601,
        SkillError::Params { .. } => -32602,
        SkillError::Failed(_) => -1,
    }
}
