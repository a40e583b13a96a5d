//! The card: what it says, how it is cached, and where it is published.

use gantry::a2a::{Card, Dialect};
use serde_json::{Value, json};

use super::world::{World, echo};

async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let mut request = world.http.get(format!("{}{path}", world.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn the_card_describes_this_server() {
    let world = World::new().await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("echo", "  - id: one\n    skill: work\n").await;
    let card: Value = get(&world, "/.well-known/agent-card.json", &[]).await.json().await.unwrap();
    let url = world.url.replace("127.0.0.1", "localhost");
    assert_eq!(card["name"], "gantry");
    let interfaces: Vec<(&str, &str, &str)> = card["supportedInterfaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| (i["url"].as_str().unwrap(), i["protocolBinding"].as_str().unwrap(), i["protocolVersion"].as_str().unwrap()))
        .collect();
    assert_eq!(interfaces, [(url.as_str(), "JSONRPC", "1.0"), (url.as_str(), "JSONRPC", "0.3")]);
    assert_eq!(card["url"], url, "for 0.3 clients");
    let skills: Vec<&str> = card["skills"].as_array().unwrap().iter().map(|skill| skill["id"].as_str().unwrap()).collect();
    assert_eq!(skills, ["execute_workflow", "route_request", "workflow:echo"]);
    let extensions = card["capabilities"]["extensions"].as_array().unwrap();
    let schemas = extensions.iter().find(|e| e["uri"] == "urn:gantry:a2a:skill-schemas:v1").unwrap();
    assert_eq!(schemas["params"]["execute_workflow"]["input"]["required"], json!(["workflow_id"]));
    assert!(extensions.iter().any(|e| e["uri"] == "urn:gantry:a2a:run:v1" && e["required"] == false));
    let read = Card::parse(card.to_string().as_bytes()).unwrap();
    assert_eq!(read.interfaces[0].dialect, Dialect::A2a1);
    assert!(read.skill("execute_workflow").unwrap().input_schema.is_some());
    let plain: Value = get(&world, "/agent-card", &[]).await.json().await.unwrap();
    assert_eq!(plain["url"], url);
    assert!(plain["skills"][0]["input_schema"].is_object());
    assert_eq!(plain.as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn the_card_is_cached_by_tag_and_date() {
    let world = World::new().await;
    let first = get(&world, "/.well-known/agent-card.json", &[]).await;
    let header = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
    assert!(header("cache-control").contains("max-age="));
    let (etag, modified) = (header("etag"), header("last-modified"));
    for (headers, status) in [
        (&[("if-none-match", etag.as_str())][..], 304),
        (&[("if-none-match", "\"other\", *")], 304),
        (&[("if-none-match", "\"other\"")], 200),
        (&[("if-modified-since", modified.as_str())], 304),
        (&[("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")], 200),
        (&[("if-none-match", "\"other\""), ("if-modified-since", modified.as_str())], 200),
    ] {
        let answer = get(&world, "/.well-known/agent-card.json", headers).await;
        assert_eq!(answer.status(), status, "{headers:?}");
        assert_eq!(answer.headers()["etag"], etag.as_str());
    }
}

#[tokio::test]
async fn the_card_is_published_and_found_by_skill() {
    let world = World::new().await;
    // The server publishes by itself once it serves; how soon is the machine's business.
    let found = loop {
        if let Ok(found) = world.discovery.agent("execute_workflow", None).await {
            break found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(found.card.interfaces[0].url, world.url.replace("127.0.0.1", "localhost"));
    assert!(found.digest.is_some(), "from the registry");
}

#[tokio::test]
async fn a_workflow_that_comes_and_changes_is_in_the_published_card() {
    let world = World::with(|options| options.card.publish_every = std::time::Duration::from_millis(20)).await;
    let published = async |skill: &str| {
        let wait = async {
            loop {
                if let Ok(found) = world.discovery.agent(skill, None).await {
                    break found;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(super::world::PATIENCE, wait).await.unwrap_or_else(|_| panic!("`{skill}` was not published"))
    };
    let first = published("execute_workflow").await;
    assert!(world.discovery.agent("workflow:late", None).await.is_err());
    world.workflow("late", "  - {id: one, step_type: set, value: 1}\n").await;
    let second = published("workflow:late").await;
    assert!(second.digest.is_some() && second.digest != first.digest, "from the registry, and another one");
    world.workflow("later", "  - {id: one, step_type: set, value: 1}\n").await;
    let third = published("workflow:later").await;
    assert!(third.card.skills.iter().any(|skill| skill.id.as_str() == "workflow:late"), "what was there stays");
}

#[tokio::test]
async fn the_extended_card_is_there_when_configured() {
    let world = World::with(|options| {
        options.card.extended = true;
        options.card.workflow_skills = gantry::server::WorkflowSkills::Extended;
    })
    .await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("hidden", "  - id: one\n    skill: work\n").await;
    let ids = |card: &Value| card["skills"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let card: Value = get(&world, "/.well-known/agent-card.json", &[]).await.json().await.unwrap();
    assert_eq!(card["capabilities"]["extendedAgentCard"], true);
    assert!(!ids(&card).contains(&"workflow:hidden".to_owned()));
    let extended = world.call("GetExtendedAgentCard", json!({})).await;
    assert!(ids(extended.result()).contains(&"workflow:hidden".to_owned()));
}

#[tokio::test]
async fn a_declared_card_that_is_not_configured_has_its_own_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.json");
    let mut template: Value = serde_json::from_str(include_str!("../../../agent-card.json")).unwrap();
    template["capabilities"]["extendedAgentCard"] = json!(true);
    std::fs::write(&path, template.to_string()).unwrap();
    let world = World::with(|options| options.card.template = Some(path)).await;
    assert_eq!(world.call("GetExtendedAgentCard", json!({})).await.code(), -32007);
}

#[tokio::test]
async fn a_card_without_older_members_is_1_0_and_nothing_else() {
    let world = World::with(|options| options.card.older_members = false).await;
    let card: Value = get(&world, "/.well-known/agent-card.json", &[]).await.json().await.unwrap();
    for name in ["url", "protocolVersion", "preferredTransport", "additionalInterfaces"] {
        assert!(card.get(name).is_none(), "{name}");
    }
    assert!(card["skills"][0].get("input_schema").is_none());
}
