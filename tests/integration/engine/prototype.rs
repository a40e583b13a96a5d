//! The prototype's own workflows, unchanged, against agents that speak its protocol, all of them pushed as it pushed them.

use std::sync::Arc;

use gantry::engine::{Engine, Start};
use gantry::interpreter::{RunStatus, Snapshot, StepStatus};
use gantry::journal::Memory;
use gantry::registry::{Layout, digest};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::agent::{Act, Agent, Call, Speaks};
use super::world::{World, client_options, output, status, step};

const CODE_GENERATION: &str = include_str!("../../fixtures/workflow/valid/code-generation.yaml");
const PARALLEL_ANALYSIS: &str = include_str!("../../fixtures/workflow/valid/parallel-analysis.yaml");
const SMART_ROUTER: &str = include_str!("../../fixtures/workflow/valid/smart-router.yaml");

/// A registry served over HTTP, and what stock `oras push` does to it.
struct Registry {
    base: String,
    http: reqwest::Client,
    stop: CancellationToken,
}

impl Registry {
    async fn start(layout: &Arc<Layout>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(gantry::registry::http::serve(listener, Arc::clone(layout), Default::default(), stop.clone()));
        // Whoever was first keeps the provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { base, http: reqwest::Client::builder().no_proxy().build().unwrap(), stop }
    }

    async fn push(&self, repository: &str, title: &str, media_type: &str, content: &str) {
        let config = self.blob(repository, "{}").await;
        let layer = self.blob(repository, content).await;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.unknown.config.v1+json", "digest": config, "size": 2},
            "layers": [{"mediaType": media_type, "digest": layer, "size": content.len(),
                "annotations": {"org.opencontainers.image.title": title}}],
        });
        let put = self.http.put(format!("{}/v2/{repository}/manifests/v1", self.base));
        let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json").body(manifest.to_string());
        assert_eq!(put.send().await.unwrap().status(), 201, "{repository}");
    }

    async fn blob(&self, repository: &str, content: &str) -> String {
        let digest = digest::sha256(content.as_bytes()).to_string();
        let begun = self.http.post(format!("{}/v2/{repository}/blobs/uploads/", self.base)).send().await.unwrap();
        let place = begun.headers()["location"].to_str().unwrap().to_owned();
        let place = if place.starts_with("http") { place } else { format!("{}{place}", self.base) };
        let mark = if place.contains('?') { '&' } else { '?' };
        let put = self.http.put(format!("{place}{mark}digest={digest}")).body(content.to_owned());
        assert_eq!(put.send().await.unwrap().status(), 201, "{repository}");
        digest
    }

    async fn push_card(&self, agent: &Agent) {
        let (name, short) = (&agent.name, agent.name.trim_end_matches("-agent"));
        self.push(&format!("agents/{name}"), &format!("{short}_agent_card.json"), "application/json", &agent.card_text()).await;
    }

    async fn push_workflow(&self, stem: &str, text: &str) {
        self.push(&format!("workflows/{stem}"), &format!("workflows/{stem}.yaml"), "application/x-yaml", text).await;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Prototype {
    world: World,
    _registry: Registry,
}

impl Prototype {
    async fn with(agents: &[&Agent], workflows: &[(&str, &str)]) -> Self {
        let layout = Arc::new(Layout::ephemeral().unwrap());
        let registry = Registry::start(&layout).await;
        for agent in agents {
            registry.push_card(agent).await;
        }
        for (stem, text) in workflows {
            registry.push_workflow(stem, text).await;
        }
        let store: Arc<dyn gantry::registry::Store> = layout;
        Self { world: World::over(store, Arc::new(Memory::default()), client_options()), _registry: registry }
    }

    async fn run(&self, reference: &str, input: Value) -> Snapshot {
        let found = self.world.discovery.workflow(reference).await.unwrap();
        let run = self.world.engine.start(Start::new(found.plan, Arc::new(input))).await.unwrap().run;
        self.world.end(&run).await
    }
}

#[tokio::test]
async fn code_generation() {
    let plan = Agent::plain("plan-agent", &["create_plan"], |_| json!({"steps": ["sieve", "print"], "effort": 3})).await;
    let build = Agent::plain("build-agent", &["generate_code"], |_| json!("def primes(): ...")).await;
    let test = Agent::plain("test-agent", &["review_code"], |_| json!({"approved": true, "issues": []})).await;
    let world = Prototype::with(&[&plan, &build, &test], &[("code-generation", CODE_GENERATION)]).await;
    // By its id and by its repository.
    for reference in ["code-generation-v1", "code-generation", "code-generation:v1"] {
        let ended = world.run(reference, json!({"requirements": "calculate primes"})).await;
        assert_eq!(output(&ended), &json!({"result": {"approved": true, "issues": []}}), "{reference}");
        let by = |id| step(&ended, id).agent.as_ref().unwrap().name.clone();
        assert_eq!([by("plan"), by("build"), by("test")], ["plan-agent", "build-agent", "test-agent"]);
    }
    let received = |agent: &Agent, skill: &str| agent.look(|seen| seen.inputs(skill));
    assert_eq!(received(&plan, "create_plan"), vec![json!({"requirements": "calculate primes"}); 3]);
    assert_eq!(received(&build, "generate_code"), vec![json!({"plan": {"steps": ["sieve", "print"], "effort": 3}}); 3]);
    assert_eq!(received(&test, "review_code"), vec![json!({"code": "def primes(): ..."}); 3]);
}

#[tokio::test]
async fn parallel_analysis() {
    let barrier = Arc::new(tokio::sync::Barrier::new(3));
    let skills = ["analyze_sentiment", "extract_entities", "classify_topics", "aggregate_results"];
    let script = move |call: &Call| match call.skill.as_str() {
        "aggregate_results" => Act::Reply(json!({"of": call.inputs})),
        skill => Act::Meet(Arc::clone(&barrier), json!({"from": skill})),
    };
    let agent = Agent::start("analysis-agent", &skills, Speaks::Plain, script).await;
    let world = Prototype::with(&[&agent], &[("parallel-analysis", PARALLEL_ANALYSIS)]).await;
    let ended = world.run("parallel-analysis-v1", json!({"text": "Ada met Alan."})).await;
    let expected = json!({"sentiment": {"from": "analyze_sentiment"}, "entities": {"from": "extract_entities"},
        "topics": {"from": "classify_topics"}});
    assert_eq!(output(&ended), &json!({"report": {"of": expected}}));
    agent.look(|seen| {
        for skill in &skills[..3] {
            assert_eq!(seen.inputs(skill), [json!({"text": "Ada met Alan."})], "{skill}");
        }
        assert_eq!(seen.high_water, 3);
        assert_eq!(*seen.skills().last().unwrap(), "aggregate_results");
    });
}

const DATA: &str = "
metadata: {id: data-analysis-v1, name: Data, version: 1.0.0}
steps:
  - {id: analyse, skill: analyze_data, inputs: {data: \"{{ workflow.input.request }}\"}, outputs: result}
";

async fn router_agents() -> [Agent; 3] {
    let analysis = |call: &Call| {
        let request = call.inputs["request"].as_str().unwrap();
        let category = ["code_generation", "data_analysis", "content_creation"].into_iter().find(|known| request.contains(known));
        json!({"category": category.unwrap_or("something else")})
    };
    let skills = ["create_plan", "generate_code", "review_code", "analyze_data"];
    [
        Agent::plain("analysis-agent", &["analyze_request"], analysis).await,
        Agent::plain("worker-agent", &skills, |call| json!(format!("{} of {}", call.skill, call.inputs))).await,
        Agent::plain("content-agent", &["create_content"], |call| json!({"about": call.inputs["topic"]})).await,
    ]
}

#[tokio::test]
async fn smart_router_delegates_to_the_workflow_that_fits() {
    let [analysis, worker, content] = router_agents().await;
    let workflows = [("smart-router", SMART_ROUTER), ("code-generation", CODE_GENERATION), ("data-analysis", DATA)];
    let world = Prototype::with(&[&analysis, &worker, &content], &workflows).await;
    let ended = world.run("smart-router-v1", json!({"request": "some data_analysis"})).await;
    assert_eq!(output(&ended), &json!({"result": {"result": "analyze_data of {\"data\":\"some data_analysis\"}"}}));
    let statuses = ["run_code_generation", "run_data_analysis", "run_content_creation", "answer"].map(|id| status(&ended, id));
    use StepStatus::{Completed, Skipped};
    assert_eq!(statuses, [Skipped, Completed, Skipped, Skipped]);
    assert_eq!(step(&ended, "run_data_analysis").agent.as_ref().unwrap().name, "gantry");

    let ended = world.run("smart-router-v1", json!({"request": "some code_generation"})).await;
    assert_eq!(ended.status, RunStatus::Completed);
    assert_eq!(worker.look(|seen| seen.inputs("create_plan")), [json!({"requirements": "some code_generation"})]);
    assert_eq!(worker.look(|seen| seen.skills().len()), 4, "plan, build and test follow each other");

    let ended = world.run("smart-router-v1", json!({"request": "hello"})).await;
    assert_eq!(output(&ended), &json!({"result": {"about": "hello"}}));
}

/// An agent that offers `execute_workflow` goes before doing it here: usually another orchestrator.
#[tokio::test]
async fn smart_router_leaves_execute_workflow_to_an_agent_that_offers_it() {
    let [analysis, worker, content] = router_agents().await;
    let other = Agent::plain("orchestrator", &["execute_workflow"], |call| json!({"ran": call.inputs})).await;
    let world = Prototype::with(&[&analysis, &worker, &content, &other], &[("smart-router", SMART_ROUTER)]).await;
    let ended = world.run("smart-router-v1", json!({"request": "content_creation"})).await;
    let inputs = json!({"workflow_id": "content-creation-v1", "input": {"request": "content_creation"}});
    assert_eq!(output(&ended), &json!({"result": {"ran": inputs}}));
    assert_eq!(step(&ended, "run_content_creation").agent.as_ref().unwrap().name, "orchestrator");
}

/// Parameters of the plain dialect are the skill's inputs, and stay that. Only who offers a gantry's skills is told the runs above.
#[tokio::test]
async fn plain_agents_get_the_inputs_alone_and_other_orchestrators_the_runs_above_beside_them() {
    for (skill, is_gantrys) in [("work", false), ("execute_workflow", true), ("workflow:other", true), ("route_request", true)] {
        let agent = Agent::plain("agent", &[skill], |call| call.inputs.clone()).await;
        let inputs = "{workflow_id: \"{{ workflow.input.id }}\", input: {n: 1}, request: \"please\"}";
        let world = World::knowing(&[&agent]);
        let ended = world.run(&format!("steps:\n  - {{id: only, skill: \"{skill}\", inputs: {inputs}}}"), json!({"id": "other"})).await;
        let expected = json!({"workflow_id": "other", "input": {"n": 1}, "request": "please"});
        assert_eq!(output(&ended).to_string(), expected.to_string(), "{skill}");
        let call = agent.look(|seen| seen.calls[0].clone());
        assert_eq!(call.inputs.to_string(), expected.to_string(), "{skill}");
        let lineage = &call.metadata;
        if is_gantrys {
            assert_eq!((&lineage["depth"], &lineage["ancestry"][0]["workflow"]), (&json!(1), &json!("w")), "{skill}: {lineage}");
            let digest = world.plan("steps: []").digest().clone();
            assert_ne!(lineage["ancestry"][0]["digest"], json!(digest));
            assert!(lineage["ancestry"][0]["digest"].as_str().unwrap().starts_with("sha256:"));
        } else {
            assert_eq!(lineage, &json!(null), "{skill}");
        }
    }
}
