//! A journal without space: nothing new begins, what is under way waits and goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use gantry::agent::Client;
use gantry::engine::embedded::{Embedded, Options};
use gantry::engine::{Engine, Error as EngineError, Start};
use gantry::ids::RunId;
use gantry::interpreter::{ErrorClass, RunStatus};
use gantry::journal::{Journal, Memory};
use gantry::limits;
use serde_json::json;

use super::agent::{Act, Agent, Gate, PATIENCE, Speaks};
use super::world::{World, client_options, end, failure, output};
use crate::faulty::{Asked, Faulty, full};

fn has_no_space(asked: Asked<'_>) -> Option<gantry::journal::Error> {
    match asked {
        Asked::Create(_) | Asked::Append(..) => Some(full()),
        Asked::Read(_) => None,
    }
}

fn world() -> (Arc<Faulty>, World) {
    let journal = Arc::new(Faulty::default());
    let world = World::with(Arc::clone(&journal) as Arc<dyn Journal>);
    (journal, world)
}

/// Waits until the journal has refused so much.
async fn until_refused(journal: &Faulty, count: usize) {
    let waits = async {
        while journal.refused() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("it is offered to the journal");
}

const TWO: &str = "steps: [{id: a, skill: s}, {id: b, skill: s}]";

#[tokio::test]
async fn a_full_journal_refuses_new_runs_and_lets_those_under_way_go_on_later() {
    let gate = Gate::new();
    let opened = gate.clone();
    let agent = Agent::start("a", &["s"], Speaks::Plain, move |call| Act::Reply(json!(call.before)).behind(&opened)).await;
    let (journal, world) = world();
    world.meet(&[&agent]);
    let run = world.start(TWO, json!({})).await;
    agent.until("the first call", |seen| seen.calls.len() == 1).await;
    journal.refuse(has_no_space);
    let refused = world.try_start(TWO, json!({})).await.unwrap_err();
    assert!(matches!(&refused, EngineError::Full(why) if why.contains("disk is full")), "{refused:?}");
    gate.open();
    until_refused(&journal, 2).await;
    assert_eq!(agent.look(|seen| seen.calls.len()), 1, "nothing follows from what is not stored");
    journal.heal();
    assert_eq!(output(&world.end(&run).await), &json!(1));
    assert_eq!(agent.look(|seen| seen.calls.len()), 2, "nothing was called again");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_space() {
    let (journal, world) = world();
    let gate = Gate::new();
    let opened = gate.clone();
    let slow = Agent::start("slow", &["t"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&opened)).await;
    world.meet(&[&slow]);
    let run = world.start("steps: [{id: a, skill: t}]", json!({})).await;
    slow.until("the call", |seen| seen.calls.len() == 1).await;
    journal.refuse(has_no_space);
    gate.open();
    let left = tokio::time::timeout(Duration::from_secs(15), world.engine.shutdown(Duration::from_secs(5))).await;
    assert_eq!(left.expect("the shutdown is bounded"), 1);
    assert_eq!(journal.record(&run).await.unwrap().status, RunStatus::Running, "it goes on at the next start");
    assert_eq!(world.engine.summary(&run).await.unwrap().status, RunStatus::Running);
}

/// The call that a run's own task makes goes on while the task waits for space: what agents answer is read when it comes.
#[tokio::test]
async fn a_call_goes_on_while_another_event_waits_for_space() {
    let (first, second) = (Gate::new(), Gate::new());
    let (first_opened, second_opened) = (first.clone(), second.clone());
    let other = Agent::start("other", &["other"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&first_opened)).await;
    let busy = Agent::start("busy", &["near"], Speaks::Plain, move |_| {
        Act::Http(503, vec![("retry-after", "0".to_owned())], String::new()).behind(&second_opened)
    })
    .await;
    let spare = Agent::plain("spare", &["near"], |_| json!(2)).await;
    let (journal, world) = world();
    world.meet(&[&other, &busy, &spare]);
    // The first of calls at once is the one that the run's task makes itself.
    let yaml = "steps: [{id: both, step_type: parallel, branches: {steps: [{id: a, skill: near}, {id: b, skill: other}]}}]";
    let run = world.start(yaml, json!({})).await;
    busy.until("its call", |seen| seen.calls.len() == 1).await;
    other.until("its call", |seen| seen.calls.len() == 1).await;
    journal.refuse(has_no_space);
    first.open();
    until_refused(&journal, 2).await;
    second.open();
    spare.until("the call that the busy one refused", |seen| seen.calls.len() == 1).await;
    journal.heal();
    assert_eq!(output(&world.end(&run).await), &json!({"a": 2, "b": 1}));
    assert_eq!(spare.look(|seen| seen.calls.len()), 1, "what was heard meanwhile counts");
}

const CHILD: &str = "metadata: {id: child, name: C, version: 1.0.0}\nsteps: [{id: v, step_type: set, value: made}]";

/// The ways to start a run below another, with a second for it.
const PARENTS: [&str; 2] = [
    "steps: [{id: sub, step_type: workflow, workflow: child, inputs: {}, timeout: 1s}]",
    "steps: [{id: sub, skill: execute_workflow, inputs: {workflow_id: child}, timeout: 1s}]",
];

/// The journal has space for what is under way, and none for a run of the child.
fn has_no_space_for_the_child(asked: Asked<'_>) -> Option<gantry::journal::Error> {
    matches!(asked, Asked::Create("child")).then(full)
}

/// A run whose step waits for space to start another one.
async fn waits_for_space(journal: &Faulty, world: &World) -> RunId {
    world.push_workflow(CHILD).await;
    journal.refuse(has_no_space_for_the_child);
    let run = world.start(PARENTS[0], json!({})).await;
    until_refused(journal, 2).await;
    run
}

/// Another engine on the same journal, as after a restart.
fn next_start(world: &World) -> Embedded {
    Embedded::new(Options::default(), Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&world.journal))
}

#[tokio::test(start_paused = true)]
async fn a_run_below_another_begins_when_there_is_space_and_the_steps_time_is_not_used_up() {
    for parent in PARENTS {
        let (journal, world) = world();
        world.push_workflow(CHILD).await;
        journal.refuse(has_no_space_for_the_child);
        let run = world.start(parent, json!({})).await;
        // After 0.2, 0.4, 0.8 and 1.6 s: longer than the step may take.
        until_refused(&journal, 5).await;
        assert_eq!(world.engine.snapshot(&run).await.unwrap().status, RunStatus::Running, "{parent}");
        journal.heal();
        assert_eq!(output(&world.end(&run).await), &json!("made"), "{parent}");
        assert_eq!(journal.list().await.unwrap().len(), 2, "the parent and one child");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_space_ends_when_its_run_is_canceled() {
    let (journal, world) = world();
    let run = waits_for_space(&journal, &world).await;
    world.engine.cancel(&run, "enough").await.unwrap();
    assert_eq!(world.end(&run).await.status, RunStatus::Canceled);
    journal.heal();
    assert_eq!(journal.list().await.unwrap().len(), 1, "no child begins later");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_space_is_parked_and_its_child_begins_after_the_next_start() {
    let (journal, world) = world();
    let run = waits_for_space(&journal, &world).await;
    assert_eq!(world.engine.shutdown(Duration::from_secs(5)).await, 1, "it has not ended");
    assert_eq!(journal.record(&run).await.unwrap().status, RunStatus::Running);
    journal.heal();
    let next = next_start(&world);
    assert_eq!(next.recover().await.unwrap().resumed, 1);
    assert_eq!(output(&end(&next, &run).await), &json!("made"));
}

/// An engine with two places, of which one is taken for five seconds.
async fn busy() -> (World, Embedded) {
    busy_for(Duration::from_secs(5)).await
}

/// An engine with two places, of which one is taken for so long.
async fn busy_for(taken: Duration) -> (World, Embedded) {
    let world = World::new();
    world.push_workflow(CHILD).await;
    let options = Options { runs_max: 2, ..Options::default() };
    let engine = Embedded::new(options, Arc::clone(&world.discovery), Client::new(client_options()), Arc::new(Memory::default()));
    let other =
        format!("metadata: {{id: other, name: O, version: 1.0.0}}\nsteps: [{{id: w, step_type: wait, for: {}ms}}]", taken.as_millis());
    engine.start(Start::new(world.plan(&other), Arc::new(json!({})))).await.unwrap();
    (world, engine)
}

#[tokio::test(start_paused = true)]
async fn a_run_below_another_waits_for_room_as_long_as_its_step_may_take() {
    let (world, engine) = busy().await;
    let parent = PARENTS[0].replace("1s", "10s");
    let run = engine.start(Start::new(world.plan(&parent), Arc::new(json!({})))).await.unwrap().run;
    assert_eq!(output(&end(&engine, &run).await), &json!("made"));

    let (world, engine) = busy().await;
    let run = engine.start(Start::new(world.plan(PARENTS[0]), Arc::new(json!({})))).await.unwrap().run;
    let ended = end(&engine, &run).await;
    let error = failure(&ended);
    assert_eq!(error.code, ErrorClass::Timeout, "{error}");
    assert!(error.message.contains("`child` did not begin within 1") && error.message.contains("2 runs are under way"), "{error}");
}

/// How much later than a place is free a run below another begins: the rests double up to the longest.
#[tokio::test(start_paused = true)]
async fn a_run_below_another_looks_for_room_less_and_less_often() {
    let first = limits::RUN_START_REST;
    let mut looks = vec![first];
    let mut rest = first;
    for _ in 0..9 {
        rest = (rest * 2).min(limits::RUN_START_REST_MAX);
        looks.push(looks[looks.len() - 1] + rest);
    }
    assert_eq!(rest, limits::RUN_START_REST_MAX);
    for (taken_ms, look) in [(20, 0), (60, 1), (200, 2), (2_000, 5), (4_700, 8)] {
        let (world, engine) = busy_for(Duration::from_millis(taken_ms)).await;
        let begun = tokio::time::Instant::now();
        let parent = PARENTS[0].replace("1s", "10s");
        let run = engine.start(Start::new(world.plan(&parent), Arc::new(json!({})))).await.unwrap().run;
        assert_eq!(output(&end(&engine, &run).await), &json!("made"));
        let took = begun.elapsed();
        // The clock stands still but for timers.
        let expected = looks[look];
        assert!(took >= expected && took < expected + first / 2, "a place that was taken for {taken_ms} ms: {took:?} and not {expected:?}");
    }
}
