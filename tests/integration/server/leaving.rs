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

    // The same at once, as a stream, for the first words of a dialogue, and when the name stands for another version by now.
    world.workflow("alpha", "  - id: another\n    skill: work\n").await;
    let mut first = message("m-4");
    first["parts"] = json!([{ "text": "fly me to the moon" }]);
    for (sent, task) in [(&again, &before[0]), (&first, &before[3])] {
        tokio::time::sleep(stay * 5).await;
        let params = json!({ "message": sent, "configuration": { "returnImmediately": true } });
        assert_eq!(&world.call("SendMessage", params).await.result()["task"], task, "at once");
        tokio::time::sleep(stay * 5).await;
        let events = world.stream("SendStreamingMessage", json!({ "message": sent })).await.rest().await;
        assert_eq!((events.len(), &events[0]["result"]["task"]), (1, task), "{events:#?}");
    }
    assert_eq!(runs().await, 4);

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
    let plain = after.call("ListTasks", json!({})).await.result().clone();
    assert_eq!((plain["totalSize"].as_u64(), plain["tasks"][0]["status"]["state"].as_str()), (Some(5), Some("TASK_STATE_INPUT_REQUIRED")));
    let counts = after.engine.counts();
    assert_eq!((counts.awake, counts.resting), (0, 5), "looking at them wakes nobody");
    for task in &asking {
        let found = after.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
        assert_eq!((&found["history"][0], &found["metadata"]), (&task["history"][0], &task["metadata"]), "kept with its run");
        let answer =
            json!({ "messageId": format!("a-{}", task["id"]), "role": "ROLE_USER", "taskId": task["id"], "parts": [{ "text": "yes" }] });
        let done = after.call("SendMessage", json!({ "message": answer })).await.result()["task"].clone();
        assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done:#}");
    }
}

#[tokio::test]
async fn a_look_at_a_task_that_has_an_early_answer_wakes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let mut before = World::over(journal(&folder), Arc::clone(&layout), |_| {}).await;
    before.workflow("asks", "  - {id: one, step_type: input, prompt: \"1?\"}\n  - {id: two, step_type: input, prompt: \"2?\"}\n").await;
    let task = before.call("SendMessage", json!({ "message": execute("m-1", "asks", json!({})) })).await.result()["task"].clone();
    let answer = |step: &str| {
        let (id, said) = (format!("a-{step}"), json!([{ "text": step }]));
        json!({ "message": { "messageId": id, "role": "ROLE_USER", "taskId": task["id"], "parts": said, "metadata": { "step": step } } })
    };
    // Later than the question, by the clock.
    tokio::time::sleep(Duration::from_millis(5)).await;
    before.call("SendMessage", answer("two")).await.result();
    before.shutdown().await;
    before.engine.shutdown(Duration::from_secs(1)).await;
    drop(before);

    let after = World::over(journal(&folder), layout, |_| {}).await;
    for _ in 0..3 {
        let found = after.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
        for part in ["state", "timestamp"] {
            assert_eq!(found["status"][part], task["status"][part], "it asks what it asked");
        }
        let counts = after.engine.counts();
        assert_eq!((counts.awake, counts.resting), (0, 1), "a look wakes nothing");
    }
    let done = after.call("SendMessage", answer("one")).await.result()["task"].clone();
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done:#}");
}

#[tokio::test]
async fn a_task_that_works_while_a_step_waits_is_listed_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(journal(&folder), Arc::new(Layout::ephemeral().unwrap()), |_| {}).await;
    let slow = |request: &wiremock::Request| echo(request).set_delay(Duration::from_secs(20));
    let _agent = world.agent(&["slow"], slow).await;
    let branches = "branches: {steps: [{id: ask, step_type: input, prompt: \"Go on?\"}, {id: call, skill: slow}]}";
    world.workflow("both", &format!("  - {{id: both, step_type: parallel, {branches}}}\n")).await;
    world.workflow("asks", "  - {id: ask, step_type: input, prompt: \"Go on?\"}\n").await;
    let begin = async |id: &str, workflow: &str| {
        let params = json!({ "message": execute(id, workflow, json!({})), "configuration": { "returnImmediately": true } });
        world.call("SendMessage", params).await.result()["task"]["id"].as_str().unwrap().to_owned()
    };
    let (both, asks) = (begin("m-1", "both").await, begin("m-2", "asks").await);
    let state = async |id: &str| world.call("GetTask", json!({ "id": id })).await.result()["status"]["state"].clone();
    assert_eq!(state(&asks).await, "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(state(&both).await, "TASK_STATE_WORKING");
    for (wanted, id) in [("TASK_STATE_WORKING", &both), ("TASK_STATE_INPUT_REQUIRED", &asks)] {
        let (tasks, totals) = listed(&world, json!({ "status": wanted })).await;
        assert_eq!((ids(&tasks), totals), (vec![id.as_str()], vec![1]), "{wanted}");
    }
    for wanted in ["TASK_STATE_AUTH_REQUIRED", "TASK_STATE_COMPLETED"] {
        assert_eq!(listed(&world, json!({ "status": wanted })).await, (Vec::new(), vec![0]), "{wanted}");
    }
}

#[tokio::test]
async fn a_task_that_cannot_be_read_has_not_failed() {
    let folder = tempfile::tempdir().unwrap();
    let stay = Duration::from_millis(40);
    let world =
        World::over(journal(&folder), Arc::new(Layout::ephemeral().unwrap()), |options| options.limits.ended_tasks_stay = stay).await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("one", "  - {id: one, skill: work, inputs: {said: \"{{ workflow.input.said }}\"}}\n").await;
    let sent = json!({ "message": execute("m-1", "one", json!({ "said": "x".repeat(400_000) })) });
    let task = world.call("SendMessage", sent).await.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
    tokio::time::sleep(stay * 5).await;
    let damage = |statement: &str| {
        let db = rusqlite::Connection::open(folder.path().join("journal.sqlite3")).unwrap();
        db.execute_batch(statement).unwrap();
    };
    damage("CREATE TABLE whole AS SELECT digest, body FROM blobs; UPDATE blobs SET body = 'damaged'");
    let refused = world.call("GetTask", json!({ "id": task["id"] })).await;
    assert_eq!(refused.code(), -32603, "{:#}", refused.body);
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("cannot be read"), "{:#}", refused.body);
    let (listed, _) = listed_plainly(&world).await;
    assert_eq!(listed, [json!("TASK_STATE_COMPLETED")], "the journal knows how it ended");
    damage("UPDATE blobs SET body = (SELECT body FROM whole WHERE whole.digest = blobs.digest)");
    let whole = world.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
    assert_eq!((&whole["status"], &whole["artifacts"]), (&task["status"], &task["artifacts"]), "it is whole again");
    assert_eq!(whole["history"], Value::Null, "a message as large as that is not kept twice");
}

/// The states of all tasks, and how many there are.
async fn listed_plainly(world: &World) -> (Vec<Value>, u64) {
    let page = world.call("ListTasks", json!({})).await.result().clone();
    let states = page["tasks"].as_array().unwrap().iter().map(|task| task["status"]["state"].clone()).collect();
    (states, page["totalSize"].as_u64().unwrap())
}
