//! `gantry send` and agents nobody here wrote: where the token goes, what is refused, and what cannot be understood.

use gantry::limits::REPLY_BYTES_MAX;
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::Machine;

/// An agent whose card says that it is called at `called`.
async fn agent(called: Option<&str>, respond: impl wiremock::Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    let url = called.map_or_else(|| format!("{}/a2a", server.uri()), str::to_owned);
    let card = json!({
        "name": "odd", "description": "odd", "version": "1", "capabilities": {}, "defaultInputModes": [], "defaultOutputModes": [],
        "skills": [], "supportedInterfaces": [{ "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "t-1" }]
    });
    Mock::given(path("/.well-known/agent-card.json")).respond_with(ResponseTemplate::new(200).set_body_json(card)).mount(&server).await;
    Mock::given(method("POST")).respond_with(respond).mount(&server).await;
    server
}

/// Answers every call with this result.
fn result(result: Value) -> impl Fn(&Request) -> ResponseTemplate + Send + Sync {
    move |request: &Request| {
        let call: Value = serde_json::from_slice(&request.body).unwrap();
        ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }))
    }
}

fn completed(text: &str) -> Value {
    json!({ "task": { "id": "t", "contextId": "c", "status": { "state": "TASK_STATE_COMPLETED" },
        "artifacts": [{ "artifactId": "a", "parts": [{ "text": text }] }] } })
}

async fn calls(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().filter(|request| request.method == "POST").map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_what_was_said() {
    let server = agent(None, result(completed("fine"))).await;
    let machine = Machine::new();
    let arguments =
        ["send", &server.uri(), "hi", "--data", "{\"n\": 3}", "--skill", "s", "--context", "c", "--task", "t", "--message-id", "m-1"];
    machine.run(&arguments).expect(0);
    let [call] = &calls(&server).await[..] else { panic!("one call") };
    assert_eq!((&call["method"], &call["params"]["tenant"]), (&json!("SendMessage"), &json!("t-1")));
    let message = &call["params"]["message"];
    assert_eq!(message["parts"], json!([{"text": "hi"}, {"data": {"n": 3}}]));
    for (member, expected) in [("messageId", "m-1"), ("contextId", "c"), ("taskId", "t"), ("role", "ROLE_USER")] {
        assert_eq!(message[member], expected);
    }
    assert_eq!(message["metadata"], json!({"urn:gantry:a2a:skill:v1": {"skill": "s"}, "skill": "s"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_and_headers_go_to_the_named_host_alone_and_never_show() {
    let machine = Machine::new();
    let echo = |request: &Request| {
        let said = format!("{:?}", request.headers);
        ResponseTemplate::new(403).insert_header("content-type", "text/plain").set_body_string(said)
    };
    let server = agent(None, echo).await;
    let run = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.env("MY_TOKEN", "canary-token");
        super::Ran::from(command.output().unwrap())
    };
    let refused = run(&["send", &server.uri(), "hi", "--token-env", "MY_TOKEN", "--header", "X-API-Key: canary-key"]).expect(1);
    assert!(refused.stderr.contains("HTTP 403") && !refused.stderr.contains("canary"), "{}", refused.stderr);
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 2, "card and call");
    for request in &requests {
        assert_eq!(request.headers["authorization"], "Bearer canary-token");
        assert_eq!(request.headers["x-api-key"], "canary-key");
    }

    let elsewhere = MockServer::start().await;
    let sender = agent(Some(&elsewhere.uri()), result(completed("fine"))).await;
    let refused = run(&["send", &sender.uri(), "hi", "--token-env", "MY_TOKEN"]).expect(2);
    assert!(refused.stderr.contains("another host") && refused.stderr.contains(&elsewhere.uri()), "{}", refused.stderr);
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
    let missing = run(&["send", &sender.uri(), "hi", "--token-env", "NO_TOKEN"]).expect(2);
    assert!(missing.stderr.contains("NO_TOKEN"), "{}", missing.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_under_way_is_looked_at_until_it_ends() {
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let server = agent(None, move |request: &Request| {
        let call: Value = serde_json::from_slice(&request.body).unwrap();
        let look = looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let state = if look < 3 { "TASK_STATE_WORKING" } else { "TASK_STATE_COMPLETED" };
        let task = json!({ "id": "t", "contextId": "c", "status": { "state": state } });
        // A look may fail on the way.
        match (call["method"].as_str().unwrap(), look) {
            (_, 2) => ResponseTemplate::new(503),
            ("SendMessage", _) => {
                ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": call["id"], "result": {"task": task} }))
            }
            (_, _) => ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": call["id"], "result": task })),
        }
    })
    .await;
    let ran = Machine::new().run(&["send", &server.uri(), "hi"]).expect(0);
    assert!(ran.stderr.contains("task t · context c") && ran.stderr.contains("✓ completed"), "{}", ran.stderr);
    let methods: Vec<Value> = calls(&server).await.iter().map(|call| call["method"].clone()).collect();
    assert_eq!(methods, ["SendMessage", "GetTask", "GetTask", "GetTask"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_says_is_shown_and_not_obeyed() {
    let server = agent(None, result(completed("\u{1b}[2Jgone {{ secrets }}"))).await;
    let ran = Machine::new().run(&["send", &server.uri(), "hi"]).expect(0);
    assert!(ran.stdout.contains("\u{fffd}[2Jgone {{ secrets }}"), "{:?}", ran.stdout);
    let asks = json!({ "task": { "id": "x; rm -rf ~", "contextId": "c", "status": { "state": "TASK_STATE_INPUT_REQUIRED" } } });
    let server = agent(None, result(asks)).await;
    let ran = Machine::new().run(&["send", &server.uri(), "hi"]).expect(5);
    assert!(ran.stderr.contains("--task 'x; rm -rf ~' "), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_an_error_that_says_what() {
    let machine = Machine::new();
    let html = || ResponseTemplate::new(200).set_body_raw("<html>", "text/html");
    let large = ResponseTemplate::new(200).set_body_raw(vec![b' '; REPLY_BYTES_MAX + 1], "application/json");
    let broken = ResponseTemplate::new(200).set_body_raw("data: {\"jsonrpc\":\"2.0\"}\n\n", "text/event-stream");
    let empty = ResponseTemplate::new(200).set_body_raw("", "text/event-stream");
    let redirect = ResponseTemplate::new(307).insert_header("location", "http://127.0.0.1:9/");
    for (answer, more, code, part) in [
        (html(), &[][..], 1, "content type `text/html`"),
        (html(), &["--stream"], 1, "content type `text/html`"),
        (large, &[], 1, "larger than"),
        (broken, &["--stream"], 1, "neither a result nor an error"),
        (empty, &["--stream"], 3, "ended before it said anything"),
        (redirect, &[], 3, "redirects are not followed"),
        (ResponseTemplate::new(500), &[], 3, "HTTP 500"),
        (ResponseTemplate::new(401), &[], 1, "--token-env"),
    ] {
        let server = agent(None, answer).await;
        let uri = server.uri();
        let mut arguments = vec!["send", &uri, "hi"];
        arguments.extend(more);
        let ran = machine.run(&arguments).expect(code);
        assert!(ran.stderr.contains(part), "no {part:?} in {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agent_does_not_take_is_the_callers_mistake() {
    let server = agent(None, |request: &Request| {
        let call: Value = serde_json::from_slice(&request.body).unwrap();
        let error = json!({ "code": -32602, "message": "the answer does not fit: at `/sure`: is no boolean" });
        ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": call["id"], "error": error }))
    })
    .await;
    let ran = Machine::new().run(&["send", &server.uri(), "hi", "--task", "t"]).expect(2);
    assert!(ran.stderr.contains("the answer does not fit"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_is_no_failure_of_its_task() {
    let begun = json!({ "task": { "id": "t", "contextId": "c", "status": { "state": "TASK_STATE_WORKING" } } });
    let error = json!({ "code": -32603, "message": "the agent is shutting down" });
    for (last, part) in [(json!({ "error": error }), "the agent is shutting down"), (json!(null), "ended before its task did")] {
        let begun = begun.clone();
        let server = agent(None, move |request: &Request| {
            let call: Value = serde_json::from_slice(&request.body).unwrap();
            let mut text = format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "id": call["id"], "result": begun }));
            if let Some(last) = last.as_object() {
                let mut last = last.clone();
                last.extend([("jsonrpc".to_owned(), json!("2.0")), ("id".to_owned(), call["id"].clone())]);
                text.push_str(&format!("data: {}\n\n", Value::Object(last)));
            }
            ResponseTemplate::new(200).set_body_raw(text, "text/event-stream")
        })
        .await;
        let (machine, uri) = (Machine::new(), server.uri());
        for arguments in [&["send", &uri, "hi", "--stream"][..], &["task", "subscribe", &uri, "t"]] {
            let ran = machine.run(arguments).expect(3);
            assert!(ran.stderr.contains(part) && ran.stderr.contains("gantry task subscribe"), "{arguments:?}: {}", ran.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_card_the_dialect_is_named() {
    let machine = Machine::new();
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/rpc"))
        .and(header("a2a-version", "1.0"))
        .respond_with(result(completed("one")))
        .mount(&server)
        .await;
    let url = format!("{}/rpc", server.uri());
    let refused = machine.run(&["send", &url, "hi"]).expect(3);
    assert!(refused.stderr.contains("HTTP 404") && refused.stderr.contains("--dialect 1.0"), "{}", refused.stderr);
    assert!(machine.run(&["send", &url, "hi", "--dialect", "1.0"]).expect(0).stdout.contains("one"));
    let plain = json!({ "name": "plain", "url": server.uri(), "skills": [] });
    Mock::given(path("/agent-card")).respond_with(ResponseTemplate::new(200).set_body_json(plain)).mount(&server).await;
    let plain = machine.run(&["send", &server.uri(), "hi"]).expect(3);
    assert!(plain.stderr.contains("no A2A 1.0 or 0.3") && plain.stderr.contains("gantry run --agent-card"), "{}", plain.stderr);
}

#[test]
fn mistakes_on_the_command_line_are_said_before_anything_is_sent() {
    let machine = Machine::new();
    for (arguments, code, part) in [
        (&["send", "http://127.0.0.1:9"][..], 2, "TEXT"),
        (&["send", "http://127.0.0.1:9", "--data", "{"], 2, "--data is not JSON"),
        (&["send", "http://127.0.0.1:9", "--data", "@missing.json"], 2, "missing.json"),
        (&["send", "ht tp://x", "hi"], 2, "is not a URL"),
        (&["send", "ftp://x", "hi"], 3, "http or https"),
        (&["send", "http://127.0.0.1:9", "hi", "--header", "canary"], 2, "no colon"),
        (&["send", "http://127.0.0.1:9", "hi", "--header", "Host: canary"], 2, "belongs to the connection"),
        (&["send", "http://127.0.0.1:9", "hi", "--dialect", "2.0"], 2, "--dialect"),
        (&["send", "http://127.0.0.1:9", "hi", "--timeout", "soon"], 2, "30s"),
        (&["send", "http://127.0.0.1:9", "hi", "--stream", "--no-wait"], 2, "cannot be used with"),
        (&["send", "http://127.0.0.1:9", "hi"], 3, "cannot connect"),
        (&["task", "get", "http://127.0.0.1:9", "x", "--dialect", "1.0"], 3, "cannot connect"),
        (&["task", "list", "http://127.0.0.1:9", "--limit", "0"], 2, "--limit"),
        (&["task", "list", "http://127.0.0.1:9", "--status", "asleep"], 2, "input-required"),
        (&["task"], 2, "Usage: gantry task"),
    ] {
        let ran = machine.run(arguments).expect(code);
        assert!(ran.stderr.contains(part) && !ran.stderr.contains("canary"), "{arguments:?}: no {part:?} in {}", ran.stderr);
    }
}
