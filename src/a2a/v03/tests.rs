//! Both ways between the 1.0 model and 0.3 JSON.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::V03;
use crate::a2a::{
    ListPushConfigsParams, ListPushConfigsResult, Message, Part, PushConfigIdParams, SendMessageParams, SendMessageResponse,
    StreamResponse, Task, TaskPushNotificationConfig, TaskState,
};

/// Reads both forms into the same model, and writes each back as it was.
fn same<T>(new: Value, old: Value)
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
    V03<T>: for<'de> Deserialize<'de>,
    for<'a> V03<&'a T>: Serialize,
{
    let from_new: T = serde_json::from_value(new.clone()).unwrap();
    let V03(from_old) = serde_json::from_value::<V03<T>>(old.clone()).unwrap();
    assert_eq!(from_new, from_old);
    assert_eq!(serde_json::to_value(&from_old).unwrap(), new);
    assert_eq!(serde_json::to_value(V03(&from_new)).unwrap(), old);
}

#[test]
fn parts_and_messages() {
    same::<Part>(json!({ "text": "a", "metadata": { "k": 1 } }), json!({ "kind": "text", "text": "a", "metadata": { "k": 1 } }));
    same::<Part>(json!({ "data": { "a": 1 } }), json!({ "kind": "data", "data": { "a": 1 } }));
    same::<Part>(json!({ "data": [1] }), json!({ "kind": "data", "data": { "value": [1] }, "metadata": { "data_part_compat": true } }));
    same::<Part>(json!({ "data": null }), json!({ "kind": "data", "data": { "value": null }, "metadata": { "data_part_compat": true } }));
    same::<Part>(
        json!({ "raw": "AA", "filename": "a", "mediaType": "image/png" }),
        json!({ "kind": "file", "file": { "bytes": "AA", "mimeType": "image/png", "name": "a" } }),
    );
    same::<Part>(json!({ "url": "http://x" }), json!({ "kind": "file", "file": { "uri": "http://x" } }));
    same::<Message>(
        json!({ "messageId": "m", "contextId": "c", "taskId": "t", "role": "ROLE_AGENT", "parts": [{ "text": "a" }],
            "metadata": { "skill": "s" }, "extensions": ["urn:x"], "referenceTaskIds": ["r"] }),
        json!({ "kind": "message", "messageId": "m", "role": "agent", "parts": [{ "kind": "text", "text": "a" }], "contextId": "c", "taskId": "t",
            "metadata": { "skill": "s" }, "extensions": ["urn:x"], "referenceTaskIds": ["r"] }),
    );
}

#[test]
fn tasks_and_events() {
    let new = json!({ "id": "t", "contextId": "c", "status": { "state": "TASK_STATE_INPUT_REQUIRED", "timestamp": "2026-01-02T03:04:05.678Z",
            "message": { "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": "?" }] } },
        "artifacts": [{ "artifactId": "a", "name": "n", "description": "d", "parts": [{ "data": { "x": 1 } }] }],
        "history": [{ "messageId": "h", "role": "ROLE_USER", "parts": [{ "text": "go" }] }], "metadata": { "k": "v" } });
    let old = json!({ "kind": "task", "id": "t", "contextId": "c", "status": { "state": "input-required", "timestamp": "2026-01-02T03:04:05.678Z",
            "message": { "kind": "message", "messageId": "m", "role": "agent", "parts": [{ "kind": "text", "text": "?" }] } },
        "artifacts": [{ "artifactId": "a", "name": "n", "description": "d", "parts": [{ "kind": "data", "data": { "x": 1 } }] }],
        "history": [{ "kind": "message", "messageId": "h", "role": "user", "parts": [{ "kind": "text", "text": "go" }] }], "metadata": { "k": "v" } });
    same::<Task>(new.clone(), old.clone());
    same::<SendMessageResponse>(json!({ "task": new }), old.clone());
    same::<StreamResponse>(json!({ "task": new }), old);
    same::<SendMessageResponse>(
        json!({ "message": { "messageId": "m", "role": "ROLE_AGENT", "parts": [] } }),
        json!({ "kind": "message", "messageId": "m", "role": "agent", "parts": [] }),
    );
    same::<StreamResponse>(
        json!({ "artifactUpdate": { "taskId": "t", "contextId": "c", "artifact": { "artifactId": "a", "parts": [] }, "append": true, "lastChunk": true } }),
        json!({ "kind": "artifact-update", "taskId": "t", "contextId": "c", "artifact": { "artifactId": "a", "parts": [] }, "append": true, "lastChunk": true }),
    );
    for (new, old, last) in [
        ("TASK_STATE_SUBMITTED", "submitted", false),
        ("TASK_STATE_WORKING", "working", false),
        ("TASK_STATE_COMPLETED", "completed", true),
        ("TASK_STATE_FAILED", "failed", true),
        ("TASK_STATE_CANCELED", "canceled", true),
        ("TASK_STATE_REJECTED", "rejected", true),
        ("TASK_STATE_INPUT_REQUIRED", "input-required", true),
        ("TASK_STATE_AUTH_REQUIRED", "auth-required", true),
    ] {
        same::<StreamResponse>(
            json!({ "statusUpdate": { "taskId": "t", "contextId": "c", "status": { "state": new } } }),
            json!({ "kind": "status-update", "taskId": "t", "contextId": "c", "status": { "state": old }, "final": last }),
        );
    }
}

#[test]
fn params_and_webhooks() {
    let config = json!({ "id": "p", "url": "http://hook", "token": "s", "authentication": { "schemes": ["Bearer"], "credentials": "x" } });
    let message = json!({ "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "a" }] });
    let old_message = json!({ "kind": "message", "messageId": "m", "role": "user", "parts": [{ "kind": "text", "text": "a" }] });
    same::<SendMessageParams>(
        json!({ "message": message, "metadata": { "k": 1 }, "configuration": { "acceptedOutputModes": ["text/plain"], "historyLength": 0, "returnImmediately": true,
            "taskPushNotificationConfig": { "id": "p", "url": "http://hook", "token": "s", "authentication": { "scheme": "Bearer", "credentials": "x" } } } }),
        json!({ "message": old_message, "metadata": { "k": 1 }, "configuration": { "acceptedOutputModes": ["text/plain"], "blocking": false, "historyLength": 0,
            "pushNotificationConfig": config } }),
    );
    same::<SendMessageParams>(
        json!({ "message": message, "configuration": {} }),
        json!({ "message": old_message, "configuration": { "blocking": true } }),
    );
    let V03(unset): V03<SendMessageParams> = serde_json::from_value(json!({ "message": old_message, "configuration": {} })).unwrap();
    assert!(!unset.configuration.unwrap().return_immediately);
    let flat = json!({ "id": "p", "taskId": "t", "url": "http://hook", "token": "s", "authentication": { "scheme": "Bearer", "credentials": "x" } });
    let nested = json!({ "taskId": "t", "pushNotificationConfig": config });
    same::<TaskPushNotificationConfig>(flat.clone(), nested.clone());
    same::<ListPushConfigsResult>(json!({ "configs": [flat], "nextPageToken": "" }), json!([nested]));
    same::<PushConfigIdParams>(json!({ "taskId": "t", "id": "p" }), json!({ "id": "t", "pushNotificationConfigId": "p" }));
    same::<ListPushConfigsParams>(json!({ "taskId": "t" }), json!({ "id": "t" }));
}

#[test]
fn what_is_lenient_and_what_is_refused() {
    let event = |json: Value| serde_json::from_value::<V03<StreamResponse>>(json).map(|event| event.0);
    assert!(matches!(event(json!({ "id": "t", "status": { "state": "working" } })), Ok(StreamResponse::Task(_))));
    assert!(
        matches!(event(json!({ "taskId": "t", "status": { "state": "newer" } })), Ok(StreamResponse::StatusUpdate(update)) if update.status.state == TaskState::Unspecified)
    );
    assert!(matches!(event(json!({ "messageId": "m", "parts": null })), Ok(StreamResponse::Message(_))));
    for bad in [
        json!({}),
        json!({ "kind": "task", "id": "t" }),
        json!({ "kind": "message", "parts": [] }),
        json!({ "kind": "status-update", "status": { "state": "working" } }),
        json!({ "kind": "artifact-update", "taskId": "t" }),
        json!({ "kind": "novelty", "id": "t", "status": { "state": "working" } }),
        json!({ "kind": "message", "messageId": "m", "parts": [{ "kind": "text" }] }),
        json!({ "kind": "message", "messageId": "m", "parts": [{ "kind": "file", "file": {} }] }),
        json!({ "kind": "message", "messageId": "m", "parts": [{ "kind": "file", "file": { "bytes": "A", "uri": "b" } }] }),
        json!({ "kind": "message", "messageId": "m", "parts": [{ "text": "a", "data": {} }] }),
    ] {
        assert!(event(bad.clone()).is_err(), "{bad}");
    }
    let update = json!({ "kind": "status-update", "taskId": "t", "status": { "state": "working" } });
    assert!(serde_json::from_value::<V03<SendMessageResponse>>(update).is_err());
}

#[test]
fn secrets_do_not_show() {
    let config: TaskPushNotificationConfig = serde_json::from_value(
        json!({ "taskId": "t", "url": "http://h", "token": "canary", "authentication": { "scheme": "Bearer", "credentials": "canary" } }),
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("canary"));
}
