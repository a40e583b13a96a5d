//! Values larger than what an event holds: agents get them whole, also after a restart, and a damaged one stops its own run alone.

use std::sync::Arc;
use std::time::Duration;

use gantry::engine::Engine;
use gantry::interpreter::RunStatus;
use gantry::journal::{Journal, Sqlite};
use serde_json::{Value, json};

use super::agent::{Act, Agent, Call, Speaks};
use super::world::{World, output};

/// Well over what an event holds.
const BYTES: usize = 1_000_000;

const WORKFLOW: &str = "
steps:
  - {id: a, skill: work, inputs: {document: \"{{ workflow.input.document }}\"}, outputs: document}
  - {id: ask, step_type: input, prompt: go on?}
  - {id: b, skill: work, inputs: \"{{ steps.a.outputs }}\"}
output: \"{{ steps.b.outputs }}\"
";

/// Gives back the document that it got.
async fn echo() -> Agent {
    Agent::start("echo", &["work"], Speaks::Plain, |call: &Call| Act::Reply(call.inputs["document"].clone())).await
}

fn journal(dir: &tempfile::TempDir) -> Arc<dyn Journal> {
    Arc::new(Sqlite::open(dir.path()).unwrap())
}

fn document(letter: &str) -> Value {
    json!(letter.repeat(BYTES))
}

#[tokio::test]
async fn a_large_value_goes_through_a_restart_and_is_stored_once() {
    let (agent, dir) = (echo().await, tempfile::tempdir().unwrap());
    let first = World::with(journal(&dir));
    first.meet(&[&agent]);
    let run = first.start(WORKFLOW, json!({"document": document("x")})).await;
    first.until(&run, "the question", |now| now.status == RunStatus::InputRequired).await;
    assert_eq!(first.engine.shutdown(Duration::from_secs(5)).await, 1);
    drop(first);
    let second = World::with(journal(&dir));
    second.meet(&[&agent]);
    assert_eq!(second.engine.recover().await.unwrap().stuck, []);
    second.engine.answer(&run, Some("ask"), Arc::new(document("x"))).await.unwrap();
    assert!(*output(&second.end(&run).await) == document("x"));
    assert!(agent.look(|seen| seen.calls.iter().all(|call| call.inputs["document"] == document("x"))), "agents get the value");
    let events = second.journal.events(&run).await.unwrap();
    assert_eq!(events.len(), 5, "one of them says that another process goes on");
    second.engine.shutdown(Duration::from_secs(5)).await;
    drop(second);
    // Whatever is not in the database yet is a copy of what will be.
    let bytes = std::fs::metadata(dir.path().join("journal.sqlite3")).unwrap().len();
    assert!(bytes < BYTES as u64 * 11 / 10, "{bytes} bytes for four times the same {BYTES}");
}

#[tokio::test]
async fn a_run_whose_large_value_is_damaged_is_stuck_and_the_others_go_on() {
    let (agent, dir) = (echo().await, tempfile::tempdir().unwrap());
    let first = World::with(journal(&dir));
    first.meet(&[&agent]);
    let mut runs = Vec::new();
    for letter in ["x", "y"] {
        let run = first.start(WORKFLOW, json!({"document": document(letter)})).await;
        first.until(&run, "the question", |now| now.status == RunStatus::InputRequired).await;
        runs.push(run);
    }
    first.engine.shutdown(Duration::from_secs(5)).await;
    drop(first);
    let database = rusqlite::Connection::open(dir.path().join("journal.sqlite3")).unwrap();
    let changed = database.execute("UPDATE blobs SET body = CAST(replace(body, 'x', 'z') AS BLOB)", []).unwrap();
    assert_eq!(changed, 2);
    drop(database);
    let second = World::with(journal(&dir));
    second.meet(&[&agent]);
    second.engine.recover().await.unwrap();
    let refused = second.engine.answer(&runs[0], None, Arc::new(json!("yes"))).await.unwrap_err().to_string();
    assert!(refused.contains(runs[0].as_str()), "{refused}");
    let read = second.engine.snapshot(&runs[0]).await.unwrap_err().to_string();
    assert!(read.contains("sha256:") && read.contains("not what its digest says") && read.contains("event 0"), "{read}");
    assert_eq!(second.engine.summary(&runs[0]).await.unwrap().status, RunStatus::InputRequired, "it stays as it is");
    second.engine.answer(&runs[1], None, Arc::new(json!("yes"))).await.unwrap();
    assert!(*output(&second.end(&runs[1]).await) == document("y"));
}
