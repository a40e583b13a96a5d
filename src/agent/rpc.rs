//! JSON-RPC envelopes: what is sent, and what an answer must look like to be believed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::error::{ErrorKind, Failure};
use crate::a2a::{ErrorCode, RpcError};
use crate::json;

/// The code of the prototype's failures.
const PROTOTYPE_FAILURE: i64 = -1;

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: &'a str,
    method: &'a str,
    params: P,
}

/// The bytes of a request. The parameters are borrowed: nothing is copied but into the bytes.
pub(super) fn request<P: Serialize>(id: &str, method: &str, params: P) -> Vec<u8> {
    serde_json::to_vec(&Request { jsonrpc: "2.0", id, method, params }).expect("text keys and JSON values always serialize")
}

/// The bytes of a request whose parameters are a value, which may be large.
pub(super) fn request_with(id: &str, method: &str, params: &Value) -> Vec<u8> {
    let mut bytes = request(id, method, ());
    // The parameters are the last member, and stand as `null`.
    bytes.truncate(bytes.len() - "null}".len());
    json::write(&mut bytes, params).expect("memory takes everything");
    bytes.push(b'}');
    bytes
}

/// Whether an answer may leave its `id` out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    /// As JSON-RPC says.
    Needed,
    /// The prototype's agents answer `{"result": …}` and nothing else.
    MayBeAbsent,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Answer<T> {
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Option<T>>,
    error: Option<RpcError>,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The result of an answer; `None` is the result `null`. Some libraries write `"error": null` beside a result, which is no error.
pub(super) fn result<T: DeserializeOwned>(body: &[u8], id: &str, needed: Id) -> Result<Option<T>, Failure> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(Failure::invalid("the answer is empty")),
        // A list would otherwise be read as the members in their order.
        Some(b'[') => return Err(Failure::invalid("the answer is a list, not a JSON-RPC response")),
        Some(_) => {}
    }
    let answer: Answer<T> = serde_json::from_slice(body).map_err(|error| {
        let what = if error.is_data() { "is not what the protocol says" } else { "is not JSON" };
        Failure::invalid(format!("the answer {what}: {error}"))
    })?;
    match (answer.result, answer.error) {
        (Some(Some(_)), Some(_)) => Err(Failure::invalid("the answer has both a result and an error")),
        (_, Some(error)) => {
            // An agent that could not read the id answers null.
            check_id(answer.id.as_ref().filter(|id| !id.is_null()), id, Id::MayBeAbsent)?;
            Err(failure(error))
        }
        (Some(result), None) => check_id(answer.id.as_ref(), id, needed).map(|()| result),
        (None, None) => Err(Failure::invalid("the answer has neither a result nor an error")),
    }
}

fn check_id(found: Option<&Value>, id: &str, needed: Id) -> Result<(), Failure> {
    match found {
        Some(Value::String(found)) if found == id => Ok(()),
        None if needed == Id::MayBeAbsent => Ok(()),
        None => Err(Failure::invalid("the answer has no id, so it may belong to another call")),
        Some(found) => Err(Failure::invalid(format!("the answer has the id {found} instead of \"{id}\""))),
    }
}

/// The JSON-RPC error in the body of an HTTP error, where there is one.
pub(super) fn error_in(body: &[u8]) -> Option<RpcError> {
    serde_json::from_slice::<Answer<serde::de::IgnoredAny>>(body).ok()?.error
}

/// The error an agent answered with, sorted by what a caller can do.
fn failure(error: RpcError) -> Failure {
    let kind = match error.code {
        code if code == i64::from(ErrorCode::InternalError.number()) => ErrorKind::AgentError,
        -32_700..=-32_600 | -32_009..=-32_000 => ErrorKind::Rejected,
        _ => ErrorKind::AgentError,
    };
    let message = if error.message.trim().is_empty() { "it gives no reason".to_owned() } else { error.message };
    let message = if error.code == PROTOTYPE_FAILURE { message } else { format!("{message} (code {})", error.code) };
    Failure::new(kind, message).with_code(error.code)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_with_a_value_is_the_same_request() {
        for params in [json!(null), json!({"text": "a\n\"é".repeat(100), "null": null}), json!([1, 2.5])] {
            assert_eq!(request_with("run/0:a#1", "nul\"l", &params), request("run/0:a#1", "nul\"l", &params));
        }
    }
}
