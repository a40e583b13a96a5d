//! Whoever lost is told: the tasks of a race's losers, of the siblings of a failed branch and of the items of a failed map are canceled at
//! their agent, those that wait for an answer, too. The task that decided is let be.

use std::collections::BTreeSet;

use gantry::interpreter::{Snapshot, StepStatus};
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
