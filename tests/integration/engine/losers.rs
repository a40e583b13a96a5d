//! Whoever lost is told: the tasks of a race's losers, of the siblings of a failed branch and of the items of a failed map are canceled at
//! their agent, those that wait for an answer, too. The task that decided is let be.

use std::collections::BTreeSet;

use gantry::engine::{Engine, EntryStatus, Export, Timeline};
use gantry::ids::RunId;
use gantry::interpreter::{Event, Snapshot, StepStatus};
use serde_json::json;

use super::agent::{A2A, Act, Agent, Call, Gate};
use super::world::World;

const RACE: &str = "steps:
  - id: all
    step_type: race
    branches: {a: [{id: a, skill: work, inputs: {do: hang}}], b: [{id: b, skill: work, inputs: {do: ask}}], c: [{id: c, skill: work, inputs: {do: reply}}]}
";

const FAILED_BRANCH: &str = "steps:
  - id: all
    step_type: parallel
    on_error: continue
    branches: {steps: [{id: a, skill: work, inputs: {do: hang}}, {id: b, skill: work, inputs: {do: ask}}, {id: c, skill: work, inputs: {do: fail}}]}
";

const FAILED_MAP: &str = "steps:
  - {id: all, step_type: map, on_error: continue, items: [hang, ask, fail], skill: work, inputs: {do: \"{{ item }}\"}}
";

fn statuses(ended: &Snapshot) -> Vec<StepStatus> {
    let mut called: Vec<_> = ended.steps.iter().filter(|step| step.attempts > 0).map(|step| (step.path.to_string(), step.status)).collect();
    called.sort_by_key(|(path, _)| path.clone());
    called.into_iter().map(|(_, status)| status).collect()
}

#[tokio::test]
async fn the_tasks_of_those_who_lost_are_canceled_at_their_agent() {
    use StepStatus::{Canceled, Completed, Failed};
    for speaks in A2A {
        // Of a map that is over the items are not shown.
        let (won, failed) = ([Canceled, Canceled, Completed], [Canceled, Canceled, Failed]);
        for (yaml, shown) in [(RACE, &won[..]), (FAILED_BRANCH, &failed[..]), (FAILED_MAP, &[])] {
            let gate = Gate::new();
            let opens = gate.clone();
            let script = move |call: &Call| match call.inputs["do"].as_str().unwrap() {
                "hang" => Act::Hang,
                "ask" => Act::Ask(json!("which?")),
                "reply" => Act::Reply(json!("done")).behind(&opens),
                _ => Act::Fail("no".to_owned()).behind(&opens),
            };
            let agent = Agent::start("agent", &["work"], speaks, script).await;
            let world = World::knowing(&[&agent]);
            let run = world.start(yaml, json!({})).await;
            agent.until("all three", |seen| seen.calls.len() == 3).await;
            let asks = |snapshot: &Snapshot| snapshot.steps.iter().any(|step| step.status == StepStatus::Waiting);
            world.until(&run, "a question", asks).await;
            gate.open();
            let ended = world.end(&run).await;
            assert_eq!(statuses(&ended), shown, "{speaks:?} {yaml}");
            assert_eq!(given_up(&world, &run, yaml).await, ["agent", "agent"], "{speaks:?} {yaml}");
            let lost: BTreeSet<String> = agent
                .look(|seen| seen.calls.clone())
                .iter()
                .filter(|call| ["hang", "ask"].iter().any(|what| call.inputs["do"] == *what))
                .map(|call| agent.task_of(&call.message_id))
                .collect();
            assert_eq!(lost.len(), 2);
            agent.until("both are canceled", |seen| lost.iter().all(|task| seen.canceled.contains(task))).await;
            assert_eq!(agent.look(|seen| seen.canceled.iter().cloned().collect::<BTreeSet<_>>()), lost, "{speaks:?} {yaml}");
        }
    }
}

/// Who had the attempts that were canceled, as the history tells it. The record of it changes nothing in the run.
async fn given_up(world: &World, run: &RunId, yaml: &str) -> Vec<String> {
    let record = world.journal.record(run).await.unwrap();
    let mut export = Export::new(record, world.journal.events(run).await.unwrap());
    let told = Timeline::new(&export, world.plan(yaml)).unwrap();
    export.events.retain(|event| !matches!(event, Event::Called { .. }));
    let without = Timeline::new(&export, world.plan(yaml)).unwrap();
    let shape = |told: &Timeline| told.entries.iter().map(|entry| (entry.path.clone(), entry.attempt, entry.status)).collect::<Vec<_>>();
    assert_eq!(shape(&told), shape(&without));
    let canceled = told.entries.iter().filter(|entry| entry.skill.is_some() && entry.status == EntryStatus::Canceled);
    canceled.map(|entry| entry.agent.as_ref().map_or("nobody", |by| &by.name).to_owned()).collect()
}

#[tokio::test]
async fn the_record_of_a_canceled_call_says_who_had_it() {
    let agent = Agent::start("agent", &["work"], A2A[0], |_: &Call| Act::Hang).await;
    let world = World::knowing(&[&agent]);
    let yaml = "steps: [{id: only, skill: work, retry: {max_attempts: 2}}]";
    let run = world.start(yaml, json!({})).await;
    agent.until("the call", |seen| seen.calls.len() == 1).await;
    world.engine.cancel(&run, "by hand").await.unwrap();
    world.end(&run).await;
    assert_eq!(given_up(&world, &run, yaml).await, ["agent"]);
    let events = world.journal.events(&run).await.unwrap();
    let times: Vec<_> = events.iter().map(Event::at).collect();
    assert!(times.is_sorted(), "{events:?}");
}
