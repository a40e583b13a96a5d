//! Plain calls of skills: the caller waits for the output, and the run does not depend on the caller.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{PATIENCE, World, echo};

const CALLS: &str =
    "  - {id: one, skill: work, inputs: {n: 1}}\n  - {id: two, skill: work, inputs: {n: \"{{ steps.one.outputs.echo.n }}\"}}\n";

/// The only task, once it is as it should be.
async fn only_task(world: &World, state: &str) -> Value {
    let wait = async {
        loop {
            let list = world.call("ListTasks", json!({})).await.result().clone();
            assert!(list["totalSize"].as_u64() <= Some(1), "{list:#}");
            if list["tasks"][0]["status"]["state"] == state {
                return list["tasks"][0].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never {state}"))
}

#[tokio::test]
async fn a_run_goes_on_when_its_caller_hangs_up() {
    for (method, params) in [
        ("execute_workflow", json!({ "workflow_id": "slow", "input": {} })),
        ("workflow:slow", json!({})),
        ("route_request", json!({ "request": "slow of the tests" })),
    ] {
        let world = World::new().await;
        let _agent = world.agent(&["work"], |request: &wiremock::Request| echo(request).set_delay(Duration::from_millis(200))).await;
        world.workflow("slow", CALLS).await;
        tokio::time::timeout(Duration::from_millis(100), world.call(method, params)).await.unwrap_err();
        let task = only_task(&world, "TASK_STATE_COMPLETED").await;
        let read = world.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
        assert_eq!(read["artifacts"].as_array().map(Vec::len), Some(3), "two steps and the output: {read:#}");
    }
}

#[tokio::test]
async fn a_run_that_asks_is_answered_with_a_message() {
    let world = World::new().await;
    world.workflow("asks", "  - {id: ask, step_type: input, prompt: \"Go on?\"}\n").await;
    let refused = world.call("execute_workflow", json!({ "workflow_id": "asks", "input": {} })).await;
    assert_eq!(refused.code(), -32004, "{:#}", refused.body);
    let task = only_task(&world, "TASK_STATE_INPUT_REQUIRED").await;
    let told = refused.body["error"]["message"].as_str().unwrap();
    assert!(told.contains(task["id"].as_str().unwrap()), "{told}");
    let answer = json!({ "messageId": "m-1", "role": "ROLE_USER", "taskId": task["id"], "parts": [{ "text": "yes" }] });
    world.call("SendMessage", json!({ "message": answer })).await.result();
    only_task(&world, "TASK_STATE_COMPLETED").await;
}

#[tokio::test]
async fn parameters_that_cannot_be_read_start_nothing() {
    let world = World::new().await;
    world.workflow("sets", "  - {id: one, step_type: set, value: 1}\n").await;
    for params in [r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#] {
        for (path, code) in [("/", -32602), ("/execute", -1)] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"workflow:sets","params":{params}}}"#);
            let answer = world.post(path, &[], body).await;
            assert_eq!((answer.code(), &answer.body["id"]), (code, &json!(1)), "{params} {:#}", answer.body);
        }
    }
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 0);
}
