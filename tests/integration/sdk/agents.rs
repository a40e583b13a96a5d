//! Agents that are written with the Python SDK, called by workflows as steps.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{PYTHON_1, script};
use crate::gantries::{Gantry, PATIENCE, Site, artifact, status, wait_for};

const SKILLS: &[&str] = &["sum", "chunks", "ask", "fail", "crash", "say", "hang", "canceled"];

/// An agent process, its card and a workflow for each of its skills in the registry, and a gantry.
struct World {
    gantry: Gantry,
    name: &'static str,
    _agent: Child,
    _site: Site,
}

impl World {
    /// None when the SDK is not installed.
    async fn new(name: &'static str, more: &[&str]) -> Option<Self> {
        let python = PYTHON_1.find()?;
        let mut command = Command::new(python);
        command.arg(script("agent_1.py")).arg(name).args(more);
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
        Some(Self { gantry, name, _agent: agent, _site: site })
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
            // The SDK answers 42.0. What it makes of the large number is its own: it keeps doubles.
            assert_eq!(data["sum"].to_string(), "42", "{data}");
            assert_eq!(data["big"].to_string(), "9007199254740992", "{data}");
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
    }

    async fn cancels(&self) {
        let task = self.gantry.begin(&self.workflow("hang"), json!({})).await;
        // The agent has a task once its step is told to be at work; only then is there something to cancel there.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let canceled = self.gantry.cancel(&task["id"]).await;
        assert!(status(&canceled).starts_with("CANCELED"), "{canceled:#}");
        wait_for("the agent to be told", || async {
            let told = self.execute("canceled", json!({})).await;
            (artifact(&told, "output")[0]["data"]["count"] == 1).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_streaming_agent_is_a_step() {
    let Some(world) = World::new("streaming", &[]).await else { return };
    world.results().await;
    world.failures().await;
    world.questions().await;
    world.cancels().await;
}

#[tokio::test]
async fn an_agent_without_streams_is_a_step() {
    let Some(world) = World::new("unary", &["--unary"]).await else { return };
    world.results().await;
    world.failures().await;
    world.questions().await;
    world.cancels().await;
}
