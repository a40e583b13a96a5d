//! Gantry over gantry: results, questions and cycles travel through two of them.

use gantry::a2a::Card;
use serde_json::{Value, json};

use super::runs::{asking_agent, execute};
use super::world::{World, broken, echo, message};

/// `outer` finds `inner` by its card, as it would in a shared registry.
async fn above(inner: &World) -> World {
    // Its own card must not be the one that is found.
    let outer = World::with(|options| options.card.publish = None).await;
    let card = inner.http.get(format!("{}/.well-known/agent-card.json", inner.url)).send().await.unwrap().bytes().await.unwrap();
    outer.discovery.add_card(Card::parse(&card).unwrap());
    outer
}

const DELEGATE: &str = "  - id: delegated\n    skill: execute_workflow\n    inputs: { workflow_id: inner, input: { n: \"{{ workflow.input.n }}\" } }\n    retry: { max_attempts: 1 }\n";

#[tokio::test]
async fn the_output_of_the_inner_run_is_the_value_of_the_outer_step() {
    let inner = World::new().await;
    let _agent = inner.agent(&["work"], echo).await;
    inner
        .workflow("inner", "  - id: a\n    skill: work\n  - id: b\n    skill: work\n    inputs: { n: \"{{ workflow.input.n }}\" }\n")
        .await;
    let outer = above(&inner).await;
    outer.workflow("outer", DELEGATE).await;
    let task = outer.call("SendMessage", json!({ "message": execute("m-1", "outer", json!({ "n": 42 })) })).await.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{task:#}");
    let output = &task["artifacts"].as_array().unwrap().last().unwrap()["parts"][0]["data"];
    assert_eq!(output.to_string(), r#"{"echo":{"n":42}}"#);
}

#[tokio::test]
async fn questions_and_failures_travel_through() {
    let inner = World::new().await;
    let _agents = (asking_agent(&inner, "painter", "paint", "TASK_STATE_INPUT_REQUIRED").await, inner.agent(&["burn"], broken).await);
    inner.workflow("inner", "  - id: ask\n    skill: paint\n").await;
    let outer = above(&inner).await;
    outer.workflow("outer", DELEGATE).await;
    let sent = outer.call("SendMessage", json!({ "message": execute("m-1", "outer", json!({ "n": 1 })) })).await;
    let task = sent.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{task:#}");
    assert_eq!(task["status"]["message"]["parts"][0]["text"], "which color?");
    let mut answer = message("m-2");
    answer["taskId"] = task["id"].clone();
    answer["parts"] = json!([{ "text": "red" }]);
    let done = outer.call("SendMessage", json!({ "message": answer })).await.result()["task"].clone();
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done:#}");
    assert_eq!(done["artifacts"].as_array().unwrap().last().unwrap()["parts"][0]["data"]["color"], "red");

    inner.workflow("burns", "  - id: hot\n    skill: burn\n    retry: { max_attempts: 1 }\n").await;
    outer.workflow("outer-burns", &DELEGATE.replace("inner", "burns")).await;
    let failed = outer.call("SendMessage", json!({ "message": execute("m-3", "outer-burns", json!({ "n": 1 })) })).await;
    let status: Value = failed.result()["task"]["status"].clone();
    assert_eq!(status["state"], "TASK_STATE_FAILED");
    assert!(status["message"]["parts"][0]["text"].as_str().unwrap().contains("the machine is on fire"), "{status:#}");
}

#[tokio::test]
async fn the_question_of_anothers_router_travels_too() {
    let inner = World::new().await;
    for id in ["poem", "song"] {
        inner.workflow(id, "  - {id: verse, step_type: set, value: \"{{ workflow.input.request }}, {{ workflow.input.mood }}\"}\n").await;
    }
    let outer = above(&inner).await;
    outer.workflow("outer", "  - {id: call, skill: route_request, inputs: \"{{ workflow.input }}\"}\n").await;
    for (at, choice) in [json!([{ "text": "song" }]), json!([{ "data": { "workflow_id": "song" } }])].into_iter().enumerate() {
        let input = json!({ "request": "fly to the moon", "context": { "mood": "gay" } });
        let sent = outer.call("SendMessage", json!({ "message": execute(&format!("m-{at}"), "outer", input) })).await;
        let task = sent.result()["task"].clone();
        assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{task:#}");
        let asked = &task["status"]["message"]["parts"];
        assert!(asked[0]["text"].as_str().unwrap().starts_with("Which of these"), "{asked:#}");
        assert_eq!(asked[1]["data"]["candidates"].as_array().unwrap().len(), 2);
        let mut answer = message(&format!("a-{at}"));
        (answer["taskId"], answer["parts"]) = (task["id"].clone(), choice);
        let done = outer.call("SendMessage", json!({ "message": answer })).await.result()["task"].clone();
        assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done:#}");
        assert_eq!(done["artifacts"].as_array().unwrap().last().unwrap()["parts"][0]["text"], "fly to the moon, gay");
    }
}

#[tokio::test]
async fn a_loop_between_two_processes_is_refused() {
    let (first, second) = (World::with(|o| o.card.publish = None).await, World::with(|o| o.card.publish = None).await);
    for (here, there) in [(&first, &second), (&second, &first)] {
        let card = there.http.get(format!("{}/.well-known/agent-card.json", there.url)).send().await.unwrap().bytes().await.unwrap();
        here.discovery.add_card(Card::parse(&card).unwrap());
        here.workflow("inner", DELEGATE).await;
    }
    let task = first.call("SendMessage", json!({ "message": execute("m-1", "inner", json!({ "n": 1 })) })).await.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_FAILED", "{task:#}");
    let told = task["status"]["message"]["parts"][0]["text"].as_str().unwrap();
    assert!(told.contains("inner → inner") || told.contains("cycle"), "{told}");
}
