//! Bounds: size, time, rate, and readers that do not read. The codes are our own.

use std::time::{Duration, Instant};

use gantry::limits::MESSAGE_ID_BYTES_MAX;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::runs::execute;
use super::world::{PATIENCE, World, echo, message};

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.url.trim_start_matches("http://")).await.unwrap()
}

/// Everything until the server closes.
async fn closed(mut stream: TcpStream) -> String {
    let mut read = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("the server does not close").ok();
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn large_bodies_are_413_before_they_are_read() {
    let world = World::with(|options| options.limits.body_bytes_max = 1000).await;
    let mut told = connect(&world).await;
    // Nothing but the head is sent: the answer cannot have waited for the body.
    told.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 104857600\r\n\r\n").await.unwrap();
    let answer = closed(told).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("-32052"), "{answer}");
    let chunks = futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1000])));
    // By a client of its own: the connection is about to be closed, and must not be used again.
    let other = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let sent = other.post(&world.url).header("content-type", "application/json").body(reqwest::Body::wrap_stream(chunks)).send().await;
    // The server may close while the client still sends; when the answer arrives it is the right one.
    if let Ok(response) = sent {
        assert_eq!(response.status(), 413);
    }
    assert_eq!(world.post("/", &[], " ".repeat(1000)).await.code(), -32700, "the limit itself is allowed");
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_are_cut() {
    let world = World::with(|options| {
        options.limits.header_timeout = Duration::from_millis(200);
        options.limits.body_timeout = Duration::from_millis(200);
    })
    .await;
    let mut silent = connect(&world).await;
    silent.write_all(b"POST / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let nothing = connect(&world).await;
    let mut body = connect(&world).await;
    body.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{").await.unwrap();
    let (head, idle, body) = tokio::join!(closed(silent), closed(nothing), closed(body));
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(idle.is_empty() || idle.starts_with("HTTP/1.1 408"), "{idle}");
    assert!(body.starts_with("HTTP/1.1 408") && body.contains("-32054"), "{body}");
    assert_eq!(world.call("ListTasks", json!({})).await.code(), 0);
}

#[tokio::test]
async fn rate_and_concurrency_say_when_to_come_back() {
    let world = World::with(|options| options.limits.rate_per_second = Some(2)).await;
    let codes =
        [world.call("ListTasks", json!({})).await, world.call("ListTasks", json!({})).await, world.call("ListTasks", json!({})).await];
    let refused = &codes[2];
    assert_eq!((refused.status, refused.code()), (429, -32050));
    assert_eq!(refused.headers["retry-after"], "1");

    let world = World::with(|options| options.limits.requests_max = 1).await;
    let wait = || world.call("SendMessage", json!({ "message": message("slow-1") }));
    let mut waiting = Box::pin(wait());
    let mut refused = None;
    // The first request is inside as soon as another one is refused.
    while refused.is_none() {
        tokio::select! {
            answer = &mut waiting => {
                assert_eq!(answer.status, 503, "the other was inside: {answer:?}");
                waiting = Box::pin(wait());
            }
            answer = world.call("ListTasks", json!({})) => refused = Some(answer).filter(|answer| answer.status != 200),
        }
    }
    let refused = refused.unwrap();
    assert_eq!((refused.status, refused.code()), (503, -32051));
    assert!(refused.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn more_runs_than_may_be_under_way_are_refused_until_one_has_ended() {
    let world = World::of_runs(1).await;
    // One that calls: those that wait for people come to rest when there are many, and make room.
    let _agent = world.agent(&["work"], |request: &wiremock::Request| echo(request).set_delay(PATIENCE)).await;
    world.workflow("calls", "  - {id: call, skill: work}\n").await;
    let begin = |id: &'static str| {
        let params = json!({ "message": execute(id, "calls", json!({})), "configuration": { "returnImmediately": true } });
        world.call("SendMessage", params)
    };
    let is_under_way = |task: &Value| ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"].iter().any(|state| task["status"]["state"] == *state);
    let first = begin("m-1").await.result()["task"].clone();
    assert!(is_under_way(&first), "{first:#}");
    let refused = begin("m-2").await;
    assert_eq!((refused.status, refused.code()), (503, -32051), "{:#}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("1 runs are under way"), "{:#}", refused.body);
    let plain = world.call("execute_workflow", json!({ "workflow_id": "calls" })).await;
    assert_eq!((plain.status, plain.code()), (503, -32051), "{:#}", plain.body);
    assert_eq!(world.call("CancelTask", json!({ "id": first["id"] })).await.result()["status"]["state"], "TASK_STATE_CANCELED");
    // Repeated as it was refused.
    let second = begin("m-2").await.result()["task"].clone();
    assert!(is_under_way(&second), "{second:#}");
}

#[tokio::test]
async fn content_types_are_json_by_any_name_or_refused() {
    let world = World::new().await;
    let body = || json!({ "jsonrpc": "2.0", "id": 1, "method": "ListTasks" }).to_string();
    for (content_type, status) in [
        ("application/json", 200),
        ("application/json; charset=UTF-8", 200),
        ("application/a2a+json", 200),
        ("application/json-rpc", 200),
        ("text/html", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
    ] {
        let answer = world.post("/", &[("content-type", content_type)], body()).await;
        assert_eq!(answer.status, status, "{content_type}");
        assert_eq!(answer.code(), if status == 200 { 0 } else { -32005 });
    }
}

#[tokio::test]
async fn odd_requests_get_plain_http_answers() {
    let world = World::new().await;
    for (method, path, status) in [
        (reqwest::Method::GET, "/", 405),
        (reqwest::Method::PUT, "/", 405),
        (reqwest::Method::POST, "/nowhere", 404),
        (reqwest::Method::GET, "/healthz", 200),
        (reqwest::Method::GET, "/readyz", 200),
    ] {
        let response = world.http.request(method.clone(), format!("{}{path}", world.url)).send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_cut_and_the_others_are_not() {
    let world = World::with(|options| {
        options.limits.stream_bytes_max = 4096;
        options.limits.write_timeout = Duration::from_millis(300);
        let piece = json!({ "artifact": { "id": "a", "parts": [{ "text": "x".repeat(100_000) }], "append": true } });
        let mut acts = vec![json!({ "status": "working" })];
        // Far more than the system's buffers hold.
        acts.extend(std::iter::repeat_n(json!([piece, { "delay": "2ms" }]), 300).flat_map(|pair| pair.as_array().unwrap().clone()));
        acts.push(json!({ "status": "completed" }));
        let rule = json!({ "name": "flood", "when": { "messageId": "^flood" }, "respond": acts });
        options.router.rules.push(serde_json::from_value(rule).unwrap());
    })
    .await;
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": { "message": message("flood-1") } }).to_string();
    let mut lazy = connect(&world).await;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\na2a-version: 1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    lazy.write_all(head.as_bytes()).await.unwrap();
    lazy.write_all(body.as_bytes()).await.unwrap();
    let started = Instant::now();
    // The task goes on and ends although its first reader never reads.
    let task = loop {
        let list = world.call("ListTasks", json!({ "status": "TASK_STATE_COMPLETED" })).await;
        if let Some(task) = list.result()["tasks"].get(0) {
            break task.clone();
        }
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let seen = closed(lazy).await;
    assert!(!seen.contains("TASK_STATE_COMPLETED"), "the lazy reader must not have got the end");
    let whole = world.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
    assert_eq!(whole["artifacts"][0]["parts"].as_array().map(Vec::len), Some(300), "nothing was lost but for the lazy reader");
    assert_ne!(whole, Value::Null);
}

#[tokio::test]
async fn ids_of_messages_may_have_so_many_bytes() {
    let world = World::new().await;
    for (more, code) in [(0, 0), (1, -32602)] {
        // What the rules of the tests go by comes first.
        let (mut long, bytes) = (message("done-1"), MESSAGE_ID_BYTES_MAX + more);
        long["messageId"] = json!(format!("done-{}", "m".repeat(bytes - 5)));
        let answer = world.call("SendMessage", json!({ "message": long })).await;
        assert_eq!(answer.code(), code, "{bytes}: {}", answer.body);
        assert_eq!(answer.body.to_string().contains("longer than 8192 bytes"), code != 0, "{}", answer.body);
        let bytes = 512 + more;
        let mut long = message(&format!("done-{bytes}"));
        long["contextId"] = json!("c".repeat(bytes));
        let answer = world.call("SendMessage", json!({ "message": long })).await;
        assert_eq!(answer.code(), code, "{bytes}: {}", answer.body);
        assert_eq!(answer.body.to_string().contains("longer than 512 bytes"), code != 0, "{}", answer.body);
    }
}
