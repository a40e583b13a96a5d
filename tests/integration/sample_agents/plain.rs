//! `/agent-card`, `/execute`, ports and shutdown.

use std::net::{IpAddr, Ipv4Addr};

use gantry::sample_agents::{AGENT_NAMES, Error, Options, cards, start};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Agents;

/// Each skill with inputs as workflows pass them, and a pointer into the result with its expected value.
fn skills() -> Vec<(&'static str, Value, &'static str, Value)> {
    let text = "Dr. Ada Lovelace loved the wonderful new computer. She paid $20 in London on 2026-11-23!";
    vec![
        ("create_plan", json!({"requirements": "Create a function to calculate prime numbers"}), "/function", json!("primes_up_to")),
        ("generate_code", json!({"plan": {"requirements": "fizzbuzz in rust"}, "requirements": null}), "/filename", json!("fizzbuzz.rs")),
        (
            "review_code",
            json!({"code": {"code": "def f(x):\n    return eval(x)\n", "language": "python"}}),
            "/verdict",
            json!("changes_requested"),
        ),
        ("analyze_sentiment", json!({"text": text}), "/label", json!("positive")),
        ("extract_entities", json!({"text": text}), "/by_type/money", json!(1)),
        ("classify_topics", json!({"text": text}), "/primary", json!("technology")),
        ("analyze_request", json!({"request": "Write a Python function that sorts"}), "/category", json!("code_generation")),
        (
            "aggregate_results",
            json!({"sentiment": {"label": "positive", "compound": 0.5}, "topics": null}),
            "/statistics/missing/0",
            json!("topics"),
        ),
        ("create_content", json!({"topic": "Write a short email about tea"}), "/format", json!("email")),
        ("analyze_data", json!({"data": "a,b\n1,2\n3,4\n"}), "/columns/0/numbers/mean", json!(2.0)),
    ]
}

#[tokio::test]
async fn every_skill_answers_and_its_result_fits_its_schema() {
    let agents = Agents::start().await;
    for (skill, params, pointer, expected) in skills() {
        let reply = agents.execute(skill, params.clone()).await;
        let result = &reply["result"];
        assert_eq!(result.pointer(pointer), Some(&expected), "{skill}: {reply}");
        let card = agents.get(agents.agent_of(skill), "/agent-card").await;
        let offered = card["skills"].as_array().unwrap().iter().find(|offered| offered["id"] == skill).unwrap();
        jsonschema::validate(&offered["output_schema"], result).unwrap();
        jsonschema::validate(&offered["input_schema"], &params).unwrap();
        // The same input gives the same output.
        assert_eq!(agents.execute(skill, params).await, reply);
    }
}

#[tokio::test]
async fn the_prototype_card_has_its_shape_and_the_url_in_use() {
    let agents = Agents::start().await;
    assert_eq!(agents.running.agents.iter().map(|agent| agent.name).collect::<Vec<_>>(), AGENT_NAMES);
    for agent in &agents.running.agents {
        let card = agents.get(agent.name, "/agent-card").await;
        assert_eq!(card, agent.plain_card);
        assert_eq!(card.as_object().unwrap().keys().collect::<Vec<_>>(), ["name", "url", "skills"]);
        assert_eq!((&card["name"], &card["url"]), (&json!(agent.name), &json!(agent.url)));
        for skill in card["skills"].as_array().unwrap() {
            assert_eq!(skill.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "description", "input_schema", "output_schema"]);
            assert_eq!(skill["output_schema"]["type"], "object");
        }
    }
}

#[tokio::test]
async fn cards_without_starting_are_those_of_running_agents() {
    let agents = Agents::start().await;
    let ports: Vec<u16> = agents.running.agents.iter().map(|agent| agent.url.rsplit(':').next().unwrap().parse().unwrap()).collect();
    let expected = cards(IpAddr::V4(Ipv4Addr::LOCALHOST), ports.try_into().unwrap());
    assert!(expected.iter().zip(&agents.running.agents).all(|(card, running)| card.card == running.card && card.url == running.url));
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_the_code_for_it() {
    let agents = Agents::start().await;
    let deep = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"create_plan\",\"params\":{{\"requirements\":{}{}}}}}",
        "[".repeat(80),
        "]".repeat(80)
    );
    let bomb = "[".repeat(200_000);
    for (body, code, says) in [
        ("", -32700, "not JSON"),
        ("{\"jsonrpc\":", -32700, "not JSON"),
        (bomb.as_str(), -32700, "not JSON"),
        ("[]", -32600, "batches"),
        ("{}", -32600, "`jsonrpc`"),
        ("{\"jsonrpc\":\"2.0\"}", -32600, "`method`"),
        ("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"create_plan\"}", -32600, "`id`"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}", -32601, "offers `create_plan`"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"create_plan\",\"params\":[1]}", -32602, "`params`"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"create_plan\"}", -32602, "one of `requirements`, `request`, `text`"),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"create_plan\",\"params\":{\"requirements\":\"x\",\"language\":5}}",
            -32602,
            "`language`",
        ),
        (deep.as_str(), -32602, "deeper than 64"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"create_plan\",\"params\":{\"text\":\" \"}}", -1, "`requirements` is empty"),
    ] {
        let (status, reply) = agents.post("plan-agent", "/execute", body.to_owned()).await;
        let shown = &body[..body.len().min(80)];
        assert_eq!((status, &reply["error"]["code"]), (200, &json!(code)), "{shown}: {reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains(says), "{shown}: {reply}");
        assert!(reply.get("result").is_none());
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let agents = Agents::start().await;
    let (status, reply) = agents.post("analysis-agent", "/execute", vec![b' '; 4 * 1024 * 1024 + 1]).await;
    assert_eq!((status, &reply["error"]["code"]), (413, &json!(-32600)));
}

#[tokio::test]
async fn a_taken_port_is_named_and_nothing_is_left_running() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = Options { ports: [free, 0, port, 0, 0, 0], ..Options::default() };
    let error = start(options, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, Error::PortTaken { agent: "test-agent", port: named, .. } if named == port));
    let message = error.to_string();
    assert!(message.contains("test-agent") && message.contains(&port.to_string()), "{message}");
    // The port bound before the taken one is free again.
    std::net::TcpListener::bind(("127.0.0.1", free)).unwrap();
}

#[tokio::test]
async fn agents_stop_when_told() {
    let agents = Agents::start().await;
    agents.get("plan-agent", "/health").await;
    agents.shutdown.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(10), agents.running.stopped()).await.unwrap();
    assert!(agents.http.get(agents.url("plan-agent")).send().await.is_err());
}
