//! The control channel of a data directory: who follows a run keeps nobody from it, and nobody waits for ever.

use std::sync::Arc;

use gantry::control::{Error, Listener, Reply, Wish, ask};
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

/// Who follows stays for days. The others have places of their own, and one follower too many is told so.
#[tokio::test]
async fn followers_take_no_place_from_the_others_and_are_bounded_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let mut held = DataDir::lock(dir.path()).unwrap();
    let listener = Listener::bind(&mut held).await.unwrap();
    let world = World::with(Arc::new(Memory::default()));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(world.engine.clone(), stop.clone()));
    let run = world.start("steps: [{id: ask, step_type: input, prompt: well}]", json!({})).await;
    world.until(&run, "its question", |snapshot| !snapshot.status.is_terminal() && !snapshot.steps.is_empty()).await;
    let said = async |wish: &Wish| {
        let said = async {
            let mut asked = ask(dir.path(), wish).await.unwrap();
            (asked.next().await, asked)
        };
        tokio::time::timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("there is no place for {wish:?}"))
    };
    let follow = Wish::Follow { run: run.clone() };
    let mut followers = Vec::new();
    for _ in 0..gantry::limits::CONTROL_FOLLOWERS_MAX {
        let (first, asked) = said(&follow).await;
        assert!(matches!(first, Ok(Reply::Snapshot(_))), "{first:?}");
        followers.push(asked);
    }
    let (refused, _) = said(&follow).await;
    assert!(matches!(&refused, Ok(Reply::Refused(why)) if why.contains("follow")), "{refused:?}");
    let (agents, _) = said(&Wish::Agents).await;
    assert!(matches!(agents, Ok(Reply::Done(_))), "{agents:?}");
    let (answered, _) = said(&Wish::Answer { run: run.clone(), step: None, answer: json!("yes") }).await;
    assert!(matches!(answered, Ok(Reply::Done(_))), "{answered:?}");
    for mut follower in followers {
        let told = async { while !matches!(follower.next().await.unwrap(), Reply::Done(_)) {} };
        tokio::time::timeout(PATIENCE, told).await.expect("each is told the end");
    }
    stop.cancel();
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
}

/// A gantry that takes a wish and says nothing is not waited for without end.
#[tokio::test]
async fn one_who_is_not_answered_is_told_so_after_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let mut held = DataDir::lock(dir.path()).unwrap();
    // It listens, and serves nobody.
    let _listener = Listener::bind(&mut held).await.unwrap();
    for wish in [Wish::Agents, Wish::Cancel { run: gantry::ids::RunId::parse("r").unwrap(), reason: "r".to_owned() }] {
        let mut asked = ask(dir.path(), &wish).await.unwrap();
        tokio::time::pause();
        let waited =
            tokio::time::timeout(gantry::limits::CONTROL_REPLY_TIMEOUT * 2, asked.next()).await.expect("it is not waited for ever");
        tokio::time::resume();
        let told = waited.unwrap_err();
        assert!(matches!(told, Error::Slow { .. }), "{told}");
        let process = format!("process {}", std::process::id());
        let after = gantry::time::humanize(gantry::limits::CONTROL_REPLY_TIMEOUT);
        assert!(told.to_string().contains(&process) && told.to_string().contains(&after), "{told}");
    }
}
