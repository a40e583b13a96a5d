//! Each method, each state, each error code.

use serde_json::{Value, json};

use super::world::{World, message};

#[tokio::test]
async fn every_script_state_reaches_the_caller() {
    let world = World::new().await;
    for (id, state, text) in [
        ("done-1", "TASK_STATE_COMPLETED", "done"),
        ("fail-1", "TASK_STATE_FAILED", "broken"),
        ("ask-1", "TASK_STATE_INPUT_REQUIRED", "what else?"),
        ("login-1", "TASK_STATE_AUTH_REQUIRED", "who are you?"),
        ("refuse-1", "TASK_STATE_REJECTED", "no"),
    ] {
        let result = world.say(id).await;
        let task = &result["task"];
        assert_eq!(task["status"]["state"], state, "{id}");
        assert_eq!(task["status"]["message"]["parts"][0]["text"], text);
        assert_eq!(task["status"]["message"]["role"], "ROLE_AGENT");
        assert_eq!(task["status"]["message"]["taskId"], task["id"]);
        assert!(task["contextId"].as_str().is_some_and(|context| !context.is_empty()));
        let timestamp = task["status"]["timestamp"].as_str().unwrap();
        assert!(timestamp.ends_with('Z') && timestamp.len() == 24, "{timestamp}");
        assert_eq!(task["history"][0]["messageId"], id);
    }
    let direct = world.say("direct-1").await;
    assert_eq!(direct["message"]["parts"][0]["text"], "just so");
    assert!(direct["message"]["messageId"].is_string() && direct["message"]["contextId"].is_string());
    assert!(direct.get("task").is_none());
}

#[tokio::test]
async fn integers_stay_as_they_are() {
    let world = World::new().await;
    let task = world.say("data-1").await["task"].clone();
    let data = &task["artifacts"][0]["parts"][0]["data"];
    assert_eq!(data.to_string(), r#"{"count":42,"big":9007199254740993}"#);
}

#[tokio::test]
async fn get_reads_a_task_and_cuts_its_history() {
    let world = World::new().await;
    let id = world.say("ask-1").await["task"]["id"].clone();
    let mut next = message("done-1");
    next["taskId"] = id.clone();
    let task = world.call("SendMessage", json!({ "message": next })).await.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
    let said = |params: Value| async {
        let task = world.call("GetTask", params).await.result().clone();
        let history = task["history"].as_array().cloned().unwrap_or_default();
        history.iter().map(|message| message["parts"][0]["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said(json!({ "id": id })).await, ["hello", "what else?", "hello", "done"]);
    assert_eq!(said(json!({ "id": id, "historyLength": 2 })).await, ["hello", "done"]);
    assert_eq!(said(json!({ "id": id, "history_length": 1 })).await, ["done"], "snake_case is read as well");
    assert_eq!(said(json!({ "id": id, "historyLength": 0 })).await, Vec::<String>::new());
    assert_eq!(world.call("GetTask", json!({ "id": id, "historyLength": -1 })).await.code(), -32602);
}

#[tokio::test]
async fn blocking_waits_and_returning_immediately_does_not() {
    let world = World::new().await;
    let send = |id: &'static str, immediately: bool| {
        let configuration = json!({ "returnImmediately": immediately, "historyLength": 0 });
        world.call("SendMessage", json!({ "message": message(id), "configuration": configuration }))
    };
    let task = send("brief-1", false).await.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
    assert!(task.get("history").is_none());
    let task = send("slow-1", true).await.result()["task"].clone();
    assert!(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"].contains(&task["status"]["state"].as_str().unwrap()));
}

#[tokio::test]
async fn errors_have_the_codes_and_details_of_the_protocol() {
    let world = World::new().await;
    let done = world.say("done-1").await["task"].clone();
    let asked = world.say("ask-1").await["task"].clone();
    let to = |task: &Value, id: &str| {
        let mut message = message(id);
        message["taskId"] = task["id"].clone();
        message
    };
    let mut elsewhere = to(&asked, "x-1");
    elsewhere["contextId"] = json!("another");
    let mut unknown = message("x-2");
    unknown["taskId"] = json!("nobody");
    let mut odd = message("x-3");
    odd["parts"] = json!([{ "raw": "dGNr", "mediaType": "application/x-unsupported" }]);
    let cases = [
        ("SendMessage", json!({ "message": unknown }), -32001, "TASK_NOT_FOUND"),
        ("SendMessage", json!({ "message": to(&done, "x-4") }), -32004, "UNSUPPORTED_OPERATION"),
        ("SendMessage", json!({ "message": odd }), -32005, "CONTENT_TYPE_NOT_SUPPORTED"),
        ("GetTask", json!({ "id": "nobody" }), -32001, "TASK_NOT_FOUND"),
        ("CancelTask", json!({ "id": "nobody" }), -32001, "TASK_NOT_FOUND"),
        ("CancelTask", json!({ "id": done["id"] }), -32002, "TASK_NOT_CANCELABLE"),
        ("SubscribeToTask", json!({ "id": "nobody" }), -32001, "TASK_NOT_FOUND"),
        ("SubscribeToTask", json!({ "id": done["id"] }), -32004, "UNSUPPORTED_OPERATION"),
        ("GetExtendedAgentCard", json!({}), -32004, "UNSUPPORTED_OPERATION"),
        ("GetTaskPushNotificationConfig", json!({ "taskId": "nobody", "id": "x" }), -32001, "TASK_NOT_FOUND"),
    ];
    for (method, params, code, reason) in cases {
        let answer = world.call(method, params).await;
        assert_eq!((answer.status, answer.code()), (200, code), "{method}: {:#}", answer.body);
        let error = answer.body["error"].as_object().unwrap();
        assert!(error.keys().all(|key| ["code", "message", "data"].contains(&key.as_str())), "{error:?}");
        let info = &error["data"][0];
        assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!(info["reason"], reason);
        assert_eq!(info["domain"], "a2a-protocol.org");
        assert_eq!(answer.body["id"], "q-1");
    }
    let fields = |params: Value| async {
        let answer = world.call("SendMessage", params).await;
        assert_eq!(answer.code(), -32602, "{:#}", answer.body);
        let detail = &answer.body["error"]["data"][0];
        assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest");
        detail["fieldViolations"].as_array().unwrap().iter().map(|v| v["field"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(fields(json!({ "message": elsewhere })).await, ["message.contextId"]);
    assert_eq!(fields(json!({})).await, ["params"]);
    assert_eq!(fields(json!([])).await, ["params"]);
    assert_eq!(
        fields(json!({ "message": { "messageId": "", "role": "ROLE_AGENT", "parts": [] } })).await,
        ["message.messageId", "message.parts", "message.role"]
    );
    assert_eq!(
        fields(json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "a", "url": "b" }] } })).await,
        ["params"]
    );
    assert_eq!(
        fields(json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "a" }], "metadata": { "skill": "fly" } } }))
            .await,
        ["message.metadata.skill"]
    );
    assert_eq!(world.call("NoSuchMethod", json!({})).await.code(), -32601);
    assert_eq!(world.call("rpc.discover", json!({})).await.code(), -32601);
}

#[tokio::test]
async fn capabilities_that_are_off_answer_so() {
    let world = World::with(|options| {
        options.card.streaming = false;
        options.card.push_notifications = false;
    })
    .await;
    let id = world.say("ask-1").await["task"]["id"].clone();
    let config = json!({ "taskId": id, "url": "https://example.com/hook" });
    for (method, params, code) in [
        ("SendStreamingMessage", json!({ "message": message("done-1") }), -32004),
        ("SubscribeToTask", json!({ "id": id }), -32004),
        ("CreateTaskPushNotificationConfig", config.clone(), -32003),
        ("GetTaskPushNotificationConfig", json!({ "taskId": id, "id": "x" }), -32003),
        ("ListTaskPushNotificationConfigs", json!({ "taskId": id }), -32003),
        ("DeleteTaskPushNotificationConfig", json!({ "taskId": id, "id": "x" }), -32003),
        ("SendMessage", json!({ "message": message("done-2"), "configuration": { "taskPushNotificationConfig": config } }), -32003),
    ] {
        assert_eq!(world.call(method, params).await.code(), code, "{method}");
    }
}

#[tokio::test]
async fn versions_and_extensions_are_negotiated() {
    let world = World::with(|options| options.card.required_extensions = vec!["urn:test:needed".to_owned()]).await;
    let params = || json!({ "message": message("done-1") });
    let spoken = ["1.0", "", "0.3", "1.0.0", "1.0.7", "0.3.12"].map(|version| (version, 0));
    let unknown = ["99.0", "1.1", "0.2", "1", "1.0.", "1.0.x", "1.0.0.1", ".", "nonsense"].map(|version| (version, -32009));
    for (version, code) in spoken.into_iter().chain(unknown) {
        let headers = [("A2A-Version", version), ("A2A-Extensions", "urn:other, urn:test:needed")];
        assert_eq!(world.call_as(&headers, "SendMessage", params()).await.code(), code, "{version}");
    }
    assert_eq!(world.call("SendMessage", params()).await.code(), -32008);
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params() }).to_string();
    let answer = world.post("/?A2A-Version=7.0", &[("A2A-Extensions", "urn:test:needed")], body).await;
    assert_eq!(answer.code(), -32009, "the version may stand in the query");
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for at in 0..5 {
        let mut message = message(&format!("data-{at}"));
        message["contextId"] = json!(if at % 2 == 0 { "even" } else { "odd" });
        let result = world.call("SendMessage", json!({ "message": message })).await;
        ids.push(result.result()["task"]["id"].as_str().unwrap().to_owned());
    }
    world.say("ask-1").await;
    let list = |params: Value| async { world.call("ListTasks", params).await.result().clone() };
    let all = list(json!({})).await;
    assert_eq!((all["totalSize"].as_u64(), all["pageSize"].as_u64(), all["nextPageToken"].as_str()), (Some(6), Some(50), Some("")));
    let tasks = all["tasks"].as_array().unwrap();
    assert!(tasks.iter().all(|task| task.get("artifacts").is_none()));
    assert!(tasks.windows(2).all(|pair| pair[0]["status"]["timestamp"].as_str() >= pair[1]["status"]["timestamp"].as_str()));
    assert_eq!(list(json!({ "contextId": "even" })).await["totalSize"], 3);
    assert_eq!(list(json!({ "status": "TASK_STATE_INPUT_REQUIRED" })).await["totalSize"], 1);
    assert!(list(json!({ "includeArtifacts": true, "contextId": "odd" })).await["tasks"][0]["artifacts"][0]["parts"][0].is_object());
    assert_eq!(list(json!({ "statusTimestampAfter": "2999-01-01T00:00:00Z" })).await["totalSize"], 0);
    assert!(list(json!({ "historyLength": 0 })).await["tasks"][0].get("history").is_none());

    let (mut seen, mut token) = (Vec::new(), String::new());
    for _ in 0..4 {
        let page = list(json!({ "pageSize": 2, "pageToken": token })).await;
        assert_eq!(page["totalSize"], 6);
        seen.extend(page["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()));
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 6);
    assert!(ids.iter().all(|id| seen.contains(id)));
    for params in [
        json!({ "pageSize": 0 }),
        json!({ "pageSize": 101 }),
        json!({ "pageToken": "???" }),
        json!({ "pageToken": "bm9wZQ" }),
        json!({ "status": "DONE" }),
        json!({ "statusTimestampAfter": "yesterday" }),
        json!({ "historyLength": -1 }),
    ] {
        assert_eq!(world.call("ListTasks", params.clone()).await.code(), -32602, "{params}");
    }
}

#[tokio::test]
async fn a_task_that_waits_or_works_can_be_cancelled() {
    let world = World::new().await;
    let send = json!({ "message": message("slow-1"), "configuration": { "returnImmediately": true } });
    let slow = world.call("SendMessage", send).await.result()["task"]["id"].clone();
    let asked = world.say("ask-1").await["task"]["id"].clone();
    for id in [slow, asked] {
        let task = world.call("CancelTask", json!({ "id": id })).await.result().clone();
        assert_eq!((&task["id"], task["status"]["state"].as_str()), (&id, Some("TASK_STATE_CANCELED")));
        assert_eq!(world.call("CancelTask", json!({ "id": id })).await.code(), -32002);
    }
}

#[tokio::test]
async fn a_repeated_message_gives_the_same_task() {
    let world = World::new().await;
    let first = world.say("done-1").await["task"]["id"].clone();
    let many = (0..200).map(|_| world.say("done-1"));
    for again in futures_util::future::join_all(many).await {
        assert_eq!(again["task"]["id"], first);
    }
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 1);
    assert_ne!(world.say("done-2").await["task"]["id"], first);
}
