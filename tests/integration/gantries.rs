//! Real gantry processes around one registry, for the tests in which nobody may share memory with what is tested.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// Longer than anything here should take, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what only another process knows.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A registry of its own, and a place for the files of the processes around it.
pub(crate) struct Site {
    directory: tempfile::TempDir,
    registry: String,
    http: reqwest::Client,
    _process: Child,
}

impl Site {
    pub(crate) async fn new() -> Self {
        // The client wants one even where nobody speaks TLS; a second installation is refused, and that is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let command = gantry(directory.path(), &["registry", "serve", "--port", "0", "--ephemeral"]);
        let (process, ready) = start(command, &directory.path().join("registry.json")).await;
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { registry: ready["registry"].as_str().unwrap().to_owned(), directory, http, _process: process }
    }

    /// Runs a command against the registry; it must succeed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let mut command = gantry(self.directory.path(), arguments);
        command.args(["--registry", &self.registry]);
        let output = finished(&mut command).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Pushes every workflow of `tests/fixtures/<folder>`.
    pub(crate) async fn push_workflows(&self, folder: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut arguments = vec!["workflow", "push"];
        arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
        self.run(&arguments).await;
    }

    /// Pushes a workflow of one step, which calls a skill with the input.
    pub(crate) async fn push_call(&self, skill: &str) {
        let text = format!(
            "metadata: {{id: call-{skill}, name: Call, version: 1.0.0}}\nsteps:\n  - {{id: call, skill: {skill}, inputs: \"{{{{ workflow.input }}}}\"}}\n"
        );
        let file = self.directory.path().join(format!("{skill}.yaml"));
        std::fs::write(&file, text).unwrap();
        self.run(&["workflow", "push", file.to_str().unwrap()]).await;
    }

    /// Pushes one workflow: its steps, and whatever else stands beside them.
    pub(crate) async fn push_steps(&self, id: &str, steps: &str) {
        let file = self.directory.path().join(format!("{id}.yaml"));
        std::fs::write(&file, format!("metadata: {{id: {id}, name: {id}, version: 1.0.0}}\n{steps}")).unwrap();
        self.run(&["workflow", "push", file.to_str().unwrap()]).await;
    }

    /// Pushes the card of an agent of the plain protocol.
    pub(crate) async fn push_plain(&self, name: &str, url: &str, skills: &[&str]) {
        let skills: Vec<Value> = skills.iter().map(|id| json!({ "id": id, "description": id })).collect();
        let file = self.directory.path().join(format!("{name}.plain.json"));
        std::fs::write(&file, json!({ "name": name, "url": url, "skills": skills }).to_string()).unwrap();
        self.run(&["agent", "push", file.to_str().unwrap()]).await;
    }

    /// Pushes the card that an agent serves.
    pub(crate) async fn push_card(&self, agent_url: &str) {
        let url = format!("{}/.well-known/agent-card.json", agent_url.trim_end_matches('/'));
        let card: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let file = self.directory.path().join(format!("{}.card.json", card["name"].as_str().unwrap()));
        std::fs::write(&file, card.to_string()).unwrap();
        self.run(&["agent", "push", file.to_str().unwrap()]).await;
    }

    /// `gantry serve` with this name in its card, and more lines for its configuration. Its card is in the registry when this
    /// returns.
    pub(crate) async fn serve(&self, name: &str, configuration: &str) -> Gantry {
        self.serve_behind(&[], name, configuration).await
    }

    /// The same, started by another program that becomes it.
    pub(crate) async fn serve_behind(&self, wrapper: &[&str], name: &str, configuration: &str) -> Gantry {
        let file = |suffix: &str| self.directory.path().join(format!("{name}.{suffix}"));
        let text = format!("{configuration}\n[server.card]\nname = \"{name}\"\npublish = \"agents/{name}\"\n");
        std::fs::write(file("toml"), text).unwrap();
        let config = file("toml");
        let mut command = behind(wrapper, self.directory.path());
        command.args(["serve", "--config", config.to_str().unwrap(), "--registry", &self.registry, "--port", "0"]);
        command.arg("--data-dir").arg(self.data_dir(name));
        // Of an earlier process on the same directory that was killed.
        let _old = std::fs::remove_file(file("json"));
        let (process, ready) = start(command, &file("json")).await;
        let tags = format!("{}/v2/agents/{name}/tags/list", self.registry);
        wait_for("the card in the registry", || async { self.http.get(&tags).send().await.unwrap().status().is_success().then_some(()) })
            .await;
        Gantry { url: ready["url"].as_str().unwrap().to_owned(), http: self.http.clone(), process }
    }
}

impl Site {
    /// Where a gantry of this name keeps its runs.
    pub(crate) fn data_dir(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.data"))
    }

    /// What a gantry of this name has written to its log.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("{name}.log"))).unwrap()
    }
}

/// One `gantry serve`; killed at the end of the test.
pub(crate) struct Gantry {
    pub(crate) url: String,
    http: reqwest::Client,
    process: Child,
}

impl Gantry {
    /// The answer to a body as it is.
    pub(crate) async fn post(&self, body: String) -> Value {
        let request = self.http.post(&self.url).header("A2A-Version", "1.0").header("content-type", "application/json");
        request.body(body).send().await.unwrap().json().await.unwrap()
    }

    /// The whole answer to one request of a caller.
    pub(crate) async fn call_as(&self, token: &str, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = self.http.post(&self.url).header("A2A-Version", "1.0").bearer_auth(token).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// A stream, to be read as it comes.
    pub(crate) async fn stream(&self, method: &str, params: Value) -> reqwest::Response {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.http.post(&self.url).header("A2A-Version", "1.0").json(&body).send().await.unwrap()
    }

    /// Bytes of memory it has.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it had since [`forget_peak`](Self::forget_peak).
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        found.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// Waits for its end; how it ended.
    pub(crate) async fn ended(mut self) -> std::process::ExitStatus {
        tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("it ends").unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("it is waited for by nobody")
    }

    /// The whole answer to one request in A2A 1.0.
    pub(crate) async fn answer(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = self.http.post(&self.url).header("A2A-Version", "1.0").json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// The result of one request that must succeed.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer:#}");
        answer["result"].clone()
    }

    /// Runs a workflow as far as it goes without its caller.
    pub(crate) async fn execute(&self, workflow: &str, input: Value) -> Value {
        self.call("SendMessage", json!({ "message": execute(workflow, input) })).await["task"].clone()
    }

    /// Starts a workflow and does not wait.
    pub(crate) async fn begin(&self, workflow: &str, input: Value) -> Value {
        let params = json!({ "message": execute(workflow, input), "configuration": { "returnImmediately": true } });
        self.call("SendMessage", params).await["task"].clone()
    }

    /// Runs a workflow: the status, `Retry-After`, and the whole answer, whatever it is. None when the connection was cut.
    pub(crate) async fn try_execute(&self, workflow: &str, input: Value) -> Option<(u16, Option<String>, Value)> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": { "message": execute(workflow, input) } });
        let response = self.http.post(&self.url).header("A2A-Version", "1.0").json(&body).send().await.ok()?;
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        Some((response.status().as_u16(), retry_after, response.json().await.ok()?))
    }

    /// The status of a path; none when nobody answers.
    pub(crate) async fn get(&self, path: &str) -> Option<u16> {
        Some(self.http.get(format!("{}{path}", self.url)).send().await.ok()?.status().as_u16())
    }

    /// What it says of itself.
    pub(crate) async fn ready(&self) -> Value {
        self.http.get(format!("{}/readyz", self.url)).send().await.unwrap().json().await.unwrap()
    }

    /// Answers the question of a task.
    pub(crate) async fn reply(&self, task: &Value, data: Value) -> Value {
        let mut message = message(json!([{ "data": data }]));
        message["taskId"] = task["id"].clone();
        self.call("SendMessage", json!({ "message": message })).await["task"].clone()
    }

    pub(crate) async fn task(&self, id: &Value) -> Value {
        self.call("GetTask", json!({ "id": id })).await
    }

    pub(crate) async fn cancel(&self, id: &Value) -> Value {
        self.call("CancelTask", json!({ "id": id })).await
    }

    /// Every task, the newest first.
    pub(crate) async fn tasks(&self) -> Vec<Value> {
        self.call("ListTasks", json!({ "includeArtifacts": true })).await["tasks"].as_array().unwrap().clone()
    }
}

fn execute(workflow: &str, input: Value) -> Value {
    let mut message = message(json!([{ "data": { "workflow_id": workflow, "input": input } }]));
    message["metadata"] = json!({ "skill": "execute_workflow" });
    message
}

fn message(parts: Value) -> Value {
    json!({ "messageId": uuid::Uuid::new_v4().to_string(), "role": "ROLE_USER", "parts": parts })
}

/// What a task's status says, state first: `FAILED: step …`.
pub(crate) fn status(task: &Value) -> String {
    let status = &task["status"];
    let state = status["state"].as_str().unwrap_or("?").trim_start_matches("TASK_STATE_").to_owned();
    match status["message"]["parts"][0]["text"].as_str() {
        Some(text) => format!("{state}: {text}"),
        None => state,
    }
}

/// The parts of the artifact with this name.
pub(crate) fn artifact<'a>(task: &'a Value, name: &str) -> &'a Value {
    let artifacts = task["artifacts"].as_array().unwrap_or_else(|| panic!("no artifacts: {task:#}"));
    &artifacts.iter().find(|artifact| artifact["name"] == name).unwrap_or_else(|| panic!("no artifact {name}: {task:#}"))["parts"]
}

/// Looks until there is something: another process can only be watched from outside.
pub(crate) async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Runs a program to its end, which must come in time.
pub(crate) async fn finished(command: &mut Command) -> Output {
    let output = tokio::time::timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    output.unwrap_or_else(|_| panic!("{:?} hangs", command.as_std())).unwrap()
}

/// The program that is tested: `GANTRY_BIN` names another than the one of this build, for figures of an optimised one.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("GANTRY_BIN").map_or_else(|| env!("CARGO_BIN_EXE_gantry").into(), PathBuf::from)
}

/// A gantry that knows nothing of this machine.
fn gantry(home: &Path, arguments: &[&str]) -> Command {
    let mut command = behind(&[], home);
    command.args(arguments);
    command
}

/// The same behind another program, without arguments.
fn behind(wrapper: &[&str], home: &Path) -> Command {
    let Some((first, arguments)) = wrapper.split_first() else {
        let mut command = Command::new(program());
        command.current_dir(home).env_clear().env("HOME", home);
        return command;
    };
    let mut command = Command::new(first);
    command.args(arguments).arg(program()).current_dir(home).env_clear().env("HOME", home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Starts a gantry and waits until it says where it is.
async fn start(mut command: Command, ready_file: &Path) -> (Child, Value) {
    let log = ready_file.with_extension("log");
    let (out, err) = (std::fs::File::create(&log).unwrap(), std::fs::File::options().append(true).open(&log).unwrap());
    command.arg("--ready-file").arg(ready_file).stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let ready = wait_for("the ready file", || {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "ended with {ended:?}: {}", std::fs::read_to_string(&log).unwrap());
        std::future::ready(std::fs::read(ready_file).ok())
    })
    .await;
    (child, serde_json::from_slice(&ready).unwrap())
}
