//! The agent that everything here calls: answers with the value it was given, or with `change` with another one, at once or after
//! `pause_ms`, in the plain dialect.

use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::Failure;

/// Largest request: what is passed through the steps, and what is around it.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Serves until the process ends. The first line on standard output is its URL.
pub(super) async fn serve() -> Result<(), Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    // Thousands connect at once, faster than they are accepted.
    let listener = socket.listen(4096)?;
    let url = format!("http://{}", listener.local_addr()?);
    let card = card(&url);
    let app = Router::new()
        .route("/execute", post(execute))
        .route("/agent-card", get(|| async move { Json(card) }))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    super::announce(&url);
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), app).await?;
    Ok(())
}

/// What the registry is told of it.
pub(super) fn card(url: &str) -> Value {
    json!({"name": "stub", "url": url, "skills": [{"id": "echo", "description": "gives back its value"}]})
}

async fn execute(Json(mut call): Json<Value>) -> Json<Value> {
    if let Some(pause) = call["params"]["pause_ms"].as_u64() {
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let mut value = call["params"]["value"].take();
    if let (Some(true), Value::String(text)) = (call["params"]["change"].as_bool(), &mut value) {
        // The first character becomes the last, so that no two values of a chain are alike.
        let first = text.remove(0);
        text.push(first);
    }
    Json(json!({"jsonrpc": "2.0", "id": call["id"], "result": {"value": value}}))
}
