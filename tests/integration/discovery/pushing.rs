//! Pushing workflows and cards: checked, annotated from content, tagged by version, the same twice.

use bytes::Bytes;
use gantry::discovery::Error;
use gantry::registry::{At, Kind, Store};
use serde_json::{Value, json};

use super::world::{NEVER_STALE, Spy, card, oras_push, workflow};

fn tags(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

#[tokio::test]
async fn a_push_is_tagged_by_its_version_and_latest_moves_upwards_only() {
    let spy = Spy::embedded();
    let discovery = spy.discovery(NEVER_STALE);
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("1.1.0", &[], &["1.1.0", "latest"]),
        ("1.0.0", &[], &["1.0.0"]),
        ("1.0.0", &["old", "old"], &["1.0.0", "old"]),
        ("2.0.0-rc.1", &["next"], &["2.0.0-rc.1", "next"]),
        ("1.2.0+build.5", &[], &["1.2.0_build.5", "latest"]),
        ("1.1.1", &["latest"], &["1.1.1", "latest"]),
    ];
    for (version, given, expected) in cases {
        let pushed = discovery.push_workflow("f.yaml", workflow("flow", version, "x").into(), None, &tags(given)).await.unwrap();
        for tag in *expected {
            assert_eq!(spy.layout.resolve("workflows/flow", tag).await.unwrap(), pushed.digest, "{version} as {tag}");
            assert!(pushed.tags.iter().any(|one| one == tag), "{version}: {:?}", pushed.tags);
        }
        let latest = spy.layout.resolve("workflows/flow", "latest").await.unwrap();
        assert_eq!(latest == pushed.digest, expected.contains(&"latest"), "{version}");
    }
    assert_eq!(discovery.workflow("flow").await.unwrap().tag.as_deref(), Some("1.2.0_build.5"));
}

#[tokio::test]
async fn what_is_pushed_is_found_at_once_and_equal_content_has_an_equal_digest() {
    let spy = Spy::remote();
    let discovery = spy.discovery(NEVER_STALE);
    assert!(discovery.workflow("flow").await.is_err());
    assert!(discovery.agent("plan", None).await.is_err());
    let text = Bytes::from(workflow("flow", "1.0.0", "plan"));
    let pushed = discovery.push_workflow("f.yaml", text.clone(), None, &[]).await.unwrap();
    assert_eq!(*discovery.workflow("flow").await.unwrap().plan.digest(), pushed.digest);
    discovery.push_card(card("Plan Agent", &["plan"]).into(), None, &[]).await.unwrap();
    assert_eq!(discovery.agents().await.unwrap()[0].repository.as_deref(), Some("agents/plan-agent"));
    assert_eq!(discovery.agent("plan", None).await.unwrap().card.name, "Plan Agent");
    let again = discovery.push_workflow("other name.yaml", text.clone(), Some("flow"), &[]).await.unwrap();
    assert_eq!(again.digest, pushed.digest);
    let elsewhere = Spy::embedded().discovery(NEVER_STALE).push_workflow("f.yaml", text, Some("team/flow"), &[]).await.unwrap();
    assert_eq!(elsewhere.digest, pushed.digest, "neither time nor place are in it");
}

#[tokio::test]
async fn annotations_are_derived_from_the_content() {
    let spy = Spy::embedded();
    let discovery = spy.discovery(NEVER_STALE);
    let text = format!("{}input:\n  type: object\n  properties: {{ text: {{ type: string }} }}\n", workflow("flow", "1.0.0", "plan"));
    discovery.push_workflow("f.yaml", text.into(), None, &[]).await.unwrap();
    let annotations = async |repository: &str| {
        let manifest = spy.layout.manifest(repository, &At::Tag("latest".to_owned())).await.unwrap();
        serde_json::from_slice::<Value>(&manifest.bytes).unwrap()["annotations"].clone()
    };
    let expected = json!({
        "dev.gantry.examples": r#"["Do it"]"#,
        "dev.gantry.id": "flow",
        "dev.gantry.inputs": r#"["text"]"#,
        "dev.gantry.skills": r#"["plan"]"#,
        "dev.gantry.tags": r#"["one","two"]"#,
        "org.opencontainers.image.description": "Does it",
        "org.opencontainers.image.title": "The flow",
        "org.opencontainers.image.version": "1.0.0",
    });
    assert_eq!(annotations("workflows/flow").await, expected);
    discovery.push_card(card("planner", &["b", "a"]).into(), None, &[]).await.unwrap();
    let expected = json!({
        "dev.gantry.id": "planner",
        "dev.gantry.skills": r#"["a","b"]"#,
        "dev.gantry.url": "http://localhost:8001",
        "org.opencontainers.image.title": "planner",
    });
    assert_eq!(annotations("agents/planner").await, expected);
}

#[tokio::test]
async fn cards_as_the_prototype_pushed_them_are_found() {
    let root = tempfile::tempdir().unwrap();
    oras_push(root.path(), "agents/plan", "v1", "plan_agent_card.json", "application/json", &card("plan", &["create_plan"]));
    let spy = Spy::over(root.path());
    let discovery = spy.discovery(NEVER_STALE);
    let found = discovery.agent("create_plan", None).await.unwrap();
    assert_eq!((found.card.name.as_str(), found.reason.as_str()), ("plan", "only agent with the skill"));
    // A card without a version pushed over it needs a tag that is higher, or it would never be chosen.
    let error = discovery.push_card(card("plan", &["x"]).into(), None, &[]).await.unwrap_err();
    assert!(error.to_string().contains("`agents/plan` has versions and the card has none: give it"), "{error}");
    let mut odd: Value = serde_json::from_str(&card("plan", &["x"])).unwrap();
    odd["version"] = json!("v7");
    let error = discovery.push_card(odd.to_string().into(), None, &[]).await.unwrap_err();
    assert!(error.to_string().contains("the card has `v7`, which is none like `1.2.3`: give it"), "{error}");
    assert_eq!(error.hint(), None, "what would be right stands in the text");
    discovery.push_card(card("plan", &["create_plan", "x"]).into(), None, &tags(&["v2"])).await.unwrap();
    assert_eq!(discovery.agents().await.unwrap()[0].tag.as_deref(), Some("v2"));
    assert!(discovery.agent("x", None).await.is_ok());
}

#[tokio::test]
async fn what_is_wrong_is_not_pushed() {
    let spy = Spy::embedded();
    let discovery = spy.discovery(NEVER_STALE);
    let error = discovery.push_workflow("bad.yaml", "metadata: 7".into(), None, &[]).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid { name, diagnostics, .. } if name == "bad.yaml" && !diagnostics.is_empty()), "{error:?}");
    let good = || Bytes::from(workflow("flow", "1.0.0", "x"));
    let cases = [
        (discovery.push_workflow("f.yaml", good(), Some("Bad Name"), &[]).await, "cannot push to `workflows/Bad Name`"),
        (discovery.push_workflow("f.yaml", good(), Some("../up/x"), &[]).await, "cannot push to `../up/x`"),
        (discovery.push_workflow("f.yaml", good(), None, &tags(&["a b"])).await, "cannot push under the tag `a b`"),
        (discovery.push_card("[]".into(), None, &[]).await, "the card: not an agent card"),
        (discovery.push_card(card("日本", &["x"]).into(), None, &[]).await, "no repository can be named after the agent `日本`"),
        (discovery.push_card(vec![b' '; gantry::limits::CARD_BYTES_MAX + 1].into(), None, &[]).await, "the limit is 1048576"),
    ];
    for (result, expected) in cases {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(expected), "`{error}` has no `{expected}`");
    }
    for kind in [Kind::Workflow, Kind::AgentCard] {
        assert!(spy.layout.repositories(kind.folder()).await.unwrap().is_empty());
    }
}
