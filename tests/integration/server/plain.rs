//! Plain calls of skills: the caller waits for the output, and the run does not depend on the caller.

use std::time::Duration;

use gantry::limits::MESSAGE_ID_BYTES_MAX;
use gantry::server::Token;
use serde_json::{Value, json};

use super::world::{Answer, PATIENCE, World, echo, short};

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

#[tokio::test]
async fn a_member_that_is_mistyped_starts_nothing_and_one_of_somebody_else_is_ignored() {
    let world = World::new().await;
    world.workflow("sets", "  - {id: one, step_type: set, value: 1}\n").await;
    for (name, meant) in [("idempotencyKey", "idempotency_key"), ("inputs", "input")] {
        for (path, code) in [("/", -32602), ("/execute", -1)] {
            let params = json!({ "workflow_id": "sets", "metadata": {}, name: "x" });
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "execute_workflow", "params": params }).to_string();
            let refused = world.post(path, &[], body).await;
            let told = refused.body["error"]["message"].as_str().unwrap();
            let expected = format!("unknown member `{name}`; did you mean `{meant}`?");
            assert!(refused.code() == code && told.contains(&expected), "{:#}", refused.body);
        }
    }
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 0);
    world.call("execute_workflow", json!({ "workflow_id": "sets", "metadata": {}, "session": "x" })).await.result();
}

/// Calls as a caller of the plain protocol, with more headers.
async fn plain(world: &World, headers: &[(&str, &str)], method: &str, params: Value) -> Answer {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    world.post("/execute", headers, body).await
}

#[tokio::test]
async fn an_idempotency_key_in_a_header_makes_a_repeat_the_same_call() {
    let token = |caller: &str| Token { caller: caller.to_owned(), token: Some(format!("{caller}-secret")), sha256: None };
    let world = World::with(|options| options.auth.tokens = vec![token("ann"), token("bob")]).await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("calls", CALLS).await;
    let (ann, bob) = (("Authorization", "Bearer ann-secret"), ("Authorization", "Bearer bob-secret"));
    let key = ("Idempotency-Key", "k-1");
    let params = |n: u32| json!({ "workflow_id": "calls", "input": { "n": n } });
    let runs = async |who| world.call_as(&[("A2A-Version", "1.0"), who], "ListTasks", json!({})).await.result()["totalSize"].clone();
    for _ in 0..3 {
        let answer = plain(&world, &[ann, key], "execute_workflow", params(1)).await;
        assert_eq!(answer.result()["echo"]["n"], 1, "{:#}", answer.body);
    }
    let same = plain(&world, &[ann, key], "workflow:calls", json!({ "n": 1 })).await;
    assert_eq!(same.result()["echo"]["n"], 1, "by its own name it is the same workflow with the same input");
    assert_eq!(runs(ann).await, 1);
    let other = plain(&world, &[ann, key], "execute_workflow", params(2)).await;
    let told = other.body["error"]["message"].as_str().unwrap();
    assert!(other.code() == -1 && told.contains("Idempotency-Key") && told.contains("k-1") && told.contains("another"), "{:#}", other.body);
    assert_eq!(runs(ann).await, 1);
    // What stands in the parameters goes first; keys of the two kinds and of other callers never meet.
    let mut given = params(2);
    given["idempotency_key"] = json!("k-1");
    plain(&world, &[ann, key], "execute_workflow", given).await.result();
    plain(&world, &[ann, ("Idempotency-Key", "")], "execute_workflow", params(1)).await.result();
    assert_eq!(runs(ann).await, 3);
    plain(&world, &[bob, key], "execute_workflow", params(2)).await.result();
    assert_eq!(runs(bob).await, 1);
}

#[tokio::test]
async fn idempotency_keys_may_have_so_many_bytes() {
    let world = World::new().await;
    world.workflow("sets", "  - {id: one, step_type: set, value: 1}\n").await;
    let params = |key: Option<&str>| json!({ "workflow_id": "sets", "idempotency_key": key });
    let (longest, over) = ("k".repeat(MESSAGE_ID_BYTES_MAX), "k".repeat(MESSAGE_ID_BYTES_MAX + 1));
    plain(&world, &[("Idempotency-Key", &longest)], "execute_workflow", params(None)).await.result();
    plain(&world, &[], "execute_workflow", params(Some(&longest))).await.result();
    for (headers, given, field) in
        [(vec![("Idempotency-Key", over.as_str())], None, "Idempotency-Key"), (vec![], Some(over.as_str()), "idempotency_key")]
    {
        let refused = plain(&world, &headers, "execute_workflow", params(given)).await;
        let told = refused.body["error"]["message"].as_str().unwrap();
        assert!(refused.code() == -1 && told.contains(&format!("{field}: is longer than {MESSAGE_ID_BYTES_MAX} bytes")), "{told}");
    }
    let refused = plain(&world, &[], "execute_workflow", params(Some(""))).await;
    assert!(refused.code() == -1 && refused.body["error"]["message"] == "idempotency_key: is empty", "{}", refused.body);
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 2, "what was refused has begun nothing");
}

#[tokio::test]
async fn runs_above_a_plain_call_are_read_from_its_header() {
    let world = World::new().await;
    world.workflow("sets", "  - {id: one, step_type: set, value: 1}\n").await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let above = |depth: usize| json!({ "depth": depth, "ancestry": [{ "digest": digest, "workflow": "top" }] }).to_string();
    let params = json!({ "workflow_id": "sets" });
    for method in ["execute_workflow", "workflow:sets"] {
        assert_eq!(plain(&world, &[("Gantry-Run", &above(1))], method, params.clone()).await.result(), 1);
        for (runs, expected) in [(above(16), "runs nest 16 deep, the limit is 16: top"), ("{".to_owned(), "gantry-run: ")] {
            let refused = plain(&world, &[("Gantry-Run", &runs)], method, params.clone()).await;
            let told = refused.body["error"]["message"].as_str().unwrap();
            assert!(refused.code() == -1 && told.contains(expected), "{method}: {:#}", refused.body);
        }
    }
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 2);
}

#[tokio::test]
async fn an_input_over_the_bound_of_a_run_is_refused_however_large_bodies_may_be() {
    let world = World::with(|options| options.limits.body_bytes_max = 16 << 20).await;
    world.workflow("sets", "  - {id: one, step_type: set, value: 1}\n").await;
    let input = json!({ "text": "x".repeat(gantry::limits::RUN_INPUT_BYTES_MAX) });
    let refused = world.call("execute_workflow", json!({ "workflow_id": "sets", "input": input })).await;
    assert!(refused.code() == -32602 && refused.body.to_string().contains("RUN_INPUT_BYTES_MAX"), "{:#}", refused.body);
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 0);
}

#[tokio::test]
async fn lists_of_very_many_values_come_back_as_they_went_whoever_asks() {
    let world = World::new().await;
    world.workflow("back", "  - {id: one, step_type: set, value: \"{{ workflow.input.items }}\"}\n").await;
    let items: Vec<Value> = (0..2_000).flat_map(|n| [json!(n), json!(0.5), json!({ "text": "a\n\"é" })]).collect();
    let input = json!({ "workflow_id": "back", "input": { "items": items } });

    let message =
        json!({ "messageId": "m", "role": "ROLE_USER", "metadata": { "skill": "execute_workflow" }, "parts": [{ "data": input }] });
    let task = world.call("SendMessage", json!({ "message": message })).await.result()["task"].clone();
    for task in [task.clone(), world.call("GetTask", json!({ "id": task["id"] })).await.result().clone()] {
        assert_eq!(task["history"][0]["parts"], json!([{ "data": input }]));
        let artifacts: Vec<_> = task["artifacts"].as_array().unwrap().iter().map(|artifact| &artifact["parts"][0]["data"]).collect();
        assert!(artifacts == [&json!(items), &json!(items)], "its step's and its own");
    }
    let older = world.call_as(&[], "tasks/get", json!({ "id": task["id"] })).await.result().clone();
    assert_eq!(older["history"][0]["parts"], json!([{ "kind": "data", "data": input }]));
    assert_eq!(older["artifacts"][1]["parts"][0]["data"], json!({ "value": items }), "a list is wrapped there");

    let plain = world.call("execute_workflow", input.clone()).await;
    assert!(*plain.result() == json!(items));
    let streamed =
        json!({ "messageId": "m-2", "role": "ROLE_USER", "metadata": { "skill": "execute_workflow" }, "parts": [{ "data": input }] });
    let events = world.stream("SendStreamingMessage", json!({ "message": streamed })).await.rest().await;
    let kinds: Vec<String> = events.iter().map(short).collect();
    let artifacts = events.iter().filter_map(|event| event["result"].get("artifactUpdate"));
    let told: Vec<_> = artifacts.map(|update| &update["artifact"]["parts"][0]["data"]).collect();
    assert!(told == [&json!(items), &json!(items)], "{kinds:?}");
}
