//! Which agents a server calls: one that others can reach must not reach for them what only its machine should.

use serde_json::json;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::gantries::{Site, status};

/// An agent of the plain protocol on loopback, with its card.
async fn agent() -> MockServer {
    let server = MockServer::start().await;
    let card = json!({ "name": "near", "url": server.uri(), "skills": [{ "id": "near", "description": "near" }] });
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_json(card)).mount(&server).await;
    let answer = |request: &wiremock::Request| {
        let call: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": call["id"], "result": { "n": 42 } }))
    };
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn a_server_for_others_calls_agents_on_its_own_machine_only_when_told_so() {
    const OPEN: &str = "[server]\nbind = \"0.0.0.0:0\"\n[server.auth]\nanonymous = true\n";
    let (site, agent) = (Site::new().await, agent().await);
    site.push_card(&agent.uri()).await;
    site.push_call("near").await;
    for (at, configuration, called) in [
        ("loopback", String::new(), true),
        ("open", OPEN.to_owned(), false),
        ("told", format!("allow_private_addresses = true\n{OPEN}"), true),
        ("networks", format!("allow_networks = [\"127.0.0.0/8\"]\n{OPEN}"), true),
        ("closed", "allow_private_addresses = false\n".to_owned(), false),
    ] {
        let gantry = site.serve(&format!("gantry-{at}"), &configuration).await;
        let before = agent.received_requests().await.unwrap().len();
        let told = status(&gantry.execute("call-near", json!({})).await);
        let requests = agent.received_requests().await.unwrap().len() - before;
        if called {
            assert_eq!((told.as_str(), requests), ("COMPLETED", 1), "{at}");
        } else {
            assert!(told.starts_with("FAILED: ") && told.contains("not public") && told.contains("allow it"), "{at}: {told}");
            assert_eq!(requests, 0, "{at}");
        }
    }
}
