//! What is served where.

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::{Value, json};

use super::rpc::{self, Rpc};
use crate::a2a::{CARD_PATH, PLAIN_CARD_PATH};
use crate::agent::{Circuit, GateStatus};

/// Every route.
pub(super) fn router(rpc: Rpc) -> Router {
    let paths = rpc.app.options.paths.clone();
    let mut router = Router::new()
        .route("/", post(rpc::serve))
        .route("/execute", post(rpc::serve_plain))
        .route(CARD_PATH, get(card))
        .route(PLAIN_CARD_PATH, get(plain_card))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready));
    for path in paths {
        let path = format!("/{}", path.trim_matches('/'));
        if path != "/" && path != "/execute" {
            // Callers may or may not write the slash behind.
            router = router.route(&path, post(rpc::serve)).route(&format!("{path}/"), post(rpc::serve));
        }
    }
    router.with_state(rpc)
}

async fn card(State(rpc): State<Rpc>, headers: HeaderMap) -> Response {
    let card = rpc.app.cards.public(&rpc.app.discovery).await;
    let matches = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|tags| tags.to_str().ok())
        .any(|tags| tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == card.etag));
    // A tag says more than a date: the date counts only without one.
    let unchanged = !headers.contains_key(IF_NONE_MATCH)
        && headers
            .get(IF_MODIFIED_SINCE)
            .and_then(|since| httpdate::parse_http_date(since.to_str().ok()?).ok())
            .is_some_and(|since| card.modified <= since);
    let caching = [
        (CACHE_CONTROL, "public, max-age=60".to_owned()),
        (ETAG, card.etag.clone()),
        (LAST_MODIFIED, httpdate::fmt_http_date(card.modified)),
    ];
    if matches || unchanged {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, json(card.json.clone())).into_response()
}

async fn plain_card(State(rpc): State<Rpc>) -> Response {
    json(rpc.app.cards.public(&rpc.app.discovery).await.plain.clone())
}

async fn healthy() -> Response {
    json(Bytes::from_static(br#"{"status":"ok"}"#))
}

async fn ready(State(rpc): State<Rpc>) -> Response {
    if rpc.app.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, json(Bytes::from_static(br#"{"status":"stopping"}"#))).into_response();
    }
    let mut ready = readiness(&rpc.app.engine.agents(), rpc.app.in_memory());
    if rpc.app.discovery.awaits_registry() {
        ready["registry"] = json!("away");
    }
    if rpc.app.engine.is_full() {
        // What is under way and what is asked goes on: no reason to send callers elsewhere, but one to make room.
        ready["storage"] = json!("full");
    }
    json(Bytes::from(ready.to_string()))
}

/// How the calls to agents go, and what is in memory. Numbers only: who asks this is not asked who it is.
fn readiness(agents: &[GateStatus], (tasks, followed): (usize, usize)) -> Value {
    let count = |circuit| agents.iter().filter(|agent| agent.circuit == circuit).count();
    let in_flight: usize = agents.iter().map(|agent| agent.in_flight).sum();
    let waiting: usize = agents.iter().map(|agent| agent.waiting).sum();
    json!({
        "status": "ready",
        "circuits": { "open": count(Circuit::Open), "half_open": count(Circuit::HalfOpen), "closed": count(Circuit::Closed) },
        "calls": { "in_flight": in_flight, "waiting": waiting },
        "tasks": { "in_memory": tasks, "followed": followed },
    })
}

fn json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
