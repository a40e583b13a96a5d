//! The profile for the protocol's public conformance kit does what its prefixes say.

use figment::Figment;
use figment::providers::{Format as _, Toml};
use gantry::server::Options;
use serde_json::{Value, json};

use super::world::{World, message, short};

const PROFILE: &str = include_str!("../../fixtures/conformance/gantry.toml");

/// What the flag of `gantry serve` and of the script names.
const EXTENSION: &str = "urn:test:needed";

async fn world() -> World {
    flagged(|_| {}).await
}

/// The profile under flags.
async fn flagged(flags: impl FnOnce(&mut Options)) -> World {
    let mut profile: Options = Figment::from(Toml::string(PROFILE)).extract_inner("server").unwrap();
    flags(&mut profile);
    World::with(|options| *options = Options { bind: options.bind, ..profile }).await
}

#[tokio::test]
async fn every_prefix_does_what_it_says() {
    let world = world().await;
    let completed = "TASK_STATE_COMPLETED";
    for (prefix, state, parts) in [
        ("tck-artifact-text", completed, json!([{ "text": "Generated text content" }])),
        ("tck-artifact-file", completed, json!([{ "raw": "dGNr", "mediaType": "text/plain", "filename": "output.txt" }])),
        (
            "tck-artifact-file-url",
            completed,
            json!([{ "url": "https://example.com/output.txt", "mediaType": "text/plain", "filename": "output.txt" }]),
        ),
        ("tck-artifact-data", completed, json!([{ "data": { "key": "value", "count": 42 } }])),
        ("tck-input-required", "TASK_STATE_INPUT_REQUIRED", Value::Null),
        ("tck-auth-required", "TASK_STATE_AUTH_REQUIRED", Value::Null),
        ("tck-reject-task", "TASK_STATE_REJECTED", Value::Null),
        ("anything", completed, Value::Null),
    ] {
        let task = world.say(&format!("{prefix}-0a1b")).await["task"].clone();
        assert_eq!(task["status"]["state"], state, "{prefix}");
        assert_eq!(task["artifacts"][0]["parts"], parts, "{prefix}");
    }
    let hello = world.say("tck-complete-task-0a1b").await["task"]["status"]["message"].clone();
    assert_eq!((hello["role"].as_str(), hello["parts"][0]["text"].as_str()), (Some("ROLE_AGENT"), Some("Hello from TCK")));
    assert!(world.say("tck-message-response-0a1b").await.get("message").is_some());
    for (prefix, expected) in [
        ("tck-stream-001", &["task:SUBMITTED", "status:WORKING", "artifact:output", "status:COMPLETED"][..]),
        ("tck-stream-002", &["message"]),
        ("tck-stream-003", &["task:SUBMITTED", "status:WORKING", "artifact:output", "status:COMPLETED"]),
        ("tck-stream-ordering-001", &["task:SUBMITTED", "status:WORKING", "artifact:output", "status:COMPLETED"]),
        ("tck-stream-artifact-text", &["task:SUBMITTED", "status:WORKING", "artifact:output", "status:COMPLETED"]),
        ("tck-stream-artifact-file", &["task:SUBMITTED", "status:WORKING", "artifact:output", "status:COMPLETED"]),
        ("tck-stream-artifact-chunked", &["task:SUBMITTED", "status:WORKING", "artifact:output", "artifact:output", "status:COMPLETED"]),
    ] {
        let params = json!({ "message": message(&format!("{prefix}-0a1b")) });
        let events = world.stream("SendStreamingMessage", params).await.rest().await;
        assert_eq!(events.iter().map(short).collect::<Vec<_>>(), expected, "{prefix}");
    }
}

#[tokio::test]
async fn the_same_message_makes_another_task_and_a_waiting_one_goes_on() {
    let world = world().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = world.say("tck-input-required-0a1b").await["task"]["id"].clone();
        let mut next = message("tck-complete-task-0a1b");
        next["taskId"] = id.clone();
        let done = world.call("SendMessage", json!({ "message": next })).await.result()["task"].clone();
        assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED");
        assert!(!ids.contains(&id));
        ids.push(id);
    }
    let mut slow = world.stream("SendStreamingMessage", json!({ "message": message("test-resubscribe-message-id-1") })).await;
    let id = slow.next().await.unwrap()["result"]["task"]["id"].clone();
    let again = world.stream("SubscribeToTask", json!({ "id": id })).await.rest().await;
    assert_eq!(short(again.last().unwrap()), "status:COMPLETED");
}

#[tokio::test]
async fn delayed_work_ends_for_those_who_wait_and_goes_on_for_those_who_do_not() {
    let world = world().await;
    let send = async |immediately: bool| {
        let configuration = json!({ "returnImmediately": immediately });
        let params = json!({ "message": message("tck-delayed-complete-0a1b"), "configuration": configuration });
        world.call("SendMessage", params).await.result()["task"].clone()
    };
    let (early, done) = (send(true).await, send(false).await);
    assert!(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"].contains(&early["status"]["state"].as_str().unwrap()), "{early}");
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(done["status"]["message"]["parts"][0]["text"], "Done after delay");
}

#[tokio::test]
async fn a_task_that_waits_for_authorisation_says_why_and_goes_on() {
    let world = world().await;
    let task = world.say("tck-auth-required-0a1b").await["task"].clone();
    assert!(task["status"]["message"]["parts"][0]["text"].as_str().is_some_and(|why| !why.is_empty()));
    let read = world.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
    assert_eq!(read["status"]["state"], "TASK_STATE_AUTH_REQUIRED");
    let mut next = message("tck-complete-task-0a1b");
    next["taskId"] = task["id"].clone();
    let done = world.call("SendMessage", json!({ "message": next })).await.result()["task"].clone();
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED");
}

/// The kit calls what the card does not offer without naming the extension, and a version that nobody speaks, and a body that is
/// no JSON: each must be told for what it is.
#[tokio::test]
async fn what_is_not_offered_is_refused_before_extensions_are_asked_for() {
    let world = flagged(|options| {
        options.card.streaming = false;
        options.card.push_notifications = false;
        options.card.required_extensions = vec![EXTENSION.to_owned()];
    })
    .await;
    let said = || json!({ "message": message("tck-complete-task-0a1b") });
    let of = json!({ "taskId": "t", "id": "c", "url": "https://example.com" });
    for (method, params, code) in [
        ("SendStreamingMessage", said(), -32004),
        ("SubscribeToTask", json!({ "id": "t" }), -32004),
        ("message/stream", said(), -32004),
        ("CreateTaskPushNotificationConfig", of.clone(), -32003),
        ("GetTaskPushNotificationConfig", of.clone(), -32003),
        ("ListTaskPushNotificationConfigs", of.clone(), -32003),
        ("DeleteTaskPushNotificationConfig", of, -32003),
        ("GetExtendedAgentCard", json!({}), -32004),
        ("SendMessage", said(), -32008),
        ("GetTask", json!({ "id": "t" }), -32008),
        ("NoSuchMethod", json!({}), -32601),
    ] {
        assert_eq!(world.call(method, params).await.code(), code, "{method}");
    }
    assert_eq!(world.call_as(&[("A2A-Version", "99.0")], "SendStreamingMessage", said()).await.code(), -32009);
    let plain = [("Content-Type", "text/plain"), ("A2A-Version", "1.0")];
    assert_eq!(world.call_as(&plain, "SendMessage", said()).await.code(), -32005);
    assert_eq!(world.post("/", &plain, "{'no': 'JSON'}").await.code(), -32005);
    let named = [("A2A-Version", "1.0"), ("A2A-Extensions", EXTENSION)];
    assert_eq!(world.call_as(&named, "SendMessage", said()).await.result()["task"]["status"]["state"], "TASK_STATE_COMPLETED");
}

#[tokio::test]
async fn the_extended_card_is_given_to_anyone_on_loopback() {
    let world = flagged(|options| options.card.extended = true).await;
    let card: Value = world.http.get(format!("{}/.well-known/agent-card.json", world.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(card["capabilities"]["extendedAgentCard"], true);
    assert_eq!(world.call("GetExtendedAgentCard", json!({})).await.result()["name"], card["name"]);
}

/// The kit makes webhooks for tasks that have ended, with an id of its own, and takes them away twice.
#[tokio::test]
async fn webhooks_of_an_ended_task_can_be_made_read_and_taken_away() {
    let world = world().await;
    let task = world.say("tck-complete-task-0a1b").await["task"]["id"].clone();
    let made = json!({ "task_id": task, "id": "tck-push", "url": "https://example.com/tck-push-webhook" });
    assert_eq!(world.call("CreateTaskPushNotificationConfig", made).await.result()["id"], "tck-push");
    let named = json!({ "task_id": task, "id": "tck-push" });
    assert_eq!(world.call("GetTaskPushNotificationConfig", named.clone()).await.result()["taskId"], task);
    let listed = world.call("ListTaskPushNotificationConfigs", json!({ "task_id": task })).await;
    assert_eq!(listed.result()["configs"].as_array().unwrap().len(), 1);
    for _ in 0..2 {
        assert_eq!(*world.call("DeleteTaskPushNotificationConfig", named.clone()).await.result(), json!({}));
    }
    assert_eq!(world.call("GetTaskPushNotificationConfig", named).await.code(), -32001);
}

/// What a closed schema of A2A 1.0 would refuse: other members, names in snake case, timestamps that are not UTC with milliseconds.
#[tokio::test]
async fn answers_hold_nothing_that_the_schema_does_not_know() {
    let world = world().await;
    for prefix in ["tck-complete-task", "tck-artifact-file", "tck-artifact-data", "tck-input-required", "tck-message-response", "other"] {
        let answer = world.say(&format!("{prefix}-0a1b")).await;
        check_message_or_task(&answer, prefix);
    }
}

fn check_message_or_task(answer: &Value, prefix: &str) {
    let only = |value: &Value, names: &[&str]| {
        let others: Vec<&String> = value.as_object().unwrap().keys().filter(|name| !names.contains(&name.as_str())).collect();
        assert!(others.is_empty(), "{prefix}: {others:?} in {value:#}");
    };
    let message = |message: &Value| {
        only(message, &["messageId", "contextId", "taskId", "role", "parts", "metadata", "extensions", "referenceTaskIds"]);
        for part in message["parts"].as_array().unwrap() {
            only(part, &["text", "raw", "url", "data", "metadata", "filename", "mediaType"]);
        }
    };
    only(answer, &["task", "message"]);
    if let Some(direct) = answer.get("message") {
        assert!(direct["contextId"].is_string(), "a server's message names its context");
        return message(direct);
    }
    let task = &answer["task"];
    only(task, &["id", "contextId", "status", "artifacts", "history", "metadata"]);
    only(&task["status"], &["state", "message", "timestamp"]);
    let timestamp = task["status"]["timestamp"].as_str().unwrap();
    assert!(timestamp.len() == "2026-01-01T00:00:00.000Z".len() && timestamp.ends_with('Z'), "{timestamp}");
    task["status"].get("message").into_iter().chain(task["history"].as_array().unwrap()).for_each(message);
    for artifact in task.get("artifacts").and_then(Value::as_array).into_iter().flatten() {
        only(artifact, &["artifactId", "name", "description", "parts", "metadata", "extensions"]);
    }
}
