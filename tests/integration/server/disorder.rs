//! Tasks when things happen at once, or do not happen: two messages for one task, an answer that comes second, a run that stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gantry::engine::{Engine, Filter};
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus};
use gantry::journal::{Error, Journal, Memory, Sqlite};
use gantry::registry::Layout;
use serde_json::{Value, json};
use tokio::sync::watch;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::runs::execute;
use super::world::{PATIENCE, World, echo, message, short};
use crate::journal::Handled;

const ONE_CALL: &str = "  - {id: one, skill: work, inputs: {n: \"{{ workflow.input.n }}\"}}\n";

/// Refuses the events that tell a reply as long as it is said so.
fn stumbling(inner: Arc<dyn Journal>) -> (Arc<Handled>, Arc<AtomicBool>) {
    let stumbles = Arc::new(AtomicBool::new(true));
    let said = Arc::clone(&stumbles);
    let before = move |_: &RunId, events: &[Event], _| -> BoxFuture<'static, Result<(), Error>> {
        let is_reply = events.iter().any(|event| matches!(event, Event::Replied { .. }));
        let refused = is_reply && said.load(Ordering::SeqCst);
        async move { if refused { Err(Error::Failed("the disk has gone".to_owned())) } else { Ok(()) } }.boxed()
    };
    (Handled::new(inner, before), stumbles)
}

fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap().trim_start_matches("TASK_STATE_")
}

/// A journal that broke has not ended the run: it goes on at the next start, and nobody may have been told that it failed.
#[tokio::test]
async fn a_run_that_only_stopped_is_told_to_nobody_as_failed_and_completes_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let (journal, _) = stumbling(Arc::new(Sqlite::open(folder.path()).unwrap()));
    let mut world = World::over(journal, Arc::clone(&layout), |_| {}).await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("calls", ONE_CALL).await;
    let hook = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&hook).await;

    let blocking = world.call("SendMessage", json!({ "message": execute("m-1", "calls", json!({ "n": 1 })) })).await;
    assert_eq!(blocking.code(), -32603, "{:#}", blocking.body);
    assert!(blocking.body.to_string().contains("gantry's log"), "{:#}", blocking.body);

    let config = json!({ "url": hook.uri() });
    let streamed =
        json!({ "message": execute("m-2", "calls", json!({ "n": 2 })), "configuration": { "taskPushNotificationConfig": config } });
    let events = world.stream("SendStreamingMessage", streamed).await.rest().await;
    let kinds: Vec<String> = events.iter().map(short).collect();
    assert_eq!(kinds.last().unwrap(), "error:-32603", "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind == "status:FAILED"), "{kinds:?}");
    assert!(!events.last().unwrap().to_string().contains("shutting down"), "{events:?}");
    let id = events[0]["result"]["task"]["id"].clone();
    assert_eq!(state(world.call("GetTask", json!({ "id": id })).await.result()), "WORKING", "it has not ended");

    let plain = world.call("execute_workflow", json!({ "workflow_id": "calls", "input": { "n": 3 } })).await;
    assert_eq!(plain.code(), -32603, "{:#}", plain.body);
    assert!(!plain.body.to_string().contains("shutting down"), "{:#}", plain.body);

    world.shutdown().await;
    world.engine.shutdown(PATIENCE).await;
    for request in hook.received_requests().await.unwrap() {
        let told = String::from_utf8_lossy(&request.body).into_owned();
        assert!(!told.contains("TASK_STATE_FAILED"), "{told}");
    }
    drop(world);

    let after = World::over(Arc::new(Sqlite::open(folder.path()).unwrap()), layout, |_| {}).await;
    let _agent = after.agent(&["work"], echo).await;
    let ended = async {
        loop {
            let runs = after.engine.list(&Filter::default()).await.unwrap();
            assert_eq!(runs.len(), 3);
            if runs.iter().all(|run| run.status.is_terminal()) {
                break assert!(runs.iter().all(|run| run.status == RunStatus::Completed), "{runs:?}");
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the runs go on");
    let task = after.call("GetTask", json!({ "id": id })).await.result().clone();
    assert_eq!(state(&task), "COMPLETED", "{task:#}");
}

/// Two choices at once: one of them begins the run, and that run can be reached as any other.
#[tokio::test]
async fn of_two_messages_at_once_for_one_dialogue_one_begins_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(Sqlite::open(folder.path()).unwrap());
    let world = World::over(journal, Arc::new(Layout::ephemeral().unwrap()), |_| {}).await;
    for id in ["alpha", "beta"] {
        world.workflow(id, "  - {id: ask, step_type: input, prompt: well?}\n").await;
    }
    for round in 0..5 {
        let mut request = message(&format!("r-{round}"));
        request["parts"] = json!([{ "text": "fly me to the moon" }]);
        let task = world.call("SendMessage", json!({ "message": request })).await.result()["task"].clone();
        assert_eq!(state(&task), "INPUT_REQUIRED", "{task:#}");
        let choose = |choice: &str| {
            let parts = json!([{ "data": { "workflow_id": choice } }]);
            let message = json!({ "messageId": format!("{choice}-{round}"), "role": "ROLE_USER", "taskId": task["id"], "parts": parts });
            json!({ "message": message, "configuration": { "returnImmediately": true } })
        };
        let (one, other) = tokio::join!(world.call("SendMessage", choose("alpha")), world.call("SendMessage", choose("beta")));
        // The second is the answer to the run's question, or comes before it asks.
        let refusals: Vec<i64> = [&one, &other].iter().map(|answer| answer.code()).filter(|code| *code != 0).collect();
        assert!(refusals.iter().all(|code| *code == -32004), "{:#}\n{:#}", one.body, other.body);
        assert!(refusals.len() < 2, "{:#}\n{:#}", one.body, other.body);
        let labelled = world.engine.list(&Filter::default()).await.unwrap();
        assert_eq!(labelled.len(), round + 1, "one run for each dialogue: {labelled:?}");
        let run = labelled.iter().find(|run| task["id"] == run.run.as_str()).expect("it has the id of its task").run.clone();
        if world.engine.summary(&run).await.unwrap().status.is_terminal() {
            continue;
        }
        let canceled = world.call("CancelTask", json!({ "id": task["id"] })).await;
        assert_eq!(state(canceled.result()), "CANCELED", "it can be reached: {:#}", canceled.body);
    }
}

/// Somebody else has answered already, and the run has gone on: its task is at work, not waiting for what was answered.
#[tokio::test]
async fn an_answer_that_comes_second_leaves_the_task_as_the_run_is() {
    let (hold, came) = (watch::Sender::new(false), watch::Sender::new(0));
    let (held, comes) = (hold.clone(), came.clone());
    let before = move |_: &RunId, events: &[Event], _| -> BoxFuture<'static, Result<(), Error>> {
        let is_answer = events.iter().any(|event| matches!(event, Event::Answered { .. }));
        let (mut opened, comes) = (held.subscribe(), comes.clone());
        async move {
            if is_answer {
                comes.send_modify(|answers| *answers += 1);
                let _ = opened.wait_for(|open| *open).await;
            }
            Ok(())
        }
        .boxed()
    };
    let world = World::over(Handled::new(Arc::new(Memory::default()), before), Arc::new(Layout::ephemeral().unwrap()), |_| {}).await;
    let steps = "  - {id: first, step_type: input, prompt: one?}\n  - {id: rest, step_type: wait, for: 10m}\n";
    let asks_again = "  - {id: first, step_type: input, prompt: one?}\n  - {id: second, step_type: input, prompt: two?}\n";
    world.workflow("rests", steps).await;
    world.workflow("asks-again", asks_again).await;
    for (workflow, expected) in [("rests", "WORKING"), ("asks-again", "INPUT_REQUIRED")] {
        hold.send_replace(false);
        let task = world.call("SendMessage", json!({ "message": execute(workflow, workflow, json!({})) })).await.result()["task"].clone();
        assert_eq!(state(&task), "INPUT_REQUIRED", "{task:#}");
        let run = world.engine.list(&Filter { unfinished: true, workflow: Some(workflow.to_owned()), ..Filter::default() }).await.unwrap();
        let (engine, run) = (world.engine.clone(), run[0].run.clone());
        let before = *came.borrow();
        let answered = tokio::spawn(async move { engine.answer(&run, Some("first"), Arc::new(json!("mine"))).await });
        came.subscribe().wait_for(|answers| *answers > before).await.unwrap();
        let mut late = message(&format!("late-{workflow}"));
        late["taskId"] = task["id"].clone();
        late["metadata"] = json!({ "step": "first" });
        let late = world.call("SendMessage", json!({ "message": late }));
        let release = async {
            // Until the second has been taken for an answer: its task is at work then.
            while state(world.call("GetTask", json!({ "id": task["id"] })).await.result()) != "WORKING" {
                tokio::task::yield_now().await;
            }
            hold.send_replace(true);
        };
        let (late, ()) = tokio::time::timeout(PATIENCE, futures_util::future::join(late, release)).await.expect("both have come");
        assert!(answered.await.unwrap().is_ok());
        assert_eq!(late.code(), -32004, "{:#}", late.body);
        let stands = async {
            loop {
                let task = world.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
                if state(&task) == expected {
                    break task;
                }
                tokio::task::yield_now().await;
            }
        };
        let stands = tokio::time::timeout(PATIENCE, stands).await.unwrap_or_else(|_| panic!("{workflow} is never {expected}"));
        let said = stands["status"]["message"]["parts"][0]["text"].as_str().unwrap_or_default();
        assert!(!said.contains("one?"), "{stands:#}");
        assert_eq!(said.contains("two?"), expected == "INPUT_REQUIRED", "{stands:#}");
    }
}

/// More updates at once than a follower takes: what ended in the gap is not under way any more, and a later question is the task's.
#[tokio::test]
async fn after_more_updates_than_fit_the_next_question_is_told() {
    const WIDE: usize = 200;
    let calls = watch::Sender::new(0_usize);
    let counted = calls.clone();
    let is_first = AtomicBool::new(true);
    let before = move |_: &RunId, events: &[Event], _| -> BoxFuture<'static, Result<(), Error>> {
        let is_reply = events.iter().any(|event| matches!(event, Event::Replied { .. }));
        let is_held = is_reply && is_first.swap(false, Ordering::SeqCst);
        let mut counted = counted.subscribe();
        async move {
            if is_held {
                // The others are answered meanwhile, and come at once.
                let _ = counted.wait_for(|calls| *calls >= WIDE).await;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            Ok(())
        }
        .boxed()
    };
    let world = World::over(Handled::new(Arc::new(Memory::default()), before), Arc::new(Layout::ephemeral().unwrap()), |_| {}).await;
    let respond = move |request: &Request| {
        calls.send_modify(|calls| *calls += 1);
        // By then all are under way.
        echo(request).set_delay(std::time::Duration::from_millis(300))
    };
    let _agent = world.agent(&["work"], respond).await;
    let steps = format!(
        "  - id: each\n    step_type: map\n    items: \"{{{{ workflow.input.items }}}}\"\n    max_concurrency: {WIDE}\n    steps: [{{id: item, skill: work, inputs: {{n: \"{{{{ item }}}}\"}}}}]\n  - {{id: ask, step_type: input, prompt: well?}}\n"
    );
    world.workflow("wide", &steps).await;
    let items: Vec<usize> = (0..2 * WIDE).collect();
    let sent = json!({ "message": execute("m-1", "wide", json!({ "items": items })) });
    let task =
        tokio::time::timeout(PATIENCE, world.call("SendMessage", sent)).await.expect("the question is told").result()["task"].clone();
    assert_eq!(state(&task), "INPUT_REQUIRED");
}
