//! The HTTP face of one sample agent.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::agent::Agent;
use super::tasks::Tasks;
use super::{plain, protocol};
use crate::a2a::Card;
use crate::limits;

/// What the routes of one agent share.
pub(super) struct Served {
    pub(super) agent: Agent,
    pub(super) tasks: Tasks,
    plain_card: Bytes,
    a2a_card: Bytes,
}

impl Served {
    /// An agent with this card.
    pub(super) fn new(agent: Agent, card: &Card, tasks: Tasks) -> Self {
        let text = |card: Value| Bytes::from(card.to_string());
        Self { plain_card: text(card.to_plain_json()), a2a_card: text(card.to_json()), agent, tasks }
    }
}

/// The routes of one agent.
pub(super) fn routes(served: Arc<Served>) -> Router {
    Router::new()
        .route("/agent-card", get(|State(served): State<Arc<Served>>| async move { json_bytes(served.plain_card.clone()) }))
        .route("/.well-known/agent-card.json", get(a2a_card))
        .route("/health", get(|| async { json_bytes(Bytes::from_static(b"{\"status\":\"ok\"}")) }))
        .route("/execute", post(execute))
        .route("/", post(rpc))
        .fallback(|| async {
            (StatusCode::NOT_FOUND, "this agent serves GET /agent-card, GET /.well-known/agent-card.json, POST /execute and POST /\n")
        })
        .with_state(served)
}

async fn a2a_card(State(served): State<Arc<Served>>) -> Response {
    let mut response = json_bytes(served.a2a_card.clone());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    response
}

async fn execute(State(served): State<Arc<Served>>, request: Request) -> Response {
    match read_body(request).await {
        Ok(body) => json_value(&plain::answer(&served.agent, &body).await),
        Err(refusal) => refusal,
    }
}

async fn rpc(State(served): State<Arc<Served>>, request: Request) -> Response {
    let headers = request.headers().clone();
    match read_body(request).await {
        Ok(body) => protocol::answer(served, &headers, &body).await,
        Err(refusal) => refusal,
    }
}

/// The whole body within its bounds, or the answer that refuses it.
pub(super) async fn read_body(request: Request) -> Result<Bytes, Response> {
    let refuse = |status: StatusCode, message: String| {
        let body = plain::failure(&Value::Null, (-32600, message));
        (status, json_value(&body)).into_response()
    };
    let limited = Limited::new(request.into_body(), limits::SAMPLE_BODY_BYTES_MAX);
    match tokio::time::timeout(limits::SAMPLE_READ_TIMEOUT, limited.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} bytes", limits::SAMPLE_BODY_BYTES_MAX)))
        }
        Ok(Err(_)) => Err(refuse(StatusCode::BAD_REQUEST, "the body ended early".to_owned())),
        Err(_) => {
            Err(refuse(StatusCode::REQUEST_TIMEOUT, format!("the body took longer than {} s", limits::SAMPLE_READ_TIMEOUT.as_secs())))
        }
    }
}

/// An answer in JSON.
pub(super) fn json_value(value: &Value) -> Response {
    json_bytes(Bytes::from(value.to_string()))
}

fn json_bytes(bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_waited_for_so_long() {
        let begun = tokio::time::Instant::now();
        let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = read_body(Request::new(body)).await.unwrap_err();
        assert_eq!((refused.status(), begun.elapsed()), (StatusCode::REQUEST_TIMEOUT, limits::SAMPLE_READ_TIMEOUT));
    }
}
