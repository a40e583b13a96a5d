//! The A2A endpoint in both dialects, and gantry's own client against it.

use std::sync::Arc;
use std::time::Duration;

use gantry::a2a::{Card, Dialect};
use gantry::agent::{Call, Client, Reply};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Agents;

impl Agents {
    async fn rpc(&self, agent: &str, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, reply) = self.post(agent, "/", request.to_string()).await;
        assert_eq!((status, &reply["id"]), (200, &json!(1)), "{reply}");
        reply
    }

    /// The events of a stream, each without its envelope.
    async fn events(&self, agent: &str, method: &str, params: Value) -> Vec<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let response = self.http.post(format!("{}/", self.url(agent))).body(request.to_string()).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.text().await.unwrap();
        let frames = text.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
        frames.map(|frame| serde_json::from_str::<Value>(frame).unwrap()["result"].clone()).collect()
    }
}

fn message(id: &str, skill: &str, input: Value) -> Value {
    json!({ "message": { "messageId": id, "role": "ROLE_USER", "parts": [{ "data": input }], "metadata": { "urn:gantry:a2a:skill:v1": { "skill": skill } } } })
}

fn message_v03(id: &str, skill: &str, input: Value) -> Value {
    json!({ "message": { "kind": "message", "messageId": id, "role": "user", "parts": [{ "kind": "data", "data": input }], "metadata": { "skill": skill } } })
}

#[tokio::test]
async fn the_card_is_read_by_every_reader() {
    let agents = Agents::start().await;
    for agent in &agents.running.agents {
        let served = agents.get(agent.name, "/.well-known/agent-card.json").await;
        assert_eq!(served, agent.card);
        let endpoint = format!("{}/", agent.url);
        assert_eq!(served["supportedInterfaces"][0], json!({ "url": endpoint, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }));
        let older = (&served["url"], &served["protocolVersion"], &served["preferredTransport"]);
        assert_eq!(older, (&json!(endpoint), &json!("0.3.0"), &json!("JSONRPC")));
        let extensions = served["capabilities"]["extensions"].as_array().unwrap();
        let schemas = extensions.iter().find(|extension| extension["uri"] == "urn:gantry:a2a:skill-schemas:v1").unwrap();
        for skill in served["skills"].as_array().unwrap() {
            let schemas = &schemas["params"][skill["id"].as_str().unwrap()];
            assert!(schemas["input"]["type"] == "object" && schemas["output"]["type"] == "object", "{skill}");
            assert!(skill["tags"].is_array() && skill["examples"].as_array().is_some_and(|examples| examples.len() >= 2));
        }
        let parsed = Card::parse(served.to_string().as_bytes()).unwrap();
        assert_eq!(parsed.interfaces[0].dialect, Dialect::A2a1);
        Card::parse(agent.plain_card.to_string().as_bytes()).unwrap();
    }
}

#[tokio::test]
async fn gantrys_client_calls_each_dialect() {
    let agents = Agents::start().await;
    let options = gantry::agent::Options { allow_private_addresses: true, ..Default::default() };
    let client = Client::new(options);
    let card = client.fetch_card(agents.url("data-agent")).await.unwrap();
    for dialect in [Dialect::A2a1, Dialect::A2a03, Dialect::Plain] {
        let mut card = card.clone();
        card.interfaces.retain(|interface| interface.dialect == dialect);
        let call = |data: &str| Call {
            card: Arc::new(card.clone()),
            skill: "analyze_data".to_owned(),
            inputs: Arc::new(json!({ "data": data })),
            message_id: format!("m-{dialect:?}-{data}"),
            timeout: Duration::from_secs(20),
            metadata: None,
            resume: None,
        };
        let reply = client.call(call("a\n1\n3"), CancellationToken::new(), |_| {}).await.unwrap();
        let Reply::Value(value) = reply else { panic!("{dialect:?}: {reply:?}") };
        assert_eq!(value["columns"][0]["numbers"]["mean"], 2.0, "{dialect:?}");
        let error = client.call(call("no table"), CancellationToken::new(), |_| {}).await.unwrap_err();
        assert!(error.to_string().contains("no table found"), "{dialect:?}: {error}");
    }
}

#[tokio::test]
async fn a_message_becomes_a_completed_task_in_either_dialect() {
    let agents = Agents::start().await;
    let input = json!({ "text": "I love this wonderful day" });
    let reply = agents.rpc("analysis-agent", "SendMessage", message("m1", "analyze_sentiment", input.clone())).await;
    let task = &reply["result"]["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{reply}");
    assert_eq!(task["artifacts"][0]["parts"][0]["data"]["label"], "positive");
    let got = agents.rpc("analysis-agent", "GetTask", json!({ "id": task["id"] })).await;
    assert_eq!(&got["result"], task);

    let reply = agents.rpc("analysis-agent", "message/send", message_v03("m2", "analyze_sentiment", input)).await;
    let task = &reply["result"];
    assert_eq!((&task["kind"], &task["status"]["state"]), (&json!("task"), &json!("completed")), "{reply}");
    assert_eq!(task["artifacts"][0]["parts"][0], json!({ "kind": "data", "data": task["artifacts"][0]["parts"][0]["data"] }));
    assert_eq!(task["artifacts"][0]["parts"][0]["data"]["label"], "positive");
    assert_eq!(&agents.rpc("analysis-agent", "tasks/get", json!({ "id": task["id"] })).await["result"], task);
}

#[tokio::test]
async fn an_agent_with_one_skill_needs_no_name_for_it() {
    let agents = Agents::start().await;
    let plain_text = json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "Write fizzbuzz in Rust" }] } });
    let reply = agents.rpc("build-agent", "SendMessage", plain_text.clone()).await;
    assert_eq!(reply["result"]["task"]["artifacts"][0]["parts"][0]["data"]["filename"], "fizzbuzz.rs", "{reply}");
    let reply = agents.rpc("analysis-agent", "SendMessage", plain_text).await;
    assert_eq!(reply["error"]["code"], -32602);
    assert!(reply["error"]["message"].as_str().unwrap().contains("analyze_sentiment"), "{reply}");
}

#[tokio::test]
async fn the_same_message_gets_the_same_task() {
    let agents = Agents::start().await;
    let params = message("once", "create_plan", json!({ "requirements": "sort a list" }));
    let first = agents.rpc("plan-agent", "SendMessage", params.clone()).await;
    let again = agents.rpc("plan-agent", "SendMessage", params).await;
    assert!(first["result"]["task"]["id"].is_string());
    assert_eq!(first, again);
    let other = agents.rpc("plan-agent", "SendMessage", message("twice", "create_plan", json!({ "requirements": "sort a list" }))).await;
    assert_ne!(first["result"]["task"]["id"], other["result"]["task"]["id"]);
}

#[tokio::test]
async fn a_context_is_kept_and_integral_floats_are_integers() {
    let agents = Agents::start().await;
    let mut params = message("m", "create_content", json!({ "topic": "tea", "length": 60.0 }));
    params["message"]["contextId"] = json!("my-context");
    let reply = agents.rpc("content-agent", "SendMessage", params).await;
    assert_eq!(reply["result"]["task"]["contextId"], "my-context");
    let result = &reply["result"]["task"]["artifacts"][0]["parts"][0]["data"];
    assert!(result["word_count"].as_u64().is_some_and(|count| count < 130), "{result}");
}

#[tokio::test]
async fn a_stream_begins_with_the_task_and_ends_with_its_end() {
    let agents = Agents::start().await;
    let input = json!({ "requirements": "sort a list" });
    let events = agents.events("plan-agent", "SendStreamingMessage", message("s1", "create_plan", input.clone())).await;
    let kinds: Vec<&str> = events.iter().map(|event| event.as_object().unwrap().keys().next().unwrap().as_str()).collect();
    // The task may have ended before the stream begins; then the snapshot says all.
    match kinds.as_slice() {
        ["task"] => assert_eq!(events[0]["task"]["status"]["state"], "TASK_STATE_COMPLETED"),
        kinds => {
            assert_eq!(kinds, ["task", "artifactUpdate", "statusUpdate"]);
            assert_eq!(events[1]["artifactUpdate"]["artifact"]["parts"][0]["data"]["function"], "merge_sort");
            assert_eq!(events[2]["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED");
        }
    }
    // The same message again: the task has ended, so that the order is certain.
    let events = agents.events("plan-agent", "SendStreamingMessage", message("s1", "create_plan", input.clone())).await;
    assert_eq!((events.len(), &events[0]["task"]["status"]["state"]), (1, &json!("TASK_STATE_COMPLETED")));
    let events = agents.events("plan-agent", "message/stream", message_v03("s2", "create_plan", input)).await;
    let last = events.last().unwrap();
    assert!(last["status"]["state"] == "completed" && (last["kind"] == "task" || last["final"] == true), "{last}");
}

#[tokio::test]
async fn a_skill_that_fails_is_a_failed_task_that_says_why() {
    let agents = Agents::start().await;
    let reply = agents.rpc("data-agent", "SendMessage", message("m", "analyze_data", json!({ "data": "nothing here" }))).await;
    let status = &reply["result"]["task"]["status"];
    assert_eq!(status["state"], "TASK_STATE_FAILED", "{reply}");
    assert!(status["message"]["parts"][0]["text"].as_str().unwrap().contains("no table found"), "{reply}");
    assert!(reply["result"]["task"].get("artifacts").is_none());
}

#[tokio::test]
async fn a_task_that_ended_cannot_be_canceled_or_subscribed_to() {
    let agents = Agents::start().await;
    let reply = agents.rpc("plan-agent", "SendMessage", message("m", "create_plan", json!({ "requirements": "x y" }))).await;
    let id = json!({ "id": reply["result"]["task"]["id"] });
    for (method, code) in [("CancelTask", -32002), ("tasks/cancel", -32002), ("SubscribeToTask", -32004), ("tasks/resubscribe", -32004)] {
        assert_eq!(agents.rpc("plan-agent", method, id.clone()).await["error"]["code"], code, "{method}");
    }
}

#[tokio::test]
async fn mistakes_get_the_code_for_them() {
    let agents = Agents::start().await;
    let with = |pointer: &str, value: Value| {
        let mut params = message("m", "create_plan", json!({ "requirements": "x" }));
        *params.pointer_mut(pointer).unwrap() = value;
        params
    };
    let mut with_task = message("m", "create_plan", json!({ "requirements": "x" }));
    with_task["message"]["taskId"] = json!("nope");
    for (method, params, code, says) in [
        ("Nope", json!({}), -32601, "create_plan"),
        ("SendMessage", json!({}), -32602, "message"),
        ("SendMessage", with("/message/messageId", json!("")), -32602, "messageId"),
        ("SendMessage", with("/message/messageId", json!("x".repeat(5000))), -32602, "messageId"),
        ("SendMessage", with("/message/parts", json!([])), -32602, "parts"),
        ("SendMessage", with("/message/parts", json!([{ "nothing": 1 }])), -32602, "none of text"),
        ("SendMessage", with("/message/metadata", json!({ "skill": "nope" })), -32602, "offers `create_plan`"),
        ("SendMessage", with("/message/parts/0/data", json!({ "requirements": "x", "language": 5 })), -32602, "`language`"),
        ("SendMessage", with_task, -32001, "nope"),
        ("message/send", json!({ "message": { "kind": "message", "messageId": "m", "role": "user", "parts": [] } }), -32602, "parts"),
        ("GetTask", json!({ "id": "nope" }), -32001, "nope"),
        ("GetTask", json!({}), -32602, "id"),
        ("tasks/get", json!({ "id": "nope" }), -32001, "nope"),
        ("CancelTask", json!({ "id": "nope" }), -32001, "nope"),
        ("ListTasks", json!({}), -32004, "ListTasks"),
        ("GetExtendedAgentCard", json!({}), -32004, "GetExtendedAgentCard"),
        ("CreateTaskPushNotificationConfig", json!({ "taskId": "x", "url": "http://x/" }), -32003, "webhooks"),
    ] {
        let reply = agents.rpc("plan-agent", method, params).await;
        assert_eq!(reply["error"]["code"], code, "{method}: {reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains(says), "{method}: {reply}");
    }
}

#[tokio::test]
async fn versions_that_are_not_spoken_are_refused() {
    let agents = Agents::start().await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": { "id": "x" } }).to_string();
    for (version, code) in [("1.0", -32001), ("0.3", -32001), ("", -32001), ("2.0", -32009)] {
        let request = agents.http.post(format!("{}/", agents.url("plan-agent"))).header("A2A-Version", version).body(body.clone());
        let reply: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(reply["error"]["code"], code, "{version}");
    }
}

#[tokio::test]
async fn a_skill_may_be_called_as_a_method() {
    let agents = Agents::start().await;
    let reply = agents.rpc("plan-agent", "create_plan", json!({ "requirements": "sort a list" })).await;
    assert_eq!(reply["result"]["function"], "merge_sort");
}

#[tokio::test]
async fn ids_have_a_longest_length() {
    let (agents, most) = (Agents::start().await, gantry::limits::SAMPLE_ID_BYTES_MAX);
    let input = || json!({ "request": "x" });
    let agent = agents.agent_of("analyze_request");
    for (more, code) in [(0, Value::Null), (1, json!(-32602))] {
        let long = message(&"m".repeat(most + more), "analyze_request", input());
        let reply = agents.rpc(agent, "SendMessage", long).await;
        assert_eq!(reply["error"]["code"], code, "{reply}");
        let mut long = message(&format!("m{more}"), "analyze_request", input());
        long["message"]["contextId"] = json!("c".repeat(most + more));
        let reply = agents.rpc(agent, "SendMessage", long).await;
        assert_eq!(reply["error"]["code"], code, "{reply}");
        assert_eq!(reply.to_string().contains("at most 4096 bytes"), more > 0, "{reply}");
    }
    let reply = agents.rpc(agent, "SendMessage", message("", "analyze_request", input())).await;
    assert!(reply.to_string().contains("must have 1 to 4096 bytes"), "{reply}");
}
