//! The 0.3 dialect on the same URL, and the prototype's protocol.

use serde_json::{Value, json};

use super::world::{World, echo};

fn message(id: &str) -> Value {
    json!({ "kind": "message", "messageId": id, "role": "user", "parts": [{ "kind": "text", "text": "hello" }] })
}

#[tokio::test]
async fn the_older_names_answer_in_the_older_words() {
    let world = World::new().await;
    let call = |method: &'static str, params: Value| world.call_as(&[], method, params);
    let task = call("message/send", json!({ "message": message("ask-1") })).await.result().clone();
    assert_eq!((task["kind"].as_str(), task["status"]["state"].as_str()), (Some("task"), Some("input-required")));
    assert_eq!(task["status"]["message"]["role"], "agent");
    assert_eq!(task["status"]["message"]["parts"][0]["kind"], "text");
    let id = task["id"].clone();
    assert_eq!(call("tasks/get", json!({ "id": id })).await.result()["status"]["state"], "input-required");
    let config = json!({ "taskId": id, "pushNotificationConfig": { "id": "c", "url": "http://127.0.0.1:9/hook" } });
    assert_eq!(call("tasks/pushNotificationConfig/set", config).await.result()["pushNotificationConfig"]["id"], "c");
    assert_eq!(call("tasks/pushNotificationConfig/get", json!({ "id": id })).await.result()["pushNotificationConfig"]["id"], "c");
    assert_eq!(call("tasks/pushNotificationConfig/list", json!({ "id": id })).await.result().as_array().unwrap().len(), 1);
    let delete = json!({ "id": id, "pushNotificationConfigId": "c" });
    assert_eq!(call("tasks/pushNotificationConfig/delete", delete).await.body["result"], Value::Null);
    assert_eq!(call("tasks/cancel", json!({ "id": id })).await.result()["status"]["state"], "canceled");
    assert_eq!(call("tasks/get", json!({ "id": "nobody" })).await.code(), -32001);
    assert_eq!(call("agent/getAuthenticatedExtendedCard", json!({})).await.code(), -32004);
    let direct = call("message/send", json!({ "message": message("direct-1") })).await.result().clone();
    assert_eq!((direct["kind"].as_str(), direct["role"].as_str()), (Some("message"), Some("agent")));
    let params = json!({ "message": message("slow-1"), "configuration": { "blocking": false } });
    let state = call("message/send", params).await.result()["status"]["state"].clone();
    assert!(state == "working" || state == "submitted", "{state}");
}

#[tokio::test]
async fn the_older_stream_says_what_is_final() {
    let world = World::new().await;
    let events = world.stream_as(&[], "message/stream", json!({ "message": message("chunks-1") })).await.rest().await;
    let kinds: Vec<&str> = events.iter().map(|event| event["result"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["task", "status-update", "artifact-update", "artifact-update", "status-update"]);
    let finals: Vec<bool> = events.iter().map(|event| event["result"]["final"].as_bool().unwrap_or(false)).collect();
    assert_eq!(finals, [false, false, false, false, true]);
    assert_eq!(events[4]["result"]["status"]["state"], "completed");
    assert!(events.iter().all(|event| event["id"] == 7 && event["jsonrpc"] == "2.0"));
    let slow = world.stream_as(&[], "message/stream", json!({ "message": message("slow-1") })).await.next().await.unwrap();
    let mut again = world.stream_as(&[], "tasks/resubscribe", json!({ "id": slow["result"]["id"] })).await;
    assert_eq!(again.next().await.unwrap()["result"]["id"], slow["result"]["id"]);
}

#[tokio::test]
async fn skills_are_methods_for_plain_callers() {
    let world = World::new().await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("echo", "  - id: one\n    skill: work\n    inputs: { n: \"{{ workflow.input.n }}\" }\n").await;
    let body = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": "1", "method": method, "params": params }).to_string();
    for path in ["/", "/execute"] {
        let answer = world.post(path, &[], body("execute_workflow", json!({ "workflow_id": "echo", "input": { "n": 42.0 } }))).await;
        assert_eq!(answer.result()["echo"]["n"].to_string(), "42", "{:#}", answer.body);
        let answer = world.post(path, &[], body("workflow:echo", json!({ "n": 7 }))).await;
        assert_eq!(answer.result()["echo"]["n"], 7);
        let answer = world.post(path, &[], body("route_request", json!({ "request": "echo of the tests", "context": { "n": 1 } }))).await;
        assert_eq!(answer.result()["workflow_id"], "echo", "{:#}", answer.body);
        assert_eq!(answer.result()["output"]["echo"]["n"], 1);
        assert!(answer.result()["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    }
    let unsure = world.post("/", &[], body("route_request", json!({ "request": "fly me to the moon" }))).await;
    assert_eq!(unsure.result()["state"], "input_required");
    let missing = json!({ "workflow_id": "nope" });
    assert_eq!(world.post("/", &[], body("execute_workflow", missing.clone())).await.code(), -32602);
    let as_prototype = world.post("/execute", &[], body("execute_workflow", missing)).await;
    assert_eq!((as_prototype.status, as_prototype.code()), (200, -1));
    assert_eq!(as_prototype.body["id"], "1");
}
