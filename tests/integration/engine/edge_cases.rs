//! The edge cases every workflow engine is asked about, each by its name.

use std::sync::Arc;

use gantry::discovery;
use gantry::engine::{Engine, Start};
use gantry::interpreter::{ErrorClass, RunStatus, StepStatus};
use gantry::journal::Memory;
use gantry::registry::{Remote, RemoteOptions};
use serde_json::{Value, json};

use super::agent::{Act, Agent, Call, Gate, Speaks};
use super::world::{World, client_options, failure, output, status, step};

async fn echo() -> Agent {
    Agent::plain("echo-agent", &["echo"], |call| call.inputs.clone()).await
}

#[tokio::test]
async fn empty_workflow() {
    let ended = World::new().run("steps: []", json!({})).await;
    assert_eq!(ended.status, RunStatus::Completed);
    assert_eq!(output(&ended), &Value::Null);
    assert!(ended.finished_at.is_some());
}

#[tokio::test]
async fn reference_to_a_step_that_does_not_exist() {
    let text = "metadata: {id: w, name: W, version: 1.0.0}\nsteps:\n  - {id: plan, skill: echo}\n  \
                - {id: build, skill: echo, inputs: {plan: \"{{ steps.plam.outputs }}\"}}\n";
    let error = World::new().discovery.plan_from_text("w.yaml", text.as_bytes()).unwrap_err();
    let discovery::Error::Invalid { diagnostics, .. } = error else { panic!("{error:?}") };
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    assert_eq!(diagnostics[0].line, 4);
    let said = format!("{} {}", diagnostics[0].message, diagnostics[0].hint.clone().unwrap_or_default());
    assert!(said.contains("plam") && said.contains("`plan`"), "{said}");
}

#[tokio::test]
async fn skill_nobody_offers() {
    let agent = echo().await;
    let ended = World::knowing(&[&agent]).run("steps:\n  - {id: only, skill: ecko}", json!({})).await;
    let error = failure(&ended);
    assert_eq!((error.code, error.step.as_deref(), error.skill.as_deref()), (ErrorClass::NoAgent, Some("only"), Some("ecko")));
    assert_eq!(error.line, Some(3));
    assert!(error.message.contains("`ecko`") && error.message.contains("echo"), "{}", error.message);
    assert_eq!(agent.look(|seen| seen.calls.len()), 0);
}

#[tokio::test]
async fn missing_template_variable() {
    let agent = echo().await;
    let yaml = "steps:\n  - id: only\n    skill: echo\n    inputs: {text: \"{{ workflow.input.txt }}\"}";
    let ended = World::knowing(&[&agent]).run(yaml, json!({"text": "x"})).await;
    let error = failure(&ended);
    assert_eq!((error.code, error.step.as_deref(), error.line), (ErrorClass::Template, Some("only"), Some(3)));
    assert!(error.message.contains("workflow.input.txt"), "{}", error.message);
    assert!(error.hint.as_deref().unwrap_or_default().contains("text") || error.message.contains("`text`"), "{error:?}");
    assert_eq!(agent.look(|seen| seen.calls.len()), 0, "nothing is called with a hole in its inputs");
}

#[tokio::test]
async fn agent_timeout() {
    let agent = Agent::start("slow", &["work"], Speaks::Plain, |_| Act::Hang).await;
    let ended = World::knowing(&[&agent]).run("steps:\n  - {id: only, skill: work, timeout: 100ms}", json!({})).await;
    let error = failure(&ended);
    assert_eq!((error.code, error.step.as_deref()), (ErrorClass::Timeout, Some("only")));
    assert_eq!((error.skill.as_deref(), error.agent.as_deref()), (Some("work"), Some("slow")));
    agent.until("its caller hang up", |seen| seen.hung_up == 1 && seen.in_flight == 0).await;
}

#[tokio::test]
async fn registry_down() {
    // A port that nobody listens on: it was bound and let go.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let remote = Remote::new(&free.to_string(), RemoteOptions::default()).unwrap();
    let world = World::over(Arc::new(remote), Arc::new(Memory::default()), client_options());
    let ended = world.run("steps:\n  - {id: only, skill: echo}", json!({})).await;
    let error = failure(&ended);
    assert_eq!((error.code, error.step.as_deref(), error.skill.as_deref()), (ErrorClass::Unavailable, Some("only"), Some("echo")));
    assert!(error.message.contains("registry"), "{}", error.message);
}

#[tokio::test]
async fn invalid_yaml_with_line_number() {
    let text = "metadata: {id: w, name: W, version: 1.0.0}\nsteps:\n  - id: a\n    skill: [echo\n";
    let error = World::new().discovery.plan_from_text("broken.yaml", text.as_bytes()).unwrap_err();
    let discovery::Error::Invalid { name, diagnostics, .. } = error else { panic!("{error:?}") };
    assert_eq!(name, "broken.yaml");
    assert!((4..=5).contains(&diagnostics[0].line), "{diagnostics:?}");
}

#[tokio::test]
async fn several_versions() {
    let agent = echo().await;
    let world = World::knowing(&[&agent]);
    for version in ["1.2.0", "1.10.0", "1.9.0"] {
        let step = format!("  - {{id: only, skill: echo, inputs: {{version: {version}}}}}");
        world.push_workflow(&format!("metadata: {{id: many, name: Many, version: {version}}}\nsteps:\n{step}\n")).await;
    }
    for (reference, version) in [("many", "1.10.0"), ("many:1.2.0", "1.2.0"), ("many:latest", "1.10.0")] {
        let found = world.discovery.workflow(reference).await.unwrap();
        let run = world.engine.start(Start::new(found.plan, Arc::new(json!({})))).await.unwrap().run;
        assert_eq!(output(&world.end(&run).await), &json!({"version": version}), "{reference}");
        assert_eq!(world.engine.summary(&run).await.unwrap().version, version, "{reference}");
    }
}

const BRANCHES: &str = "
steps:
  - id: all
    step_type: parallel
    fail_fast: FAIL_FAST
    branches:
      steps:
        - {id: one, skill: one, outputs: result}
        - {id: two, skill: two}
        - {id: three, skill: three}
  - {id: after, skill: one}
";

#[tokio::test]
async fn one_failing_parallel_branch_with_fail_fast() {
    // `two` fails when the others are in; they would hang for ever.
    let all_in = Gate::new();
    let failing = all_in.clone();
    let hangs = Agent::start("hangs", &["one", "three"], Speaks::Plain, |_| Act::Hang).await;
    let fails = Agent::start("fails", &["two"], Speaks::Plain, move |_| Act::Fail("two is broken".to_owned()).behind(&failing)).await;
    let world = World::knowing(&[&hangs, &fails]);
    let run = world.start(&BRANCHES.replace("FAIL_FAST", "true"), json!({})).await;
    hangs.until("both calls", |seen| seen.in_flight == 2).await;
    all_in.open();
    let ended = world.end(&run).await;
    let error = failure(&ended);
    assert_eq!((error.code, error.step.as_deref(), error.agent.as_deref()), (ErrorClass::AgentError, Some("two"), Some("fails")));
    let statuses = ["one", "two", "three", "all", "after"].map(|id| status(&ended, id));
    use StepStatus::{Canceled, Failed, Pending};
    assert_eq!(statuses, [Canceled, Failed, Canceled, Failed, Pending]);
    hangs.until("its callers hang up", |seen| seen.in_flight == 0 && seen.hung_up == 2).await;
}

#[tokio::test]
async fn one_failing_parallel_branch_without_fail_fast() {
    // The others answer only after `two` has failed.
    let failed = Gate::new();
    let later = failed.clone();
    let fails = Agent::start("fails", &["two"], Speaks::Plain, |_| Act::Fail("two is broken".to_owned())).await;
    let works = move |call: &Call| Act::Reply(json!({"did": call.skill})).behind(&later);
    let works = Agent::start("works", &["one", "three"], Speaks::Plain, works).await;
    let world = World::knowing(&[&fails, &works]);
    let run = world.start(&BRANCHES.replace("FAIL_FAST", "false"), json!({})).await;
    world.until(&run, "two has failed", |now| status(now, "two") == StepStatus::Failed).await;
    failed.open();
    let ended = world.end(&run).await;
    assert_eq!(ended.status, RunStatus::Completed, "{ended:#?}");
    let group = step(&ended, "all");
    assert_eq!(*group.outputs, json!({"one": {"result": {"did": "one"}}, "two": null, "three": {"did": "three"}}));
    let error = group.error.as_ref().unwrap();
    assert!(error.message.contains("1 of 3 branches failed") && error.message.contains("two is broken"), "{}", error.message);
    assert_eq!(status(&ended, "two"), StepStatus::Failed);
    assert_eq!(status(&ended, "after"), StepStatus::Completed);
}

const PARENT: &str = "
metadata: {id: parent, name: Parent, version: 1.0.0}
steps:
  - id: inner
    skill: execute_workflow
    inputs: {workflow_id: child, input: {text: \"{{ workflow.input.text }}!\"}}
    outputs: result
output: {from_child: \"{{ steps.inner.outputs.result }}\"}
";

#[tokio::test]
async fn nested_workflow() {
    let agent = echo().await;
    let world = World::knowing(&[&agent]);
    world.push_workflow("metadata: {id: child, name: Child, version: 2.0.0}\nsteps:\n  - {id: say, skill: echo, inputs: {text: \"{{ workflow.input.text }}\"}}\n").await;
    let parent = world.start(PARENT, json!({"text": "hello"})).await;
    let ended = world.end(&parent).await;
    assert_eq!(output(&ended), &json!({"from_child": {"text": "hello!"}}));
    assert_eq!(step(&ended, "inner").agent.as_ref().unwrap().name, "gantry");
    let runs = world.engine.list(&Default::default()).await.unwrap();
    let child = runs.iter().find(|run| run.workflow == "child").unwrap();
    assert_eq!((child.status, child.version.as_str()), (RunStatus::Completed, "2.0.0"));
    assert_eq!(child.labels["parent"], parent.as_str());
    assert_eq!(child.labels["parent_step"], "/0:inner");
    let called = agent.look(|seen| seen.calls[0].clone());
    assert_eq!(called.message_id, format!("{}/0:say#1", child.run), "the key is the child's own");
}

#[tokio::test]
async fn an_agent_is_told_the_depth_and_the_runs_above() {
    let agent = Agent::start("echo-agent", &["echo"], Speaks::A2a1, |_| Act::Reply(json!({}))).await;
    let world = World::knowing(&[&agent]);
    world.push_workflow("metadata: {id: child, name: Child, version: 2.0.0}\nsteps:\n  - {id: say, skill: echo}\n").await;
    world.run(PARENT, json!({"text": "x"})).await;
    let told = agent.look(|seen| seen.calls[0].metadata[gantry::a2a::extension::RUN].clone());
    assert_eq!(told["depth"], 2);
    let chain: Vec<_> = told["ancestry"].as_array().unwrap().iter().map(|above| above["workflow"].as_str().unwrap()).collect();
    assert_eq!(chain, ["parent", "child"]);
}

#[tokio::test]
async fn nested_workflow_that_fails_says_where() {
    let agent = Agent::start("broken", &["echo"], Speaks::Plain, |_| Act::Fail("it is Monday".to_owned())).await;
    let world = World::knowing(&[&agent]);
    world.push_workflow("metadata: {id: child, name: Child, version: 2.0.0}\nsteps:\n  - {id: say, skill: echo}\n").await;
    let ended = world.run(PARENT, json!({"text": "hello"})).await;
    let error = failure(&ended);
    assert_eq!((error.code, error.step.as_deref(), error.line), (ErrorClass::AgentError, Some("inner"), Some(4)));
    for part in ["`say`", "it is Monday", "broken"] {
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
}

#[tokio::test]
async fn nested_workflow_that_is_not_there_or_called_wrongly() {
    let world = World::new();
    for (inputs, code, said) in [
        ("{workflow_id: nowhere}", ErrorClass::Rejected, "nowhere"),
        ("{workflow: nowhere}", ErrorClass::Rejected, "workflow_id"),
        ("{}", ErrorClass::Rejected, "workflow_id"),
    ] {
        let ended = world.run(&format!("steps:\n  - {{id: inner, skill: execute_workflow, inputs: {inputs}}}"), json!({})).await;
        let error = failure(&ended);
        assert_eq!(
            (error.code, error.step.as_deref(), error.skill.as_deref()),
            (code, Some("inner"), Some("execute_workflow")),
            "{inputs}"
        );
        assert!(error.message.contains(said), "{inputs}: {}", error.message);
    }
}

#[tokio::test]
async fn nested_workflow_input_is_checked_against_its_schema() {
    let world = World::new();
    let schema = "input: {type: object, required: [text], properties: {text: {type: string}}}";
    world.push_workflow(&format!("metadata: {{id: child, name: Child, version: 2.0.0}}\n{schema}\nsteps: []\n")).await;
    let ended =
        world.run("steps:\n  - {id: inner, skill: execute_workflow, inputs: {workflow_id: child, input: {text: 7}}}", json!({})).await;
    let error = failure(&ended);
    assert_eq!(error.code, ErrorClass::InvalidInput, "{error:?}");
    assert!(error.message.contains("input.text"), "{}", error.message);
}
