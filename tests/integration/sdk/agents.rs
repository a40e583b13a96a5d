//! Agents that are written with the Python SDK, called by workflows as steps.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Installed, PYTHON_1, PYTHON_03, script};
use crate::gantries::{Gantry, PATIENCE, Site, artifact, status, wait_for};

const SKILLS: &[&str] = &["sum", "chunks", "ask", "login", "fail", "crash", "say", "hang", "hung"];

/// A version of the SDK, and the agent that is written with it.
struct Sdk {
    python: Installed,
    agent: &'static str,
    /// It keeps every number as a double: 9007199254740993 is another number there.
    doubles: bool,
}

const SDK_1: Sdk = Sdk { python: PYTHON_1, agent: "agent_1.py", doubles: true };
const SDK_03: Sdk = Sdk { python: PYTHON_03, agent: "agent_03.py", doubles: false };

/// An agent process, its card and a workflow for each of its skills in the registry, and a gantry.
struct World {
    gantry: Gantry,
    name: &'static str,
    /// See [`Sdk`].
    doubles: bool,
    _agent: Child,
    _site: Site,
}

impl World {
    /// None when the SDK is not installed.
    async fn new(sdk: &Sdk, name: &'static str, more: &[&str]) -> Option<Self> {
        let python = sdk.python.find()?;
        let mut command = Command::new(python);
        command.arg(script(sdk.agent)).arg(name).args(more);
        let mut agent = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(agent.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("the agent does not start").unwrap();
        let ready: Value = serde_json::from_str(&line.expect("the agent has ended")).unwrap();
        let site = Site::new().await;
        site.push_card(ready["url"].as_str().unwrap()).await;
        for skill in SKILLS {
            site.push_call(&format!("{name}_{skill}")).await;
        }
        let gantry = site.serve("gantry", "").await;
        Some(Self { gantry, name, doubles: sdk.doubles, _agent: agent, _site: site })
    }

    fn workflow(&self, skill: &str) -> String {
        format!("call-{}_{skill}", self.name)
    }

    async fn execute(&self, skill: &str, input: Value) -> Value {
        self.gantry.execute(&self.workflow(skill), input).await
    }

    async fn results(&self) {
        let input = json!({ "a": 40, "b": 2, "big": 9_007_199_254_740_993_u64, "text": "{{ steps.call.outputs }}" });
        let task = self.execute("sum", input).await;
        assert_eq!(status(&task), "COMPLETED", "{task:#}");
        for part in ["call", "output"] {
            let data = &artifact(&task, part)[0]["data"];
            // The SDK with doubles answers 42.0. What it makes of the large number is its own.
            assert_eq!(data["sum"].to_string(), "42", "{data}");
            let big = if self.doubles { "9007199254740992" } else { "9007199254740993" };
            assert_eq!(data["big"].to_string(), big, "{data}");
            assert_eq!(data["text"], "{{ steps.call.outputs }}", "what an agent returns is data");
        }
        let task = self.execute("chunks", json!({ "text": "one two three" })).await;
        assert_eq!(artifact(&task, "output")[0]["text"], "one two three", "{task:#}");
        let task = self.execute("say", json!({ "text": "hello" })).await;
        assert_eq!(artifact(&task, "output")[0]["text"], "you said hello", "a message without a task: {task:#}");
    }

    async fn failures(&self) {
        for (skill, told) in [("fail", "the paint ran out"), ("crash", "")] {
            let task = self.execute(skill, json!({})).await;
            let said = status(&task);
            assert!(said.starts_with("FAILED: step `call`") && said.contains(told) && said.contains(self.name), "{skill}: {said}");
        }
    }

    async fn questions(&self) {
        let asked = self.execute("ask", json!({ "thing": "door" })).await;
        assert_eq!(status(&asked), "INPUT_REQUIRED: which color?", "{asked:#}");
        let done = self.gantry.reply(&asked, json!({ "color": "red", "coats": 2 })).await;
        assert_eq!((status(&done).as_str(), &done["id"]), ("COMPLETED", &asked["id"]), "{done:#}");
        assert_eq!(artifact(&done, "output")[0]["data"], json!({ "answer": { "color": "red", "coats": 2 }, "count": 42 }));
        let asked = self.execute("login", json!({})).await;
        assert_eq!(status(&asked), "AUTH_REQUIRED: who are you?", "{asked:#}");
        let done = self.gantry.reply(&asked, json!({ "code": "1234" })).await;
        assert_eq!(artifact(&done, "output")[0]["data"], json!({ "code": "1234" }), "{done:#}");
    }

    async fn cancels(&self) {
        let task = self.gantry.begin(&self.workflow("hang"), json!({})).await;
        self.wait_until_hung("hanging").await;
        let canceled = self.gantry.cancel(&task["id"]).await;
        assert!(status(&canceled).starts_with("CANCELED"), "{canceled:#}");
        self.wait_until_hung("canceled").await;
    }

    /// Asks the agent, as a step, until it says that one of its tasks is so.
    async fn wait_until_hung(&self, how: &str) {
        wait_for(how, || async {
            let told = self.execute("hung", json!({})).await;
            (artifact(&told, "output")[0]["data"][how] == 1).then_some(())
        })
        .await;
    }
}

/// Everything that an agent as a step can do; nothing when the SDK is not installed.
async fn check(sdk: &Sdk, name: &'static str, more: &[&str]) {
    let Some(world) = World::new(sdk, name, more).await else { return };
    world.results().await;
    world.failures().await;
    world.questions().await;
    world.cancels().await;
}

#[tokio::test]
async fn a_streaming_agent_is_a_step() {
    check(&SDK_1, "streaming", &[]).await;
}

#[tokio::test]
async fn an_agent_without_streams_is_a_step() {
    check(&SDK_1, "unary", &["--unary"]).await;
}

#[tokio::test]
async fn a_streaming_agent_of_0_3_is_a_step() {
    check(&SDK_03, "streaming", &[]).await;
}

#[tokio::test]
async fn an_agent_of_0_3_without_streams_is_a_step() {
    check(&SDK_03, "unary", &["--unary"]).await;
}
