//! Tasks whose runs wait for people or timers alone: they leave memory with their runs, whoever asks for one finds it as it was, and it
//! goes on as if it had never left.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use gantry::a2a::Card;
use gantry::engine::embedded::Counts;
use gantry::journal::{Journal, Sqlite};
use gantry::registry::Layout;
use gantry::server::{Options, Token};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::runs::execute;
use super::world::{Events, PATIENCE, World, echo, short};

const ASKS_TWICE: &str = "  - {id: color, step_type: input, prompt: \"Which color?\"}
  - {id: size, step_type: input, prompt: \"Which size?\", schema: {type: number}}
";
const ASKS: &str = "  - {id: ask, step_type: input, prompt: \"Go on?\"}\n";

fn journal(folder: &tempfile::TempDir) -> Arc<dyn Journal> {
    Arc::new(Sqlite::open(folder.path()).unwrap())
}

async fn world(folder: &tempfile::TempDir) -> World {
    World::leaving(journal(folder), Arc::new(Layout::ephemeral().unwrap()), |_| {}).await
}

async fn get(world: &World, id: &Value) -> Value {
    world.call("GetTask", json!({ "id": id })).await.result().clone()
}

fn told(id: &str, task: &Value, part: Value) -> Value {
    json!({ "messageId": id, "role": "ROLE_USER", "taskId": task, "parts": [part] })
}

/// The task after a message, which is waited for.
async fn send(world: &World, message: Value) -> Value {
    world.call("SendMessage", json!({ "message": message })).await.result()["task"].clone()
}

fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap().trim_start_matches("TASK_STATE_")
}

#[tokio::test]
async fn a_task_that_waits_leaves_memory_and_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let mut world = World::leaving(journal(&folder), Arc::clone(&layout), |_| {}).await;
    world.workflow("twice", ASKS_TWICE).await;
    let asked = send(&world, execute("m-1", "twice", json!({}))).await;
    let id = asked["id"].clone();
    assert_eq!((state(&asked), asked["history"].as_array().unwrap().len()), ("INPUT_REQUIRED", 2), "{asked:#}");
    assert_eq!(asked["status"]["message"], asked["history"][1]);
    world.has_left().await;
    assert_eq!(get(&world, &id).await, asked);
    let counts = world.engine.counts();
    assert_eq!((counts.awake, counts.resting), (0, 1), "to look at it wakes nothing");

    world.has_left().await;
    let again = send(&world, told("m-2", &id, json!({ "text": "red" }))).await;
    assert_eq!((state(&again), again["history"].as_array().unwrap().len()), ("INPUT_REQUIRED", 4), "{again:#}");
    let waiting = |task: &Value| task["status"]["message"]["metadata"]["urn:gantry:a2a:run:v1"]["waiting"].clone();
    assert_eq!(waiting(&asked), json!([{ "step": "color", "path": "/0:color", "auth": false }]));
    assert_eq!(waiting(&again), json!([{ "step": "size", "path": "/1:size", "auth": false, "schema": { "type": "number" } }]));
    world.has_left().await;
    assert_eq!(get(&world, &id).await, again, "with what was said since it began");
    world.has_left().await;
    // What is refused has not been said.
    let refused = world.call("SendMessage", json!({ "message": told("m-3", &id, json!({ "data": "large" })) })).await;
    assert_eq!(refused.code(), -32602, "{:#}", refused.body);
    let history = |task: &Value| task["history"].clone();
    assert_eq!(history(&get(&world, &id).await), history(&again));
    world.has_left().await;
    assert_eq!(get(&world, &id).await, again);

    world.shutdown().await;
    world.engine.shutdown(Duration::from_secs(1)).await;
    drop(world);
    let world = World::leaving(journal(&folder), layout, |_| {}).await;
    assert_eq!(get(&world, &id).await, again, "another process finds the same");
    world.has_left().await;
    let done = send(&world, told("m-4", &id, json!({ "data": 2 }))).await;
    assert_eq!((state(&done), done["history"].as_array().unwrap().len()), ("COMPLETED", 5), "{done:#}");
    world.has_left().await;
    assert_eq!(get(&world, &id).await, done);
}

#[tokio::test]
async fn a_text_is_what_the_question_wants() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder).await;
    for (at, (schema, text, answer)) in [
        (r#"{type: string, minLength: 3}"#, "hey", json!("hey")),
        (r#"{enum: [red, 7]}"#, "red", json!("red")),
        (r#"{enum: [red, 7]}"#, "7", json!(7)),
        (r#"{type: boolean}"#, "true", json!(true)),
        (r##"{$ref: "#/$defs/n", $defs: {n: {type: object, required: [n]}}}"##, "{\"n\": 1}", json!({ "n": 1 })),
        (r#"{type: object}"#, "hey", json!({ "text": "hey" })),
        (r#"{}"#, "7", json!({ "text": "7" })),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("asks-{at}");
        world.workflow(&id, &format!("  - {{id: ask, step_type: input, prompt: \"?\", schema: {schema}}}\n")).await;
        let asked = send(&world, execute(&format!("m-{at}"), &id, json!({}))).await;
        let done = send(&world, told(&format!("a-{at}"), &asked["id"], json!({ "text": text }))).await;
        assert_eq!(state(&done), "COMPLETED", "{schema} {text}: {done:#}");
        let part = &done["artifacts"][0]["parts"][0];
        let said = part.get("data").cloned().unwrap_or_else(|| part["text"].clone());
        // A text alone says `{"text": …}` as well.
        let bare = answer.get("text").filter(|_| part.get("text").is_some()).cloned().unwrap_or(answer);
        assert_eq!(said, bare, "{schema} {text}");
    }
    // Nothing it could be.
    let asked = send(&world, execute("m-no", "asks-3", json!({}))).await;
    let refused = world.call("SendMessage", json!({ "message": told("a-no", &asked["id"], json!({ "text": "yes" })) })).await;
    assert_eq!(refused.code(), -32602, "{:#}", refused.body);
}

#[tokio::test]
async fn an_answer_names_the_one_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder).await;
    let each = "{id: q, step_type: input, prompt: \"{{ item }}?\", schema: {type: boolean}}";
    world.workflow("each", &format!("  - {{id: m, step_type: map, items: [a, b, c], steps: [{each}]}}\n")).await;
    let asked = send(&world, execute("m-1", "each", json!({}))).await;
    let id = &asked["id"];
    let path = |item: usize| format!("/0:m[{item}]/0:q");
    let said = asked["status"]["message"]["parts"][0]["text"].as_str().unwrap();
    assert!(said.contains(&format!("{}, {}, {}", path(0), path(1), path(2))), "{said}");
    let refused =
        world.call("SendMessage", json!({ "message": told("m-2", id, json!({ "data": { "step": "q", "answer": true } })) })).await;
    assert_eq!(refused.code(), -32602, "{:#}", refused.body);
    assert!(refused.body.to_string().contains(&path(2)), "{:#}", refused.body);
    let run = gantry::ids::RunId::parse(id.as_str().unwrap()).unwrap();
    let from_outside = gantry::engine::Engine::answer(&world.engine, &run, Some("q"), Arc::new(json!(true))).await.unwrap_err().to_string();
    assert!(from_outside.contains("several steps `q`") && from_outside.contains(&path(1)), "{from_outside}");
    for (at, answer) in [(1, true), (0, false)] {
        send(&world, told(&format!("m-{at}-is"), id, json!({ "data": { "step": path(at), "answer": answer } }))).await;
    }
    // Only one is left.
    let done = send(&world, told("m-4", id, json!({ "data": { "step": "q", "answer": false } }))).await;
    assert_eq!(done["artifacts"].as_array().unwrap().last().unwrap()["parts"][0]["data"], json!([false, true, false]), "{done:#}");

    // Of two questions at once only the one that is named has the answer; what is for a later step waits for it.
    let second = "  - {id: b, step_type: input, prompt: \"?\", schema: {type: string}}\n";
    world.workflow("later", &format!("  - {{id: a, step_type: input, prompt: \"?\", schema: {{type: object}}}}\n{second}")).await;
    let asked = send(&world, execute("m-5", "later", json!({}))).await;
    let early = send(&world, told("m-6", &asked["id"], json!({ "data": { "step": "b", "answer": "red" } }))).await;
    assert_eq!(state(&early), "INPUT_REQUIRED", "{early:#}");
    let mut text = told("m-7", &asked["id"], json!({ "text": "blue" }));
    text["metadata"] = json!({ "step": "b" });
    assert_eq!(state(&send(&world, text).await), "INPUT_REQUIRED");
    let done = send(&world, told("m-8", &asked["id"], json!({ "data": { "sure": true } }))).await;
    assert_eq!((state(&done), &done["artifacts"][0]["parts"][0]["data"]), ("COMPLETED", &json!({ "sure": true })));
    assert_eq!(done["artifacts"][1]["parts"][0]["text"], "blue", "of several early answers the last one counts: {done:#}");
}

#[tokio::test]
async fn what_was_said_before_a_run_is_kept_with_it_up_to_four_kilobytes() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder).await;
    world.workflow("asks", ASKS).await;
    for (bytes, messages) in [(3_000, 2), (5_000, 1)] {
        let asked = send(&world, execute(&format!("m-{bytes}"), "asks", json!({ "text": "x".repeat(bytes) }))).await;
        assert_eq!(asked["history"].as_array().unwrap().len(), 2);
        world.has_left().await;
        assert_eq!(get(&world, &asked["id"]).await["history"].as_array().unwrap().len(), messages, "{bytes}");
    }
}

#[tokio::test]
async fn schemas_that_are_large_are_not_said_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder).await;
    let first = format!("{{type: object, description: \"{}\"}}", "x".repeat(5_000));
    let step = |id: &str, schema: &str| format!("  - {{id: {id}, step_type: input, prompt: \"{id}?\", schema: {schema}}}\n");
    world.workflow("large", &(step("a", &first) + &step("b", "{type: boolean}"))).await;
    let asked = send(&world, execute("m-1", "large", json!({}))).await;
    assert!(asked.to_string().len() < 4_000, "{asked:#}");
    let again = send(&world, told("m-2", &asked["id"], json!({ "data": {} }))).await;
    assert_eq!(again["history"].as_array().unwrap().len(), 4);
    world.has_left().await;
    assert_eq!(get(&world, &asked["id"]).await, again, "nothing of the history is lost");
}

#[tokio::test]
async fn a_task_that_waits_for_access_is_so_when_it_is_read_and_when_it_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let rule =
        json!({ "name": "door", "when": { "text": "^let me in" }, "respond": [{ "status": "auth_required", "message": "who are you?" }] });
    let world = World::leaving(journal(&folder), Arc::new(Layout::ephemeral().unwrap()), |options| {
        options.router.rules.push(serde_json::from_value(rule).unwrap());
    })
    .await;
    let card = world.http.get(format!("{}/.well-known/agent-card.json", world.url)).send().await.unwrap().bytes().await.unwrap();
    world.discovery.add_card(Card::parse(&card).unwrap());
    world.workflow("enters", "  - {id: door, skill: route_request, inputs: {request: \"let me in\"}}\n").await;
    world.workflow("asks", ASKS).await;
    let asks = send(&world, execute("m-1", "asks", json!({}))).await;
    let enters = send(&world, execute("m-2", "enters", json!({}))).await;
    assert_eq!((state(&asks), state(&enters)), ("INPUT_REQUIRED", "AUTH_REQUIRED"));
    world.has_left().await;
    let listed = world.call("ListTasks", json!({})).await.result().clone();
    let states: Vec<_> = listed["tasks"].as_array().unwrap().iter().map(state).collect();
    assert_eq!(states, ["AUTH_REQUIRED", "INPUT_REQUIRED"]);
    for (wanted, task) in [("AUTH_REQUIRED", &enters), ("INPUT_REQUIRED", &asks)] {
        let listed = world.call("ListTasks", json!({ "status": format!("TASK_STATE_{wanted}") })).await.result().clone();
        assert_eq!((listed["totalSize"].as_u64(), &listed["tasks"][0]["id"]), (Some(1), &task["id"]), "{wanted}");
        assert_eq!(listed["tasks"][0]["status"]["timestamp"], task["status"]["timestamp"]);
    }
    assert_eq!(world.in_memory().await, (0, 0), "a list brings nothing back");
    assert_eq!(get(&world, &enters["id"]).await, enters);
}

const V1: (&str, &str) = ("A2A-Version", "1.0");
const ANN: &[(&str, &str)] = &[V1, ("Authorization", "Bearer ann-secret")];
const BOB: &[(&str, &str)] = &[V1, ("Authorization", "Bearer bob-secret")];

fn two_callers(options: &mut Options) {
    let token = |caller: &str| Token { caller: caller.to_owned(), token: Some(format!("{caller}-secret")), sha256: None };
    options.auth.tokens = vec![token("ann"), token("bob")];
}

#[tokio::test]
async fn each_method_finds_a_task_that_has_left_and_only_its_owner_does() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::leaving(journal(&folder), Arc::new(Layout::ephemeral().unwrap()), two_callers).await;
    world.workflow("twice", ASKS_TWICE).await;
    world.workflow("waits", "  - {id: w, step_type: wait, for: 300d}\n").await;
    let sent = world.call_as(ANN, "SendMessage", json!({ "message": execute("m-1", "twice", json!({})) })).await;
    let id = sent.result()["task"]["id"].as_str().unwrap().to_owned();
    let hook = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&hook).await;
    let config = json!({ "taskId": id, "id": "c", "url": hook.uri() });
    let named = json!({ "taskId": id, "id": "c" });
    let answer = |id: &str, task: &str, part: Value| json!({ "message": told(id, &json!(task), part) });
    let nobodys = uuid::Uuid::new_v4().to_string();
    for (method, params) in [
        ("GetTask", json!({ "id": id })),
        ("CancelTask", json!({ "id": id })),
        ("SubscribeToTask", json!({ "id": id })),
        ("SendMessage", answer("b-1", &id, json!({ "text": "mine" }))),
        ("SendStreamingMessage", answer("b-2", &id, json!({ "text": "mine" }))),
        ("CreateTaskPushNotificationConfig", config.clone()),
        ("GetTaskPushNotificationConfig", named.clone()),
        ("ListTaskPushNotificationConfigs", json!({ "taskId": id })),
        ("DeleteTaskPushNotificationConfig", named.clone()),
    ] {
        world.has_left().await;
        let theirs = world.call_as(BOB, method, params.clone()).await.body.to_string();
        let other = world.call_as(BOB, method, serde_json::from_str(&params.to_string().replace(&id, &nobodys)).unwrap()).await;
        assert_eq!((other.code(), theirs.replace(&id, &nobodys)), (-32001, other.body.to_string()), "{method}");
    }
    assert_eq!(world.call_as(BOB, "ListTasks", json!({})).await.result()["totalSize"], 0);

    let ask = async |method: &str, params: Value| {
        world.has_left().await;
        world.call_as(ANN, method, params).await.result().clone()
    };
    assert_eq!(ask("GetTask", json!({ "id": id })).await, sent.result()["task"]);
    let listed = ask("ListTasks", json!({ "status": "TASK_STATE_INPUT_REQUIRED" })).await;
    assert_eq!((listed["totalSize"].as_u64(), &listed["tasks"][0]["id"]), (Some(1), &json!(id)));
    assert_eq!(ask("ListTaskPushNotificationConfigs", json!({ "taskId": id })).await["configs"], json!([]));
    assert_eq!(ask("CreateTaskPushNotificationConfig", config.clone()).await, config);
    // With a webhook it stays.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.in_memory().await.0, 1);
    assert_eq!(world.call_as(ANN, "GetTaskPushNotificationConfig", named.clone()).await.result(), &config);
    let red = world.call_as(ANN, "SendMessage", answer("a-1", &id, json!({ "text": "red" }))).await;
    assert_eq!(state(&red.result()["task"]), "INPUT_REQUIRED");
    let heard = async {
        while hook.received_requests().await.unwrap().len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("its webhook is called");
    let about = |request: &wiremock::Request| short(&json!({ "result": serde_json::from_slice::<Value>(&request.body).unwrap() }));
    let heard: Vec<_> = hook.received_requests().await.unwrap().iter().map(about).collect();
    assert_eq!(heard, ["status:WORKING", "artifact:step:/0:color", "status:INPUT_REQUIRED"]);
    assert_eq!(world.call_as(ANN, "DeleteTaskPushNotificationConfig", named).await.code(), 0);

    // Who subscribes to a task that has left sees all that follows.
    world.has_left().await;
    let mut watcher = world.stream_as(ANN, "SubscribeToTask", json!({ "id": id })).await;
    assert_eq!(short(&watcher.next().await.unwrap()), "task:INPUT_REQUIRED");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.in_memory().await, (1, 1), "who watches a task keeps it");
    drop(watcher);
    world.has_left().await;
    let events = world.stream_as(ANN, "SendStreamingMessage", answer("a-2", &id, json!({ "data": 2 }))).await.rest().await;
    assert_eq!(shorts(&events), ["task:WORKING", "artifact:step:/1:size", "artifact:output", "status:COMPLETED"]);

    // One that waits for a timer leaves, too, and is canceled from where it is.
    let params = json!({ "message": execute("m-2", "waits", json!({})), "configuration": { "returnImmediately": true } });
    let waits = ask("SendMessage", params).await["task"]["id"].clone();
    assert_eq!(state(&ask("GetTask", json!({ "id": waits })).await), "WORKING");
    assert_eq!(state(&ask("CancelTask", json!({ "id": waits })).await), "CANCELED");
    world.has_left().await;
    assert_eq!(world.engine.counts(), Counts { awake: 0, resting: 0 });
}

fn shorts(events: &[Value]) -> Vec<String> {
    events.iter().map(short).collect()
}

/// The snapshot, and what follows it.
async fn seen(mut events: Events, answered: impl Future<Output = Value>) -> Vec<String> {
    let mut seen = vec![short(&events.next().await.unwrap())];
    answered.await;
    seen.extend(shorts(&events.rest().await));
    seen
}

#[tokio::test]
async fn who_watches_sees_the_same_whether_the_task_has_left_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder).await;
    let _agent = world.agent(&["work"], echo).await;
    world.workflow("asks", &format!("  - {{id: before, skill: work}}\n{ASKS}  - {{id: after, skill: work}}\n")).await;
    let mut told_apart = Vec::new();
    for has_left in [false, true] {
        let id = send(&world, execute(&format!("m-{has_left}"), "asks", json!({}))).await["id"].clone();
        let held = if has_left {
            world.has_left().await;
            None
        } else {
            Some(world.stream("SubscribeToTask", json!({ "id": id })).await)
        };
        let watcher = world.stream("SubscribeToTask", json!({ "id": id })).await;
        told_apart.push(seen(watcher, send(&world, told(&format!("a-{has_left}"), &id, json!({ "text": "yes" })))).await);
        drop(held);
    }
    assert_eq!(told_apart[0], told_apart[1]);
    let expected = [
        "task:INPUT_REQUIRED",
        "status:WORKING",
        "artifact:step:/1:ask",
        "status:WORKING",
        "artifact:step:/2:after",
        "artifact:output",
        "status:COMPLETED",
    ];
    assert_eq!(told_apart[0], expected);
}

/// Begins a run that asks, and does not wait. Its task's id.
async fn begin(world: &World, n: usize) -> Value {
    let params = json!({ "message": execute(&format!("m-{n}"), "asks", json!({})), "configuration": { "returnImmediately": true } });
    world.call("SendMessage", params).await.result()["task"]["id"].clone()
}

/// Answers all of them, and waits.
async fn answer_all(world: &World, ids: &[Value]) {
    let answers = stream::iter(ids).map(|id| send(world, told(&format!("a-{id}"), id, json!({ "text": "yes" }))));
    let done: Vec<_> = answers.buffer_unordered(16).collect().await;
    assert!(done.iter().all(|task| state(task) == "COMPLETED"), "{:#}", done[0]);
    assert_eq!(done[0]["history"].as_array().unwrap().len(), 3, "{:#}", done[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_tasks_that_wait_are_a_line_in_an_index_each() {
    const TASKS: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::ephemeral().unwrap());
    // Fewer than there are: those that wait do not count for it.
    let mut world = World::leaving(journal(&folder), Arc::clone(&layout), |options| options.limits.tasks_max = 100).await;
    world.workflow("asks", ASKS).await;
    let ids: Vec<_> = stream::iter(0..TASKS).map(|n| begin(&world, n)).buffered(16).collect().await;
    world.has_left().await;
    assert_eq!(world.engine.counts(), Counts { awake: 0, resting: TASKS });
    let listed = world.call("ListTasks", json!({ "status": "TASK_STATE_INPUT_REQUIRED", "pageSize": 100 })).await.result().clone();
    assert_eq!((listed["totalSize"].as_u64(), listed["tasks"].as_array().unwrap().len()), (Some(TASKS as u64), 100));
    assert_eq!(world.in_memory().await, (0, 0));

    // Some are answered here, the others by another process.
    let half = TASKS / 2;
    answer_all(&world, &ids[..half]).await;
    world.has_left().await;
    assert_eq!(world.engine.counts(), Counts { awake: 0, resting: TASKS - half });
    world.shutdown().await;
    world.engine.shutdown(Duration::from_secs(1)).await;
    drop(world);
    let world = World::leaving(journal(&folder), layout, |_| {}).await;
    answer_all(&world, &ids[half..]).await;
    world.has_left().await;
    assert_eq!(world.engine.counts(), Counts { awake: 0, resting: 0 });
    let listed = world.call("ListTasks", json!({ "status": "TASK_STATE_COMPLETED", "pageSize": 1 })).await.result().clone();
    assert_eq!(listed["totalSize"], TASKS);
}
