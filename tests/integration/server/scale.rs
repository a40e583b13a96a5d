//! Many of everything: duplicates, guessed ids, readers that do not read, connections that say nothing.
//!
//! The counts are small enough for every run of the tests; with `GANTRY_SCALE=full` in the environment they are the ones that the
//! server promises to bear.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use gantry::server::{Options, Token};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use wiremock::Request;

use super::runs::execute;
use super::world::{PATIENCE, World, echo, message, short};
use crate::trickle::trickle;

/// How many: the first by default, the second when the full scale is asked for.
fn count(moderate: usize, full: usize) -> usize {
    match std::env::var("GANTRY_SCALE").as_deref() {
        Ok("full") => full,
        _ => moderate,
    }
}

const V1: (&str, &str) = ("A2A-Version", "1.0");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_of_one_message_from_many_clients_are_one_task_and_one_run() {
    const CLIENTS: usize = 64;
    let each = count(640, 10_000).div_ceil(CLIENTS);
    let world = World::new().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let agent = move |request: &Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        // Long enough for duplicates to arrive before the first one is answered.
        echo(request).set_delay(Duration::from_millis(200))
    };
    let _agent = world.agent(&["work"], agent).await;
    world.workflow("once", "  - { id: one, skill: work }\n").await;
    let params = json!({ "message": execute("the-same", "once", json!({ "n": 1 })) });
    // The first caller is gone before its answer: the others are its retries.
    tokio::time::timeout(Duration::from_millis(50), world.call("SendMessage", params.clone())).await.unwrap_err();
    let client = || async {
        let mut ids = Vec::new();
        for _ in 0..each {
            let answer = world.call("SendMessage", params.clone()).await;
            let task = &answer.result()["task"];
            assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
            ids.push(task["id"].as_str().unwrap().to_owned());
        }
        ids
    };
    let ids = join_all((0..CLIENTS).map(|_| client())).await.concat();
    assert_eq!(ids.len(), each * CLIENTS);
    assert!(ids.iter().all(|id| *id == ids[0]), "one task");
    assert_eq!(calls.load(Ordering::SeqCst), 1, "one run");
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 1);
}

const ANN: &[(&str, &str)] = &[V1, ("Authorization", "Bearer ann-secret")];
const BOB: &[(&str, &str)] = &[V1, ("Authorization", "Bearer bob-secret")];

fn two_callers(options: &mut Options) {
    let token = |caller: &str| Token { caller: caller.to_owned(), token: Some(format!("{caller}-secret")), sha256: None };
    options.auth.tokens = vec![token("ann"), token("bob")];
}

/// Each method that names a task, with its parameters; `ID` stands for the task's.
fn methods() -> Vec<(&'static str, String)> {
    let told = json!({ "message": { "messageId": "m", "role": "ROLE_USER", "taskId": "ID", "parts": [{ "text": "x" }] } });
    let config = json!({ "taskId": "ID", "id": "c" });
    [
        ("GetTask", json!({ "id": "ID" })),
        ("CancelTask", json!({ "id": "ID" })),
        ("SubscribeToTask", json!({ "id": "ID" })),
        ("SendMessage", told.clone()),
        ("SendStreamingMessage", told),
        ("CreateTaskPushNotificationConfig", json!({ "taskId": "ID", "url": "http://127.0.0.1:9/" })),
        ("GetTaskPushNotificationConfig", config.clone()),
        ("ListTaskPushNotificationConfigs", json!({ "taskId": "ID" })),
        ("DeleteTaskPushNotificationConfig", config),
    ]
    .map(|(method, params)| (method, params.to_string()))
    .into()
}

/// Status and body, byte for byte.
async fn bytes(world: &World, headers: &[(&str, &str)], method: &str, params: &str) -> (u16, String) {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let mut request = world.http.post(&world.url).header("content-type", "application/json").body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessed_ids_find_nothing_and_say_nothing() {
    let guesses = count(100, 10_000);
    let world = World::with(two_callers).await;
    let sent = world.call_as(ANN, "SendMessage", json!({ "message": message("ask-1") })).await;
    let id = sent.result()["task"]["id"].as_str().unwrap().to_owned();
    let made = uuid::Uuid::parse_str(&id).expect("task ids are UUIDs");
    assert_eq!(made.get_version_num(), 4, "122 random bits: nothing in an id can be known");
    let config = json!({ "taskId": id, "id": "c", "url": "http://127.0.0.1:9/" });
    assert_eq!(world.call_as(ANN, "CreateTaskPushNotificationConfig", config).await.code(), 0);
    let before = bytes(&world, ANN, "GetTask", &json!({ "id": id }).to_string()).await;

    let methods = methods();
    // Neighbours of the real id, and ids like it.
    let guess = |at: usize| match at % 2 {
        0 => uuid::Uuid::from_u128(made.as_u128() ^ (1 + at as u128)),
        _ => uuid::Uuid::new_v4(),
    };
    let tried = stream::iter(0..guesses).map(|at| {
        let (world, (method, params), guess) = (&world, &methods[at % methods.len()], guess(at).to_string());
        let id = &id;
        async move {
            let theirs = bytes(world, BOB, method, &params.replace("ID", id)).await;
            let nobodys = bytes(world, BOB, method, &params.replace("ID", &guess)).await;
            assert!(nobodys.1.contains("-32001"), "{method}: {}", nobodys.1);
            assert_eq!((theirs.0, theirs.1.replace(id.as_str(), &guess)), nobodys, "{method}: the same bytes");
        }
    });
    assert_eq!(tried.buffer_unordered(16).count().await, guesses);
    assert_eq!(world.call_as(BOB, "ListTasks", json!({})).await.result()["totalSize"], 0);
    assert_eq!(bytes(&world, ANN, "GetTask", &json!({ "id": id }).to_string()).await, before, "its owner's task is as it was");
}

/// Pieces of the flood, and their size: together more than what is kept for a reader that stops, even by a system that bounds its
/// buffers by itself.
const PIECES: usize = 150;
const PIECE_BYTES: usize = 32 * 1024;
/// What a reader that stops can have been sent: what waits in the system's buffers, and a piece or two on the way there.
const SENT_BYTES_MAX: usize = 512 * 1024;

fn flood(options: &mut Options) {
    options.limits.write_timeout = Duration::from_millis(500);
    // Who is told that it was cut is let go soon after.
    options.limits.header_timeout = Duration::from_secs(1);
    let piece = json!({ "artifact": { "id": "a", "parts": [{ "text": "x".repeat(PIECE_BYTES) }], "append": true } });
    // The task has no end, so that who was cut can come back.
    let waits = json!({ "status": "input_required", "message": "go on?" });
    let mut acts = vec![json!({ "status": "working" })];
    for _ in 0..PIECES {
        acts.extend([piece.clone(), json!({ "delay": "15ms" })]);
    }
    acts.push(waits);
    let rule = json!({ "name": "flood", "when": { "messageId": "^flood" }, "respond": acts });
    options.router.rules.push(serde_json::from_value(rule).unwrap());
}

/// Subscribes, and reads no more than the head of the answer.
async fn lazy(world: &World, id: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // The smallest that the system allows: what is unread should not hide in the system's buffers.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(world.url.trim_start_matches("http://").parse().unwrap()).await.unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": { "id": id } }).to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\na2a-version: 1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

/// Everything until the server closes.
async fn closed(mut stream: TcpStream) -> String {
    let mut read = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("the server does not close").ok();
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_that_stop_reading_are_cut_and_the_one_that_reads_sees_everything() {
    let world = World::with(flood).await;
    let id = world.say("ask-1").await["task"]["id"].as_str().unwrap().to_owned();
    let mut fast = world.stream("SubscribeToTask", json!({ "id": id })).await;
    assert_eq!(short(&fast.next().await.unwrap()), "task:INPUT_REQUIRED");
    let readers: Vec<TcpStream> = stream::iter(0..count(50, 1000)).map(|_| lazy(&world, &id)).buffer_unordered(32).collect().await;
    let mut go_on = message("flood-1");
    go_on["taskId"] = json!(id);
    let told = tokio::spawn({
        let params = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": { "message": go_on } });
        world.http.post(&world.url).header(V1.0, V1.1).json(&params).send()
    });
    let mut pieces = 0;
    loop {
        match short(&fast.next().await.expect("the fast reader is not cut")).as_str() {
            "artifact:a" => pieces += 1,
            "status:INPUT_REQUIRED" => break,
            other => assert_eq!(other, "status:WORKING"),
        }
    }
    assert_eq!(pieces, PIECES, "the fast reader sees every event");
    assert_eq!(told.await.unwrap().unwrap().status(), 200);
    // The task is not at its end, so nothing but a cut closes these.
    let cut = stream::iter(readers).map(|reader| async move {
        let read = closed(reader).await;
        assert!(read.len() < SENT_BYTES_MAX, "{} bytes were kept for a reader that does not read", read.len());
    });
    assert_eq!(cut.buffer_unordered(8).count().await, count(50, 1000));
    // What they missed is there when they come back; one of them reads it to the last piece.
    let again = stream::iter(0..count(10, 100)).map(|_| lazy(&world, &id)).buffer_unordered(32).collect::<Vec<_>>().await;
    assert_eq!(again.len(), count(10, 100));
    let parts = snapshot(&world, &id).await["artifacts"][0]["parts"].clone();
    assert_eq!(parts.as_array().unwrap().len(), PIECES, "nothing is lost for who subscribes again");
}

/// The task as a new subscriber sees it first.
async fn snapshot(world: &World, id: &str) -> Value {
    let first = world.stream("SubscribeToTask", json!({ "id": id })).await.next().await.unwrap();
    assert_eq!(short(&first), "task:INPUT_REQUIRED");
    first["result"]["task"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_connections_are_cut_and_healthy_requests_answered_meanwhile() {
    const DEADLINE: Duration = Duration::from_secs(3);
    const PAUSE: Duration = Duration::from_millis(100);
    let world = World::with(|options| {
        options.limits.header_timeout = DEADLINE;
        options.limits.body_timeout = DEADLINE;
    })
    .await;
    let head = b"POST / HTTP/1.1\r\nhost: x\r\n";
    let body = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{";
    let address = world.url.trim_start_matches("http://");
    let slow = (0..count(200, 1000)).map(|at| match at % 2 {
        0 => tokio::spawn(trickle(address.to_owned(), head, b"x-slow: 1\r\n", PAUSE)),
        _ => tokio::spawn(trickle(address.to_owned(), body, b" ", PAUSE)),
    });
    let slow: Vec<_> = slow.collect();
    let (started, mut answered) = (Instant::now(), 0);
    while started.elapsed() < DEADLINE {
        assert_eq!(world.call("ListTasks", json!({})).await.code(), 0);
        answered += 1;
    }
    assert!(answered >= 10, "{answered} healthy requests were answered in {DEADLINE:?}");
    for slow in slow {
        let (took, said) = slow.await.unwrap();
        assert!(took < DEADLINE * 3, "a slow connection was cut after {took:?} only");
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
}
