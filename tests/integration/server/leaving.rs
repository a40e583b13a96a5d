//! Tasks that have ended leave memory, and runs at rest are not brought back only because gantry starts. Callers see no difference.

use std::sync::Arc;
use std::time::Duration;

use gantry::engine::{Engine, Filter};
use gantry::journal::{Journal, Retention, Sqlite};
use gantry::registry::Layout;
use serde_json::{Value, json};

use super::runs::execute;
use super::world::{PATIENCE, World, broken, echo, message};

const TASK_NOT_FOUND: i64 = -32001;

fn journal(folder: &tempfile::TempDir) -> Arc<dyn Journal> {
    Arc::new(Sqlite::open(folder.path()).unwrap())
}

/// Every task by pages of two, as the lists have them.
async fn listed(world: &World, mut filter: Value) -> (Vec<Value>, Vec<u64>) {
    let (mut tasks, mut totals) = (Vec::new(), Vec::new());
    loop {
        filter["pageSize"] = json!(2);
        filter["includeArtifacts"] = json!(true);
        let page = world.call("ListTasks", filter.clone()).await.result().clone();
        tasks.extend(page["tasks"].as_array().unwrap().clone());
        totals.push(page["totalSize"].as_u64().unwrap());
        match page["nextPageToken"].as_str().unwrap() {
            "" => return (tasks, totals),
            token => filter["pageToken"] = json!(token),
        }
    }
}

fn ids(tasks: &[Value]) -> Vec<&str> {
    tasks.iter().map(|task| task["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_task_that_has_left_memory_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let stay = Duration::from_millis(40);
    let world = World::over(journal(&folder), layout, |options| options.limits.ended_tasks_stay = stay).await;
    let _agents = (world.agent(&["work"], echo).await, world.agent(&["fails"], broken).await);
    world.workflow("alpha", "  - id: one\n    skill: work\n    inputs: { said: \"{{ workflow.input.request }}\" }\n").await;
    world.workflow("beta", "  - id: one\n    skill: work\n").await;
    world.workflow("bad", "  - {id: one, skill: work}\n  - {id: two, skill: fails, retry: {max_attempts: 1}}\n").await;
    world
        .workflow("many", "  - {id: each, step_type: map, items: [5, 6], steps: [{id: item, step_type: set, value: \"{{ item }}\"}]}\n")
        .await;

    let mut before = Vec::new();
    for (id, workflow) in [("m-1", "alpha"), ("m-2", "bad"), ("m-3", "many")] {
        let mut message = execute(id, workflow, json!({ "request": "to the moon" }));
        message["contextId"] = json!("talk");
        before.push(world.call("SendMessage", json!({ "message": message })).await.result()["task"].clone());
    }
    // A request that is asked back, so that the task is there before its run.
    let mut request = message("m-4");
    request["parts"] = json!([{ "text": "fly me to the moon" }]);
    let asked = world.call("SendMessage", json!({ "message": request })).await.result()["task"].clone();
    let chosen = json!({ "messageId": "m-5", "role": "ROLE_USER", "taskId": asked["id"], "parts": [{ "text": "1" }] });
    before.push(world.call("SendMessage", json!({ "message": chosen })).await.result()["task"].clone());
    assert!(before[3]["history"].as_array().unwrap().len() >= 3, "request, question, answer: {:#}", before[3]);
    let runs = || async { world.engine.page(&Filter::default()).await.unwrap().total };
    assert_eq!(runs().await, 4);

    tokio::time::sleep(stay * 5).await;
    for task in &before {
        let found = world.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
        assert_eq!(&found, task, "read from the journal");
    }
    tokio::time::sleep(stay * 5).await;
    let (all, totals) = listed(&world, json!({})).await;
    let latest_first: Vec<_> = before.iter().rev().cloned().collect();
    assert_eq!(ids(&all), ids(&latest_first));
    assert_eq!((all, totals), (latest_first, vec![4, 4]));
    let (talk, totals) = listed(&world, json!({ "contextId": "talk", "status": "TASK_STATE_COMPLETED" })).await;
    assert_eq!((ids(&talk), totals), (vec![before[2]["id"].as_str().unwrap(), before[0]["id"].as_str().unwrap()], vec![2]));
    tokio::time::sleep(stay * 5).await;
    let mut again = execute("m-1", "alpha", json!({ "request": "to the moon" }));
    again["contextId"] = json!("talk");
    let repeat = world.call("SendMessage", json!({ "message": again })).await.result()["task"].clone();
    assert_eq!((&repeat, runs().await), (&before[0], 4), "a repeat is the same task");

    // What the journal forgets is gone: it was nowhere else.
    tokio::time::sleep(stay * 5).await;
    let forgotten = world.engine.prune(Retention { ended_before: None, runs_max: Some(0) }).await.unwrap();
    assert_eq!(forgotten, 4);
    for task in &before {
        assert_eq!(world.call("GetTask", json!({ "id": task["id"] })).await.code(), TASK_NOT_FOUND);
    }
}

#[tokio::test]
async fn a_start_leaves_runs_at_rest_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let mut before = World::over(journal(&folder), Arc::clone(&layout), |_| {}).await;
    before.workflow("asks", "  - {id: ask, step_type: input, prompt: \"Go on?\"}\n").await;
    let mut asking = Vec::new();
    for at in 0..5 {
        let sent = json!({ "message": execute(&format!("m-{at}"), "asks", json!({})) });
        let task = before.call("SendMessage", sent).await.result()["task"].clone();
        assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
        asking.push(task);
    }
    before.shutdown().await;
    before.engine.shutdown(Duration::from_secs(1)).await;
    drop(before);

    let after = World::over(journal(&folder), layout, |_| {}).await;
    let answers = after.call("GetExtendedAgentCard", json!({}));
    tokio::time::timeout(PATIENCE, answers).await.unwrap();
    let counts = after.engine.counts();
    assert_eq!((counts.awake, counts.resting), (0, 5));
    let (tasks, totals) = listed(&after, json!({ "status": "TASK_STATE_INPUT_REQUIRED" })).await;
    assert_eq!((tasks.len(), totals), (5, vec![5, 5, 5]));
    for task in &asking {
        let found = after.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
        assert_eq!((&found["history"][0], &found["metadata"]), (&task["history"][0], &task["metadata"]), "kept with its run");
        let answer =
            json!({ "messageId": format!("a-{}", task["id"]), "role": "ROLE_USER", "taskId": task["id"], "parts": [{ "text": "yes" }] });
        let done = after.call("SendMessage", json!({ "message": answer })).await.result()["task"].clone();
        assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done:#}");
    }
}
