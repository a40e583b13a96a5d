//! Workflows that lead back to themselves, or too deep: what is fixed is refused before anything runs, what data decides when it gets there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gantry::engine::embedded::{Embedded, Options};
use gantry::engine::{Engine, Error, Start};
use gantry::interpreter::{ErrorClass, RunStatus};
use gantry::plan::Refused;
use serde_json::json;

use super::agent::Agent;
use super::world::{World, client_options, failure, output};

/// `a>b c:stable`: the workflow `a` refers to `b` and, by a tag, to `c`.
fn yaml(line: &str, called: bool) -> String {
    let (id, to) = line.split_once('>').unwrap();
    let step = |(n, to): (usize, &str)| match (called, to.split_once(':')) {
        (false, _) => format!("  - {{id: s{n}, step_type: workflow, workflow: \"{to}\"}}\n"),
        (true, None) => format!("  - {{id: s{n}, skill: execute_workflow, inputs: {{workflow_id: {to}}}}}\n"),
        (true, Some((to, tag))) => format!("  - {{id: s{n}, skill: execute_workflow, inputs: {{workflow_id: {to}, version: {tag}}}}}\n"),
    };
    let steps: String = to.split_whitespace().enumerate().map(step).collect();
    let steps = if steps.is_empty() { "  []\n".to_owned() } else { steps };
    format!("metadata: {{id: {id}, name: W, version: 1.0.0}}\nsteps:\n{steps}")
}

async fn push(world: &World, lines: &[&str], called: bool) {
    for line in lines {
        let text = Bytes::from(yaml(line, called));
        world.discovery.push_workflow("w.yaml", text, None, &["stable".to_owned()]).await.unwrap();
    }
}

async fn start(engine: &Embedded, world: &World, id: &str) -> Result<gantry::ids::RunId, Error> {
    let plan = world.discovery.workflow(id).await.unwrap().plan;
    Ok(engine.start(Start::new(plan, Arc::new(json!({})))).await?.run)
}

async fn runs(world: &World) -> usize {
    world.engine.list(&Default::default()).await.unwrap().len()
}

#[tokio::test]
async fn a_fixed_circle_is_refused_whole_before_anything_is_called() {
    for called in [false, true] {
        for (lines, chain) in [
            (&["a>b", "b>a"][..], "a:1.0.0 → b:1.0.0 → a:1.0.0"),
            (&["a>x b", "x>", "b>c", "c>a"], "a:1.0.0 → b:1.0.0 → c:1.0.0 → a:1.0.0"),
            (&["a>b:stable", "b>a:stable"], "a:1.0.0 → b:1.0.0 → a:1.0.0"),
            // By a tag the check of the file does not know it for itself.
            (&["a>a:stable"], "a:1.0.0 → a:1.0.0"),
            (&["a>ping", "ping>pong", "pong>ping"], "ping:1.0.0 → pong:1.0.0 → ping:1.0.0"),
        ] {
            let world = World::new();
            push(&world, lines, called).await;
            let refused = start(&world.engine, &world, "a").await.unwrap_err();
            assert!(matches!(&refused, Error::References(Refused::Cycle { .. })), "{lines:?}: {refused}");
            let said = refused.to_string();
            assert!(said.starts_with(&format!("workflow cycle: {chain} (step `s")), "{lines:?}: {said}");
            assert!(said.contains("of a:1.0.0, line 3, column 5") || lines.len() == 4, "{said}");
            assert_eq!(runs(&world).await, 0, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_circle_through_a_file_that_was_pushed_is_named_from_the_file_on() {
    let world = World::new();
    push(&world, &["a>b", "b>a"], false).await;
    let refused = world.try_start(&yaml("a>b", false), json!({})).await.unwrap_err().to_string();
    assert!(refused.starts_with("workflow cycle: a:1.0.0 → b:1.0.0 → a:1.0.0"), "{refused}");
}

#[tokio::test]
async fn a_diamond_runs_and_so_does_what_refers_to_nothing_that_is_known() {
    let world = World::new();
    push(&world, &["a>b c", "b>d", "c>d", "d>"], false).await;
    let run = start(&world.engine, &world, "a").await.unwrap();
    assert_eq!(world.end(&run).await.status, RunStatus::Completed);
    assert_eq!(runs(&world).await, 5);
    let run = world.try_start(&yaml("lost>nowhere", false), json!({})).await.unwrap();
    let ended = world.end(&run).await;
    assert!(failure(&ended).message.contains("nowhere"), "{:?}", failure(&ended));
}

#[tokio::test]
async fn a_fixed_chain_may_be_as_deep_as_runs_may_nest() {
    let world = World::new();
    for n in 1..=1_000 {
        let next = if n == 1_000 { String::new() } else { format!("w{}", n + 1) };
        push(&world, &[&format!("w{n}>{next}")], false).await;
    }
    let began = Instant::now();
    let refused = start(&world.engine, &world, "w1").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let Error::References(Refused::TooDeep { chain, depth_max: 16, .. }) = &refused else { panic!("{refused}") };
    assert_eq!((chain.len(), chain[16].as_str()), (17, "w17:1.0.0"));
    assert!(refused.to_string().contains("deeper than 16"), "{refused}");
    assert!(start(&world.engine, &world, "w984").await.is_err(), "seventeen");
    assert_eq!(runs(&world).await, 0);
    let run = start(&world.engine, &world, "w985").await.expect("sixteen");
    assert_eq!(world.end(&run).await.status, RunStatus::Completed);
    assert_eq!(runs(&world).await, 16);

    let options = Options { depth_max: 3, ..Options::default() };
    let client = gantry::agent::Client::new(client_options());
    let shallow = Embedded::new(options, Arc::clone(&world.discovery), client, Arc::clone(&world.journal));
    assert!(start(&shallow, &world, "w997").await.is_err());
    let run = start(&shallow, &world, "w998").await.unwrap();
    assert_eq!(super::world::end(&shallow, &run).await.status, RunStatus::Completed);
}

#[tokio::test]
async fn what_data_decides_is_cut_at_depth_16_and_where_it_comes_back() {
    let world = World::new();
    let templated = |id: &str, next: &str| {
        format!(
            "metadata: {{id: {id}, name: W, version: 1.0.0}}\nsteps:\n  - {{id: next, skill: execute_workflow, inputs: {{workflow_id: \"{{{{ {next} }}}}\", input: \"{{{{ workflow.input }}}}\"}}}}\n"
        )
    };
    for n in 0..20 {
        world.push_workflow(&templated(&format!("w{n}"), &format!("'w{}'", n + 1))).await;
    }
    let run = start(&world.engine, &world, "w0").await.unwrap();
    let ended = world.end(&run).await;
    let error = failure(&ended);
    assert_eq!(error.code, ErrorClass::Limit, "{error:?}");
    assert!(error.message.contains("deeper than 16") && error.message.contains("w14 → w15 → w16"), "{}", error.message);
    assert_eq!(runs(&world).await, 16, "the seventeenth was never accepted");
    for (id, next) in [("start", "ping"), ("ping", "pong"), ("pong", "ping"), ("me", "me")] {
        world.push_workflow(&templated(id, &format!("'{next}'"))).await;
    }
    for (id, chain, more) in [("start", "ping → pong → ping", 3), ("me", "me → me", 1)] {
        let before = runs(&world).await;
        let run = start(&world.engine, &world, id).await.unwrap();
        let ended = world.end(&run).await;
        let error = failure(&ended);
        assert_eq!(error.code, ErrorClass::Limit, "{error:?}");
        assert!(error.message.contains(&format!("workflow cycle: {chain}")), "{}", error.message);
        assert_eq!(runs(&world).await - before, more);
    }
}

#[tokio::test]
async fn a_fixed_chain_below_one_that_data_decides_is_refused_where_it_would_begin() {
    let world = World::new();
    push(&world, &["deep>d1", "d1>d2", "d2>deep"], false).await;
    let top = "steps:\n  - {id: next, skill: execute_workflow, inputs: {workflow_id: \"{{ workflow.input.id }}\"}}";
    let ended = world.run(top, json!({"id": "deep"})).await;
    assert_eq!(failure(&ended).code, ErrorClass::Limit);
    assert!(failure(&ended).message.contains("deep:1.0.0 → d1:1.0.0 → d2:1.0.0 → deep:1.0.0"), "{}", failure(&ended).message);
    assert_eq!(runs(&world).await, 1);
}

/// Another orchestrator has workflows of its own: its `a` need not be this one.
#[tokio::test]
async fn calls_that_somebody_else_answers_are_no_circle() {
    let other = Agent::plain("other", &["execute_workflow"], |_| json!("done elsewhere")).await;
    let world = World::knowing(&[&other]);
    push(&world, &["a>b", "b>a"], true).await;
    let run = start(&world.engine, &world, "a").await.unwrap();
    assert_eq!(output(&world.end(&run).await), &json!("done elsewhere"));
    push(&world, &["c>d", "d>c"], false).await;
    assert!(start(&world.engine, &world, "c").await.is_err(), "a `workflow` step is run here whoever offers the skill");
}
