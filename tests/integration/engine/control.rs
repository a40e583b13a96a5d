//! The control channel of a data directory: those who follow a run and go away keep no place.

use std::sync::Arc;

use gantry::control::{Listener, Reply, Wish, ask};
use gantry::journal::{DataDir, Memory};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::agent::PATIENCE;
use super::world::{World, output};

#[tokio::test]
async fn followers_that_have_gone_make_room_while_the_run_tells_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut held = DataDir::lock(dir.path()).unwrap();
    let listener = Listener::bind(&mut held).await.unwrap();
    let world = World::with(Arc::new(Memory::default()));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(world.engine.clone(), stop.clone()));
    let run = world.start("steps: [{id: ask, step_type: input, prompt: well}]", json!({})).await;
    world.until(&run, "its question", |snapshot| !snapshot.status.is_terminal() && !snapshot.steps.is_empty()).await;
    let follow = Wish::Follow { run: run.clone() };
    // As many as are served at once, all of whom go away in the middle; and as many again.
    for round in 0..2 {
        let mut followers = Vec::new();
        for _ in 0..gantry::limits::CONTROL_CONNECTIONS_MAX {
            let mut asked = tokio::time::timeout(PATIENCE, ask(dir.path(), &follow)).await.unwrap().unwrap();
            let first = tokio::time::timeout(PATIENCE, asked.next()).await.unwrap_or_else(|_| panic!("round {round}: there is no place"));
            assert!(matches!(first, Ok(Reply::Snapshot(_))), "{first:?}");
            followers.push(asked);
        }
        drop(followers);
    }
    let wish = Wish::Answer { run: run.clone(), step: None, answer: json!("yes") };
    let mut asked = ask(dir.path(), &wish).await.unwrap();
    let answered = tokio::time::timeout(PATIENCE, asked.next()).await.expect("there is a place");
    assert!(matches!(answered, Ok(Reply::Done(_))), "{answered:?}");
    assert_eq!(output(&world.end(&run).await), &json!("yes"));
    stop.cancel();
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
}
