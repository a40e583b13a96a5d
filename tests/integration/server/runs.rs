//! Runs as tasks: artifacts of steps, output, failure, questions of agents, cancel, depth, and finding them again.

use std::sync::Arc;
use std::time::Duration;

use gantry::a2a::Card;
use gantry::engine::{Engine as _, Filter};
use gantry::journal::{Journal, Sqlite};
use gantry::registry::Layout;
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::world::{World, broken, echo, message, short};

const RUN: &str = "urn:gantry:a2a:run:v1";

pub(super) fn execute(id: &str, workflow: &str, input: Value) -> Value {
    json!({ "messageId": id, "role": "ROLE_USER", "parts": [{ "data": { "workflow_id": workflow, "input": input } }],
        "metadata": { "skill": "execute_workflow" } })
}

const TWO_STEPS: &str = "  - id: one
    skill: work
    inputs: { n: \"{{ workflow.input.n }}\" }
    outputs: r
  - id: two
    skill: work
    inputs: { n: \"{{ steps.one.outputs.r.echo.n }}\" }
";

/// An agent of A2A 1.0 that asks for a color first, and answers with the one it is told.
pub(super) async fn asking_agent(world: &World, name: &str, skill: &str, state: &'static str) -> MockServer {
    let server = MockServer::start().await;
    let respond = move |request: &Request| {
        let call: Value = serde_json::from_slice(&request.body).unwrap();
        let params = &call["params"];
        let task = |status: Value, artifacts: Value| json!({ "id": "t-1", "contextId": "c-1", "status": status, "artifacts": artifacts });
        let question = json!({ "messageId": "q", "role": "ROLE_AGENT", "parts": [{ "text": "which color?" }] });
        let waits = task(json!({ "state": state, "message": question }), json!([]));
        let result = match call["method"].as_str().unwrap() {
            "SendMessage" if params["message"]["taskId"].is_null() => json!({ "task": waits }),
            "SendMessage" => {
                let said = &params["message"]["parts"][0];
                let color = said["data"].get("text").or_else(|| said.get("text")).cloned().unwrap_or_else(|| said["data"].clone());
                let done = json!([{ "artifactId": "a", "parts": [{ "data": { "color": color } }] }]);
                json!({ "task": task(json!({ "state": "TASK_STATE_COMPLETED" }), done) })
            }
            "CancelTask" => task(json!({ "state": "TASK_STATE_CANCELED" }), json!([])),
            _ => waits,
        };
        ResponseTemplate::new(200).set_body_json(json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }))
    };
    Mock::given(method("POST")).respond_with(respond).mount(&server).await;
    let card = json!({ "name": name, "description": name, "version": "1", "capabilities": {},
        "supportedInterfaces": [{ "url": server.uri(), "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }],
        "defaultInputModes": ["application/json"], "defaultOutputModes": ["application/json"],
        "skills": [{ "id": skill, "name": skill, "description": skill, "tags": [] }] });
    world.discovery.add_card(Card::parse(card.to_string().as_bytes()).unwrap());
    server
}

fn says(call: &Request, method: &str) -> bool {
    serde_json::from_slice::<Value>(&call.body).is_ok_and(|call| call["method"] == method)
}

#[tokio::test]
async fn a_run_is_a_task_with_an_artifact_for_each_step_and_the_output() {
    let world = World::new().await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("two", TWO_STEPS).await;
    let params = json!({ "message": execute("m-1", "two", json!({ "n": 42.0 })) });
    let events = world.stream("SendStreamingMessage", params).await.rest().await;
    let kinds: Vec<String> = events.iter().map(short).filter(|kind| kind != "status:WORKING").collect();
    assert_eq!(kinds, ["task:SUBMITTED", "artifact:step:/0:one", "artifact:step:/1:two", "artifact:output", "status:COMPLETED"]);
    let id = &events[0]["result"]["task"]["id"];
    let task = world.call("GetTask", json!({ "id": id })).await.result().clone();
    let names: Vec<&str> = task["artifacts"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "two", "output"]);
    let output = &task["artifacts"][2];
    assert_eq!(output["parts"][0]["data"]["echo"]["n"].to_string(), "42");
    assert_eq!(output["metadata"][RUN]["artifact"], "output");
    let about = &task["metadata"][RUN];
    assert_eq!((about["workflow"].as_str(), about["version"].as_str(), &about["run"]), (Some("two"), Some("1.0.0"), id));
    assert!(about["digest"].as_str().unwrap().starts_with("sha256:"));
    let working: Vec<&Value> = events.iter().filter(|event| short(event) == "status:WORKING").collect();
    assert!(working.iter().any(|event| event["result"]["statusUpdate"]["metadata"][RUN]["step"] == "two"));
}

#[tokio::test]
async fn every_step_is_seen_to_begin_however_soon_it_ends() {
    let world = World::new().await;
    world.workflow("quick", "  - {id: value, step_type: set, value: 1}\n").await;
    let steps: String = ["a", "b", "c"]
        .iter()
        .map(|id| format!("  - {{id: {id}, skill: execute_workflow, inputs: {{workflow_id: quick, input: {{}}}}}}\n"))
        .collect();
    world.workflow("three", &steps).await;
    for round in 0..10 {
        let params = json!({ "message": execute(&format!("m-{round}"), "three", json!({})) });
        let events = world.stream("SendStreamingMessage", params).await.rest().await;
        let said = |event: &Value| event["result"]["statusUpdate"]["status"]["message"]["parts"][0]["text"].as_str().map(str::to_owned);
        let seen: Vec<String> = events.iter().map(|event| said(event).unwrap_or_else(|| short(event))).collect();
        let calls = |id: &str| format!("step `{id}` calls `execute_workflow`");
        let expected = ["task:SUBMITTED", "status:WORKING", &calls("a"), "artifact:step:/0:a", &calls("b"), "artifact:step:/1:b"];
        assert_eq!(seen[..6], expected, "{seen:?}");
        assert_eq!(seen[6..], [&calls("c"), "artifact:step:/2:c", "artifact:output", "status:COMPLETED"], "{seen:?}");
    }
}

#[tokio::test]
async fn a_stream_has_large_results_that_come_at_the_same_moment() {
    let world = World::new().await;
    let both = "  - {id: a, step_type: set, value: \"{{ workflow.input.value }}\"}\n  - {id: b, step_type: set, value: \"{{ steps.a.outputs }}\"}\n";
    world.workflow("large", both).await;
    let value = "x".repeat(gantry::server::Options::default().limits.stream_bytes_max);
    let params = json!({ "message": execute("m-large", "large", json!({ "value": value })) });
    let events = world.stream("SendStreamingMessage", params).await.rest().await;
    let seen: Vec<String> = events.iter().map(short).collect();
    let expected = ["task:SUBMITTED", "status:WORKING", "artifact:step:/0:a", "artifact:step:/1:b", "artifact:output", "status:COMPLETED"];
    assert_eq!(seen, expected);
}

/// What is done after the last step is over is no update, and may be done later than that step.
#[tokio::test]
async fn a_question_beside_much_to_do_is_asked_when_all_of_it_is_done() {
    let world = World::new().await;
    let steps = "  - id: both
    step_type: parallel
    branches:
      asks: [{id: ask, step_type: input, prompt: well?}]
      works: [{id: m, step_type: map, items: \"{{ workflow.input.items }}\", reduce: {initial: 0, expression: \"{{ accumulator + item }}\"}, steps: [{id: v, step_type: set, value: 1}]}]
";
    world.workflow("beside", steps).await;
    for items in 90..=110 {
        let input = json!({ "items": (0..items).collect::<Vec<_>>() });
        let params = json!({ "message": execute(&format!("m-{items}"), "beside", input) });
        let events = world.stream("SendStreamingMessage", params).await.rest().await;
        assert_eq!(short(events.last().unwrap()), "status:INPUT_REQUIRED", "{items} items");
    }
}

#[tokio::test]
async fn what_repeated_steps_yield_is_told_however_soon_they_end_and_not_without_end() {
    let world = World::new().await;
    world
        .workflow("repeats", "  - {id: each, step_type: map, items: \"{{ workflow.input.items }}\", steps: [{id: item, step_type: set, value: \"{{ item }}\"}]}\n")
        .await;
    for (count, expected) in [(3, 5), (600, 501)] {
        let items: Vec<usize> = (1..=count).collect();
        let message = execute(&format!("m-{count}"), "repeats", json!({ "items": items }));
        let task = world.call("SendMessage", json!({ "message": message })).await.result()["task"].clone();
        assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
        let artifacts = task["artifacts"].as_array().unwrap();
        let names: Vec<&str> = artifacts.iter().map(|artifact| artifact["name"].as_str().unwrap()).collect();
        assert_eq!((names.len(), names[0], names[names.len() - 1]), (expected, "item", "output"), "{count}");
        assert_eq!(artifacts.last().unwrap()["parts"][0]["data"].as_array().unwrap().len(), count, "the output has all of it");
    }
}

/// Every kind of step that needs no agent: `group`, `choice` and `fork` repeat what is inside, `nothing` and `rest` yield nothing.
const EVERY_KIND: &str = "  - {id: value, step_type: set, value: {n: 1}}
  - {id: nothing, step_type: set, value: null}
  - {id: rest, step_type: wait, for: 1ms}
  - {id: group, step_type: parallel, branches: {steps: [{id: inside, step_type: set, value: 2}]}}
  - {id: choice, step_type: conditional, condition: \"{{ true }}\", branches: {if_true: [{id: chosen, step_type: set, value: 3}]}}
  - {id: fork, step_type: switch, condition: \"{{ 'a' }}\", branches: {a: [{id: taken, step_type: set, value: 4}]}}
  - {id: each, step_type: map, items: [5], steps: [{id: item, step_type: set, value: 6}]}
  - {id: again, step_type: loop, until: \"true\", max_iterations: 1, steps: [{id: turn, step_type: set, value: 7}]}
  - {id: first, step_type: race, branches: {steps: [{id: winner, step_type: set, value: 8}]}}
  - {id: asked, step_type: input, prompt: well?}
";

#[tokio::test]
async fn every_step_with_an_output_of_its_own_is_an_artifact() {
    let world = World::new().await;
    world.workflow("kinds", EVERY_KIND).await;
    let task = world.call("SendMessage", json!({ "message": execute("m-1", "kinds", json!({})) })).await.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{task:#}");
    let mut answer = message("m-2");
    answer["taskId"] = task["id"].clone();
    let done = world.call("SendMessage", json!({ "message": answer })).await.result()["task"].clone();
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done:#}");
    let names: Vec<&str> = done["artifacts"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["value", "inside", "chosen", "taken", "item", "each", "turn", "again", "winner", "first", "asked", "output"]);
    assert_eq!(done["artifacts"][5]["parts"], json!([{ "data": [6] }]));
}

#[tokio::test]
async fn a_fail_step_tells_its_own_code() {
    let world = World::new().await;
    world.workflow("dear", "  - {id: stop, step_type: fail, error: {code: too_expensive, message: over 1000}}\n").await;
    let task = world.call("SendMessage", json!({ "message": execute("m-1", "dear", json!({})) })).await.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_FAILED");
    assert_eq!(task["status"]["message"]["parts"][0]["text"], "step `stop`: over 1000 (too_expensive)");
}

#[tokio::test]
async fn a_workflow_is_a_skill_and_a_request_finds_it() {
    let world = World::new().await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("poetry", "  - id: one\n    skill: work\n    inputs: { said: \"{{ workflow.input.request }}\" }\n").await;
    let mut skill = message("m-1");
    skill["metadata"] = json!({ "urn:gantry:a2a:skill:v1": { "skill": "workflow:poetry" } });
    let mut request = message("m-2");
    request["parts"] = json!([{ "text": "poetry of the tests" }]);
    for (sent, said) in [(skill, "hello"), (request, "poetry of the tests")] {
        let task = world.call("SendMessage", json!({ "message": sent })).await.result()["task"].clone();
        assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{task:#}");
        assert_eq!(task["artifacts"][1]["parts"][0]["data"]["echo"]["said"], said);
    }
    let routed = world.call("ListTasks", json!({})).await.result()["tasks"][0]["metadata"]["urn:gantry:a2a:route:v1"].clone();
    assert_eq!(routed["workflow"], "poetry");
    assert!(routed["reason"].as_str().unwrap().contains("poetry"), "{routed}");
}

#[tokio::test]
async fn an_unclear_request_is_asked_back_and_goes_on_in_the_same_task() {
    let world = World::new().await;
    let _agent = world.agent(&["work"], echo).await;
    for id in ["alpha", "beta"] {
        world.workflow(id, "  - id: one\n    skill: work\n    inputs: { said: \"{{ workflow.input.request }}\" }\n").await;
    }
    for (at, choice) in
        [json!([{ "text": "1" }]), json!([{ "text": "Alpha" }]), json!([{ "data": { "workflow_id": "alpha" } }])].into_iter().enumerate()
    {
        let mut request = message(&format!("m-{at}"));
        request["parts"] = json!([{ "text": "fly me to the moon" }]);
        let task = world.call("SendMessage", json!({ "message": request })).await.result()["task"].clone();
        assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
        let asked = &task["status"]["message"]["parts"];
        assert!(asked[0]["text"].as_str().unwrap().contains("1. alpha"));
        assert_eq!(asked[1]["data"]["candidates"].as_array().unwrap().len(), 2);
        let chosen = json!({ "messageId": format!("c-{at}"), "role": "ROLE_USER", "taskId": task["id"], "parts": choice });
        let done = world.call("SendMessage", json!({ "message": chosen })).await.result()["task"].clone();
        assert_eq!((&done["id"], done["status"]["state"].as_str()), (&task["id"], Some("TASK_STATE_COMPLETED")), "{done:#}");
        assert_eq!(done["metadata"][RUN]["workflow"], "alpha");
        let output = done["artifacts"].as_array().unwrap().last().unwrap();
        assert_eq!(output["parts"][0]["data"]["echo"]["said"], "fly me to the moon");
    }
}

#[tokio::test]
async fn what_has_no_description_is_offered_by_its_name() {
    let world = World::new().await;
    for (id, name) in [("alpha", "First things"), ("beta", "beta")] {
        let text = format!("metadata: {{id: {id}, name: {name}, version: 1.0.0, description: \"\"}}\nsteps: [{{id: one, skill: work}}]\n");
        world.discovery.push_workflow(&format!("{id}.yaml"), text.into(), None, &[]).await.unwrap();
    }
    let mut request = message("m-1");
    request["parts"] = json!([{ "text": "fly me to the moon" }]);
    let task = world.call("SendMessage", json!({ "message": request })).await.result()["task"].clone();
    let asked = task["status"]["message"]["parts"][0]["text"].as_str().unwrap();
    let offered: Vec<&str> = asked.lines().skip(1).collect();
    assert_eq!(offered, ["1. alpha: First things", "2. beta"]);
}

/// Callers are told what is not there, and not where on the server's disk it is not.
#[tokio::test]
async fn callers_are_told_no_path_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::open(folder.path().join("registry")).unwrap());
    let world = World::over(Arc::new(gantry::journal::Memory::default()), layout, |_| {}).await;
    world.workflow("calls", "  - {id: one, skill: execute_workflow, inputs: {workflow_id: nope}}\n").await;
    let path = folder.path().to_str().unwrap();
    let refused = world.call("SendMessage", json!({ "message": execute("m-1", "nope", json!({})) })).await;
    assert_eq!(refused.code(), -32602);
    let failed = world.call("SendMessage", json!({ "message": execute("m-2", "calls", json!({})) })).await;
    assert_eq!(failed.result()["task"]["status"]["state"], "TASK_STATE_FAILED", "{:#}", failed.body);
    for answer in [refused, failed] {
        let text = answer.body.to_string();
        assert!(text.contains("no workflow `nope`: ") && text.contains("`calls`"), "{text}");
        assert!(!text.contains(path), "{text}");
    }
}

#[tokio::test]
async fn a_failed_step_fails_the_task_and_names_itself() {
    let world = World::new().await;
    let _good = world.agent(&["work"], echo).await;
    let _bad = world.agent(&["burn"], broken).await;
    world.workflow("fails", "  - id: one\n    skill: work\n  - id: two\n    skill: burn\n    retry: { max_attempts: 1 }\n").await;
    let task = world.call("SendMessage", json!({ "message": execute("m-1", "fails", json!({})) })).await.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_FAILED");
    let told = task["status"]["message"]["parts"][0]["text"].as_str().unwrap();
    assert!(told.contains("two") && told.contains("the machine is on fire"), "{told}");
    assert_eq!(task["artifacts"].as_array().unwrap().len(), 1, "what had finished is kept");
}

#[tokio::test]
async fn what_cannot_start_is_refused_with_the_field() {
    let world = World::new().await;
    let _agent = world.agent(&["work"], echo).await;
    let text = "metadata:\n  id: strict\n  name: strict\n  version: 1.0.0\ninput:\n  type: object\n  required: [n]\n  properties: { n: { type: integer } }\nsteps:\n  - id: one\n    skill: work\n";
    world.discovery.push_workflow("strict.yaml", text.into(), None, &[]).await.unwrap();
    for (workflow, input, field) in [
        ("nope", json!({}), "workflow_id"),
        ("No Name!", json!({}), "workflow_id"),
        ("strict", json!({}), "input"),
        ("strict", json!({ "n": "x" }), "input"),
    ] {
        let answer = world.call("SendMessage", json!({ "message": execute("m-1", workflow, input) })).await;
        assert_eq!(answer.code(), -32602, "{:#}", answer.body);
        assert_eq!(answer.body["error"]["data"][0]["fieldViolations"][0]["field"], field);
    }
    let task = world.call("SendMessage", json!({ "message": execute("m-1", "strict", json!({ "n": 1.0 })) })).await;
    assert_eq!(task.result()["task"]["status"]["state"], "TASK_STATE_COMPLETED", "a refused message may be sent again, corrected");
}

#[tokio::test]
async fn a_childs_question_is_ours_and_the_answer_goes_to_the_child() {
    let world = World::new().await;
    for (auth, state) in [(false, "TASK_STATE_INPUT_REQUIRED"), (true, "TASK_STATE_AUTH_REQUIRED")] {
        let skill = format!("paint{auth}").to_lowercase();
        let agent = asking_agent(&world, &skill, &skill, state).await;
        world.workflow(&skill, &format!("  - id: ask\n    skill: {skill}\n")).await;
        let sent = world.call("SendMessage", json!({ "message": execute(&format!("m-{auth}"), &skill, json!({})) })).await;
        let task = sent.result()["task"].clone();
        assert_eq!(task["status"]["state"], state, "{task:#}");
        assert_eq!(task["status"]["message"]["parts"][0]["text"], "which color?");
        let mut answer = message(&format!("a-{auth}"));
        answer["taskId"] = task["id"].clone();
        answer["parts"] = json!([{ "text": "red" }]);
        let done = world.call("SendMessage", json!({ "message": answer })).await.result()["task"].clone();
        assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done:#}");
        assert_eq!(done["artifacts"].as_array().unwrap().last().unwrap()["parts"][0]["data"]["color"], "red");
        let calls = agent.received_requests().await.unwrap();
        let answered = calls
            .iter()
            .map(|call| serde_json::from_slice::<Value>(&call.body).unwrap())
            .find(|call| call["params"]["message"]["taskId"] == "t-1");
        assert_eq!(answered.unwrap()["params"]["message"]["contextId"], "c-1");
    }
}

#[tokio::test]
async fn several_waiting_steps_are_addressed_by_id() {
    let world = World::new().await;
    let _agents = (
        asking_agent(&world, "a", "paint", "TASK_STATE_INPUT_REQUIRED").await,
        asking_agent(&world, "b", "glaze", "TASK_STATE_INPUT_REQUIRED").await,
    );
    world
        .workflow(
            "both",
            "  - id: group\n    step_type: parallel\n    branches:\n      steps:\n        - id: left\n          skill: paint\n        - id: right\n          skill: glaze\n",
        )
        .await;
    let task = world.call("SendMessage", json!({ "message": execute("m-1", "both", json!({})) })).await.result()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{task:#}");
    let waiting = task["status"]["message"]["parts"][1]["data"]["waiting"].as_array().unwrap().clone();
    assert_eq!(waiting.iter().map(|w| w["step"].as_str().unwrap()).collect::<Vec<_>>(), ["left", "right"]);
    let say = |id: &str, parts: Value, metadata: Value| json!({ "message": { "messageId": id, "role": "ROLE_USER", "taskId": task["id"], "parts": parts, "metadata": metadata } });
    let unnamed = world.call("SendMessage", say("x", json!([{ "text": "red" }]), json!({}))).await;
    assert_eq!(unnamed.code(), -32602, "{:#}", unnamed.body);
    let wrong = world.call("SendMessage", say("y", json!([{ "text": "red" }]), json!({ "step": "middle" }))).await;
    assert_eq!(wrong.code(), -32602);
    let first = world.call("SendMessage", say("l", json!([{ "text": "red" }]), json!({ "step": "left" }))).await.result()["task"].clone();
    assert_eq!(first["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "the other still waits: {first:#}");
    let answer = json!([{ "data": { "step": "right", "answer": { "text": "blue" } } }]);
    let second = world.call("SendMessage", say("r", answer, json!({}))).await.result()["task"].clone();
    assert_eq!(second["status"]["state"], "TASK_STATE_COMPLETED", "{second:#}");
    let colors: Vec<&Value> = second["artifacts"].as_array().unwrap()[..2].iter().map(|a| &a["parts"][0]["data"]["color"]).collect();
    assert_eq!(colors, ["red", "blue"]);
}

#[tokio::test]
async fn cancelling_a_task_cancels_its_run_and_the_agents_task() {
    let world = World::new().await;
    let agent = asking_agent(&world, "a", "paint", "TASK_STATE_WORKING").await;
    world.workflow("paint", "  - id: ask\n    skill: paint\n").await;
    let send = json!({ "message": execute("m-1", "paint", json!({})), "configuration": { "returnImmediately": true } });
    let task = world.call("SendMessage", send).await.result()["task"].clone();
    let asked =
        || async { agent.received_requests().await.unwrap().iter().any(|call| says(call, "GetTask") || says(call, "SubscribeToTask")) };
    while !asked().await {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let canceled = world.call("CancelTask", json!({ "id": task["id"] })).await.result().clone();
    assert_eq!(canceled["status"]["state"], "TASK_STATE_CANCELED");
    let told = async {
        loop {
            let calls = agent.received_requests().await.unwrap();
            if calls.iter().any(|call| says(call, "CancelTask")) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::world::PATIENCE, told).await.expect("the agent was not told");
}

#[tokio::test]
async fn depth_and_cycles_are_refused() {
    let world = World::new().await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("inner", "  - id: one\n    skill: work\n").await;
    let found = world.discovery.workflow("inner").await.unwrap();
    let digest = found.plan.digest().as_str();
    let other = format!("sha256:{}", "0".repeat(64));
    let ancestor = |digest: &str, workflow: &str| json!({ "digest": digest, "workflow": workflow });
    let deep: Vec<Value> = (0..16).map(|at| ancestor(&format!("sha256:{at:064}"), &format!("w{at}"))).collect();
    for (told, code, chain) in [
        (json!({ "depth": 1, "ancestry": [ancestor(&other, "outer")] }), 0, ""),
        (json!({ "depth": 2, "ancestry": [ancestor(digest, "inner"), ancestor(&other, "outer")] }), -32602, "inner"),
        (json!({ "depth": 16, "ancestry": deep }), -32602, "w0 → w1"),
        (json!({ "depth": 99 }), -32602, "16"),
    ] {
        let mut message = execute(&format!("m{}", told.to_string().len()), "inner", json!({}));
        message["metadata"][RUN] = told.clone();
        let answer = world.call("SendMessage", json!({ "message": message })).await;
        assert_eq!(answer.code(), code, "{told}: {:#}", answer.body);
        if code != 0 {
            assert!(answer.body["error"]["message"].as_str().unwrap().contains(chain), "{:#}", answer.body);
        }
    }
}

#[tokio::test]
async fn who_waits_when_gantry_stops_is_told_how_far_the_run_has_come() {
    let mut world = World::new().await;
    world.workflow("waits", "  - {id: first, step_type: set, value: {n: 1}}\n  - {id: rest, step_type: wait, for: 10m}\n").await;
    let (http, url) = (reqwest::Client::builder().no_proxy().build().unwrap(), world.url.clone());
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": { "message": execute("m", "waits", json!({})) } });
    let waiting = tokio::spawn(async move {
        let asked = http.post(url).header("A2A-Version", "1.0").json(&call).send().await.unwrap();
        asked.json::<Value>().await.unwrap()["result"]["task"].clone()
    });
    // Its first step ends as it begins. Nobody has looked at the task.
    while world.engine.list(&Filter::default()).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.shutdown().await;
    let task = waiting.await.unwrap();
    assert_eq!(task["status"]["state"], "TASK_STATE_WORKING", "{task:#}");
    assert_eq!(task["artifacts"][0]["name"], "first", "{task:#}");
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_run_to_its_caller() {
    let world = World::new().await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("inner", "  - id: one\n    skill: work\n").await;
    let mut ids = Vec::new();
    for at in 0..2 {
        let mut message = execute(&format!("m-{at}"), "inner", json!({}));
        message["parts"][0]["data"]["idempotency_key"] = json!("once");
        ids.push(world.call("SendMessage", json!({ "message": message })).await.result()["task"]["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    world.workflow("other", "  - id: two\n    skill: work\n").await;
    let mut other = execute("m-9", "other", json!({}));
    other["parts"][0]["data"]["idempotency_key"] = json!("once");
    let refused = world.call("SendMessage", json!({ "message": other })).await;
    assert_eq!(refused.code(), -32602, "another workflow under the same key");
    let told = refused.body["error"]["message"].as_str().unwrap();
    assert!(told.contains("key `once` was used before"), "the caller's own key alone: {told}");
    let step = |id: &str, n: u8| {
        format!("  - {{id: {id}, skill: execute_workflow, inputs: {{workflow_id: inner, input: {{n: {n}}}, idempotency_key: authors}}}}\n")
    };
    world.workflow("nested", &format!("{}{}", step("one", 1), step("two", 2))).await;
    let failed = world.call("SendMessage", json!({ "message": execute("m-10", "nested", json!({})) })).await;
    let told = failed.result()["task"]["status"]["message"]["parts"][0]["text"].as_str().unwrap();
    assert!(told.contains("step `two`") && told.contains("key `authors` was used before"), "the author's own key alone: {told}");
}

#[tokio::test]
async fn a_task_is_found_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let open = || Arc::new(Sqlite::open(folder.path()).unwrap()) as Arc<dyn Journal>;
    let mut before = World::over(open(), Arc::clone(&layout), |_| {}).await;
    let _agent = before.agent(&["work"], echo).await;
    before.workflow("two", TWO_STEPS).await;
    let mut sent = execute("m-1", "two", json!({ "n": 1 }));
    sent["contextId"] = json!("talk");
    let task = before.call("SendMessage", json!({ "message": sent })).await.result()["task"].clone();
    before
        .workflow("repeats", "  - {id: each, step_type: map, items: [5, 6], steps: [{id: item, step_type: set, value: \"{{ item }}\"}]}\n")
        .await;
    let sent = json!({ "message": execute("m-2", "repeats", json!({})) });
    let repeated = before.call("SendMessage", sent).await.result()["task"].clone();
    assert_eq!(repeated["artifacts"].as_array().unwrap().len(), 4, "{repeated:#}");
    before.shutdown().await;
    before.engine.shutdown(std::time::Duration::from_secs(1)).await;
    drop(before);
    let after = World::over(open(), layout, |_| {}).await;
    let found = after.call("GetTask", json!({ "id": repeated["id"] })).await.result().clone();
    assert_eq!(found["artifacts"], repeated["artifacts"], "steps inside repetitions, too");
    assert_eq!(after.call("ListTasks", json!({ "contextId": "talk" })).await.result()["totalSize"], 1);
    let reused = after.call("SendMessage", json!({ "message": execute("m-1", "two", json!({ "n": 2 })) })).await;
    let violation = &reused.body["error"]["data"][0]["fieldViolations"][0];
    assert_eq!((reused.code(), &violation["field"]), (-32602, &json!("message.messageId")), "{:#}", reused.body);
    assert!(violation["description"].as_str().unwrap().starts_with("message id `m-1` was used before"), "{violation}");
    let found = after.call("GetTask", json!({ "id": task["id"] })).await.result().clone();
    assert_eq!((&found["status"]["state"], &found["contextId"]), (&json!("TASK_STATE_COMPLETED"), &json!("talk")));
    assert_eq!(found["artifacts"], task["artifacts"]);
}

#[tokio::test]
async fn an_answer_may_come_before_its_step_asks() {
    let world = World::new().await;
    let slow = |request: &Request| echo(request).set_delay(Duration::from_millis(500));
    let _agent = world.agent(&["work"], slow).await;
    world.workflow("patient", "  - { id: one, skill: work }\n  - { id: ask, step_type: input, prompt: sure? }\n").await;
    let params = json!({ "message": execute("m-1", "patient", json!({})), "configuration": { "returnImmediately": true } });
    let sent = world.call("SendMessage", params).await;
    let id = sent.result()["task"]["id"].clone();
    let said = |step: &str, key: &str| {
        json!({ "message": {
            "messageId": key, "role": "ROLE_USER", "taskId": id, "parts": [{ "data": { "sure": true } }], "metadata": { "step": step },
        } })
    };
    assert_eq!(world.call("SendMessage", said("nobody", "m-2")).await.code(), -32004, "no such step is to come");
    let done = world.call("SendMessage", said("ask", "m-3")).await;
    let task = &done.result()["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{task}");
    assert_eq!(task["artifacts"].as_array().unwrap().last().unwrap()["parts"][0]["data"], json!({ "sure": true }));
}
