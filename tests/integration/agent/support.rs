//! Agents of the tests: wiremock for those that speak HTTP, raw listeners for those that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gantry::a2a::{Card, Dialect, Interface, Skill};
use gantry::agent::{Call, Client, Error, Options, Progress, Reply};
use gantry::ids::SkillId;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wiremock::{Request, Respond, ResponseTemplate};

/// Every dialect.
pub(crate) const DIALECTS: [Dialect; 3] = [Dialect::A2a1, Dialect::A2a03, Dialect::Plain];

/// The message id of every call: visible text, as the engine makes it.
pub(crate) const MESSAGE_ID: &str = "run-1/2:par[0]/1:x";

pub(crate) fn client() -> Client {
    Client::new(options())
}

pub(crate) fn options() -> Options {
    Options { allow_private_addresses: true, reply_bytes_max: 1024 * 1024, ..Options::default() }
}

/// A card with one skill `work` that declares an object as its output.
pub(crate) fn card(dialect: Dialect, url: &str) -> Card {
    Card {
        name: "worker".to_owned(),
        interfaces: vec![Interface { url: url.to_owned(), dialect, tenant: None }],
        skills: vec![Skill {
            id: SkillId::parse("work").expect("a fine id"),
            name: "Work".to_owned(),
            description: "works".to_owned(),
            tags: Vec::new(),
            examples: Vec::new(),
            input_schema: None,
            output_schema: Some(json!({ "type": "object" })),
            input_modes: Vec::new(),
        }],
        ..Card::default()
    }
}

pub(crate) fn call(card: Card) -> Call {
    Call {
        card: Arc::new(card),
        skill: "work".to_owned(),
        inputs: Arc::new(json!({ "a": 1 })),
        message_id: MESSAGE_ID.to_owned(),
        timeout: Duration::from_secs(20),
        metadata: None,
        resume: None,
    }
}

/// Calls with a fresh token, without listening to progress.
pub(crate) async fn ask(client: &Client, call: Call) -> Result<Reply, Error> {
    client.call(call, CancellationToken::new(), |_| {}).await
}

/// Calls and keeps the progress.
pub(crate) async fn ask_listening(client: &Client, call: Call) -> (Result<Reply, Error>, Vec<Progress>) {
    let mut heard = Vec::new();
    let outcome = client.call(call, CancellationToken::new(), |progress| heard.push(progress)).await;
    (outcome, heard)
}

/// The result of a call that ended well, in the words of a dialect.
pub(crate) fn success(dialect: Dialect, value: &Value) -> Value {
    match dialect {
        Dialect::Plain => value.clone(),
        Dialect::A2a1 => json!({ "task": {
            "id": "t-1", "contextId": "c-1", "status": { "state": "TASK_STATE_COMPLETED" },
            "artifacts": [{ "artifactId": "r", "parts": [{ "data": value }] }] } }),
        Dialect::A2a03 => json!({ "kind": "task", "id": "t-1", "contextId": "c-1", "status": { "state": "completed" },
            "artifacts": [{ "artifactId": "r", "parts": [{ "kind": "data", "data": value }] }] }),
    }
}

/// Answers every request with what a function makes of its envelope; `jsonrpc` and `id` are added where it leaves them out.
pub(crate) fn answering(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> impl Respond + 'static {
    move |request: &Request| {
        let envelope: Value = serde_json::from_slice(&request.body).expect("requests are JSON");
        let mut answer = answer(&envelope);
        let members = answer.as_object_mut().expect("answers are objects");
        members.entry("jsonrpc").or_insert(json!("2.0"));
        members.entry("id").or_insert(envelope["id"].clone());
        ResponseTemplate::new(200).set_body_json(answer)
    }
}

/// Lets time pass in a moment, once what is on its way has arrived. In it the next timer is always due at once, so that nobody should
/// wait for a socket. Both sides must be on the test's thread.
pub(crate) async fn pass(time: Duration) {
    settle().await;
    tokio::time::pause();
    tokio::time::sleep(time).await;
    settle().await;
    tokio::time::resume();
}

/// Lets everybody go on until they wait.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// An agent on a raw socket, for answers that no HTTP library would send. Ends with the test.
pub(crate) struct Raw {
    pub(crate) url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Raw {
    /// Each connection's first request is read, then the handler has the socket; it is closed when the handler ends.
    pub(crate) async fn start<F, T>(handler: F) -> Self
    where
        F: Fn(TcpStream, Value) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let handler = Arc::new(handler);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let handler = Arc::clone(&handler);
                open.spawn(async move {
                    if let Some(envelope) = read_request(&mut stream).await {
                        handler(stream, envelope).await;
                    }
                });
            }
        });
        Self { url, task }
    }
}

/// Reads one request to the end of its body, which is JSON.
async fn read_request(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
            if bytes.len() >= head + 4 + length {
                return serde_json::from_slice(&bytes[head + 4..]).ok();
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// The head of a JSON answer whose body is written by hand.
pub(crate) fn head(content_type: &str, more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n{more}\r\n")
}

/// A listener that counts whoever connects.
pub(crate) async fn counting() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, seen)
}
