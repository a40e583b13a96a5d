//! Calls that become tasks at the agent: polled, answered, failed, given up, continued.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry::a2a::{Card, Dialect};
use gantry::agent::{Client, ErrorKind, Progress, Question, Remote, Reply};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers};

use super::support::{MESSAGE_ID, Raw, answering, ask, ask_listening, call, card, client, head, pass};

const A2A: [Dialect; 2] = [Dialect::A2a1, Dialect::A2a03];

fn remote() -> Remote {
    Remote { task_id: "t-1".to_owned(), context_id: "c-1".to_owned() }
}

/// A task in a state, with what the agent says and its artifacts' data, in the words of a dialect.
fn task(dialect: Dialect, state: &str, says: Option<&str>, artifacts: &[Value]) -> Value {
    let old = dialect == Dialect::A2a03;
    let part = |key: &str, value: &Value| if old { json!({ "kind": key, key: value }) } else { json!({ key: value }) };
    let state = if old { json!(state) } else { json!(format!("TASK_STATE_{}", state.to_uppercase().replace('-', "_"))) };
    let mut task = json!({ "id": "t-1", "contextId": "c-1", "status": { "state": state } });
    if old {
        task["kind"] = json!("task");
    }
    if let Some(text) = says {
        let role = if old { "agent" } else { "ROLE_AGENT" };
        task["status"]["message"] = json!({ "messageId": "s", "role": role, "parts": [part("text", &json!(text))] });
    }
    let artifacts = artifacts.iter().enumerate().map(|(at, value)| json!({ "artifactId": at.to_string(), "parts": [part("data", value)] }));
    task["artifacts"] = artifacts.collect();
    task
}

/// A task as the result of a send, which 1.0 wraps.
fn sent(dialect: Dialect, task: Value) -> Value {
    if dialect == Dialect::A2a1 { json!({ "task": task }) } else { task }
}

fn is_send(method: &Value) -> bool {
    method == "SendMessage" || method == "message/send"
}

fn is_get(method: &Value) -> bool {
    method == "GetTask" || method == "tasks/get"
}

/// An agent that answers the n-th request with the n-th result, and the last one from then on.
async fn scripted(results: Vec<Value>) -> MockServer {
    let agent = MockServer::start().await;
    let left = Mutex::new(results.into_iter().rev().collect::<Vec<_>>());
    let answer = move |_: &Value| {
        let mut left = left.lock().unwrap();
        let result = if left.len() > 1 { left.pop().unwrap() } else { left[0].clone() };
        json!({ "result": result })
    };
    Mock::given(matchers::any()).respond_with(answering(answer)).mount(&agent).await;
    agent
}

async fn envelopes(agent: &MockServer) -> Vec<Value> {
    agent.received_requests().await.unwrap().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

#[tokio::test]
async fn a_task_under_way_is_polled_to_its_end() {
    for dialect in A2A {
        let agent = scripted(vec![
            sent(dialect, task(dialect, "submitted", None, &[])),
            task(dialect, "working", Some("thinking"), &[]),
            task(dialect, "working", Some("thinking"), &[]),
            task(dialect, "completed", Some("done"), &[json!({ "x": 1.0 })]),
        ])
        .await;
        let (outcome, heard) = ask_listening(&client(), call(card(dialect, &agent.uri()))).await;
        assert_eq!(outcome.unwrap(), Reply::Value(json!({ "x": 1 })), "{dialect:?}");
        assert_eq!(heard, [Progress::Task(remote()), Progress::Status("thinking".to_owned())]);
        let envelopes = envelopes(&agent).await;
        assert_eq!(envelopes.len(), 4);
        for (at, envelope) in envelopes.iter().enumerate().skip(1) {
            assert!(is_get(&envelope["method"]));
            assert_eq!(envelope["params"], json!({ "id": "t-1", "historyLength": 0 }));
            assert_eq!(envelope["id"], format!("{MESSAGE_ID}#{at}"));
        }
    }
}

#[tokio::test]
async fn ends_are_sorted() {
    for dialect in A2A {
        for (state, says, kind, message) in [
            ("failed", Some("out of tea"), ErrorKind::AgentError, "its task failed: out of tea"),
            ("failed", None, ErrorKind::AgentError, "its task failed"),
            ("canceled", None, ErrorKind::AgentError, "its task was canceled there"),
            ("rejected", Some("not my job"), ErrorKind::Rejected, "it rejects the task: not my job"),
        ] {
            let agent = scripted(vec![sent(dialect, task(dialect, state, says, &[json!(1)]))]).await;
            let error = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (kind, message), "{dialect:?}");
            assert_eq!(envelopes(&agent).await.len(), 1);
        }
    }
}

#[tokio::test]
async fn questions_are_handed_on_and_their_answers_continue_the_task() {
    for dialect in A2A {
        for (state, auth) in [("input-required", false), ("auth-required", true)] {
            let agent = scripted(vec![
                sent(dialect, task(dialect, "working", None, &[])),
                task(dialect, state, Some("which colour?"), &[json!("half a result")]),
            ])
            .await;
            let reply = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap();
            let prompt = json!({ "text": "which colour?" });
            assert_eq!(reply, Reply::Question(Question { remote: remote(), auth, prompt }), "{dialect:?}");
        }
        let agent = scripted(vec![sent(dialect, task(dialect, "completed", None, &[json!({ "colour": "red" })]))]).await;
        let mut call = call(card(dialect, &agent.uri()));
        call.resume = Some(remote());
        let (outcome, heard) = ask_listening(&client(), call).await;
        assert_eq!(outcome.unwrap(), Reply::Value(json!({ "colour": "red" })));
        assert_eq!(heard, []);
        let params = envelopes(&agent).await[0]["params"].clone();
        assert_eq!((&params["message"]["taskId"], &params["message"]["contextId"]), (&json!("t-1"), &json!("c-1")));
        let configuration = &params["configuration"];
        assert_ne!(configuration["returnImmediately"], true, "an answer at once could only be the question that was answered");
        assert_ne!(configuration["blocking"], false);
    }
    let mut plain = call(card(Dialect::Plain, "http://127.0.0.1:1"));
    plain.resume = Some(remote());
    assert_eq!(ask(&client(), plain).await.unwrap_err().kind, ErrorKind::Rejected);
}

#[tokio::test]
async fn several_results_go_by_name() {
    for dialect in A2A {
        let agent = scripted(vec![sent(dialect, task(dialect, "completed", None, &[json!(1), json!([2])]))]).await;
        let reply = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap();
        assert_eq!(reply, Reply::Value(json!({ "0": 1, "1": [2] })), "{dialect:?}");
    }
}

/// How a call is given up.
#[derive(Debug, Clone, Copy, PartialEq)]
enum GivenUp {
    Deadline,
    Token,
    Dropped,
    Unreadable,
}

#[tokio::test]
async fn a_call_that_is_given_up_cancels_its_task() {
    for dialect in A2A {
        for how in [GivenUp::Deadline, GivenUp::Token, GivenUp::Dropped, GivenUp::Unreadable] {
            let agent = MockServer::start().await;
            let answer = move |envelope: &Value| {
                let working = task(dialect, "working", None, &[]);
                if is_send(&envelope["method"]) {
                    json!({ "result": sent(dialect, working) })
                } else if is_get(&envelope["method"]) && how == GivenUp::Unreadable {
                    json!({ "result": 7 })
                } else {
                    json!({ "result": working })
                }
            };
            Mock::given(matchers::any()).respond_with(answering(answer)).mount(&agent).await;
            let client = client();
            let outcome = give_up(&client, card(dialect, &agent.uri()), how).await;
            let expected = match how {
                GivenUp::Deadline => Some(ErrorKind::Timeout),
                GivenUp::Token => Some(ErrorKind::Canceled),
                GivenUp::Dropped => None,
                GivenUp::Unreadable => Some(ErrorKind::InvalidReply),
            };
            assert_eq!(outcome, expected, "{dialect:?} {how:?}");
            client.drain().await;
            let last = envelopes(&agent).await.pop().unwrap();
            let method = if dialect == Dialect::A2a1 { "CancelTask" } else { "tasks/cancel" };
            assert_eq!((&last["method"], &last["params"]), (&json!(method), &json!({ "id": "t-1" })), "{dialect:?} {how:?}");
        }
    }
}

/// The kind of the error, or nothing if the call was dropped.
async fn give_up(client: &Client, card: Card, how: GivenUp) -> Option<ErrorKind> {
    let mut call = call(card);
    if how == GivenUp::Deadline {
        call.timeout = Duration::from_millis(200);
    }
    let token = CancellationToken::new();
    let begun = Arc::new(tokio::sync::Notify::new());
    let on_progress = {
        let (token, begun) = (token.clone(), Arc::clone(&begun));
        move |_| {
            begun.notify_one();
            if how == GivenUp::Token {
                token.cancel();
            }
        }
    };
    let calling = client.call(call, token, on_progress);
    if how == GivenUp::Dropped {
        tokio::select! {
            outcome = calling => panic!("ended with {outcome:?}"),
            () = begun.notified() => None,
        }
    } else {
        Some(calling.await.unwrap_err().kind)
    }
}

/// The answer to the message is late: whoever waits for it no longer does, and still the task that it names is not left behind.
#[tokio::test]
async fn a_call_that_is_given_up_before_its_task_is_known_cancels_it_all_the_same() {
    const LATE: Duration = Duration::from_millis(400);
    for dialect in A2A {
        for streaming in [false, true] {
            for (state, canceled) in [("working", true), ("input-required", true), ("completed", false)] {
                let agent = MockServer::start().await;
                let respond = move |request: &Request| {
                    let envelope: Value = serde_json::from_slice(&request.body).unwrap();
                    let task = task(dialect, state, None, &[json!(1)]);
                    let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": envelope["id"], "result": result });
                    if envelope["params"].get("message").is_none() {
                        return ResponseTemplate::new(200).set_body_json(answer(task));
                    }
                    let (late, answer) = (ResponseTemplate::new(200).set_delay(LATE), answer(sent(dialect, task)));
                    if streaming {
                        late.set_body_raw(format!("data: {answer}\n\n"), "text/event-stream")
                    } else {
                        late.set_body_json(answer)
                    }
                };
                Mock::given(matchers::any()).respond_with(respond).mount(&agent).await;
                let client = client();
                let mut card = card(dialect, &agent.uri());
                card.streaming = streaming;
                let mut call = call(card);
                call.timeout = LATE / 4;
                let begun = std::time::Instant::now();
                let error = ask(&client, call).await.unwrap_err();
                assert!(error.kind == ErrorKind::Timeout && begun.elapsed() < LATE, "nobody waits for it: {error}");
                client.drain().await;
                let methods: Vec<Value> = envelopes(&agent).await.iter().map(|envelope| envelope["method"].clone()).collect();
                let told = methods.iter().any(|method| method == "CancelTask" || method == "tasks/cancel");
                assert_eq!(told, canceled, "{dialect:?} streaming={streaming} {state}: {methods:?}");
            }
        }
    }
}

/// Before a restart tasks are left to run: the same calls are made again.
#[tokio::test]
async fn a_late_task_is_left_alone_when_tasks_are() {
    let agent = MockServer::start().await;
    let respond = |request: &Request| {
        let envelope: Value = serde_json::from_slice(&request.body).unwrap();
        let result = sent(Dialect::A2a1, task(Dialect::A2a1, "working", None, &[]));
        let answer = json!({ "jsonrpc": "2.0", "id": envelope["id"], "result": result });
        ResponseTemplate::new(200).set_delay(Duration::from_millis(200)).set_body_json(answer)
    };
    Mock::given(matchers::any()).respond_with(respond).mount(&agent).await;
    let client = client();
    client.leave_tasks();
    let mut call = call(card(Dialect::A2a1, &agent.uri()));
    call.timeout = Duration::from_millis(50);
    assert_eq!(ask(&client, call).await.unwrap_err().kind, ErrorKind::Timeout);
    client.drain().await;
    assert!(envelopes(&agent).await.iter().all(|envelope| is_send(&envelope["method"])));
}

#[tokio::test]
async fn a_token_that_is_cancelled_already_sends_nothing() {
    let agent = MockServer::start().await;
    let token = CancellationToken::new();
    token.cancel();
    let error = client().call(call(card(Dialect::A2a1, &agent.uri())), token, |_| {}).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Canceled);
    assert!(envelopes(&agent).await.is_empty());
}

/// Looks that fail are repeated a few times, since the task goes on; an agent that is gone is left alone. `-` a look that fails, `.` one
/// at a task under way, `+` one at its end.
#[tokio::test]
async fn polling_survives_hiccups_and_gives_up_in_the_end() {
    for dialect in A2A {
        for looks in ["---+", "-----+", "------", "---.---+", "-----.------"] {
            let agent = MockServer::start().await;
            let left = Mutex::new(looks.chars());
            let respond = move |request: &Request| {
                let envelope: Value = serde_json::from_slice(&request.body).unwrap();
                let result = if is_send(&envelope["method"]) {
                    sent(dialect, task(dialect, "working", None, &[]))
                } else {
                    match left.lock().unwrap().next() {
                        Some('.') => task(dialect, "working", None, &[]),
                        Some('+') => task(dialect, "completed", None, &[json!({ "x": 1 })]),
                        Some(_) | None => return ResponseTemplate::new(503),
                    }
                };
                ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": envelope["id"], "result": result }))
            };
            Mock::given(matchers::any()).respond_with(respond).mount(&agent).await;
            let client = client();
            let outcome = ask(&client, call(card(dialect, &agent.uri()))).await;
            let expected = if looks.ends_with('+') { Ok(Reply::Value(json!({ "x": 1 }))) } else { Err(ErrorKind::Unavailable) };
            assert_eq!(outcome.map_err(|error| error.kind), expected, "{dialect:?} {looks}");
            client.drain().await;
            let envelopes = envelopes(&agent).await;
            assert!(envelopes.iter().all(|envelope| is_send(&envelope["method"]) || is_get(&envelope["method"])));
            assert_eq!(envelopes.len(), 1 + looks.len(), "{dialect:?} {looks}");
        }
    }
}

/// The agent is busy at the first look, and says for how long.
#[tokio::test]
async fn the_next_look_comes_when_the_agent_wants_it() {
    for dialect in A2A {
        let (look, mut looks) = mpsc::channel(8);
        let busy = AtomicBool::new(true);
        let agent = Raw::start(move |mut stream, envelope| {
            let look = look.clone();
            let looked = is_get(&envelope["method"]);
            let result = match looked {
                true if busy.swap(false, Ordering::SeqCst) => None,
                true => Some(task(dialect, "completed", None, &[json!({ "x": 1 })])),
                false => Some(sent(dialect, task(dialect, "working", None, &[]))),
            };
            async move {
                let answer = match result {
                    Some(result) => {
                        format!("{}{}", head("application/json", ""), json!({ "jsonrpc": "2.0", "id": envelope["id"], "result": result }))
                    }
                    None => {
                        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
                    }
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                if looked {
                    let _ = look.send(()).await;
                }
            }
        })
        .await;
        let mut call = call(card(dialect, &agent.url));
        call.timeout = Duration::from_secs(3600);
        let calling = tokio::spawn(async move { ask(&client(), call).await });
        looks.recv().await.unwrap();
        pass(Duration::from_secs(29)).await;
        assert!(looks.is_empty(), "{dialect:?}");
        pass(Duration::from_secs(1)).await;
        let reply = tokio::time::timeout(Duration::from_secs(20), calling).await.expect("it is not waited for longer");
        assert_eq!(reply.unwrap().unwrap(), Reply::Value(json!({ "x": 1 })), "{dialect:?}");
    }
}

#[tokio::test]
async fn a_task_has_at_most_a_thousand_artifacts() {
    for dialect in A2A {
        for polled in [false, true] {
            for count in [1_000, 1_001] {
                let done = task(dialect, "completed", None, &vec![json!(1); count]);
                let results = match polled {
                    true => vec![sent(dialect, task(dialect, "working", None, &[])), done],
                    false => vec![sent(dialect, done)],
                };
                let agent = scripted(results).await;
                let outcome = ask(&client(), call(card(dialect, &agent.uri()))).await;
                let what = format!("{dialect:?} polled={polled} {count}");
                match outcome {
                    Ok(Reply::Value(value)) => assert_eq!((count, value.as_object().unwrap().len()), (1_000, count), "{what}"),
                    Ok(other) => panic!("{what}: {other:?}"),
                    Err(error) => {
                        assert_eq!((count, error.kind), (1_001, ErrorKind::TooLarge), "{what}: {error}");
                        assert_eq!(error.message, "its task has more than 1000 artifacts");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_forgotten_task_is_worth_a_repeat_and_another_task_is_not_believed() {
    for dialect in A2A {
        let mut other = task(dialect, "completed", None, &[json!(1)]);
        other["id"] = json!("t-2");
        for (answer, kind) in [
            (json!({ "error": { "code": -32001, "message": "Task not found" } }), ErrorKind::Unavailable),
            (json!({ "result": other }), ErrorKind::InvalidReply),
            (json!({ "error": { "code": -32603, "message": "oops" } }), ErrorKind::AgentError),
        ] {
            let agent = MockServer::start().await;
            let respond = move |envelope: &Value| {
                if is_send(&envelope["method"]) {
                    json!({ "result": sent(dialect, task(dialect, "working", None, &[])) })
                } else {
                    answer.clone()
                }
            };
            Mock::given(matchers::any()).respond_with(answering(respond)).mount(&agent).await;
            let error = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap_err();
            assert_eq!(error.kind, kind, "{dialect:?}: {error}");
        }
    }
}
