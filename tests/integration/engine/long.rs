//! Long transitions: what calls nobody and is made in parts. Until the last part the run is at work, for whoever asks it and for the journal,
//! and whatever comes in the meantime has its turn: a cancel, a deadline, an answer, a reply, a stop.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use gantry::engine::{Engine, Error};
use gantry::ids::RunId;
use gantry::interpreter::{ErrorClass, Event, RunStatus, StepStatus};
use gantry::journal::{Journal, Memory, Progress, Sqlite};
use gantry::limits::TRANSITION_PART;
use serde_json::{Value, json};

use super::agent::{Agent, PATIENCE};
use super::world::{World, failure, output, status, step};
use crate::journal::Handled;

/// Asks in the first part of a long transition, and again at the end of the next.
const ASKS: &str = "steps:
  - id: both
    step_type: parallel
    branches:
      asks: [{id: ask, step_type: input, prompt: well?}]
      works: [{id: many, step_type: map, items: \"{{ workflow.input }}\", steps: [{id: one, step_type: set, value: 1}]}]
  - {id: more, step_type: map, items: \"{{ workflow.input }}\", steps: [{id: other, step_type: set, value: 1}]}
  - {id: again, step_type: input, prompt: and now?}";

#[tokio::test]
async fn a_run_that_has_more_to_do_at_once_does_not_wait_yet() {
    // How many events the journal was given at a time, and where the run was said to be after them.
    let appended: Arc<Mutex<Vec<(usize, Progress)>>> = Arc::default();
    let noted = Arc::clone(&appended);
    let note = move |_: &RunId, events: &[Event], progress: Progress| {
        if !matches!(events, [Event::Started { .. }, ..]) {
            noted.lock().unwrap().push((events.len(), progress));
        }
        std::future::ready(Ok(())).boxed()
    };
    let world = World::with(Handled::new(Arc::new(Memory::default()), note));
    let items: Value = (0..TRANSITION_PART * 4).collect();
    let run = world.start(ASKS, items.clone()).await;
    // The run has not begun: its task and this one take turns, so that it is asked in the middle of its first transition.
    let told = tokio::time::timeout(PATIENCE, world.engine.wait(&run)).await.unwrap().unwrap();
    assert_eq!((told.status, status(&told, "ask")), (RunStatus::InputRequired, StepStatus::Waiting));
    assert_eq!(status(&told, "many"), StepStatus::Completed, "whoever waits is told when the run does nothing more by itself");

    world.engine.answer(&run, Some("ask"), Arc::new(json!("yes"))).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, world.engine.wait(&run)).await.unwrap().unwrap();
    assert_eq!((told.status, status(&told, "again")), (RunStatus::InputRequired, StepStatus::Waiting));
    assert_eq!(step(&told, "more").outputs.as_array().map(Vec::len), items.as_array().map(Vec::len));
    world.engine.answer(&run, None, Arc::new(json!("done"))).await.unwrap();
    assert_eq!(output(&world.end(&run).await), &json!("done"));

    // There is an event whenever it has done much, and who says that it waits need not have one.
    let mut appended: Vec<_> = appended.lock().unwrap().iter().map(|(_, at)| (at.status, at.rests)).collect();
    appended.retain(|at| *at != (RunStatus::Running, None));
    let waits = (RunStatus::InputRequired, Some(None));
    assert_eq!(
        appended,
        [waits, waits, (RunStatus::Completed, None)],
        "the journal is told of each wait once, and of none that is not one yet"
    );
}

/// Goes on for hours, and calls nobody.
fn endless(id: &str, more: &str) -> String {
    format!(
        "{{id: {id}, step_type: loop, while: \"true\", max_iterations: 1000000{more}, steps: [
            {{id: {id}-again, step_type: loop, while: \"true\", max_iterations: 1000000, steps: [{{id: {id}-one, step_type: set, value: 1}}]}}]}}"
    )
}

#[tokio::test]
async fn a_run_that_calls_nobody_is_canceled() {
    let world = World::new();
    let run = world.start(&format!("steps: [{}]", endless("busy", "")), json!({})).await;
    world.until(&run, "it is at work", |snapshot| status(snapshot, "busy") == StepStatus::Running).await;
    world.engine.cancel(&run, "enough").await.unwrap();
    let ended = world.end(&run).await;
    assert_eq!((ended.status, status(&ended, "busy")), (RunStatus::Canceled, StepStatus::Canceled));
}

#[tokio::test]
async fn deadlines_of_a_run_and_of_its_groups_end_what_calls_nobody() {
    let world = World::new();
    let steps = format!("limits: {{max_duration: 300ms}}\nsteps: [{}]", endless("busy", ""));
    let failed = world.run(&steps, json!({})).await;
    assert_eq!(failure(&failed).code, ErrorClass::Timeout, "{:?}", failure(&failed));
    let steps = format!("steps: [{}, {{id: next, step_type: set, value: on}}]", endless("busy", ", timeout: 200ms, on_error: continue"));
    let ended = world.run(&steps, json!({})).await;
    assert_eq!((output(&ended), step(&ended, "busy").error.as_ref().unwrap().code), (&json!("on"), ErrorClass::Timeout));
}

#[tokio::test]
async fn what_comes_while_a_run_has_much_to_do_has_its_turn() {
    let agent = Agent::plain("echo", &["echo"], |call| call.inputs.clone()).await;
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Sqlite::open(dir.path()).unwrap()) as Arc<dyn Journal>;
    let world = World::with(Arc::clone(&journal));
    world.meet(&[&agent]);
    let branches = format!("works: [{}], calls: [{{id: call, skill: echo, inputs: {{value: 1}}}}]", endless("busy", ""));
    let steps = format!(
        "steps: [{{id: both, step_type: parallel, branches: {{{branches}, asks: [{{id: ask, step_type: input, prompt: well?}}]}}, timeout: 1h}}]"
    );
    let run = world.start(&steps, json!({})).await;
    world.until(&run, "the reply", |snapshot| status(snapshot, "call") == StepStatus::Completed).await;
    world.until(&run, "the question", |snapshot| status(snapshot, "ask") == StepStatus::Waiting).await;
    world.engine.answer(&run, Some("ask"), Arc::new(json!("yes"))).await.unwrap();
    let told = world.until(&run, "the answer", |snapshot| status(snapshot, "ask") == StepStatus::Completed).await;
    assert_eq!((told.status, status(&told, "busy")), (RunStatus::Running, StepStatus::Running));
    let again = world.engine.answer(&run, Some("ask"), Arc::new(json!("no"))).await;
    assert!(matches!(again, Err(Error::NotWaiting { .. })), "{again:?}");

    // A stop parks it at once, and the next process goes on with what is left.
    let begun = Instant::now();
    world.engine.shutdown(Duration::from_secs(20)).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let events = journal.events(&run).await.unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::Continued { .. })), "{} events", events.len());
    assert_eq!(journal.record(&run).await.unwrap().status, RunStatus::Running);
    let world = World::with(journal);
    world.meet(&[&agent]);
    assert!(world.engine.recover().await.unwrap().stuck.is_empty());
    let told = world.engine.snapshot(&run).await.unwrap();
    assert_eq!(
        (told.status, status(&told, "busy"), status(&told, "ask")),
        (RunStatus::Running, StepStatus::Running, StepStatus::Completed)
    );
    world.engine.cancel(&run, "enough").await.unwrap();
    assert_eq!(world.end(&run).await.status, RunStatus::Canceled);
    assert_eq!(agent.look(|seen| seen.calls.len()), 1, "what has a reply is not called again");
}
