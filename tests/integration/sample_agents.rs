//! The sample agents over HTTP: every endpoint, every skill, every refusal.
use gantry::sample_agents::{Options, Running, start};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

mod a2a;
mod model;
mod plain;
mod workflows;

/// Running agents and a client; stops them when dropped.
struct Agents {
    running: Running,
    http: reqwest::Client,
    shutdown: CancellationToken,
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Agents {
    async fn start() -> Self {
        Self::start_with(Options { ports: [0; 6], ..Options::default() }).await
    }

    async fn start_with(options: Options) -> Self {
        // Another test may have installed the provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shutdown = CancellationToken::new();
        let running = start(options, shutdown.clone()).await.unwrap();
        Self { running, http: reqwest::Client::new(), shutdown }
    }

    fn url(&self, agent: &str) -> &str {
        &self.running.agents.iter().find(|running| running.name == agent).unwrap().url
    }

    /// The agent that has the skill.
    fn agent_of(&self, skill: &str) -> &str {
        let has = |card: &Value| card["skills"].as_array().unwrap().iter().any(|offered| offered["id"] == skill);
        self.running.agents.iter().find(|running| has(&running.card)).unwrap().name
    }

    async fn get(&self, agent: &str, path: &str) -> Value {
        self.http.get(format!("{}{path}", self.url(agent))).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, agent: &str, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let response = self.http.post(format!("{}{path}", self.url(agent))).body(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// `POST /execute`, which always is HTTP 200.
    async fn execute(&self, skill: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "method": skill, "params": params, "id": "7" });
        let (status, reply) = self.post(self.agent_of(skill), "/execute", request.to_string()).await;
        assert_eq!((status, &reply["id"], &reply["jsonrpc"]), (200, &json!("7"), &json!("2.0")), "{reply}");
        reply
    }
}
