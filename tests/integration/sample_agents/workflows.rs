//! The example workflows across the sample agents: found by skill in a registry, run by the engine.

use std::sync::Arc;
use std::time::Duration;

use gantry::discovery::{self, Discovery};
use gantry::engine::embedded::{self, Embedded};
use gantry::engine::{Engine, Next, Start};
use gantry::interpreter::{Outcome, Snapshot};
use gantry::journal::Memory;
use gantry::registry::Layout;
use gantry::sample_agents::EMBEDDED_WORKFLOWS;
use serde_json::{Value, json};

use super::Agents;

/// An engine that knows the agents' cards and the example workflows from a registry.
async fn engine(agents: &Agents) -> (Embedded, Arc<Discovery>) {
    let discovery = Arc::new(Discovery::new(Arc::new(Layout::ephemeral().unwrap()), discovery::Options::default()));
    for agent in &agents.running.agents {
        discovery.push_card(agent.card.to_string().into(), None, &[]).await.unwrap();
    }
    for (stem, text) in EMBEDDED_WORKFLOWS {
        discovery.push_workflow(&format!("{stem}.yaml"), (*text).into(), None, &[]).await.unwrap();
    }
    let client = gantry::agent::Client::new(gantry::agent::Options { allow_private_addresses: true, ..Default::default() });
    (Embedded::new(embedded::Options::default(), discovery.clone(), client, Arc::new(Memory::default())), discovery)
}

/// Runs a workflow to its end.
async fn run(agents: &Agents, workflow: &str, input: Value) -> Snapshot {
    let (engine, discovery) = engine(agents).await;
    let found = discovery.workflow(workflow).await.unwrap();
    let started = engine.start(Start::new(found.plan, Arc::new(input))).await.unwrap();
    let ended = async {
        loop {
            let mut watched = engine.subscribe(&started.run).await.unwrap();
            if watched.snapshot.outcome.is_some() {
                return watched.snapshot;
            }
            while let Next::Update(_) = watched.next().await {}
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap()
}

async fn check(agents: &Agents, workflow: &str, input: Value, expected: &[(&str, Value)]) {
    let snapshot = run(agents, workflow, input).await;
    let Some(Outcome::Completed { output }) = &snapshot.outcome else { panic!("{workflow}: {:?}", snapshot.outcome) };
    for (pointer, value) in expected {
        assert_eq!(output.pointer(pointer), Some(value), "{workflow}: {pointer} of {output:#}");
    }
}

#[tokio::test]
async fn every_example_runs() {
    let agents = Agents::start().await;
    check(
        &agents,
        "code-generation-v1",
        json!({ "requirements": "Create a function to calculate prime numbers" }),
        &[("/filename", json!("primes.py")), ("/review/verdict", json!("approved"))],
    )
    .await;
    check(&agents, "code-generation-v1", json!({ "requirements": "fizzbuzz", "language": "rust" }), &[("/filename", json!("fizzbuzz.rs"))])
        .await;
    check(
        &agents,
        "parallel-analysis-v1",
        json!({ "text": "Ada Lovelace loves the new computer." }),
        &[
            ("/statistics/present", json!(3)),
            ("/combined/sentiment/label", json!("positive")),
            ("/combined/topics/primary", json!("technology")),
        ],
    )
    .await;
    check(
        &agents,
        "data-analysis-v1",
        json!({ "data": "city,sold\nRome,3\nOslo,5\n", "question": "total sold" }),
        &[("/answer", json!("The sum of `sold` is 8"))],
    )
    .await;
    check(
        &agents,
        "content-creation-v1",
        json!({ "topic": "Write a blog post about remote work", "length": 120 }),
        &[("/content/title", json!("Remote work")), ("/content/format", json!("blog post"))],
    )
    .await;
}

#[tokio::test]
async fn the_router_delegates_to_the_workflow_that_fits() {
    let agents = Agents::start().await;
    for (request, category, pointer, value) in [
        ("Write a Rust function that computes factorials", "code_generation", "/result/filename", json!("factorial.rs")),
        ("Analyze this data:\na,b\n1,2\n3,4", "data_analysis", "/result/row_count", json!(2)),
        ("Draft a friendly email about the workshop", "content_creation", "/result/content/tone", json!("friendly")),
        ("Hello there", "unknown", "/result/title", json!("Hello there")),
    ] {
        check(&agents, "smart-router-v1", json!({ "request": request }), &[("/category", json!(category)), (pointer, value)]).await;
    }
}

/// A failed branch leaves a gap in the summary, not a failed run.
#[tokio::test]
async fn the_analysis_goes_on_without_a_branch_that_failed() {
    let agents = Agents::start().await;
    let (_, text) = EMBEDDED_WORKFLOWS.iter().find(|(stem, _)| *stem == "parallel-analysis").unwrap();
    let broken = text.replace("skill: classify_topics", "skill: nobody_offers_this").replace("id: parallel-analysis-v1", "id: broken");
    let (engine, discovery) = engine(&agents).await;
    let plan = discovery.plan_from_text("broken.yaml", broken.as_bytes()).unwrap();
    let started = engine.start(Start::new(plan, Arc::new(json!({ "text": "I love it" })))).await.unwrap();
    let mut watched = engine.subscribe(&started.run).await.unwrap();
    let ended = async { while let Next::Update(_) = watched.next().await {} };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
    let snapshot = engine.snapshot(&started.run).await.unwrap();
    let Some(Outcome::Completed { output }) = &snapshot.outcome else { panic!("{:?}", snapshot.outcome) };
    assert_eq!((&output["statistics"]["missing"], &output["combined"]["sentiment"]["label"]), (&json!(["topics"]), &json!("positive")));
}
