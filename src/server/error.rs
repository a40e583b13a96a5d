//! The one map from what can go wrong to JSON-RPC codes and HTTP statuses. Clients get the code and a safe message; the log
//! gets the cause.
//!
//! A2A's own codes are in [`crate::a2a::ErrorCode`]. What A2A has no code for gets one of -32050…-32055, in the range that
//! JSON-RPC leaves to servers and away from A2A's.

use std::time::Duration;

use axum::http::StatusCode;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};

use crate::a2a::{ErrorCode, FieldViolation, RpcError};
use crate::{discovery, engine};

/// What a client is told.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) error: Box<RpcError>,
    /// Other than 200 only for what is refused before or beside JSON-RPC.
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
}

/// Codes for what A2A has none for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnCode {
    /// The caller sends too many requests.
    RateLimited,
    /// The server has too much to do, or is stopping.
    Overloaded,
    /// The body is too large.
    TooLarge,
    /// No or a wrong token.
    Unauthenticated,
    /// The body did not arrive in time.
    TooSlow,
    /// The journal has no space.
    StorageFull,
}

impl OwnCode {
    fn number(self) -> i64 {
        match self {
            Self::RateLimited => -32050,
            Self::Overloaded => -32051,
            Self::TooLarge => -32052,
            Self::Unauthenticated => -32053,
            Self::TooSlow => -32054,
            Self::StorageFull => -32055,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::RateLimited => "RATE_LIMITED",
            Self::Overloaded => "OVERLOADED",
            Self::TooLarge => "BODY_TOO_LARGE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::TooSlow => "BODY_TOO_SLOW",
            Self::StorageFull => "STORAGE_FULL",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::StorageFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

impl Failure {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { error: Box::new(RpcError::new(code, message)), status: StatusCode::OK, retry_after: None }
    }

    /// One of the codes that A2A does not have.
    pub(super) fn own(code: OwnCode, message: impl Into<String>) -> Self {
        let info = json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code.reason(), "domain": "gantry" }]);
        let retry_after = match code {
            OwnCode::RateLimited | OwnCode::Overloaded => Some(Duration::from_secs(1)),
            // Nobody frees a disk within a second.
            OwnCode::StorageFull => Some(Duration::from_secs(5)),
            OwnCode::TooLarge | OwnCode::Unauthenticated | OwnCode::TooSlow => None,
        };
        let error = RpcError { code: code.number(), message: message.into(), data: Some(info) };
        Self { error: Box::new(error), status: code.status(), retry_after }
    }

    /// The request itself is of a type that is not taken: the code that A2A has for it, and HTTP's word beside it.
    pub(super) fn media_type(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..Self::new(ErrorCode::ContentTypeNotSupported, message) }
    }

    /// `-32602` that names the field.
    pub(super) fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::fields(vec![FieldViolation { field: field.into(), description: description.into() }])
    }

    /// `-32602` that names every field.
    pub(super) fn fields(violations: Vec<FieldViolation>) -> Self {
        let message = violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect::<Vec<_>>().join("; ");
        Self { error: Box::new(RpcError::invalid_params(message, &violations)), status: StatusCode::OK, retry_after: None }
    }

    /// Not there, or not the caller's: both look the same.
    pub(super) fn no_task(id: &str) -> Self {
        let shown: String = id.chars().take(80).collect();
        Self::new(ErrorCode::TaskNotFound, format!("there is no task `{shown}`"))
    }

    /// The whole reply, for what never reaches jsonrpsee.
    pub(super) fn reply(&self, id: &Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "error": self.error })
    }
}

impl From<Failure> for ErrorObjectOwned {
    fn from(failure: Failure) -> Self {
        let RpcError { code, message, data } = *failure.error;
        ErrorObjectOwned::owned(i32::try_from(code).unwrap_or(-32603), message, data)
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::NotFound(run) => Self::no_task(run.as_str()),
            engine::Error::Ended { .. } | engine::Error::NotWaiting { .. } | engine::Error::NotRetryable { .. } => {
                Self::new(ErrorCode::UnsupportedOperation, error.to_string())
            }
            engine::Error::InvalidInput(problems) => {
                Self::fields(problems.into_iter().map(|description| FieldViolation { field: "input".to_owned(), description }).collect())
            }
            engine::Error::Limit(message) | engine::Error::Busy(message) => Self::own(OwnCode::Overloaded, message),
            engine::Error::Full(cause) => {
                tracing::warn!(%cause, "something new was refused");
                Self::own(
                    OwnCode::StorageFull,
                    "the disk of gantry's journal is full: nothing new is accepted until it has space; try again",
                )
            }
            engine::Error::ShuttingDown => Self::own(OwnCode::Overloaded, error.to_string()),
            engine::Error::KeyReused(_) => Self::field("idempotency_key", error.to_string()),
            engine::Error::References(_) => Self::field("workflow_id", error.to_string()),
            engine::Error::Cycle(_) => Self::field("message.metadata", error.to_string()),
            engine::Error::Journal(_) | engine::Error::Damaged(_) | engine::Error::Mismatch(_) => {
                tracing::error!(%error, "the engine failed");
                Self::new(ErrorCode::InternalError, "the engine could not accept this; the cause is in gantry's log")
            }
        }
    }
}

impl From<discovery::Error> for Failure {
    fn from(error: discovery::Error) -> Self {
        match &error {
            discovery::Error::NoWorkflow { .. } => {
                tracing::debug!(%error, "a caller wants what is not there");
                Self::field("workflow_id", error.without_place())
            }
            discovery::Error::BadName(_) => Self::field("workflow_id", error.to_string()),
            discovery::Error::NoAgent { .. } => Self::field("skill", error.to_string()),
            discovery::Error::Invalid { diagnostics, .. } => {
                let first = diagnostics.iter().take(3).map(|d| format!("line {}: {}", d.line, d.message)).collect::<Vec<_>>();
                Self::field("workflow_id", format!("{error}: {}", first.join("; ")))
            }
            discovery::Error::Contradiction(_) => Self::field("workflow_id", error.to_string()),
            discovery::Error::Registry(cause) => {
                tracing::warn!(%cause, "the registry failed");
                Self::new(ErrorCode::InternalError, "the registry did not answer; try again, or see gantry's log")
            }
        }
    }
}
