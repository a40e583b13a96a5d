//! An agent that makes tasks: A2A 1.0 over real HTTP. It remembers what it was told, so that a message that comes again finds its task,
//! and what it answers depends on the message alone. Used by the tests that end the process at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// `slowly` answers at the third look, `asks` before it goes on, `large` with more than an event holds itself.
pub(crate) const SKILLS: [&str; 4] = ["slowly", "asks", "large", ENDLESS];
/// A task that ends when it is canceled. Its call may be given up before it arrives.
pub(crate) const ENDLESS: &str = "endless";
/// Looks at a task of `slowly` before it is done.
const LOOKS: u32 = 2;
/// Over what an event holds itself.
const LARGE_BYTES: usize = 270_000;

/// One message, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) skill: String,
    /// `run/path#attempt`.
    pub(crate) id: String,
    pub(crate) inputs: Value,
}

#[derive(Debug)]
enum Progress {
    /// Done after so many looks, for ever under way without a number.
    Working(Option<u32>),
    Asking,
    Done(Value),
    Canceled,
}

#[derive(Debug)]
struct Task {
    of: String,
    progress: Progress,
}

/// What it remembers. A task's id is the id of the message that made it.
#[derive(Debug, Default)]
struct Memory {
    messages: Vec<Message>,
    tasks: BTreeMap<String, Task>,
    /// The task of each message.
    by_message: BTreeMap<String, String>,
}

/// Ends with the test.
pub(crate) struct TaskAgent {
    url: String,
    memory: Arc<Mutex<Memory>>,
    server: JoinHandle<()>,
}

impl Drop for TaskAgent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl TaskAgent {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let memory: Arc<Mutex<Memory>> = Arc::default();
        let app = Router::new().route("/", post(answer)).with_state(Arc::clone(&memory));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, memory, server }
    }

    pub(crate) fn card(&self) -> Value {
        let skill = |id: &&str| json!({"id": id, "name": id, "description": format!("does {id}"), "tags": []});
        let skills: Vec<_> = SKILLS.iter().map(skill).collect();
        json!({"name": "clerk", "description": "makes tasks", "version": "1.0.0", "skills": skills, "capabilities": {},
            "supportedInterfaces": [{"url": self.url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
            "defaultInputModes": ["application/json"], "defaultOutputModes": ["application/json"]})
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.memory.lock().unwrap().messages.clone()
    }

    /// The tasks that have not ended.
    pub(crate) fn open(&self) -> BTreeSet<String> {
        let memory = self.memory.lock().unwrap();
        let open = memory.tasks.iter().filter(|(_, task)| matches!(task.progress, Progress::Working(_) | Progress::Asking));
        open.map(|(id, _)| id.clone()).collect()
    }
}

async fn answer(State(memory): State<Arc<Mutex<Memory>>>, body: String) -> Json<Value> {
    let envelope: Value = serde_json::from_str(&body).unwrap();
    let (params, mut memory) = (&envelope["params"], memory.lock().unwrap());
    let result = match envelope["method"].as_str().unwrap() {
        "SendMessage" => memory.take(&params["message"]).map(|task| json!({ "task": task })),
        "GetTask" => memory.look(params["id"].as_str().unwrap()),
        "CancelTask" => memory.cancel(params["id"].as_str().unwrap()),
        _ => Err(-32601),
    };
    Json(match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": envelope["id"], "result": result}),
        Err(code) => json!({"jsonrpc": "2.0", "id": envelope["id"], "error": {"code": code, "message": "no"}}),
    })
}

const NO_SUCH_TASK: i64 = -32001;
const NOT_CANCELABLE: i64 = -32002;

impl Memory {
    fn take(&mut self, message: &Value) -> Result<Value, i64> {
        let (id, skill) = (message["messageId"].as_str().unwrap().to_owned(), message["metadata"]["skill"].as_str().unwrap().to_owned());
        let inputs = message["parts"][0]["data"].clone();
        self.messages.push(Message { skill: skill.clone(), id: id.clone(), inputs: inputs.clone() });
        if let Some(task) = self.by_message.get(&id) {
            return Ok(self.show(task));
        }
        let task = match message["taskId"].as_str() {
            Some(task) => {
                let Task { of, progress } = self.tasks.get_mut(task).ok_or(NO_SUCH_TASK)?;
                *progress = Progress::Done(json!({ "did": format!("asks of {of}, told {}", text(&inputs["said"])) }));
                task.to_owned()
            }
            None => {
                let of = text(&inputs["of"]);
                let progress = match skill.as_str() {
                    "slowly" => Progress::Working(Some(LOOKS)),
                    "asks" => Progress::Asking,
                    "large" => Progress::Done(json!({ "did": format!("large of {of}: {}", "x".repeat(LARGE_BYTES)) })),
                    ENDLESS => Progress::Working(None),
                    _ => return Err(-32602),
                };
                self.tasks.insert(id.clone(), Task { of, progress });
                id.clone()
            }
        };
        self.by_message.insert(id, task.clone());
        Ok(self.show(&task))
    }

    fn look(&mut self, id: &str) -> Result<Value, i64> {
        let Task { of, progress } = self.tasks.get_mut(id).ok_or(NO_SUCH_TASK)?;
        match progress {
            Progress::Working(Some(0)) => *progress = Progress::Done(json!({ "did": format!("slowly of {of}") })),
            Progress::Working(Some(looks)) => *looks -= 1,
            Progress::Working(None) | Progress::Asking | Progress::Done(_) | Progress::Canceled => {}
        }
        Ok(self.show(id))
    }

    fn cancel(&mut self, id: &str) -> Result<Value, i64> {
        let Task { progress, .. } = self.tasks.get_mut(id).ok_or(NO_SUCH_TASK)?;
        if matches!(progress, Progress::Done(_) | Progress::Canceled) {
            return Err(NOT_CANCELABLE);
        }
        *progress = Progress::Canceled;
        Ok(self.show(id))
    }

    fn show(&self, id: &str) -> Value {
        let (state, result) = match &self.tasks[id].progress {
            Progress::Working(_) => ("WORKING", None),
            Progress::Asking => ("INPUT_REQUIRED", None),
            Progress::Done(value) => ("COMPLETED", Some(value)),
            Progress::Canceled => ("CANCELED", None),
        };
        let mut shown =
            json!({"id": id, "contextId": "c", "status": {"state": format!("TASK_STATE_{state}")}, "artifacts": [], "history": []});
        if state == "INPUT_REQUIRED" {
            shown["status"]["message"] = json!({"messageId": "asks", "role": "ROLE_AGENT", "parts": [{"text": "go on?"}]});
        }
        if let Some(result) = result {
            shown["artifacts"] = json!([{"artifactId": "result", "parts": [{"data": result}]}]);
        }
        shown
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
