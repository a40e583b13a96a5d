//! Agents that stream, well and badly.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry::a2a::{Card, Dialect};
use gantry::agent::{ErrorKind, Progress, Question, Remote, Reply};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::support::{MESSAGE_ID, Raw, ask, ask_listening, call, card, client, head, pass};

fn streaming(dialect: Dialect, url: &str) -> Card {
    Card { streaming: true, ..card(dialect, url) }
}

/// One answer of a scripted agent.
#[derive(Debug, Clone)]
enum Step {
    /// An event stream of exactly these bytes, one write each, then the end.
    Bytes(Vec<Vec<u8>>),
    /// An event stream of these results, each in an envelope with the request's id.
    Events(Vec<Value>),
    /// The same, but it does not end.
    Silent(Vec<Value>),
    /// One JSON answer.
    Json(Value),
}

/// An agent that takes one step for each request, and notes the methods.
async fn agent(steps: Vec<Step>) -> (Raw, Arc<Mutex<Vec<String>>>) {
    let methods = Arc::new(Mutex::new(Vec::new()));
    let (noted, left) = (Arc::clone(&methods), Arc::new(Mutex::new(steps.into_iter().rev().collect::<Vec<_>>())));
    let raw = Raw::start(move |mut stream, envelope: Value| {
        noted.lock().unwrap().push(envelope["method"].as_str().unwrap().to_owned());
        let step = left.lock().unwrap().pop();
        let ends = !matches!(step, Some(Step::Silent(_)));
        async move {
            let wrap = |result: &Value| json!({ "jsonrpc": "2.0", "id": envelope["id"], "result": result });
            let (content_type, writes) = match step {
                Some(Step::Bytes(writes)) => ("text/event-stream", writes),
                Some(Step::Events(events) | Step::Silent(events)) => {
                    ("text/event-stream", events.iter().map(|event| format!("data: {}\n\n", wrap(event)).into_bytes()).collect())
                }
                Some(Step::Json(mut answer)) => {
                    answer["id"] = envelope["id"].clone();
                    ("application/json", vec![answer.to_string().into_bytes()])
                }
                None => return,
            };
            let _ = stream.set_nodelay(true);
            let _ = stream.write_all(head(content_type, "").as_bytes()).await;
            for bytes in writes {
                let _ = stream.write_all(&bytes).await;
                tokio::task::yield_now().await;
            }
            if !ends {
                std::future::pending().await
            }
        }
    })
    .await;
    (raw, methods)
}

/// Events in the words of 1.0.
fn opened(state: &str) -> Value {
    json!({ "task": { "id": "t-1", "contextId": "c-1", "status": { "state": state } } })
}

fn status(state: &str, says: Option<&str>) -> Value {
    let mut status = json!({ "state": state });
    if let Some(text) = says {
        status["message"] = json!({ "messageId": "s", "role": "ROLE_AGENT", "parts": [{ "text": text }] });
    }
    json!({ "statusUpdate": { "taskId": "t-1", "contextId": "c-1", "status": status } })
}

fn artifact(id: &str, part: Value, append: bool) -> Value {
    json!({ "artifactUpdate": { "taskId": "t-1", "contextId": "c-1", "artifact": { "artifactId": id, "parts": [part] }, "append": append } })
}

#[tokio::test]
async fn streams_are_followed_to_their_end() {
    let (working, completed) = ("TASK_STATE_WORKING", "TASK_STATE_COMPLETED");
    for (events, expected) in [
        (vec![opened(working), artifact("a", json!({ "data": { "x": 1 } }), false), status(completed, None)], json!({ "x": 1 })),
        (
            vec![
                opened(working),
                artifact("a", json!({ "text": "{\"x\"" }), false),
                artifact("a", json!({ "text": ": 2}" }), true),
                status(completed, None),
            ],
            json!({ "x": 2 }),
        ),
        (
            vec![
                opened(working),
                artifact("a", json!({ "data": 1 }), false),
                artifact("a", json!({ "data": 2 }), false),
                status(completed, None),
            ],
            json!(2),
        ),
        (
            vec![
                opened(working),
                artifact("a", json!({ "data": 1 }), false),
                artifact("b", json!({ "data": 2 }), true),
                status(completed, None),
            ],
            json!({ "a": 1, "b": 2 }),
        ),
        (vec![json!({ "message": { "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "data": { "x": 3 } }] } })], json!({ "x": 3 })),
        (vec![opened(working), status(completed, Some("{\"x\": 4}"))], json!({ "x": 4 })),
        (vec![status(working, None), artifact("a", json!({ "data": 5 }), false), status(completed, None)], json!(5)),
    ] {
        let (raw, methods) = agent(vec![Step::Events(events.clone())]).await;
        let reply = ask(&client(), call(streaming(Dialect::A2a1, &raw.url))).await.unwrap();
        assert_eq!(reply, Reply::Value(expected), "{events:?}");
        assert_eq!(*methods.lock().unwrap(), ["SendStreamingMessage"]);
    }
}

#[tokio::test]
async fn the_older_dialect_streams_too() {
    let events = vec![
        json!({ "kind": "task", "id": "t-1", "contextId": "c-1", "status": { "state": "submitted" } }),
        json!({ "kind": "status-update", "taskId": "t-1", "contextId": "c-1", "final": false, "status": { "state": "working",
            "message": { "kind": "message", "messageId": "s", "role": "agent", "parts": [{ "kind": "text", "text": "half way" }] } } }),
        json!({ "kind": "artifact-update", "taskId": "t-1", "contextId": "c-1", "artifact": { "artifactId": "a", "parts": [{ "kind": "data", "data": { "x": 1 } }] } }),
        json!({ "kind": "status-update", "taskId": "t-1", "contextId": "c-1", "final": true, "status": { "state": "completed" } }),
    ];
    let (raw, methods) = agent(vec![Step::Events(events)]).await;
    let (outcome, heard) = ask_listening(&client(), call(streaming(Dialect::A2a03, &raw.url))).await;
    assert_eq!(outcome.unwrap(), Reply::Value(json!({ "x": 1 })));
    let remote = Remote { task_id: "t-1".to_owned(), context_id: "c-1".to_owned() };
    assert_eq!(heard, [Progress::Task(remote), Progress::Status("half way".to_owned())]);
    assert_eq!(*methods.lock().unwrap(), ["message/stream"]);
}

/// However the bytes are cut and the lines end.
#[tokio::test]
async fn framing_does_not_matter() {
    let envelope = |result: Value| json!({ "jsonrpc": "2.0", "id": MESSAGE_ID, "result": result });
    let (first, second) = (
        envelope(opened("TASK_STATE_WORKING")).to_string(),
        serde_json::to_string_pretty(&envelope(status("TASK_STATE_COMPLETED", Some("é")))).unwrap(),
    );
    let folded = |text: &str, end: &str| text.lines().map(|line| format!("data: {line}{end}")).collect::<String>();
    for end in ["\n", "\r\n", "\r"] {
        let text = format!(
            "\u{feff}: hello{end}{end}event: message{end}id: 1{end}retry: 10{end}data: {first}{end}{end}:{end}: keep-alive{end}{end}{}{end}",
            folded(&second, end)
        );
        let bytes = text.as_bytes();
        for size in [1, 7, 64, bytes.len()] {
            let writes = bytes.chunks(size).map(<[u8]>::to_vec).collect();
            let (raw, _) = agent(vec![Step::Bytes(writes)]).await;
            let reply = ask(&client(), call(streaming(Dialect::A2a1, &raw.url))).await.unwrap();
            assert_eq!(reply, Reply::Value(json!({ "text": "é" })), "{end:?} in pieces of {size}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_again() {
    let working = opened("TASK_STATE_WORKING");
    let done = json!({ "task": { "id": "t-1", "contextId": "c-1", "status": { "state": "TASK_STATE_COMPLETED" },
        "artifacts": [{ "artifactId": "a", "parts": [{ "data": { "x": 1 } }] }] } });
    let partial = vec![working.clone(), artifact("a", json!({ "text": "lost" }), false)];
    let refused = Step::Json(json!({ "jsonrpc": "2.0", "error": { "code": -32004, "message": "terminal" } }));
    let get = Step::Json(json!({ "jsonrpc": "2.0", "result": done["task"] }));
    let cut = Step::Bytes(vec![
        format!("data: {}\n\ndata: {{\"jsonrpc\"", json!({ "jsonrpc": "2.0", "id": MESSAGE_ID, "result": working })).into_bytes(),
    ]);
    for (what, steps, expected) in [
        ("a snapshot that is the end", vec![Step::Events(partial.clone()), Step::Events(vec![done.clone()])], vec!["SubscribeToTask"]),
        (
            "a snapshot and the rest",
            vec![
                Step::Events(partial.clone()),
                Step::Events(vec![
                    working.clone(),
                    artifact("a", json!({ "data": { "x": 1 } }), false),
                    status("TASK_STATE_COMPLETED", None),
                ]),
            ],
            vec!["SubscribeToTask"],
        ),
        (
            "no snapshot",
            vec![Step::Events(partial.clone()), Step::Events(vec![status("TASK_STATE_COMPLETED", None)]), get.clone()],
            vec!["SubscribeToTask", "GetTask"],
        ),
        ("ended meanwhile", vec![Step::Events(partial.clone()), refused, get.clone()], vec!["SubscribeToTask", "GetTask"]),
        ("cut in an event", vec![cut, Step::Events(vec![done.clone()])], vec!["SubscribeToTask"]),
        (
            "breaks again and again",
            vec![
                Step::Events(partial),
                Step::Events(vec![working.clone()]),
                Step::Events(vec![]),
                Step::Events(vec![working]),
                get.clone(),
            ],
            vec!["SubscribeToTask", "SubscribeToTask", "SubscribeToTask", "GetTask"],
        ),
        (
            "ends without its results",
            vec![Step::Events(vec![opened("TASK_STATE_WORKING"), status("TASK_STATE_COMPLETED", None)]), get],
            vec!["GetTask"],
        ),
    ] {
        let (raw, methods) = agent(steps).await;
        let reply = ask(&client(), call(streaming(Dialect::A2a1, &raw.url))).await;
        assert_eq!(reply.map_err(|error| error.to_string()), Ok(Reply::Value(json!({ "x": 1 }))), "{what}");
        assert_eq!(methods.lock().unwrap()[1..], expected, "{what}");
    }
}

#[tokio::test]
async fn a_stream_that_says_nothing_for_a_minute_is_taken_up_again() {
    let done = json!({ "task": { "id": "t-1", "contextId": "c-1", "status": { "state": "TASK_STATE_COMPLETED" },
        "artifacts": [{ "artifactId": "a", "parts": [{ "data": { "x": 1 } }] }] } });
    let (raw, methods) = agent(vec![Step::Silent(vec![opened("TASK_STATE_WORKING")]), Step::Events(vec![done])]).await;
    let mut call = call(streaming(Dialect::A2a1, &raw.url));
    call.timeout = Duration::from_secs(3600);
    let (begun, working) = oneshot::channel();
    let mut begun = Some(begun);
    let on_progress = move |_| {
        if let Some(begun) = begun.take() {
            let _ = begun.send(());
        }
    };
    let calling = tokio::spawn(async move { client().call(call, CancellationToken::new(), on_progress).await });
    working.await.unwrap();
    pass(Duration::from_secs(59)).await;
    assert_eq!(*methods.lock().unwrap(), ["SendStreamingMessage"]);
    pass(Duration::from_secs(1)).await;
    let reply = tokio::time::timeout(Duration::from_secs(20), calling).await.expect("it is not waited for longer");
    assert_eq!(reply.unwrap().unwrap(), Reply::Value(json!({ "x": 1 })));
    assert_eq!(*methods.lock().unwrap(), ["SendStreamingMessage", "SubscribeToTask"]);
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_task_is_unavailable() {
    for steps in [vec![Step::Events(vec![])], vec![Step::Bytes(vec![b": only a comment\n\n".to_vec()])]] {
        let (raw, methods) = agent(steps).await;
        let error = ask(&client(), call(streaming(Dialect::A2a1, &raw.url))).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Unavailable, "its stream ended before its task did"));
        assert_eq!(methods.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn answers_instead_of_streams_are_understood() {
    let error = |code: i64| Step::Json(json!({ "jsonrpc": "2.0", "error": { "code": code, "message": "no" } }));
    let message = json!({ "message": { "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "data": 1 }] } });
    let answer = Step::Json(json!({ "jsonrpc": "2.0", "result": message }));
    for (steps, expected, sent) in [
        (vec![answer.clone()], Ok(Reply::Value(json!(1))), vec!["SendStreamingMessage"]),
        (vec![error(-32004), answer.clone()], Ok(Reply::Value(json!(1))), vec!["SendStreamingMessage", "SendMessage"]),
        (vec![error(-32601), answer], Ok(Reply::Value(json!(1))), vec!["SendStreamingMessage", "SendMessage"]),
        (vec![error(-32602)], Err(ErrorKind::Rejected), vec!["SendStreamingMessage"]),
        (vec![error(-32603)], Err(ErrorKind::AgentError), vec!["SendStreamingMessage"]),
    ] {
        let (raw, methods) = agent(steps).await;
        let outcome = ask(&client(), call(streaming(Dialect::A2a1, &raw.url))).await;
        assert_eq!(outcome.map_err(|error| error.kind), expected, "{sent:?}");
        assert_eq!(*methods.lock().unwrap(), sent);
    }
}

#[tokio::test]
async fn questions_end_a_stream() {
    let (raw, _) = agent(vec![Step::Events(vec![opened("TASK_STATE_WORKING"), status("TASK_STATE_INPUT_REQUIRED", Some("which?"))])]).await;
    let reply = ask(&client(), call(streaming(Dialect::A2a1, &raw.url))).await.unwrap();
    let remote = Remote { task_id: "t-1".to_owned(), context_id: "c-1".to_owned() };
    assert_eq!(reply, Reply::Question(Question { remote, auth: false, prompt: json!({ "text": "which?" }) }));
}

#[tokio::test]
async fn bad_events_end_the_call_and_cancel_the_task() {
    let envelope = |result: Value| format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "id": MESSAGE_ID, "result": result }));
    let begun = envelope(opened("TASK_STATE_WORKING"));
    let other = envelope(json!({ "statusUpdate": { "taskId": "t-2", "status": { "state": "TASK_STATE_COMPLETED" } } }));
    let wrong_id = format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "id": "x", "result": status("TASK_STATE_COMPLETED", None) }));
    let huge = format!("data: {}", "x".repeat(2 * 1024 * 1024));
    let heaps: String = (0..40).map(|at| envelope(artifact(&at.to_string(), json!({ "text": "x".repeat(40_000) }), false))).collect();
    let growing: String = (0..40).map(|_| envelope(artifact("a", json!({ "text": "x".repeat(40_000) }), true))).collect();
    let many: String = (0..1_001).map(|at| envelope(artifact(&at.to_string(), json!({ "text": "x" }), false))).collect();
    for (what, bytes, kind) in [
        ("not JSON", "data: <html>\n\n".to_owned(), ErrorKind::InvalidReply),
        ("empty data", "data:\n\n".to_owned(), ErrorKind::InvalidReply),
        ("another task", other, ErrorKind::InvalidReply),
        ("another call", wrong_id, ErrorKind::InvalidReply),
        ("an event too large", huge, ErrorKind::TooLarge),
        ("artifacts too large together", heaps, ErrorKind::TooLarge),
        ("an artifact that grows too large", growing, ErrorKind::TooLarge),
        ("too many artifacts", many, ErrorKind::TooLarge),
    ] {
        let (raw, methods) = agent(vec![Step::Bytes(vec![begun.clone().into_bytes(), bytes.into_bytes()])]).await;
        let client = client();
        let error = ask(&client, call(streaming(Dialect::A2a1, &raw.url))).await.unwrap_err();
        assert_eq!(error.kind, kind, "{what}: {error}");
        client.drain().await;
        assert_eq!(*methods.lock().unwrap(), ["SendStreamingMessage", "CancelTask"], "{what}");
    }
}

/// An artifact that is sent whole again and again is no larger for it.
#[tokio::test]
async fn a_replaced_artifact_counts_once() {
    let mut events = vec![opened("TASK_STATE_WORKING")];
    events.extend((0..40).map(|_| artifact("a", json!({ "text": "x".repeat(40_000) }), false)));
    events.push(status("TASK_STATE_COMPLETED", None));
    let (raw, _) = agent(vec![Step::Events(events)]).await;
    let reply = ask(&client(), call(streaming(Dialect::A2a1, &raw.url))).await.unwrap();
    assert_eq!(reply, Reply::Value(json!({ "text": "x".repeat(40_000) })));
}
