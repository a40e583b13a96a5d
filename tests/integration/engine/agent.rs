//! A scripted agent over real HTTP: speaks one dialect, does with each call what the test says, and keeps what it saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use gantry::a2a::Card;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify, watch};
use tokio::task::JoinHandle;

use super::task::{self, Remembered};

/// Longer than anything here takes; a test that waits in vain says so instead of hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The language of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Plain,
    A2a1,
    A2a03,
}

pub(super) const A2A: [Speaks; 2] = [Speaks::A2a1, Speaks::A2a03];

/// One call of a skill, as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) skill: String,
    /// `messageId`, or the idempotency key of the plain dialect.
    pub(super) message_id: String,
    pub(super) inputs: Value,
    /// The task that this call goes on with.
    pub(super) task_id: Option<String>,
    pub(super) context_id: Option<String>,
    pub(super) metadata: Value,
    /// Calls of this skill before this one.
    pub(super) before: usize,
}

/// What the agent does with a call.
#[derive(Clone)]
pub(super) enum Act {
    Reply(Value),
    /// Fails in the words of the dialect.
    Fail(String),
    /// Never answers.
    Hang,
    /// A plain HTTP answer, whatever it is: status, headers, body.
    Http(u16, Vec<(&'static str, String)>, String),
    /// Asks before it goes on; A2A only.
    Ask(Value),
    /// Does something else when the gate opens.
    Behind(Gate, Box<Act>),
    /// Answers when as many calls as the barrier wants are in.
    Meet(Arc<Barrier>, Value),
}

impl Act {
    /// The same, once the gate opens.
    pub(super) fn behind(self, gate: &Gate) -> Self {
        Self::Behind(gate.clone(), Box::new(self))
    }
}

/// Closed until the test opens it.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(super) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    pub(super) async fn pass(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// What the agent saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) calls: Vec<Call>,
    /// Calls that wait for their answer now, and the most that ever did.
    pub(super) in_flight: usize,
    pub(super) high_water: usize,
    /// Calls whose connection was closed before they had an answer.
    pub(super) hung_up: usize,
    /// Ids of tasks that `CancelTask` was called for.
    pub(super) canceled: Vec<String>,
    /// Values of the `Authorization` header.
    pub(super) credentials: Vec<String>,
}

impl Seen {
    pub(super) fn of(&self, skill: &str) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.skill == skill).collect()
    }

    pub(super) fn skills(&self) -> Vec<&str> {
        self.calls.iter().map(|call| call.skill.as_str()).collect()
    }

    pub(super) fn message_ids(&self, skill: &str) -> Vec<String> {
        self.of(skill).iter().map(|call| call.message_id.clone()).collect()
    }

    pub(super) fn inputs(&self, skill: &str) -> Vec<Value> {
        self.of(skill).iter().map(|call| call.inputs.clone()).collect()
    }
}

type Script = dyn Fn(&Call) -> Act + Send + Sync;

pub(super) struct Inner {
    speaks: Speaks,
    script: Box<Script>,
    seen: Mutex<Seen>,
    changed: Notify,
    pub(super) tasks: Mutex<BTreeMap<String, Remembered>>,
}

/// Ends with the test.
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) url: String,
    skills: Vec<String>,
    inner: Arc<Inner>,
    server: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Agent {
    pub(super) async fn start(name: &str, skills: &[&str], speaks: Speaks, script: impl Fn(&Call) -> Act + Send + Sync + 'static) -> Self {
        let skills: Vec<_> = skills.iter().map(|skill| (*skill).to_owned()).collect();
        let script = Box::new(script);
        let inner = Arc::new(Inner { speaks, script, seen: Mutex::default(), changed: Notify::new(), tasks: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state((Arc::clone(&inner), Self::card_json(name, &url, &skills, speaks)));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { name: name.to_owned(), url, skills, inner, server }
    }

    /// An agent that answers every call with what a function makes of its inputs.
    pub(super) async fn plain(name: &str, skills: &[&str], reply: impl Fn(&Call) -> Value + Send + Sync + 'static) -> Self {
        Self::start(name, skills, Speaks::Plain, move |call| Act::Reply(reply(call))).await
    }

    fn card_json(name: &str, url: &str, skills: &[String], speaks: Speaks) -> Value {
        let skills: Vec<_> =
            skills.iter().map(|id| json!({"id": id, "name": id, "description": format!("does {id}"), "tags": []})).collect();
        match speaks {
            Speaks::Plain => json!({"name": name, "url": url, "skills": skills}),
            Speaks::A2a1 => json!({"name": name, "description": name, "version": "1.0.0", "skills": skills,
                "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
                "capabilities": {}, "defaultInputModes": ["application/json"], "defaultOutputModes": ["application/json"]}),
            Speaks::A2a03 => json!({"name": name, "description": name, "version": "1.0.0", "skills": skills, "url": url,
                "protocolVersion": "0.3.0", "preferredTransport": "JSONRPC",
                "capabilities": {}, "defaultInputModes": ["application/json"], "defaultOutputModes": ["application/json"]}),
        }
    }

    pub(super) fn card_text(&self) -> String {
        Self::card_json(&self.name, &self.url, &self.skills, self.inner.speaks).to_string()
    }

    pub(super) fn card(&self) -> Card {
        Card::parse(self.card_text().as_bytes()).unwrap()
    }

    pub(super) fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.inner.seen.lock().unwrap())
    }

    /// The task that a message made or went on with.
    pub(super) fn task_of(&self, message_id: &str) -> String {
        let tasks = self.inner.tasks.lock().unwrap();
        let task = tasks.iter().find(|(_, task)| task.is_of(message_id)).map(|(id, _)| id.clone());
        task.unwrap_or_else(|| panic!("agent {} has no task of {message_id}", self.name))
    }

    /// Waits until the agent has seen what the test waits for.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let wait = async {
            loop {
                let changed = self.inner.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.look(&holds) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("agent {} never saw: {what}; it saw {:#?}", self.name, self.inner.seen.lock().unwrap());
        }
    }
}

impl Inner {
    pub(super) fn speaks(&self) -> Speaks {
        self.speaks
    }

    pub(super) fn note<T>(&self, note: impl FnOnce(&mut Seen) -> T) -> T {
        let noted = note(&mut self.seen.lock().unwrap());
        self.changed.notify_waiters();
        noted
    }

    /// Takes note of a call and asks the script what to do.
    pub(super) fn arrives(&self, mut call: Call) -> Act {
        call.before = self.seen.lock().unwrap().of(&call.skill).len();
        let act = (self.script)(&call);
        self.note(|seen| seen.calls.push(call));
        act
    }
}

/// A call that waits for its answer. Dropped before that, its connection was closed.
struct InFlight {
    inner: Arc<Inner>,
    answered: bool,
}

impl InFlight {
    fn begin(inner: &Arc<Inner>) -> Self {
        inner.note(|seen| {
            seen.in_flight += 1;
            seen.high_water = seen.high_water.max(seen.in_flight);
        });
        Self { inner: Arc::clone(inner), answered: false }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.inner.note(|seen| {
            seen.in_flight -= 1;
            seen.hung_up += usize::from(!self.answered);
        });
    }
}

type Served = State<(Arc<Inner>, Value)>;

async fn answer(State((inner, card)): Served, request: axum::extract::Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    if head.method == "GET" {
        let known = matches!(head.uri.path(), "/agent-card" | "/.well-known/agent-card.json");
        return if known { respond_json(&card) } else { respond(404, &[], String::new()) };
    }
    if let Some(credential) = head.headers.get("authorization") {
        inner.note(|seen| seen.credentials.push(credential.to_str().unwrap().to_owned()));
    }
    let envelope: Value = serde_json::from_slice(&axum::body::to_bytes(body, 8 << 20).await.unwrap()).unwrap();
    match inner.speaks {
        Speaks::Plain if head.uri.path() == "/execute" => execute(&inner, &head.headers, &envelope).await,
        Speaks::Plain => respond(404, &[], String::new()),
        Speaks::A2a1 | Speaks::A2a03 => task::answer(&inner, &envelope),
    }
}

/// `POST /execute` of the prototype.
async fn execute(inner: &Arc<Inner>, headers: &HeaderMap, envelope: &Value) -> Response<Body> {
    let message_id = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned()).unwrap_or_default();
    let call = Call {
        skill: envelope["method"].as_str().unwrap().to_owned(),
        message_id,
        inputs: envelope["params"].clone(),
        task_id: None,
        context_id: None,
        // The plain dialect has no metadata; the runs above a call come in a header.
        metadata: headers.get("gantry-run").map_or(Value::Null, |runs| serde_json::from_slice(runs.as_bytes()).unwrap()),
        before: 0,
    };
    let mut in_flight = InFlight::begin(inner);
    let mut act = inner.arrives(call);
    while let Act::Behind(gate, then) = act {
        gate.pass().await;
        act = *then;
    }
    let answer = match act {
        Act::Reply(value) => json!({"jsonrpc": "2.0", "id": envelope["id"], "result": value}),
        Act::Fail(message) => json!({"jsonrpc": "2.0", "id": envelope["id"], "error": {"code": -1, "message": message}}),
        Act::Hang => std::future::pending().await,
        Act::Http(status, headers, body) => {
            in_flight.answered = true;
            return respond(status, &headers, body);
        }
        Act::Ask(_) => panic!("the plain dialect has no questions"),
        Act::Behind(..) => unreachable!("every gate was passed"),
        Act::Meet(barrier, value) => {
            barrier.wait().await;
            json!({"jsonrpc": "2.0", "id": envelope["id"], "result": value})
        }
    };
    in_flight.answered = true;
    respond_json(&answer)
}

pub(super) fn respond_json(value: &Value) -> Response<Body> {
    respond(200, &[("content-type", "application/json".to_owned())], value.to_string())
}

pub(super) fn respond(status: u16, headers: &[(&'static str, String)], body: String) -> Response<Body> {
    let response = headers.iter().fold(Response::builder().status(status), |response, (name, value)| response.header(*name, value));
    response.body(Body::from(body)).unwrap()
}
