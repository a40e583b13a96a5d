//! The journal behind the server has no space, or does not store: callers get an error at once and never a success, and after the next
//! start the task goes on.

use std::sync::Arc;

use bytes::Bytes;
use gantry::interpreter::Event;
use gantry::journal::{self, Journal};
use gantry::registry::Layout;
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer};

use super::runs::execute;
use super::world::{World, echo, short};
use crate::faulty::{Asked, Faulty, broken, full};

const ONE_STEP: &str = "  - {id: one, skill: work, inputs: {n: 1}}\n";

struct Site {
    journal: Arc<Faulty>,
    layout: Arc<Layout>,
}

impl Site {
    fn new() -> Self {
        Self { journal: Arc::new(Faulty::default()), layout: Arc::new(Layout::ephemeral().unwrap()) }
    }

    /// A server on the journal: the first, or the one after a restart.
    async fn serve(&self) -> World {
        World::over(Arc::clone(&self.journal) as Arc<dyn Journal>, Arc::clone(&self.layout), |_| {}).await
    }

    /// A server, an agent whose card is in the registry, and a workflow of one step.
    async fn start(&self) -> (World, MockServer) {
        let world = self.serve().await;
        let agent = MockServer::start().await;
        Mock::given(method("POST")).respond_with(echo).mount(&agent).await;
        let card = json!({ "name": "worker", "url": agent.uri(), "skills": [{ "id": "work", "description": "works" }] });
        world.discovery.push_card(Bytes::from(card.to_string()), Some("agents/worker"), &["latest".to_owned()]).await.unwrap();
        world.workflow("w", ONE_STEP).await;
        (world, agent)
    }
}

fn stores_no_reply(asked: Asked<'_>) -> Option<journal::Error> {
    match asked {
        Asked::Append(_, events) if events.iter().any(|event| matches!(event, Event::Replied { .. })) => Some(broken()),
        Asked::Append(..) | Asked::Create(_) | Asked::Read(_) => None,
    }
}

fn send(id: &str) -> Value {
    json!({ "message": execute(id, "w", json!({})) })
}

#[tokio::test]
async fn a_full_disk_has_a_name_of_its_own_and_is_worth_another_try() {
    let site = Site::new();
    let (world, _agent) = site.start().await;
    site.journal.refuse(|asked| matches!(asked, Asked::Create(_)).then(full));
    for method in ["SendMessage", "execute_workflow"] {
        let params = if method == "SendMessage" { send("m-1") } else { json!({ "workflow_id": "w" }) };
        let refused = world.call(method, params).await;
        assert_eq!((refused.status, refused.code()), (503, -32055), "{:#}", refused.body);
        assert_eq!(refused.headers["retry-after"], "5");
        assert_eq!(refused.body["error"]["data"][0]["reason"], "STORAGE_FULL");
        let told = refused.body["error"]["message"].as_str().unwrap();
        assert!(told.contains("disk of gantry's journal is full"), "{told}");
    }
    let (status, ready) = world.ready().await;
    assert_eq!((status, &ready["status"], &ready["storage"]), (200, &json!("ready"), &json!("full")), "{ready:#}");
    site.journal.heal();
    let done = world.call("SendMessage", send("m-1")).await;
    assert_eq!(done.result()["task"]["status"]["state"], "TASK_STATE_COMPLETED", "the same message is taken then");
    assert_eq!(world.ready().await.1["storage"], Value::Null);
}

#[tokio::test]
async fn a_run_that_is_not_stored_is_refused_without_its_cause() {
    let site = Site::new();
    let (world, agent) = site.start().await;
    site.journal.refuse(|asked| matches!(asked, Asked::Create(_)).then(broken));
    let refused = world.call("SendMessage", send("m-1")).await;
    assert_eq!((refused.status, refused.code()), (200, -32603));
    assert!(!refused.body.to_string().contains("/secret/place"), "{:#}", refused.body);
    assert_eq!(agent.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn nobody_waits_for_a_run_that_stopped_or_takes_it_for_a_result() {
    let site = Site::new();
    let (mut world, agent) = site.start().await;
    site.journal.refuse(stores_no_reply);
    let sent = world.call("SendMessage", send("m-1")).await;
    assert_eq!(sent.code(), -32603, "{:#}", sent.body);
    let told = sent.body["error"]["message"].as_str().unwrap();
    assert!(told.contains("stopped before its end and goes on when gantry starts again"), "{told}");
    assert!(!told.contains("/secret/place"), "{told}");
    let executed = world.call("execute_workflow", json!({ "workflow_id": "w" })).await;
    assert_eq!(executed.code(), -32603, "{:#}", executed.body);

    let events = world.stream("SendStreamingMessage", send("m-2")).await.rest().await;
    assert_eq!(short(events.last().unwrap()), "error:-32603", "{events:#?}");
    let id = events[0]["result"]["task"]["id"].clone();
    assert!(events.iter().all(|event| !["status:COMPLETED", "status:FAILED"].contains(&&*short(event))), "{events:#?}");
    let again = world.stream("SubscribeToTask", json!({ "id": id })).await.rest().await;
    assert_eq!(short(again.last().unwrap()), "error:-32603", "a later reader is told, too");
    let shown = world.call("GetTask", json!({ "id": id })).await;
    assert_eq!(shown.result()["status"]["state"], "TASK_STATE_WORKING", "it has not failed");
    assert_eq!(world.call("CancelTask", json!({ "id": id })).await.code(), -32603);

    world.shutdown().await;
    site.journal.heal();
    let world = site.serve().await;
    for message in ["m-1", "m-2"] {
        let ended = world.call("SendMessage", send(message)).await;
        let task = &ended.result()["task"];
        assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{task:#}");
        assert!(message != "m-2" || task["id"] == id, "the same message is the same task");
    }
    let calls = agent.received_requests().await.unwrap().len();
    assert_eq!(calls, 6, "each of the three runs has made its call twice");
}
