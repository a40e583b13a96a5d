//! Long transitions: what calls nobody and is made in parts. Until the last part the run is at work, for whoever asks it and for the journal.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use gantry::engine::Engine;
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus, StepStatus};
use gantry::journal::{Memory, Progress};
use gantry::limits::TRANSITION_PART;
use serde_json::{Value, json};

use super::agent::PATIENCE;
use super::world::{World, output, status, step};
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

    let appended: Vec<_> = appended.lock().unwrap().iter().map(|(events, at)| (*events, at.status, at.rests)).collect();
    let waits = |events| (events, RunStatus::InputRequired, Some(None));
    let expected = [waits(0), (1, RunStatus::Running, None), waits(0), (1, RunStatus::Completed, None)];
    assert_eq!(appended, expected, "the journal is told of each wait once, and of none that is not one yet");
}
