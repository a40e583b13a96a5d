//! How many calls are in flight at once: never more than allowed, in the order of coming, and nobody waits for himself.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gantry::agent::{Circuit, Client, GateOptions, GateStatus};
use gantry::engine::embedded::{CallOptions, Embedded, Options};
use gantry::engine::{Engine, OwnReply, OwnSkills, Start};
use gantry::interpreter::{ErrorClass, RunStatus, StepError};
use gantry::journal::{Journal, Sqlite};
use serde_json::json;
use tokio::sync::watch;

use super::agent::{Act, Agent, Call, Gate, Speaks};
use super::world::{World, client_options, end, failure, output, step};

fn places(per_agent: usize, all: usize) -> CallOptions {
    let count = |count| NonZeroUsize::new(count).unwrap();
    let gates = GateOptions { calls_per_agent_max: count(per_agent), calls_max: count(all), ..GateOptions::default() };
    CallOptions { gates, ..CallOptions::default() }
}

fn status(world: &World, agent: &str) -> GateStatus {
    world.engine.agents().into_iter().find(|status| status.agent == agent).unwrap_or_else(|| panic!("no status of {agent}"))
}

async fn until(world: &World, agent: &str, what: &str, holds: impl Fn(&GateStatus) -> bool) {
    let wait = async {
        while !world.engine.agents().iter().any(|status| status.agent == agent && holds(status)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(super::agent::PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn map(skill: &str, items: usize) -> String {
    let items: Vec<_> = (0..items).collect();
    format!("steps:\n  - {{id: all, step_type: map, items: \"{{{{ {items:?} }}}}\", skill: {skill}, inputs: {{n: \"{{{{ item }}}}\"}}}}")
}

#[tokio::test]
async fn an_agent_gets_no_more_calls_at_once_than_allowed_and_all_are_made() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent =
        Agent::start("busy", &["work"], Speaks::Plain, move |call: &Call| Act::Reply(call.inputs["n"].clone()).behind(&closed)).await;
    let world = World::calling(places(3, 100), &[&agent]);
    let run = world.start(&map("work", 10), json!({})).await;
    until(&world, "busy", "seven that wait", |status| (status.in_flight, status.waiting) == (3, 7)).await;
    agent.until("three calls", |seen| seen.in_flight == 3).await;
    gate.open();
    let ended = world.end(&run).await;
    assert_eq!(output(&ended), &json!((0..10).collect::<Vec<_>>()));
    assert_eq!(agent.look(|seen| (seen.calls.len(), seen.high_water)), (10, 3));
    assert_eq!((status(&world, "busy").in_flight, status(&world, "busy").waiting), (0, 0));
}

#[tokio::test]
async fn who_comes_first_is_called_first() {
    let agent = Agent::plain("busy", &["work"], |call| call.inputs["n"].clone()).await;
    let world = World::calling(places(1, 10), &[&agent]);
    assert_eq!(world.run(&map("work", 10), json!({})).await.status, RunStatus::Completed);
    assert_eq!(agent.look(|seen| seen.inputs("work")), (0..10).map(|n| json!({"n": n})).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_bound_of_all_holds_over_agents_and_one_that_hangs_does_not_hold_up_the_others() {
    let hangs = Agent::start("hangs", &["hang"], Speaks::Plain, |_| Act::Hang).await;
    let works = Agent::plain("works", &["work"], |call| call.inputs["n"].clone()).await;
    let world = World::calling(places(2, 3), &[&hangs, &works]);
    let stuck = world.start(&map("hang", 10), json!({})).await;
    until(&world, "hangs", "two that hang", |status| (status.in_flight, status.waiting) == (2, 8)).await;
    // One place is left, and none of the eight that wait for the other agent has it.
    let ended = world.run(&map("work", 50), json!({})).await;
    assert_eq!(ended.status, RunStatus::Completed);
    assert_eq!(works.look(|seen| (seen.calls.len(), seen.high_water)), (50, 1));
    world.engine.cancel(&stuck, "enough").await.unwrap();
    world.end(&stuck).await;
    until(&world, "hangs", "an empty queue", |status| (status.in_flight, status.waiting) == (0, 0)).await;
    assert_eq!(hangs.look(|seen| seen.calls.len()), 2, "who left the queue was never called");
}

#[tokio::test]
async fn waiting_counts_against_the_steps_timeout_and_not_against_the_agent() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("busy", &["work"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&closed)).await;
    let mut calls = places(1, 10);
    calls.gates.breaker.failures = std::num::NonZeroU32::MIN;
    let world = World::calling(calls, &[&agent]);
    let first = world.start("steps:\n  - {id: only, skill: work}", json!({})).await;
    agent.until("the first call", |seen| seen.in_flight == 1).await;
    let ended = world.run("steps:\n  - {id: only, skill: work, timeout: 250ms}", json!({})).await;
    let error = failure(&ended);
    assert_eq!((error.code, error.agent.as_deref()), (ErrorClass::Timeout, Some("busy")));
    assert!(error.message.contains("it was not called within 250ms") && error.message.contains("calls_per_agent_max"), "{}", error.message);
    assert_eq!((status(&world, "busy").circuit, status(&world, "busy").waiting), (Circuit::Closed, 0));
    gate.open();
    assert_eq!(world.end(&first).await.status, RunStatus::Completed);
    assert_eq!(agent.look(|seen| seen.calls.len()), 1);
}

#[tokio::test]
async fn a_deadline_of_the_run_and_a_cancel_end_the_wait_at_once() {
    let agent = Agent::start("busy", &["work"], Speaks::Plain, |_| Act::Hang).await;
    let world = World::calling(places(1, 10), &[&agent]);
    let first = world.start("steps:\n  - {id: only, skill: work}", json!({})).await;
    agent.until("the first call", |seen| seen.in_flight == 1).await;
    let ended = world.run("limits: {max_duration: 300ms}\nsteps:\n  - {id: only, skill: work}", json!({})).await;
    assert!(failure(&ended).message.contains("the run took longer than its limit of 300ms"), "{:?}", failure(&ended));
    let waits = world.start("steps:\n  - {id: only, skill: work}", json!({})).await;
    until(&world, "busy", "one that waits", |status| status.waiting == 1).await;
    world.engine.cancel(&waits, "enough").await.unwrap();
    assert_eq!(world.end(&waits).await.status, RunStatus::Canceled);
    until(&world, "busy", "an empty queue", |status| status.waiting == 0).await;
    world.engine.cancel(&first, "enough").await.unwrap();
    world.end(&first).await;
    assert_eq!(agent.look(|seen| seen.calls.len()), 1);
}

#[tokio::test]
async fn a_stop_begins_nothing_that_waits_and_the_next_start_goes_on_with_it() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent =
        Agent::start("busy", &["work"], Speaks::Plain, move |call: &Call| Act::Reply(call.inputs["n"].clone()).behind(&closed)).await;
    let dir = tempfile::tempdir().unwrap();
    let journal: Arc<dyn Journal> = Arc::new(Sqlite::open(dir.path()).unwrap());
    let world = World::with(Arc::clone(&journal));
    world.meet(&[&agent]);
    let engine = || {
        let options = Options { calls: places(1, 10), ..Options::default() };
        Embedded::new(options, Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&journal))
    };
    let first = engine();
    let run = first.start(Start::new(world.plan(&map("work", 3)), Arc::new(json!({})))).await.unwrap().run;
    let one_in = async {
        while first.agents().first().is_none_or(|status| (status.in_flight, status.waiting) != (1, 2)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(super::agent::PATIENCE, one_in).await.expect("one call in flight and two that wait");
    let stopping = first.clone();
    let stopped = tokio::spawn(async move { stopping.shutdown(Duration::from_secs(15)).await });
    let left = async {
        while first.agents()[0].waiting > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(super::agent::PATIENCE, left).await.expect("the queue is empty before the call in flight has ended");
    gate.open();
    assert_eq!(stopped.await.unwrap(), 1, "one run is parked");
    assert_eq!(agent.look(|seen| seen.calls.len()), 1);
    let second = engine();
    assert_eq!(second.recover().await.unwrap().resumed, 1);
    assert_eq!(output(&end(&second, &run).await), &json!([0, 1, 2]));
    assert_eq!(agent.look(|seen| seen.calls.len()), 3, "what had ended is not called again");
}

/// With a single place, so that anything that holds it while it waits for a child would wait for ever.
#[tokio::test]
async fn runs_in_runs_never_wait_for_each_other() {
    let agent = Agent::plain("works", &["work"], |call| call.inputs.clone()).await;
    let world = World::calling(places(1, 1), &[&agent]);
    let header = |id: &str| format!("metadata: {{id: {id}, name: N, version: 1.0.0}}\n");
    let leaf = "steps:\n  - {id: w, skill: work, inputs: {n: \"{{ workflow.input.n }}\"}, timeout: 10s}";
    world.push_workflow(&format!("{}{leaf}", header("leaf"))).await;
    let middle = "
steps:
  - id: fan
    step_type: parallel
    branches:
      steps:
        - {id: one, step_type: workflow, workflow: leaf, inputs: {n: 1}, timeout: 10s}
        - {id: two, skill: execute_workflow, inputs: {workflow_id: leaf, input: {n: 2}}, timeout: 10s}
        - {id: three, skill: work, inputs: {n: 3}, timeout: 10s}
";
    world.push_workflow(&format!("{}{middle}", header("middle"))).await;
    let top = world.plan(
        "
steps:
  - id: fan
    step_type: map
    items: \"{{ [1, 2, 3, 4, 5, 6, 7, 8] }}\"
    steps:
      - {id: deep, step_type: workflow, workflow: middle, inputs: {}, timeout: 15s}
",
    );
    let mut runs = Vec::new();
    for n in 0..4 {
        runs.push(world.engine.start(Start::new(Arc::clone(&top), Arc::new(json!({"n": n})))).await.unwrap().run);
    }
    for run in runs {
        let ended = world.end(&run).await;
        assert_eq!(ended.status, RunStatus::Completed, "{ended:#?}");
    }
    assert_eq!(agent.look(|seen| (seen.calls.len(), seen.high_water)), (4 * 8 * 3, 1));
}

/// The skill that this process serves itself: answers when the gate is open.
#[derive(Debug)]
struct Routes {
    gate: Gate,
    calls: watch::Sender<usize>,
}

#[async_trait]
impl OwnSkills for Routes {
    async fn call(&self, _: gantry::agent::Call) -> Result<OwnReply, StepError> {
        self.calls.send_modify(|calls| *calls += 1);
        self.gate.pass().await;
        Ok(OwnReply::Value(json!("routed")))
    }
}

/// What this process does for a call may need the places that the call must therefore not hold.
#[tokio::test]
async fn a_call_to_this_process_itself_takes_no_place() {
    let gate = Gate::new();
    let routes = Arc::new(Routes { gate: gate.clone(), calls: watch::Sender::new(0) });
    let own = Agent::start("gantry", &["route_request"], Speaks::Plain, |_| Act::Reply(json!("over the network"))).await;
    let works = Agent::plain("works", &["work"], |_| json!("done")).await;
    let world = World::calling(places(1, 1), &[&own, &works]);
    world.engine.serve_as(&own.url, Arc::clone(&routes) as Arc<dyn OwnSkills>);
    let mut above = Vec::new();
    for _ in 0..3 {
        above.push(world.start("steps:\n  - {id: only, skill: route_request}", json!({})).await);
    }
    let mut calls = routes.calls.subscribe();
    tokio::time::timeout(super::agent::PATIENCE, calls.wait_for(|calls| *calls == 3)).await.expect("three calls at once").unwrap();
    let below = world.run("steps:\n  - {id: only, skill: work, timeout: 5s}", json!({})).await;
    assert_eq!((output(&below), step(&below, "only").attempts), (&json!("done"), 1));
    assert_eq!(own.look(|seen| seen.calls.len()), 0);
    gate.open();
    for run in above {
        assert_eq!(output(&world.end(&run).await), &json!("routed"));
    }
}
