//! An agent over real HTTP, in the plain dialect, that counts its calls. What it answers depends on the call alone, so that a call that
//! is made again after a crash gets the same answer.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use gantry::a2a::Card;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SKILLS: &[&str] = &["work", "moody", "picky", "broken", MENDED, HANG];
/// A skill that never answers.
pub(super) const HANG: &str = "hang";

/// A skill that fails for the first run that asks for it, and works for every other.
const MENDED: &str = "mended";

/// One call, as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) skill: String,
    /// The idempotency key: run, path and attempt.
    pub(super) key: String,
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// Ends with the test.
pub(super) struct Agent {
    url: String,
    calls: Calls,
    server: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Agent {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Calls::default();
        let app = Router::new().route("/execute", post(execute)).with_state(Arc::clone(&calls));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, calls, server }
    }

    pub(super) fn card(&self) -> Card {
        let skill = |id: &&str| json!({"id": id, "name": id, "description": format!("does {id}"), "tags": []});
        let skills: Vec<_> = SKILLS.iter().map(skill).collect();
        Card::parse(json!({"name": "worker", "url": self.url, "skills": skills}).to_string().as_bytes()).unwrap()
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

async fn execute(State(calls): State<Calls>, headers: HeaderMap, body: String) -> Json<Value> {
    let envelope: Value = serde_json::from_str(&body).unwrap();
    let skill = envelope["method"].as_str().unwrap().to_owned();
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let (run, _) = key.split_once('/').unwrap();
    let (run, first) = (format!("{run}/"), key.ends_with("#1"));
    calls.lock().unwrap().push(Call { skill: skill.clone(), key });
    let is_of_the_first_run = || calls.lock().unwrap().iter().find(|call| call.skill == skill).unwrap().key.starts_with(&run);
    let of = match &envelope["params"]["of"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let failed = |message: &str| json!({"jsonrpc": "2.0", "id": envelope["id"], "error": {"code": -1, "message": message}});
    Json(match skill.as_str() {
        HANG => std::future::pending().await,
        "broken" => failed("always"),
        "moody" if first => failed("not in the mood"),
        MENDED if is_of_the_first_run() => failed("not yet"),
        "picky" if of == "bad" => failed("not this one"),
        _ => json!({"jsonrpc": "2.0", "id": envelope["id"], "result": {"did": format!("{skill} of {of}")}}),
    })
}
