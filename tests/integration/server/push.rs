//! Webhooks: configuration, delivery in order, retries, and what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::world::{PATIENCE, World, message, short};

/// A receiver that refuses the first `failures` calls with `status`.
async fn receiver(failures: usize, status: u16) -> MockServer {
    let server = MockServer::start().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let respond = move |_: &Request| {
        let refused = calls.fetch_add(1, Ordering::SeqCst) < failures;
        ResponseTemplate::new(if refused { status } else { 200 })
    };
    Mock::given(method("POST")).respond_with(respond).mount(&server).await;
    server
}

async fn received(server: &MockServer, count: usize) -> Vec<Request> {
    let waiting = async {
        loop {
            let requests = server.received_requests().await.unwrap();
            if requests.len() >= count {
                return requests;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the notifications did not come")
}

fn about(request: &Request) -> String {
    short(&json!({ "result": serde_json::from_slice::<Value>(&request.body).unwrap() }))
}

#[tokio::test]
async fn configurations_are_kept_with_their_task() {
    let world = World::new().await;
    let id = world.say("ask-1").await["task"]["id"].clone();
    let call = |method: &'static str, params: Value| world.call(method, params);
    let authentication = json!({ "scheme": "Bearer", "credentials": "s3cret" });
    let config = json!({ "taskId": id, "id": "c", "url": "http://127.0.0.1:9/a", "token": "t", "authentication": authentication });
    assert_eq!(call("CreateTaskPushNotificationConfig", config.clone()).await.result(), &config);
    assert_eq!(call("GetTaskPushNotificationConfig", json!({ "taskId": id, "id": "c" })).await.result(), &config);
    let made = call("CreateTaskPushNotificationConfig", json!({ "taskId": id, "url": "http://127.0.0.1:9/b" })).await;
    assert!(made.result()["id"].as_str().is_some_and(|id| !id.is_empty()), "the server makes an id");
    let list = call("ListTaskPushNotificationConfigs", json!({ "taskId": id })).await.result().clone();
    assert_eq!((list["configs"].as_array().unwrap().len(), list["nextPageToken"].as_str()), (2, Some("")));
    for _ in 0..2 {
        assert_eq!(call("DeleteTaskPushNotificationConfig", json!({ "taskId": id, "id": "c" })).await.result(), &json!({}));
    }
    assert_eq!(call("GetTaskPushNotificationConfig", json!({ "taskId": id, "id": "c" })).await.code(), -32001);
    for at in 1..8 {
        let config = json!({ "taskId": id, "id": format!("n{at}"), "url": "http://127.0.0.1:9/" });
        assert_eq!(call("CreateTaskPushNotificationConfig", config).await.code(), 0);
    }
    let ninth = json!({ "taskId": id, "id": "n9", "url": "http://127.0.0.1:9/" });
    assert_eq!(call("CreateTaskPushNotificationConfig", ninth).await.code(), -32602);
    let done = world.say("done-1").await["task"]["id"].clone();
    let late = json!({ "taskId": done, "id": "late", "url": "http://127.0.0.1:9/" });
    assert_eq!(call("CreateTaskPushNotificationConfig", late).await.result()["id"], "late", "kept, though nothing follows");
}

#[tokio::test]
async fn every_event_is_delivered_in_order_with_its_secrets() {
    let world = World::new().await;
    let hook = receiver(0, 500).await;
    let authentication = json!({ "scheme": "Bearer", "credentials": "s3cret" });
    let config = json!({ "url": hook.uri(), "token": "t0ken", "authentication": authentication });
    let params = json!({ "message": message("chunks-1"), "configuration": { "taskPushNotificationConfig": config } });
    assert_eq!(world.call("SendMessage", params).await.result()["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    let requests = received(&hook, 4).await;
    assert_eq!(requests.iter().map(about).collect::<Vec<_>>(), ["status:WORKING", "artifact:a", "artifact:a", "status:COMPLETED"]);
    let header = |name: &str| requests[0].headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/a2a+json");
    assert_eq!(header("authorization"), "Bearer s3cret");
    assert_eq!(header("x-a2a-notification-token"), "t0ken");
}

#[tokio::test]
async fn failing_receivers_are_tried_again_and_given_up() {
    let world = World::new().await;
    for (failures, status, calls) in [(2, 503, 3), (2, 429, 3), (99, 500, 5), (99, 403, 1)] {
        let hook = receiver(failures, status).await;
        let params = json!({
            "message": message(&format!("done-{failures}-{status}")),
            "configuration": { "taskPushNotificationConfig": { "url": hook.uri() } },
        });
        let state = world.call("SendMessage", params).await.result()["task"]["status"]["state"].clone();
        assert_eq!(state, "TASK_STATE_COMPLETED", "delivery holds up no task");
        received(&hook, calls).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(hook.received_requests().await.unwrap().len(), calls, "{failures} times {status}");
    }
}

#[tokio::test]
async fn what_must_not_be_called_is_refused_when_registered() {
    let world = World::with(|options| options.push.allow_private_addresses = false).await;
    let id = world.say("ask-1").await["task"]["id"].clone();
    let code = |config: Value| world.call("CreateTaskPushNotificationConfig", config);
    for url in [
        "http://127.0.0.1/",
        "http://localhost:80/",
        "http://0177.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://user:pass@example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "nonsense",
        "",
    ] {
        let answer = code(json!({ "taskId": id, "url": url })).await;
        assert_eq!(answer.code(), -32602, "{url}");
        assert_eq!(answer.body["error"]["data"][0]["fieldViolations"][0]["field"], "url", "{url}");
    }
}

/// All but names of which it depends on the machine and its resolver whether they have an address: those are tested where a test can
/// answer for the resolver.
#[tokio::test]
async fn no_spelling_of_an_internal_address_is_registered() {
    let world = World::with(|options| options.push.allow_private_addresses = false).await;
    let id = world.say("ask-1").await["task"]["id"].clone();
    let list = include_str!("../../fixtures/registry/ssrf-hosts.txt");
    let outside =
        ["1u.ms", "localtest.me", "nip.io", "metadata.google.internal", "o177.0.0.1", "q177.0.0.1", "///x", "ip6-", "localhost./"];
    let (mut checked, mut left) = (0, 0);
    for url in list.lines().filter(|line| !line.trim().is_empty()) {
        if outside.iter().any(|name| url.contains(name)) {
            left += 1;
            continue;
        }
        let answer = world.call("CreateTaskPushNotificationConfig", json!({ "taskId": id, "url": url })).await;
        assert_eq!(answer.code(), -32602, "{url}: {}", answer.body);
        let inline =
            json!({ "message": message(&format!("done-{checked}")), "configuration": { "taskPushNotificationConfig": { "url": url } } });
        assert_eq!(world.call("SendMessage", inline).await.code(), -32602, "{url}");
        checked += 1;
    }
    assert_eq!((checked, left), (72, 11));
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 1, "a message with such a webhook starts nothing");
}

#[tokio::test]
async fn what_would_break_a_header_is_refused_when_registered() {
    let world = World::new().await;
    let id = world.say("ask-1").await["task"]["id"].clone();
    let url = "http://127.0.0.1:9/";
    let register = |config: Value| world.call("CreateTaskPushNotificationConfig", config);
    for broken in ["a\r\nx: y", "a\nb", "a\rb", "\na", "a\n", "a\r\n", "a\u{0}", "a\u{1}b", "a\tb", "a\u{7f}", "a\u{85}", "a\u{2028}b"] {
        for config in [
            json!({ "taskId": id, "url": url, "token": broken }),
            json!({ "taskId": id, "url": url, "authentication": { "scheme": "Bearer", "credentials": broken } }),
            json!({ "taskId": id, "url": url, "authentication": { "scheme": broken, "credentials": "y" } }),
        ] {
            let answer = register(config.clone()).await;
            assert_eq!(answer.code(), -32602, "{config}");
            assert!(!answer.body.to_string().contains("x: y"), "what was refused is not repeated: {}", answer.body);
        }
    }
    for (at, config) in [
        json!({ "token": "fine" }),
        json!({ "authentication": { "scheme": "Bearer", "credentials": "y z" } }),
        json!({ "authentication": { "scheme": "Negotiate" } }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut config = config;
        (config["taskId"], config["id"], config["url"]) = (id.clone(), json!(format!("n{at}")), json!(url));
        assert_eq!(register(config.clone()).await.code(), 0, "{config}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let world = World::new().await;
    let target = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(ResponseTemplate::new(200)).mount(&target).await;
    for status in [301, 302, 303, 307, 308] {
        let hook = MockServer::start().await;
        let redirect = ResponseTemplate::new(status).insert_header("location", target.uri().as_str());
        Mock::given(method("POST")).respond_with(redirect).mount(&hook).await;
        let config = json!({ "url": hook.uri(), "token": "t0ken", "authentication": { "scheme": "Bearer", "credentials": "s3cret" } });
        let sent = json!({ "message": message(&format!("done-{status}")), "configuration": { "taskPushNotificationConfig": config } });
        assert_eq!(world.call("SendMessage", sent).await.code(), 0);
        received(&hook, 1).await;
        // Longer than the rest before another try.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(hook.received_requests().await.unwrap().len(), 1, "{status} is no reason to try again");
        assert!(target.received_requests().await.unwrap().is_empty(), "{status} was followed");
    }
}

#[tokio::test]
async fn webhooks_that_wait_for_their_tasks_are_bounded_in_all() {
    const OVERLOADED: i64 = -32051;
    let world = World::with(|options| options.push.webhooks_max = 2).await;
    let ids = [world.say("ask-1").await["task"]["id"].clone(), world.say("ask-2").await["task"]["id"].clone()];
    let create = |id: &Value, name: &str| {
        let config = json!({ "taskId": id, "id": name, "url": "http://127.0.0.1:9/" });
        let world = &world;
        async move { world.call("CreateTaskPushNotificationConfig", config).await.code() }
    };
    assert_eq!((create(&ids[0], "a").await, create(&ids[1], "a").await), (0, 0));
    assert_eq!(create(&ids[1], "b").await, OVERLOADED);
    let config = json!({ "taskPushNotificationConfig": { "url": "http://127.0.0.1:9/" } });
    let refused = world.call("SendMessage", json!({ "message": message("done-1"), "configuration": config })).await;
    assert_eq!(refused.code(), OVERLOADED);
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 2, "a message with such a webhook starts nothing");
    // Who has gone makes room.
    assert_eq!(world.call("DeleteTaskPushNotificationConfig", json!({ "taskId": ids[0], "id": "a" })).await.code(), 0);
    let taken = async {
        while create(&ids[1], "b").await == OVERLOADED {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("there is room again");
}
