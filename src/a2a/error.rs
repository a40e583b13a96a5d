//! JSON-RPC error objects with A2A's codes and details (A2A 1.0, sections 3.3.2 and 9.5).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The domain of A2A's `ErrorInfo` details.
pub const ERROR_DOMAIN: &str = "a2a-protocol.org";

/// The codes of JSON-RPC and of A2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The body is not JSON.
    ParseError,
    /// The body is not a request.
    InvalidRequest,
    /// No such method.
    MethodNotFound,
    /// The parameters do not fit the method.
    InvalidParams,
    /// The agent failed.
    InternalError,
    /// No such task, or not the caller's.
    TaskNotFound,
    /// The task has ended.
    TaskNotCancelable,
    /// No webhooks here.
    PushNotificationNotSupported,
    /// The operation is not offered, or not in this state.
    UnsupportedOperation,
    /// A media type that is not taken.
    ContentTypeNotSupported,
    /// An agent that was asked on the way answered nonsense.
    InvalidAgentResponse,
    /// The extended card is declared but not there.
    ExtendedAgentCardNotConfigured,
    /// A required extension was not named by the caller.
    ExtensionSupportRequired,
    /// A version of the protocol that is not spoken.
    VersionNotSupported,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 14] = [
        Self::ParseError,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::InvalidParams,
        Self::InternalError,
        Self::TaskNotFound,
        Self::TaskNotCancelable,
        Self::PushNotificationNotSupported,
        Self::UnsupportedOperation,
        Self::ContentTypeNotSupported,
        Self::InvalidAgentResponse,
        Self::ExtendedAgentCardNotConfigured,
        Self::ExtensionSupportRequired,
        Self::VersionNotSupported,
    ];

    /// The number on the wire.
    pub fn number(self) -> i32 {
        match self {
            Self::ParseError => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams => -32602,
            Self::InternalError => -32603,
            Self::TaskNotFound => -32001,
            Self::TaskNotCancelable => -32002,
            Self::PushNotificationNotSupported => -32003,
            Self::UnsupportedOperation => -32004,
            Self::ContentTypeNotSupported => -32005,
            Self::InvalidAgentResponse => -32006,
            Self::ExtendedAgentCardNotConfigured => -32007,
            Self::ExtensionSupportRequired => -32008,
            Self::VersionNotSupported => -32009,
        }
    }

    /// The code with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| i64::from(code.number()) == number)
    }

    /// The `reason` of the `ErrorInfo` detail; JSON-RPC's own codes have none.
    pub fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::ParseError | Self::InvalidRequest | Self::MethodNotFound | Self::InvalidParams | Self::InternalError => return None,
            Self::TaskNotFound => "TASK_NOT_FOUND",
            Self::TaskNotCancelable => "TASK_NOT_CANCELABLE",
            Self::PushNotificationNotSupported => "PUSH_NOTIFICATION_NOT_SUPPORTED",
            Self::UnsupportedOperation => "UNSUPPORTED_OPERATION",
            Self::ContentTypeNotSupported => "CONTENT_TYPE_NOT_SUPPORTED",
            Self::InvalidAgentResponse => "INVALID_AGENT_RESPONSE",
            Self::ExtendedAgentCardNotConfigured => "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
            Self::ExtensionSupportRequired => "EXTENSION_SUPPORT_REQUIRED",
            Self::VersionNotSupported => "VERSION_NOT_SUPPORTED",
        })
    }
}

/// A field that does not fit, for `BadRequest` details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldViolation {
    /// The path of the field: `message.parts[0]`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// A JSON-RPC error object: code, message, data and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// The code.
    pub code: i64,
    /// For people.
    #[serde(default, deserialize_with = "super::lenient::or_default")]
    pub message: String,
    /// Details; in A2A 1.0 an array of objects with `@type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// An error with the `ErrorInfo` detail of its code, where there is one.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::with_metadata(code, message, &Map::new())
    }

    /// The same with the metadata of `ErrorInfo`; its values must be strings.
    pub fn with_metadata(code: ErrorCode, message: impl Into<String>, metadata: &Map<String, Value>) -> Self {
        let data = code.reason().map(|reason| {
            let mut info = json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": ERROR_DOMAIN });
            if !metadata.is_empty() {
                info["metadata"] = Value::Object(metadata.clone());
            }
            json!([info])
        });
        Self { code: i64::from(code.number()), message: message.into(), data }
    }

    /// `-32602` with the fields that do not fit.
    pub fn invalid_params(message: impl Into<String>, violations: &[FieldViolation]) -> Self {
        let data = (!violations.is_empty())
            .then(|| json!([{ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations }]));
        Self { code: i64::from(ErrorCode::InvalidParams.number()), message: message.into(), data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_their_detail() {
        let error = serde_json::to_value(RpcError::new(ErrorCode::TaskNotFound, "no task `x`")).unwrap();
        assert_eq!(
            error,
            json!({ "code": -32001, "message": "no task `x`", "data": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TASK_NOT_FOUND", "domain": "a2a-protocol.org" }] })
        );
        let violation = FieldViolation { field: "message.parts".to_owned(), description: "is empty".to_owned() };
        let error = serde_json::to_value(RpcError::invalid_params("bad", &[violation])).unwrap();
        assert_eq!(error["data"][0]["fieldViolations"][0]["field"], "message.parts");
        assert_eq!(serde_json::to_value(RpcError::new(ErrorCode::ParseError, "x")).unwrap(), json!({ "code": -32700, "message": "x" }));
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(i64::from(code.number())), Some(code));
        }
    }
}
