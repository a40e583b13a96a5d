//! Runs that call the process they run in: nothing of it goes over the network, and everything about it is as if it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gantry::a2a::Card;
use gantry::engine::{Engine, Filter};
use gantry::interpreter::RunStatus;
use gantry::journal::{Journal, Memory, Sqlite};
use gantry::registry::Layout;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::runs::execute;
use super::world::{PATIENCE, World, message};

/// A server whose card names an address at which somebody counts who comes.
struct Counted {
    world: World,
    came: Arc<AtomicUsize>,
}

impl Counted {
    async fn new() -> Self {
        Self::over(Arc::new(Memory::default()), Arc::new(Layout::ephemeral().unwrap())).await
    }

    async fn over(journal: Arc<dyn Journal>, layout: Arc<Layout>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let came = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&came);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        let world = World::over(journal, layout, |options| {
            options.card.publish = None;
            options.public_url = Some(url);
            options.limits.depth_runs_max = 4;
            options.router.rules.extend(rules());
        })
        .await;
        let card = world.http.get(format!("{}/.well-known/agent-card.json", world.url)).send().await.unwrap().bytes().await.unwrap();
        world.discovery.add_card(Card::parse(&card).unwrap());
        Self { world, came }
    }

    /// A workflow of one step, which calls a skill with the input.
    async fn calls(&self, id: &str, skill: &str) {
        let step = format!("  - {{id: call, skill: \"{skill}\", inputs: \"{{{{ workflow.input }}}}\", retry: {{max_attempts: 1}}}}\n");
        self.world.workflow(id, &step).await;
    }

    async fn execute(&self, id: &str, input: Value) -> Value {
        let message_id = uuid::Uuid::new_v4().to_string();
        let sent = self.world.call("SendMessage", json!({ "message": execute(&message_id, id, input) })).await;
        self.nobody_came();
        sent.result()["task"].clone()
    }

    async fn answer(&self, task: &Value, parts: Value) -> Value {
        let mut answer = message(&uuid::Uuid::new_v4().to_string());
        (answer["taskId"], answer["parts"]) = (task["id"].clone(), parts);
        let sent = self.world.call("SendMessage", json!({ "message": answer })).await;
        self.nobody_came();
        sent.result()["task"].clone()
    }

    #[track_caller]
    fn nobody_came(&self) {
        assert_eq!(self.came.load(Ordering::SeqCst), 0, "the process dialled itself");
    }

    /// The status of the only run of a workflow.
    async fn status_of(&self, workflow: &str) -> RunStatus {
        let runs = self.world.engine.list(&Filter { workflow: Some(workflow.to_owned()), ..Filter::default() }).await.unwrap();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].status
    }
}

/// Scripts by what is said.
fn rules() -> Vec<gantry::router::Rule> {
    let rules = json!([
        { "name": "recite", "when": { "text": "^recite" }, "respond": [
            { "artifact": { "id": "a", "parts": [{ "data": { "n": 42 } }] } }, { "status": "completed" }] },
        { "name": "say", "when": { "text": "^say" }, "respond": [{ "message": "just so" }] },
        { "name": "paint", "when": { "text": "^paint" }, "respond": [
            { "artifact": { "id": "canvas", "parts": [{ "data": { "size": 2 } }] } }, { "status": "input_required", "message": "which color?" }] },
        { "name": "login", "when": { "text": "^login" }, "respond": [{ "status": "auth_required", "message": "who are you?" }] },
        { "name": "red", "when": { "text": "^red$", "taskId": "." }, "respond": [
            { "artifact": { "id": "picture", "parts": [{ "data": { "color": "red" } }] } }, { "status": "completed" }] },
        { "name": "never", "when": { "text": "^never" }, "reject": "not today" },
        { "name": "break", "when": { "text": "^break" }, "respond": [{ "status": "failed", "message": "the brush broke" }] },
        { "name": "by depth", "when": { "text": "^how deep", "metadata.urn:gantry:a2a:run:v1.depth": "^1$" }, "respond": [{ "message": "one" }] },
        { "name": "slowly", "when": { "text": "^slowly" }, "respond": [{ "delay": "60s" }, { "status": "completed" }] },
    ]);
    serde_json::from_value(rules).unwrap()
}

fn status(task: &Value) -> String {
    let text = task["status"]["message"]["parts"][0]["text"].as_str().unwrap_or_default();
    format!("{}: {text}", task["status"]["state"].as_str().unwrap().trim_start_matches("TASK_STATE_"))
}

fn output(task: &Value) -> &Value {
    let artifact = task["artifacts"].as_array().unwrap().iter().find(|artifact| artifact["name"] == "output");
    &artifact.unwrap_or_else(|| panic!("no output: {task:#}"))["parts"][0]
}

const POEM: &str = "  - {id: verse, step_type: set, value: {said: \"{{ workflow.input.request }}\", mood: \"{{ workflow.input.mood | default('none') }}\"}}\n";

#[tokio::test]
async fn what_runs_a_workflow_runs_below_the_caller() {
    let counted = Counted::new().await;
    counted.world.workflow("poem", POEM).await;
    for (id, skill, input) in [
        ("by-name", "execute_workflow", json!({ "workflow_id": "poem", "input": { "request": "a poem", "mood": "gay" } })),
        ("by-skill", "workflow:poem", json!({ "request": "a poem", "mood": "gay" })),
        ("by-words", "route_request", json!({ "request": "a poem", "context": { "mood": "gay" } })),
    ] {
        counted.calls(id, skill).await;
        let task = counted.execute(id, input).await;
        assert_eq!(status(&task), "COMPLETED: ", "{id}: {task:#}");
        assert_eq!(output(&task)["data"], json!({ "said": "a poem", "mood": "gay" }), "{id}");
    }
    let runs = counted.world.engine.list(&Filter { workflow: Some("poem".to_owned()), ..Filter::default() }).await.unwrap();
    assert_eq!(runs.len(), 3, "each is a run of its own");
    assert!(runs.iter().all(|run| run.labels.contains_key("parent")), "that knows its parent: {runs:?}");
}

#[tokio::test]
async fn what_nests_in_circles_or_too_deep_is_refused() {
    let counted = Counted::new().await;
    counted.calls("circle", "route_request").await;
    let task = counted.execute("circle", json!({ "request": "circle" })).await;
    assert!(status(&task).starts_with("FAILED: ") && status(&task).contains("circle → circle"), "{task:#}");
    for (at, next) in ["one", "two", "three", "four"].iter().zip(["two", "three", "four", "poem"]) {
        let step = format!("  - {{id: call, skill: route_request, inputs: {{request: {next}}}, retry: {{max_attempts: 1}}}}\n");
        counted.world.workflow(at, &step).await;
    }
    counted.world.workflow("poem", POEM).await;
    let task = counted.execute("two", json!({})).await;
    assert_eq!(status(&task), "COMPLETED: ", "two → three → four → poem: {task:#}");
    let task = counted.execute("one", json!({})).await;
    let told = status(&task);
    assert!(told.starts_with("FAILED: ") && told.contains("deeper than 4: one → two → three → four → poem"), "{told}");
}

#[tokio::test]
async fn scripts_answer_a_step_as_they_answer_others() {
    let counted = Counted::new().await;
    counted.calls("asks", "route_request").await;
    for (request, expected) in
        [("recite", json!({ "data": { "n": 42 } })), ("say", json!({ "text": "just so" })), ("how deep is this", json!({ "text": "one" }))]
    {
        let task = counted.execute("asks", json!({ "request": request })).await;
        assert_eq!(output(&task), &expected, "{request}: {task:#}");
    }
    for (request, told, class) in [("never", "not today", "(rejected)"), ("break", "the brush broke", "(agent_error)")] {
        let task = counted.execute("asks", json!({ "request": request })).await;
        assert!(status(&task).starts_with("FAILED: step `call`") && status(&task).contains(told), "{task:#}");
        assert!(status(&task).contains(class), "{task:#}");
    }
    let asked = counted.execute("asks", json!({ "request": "paint" })).await;
    assert_eq!(status(&asked), "INPUT_REQUIRED: which color?");
    let done = counted.answer(&asked, json!([{ "text": "red" }])).await;
    assert_eq!(output(&done)["data"], json!({ "canvas": { "size": 2 }, "picture": { "color": "red" } }), "{done:#}");
    let asked = counted.execute("asks", json!({ "request": "login" })).await;
    assert_eq!(status(&asked), "AUTH_REQUIRED: who are you?");
    let failed = counted.answer(&asked, json!([{ "text": "say who are you" }])).await;
    assert_eq!(status(&failed), "COMPLETED: ", "a rule goes on with it: {failed:#}");
    let asked = counted.execute("asks", json!({ "request": "login" })).await;
    let failed = counted.answer(&asked, json!([{ "text": "fly me to the moon" }])).await;
    assert!(status(&failed).contains("no rule goes on"), "{failed:#}");
}

#[tokio::test]
async fn the_routers_question_is_the_steps_and_its_answer_the_routers() {
    let counted = Counted::new().await;
    counted.calls("asks", "route_request").await;
    counted.world.workflow("poem", POEM).await;
    counted.world.workflow("song", POEM).await;
    for choice in
        [json!([{ "text": "1" }]), json!([{ "text": "poem" }]), json!([{ "data": { "workflow_id": "poem" } }]), json!([{ "data": 1 }])]
    {
        let asked = counted.execute("asks", json!({ "request": "fly to the moon", "context": { "mood": "gay" } })).await;
        assert!(status(&asked).starts_with("INPUT_REQUIRED: Which of these do you mean?"), "{asked:#}");
        let offered = asked["status"]["message"]["parts"][1]["data"]["candidates"].as_array().unwrap();
        let place = offered.iter().position(|candidate| candidate["workflow_id"] == "poem").unwrap() + 1;
        let choice: Value = serde_json::from_str(&choice.to_string().replace('1', &place.to_string())).unwrap();
        let done = counted.answer(&asked, choice.clone()).await;
        assert_eq!((status(&done), &done["id"]), ("COMPLETED: ".to_owned(), &asked["id"]), "{choice}: {done:#}");
        assert_eq!(output(&done)["data"], json!({ "said": "fly to the moon", "mood": "gay" }), "{choice}");
    }
    let asked = counted.execute("asks", json!({ "request": "fly" })).await;
    let done = counted.answer(&asked, json!([{ "text": "a song please" }])).await;
    assert_eq!(output(&done)["data"]["said"], "fly\na song please", "more words are more of the request: {done:#}");
    let asked = counted.execute("asks", json!({ "request": "fly" })).await;
    let again = counted.answer(&asked, json!([{ "text": "with wings" }])).await;
    assert!(status(&again).starts_with("INPUT_REQUIRED: Which of these"), "{again:#}");
    let done = counted.answer(&asked, json!([{ "text": "song" }])).await;
    assert_eq!(output(&done)["data"]["said"], "fly\nwith wings", "{done:#}");
}

#[tokio::test]
async fn canceling_the_caller_cancels_what_it_called() {
    let counted = Counted::new().await;
    counted.calls("asks", "route_request").await;
    counted.world.workflow("sleep", "  - {id: sleep, step_type: wait, for: 10m}\n").await;
    for request in ["sleep", "slowly"] {
        let params =
            json!({ "message": execute(request, "asks", json!({ "request": request })), "configuration": { "returnImmediately": true } });
        let task = counted.world.call("SendMessage", params).await.result()["task"].clone();
        if request == "sleep" {
            let started = async {
                while counted
                    .world
                    .engine
                    .list(&Filter { workflow: Some("sleep".to_owned()), ..Filter::default() })
                    .await
                    .unwrap()
                    .is_empty()
                {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, started).await.expect("the run below never starts");
        }
        let canceled = counted.world.call("CancelTask", json!({ "id": task["id"] })).await.result().clone();
        assert!(status(&canceled).starts_with("CANCELED"), "{canceled:#}");
    }
    assert_eq!(counted.status_of("sleep").await, RunStatus::Canceled);
    counted.nobody_came();
}

#[tokio::test]
async fn a_question_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let open = || Arc::new(Sqlite::open(folder.path()).unwrap()) as Arc<dyn Journal>;
    let mut before = Counted::over(open(), Arc::clone(&layout)).await;
    before.calls("asks", "route_request").await;
    before.world.workflow("poem", POEM).await;
    before.world.workflow("song", POEM).await;
    let asked = before.execute("asks", json!({ "request": "fly to the moon" })).await;
    assert!(status(&asked).starts_with("INPUT_REQUIRED"), "{asked:#}");
    before.world.shutdown().await;
    before.world.engine.shutdown(std::time::Duration::from_secs(1)).await;
    drop(before);
    let after = Counted::over(open(), layout).await;
    let done = after.answer(&asked, json!([{ "text": "song" }])).await;
    assert_eq!(status(&done), "COMPLETED: ", "{done:#}");
    assert_eq!(output(&done)["data"]["said"], "fly to the moon");
    assert_eq!(after.status_of("song").await, RunStatus::Completed);
}
