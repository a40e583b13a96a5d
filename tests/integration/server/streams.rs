//! Streams: what comes in which order, for everyone the same.

use serde_json::{Value, json};

use super::world::{World, message, short};

#[tokio::test]
async fn a_stream_begins_with_the_task_and_ends_with_its_end() {
    let world = World::new().await;
    for (id, expected) in [
        ("done-1", &["task:SUBMITTED", "status:COMPLETED"][..]),
        ("ask-1", &["task:SUBMITTED", "status:INPUT_REQUIRED"]),
        ("refuse-1", &["task:SUBMITTED", "status:REJECTED"]),
        ("chunks-1", &["task:SUBMITTED", "status:WORKING", "artifact:a", "artifact:a", "status:COMPLETED"]),
        ("direct-1", &["message"]),
    ] {
        let events = world.stream("SendStreamingMessage", json!({ "message": message(id) })).await.rest().await;
        assert_eq!(events.iter().map(short).collect::<Vec<_>>(), expected, "{id}");
        assert!(events.iter().all(|event| event["id"] == 7 && event["jsonrpc"] == "2.0"));
    }
    let events = world.stream("SendStreamingMessage", json!({ "message": message("chunks-2") })).await.rest().await;
    let update = |at: usize| events[at]["result"]["artifactUpdate"].clone();
    assert!(update(2).get("append").is_none());
    assert_eq!((update(3)["append"].as_bool(), update(3)["lastChunk"].as_bool()), (Some(true), Some(true)));
    let task = world.call("GetTask", json!({ "id": events[0]["result"]["task"]["id"] })).await.result().clone();
    assert_eq!(task["artifacts"].as_array().unwrap().len(), 1);
    assert_eq!(task["artifacts"][0]["parts"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_error_before_the_stream_is_plain_json() {
    let world = World::new().await;
    let answer = world.call("SendStreamingMessage", json!({ "message": {} })).await;
    assert_eq!(answer.code(), -32602);
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("application/json"));
}

#[tokio::test]
async fn subscribers_see_the_same_and_closing_one_harms_nobody() {
    let world = World::new().await;
    let id = world.say("ask-1").await["task"]["id"].clone();
    let subscribe = || world.stream("SubscribeToTask", json!({ "id": id }));
    let (mut first, mut second, mut third) = (subscribe().await, subscribe().await, subscribe().await);
    let snapshots = [first.next().await.unwrap(), second.next().await.unwrap(), third.next().await.unwrap()];
    assert!(snapshots.iter().all(|event| short(event) == "task:INPUT_REQUIRED"));
    drop(first);
    let mut next = message("chunks-1");
    next["taskId"] = id.clone();
    let sent = world.stream("SendStreamingMessage", json!({ "message": next })).await.rest().await;
    let (second, third) = (second.rest().await, third.rest().await);
    assert_eq!(second, third);
    let expected = ["status:WORKING", "status:WORKING", "artifact:a", "artifact:a", "status:COMPLETED"];
    assert_eq!(second.iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!(short(&sent[0]), "task:WORKING");
    assert_eq!(sent[1..], second[1..], "the sender's snapshot already says that the task goes on");
}

#[tokio::test]
async fn a_client_that_leaves_stops_nothing_and_finds_its_task_again() {
    let world = World::new().await;
    let mut stream = world.stream("SendStreamingMessage", json!({ "message": message("brief-1") })).await;
    let id = stream.next().await.unwrap()["result"]["task"]["id"].clone();
    drop(stream);
    let rest = world.stream("SubscribeToTask", json!({ "id": id })).await.rest().await;
    assert_eq!(rest.iter().map(short).next_back().unwrap(), "status:COMPLETED");
}

#[tokio::test]
async fn a_subscription_stays_while_the_task_waits() {
    let world = World::new().await;
    let id = world.say("ask-1").await["task"]["id"].clone();
    let mut stream = world.stream("SubscribeToTask", json!({ "id": id })).await;
    assert_eq!(short(&stream.next().await.unwrap()), "task:INPUT_REQUIRED");
    let mut next = message("ask-2");
    next["taskId"] = id.clone();
    world.call("SendMessage", json!({ "message": next })).await;
    assert_eq!(short(&stream.next().await.unwrap()), "status:WORKING");
    assert_eq!(short(&stream.next().await.unwrap()), "status:INPUT_REQUIRED");
    world.call("CancelTask", json!({ "id": id })).await;
    assert_eq!(short(&stream.next().await.unwrap()), "status:CANCELED");
    assert_eq!(stream.next().await, None::<Value>);
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_says_so() {
    let mut world = World::new().await;
    let mut stream = world.stream("SendStreamingMessage", json!({ "message": message("slow-1") })).await;
    assert_eq!(short(&stream.next().await.unwrap()), "task:SUBMITTED");
    assert_eq!(world.shutdown().await, 0, "nothing had to be cut");
    let rest = stream.rest().await;
    assert_eq!(rest.iter().map(short).next_back().unwrap(), "error:-32603");
}
