//! The contract with an agent, dialect by dialect: what is sent, what is believed, and how each failure is sorted.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry::a2a::Dialect;
use gantry::agent::{Client, ErrorKind, Options, Reply, Secret};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use super::support::{DIALECTS, MESSAGE_ID, answering, ask, call, card, client, counting, options, success};

#[tokio::test]
async fn an_answer_at_once_costs_one_request() {
    for dialect in DIALECTS {
        let agent = MockServer::start().await;
        let value = json!({ "plan": ["a", "b"], "count": 42, "big": 9_007_199_254_740_993_u64, "ratio": 0.5 });
        let result = success(dialect, &value);
        Mock::given(matchers::method("POST")).respond_with(answering(move |_| json!({ "result": result }))).mount(&agent).await;
        let reply = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap();
        assert_eq!(reply, Reply::Value(value), "{dialect:?}");
        assert_eq!(agent.received_requests().await.unwrap().len(), 1, "{dialect:?}");
    }
}

#[tokio::test]
async fn requests_are_what_the_dialect_says() {
    for dialect in DIALECTS {
        let agent = MockServer::start().await;
        let result = success(dialect, &json!({}));
        Mock::given(matchers::method("POST")).respond_with(answering(move |_| json!({ "result": result }))).mount(&agent).await;
        let mut card = card(dialect, &agent.uri());
        card.interfaces[0].tenant = (dialect == Dialect::A2a1).then(|| "acme".to_owned());
        let mut call = call(card);
        call.metadata = Some(std::sync::Arc::new(serde_json::Map::from_iter([("depth".to_owned(), json!(3))])));
        ask(&client(), call).await.unwrap();
        let request = agent.received_requests().await.unwrap().remove(0);
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let metadata = json!({ "depth": 3, "urn:gantry:a2a:skill:v1": { "skill": "work" }, "skill": "work" });
        let extensions = json!(["urn:gantry:a2a:skill:v1"]);
        let (path, version, expected) = match dialect {
            Dialect::Plain => ("/execute", None, json!({ "method": "work", "params": { "a": 1 } })),
            Dialect::A2a1 => (
                "/",
                Some("1.0"),
                json!({ "method": "SendMessage", "params": { "tenant": "acme", "configuration": { "returnImmediately": true },
                    "message": { "messageId": MESSAGE_ID, "role": "ROLE_USER", "parts": [{ "data": { "a": 1 } }],
                        "metadata": metadata, "extensions": extensions } } }),
            ),
            Dialect::A2a03 => (
                "/",
                Some("0.3"),
                json!({ "method": "message/send", "params": { "configuration": { "blocking": false },
                    "message": { "kind": "message", "messageId": MESSAGE_ID, "role": "user", "parts": [{ "kind": "data", "data": { "a": 1 } }],
                        "metadata": metadata, "extensions": extensions } } }),
            ),
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(request.url.path(), path);
        assert_eq!(header("a2a-version").as_deref(), version, "{dialect:?}");
        assert_eq!(header("content-type").as_deref(), Some("application/json"));
        assert_eq!(header("authorization"), None);
        assert!(header("user-agent").unwrap().starts_with("gantry/"));
        assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!(MESSAGE_ID)));
        assert_eq!(json!({ "method": body["method"], "params": body["params"] }), expected, "{dialect:?}");
        if dialect == Dialect::Plain {
            assert_eq!(header("idempotency-key").as_deref(), Some(MESSAGE_ID));
        }
    }
}

#[tokio::test]
async fn integral_floats_of_a2a_are_integers() {
    for (dialect, expected) in [(Dialect::A2a1, "{\"n\":42}"), (Dialect::A2a03, "{\"n\":42}"), (Dialect::Plain, "{\"n\":42.0}")] {
        let agent = MockServer::start().await;
        let result = success(dialect, &json!({ "n": 42.0 }));
        Mock::given(matchers::any()).respond_with(answering(move |_| json!({ "result": result }))).mount(&agent).await;
        let Reply::Value(value) = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap() else { panic!("a question") };
        assert_eq!(value.to_string(), expected, "{dialect:?}");
    }
}

#[tokio::test]
async fn json_rpc_errors_are_sorted_by_code() {
    use ErrorKind::{AgentError, Rejected};
    for (code, kind) in [
        (-32603, AgentError),
        (-1, AgentError),
        (-31999, AgentError),
        (-32050, AgentError),
        (500, AgentError),
        (-32700, Rejected),
        (-32600, Rejected),
        (-32601, Rejected),
        (-32602, Rejected),
        (-32001, Rejected),
        (-32009, Rejected),
    ] {
        for dialect in DIALECTS {
            let agent = MockServer::start().await;
            let answer = json!({ "error": { "code": code, "message": "the cat\u{1b}[2J sat on it" } });
            Mock::given(matchers::any()).respond_with(answering(move |_| answer.clone())).mount(&agent).await;
            let error = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap_err();
            assert_eq!((error.kind, error.code), (kind, Some(code)), "{dialect:?} {code}");
            assert_eq!((error.agent.as_str(), error.skill.as_str()), ("worker", "work"));
            let text = error.to_string();
            assert!(text.starts_with("agent `worker` failed at skill `work`: the cat"), "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
            assert_eq!(agent.received_requests().await.unwrap().len(), 1, "the client repeats nothing");
        }
    }
}

#[tokio::test]
async fn http_errors_are_sorted_by_status() {
    use ErrorKind::{RateLimited, Rejected, Unavailable};
    let json_rpc = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32603, "message": "out of tea" } }).to_string();
    for (status, kind, body, content_type, said, code) in [
        (500, Unavailable, json_rpc.as_str(), "application/json", "HTTP 500 Internal Server Error: out of tea", Some(-32603)),
        (502, Unavailable, "<html>bad gateway</html>", "text/html", "HTTP 502 Bad Gateway", None),
        (503, Unavailable, "later", "text/plain", "HTTP 503 Service Unavailable: later", None),
        (408, Unavailable, "", "text/plain", "HTTP 408 Request Timeout", None),
        (429, RateLimited, "", "text/plain", "HTTP 429 Too Many Requests", None),
        (400, Rejected, "{\"detail\":\"no\"}", "application/json", "HTTP 400 Bad Request: {\"detail\":\"no\"}", None),
        (401, Rejected, "", "text/plain", "HTTP 401 Unauthorized: it asks for credentials; configure them for its host", None),
        (404, Rejected, "not here", "text/plain", "HTTP 404 Not Found: not here", None),
        (422, Rejected, "\u{fffd}\u{0}", "text/plain", "HTTP 422 Unprocessable Entity: \u{fffd} ", None),
    ] {
        for dialect in DIALECTS {
            let agent = MockServer::start().await;
            let response =
                ResponseTemplate::new(status).set_body_raw(body.as_bytes().to_vec(), content_type).insert_header("Retry-After", "7");
            Mock::given(matchers::any()).respond_with(response).mount(&agent).await;
            let error = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap_err();
            assert_eq!((error.kind, error.code, error.message.as_str()), (kind, code, said), "{dialect:?}");
            assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
        }
    }
}

#[tokio::test]
async fn a_remote_error_is_kept_only_in_part() {
    let agent = MockServer::start().await;
    let answer = json!({ "error": { "code": -1, "message": "é".repeat(100_000) } });
    Mock::given(matchers::any()).respond_with(answering(move |_| answer.clone())).mount(&agent).await;
    let error = ask(&client(), call(card(Dialect::Plain, &agent.uri()))).await.unwrap_err();
    assert!((1_000..=2_048).contains(&error.message.len()), "{}", error.message.len());
}

#[tokio::test]
async fn answers_that_break_the_protocol_are_never_values() {
    let task = |dialect| success(dialect, &json!({ "x": 1 }));
    for dialect in DIALECTS {
        let result = task(dialect);
        let mut answers = vec![
            ("another id", json!({ "jsonrpc": "2.0", "id": "other", "result": result }), "the id \"other\" instead of"),
            ("a number as id", json!({ "jsonrpc": "2.0", "id": 1, "result": result }), "the id 1 instead of"),
            ("null as id", json!({ "jsonrpc": "2.0", "id": null, "result": result }), "the id null instead of"),
            ("both", json!({ "id": MESSAGE_ID, "result": result, "error": { "code": -1, "message": "x" } }), "both a result and an error"),
            ("another id of an error", json!({ "id": "other", "error": { "code": -1, "message": "x" } }), "the id \"other\" instead of"),
            ("neither", json!({ "id": MESSAGE_ID }), "neither a result nor an error"),
            ("a list", json!([{ "id": MESSAGE_ID, "result": result }]), "is a list"),
            ("a list of members", json!([MESSAGE_ID, result, null]), "is a list"),
            ("a text", json!("result"), "is not what the protocol says"),
            ("an error without code", json!({ "id": MESSAGE_ID, "error": { "message": "x" } }), "missing field `code`"),
            ("an error that is text", json!({ "id": MESSAGE_ID, "error": "x" }), "is not what the protocol says"),
            (
                "nothing",
                json!({ "id": MESSAGE_ID, "result": null }),
                if dialect == Dialect::Plain { "declares an output" } else { "result is null" },
            ),
        ];
        if dialect != Dialect::Plain {
            answers.push(("no id", json!({ "result": result }), "has no id"));
            answers.push(("no task", json!({ "id": MESSAGE_ID, "result": { "other": 1 } }), "is not what the protocol says"));
            answers.push(("a bare value", json!({ "id": MESSAGE_ID, "result": 42 }), "is not what the protocol says"));
        }
        for (what, answer, said) in answers {
            let agent = MockServer::start().await;
            Mock::given(matchers::any()).respond_with(ResponseTemplate::new(200).set_body_json(answer)).mount(&agent).await;
            let error = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidReply, "{dialect:?} {what}: {error}");
            assert!(error.message.contains(said), "{dialect:?} {what}: {error}");
        }
    }
}

/// The prototype's agents answer `{"result": …}` and nothing else; others write both members, one of them null.
#[tokio::test]
async fn what_plain_agents_leave_out_is_forgiven() {
    for (answer, expected) in [
        (json!({ "result": { "x": 1 } }), Ok(json!({ "x": 1 }))),
        (json!({ "id": MESSAGE_ID, "result": "text", "error": null }), Ok(json!("text"))),
        (json!({ "result": null, "error": { "code": -1, "message": "no" } }), Err(ErrorKind::AgentError)),
    ] {
        let agent = MockServer::start().await;
        Mock::given(matchers::path("/base/execute")).respond_with(ResponseTemplate::new(200).set_body_json(&answer)).mount(&agent).await;
        let outcome = ask(&client(), call(card(Dialect::Plain, &format!("{}/base/", agent.uri())))).await;
        assert_eq!(outcome.map_err(|error| error.kind), expected.map(Reply::Value), "{answer}");
    }
}

#[tokio::test]
async fn an_empty_answer_is_a_value_only_where_none_is_declared() {
    for dialect in DIALECTS {
        for (declares, expected) in [(true, Err((ErrorKind::InvalidReply, Some(-32006)))), (false, Ok(Reply::Value(Value::Null)))] {
            let agent = MockServer::start().await;
            let result = match dialect {
                Dialect::Plain => Value::Null,
                Dialect::A2a1 => json!({ "task": { "id": "t", "status": { "state": "TASK_STATE_COMPLETED" } } }),
                Dialect::A2a03 => json!({ "kind": "message", "messageId": "m", "role": "agent", "parts": [] }),
            };
            Mock::given(matchers::any()).respond_with(answering(move |_| json!({ "result": result }))).mount(&agent).await;
            let mut card = card(dialect, &agent.uri());
            if !declares {
                card.skills[0].output_schema = None;
            }
            let outcome = ask(&client(), call(card)).await;
            assert_eq!(outcome.map_err(|error| (error.kind, error.code)), expected, "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn only_json_is_read() {
    for dialect in DIALECTS {
        let body = json!({ "jsonrpc": "2.0", "id": MESSAGE_ID, "result": success(dialect, &json!({ "x": 1 })) }).to_string();
        for (content_type, accepted) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("Application/JSON", true),
            ("application/a2a+json", true),
            ("text/html", false),
            ("text/html; charset=utf-8", false),
            ("text/plain", false),
            ("text/event-stream", false),
            ("application/octet-stream", false),
            ("application/jsonp", false),
            ("", false),
        ] {
            let agent = MockServer::start().await;
            Mock::given(matchers::any())
                .respond_with(ResponseTemplate::new(200).set_body_raw(body.clone().into_bytes(), content_type))
                .mount(&agent)
                .await;
            let outcome = ask(&client(), call(card(dialect, &agent.uri()))).await;
            match outcome {
                Ok(_) => assert!(accepted, "{dialect:?} {content_type}"),
                Err(error) => {
                    assert!(!accepted, "{dialect:?} {content_type}: {error}");
                    assert_eq!(error.kind, ErrorKind::InvalidReply);
                    assert!(error.message.contains("instead of JSON"), "{error}");
                }
            }
        }
        let agent = MockServer::start().await;
        Mock::given(matchers::any()).respond_with(ResponseTemplate::new(204)).mount(&agent).await;
        let error = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::InvalidReply, "the answer is empty (HTTP 204)"));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (target, seen) = counting().await;
    let host = |url: &str| url.trim_start_matches("http://").to_owned();
    for status in [301, 302, 303, 307, 308] {
        for dialect in DIALECTS {
            for location in [
                format!("{target}/?secret=canary"),
                "http://169.254.169.254/".to_owned(),
                "file:///etc/passwd".to_owned(),
                "//x".to_owned(),
            ] {
                let agent = MockServer::start().await;
                let response = ResponseTemplate::new(status).insert_header("Location", location.as_str());
                Mock::given(matchers::any()).respond_with(response).mount(&agent).await;
                let credentials = BTreeMap::from([(host(&agent.uri()), Secret::new("hunter2"))]);
                let client = Client::new(Options { credentials, ..options() });
                let error = ask(&client, call(card(dialect, &agent.uri()))).await.unwrap_err();
                assert_eq!(error.kind, ErrorKind::Refused, "{error}");
                assert!(error.message.contains(&format!("HTTP {status}")) && !error.message.contains("canary"), "{error}");
                assert_eq!(agent.received_requests().await.unwrap().len(), 1);
            }
        }
    }
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn credentials_go_to_their_host_only_and_never_show() {
    let agent = MockServer::start().await;
    let answer = json!({ "error": { "code": -1, "message": "bad token hunter2!" } });
    Mock::given(matchers::any()).respond_with(answering(move |_| answer.clone())).mount(&agent).await;
    let url = url::Url::parse(&agent.uri()).unwrap();
    let exact = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    for (key, sent) in [(exact, true), (url.host_str().unwrap().to_owned(), true), ("other.example".to_owned(), false)] {
        let options = Options { credentials: BTreeMap::from([(key.clone(), Secret::new("hunter2"))]), ..options() };
        assert!(!format!("{options:?}").contains("hunter2"));
        let client = Client::new(options);
        assert!(!format!("{client:?}").contains("hunter2"));
        let error = ask(&client, call(card(Dialect::Plain, &agent.uri()))).await.unwrap_err();
        let request = agent.received_requests().await.unwrap().pop().unwrap();
        assert_eq!(request.headers.get("authorization").map(|value| value.to_str().unwrap()), sent.then_some("Bearer hunter2"), "{key}");
        assert_eq!(format!("{error:?} {error}").contains("hunter2"), !sent, "{error}");
    }
    let client =
        Client::new(Options { credentials: BTreeMap::from([(url.host_str().unwrap().to_owned(), Secret::new("a\r\nb"))]), ..options() });
    let error = ask(&client, call(card(Dialect::Plain, &agent.uri()))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
}

/// What an agent says is cut, and a secret that the cut would halve is not recognised any more: it is taken out first.
#[tokio::test]
async fn credentials_do_not_show_where_a_long_text_is_cut() {
    const SECRET: &str = "hunter2-hunter2-hunter2-hunter2";
    let rpc = |message: String| json!({ "error": { "code": -1, "message": message } });
    let failed = |text: String| {
        let message = json!({ "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": text }] });
        json!({ "result": { "task": { "id": "t", "contextId": "c", "status": { "state": "TASK_STATE_FAILED", "message": message } } } })
    };
    for end in (1980..2080).step_by(5).chain([16 * 1024]) {
        let text = format!("{}{SECRET}{}", "x".repeat(end - SECRET.len() / 2), "y".repeat(3000));
        let plain = ResponseTemplate::new(500).set_body_raw(text.clone(), "text/plain");
        let broken = ResponseTemplate::new(500).set_body_raw(text.clone(), "application/json");
        // Long and mostly secret: what is left of it is short enough to show where its reading ended.
        let secrets = ResponseTemplate::new(500).set_body_raw(SECRET.repeat(600), "text/plain");
        let answers = [
            (Dialect::Plain, Answers::Whole(plain)),
            (Dialect::Plain, Answers::Whole(broken)),
            (Dialect::Plain, Answers::Whole(secrets)),
            (Dialect::Plain, Answers::Json(rpc(text.clone()))),
            (Dialect::A2a1, Answers::Json(failed(text))),
        ];
        for (dialect, answer) in answers {
            let agent = MockServer::start().await;
            match answer {
                Answers::Whole(response) => Mock::given(matchers::any()).respond_with(response).mount(&agent).await,
                Answers::Json(json) => Mock::given(matchers::any()).respond_with(answering(move |_| json.clone())).mount(&agent).await,
            }
            let host = agent.address().to_string();
            let client = Client::new(Options { credentials: BTreeMap::from([(host, Secret::new(SECRET))]), ..options() });
            let error = ask(&client, call(card(dialect, &agent.uri()))).await.unwrap_err();
            assert!(!error.message.contains("hunter2") && error.message.len() <= 2048, "{end}: {error}");
            assert!(error.message.contains("xxx") || error.message.contains("***"), "{end}: {error}");
        }
    }
}

enum Answers {
    Whole(ResponseTemplate),
    Json(serde_json::Value),
}

#[tokio::test]
async fn cards_that_cannot_be_served_are_refused_before_dialling() {
    let (url, seen) = counting().await;
    let mut none = card(Dialect::A2a1, &url);
    none.interfaces.clear();
    let mut extension = card(Dialect::A2a1, &url);
    extension.required_extensions = vec!["urn:gantry:a2a:skill:v1".to_owned(), "urn:x".to_owned()];
    for (card, said) in [(none, "offers no interface that gantry speaks"), (extension, "requires the extension `urn:x`")] {
        let error = ask(&client(), call(card)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.contains(said), "{error}");
    }
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn cards_are_fetched_from_where_agents_serve_them() {
    let card = json!({ "name": "found", "url": "http://localhost:1", "skills": [] });
    for (served, asked, requests) in [
        ("/.well-known/agent-card.json", "", 1),
        ("/agent-card", "/", 2),
        ("/base/agent-card", "/base/", 2),
        ("/cards/mine.json", "/cards/mine.json", 1),
        ("/agent-card", "/agent-card", 1),
    ] {
        let agent = MockServer::start().await;
        Mock::given(matchers::path(served)).respond_with(ResponseTemplate::new(200).set_body_json(&card)).mount(&agent).await;
        let (found, bytes) = client().fetch_card_and_bytes(&format!("{}{asked}", agent.uri())).await.unwrap();
        assert_eq!(found.name, "found");
        assert_eq!(bytes, card.to_string().as_bytes(), "the bytes as they were served");
        assert_eq!(agent.received_requests().await.unwrap().len(), requests, "{asked}");
    }
    let agent = MockServer::start().await;
    Mock::given(matchers::any()).respond_with(ResponseTemplate::new(200).set_body_json(json!({ "url": "http://a" }))).mount(&agent).await;
    let error = client().fetch_card(&format!("{}?key=canary", agent.uri())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidReply);
    assert!(error.to_string().contains("has no `name`") && !error.to_string().contains("canary"), "{error}");
    let error = client().fetch_card("http://user:canary@localhost:1/").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(!error.to_string().contains("canary"), "{error}");
}
