//! Updates: numbered without gaps, complete from any moment on, and no business of the run whether anybody watches.

use std::sync::Arc;

use gantry::engine::{Engine, Next, Start, Update};
use gantry::interpreter::{Change, RunStatus, StepStatus};
use gantry::limits::SUBSCRIBER_UPDATES_MAX;
use serde_json::json;

use super::agent::{Act, Agent, Gate, Speaks};
use super::world::{World, output, status, updates};

fn chain(count: usize) -> String {
    let steps: String = (0..count).map(|n| format!("  - {{id: s{n}, skill: work}}\n")).collect();
    format!("steps:\n{steps}")
}

async fn gated(gate: &Gate) -> Agent {
    let closed = gate.clone();
    Agent::start("gated", &["work"], Speaks::Plain, move |call| Act::Reply(json!(call.before)).behind(&closed)).await
}

fn numbers(updates: &[Arc<Update>]) -> Vec<u64> {
    updates.iter().map(|update| update.seq).collect()
}

#[tokio::test]
async fn numbers_have_no_gaps_and_times_never_go_back() {
    let gate = Gate::new();
    let agent = gated(&gate).await;
    let world = World::knowing(&[&agent]);
    let run = world.start(&chain(5), json!({})).await;
    agent.until("the first call", |seen| seen.in_flight == 1).await;
    let mut watched = world.engine.subscribe(&run).await.unwrap();
    assert_eq!(watched.seq, 2, "the run and its first step have started");
    gate.open();
    let seen = updates(&mut watched).await;
    // Five steps start and finish; the first start was before.
    assert_eq!(numbers(&seen), (3..=12).collect::<Vec<_>>());
    assert!(seen.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert!(matches!(&seen.last().unwrap().change, Change::RunFinished { outcome } if outcome.status() == RunStatus::Completed));
    assert!(matches!(watched.next().await, Next::End), "and stays so");
}

#[tokio::test]
async fn a_snapshot_and_the_rest_are_everything() {
    let gate = Gate::new();
    let agent = gated(&gate).await;
    let world = World::knowing(&[&agent]);
    let run = world.start(&chain(20), json!({})).await;
    let mut first = world.engine.subscribe(&run).await.unwrap();
    gate.open();
    let mut finished: Vec<String> = Vec::new();
    // Somebody else comes in the middle.
    while finished.len() < 10 {
        let Next::Update(update) = first.next().await else { panic!("the run goes on") };
        if let Change::StepFinished { step, .. } = &update.change {
            finished.push(step.to_string());
        }
    }
    let mut second = world.engine.subscribe(&run).await.unwrap();
    let done = second.snapshot.steps.iter().filter(|step| step.status == StepStatus::Completed);
    let mut all: Vec<String> = done.map(|step| step.id.to_string()).collect();
    let (from, rest) = (second.seq, updates(&mut second).await);
    assert_eq!(numbers(&rest), (from + 1..=42).collect::<Vec<_>>());
    for update in &rest {
        if let Change::StepFinished { step, .. } = &update.change {
            all.push(step.to_string());
        }
    }
    assert_eq!(all, (0..20).map(|n| format!("s{n}")).collect::<Vec<_>>(), "each once, none missing");
}

#[tokio::test]
async fn a_subscriber_that_is_too_slow_is_told_and_can_begin_again() {
    let gate = Gate::new();
    let agent = gated(&gate).await;
    let world = World::knowing(&[&agent]);
    let steps = SUBSCRIBER_UPDATES_MAX;
    let run = world.start(&chain(steps), json!({})).await;
    let mut slow = world.engine.subscribe(&run).await.unwrap();
    gate.open();
    world.end(&run).await;
    assert!(matches!(slow.next().await, Next::Lagged));
    let mut again = world.engine.subscribe(&run).await.unwrap();
    assert_eq!((again.snapshot.status, again.seq), (RunStatus::Completed, 2 * steps as u64 + 2));
    assert!(matches!(again.next().await, Next::End));
}

#[tokio::test]
async fn a_run_that_has_ended_is_a_snapshot_and_the_end() {
    let agent = Agent::plain("echo", &["work"], |_| json!("done")).await;
    let world = World::knowing(&[&agent]);
    let run = world.run(&chain(1), json!({})).await.run;
    let mut late = world.engine.subscribe(&run).await.unwrap();
    assert_eq!((output(&late.snapshot), late.seq, late.is_live()), (&json!("done"), 4, false));
    assert!(matches!(late.next().await, Next::End));
}

#[tokio::test]
async fn a_subscriber_that_goes_away_does_not_stop_the_run() {
    let gate = Gate::new();
    let agent = gated(&gate).await;
    let world = World::knowing(&[&agent]);
    let run = world.start(&chain(3), json!({})).await;
    let gone = world.engine.subscribe(&run).await.unwrap();
    agent.until("the first call", |seen| seen.in_flight == 1).await;
    drop(gone);
    gate.open();
    let ended = world.end(&run).await;
    assert_eq!((output(&ended), status(&ended, "s0")), (&json!(2), StepStatus::Completed));
}

const VALUES: &str =
    "steps:\n- {id: m, step_type: map, items: \"{{ workflow.input.items }}\", steps: [{id: v, step_type: set, value: \"{{ item }}\"}]}";

#[tokio::test]
async fn a_run_that_does_much_at_once_is_watched_from_its_first_update_to_its_last() {
    let world = World::new();
    let items = 20_000;
    let start = || Start::new(world.plan(VALUES), Arc::new(json!({ "items": (0..items).collect::<Vec<_>>() })));
    let (started, subscription) = world.engine.start_watched(start()).await.unwrap();
    let mut watched = subscription.expect("the run is new");
    assert_eq!((watched.seq, watched.is_live(), &watched.snapshot.run), (0, true, &started.run));
    // No update is dropped, although the buffer holds a small part of them.
    let seen = updates(&mut watched).await;
    // The run and the map start and finish; every value finishes.
    assert_eq!(numbers(&seen), (1..=4 + items).collect::<Vec<_>>());
    assert!(matches!(seen.last().unwrap().change, Change::RunFinished { .. }));
    assert_eq!(output(&world.end(&started.run).await), &json!((0..items).collect::<Vec<_>>()));

    let again = Start { idempotency_key: Some("k".to_owned()), ..start() };
    assert!(world.engine.start_watched(again.clone()).await.unwrap().1.is_some());
    let (started, subscription) = world.engine.start_watched(again).await.unwrap();
    assert!(!started.new && subscription.is_none(), "it was there before");
}

#[tokio::test]
async fn a_run_that_does_much_at_once_answers_who_looks_and_who_wants_it_to_end() {
    let world = World::new();
    let yaml = format!("{VALUES}\n- {{id: pause, step_type: wait, for: 1h}}");
    let run = world.start(&yaml, json!({ "items": vec![0; 20_000] })).await;
    let ended = tokio::join!(
        async {
            let watched = world.engine.subscribe(&run).await.unwrap();
            (watched.seq, status(&watched.snapshot, "m"))
        },
        world.engine.cancel(&run, "enough"),
    );
    let ((seq, map), canceled) = ended;
    assert!(seq < 20_000 && map == StepStatus::Running, "{seq} {map:?}: looked at in the middle");
    canceled.unwrap();
    let ended = world.end(&run).await;
    assert_eq!((ended.status, status(&ended, "m")), (RunStatus::Canceled, StepStatus::Canceled), "neither waits until it is through");
}
