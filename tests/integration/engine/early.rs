//! Answers that come before their step asks: kept with the run, checked at once, and taken when the step begins.

use std::sync::Arc;
use std::time::Duration;

use gantry::engine::{Engine, Error};
use gantry::ids::RunId;
use gantry::interpreter::RunStatus;
use gantry::journal::{Journal, Sqlite};
use serde_json::{Value, json};

use super::agent::{Act, Agent, Gate, Speaks};
use super::world::{World, output};

const WORKFLOW: &str = "
steps:
  - {id: work, skill: work}
  - {id: which, step_type: conditional, condition: \"{{ steps.work.outputs == 1 }}\", branches: {if_false: [{id: never, step_type: input, prompt: x}]}}
  - {id: ask, step_type: input, prompt: how many?, schema: {type: integer}}
  - {id: each, step_type: map, items: [1], steps: [{id: inside, step_type: input, prompt: x, timeout: 10ms, default: none}]}
output: \"{{ steps.ask.outputs }}\"
";

async fn answer(world: &World, run: &RunId, step: Option<&str>, answer: Value) -> Result<(), Error> {
    world.engine.answer(run, step, Arc::new(answer)).await
}

#[tokio::test]
async fn an_early_answer_is_kept_over_a_restart_and_taken_when_its_step_begins() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("slow", &["work"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&closed)).await;
    let dir = tempfile::tempdir().unwrap();
    let journal = || Arc::new(Sqlite::open(dir.path()).unwrap()) as Arc<dyn Journal>;
    let first = World::with(journal());
    first.meet(&[&agent]);
    let run = first.start(WORKFLOW, json!({})).await;
    agent.until("the call", |seen| seen.in_flight == 1).await;
    let misfit = answer(&first, &run, Some("ask"), json!("many")).await.unwrap_err();
    assert!(matches!(misfit, Error::InvalidInput(_)), "it is checked at once: {misfit}");
    for (step, said) in [(None, 1), (Some("work"), 1), (Some("inside"), 1), (Some("nobody"), 1)] {
        let refused = answer(&first, &run, step, json!(said)).await.unwrap_err();
        assert!(matches!(refused, Error::NotWaiting { .. }), "{step:?}: {refused}");
    }
    for (step, said) in [("never", 0), ("ask", 1), ("/2:ask", 2)] {
        answer(&first, &run, Some(step), json!(said)).await.unwrap();
    }
    assert_eq!(first.engine.summary(&run).await.unwrap().status, RunStatus::Running, "nothing follows from it yet");
    first.engine.shutdown(Duration::from_millis(10)).await;
    drop(first);
    gate.open();
    let second = World::with(journal());
    second.meet(&[&agent]);
    second.engine.recover().await.unwrap();
    let ended = second.end(&run).await;
    assert_eq!(output(&ended), &json!(2), "the last one counts");
    assert!(matches!(answer(&second, &run, Some("never"), json!(1)).await, Err(Error::Ended { .. })));
}
