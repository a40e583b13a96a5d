//! Secrets given to the server, to its webhooks and to agents are in no log, no error, no history and no list.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry::agent::{Options as AgentOptions, Secret};
use gantry::journal::Memory;
use gantry::registry::Layout;
use gantry::server::{Options, Token};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::runs::execute;
use super::world::{PATIENCE, World, message};

/// Part of every secret, so that one search finds them all.
const CANARY: &str = "canary-51d0c7e2";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn refuse(what: &str, text: &str) {
    if let Some(at) = text.find(CANARY) {
        let from = text.floor_char_boundary(at.saturating_sub(500));
        panic!("{what} holds the canary: …{}", &text[from..at + CANARY.len()]);
    }
}

/// Answers everything with this.
async fn answering(response: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(response).mount(&server).await;
    server
}

/// Agents that repeat the credential they were sent, each in another place.
async fn gossips() -> Vec<MockServer> {
    let said = format!("I do not like the token {CANARY}-agent");
    let error = json!({ "code": -1, "message": said });
    let wrong = move |request: &Request| {
        let call: Value = serde_json::from_slice(&request.body).unwrap();
        ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": call["id"], "error": error }))
    };
    vec![
        answering(wrong).await,
        answering(ResponseTemplate::new(500).set_body_string(said.clone()).insert_header("x-token", format!("{CANARY}-agent"))).await,
        answering(
            ResponseTemplate::new(401).insert_header("www-authenticate", format!("Bearer realm=\"{CANARY}-agent\"")).set_body_string(said),
        )
        .await,
    ]
}

/// Requests that the server refuses although they hold secrets.
fn refused(task: &str) -> Vec<(&'static str, Value)> {
    let config = |more: Value| {
        let mut config = json!({ "taskId": task, "url": "http://127.0.0.1:9/" });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("CreateTaskPushNotificationConfig", config)
    };
    vec![
        config(json!({ "token": format!("{CANARY}\r\nx: y") })),
        config(json!({ "token": { "is": CANARY } })),
        config(json!({ "authentication": { "scheme": "Bearer", "credentials": format!("{CANARY}\nx") } })),
        config(json!({ "authentication": { "scheme": format!("Bearer {CANARY}\nx"), "credentials": "x" } })),
        config(json!({ "authentication": format!("Bearer {CANARY}") })),
        config(json!({ "url": format!("http://user:{CANARY}@example.com/") })),
        config(json!({ "url": format!("gopher://example.com/{CANARY}") })),
        config(json!({ "taskId": "nobodys", "token": CANARY })),
        (
            "SendMessage",
            json!({ "message": message("done-x"), "configuration": { "taskPushNotificationConfig": { "url": "x", "token": CANARY } } }),
        ),
        (
            "SendMessage",
            json!({ "message": message("done-y"), "configuration": { "taskPushNotificationConfig": { "authentication": CANARY } } }),
        ),
    ]
}

/// One runtime on one thread: everything that the server, the engine and their clients log is logged here.
#[tokio::test]
async fn secrets_are_in_no_log_error_history_or_list() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(gantry::telemetry::filter("trace").unwrap())
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let agents = gossips().await;
    let secret = |agent: &MockServer| (agent.address().to_string(), Secret::new(&format!("{CANARY}-agent")));
    let credentials: BTreeMap<String, Secret> = agents.iter().map(secret).collect();
    let client = AgentOptions { credentials, allow_private_addresses: true, ..AgentOptions::default() };
    let mut options = Options { bind: "127.0.0.1:0".parse().unwrap(), grace: Duration::from_secs(5), ..Options::default() };
    options.push.allow_private_addresses = true;
    options.push.backoff = Duration::from_millis(5);
    options.auth.tokens = vec![Token { caller: "ann".to_owned(), token: Some(format!("{CANARY}-server")), sha256: None }];
    refuse("the options' debug form", &format!("{options:?} {client:?}"));
    let rules = json!([{ "name": "ask", "when": { "messageId": "^ask" }, "respond": [{ "status": "input_required", "message": "?" }] }]);
    options.router.rules = serde_json::from_value(rules).unwrap();
    let mut world = World::calling(client, Arc::new(Memory::default()), Arc::new(Layout::ephemeral().unwrap()), options).await;
    let mut steps = String::new();
    for (at, agent) in agents.iter().enumerate() {
        let card =
            json!({ "name": format!("gossip {at}"), "url": agent.uri(), "skills": [{ "id": format!("s{at}"), "description": "x" }] });
        world.discovery.add_card(gantry::a2a::Card::parse(card.to_string().as_bytes()).unwrap());
        steps.push_str(&format!("  - {{ id: step{at}, skill: s{at}, on_error: continue, retry: {{ max_attempts: 1 }} }}\n"));
    }
    world.workflow("gossip", &format!("{steps}  - {{ id: last, skill: s0 }}\n")).await;
    let hook = answering(ResponseTemplate::new(500).set_body_string(format!("{CANARY}-hook"))).await;

    let bearer = format!("Bearer {CANARY}-server");
    let ann: &[(&str, &str)] = &[("A2A-Version", "1.0"), ("Authorization", &bearer)];
    let webhook = json!({ "url": format!("{}/?key={CANARY}-url", hook.uri()), "token": format!("{CANARY}-token"),
        "authentication": { "scheme": "Bearer", "credentials": format!("{CANARY}-credentials") } });
    let params = json!({ "message": execute("m", "gossip", json!({})), "configuration": { "taskPushNotificationConfig": webhook } });
    let failed = world.call_as(ann, "SendMessage", params).await;
    assert_eq!(failed.result()["task"]["status"]["state"], "TASK_STATE_FAILED", "{:#}", failed.body);
    assert!(failed.body.to_string().contains("***"), "the agents' errors are shown, but for the secret: {:#}", failed.body);
    refuse("the answer", &failed.body.to_string());
    for agent in &agents {
        let sent = agent.received_requests().await.unwrap();
        assert_eq!(sent[0].headers["authorization"], format!("Bearer {CANARY}-agent").as_str(), "the agent was sent its credential");
    }
    let waiting = world.call_as(ann, "SendMessage", json!({ "message": message("ask-1") })).await.result()["task"]["id"].clone();
    for (method, params) in refused(waiting.as_str().unwrap()) {
        let answer = world.call_as(ann, method, params.clone()).await;
        assert_ne!(answer.code(), 0, "{method} {params}");
        refuse(&format!("the error of {method} {params}"), &answer.body.to_string());
        refuse("its headers", &format!("{:?}", answer.headers));
    }
    for header in ["Bearer", "Basic", "Digest"] {
        let wrong = format!("{header} {CANARY}-wrong");
        let answer = world.call_as(&[("Authorization", &wrong), ("X-API-Key", CANARY)], "ListTasks", json!({})).await;
        assert_eq!(answer.status, 401);
        refuse("a refusal", &answer.body.to_string());
    }
    let task = failed.result()["task"]["id"].clone();
    for (method, params) in [
        ("GetTask", json!({ "id": task, "historyLength": 200 })),
        ("ListTasks", json!({ "historyLength": 200, "includeArtifacts": true })),
        ("GetExtendedAgentCard", json!({})),
    ] {
        refuse(method, &world.call_as(ann, method, params).await.body.to_string());
    }
    let card = world.http.get(format!("{}/.well-known/agent-card.json", world.url)).send().await.unwrap().text().await.unwrap();
    refuse("the card", &card);
    let given_up = async {
        while !String::from_utf8_lossy(&log.0.lock().unwrap()).contains("a notification was dropped") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up).await.expect("the log tells of the webhook that was given up");
    let told = hook.received_requests().await.unwrap();
    assert_eq!(told[0].headers["authorization"], format!("Bearer {CANARY}-credentials").as_str());
    for request in told {
        refuse("a notification's body", &String::from_utf8_lossy(&request.body));
    }
    refuse("the engine's debug form", &format!("{:?}", world.engine));
    world.shutdown().await;
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for expected in ["serving A2A", "attempt failed", "a notification was not taken", "stopped serving"] {
        assert!(logged.contains(expected), "the log was captured: {expected}");
    }
    refuse("the log", &logged);
}
