//! Answers: the error envelope and its codes (distribution-spec, "Error codes"), and headers that many answers share.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::super::Error;

/// An answer.
pub(super) type Reply = Response<Body>;

/// The digest of what is answered.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A refusal on its way to the client.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What a layout's error means to a client that asked for this kind of thing.
    pub(super) fn of(error: Error, unknown: &'static str) -> Self {
        let message = error.to_string();
        match error {
            Error::NotFound(_) => Self::new(StatusCode::NOT_FOUND, unknown, message),
            Error::BadName { .. } => Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message),
            Error::Invalid { .. } => {
                let code = if unknown == "BLOB_UNKNOWN" { "BLOB_UPLOAD_INVALID" } else { "MANIFEST_INVALID" };
                Self::new(StatusCode::BAD_REQUEST, code, message)
            }
            Error::DigestMismatch { .. } => Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message),
            Error::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message),
            Error::Refused { .. } => Self::new(StatusCode::CONFLICT, "DENIED", message),
            Error::Unavailable { retry_after, .. } => {
                let seconds = retry_after.map_or(1, |after| after.as_secs().max(1));
                Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message).with(header::RETRY_AFTER, seconds.to_string())
            }
            Error::Io { ref source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                tracing::error!(%error, "the registry's disk is full");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", "the registry's disk is full")
            }
            // Paths of this machine are not the client's business.
            error => {
                tracing::error!(%error, source = ?std::error::Error::source(&error).map(ToString::to_string), "the registry failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry could not use its disk")
            }
        }
    }

    /// The same for content that is read: damage there is not the client's fault.
    pub(super) fn of_reading(error: Error, unknown: &'static str) -> Self {
        match error {
            Error::NotFound(_) => Self::of(error, unknown),
            error => {
                tracing::error!(%error, "stored content cannot be read");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "what is stored there is damaged; push it again")
            }
        }
    }

    pub(super) fn into_reply(self) -> Reply {
        let body = serde_json::json!({"errors": [{"code": self.code, "message": self.message, "detail": null}]});
        let mut reply = Response::new(Body::from(body.to_string()));
        *reply.status_mut() = self.status;
        reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            insert(&mut reply, name, &value);
        }
        reply
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = status;
    reply
}

/// An answer of JSON.
pub(super) fn json(media_type: &str, value: &impl serde::Serialize) -> Reply {
    let mut reply = Response::new(Body::from(serde_json::to_vec(value).expect("texts and numbers are JSON")));
    insert(&mut reply, header::CONTENT_TYPE, media_type);
    reply
}

/// Adds a header; a value that cannot stand in one is left out.
pub(super) fn insert(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

/// A header of a request as text.
pub(super) fn text(headers: &axum::http::HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The client has this content already (RFC 9110, If-None-Match).
pub(super) fn is_known(headers: &axum::http::HeaderMap, etag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}
