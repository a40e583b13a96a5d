//! `gantry send` and `gantry task` against agents of gantry: the scripted server that stands in for every state, and the sample
//! agents.

use serde_json::{Value, json};

use super::{Machine, Ran, Running};

/// `gantry serve`, which answers by the prefix of the message's id.
struct Scripted {
    machine: Machine,
    url: String,
    _running: Running,
}

impl Scripted {
    fn start(more: &[&str]) -> Self {
        let machine = Machine::new();
        let ready = machine.path("ready.json");
        let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/conformance/gantry.toml");
        let mut arguments = vec!["--config", profile, "serve", "--port", "0", "--embedded", "--ephemeral", "--no-publish"];
        arguments.extend(["--ready-file", ready.to_str().unwrap()]);
        arguments.extend(more);
        let (running, addresses) = Running::ready(machine.command(&arguments), &ready);
        Self { machine, url: addresses["url"].as_str().unwrap().to_owned(), _running: running }
    }

    /// `gantry send URL hello --message-id ID …`
    fn send(&self, message_id: &str, more: &[&str]) -> Ran {
        let mut arguments = vec!["send", &self.url, "hello", "--message-id", message_id];
        arguments.extend(more);
        self.machine.run(&arguments)
    }

    fn task(&self, command: &str, more: &[&str]) -> Ran {
        let mut arguments = vec!["task", command, &self.url];
        arguments.extend(more);
        self.machine.run(&arguments)
    }
}

/// The lines of `--json --stream`, short: `task:SUBMITTED`, `status:COMPLETED`, `artifact`, `message`.
fn short(ran: &Ran) -> Vec<String> {
    let state = |status: &Value| status["state"].as_str().unwrap().trim_start_matches("TASK_STATE_").to_owned();
    let line = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let (kind, body) = event.as_object().unwrap().iter().next().unwrap();
        match kind.as_str() {
            "task" => format!("task:{}", state(&body["status"])),
            "statusUpdate" => format!("status:{}", state(&body["status"])),
            "artifactUpdate" => "artifact".to_owned(),
            kind => kind.to_owned(),
        }
    };
    ran.stdout.lines().map(line).collect()
}

#[test]
fn every_state_has_its_words_and_its_exit_code() {
    let agent = Scripted::start(&[]);
    for (message_id, code, out, err) in [
        ("tck-complete-task", 0, "Hello from TCK\n", "✓ completed"),
        ("tck-message-response", 0, "Direct message response\n", ""),
        ("tck-reject-task", 1, "", "✗ rejected: rejected"),
        ("tck-input-required", 5, "What else is needed?\n", "? input-required"),
        ("tck-artifact-text", 0, "Generated text content\n", "✓ completed"),
        ("tck-artifact-data", 0, "\"count\": 42,\n", "✓ completed"),
        ("tck-artifact-file-url", 0, "file output.txt (text/plain): https://example.com/output.txt\n", "✓ completed"),
        ("tck-artifact-file", 0, "file output.txt (text/plain): 3 bytes", "✓ completed"),
    ] {
        for dialect in [&[][..], &["--dialect", "1.0"], &["--dialect", "0.3"], &["--stream"], &["--stream", "--dialect", "0.3"]] {
            let ran = agent.send(message_id, dialect).expect(code);
            assert!(ran.stdout.contains(out), "{message_id} {dialect:?}: {}", ran.stdout);
            assert!(ran.stderr.contains(err), "{message_id} {dialect:?}: {}", ran.stderr);
        }
    }
    let chunked = agent.send("tck-stream-artifact-chunked", &["--stream"]).expect(0);
    assert!(chunked.stdout.contains("\nchunk-1 chunk-2\n"), "pieces of a text are one text: {}", chunked.stdout);
}

#[test]
fn json_is_one_object_or_one_a_line_in_the_words_of_1_0() {
    let agent = Scripted::start(&[]);
    for dialect in ["auto", "1.0", "0.3"] {
        let whole = agent.send("tck-artifact-data", &["--json", "--dialect", dialect]).expect(0);
        assert_eq!(whole.stderr, "", "a reader of JSON is told nothing else");
        let whole = whole.json();
        assert_eq!(whole["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{dialect}");
        assert_eq!(whole["task"]["artifacts"][0]["parts"][0]["data"], json!({"key": "value", "count": 42}), "{dialect}");
        let message = agent.send("tck-message-response", &["--json", "--dialect", dialect]).expect(0).json();
        assert_eq!(message["message"]["parts"][0]["text"], "Direct message response", "{dialect}");

        let lines = agent.send("tck-stream-001", &["--json", "--stream", "--dialect", dialect]).expect(0);
        let lines = short(&lines);
        assert!(lines[0].starts_with("task:"), "{lines:?}");
        assert_eq!(lines[lines.len() - 2..], ["artifact", "status:COMPLETED"], "{lines:?}");
        assert_eq!(short(&agent.send("tck-stream-002", &["--json", "--stream", "--dialect", dialect]).expect(0)), ["message"]);
    }
}

#[test]
fn a_question_is_answered_on_its_task() {
    let agent = Scripted::start(&[]);
    let asked = agent.send("tck-input-required", &[]).expect(5);
    let hint = asked.stderr.split("answer with: ").nth(1).unwrap().lines().next().unwrap();
    let words: Vec<&str> = hint.strip_prefix("gantry ").unwrap().split(' ').collect();
    let [send, url, flag, task, "\"…\""] = words[..] else { panic!("{hint}") };
    let answered = agent.machine.run(&[send, url, flag, task, "all of it", "--json", "--message-id", "tck-complete-task"]).expect(0).json();
    assert_eq!((answered["task"]["id"].as_str(), &answered["task"]["status"]["state"]), (Some(task), &json!("TASK_STATE_COMPLETED")));
    let again = agent.machine.run(&[send, url, flag, task, "more"]).expect(1);
    assert!(again.stderr.contains("-32004"), "a task that has ended takes no more: {}", again.stderr);
}

#[test]
fn tasks_are_found_followed_listed_and_canceled() {
    let agent = Scripted::start(&[]);
    // Works for some seconds; a caller that does not wait has its id at once.
    let begun = agent.send("test-resubscribe-message-id", &["--no-wait", "--json", "--context", "talk-1"]).expect(0).json();
    let (id, state) = (begun["task"]["id"].as_str().unwrap(), begun["task"]["status"]["state"].as_str().unwrap());
    assert_eq!(begun["task"]["contextId"], "talk-1");
    assert!(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"].contains(&state), "{state}");
    let left = agent.machine.run(&["task", "subscribe", &agent.url, id, "--timeout", "0"]).expect(3);
    assert!(left.stderr.contains("no answer within") && left.stderr.contains("hint: "), "{}", left.stderr);

    let other = agent.send("test-resubscribe-message-id", &["--no-wait", "--json"]).expect(0).json();
    let other = other["task"]["id"].as_str().unwrap();
    let canceled = agent.task("cancel", &[other]).expect(0);
    assert_eq!(canceled.stdout, format!("task {other} is canceled\n"));
    assert!(agent.task("cancel", &[other]).expect(1).stderr.contains("-32002"));
    assert_eq!(agent.task("get", &[other, "--json"]).expect(0).json()["status"]["state"], "TASK_STATE_CANCELED");
    assert!(agent.task("get", &[other]).expect(0).stderr.contains("✗ canceled by the caller\n"), "said once");
    assert!(agent.task("subscribe", &[other]).expect(1).stderr.contains("✗ canceled"), "what has ended is shown as it ended");

    let followed = agent.task("subscribe", &[id, "--json"]).expect(0);
    let events = short(&followed);
    assert!(events[0].starts_with("task:") && events.last().unwrap() == "status:COMPLETED", "{events:?}");

    agent.send("tck-complete-task", &[]).expect(0);
    let listed = agent.task("list", &["--json"]).expect(0).json();
    assert_eq!((listed["tasks"].as_array().unwrap().len(), &listed["nextPageToken"]), (3, &json!("")));
    let one = agent.task("list", &["--json", "--limit", "1"]).expect(0).json();
    let token = one["nextPageToken"].as_str().unwrap();
    let rest = agent.task("list", &["--json", "--page-token", token]).expect(0).json();
    assert_eq!((one["tasks"].as_array().unwrap().len(), rest["tasks"].as_array().unwrap().len()), (1, 2));
    let canceled = agent.task("list", &["--status", "canceled"]).expect(0);
    assert!(
        canceled.stdout.starts_with("TASK ") && canceled.stdout.contains(other) && !canceled.stdout.contains(id),
        "{}",
        canceled.stdout
    );
    let talk = agent.task("list", &["--context", "talk-1", "--json"]).expect(0).json();
    assert_eq!((talk["tasks"].as_array().unwrap().len(), &talk["tasks"][0]["id"]), (1, &json!(id)));

    for (command, code) in [("get", "-32001"), ("cancel", "-32001"), ("subscribe", "-32001")] {
        let ran = agent.task(command, &["nobody's"]).expect(3);
        assert!(ran.stderr.contains(code) && ran.stderr.contains("gantry task list"), "{}", ran.stderr);
    }
    let old = agent.task("list", &["--dialect", "0.3"]).expect(3);
    assert!(old.stderr.contains("0.3 has no list"), "{}", old.stderr);
}

#[test]
fn a_caller_that_waited_long_enough_is_told_how_to_go_on() {
    let agent = Scripted::start(&[]);
    for more in [&["--timeout", "300ms"][..], &["--timeout", "300ms", "--stream"]] {
        let ran = agent.send("test-resubscribe-message-id", more).expect(3);
        assert!(ran.stderr.contains("no answer within 300ms") && ran.stderr.contains("gantry task subscribe"), "{}", ran.stderr);
    }
}

#[test]
fn an_agent_without_streams_is_waited_for() {
    let agent = Scripted::start(&["--no-streaming"]);
    let ran = agent.send("tck-complete-task", &["--stream", "--json"]).expect(0);
    assert_eq!(short(&ran), ["task:COMPLETED"]);
}

#[test]
fn a_required_extension_is_named_with_a_header() {
    let agent = Scripted::start(&["--required-extension", "urn:x:needed"]);
    let refused = agent.send("tck-complete-task", &[]).expect(1);
    assert!(refused.stderr.contains("-32008") && refused.stderr.contains("--header 'A2A-Extensions: URI'"), "{}", refused.stderr);
    agent.send("tck-complete-task", &["--header", "A2A-Extensions: urn:x:needed"]).expect(0);
}

#[test]
fn a_skill_of_a_sample_agent_is_called() {
    let machine = Machine::new();
    let ready = machine.path("agents.json");
    let (_agents, addresses) =
        Running::ready(machine.command(&["sample-agents", "--ports", "0", "--ready-file", ready.to_str().unwrap()]), &ready);
    let url = addresses["agents"]["analysis-agent"].as_str().unwrap();
    machine.write("input.json", "{\"text\": \"I love it\"}");
    for (card, data) in [(url.to_owned(), "{\"text\": \"I love it\"}"), (format!("{url}/.well-known/agent-card.json"), "@input.json")] {
        let answer = machine.run(&["send", &card, "--skill", "analyze_sentiment", "--data", data, "--json"]).expect(0).json();
        assert_eq!(answer["task"]["artifacts"][0]["parts"][0]["data"]["label"], "positive", "{answer:#}");
    }
    let warned = machine.run(&["send", url, "--skill", "juggle", "--data", "{}"]);
    assert!(warned.stderr.contains("names no skill `juggle`") && warned.stderr.contains("analyze_sentiment"), "{}", warned.stderr);
}
