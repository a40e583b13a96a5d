//! A server of the tests: an ephemeral registry, the embedded engine, agents on wiremock, everything on free ports.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry::a2a::Card;
use gantry::discovery::{self, Discovery};
use gantry::engine::Engine;
use gantry::engine::embedded::{self, Embedded};
use gantry::journal::{Journal, Memory};
use gantry::registry::Layout;
use gantry::server::{Options, Server};
use gantry::threads::Threads;
use gantry::{agent, router};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// Longer than anything a test waits for should take, on a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// As by default.
const REST_AFTER: Duration = gantry::limits::RUN_REST_AFTER;
/// When runs rest and tasks leave, where that is waited for.
const SOON: Duration = Duration::from_millis(20);

pub(super) struct World {
    pub(super) url: String,
    pub(super) http: reqwest::Client,
    pub(super) discovery: Arc<Discovery>,
    pub(super) engine: Embedded,
    pub(super) stop: CancellationToken,
    serving: Option<JoinHandle<usize>>,
}

/// The answer to one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    /// The error's code; 0 without an error.
    pub(super) fn code(&self) -> i64 {
        self.body["error"]["code"].as_i64().unwrap_or(0)
    }

    pub(super) fn result(&self) -> &Value {
        assert!(self.body.get("error").is_none(), "{:#}", self.body);
        &self.body["result"]
    }
}

/// Those that serve, as in `gantry serve`.
fn threads() -> Threads {
    Threads::begin().expect("the system has threads")
}

impl World {
    /// With default options on a free port.
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::over(Arc::new(Memory::default()), Arc::new(Layout::ephemeral().unwrap()), change).await
    }

    /// Over a journal and registry that may have served before.
    pub(super) async fn over(journal: Arc<dyn Journal>, layout: Arc<Layout>, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Self::options();
        change(&mut options);
        Self::resting(Self::bounds(REST_AFTER), Self::agents(), journal, layout, options, Some(threads())).await
    }

    /// The same, with runs that rest and tasks that leave after a moment.
    pub(super) async fn leaving(journal: Arc<dyn Journal>, layout: Arc<Layout>, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Self::options();
        options.limits.ended_tasks_stay = SOON;
        change(&mut options);
        Self::resting(Self::bounds(SOON), Self::agents(), journal, layout, options, Some(threads())).await
    }

    /// With no more runs under way than these.
    pub(super) async fn of_runs(runs_max: usize) -> Self {
        let bounds = embedded::Options { runs_max, ..Self::bounds(REST_AFTER) };
        let layout = Arc::new(Layout::ephemeral().unwrap());
        Self::resting(bounds, Self::agents(), Arc::new(Memory::default()), layout, Self::options(), Some(threads())).await
    }

    fn bounds(rest_after: Duration) -> embedded::Options {
        embedded::Options { rest_after, ..embedded::Options::default() }
    }

    fn options() -> Options {
        let mut options = Options { bind: "127.0.0.1:0".parse().unwrap(), grace: Duration::from_secs(5), ..Options::default() };
        options.push.allow_private_addresses = true;
        options.push.backoff = Duration::from_millis(5);
        options.router.rules = rules();
        options
    }

    fn agents() -> agent::Options {
        agent::Options { allow_private_addresses: true, ..agent::Options::default() }
    }

    /// With a client of agents of its own, and all of it on the test's own thread.
    pub(super) async fn calling(agents: agent::Options, journal: Arc<dyn Journal>, layout: Arc<Layout>, options: Options) -> Self {
        Self::resting(Self::bounds(REST_AFTER), agents, journal, layout, options, None).await
    }

    async fn resting(
        bounds: embedded::Options,
        agents: agent::Options,
        journal: Arc<dyn Journal>,
        layout: Arc<Layout>,
        options: Options,
        threads: Option<Threads>,
    ) -> Self {
        let discovery = Arc::new(Discovery::new(layout, discovery::Options { ttl: Duration::from_secs(60), ..Default::default() }));
        let bounds = embedded::Options { depth_max: options.limits.depth_runs_max, ..bounds };
        let engine = Embedded::new(bounds, Arc::clone(&discovery), agent::Client::new(agents), journal);
        let bound = Server::bind(options, Arc::new(engine.clone()) as Arc<dyn Engine>, Arc::clone(&discovery)).await.unwrap();
        engine.serve_as(bound.url(), bound.own_skills());
        engine.recover().await.unwrap();
        let url = format!("http://{}", bound.address());
        let bound = match threads {
            Some(threads) => bound.on(threads),
            None => bound,
        };
        let stop = CancellationToken::new();
        let serving = Some(tokio::spawn(bound.serve(stop.clone())));
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { url, http, discovery, engine, stop, serving }
    }

    /// Pushes a workflow whose only step calls `skill` with the input.
    pub(super) async fn workflow(&self, id: &str, steps: &str) {
        let text = format!(
            "metadata:\n  id: {id}\n  name: {id}\n  version: 1.0.0\n  description: {id} of the tests\n  tags: [testing]\nsteps:\n{steps}"
        );
        self.discovery.push_workflow(&format!("{id}.yaml"), Bytes::from(text), None, &[]).await.unwrap();
    }

    /// An agent of the prototype's protocol that offers these skills.
    pub(super) async fn agent(&self, skills: &[&str], respond: impl Respond + 'static) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("POST")).and(path("/execute")).respond_with(respond).mount(&server).await;
        let skills: Vec<Value> = skills.iter().map(|id| json!({ "id": id, "description": id })).collect();
        let card = json!({ "name": format!("agent of {skills:?}"), "url": server.uri(), "skills": skills });
        self.discovery.add_card(Card::parse(card.to_string().as_bytes()).unwrap());
        server
    }

    /// One request with A2A 1.0's header.
    pub(super) async fn call(&self, method: &str, params: Value) -> Answer {
        self.call_as(&[("A2A-Version", "1.0")], method, params).await
    }

    pub(super) async fn call_as(&self, headers: &[(&str, &str)], method: &str, params: Value) -> Answer {
        self.post("/", headers, json!({ "jsonrpc": "2.0", "id": "q-1", "method": method, "params": params }).to_string()).await
    }

    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        let mut request = self.http.post(format!("{}{path}", self.url)).body(body);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    /// Sends a message that a rule answers, and gives the result.
    pub(super) async fn say(&self, message_id: &str) -> Value {
        self.call("SendMessage", json!({ "message": message(message_id) })).await.result().clone()
    }

    /// Opens a stream.
    pub(super) async fn stream(&self, method: &str, params: Value) -> Events {
        self.stream_as(&[("A2A-Version", "1.0")], method, params).await
    }

    pub(super) async fn stream_as(&self, headers: &[(&str, &str)], method: &str, params: Value) -> Events {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let mut request = self.http.post(&self.url).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let kind = response.headers()["content-type"].clone();
        if kind != "text/event-stream" {
            panic!("{kind:?} is no stream: {}", response.text().await.unwrap());
        }
        Events { response, buffer: String::new() }
    }

    /// What it says of itself, with its status.
    pub(super) async fn ready(&self) -> (u16, Value) {
        let response = self.http.get(format!("{}/readyz", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// How many tasks are in memory, and how many runs are followed for them.
    pub(super) async fn in_memory(&self) -> (u64, u64) {
        let (_, ready) = self.ready().await;
        let count = |name: &str| ready["tasks"][name].as_u64().unwrap();
        (count("in_memory"), count("followed"))
    }

    /// Waits until no task is in memory and every run that has not ended rests.
    pub(super) async fn has_left(&self) {
        let left = async {
            while self.in_memory().await != (0, 0) || self.engine.counts().awake > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, left).await;
        if waited.is_err() {
            panic!("tasks and followers {:?}, runs {:?}", self.in_memory().await, self.engine.counts());
        }
    }

    /// Stops and waits; how many connections were cut.
    pub(super) async fn shutdown(&mut self) -> usize {
        self.stop.cancel();
        let serving = self.serving.take().unwrap();
        tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Reads a stream event by event.
pub(super) struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    /// The next event's JSON; none at the end. Comments are skipped.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(at) = self.buffer.find("\n\n") {
                let frame: String = self.buffer.drain(..at + 2).collect();
                if let Some(data) = frame.strip_prefix("data: ") {
                    return Some(serde_json::from_str(data).unwrap());
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("the stream is silent").ok()??;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Every result until the end.
    pub(super) async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// What an event is about, short: `task:WORKING`, `status:COMPLETED`, `artifact:output`.
pub(super) fn short(event: &Value) -> String {
    let state = |status: &Value| status["state"].as_str().unwrap_or("?").trim_start_matches("TASK_STATE_").to_owned();
    let result = &event["result"];
    if let Some(error) = event.get("error") {
        return format!("error:{}", error["code"]);
    }
    if let Some(task) = result.get("task") {
        return format!("task:{}", state(&task["status"]));
    }
    if let Some(update) = result.get("statusUpdate") {
        return format!("status:{}", state(&update["status"]));
    }
    if let Some(update) = result.get("artifactUpdate") {
        return format!("artifact:{}", update["artifact"]["artifactId"].as_str().unwrap_or("?"));
    }
    "message".to_owned()
}

pub(super) fn message(id: &str) -> Value {
    json!({ "messageId": id, "role": "ROLE_USER", "parts": [{ "text": "hello" }] })
}

/// Scripts by messageId, so that protocol tests need no workflow.
fn rules() -> Vec<router::Rule> {
    let rule = |prefix: &str, respond: Value| json!({ "name": prefix, "when": { "messageId": format!("^{prefix}") }, "respond": respond });
    let rules = json!([
        rule("done", json!([{ "status": "completed", "message": "done" }])),
        rule("fail", json!([{ "status": "failed", "message": "broken" }])),
        rule("ask", json!([{ "status": "input_required", "message": "what else?" }])),
        rule("login", json!([{ "status": "auth_required", "message": "who are you?" }])),
        rule("refuse", json!([{ "status": "rejected", "message": "no" }])),
        rule("direct", json!([{ "message": "just so" }])),
        rule("slow", json!([{ "status": "working" }, { "delay": "60s" }, { "status": "completed" }])),
        rule("brief", json!([{ "status": "working" }, { "delay": "300ms" }, { "status": "completed" }])),
        rule(
            "data",
            json!([{ "artifact": { "id": "a", "parts": [{ "data": { "count": 42, "big": 9_007_199_254_740_993_u64 } }] } }, { "status": "completed" }])
        ),
        rule(
            "chunks",
            json!([
                { "status": "working" },
                { "artifact": { "id": "a", "parts": [{ "text": "one " }] } },
                { "artifact": { "id": "a", "parts": [{ "text": "two" }], "append": true, "last_chunk": true } },
                { "status": "completed" },
            ])
        ),
    ]);
    serde_json::from_value(rules).unwrap()
}

/// Answers `{"result": {"echo": params}}`.
pub(super) fn echo(request: &Request) -> ResponseTemplate {
    let call: Value = serde_json::from_slice(&request.body).unwrap();
    ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": call["id"], "result": { "echo": call["params"] } }))
}

/// Answers with an error.
pub(super) fn broken(request: &Request) -> ResponseTemplate {
    let call: Value = serde_json::from_slice(&request.body).unwrap();
    let error = json!({ "code": -1, "message": "the machine is on fire" });
    ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": call["id"], "error": error }))
}
