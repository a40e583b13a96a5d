//! The profile for the protocol's public conformance kit does what its prefixes say.

use figment::Figment;
use figment::providers::{Format as _, Toml};
use gantry::server::Options;
use serde_json::{Value, json};

use super::world::{World, message, short};

const PROFILE: &str = include_str!("../../fixtures/conformance/gantry.toml");

async fn world() -> World {
    let profile: Options = Figment::from(Toml::string(PROFILE)).extract_inner("server").unwrap();
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
