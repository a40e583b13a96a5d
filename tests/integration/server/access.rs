//! Who sees what: every operation is scoped to its caller, and not-yours looks exactly like not-there.

use gantry::server::{Options, Token};
use serde_json::{Value, json};

use super::world::{World, message};

const ANN: &[(&str, &str)] = &[("A2A-Version", "1.0"), ("Authorization", "Bearer ann-secret")];
const BOB: &[(&str, &str)] = &[("A2A-Version", "1.0"), ("X-API-Key", "bob-secret")];

fn two_callers(options: &mut Options) {
    let token = |caller: &str, secret: &str| Token { caller: caller.to_owned(), token: Some(secret.to_owned()), sha256: None };
    options.auth.tokens = vec![token("ann", "ann-secret"), token("bob", "bob-secret")];
}

#[tokio::test]
async fn a_task_is_not_there_for_others() {
    let world = World::with(two_callers).await;
    let sent = world.call_as(ANN, "SendMessage", json!({ "message": message("ask-1") })).await;
    let task = sent.result()["task"].clone();
    let id = task["id"].as_str().unwrap();
    let config = json!({ "taskId": id, "id": "c", "url": "http://127.0.0.1:9/" });
    assert_eq!(world.call_as(ANN, "CreateTaskPushNotificationConfig", config).await.code(), 0);
    let missing = "0".repeat(id.len());
    for (method, params) in [
        ("GetTask", json!({ "id": "ID" })),
        ("CancelTask", json!({ "id": "ID" })),
        ("SubscribeToTask", json!({ "id": "ID" })),
        ("SendMessage", json!({ "message": { "messageId": "m", "role": "ROLE_USER", "taskId": "ID", "parts": [{ "text": "x" }] } })),
        (
            "SendStreamingMessage",
            json!({ "message": { "messageId": "n", "role": "ROLE_USER", "taskId": "ID", "parts": [{ "text": "x" }] } }),
        ),
        ("CreateTaskPushNotificationConfig", json!({ "taskId": "ID", "url": "http://127.0.0.1:9/" })),
        ("GetTaskPushNotificationConfig", json!({ "taskId": "ID", "id": "c" })),
        ("ListTaskPushNotificationConfigs", json!({ "taskId": "ID" })),
        ("DeleteTaskPushNotificationConfig", json!({ "taskId": "ID", "id": "c" })),
    ] {
        let of = |id: &str| serde_json::from_str::<Value>(&params.to_string().replace("ID", id)).unwrap();
        let (theirs, nobodys) = (world.call_as(BOB, method, of(id)).await, world.call_as(BOB, method, of(&missing)).await);
        assert_eq!(theirs.code(), -32001, "{method}");
        assert_eq!(theirs.body.to_string().replace(id, &missing), nobodys.body.to_string(), "{method}: the same bytes");
    }
    assert_eq!(world.call_as(BOB, "ListTasks", json!({})).await.result()["totalSize"], 0);
    let same_message = world.call_as(BOB, "SendMessage", json!({ "message": message("ask-1") })).await;
    assert_ne!(same_message.result()["task"]["id"], task["id"], "message ids are each caller's own");
    assert_eq!(world.call_as(ANN, "GetTask", json!({ "id": id })).await.result()["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
}

#[tokio::test]
async fn no_token_and_a_wrong_one_are_401_before_anything_is_read() {
    let world = World::with(two_callers).await;
    for headers in
        [&[][..], &[("Authorization", "Bearer nobody")], &[("Authorization", "Basic YW5uOmFubi1zZWNyZXQ=")], &[("X-API-Key", "")]]
    {
        let answer = world.call_as(headers, "ListTasks", json!({})).await;
        assert_eq!((answer.status, answer.code()), (401, -32053), "{headers:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert!(!answer.body.to_string().contains("secret"));
    }
    let card: Value = world.http.get(format!("{}/.well-known/agent-card.json", world.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]["scheme"], "Bearer");
    assert_eq!(card["securityRequirements"].as_array().unwrap().len(), 2);
}
