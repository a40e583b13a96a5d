//! `gantry up` and what works against it.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::{Machine, Running, one_step};

fn up(machine: &Machine, more: &[&str]) -> (Running, Value) {
    let ready = machine.path("ready.json");
    let mut arguments = vec!["up", "--port", "0", "--registry-port", "0", "--agent-ports", "0", "--ready-file", ready.to_str().unwrap()];
    arguments.extend(more);
    Running::ready(machine.command(&arguments), &ready)
}

#[test]
fn up_serves_what_a_run_needs_and_drains() {
    let machine = Machine::new();
    let (running, ready) = up(&machine, &["--ephemeral"]);
    let registry = ready["registry"].as_str().unwrap();
    assert_eq!(ready["agents"].as_object().unwrap().len(), 6);
    assert_eq!(ready["pid"], running.child.id());
    assert_eq!(ready["url"], ready["gantry"], "every server's file has its own URL under the same key");

    let report = machine
        .run(&["run", "--registry", registry, "--json", "--no-save", "Create a function to calculate prime numbers"])
        .expect(0)
        .json();
    assert_eq!(report["steps"][0]["agent"]["name"], "plan-agent");
    assert!(
        report["steps"][0]["agent"]["card"].as_str().is_some_and(|digest| digest.starts_with("sha256:")),
        "the card came from the registry"
    );
    assert!(report["workflow"]["reference"].as_str().unwrap().starts_with("workflows/code-generation-v1:"));

    let agents = machine.run(&["agent", "list", "--registry", registry, "--json"]).expect(0).json();
    assert_eq!(agents.as_array().unwrap().len(), 7, "six and the orchestrator");

    let orchestrator = ready["gantry"].as_str().unwrap();
    let answer = machine.run(&["send", orchestrator, "--json", "Create a function to calculate prime numbers"]).expect(0).json();
    assert_eq!(answer["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(answer["task"]["metadata"]["urn:gantry:a2a:run:v1"]["workflow"], "code-generation-v1");
    let nested = ["run", "--registry", registry, "--json", "--no-save", "-w", "smart-router-v1", "Write code for prime numbers"];
    let nested = machine.run(&nested).expect(0).json();
    let delegated =
        nested["steps"].as_array().unwrap().iter().find(|step| step["skill"] == "execute_workflow" && step["status"] == "completed");
    assert_eq!(delegated.unwrap()["agent"]["name"], "gantry", "{nested:#}");
    assert!(delegated.unwrap()["agent"]["card"].is_string(), "found by its card in the registry: {nested:#}");

    running.signal("TERM");
    let ended = running.end().expect(0);
    assert!(ended.stdout.contains(orchestrator), "{}", ended.stdout);
    assert!(ended.stdout.contains(registry) && ended.stdout.contains("plan-agent"), "{}", ended.stdout);
    assert!(!machine.path("ready.json").exists(), "the ready file is there only as long as something is ready");
}

#[test]
fn what_is_pushed_is_kept_and_found() {
    let machine = Machine::new();
    let data = machine.path("data");
    let data = data.to_str().unwrap();
    let (running, ready) = up(&machine, &["--data-dir", data]);
    let registry = ready["registry"].as_str().unwrap().to_owned();
    for second in [&["up", "--port", "0", "--registry-port", "0"][..], &["registry", "serve", "--port", "0"]] {
        let second = super::Ran::from(machine.command(second).args(["--data-dir", data]).output().unwrap()).expect(3).stderr;
        let held = format!("the data directory {data} is held by process {} since 2", running.child.id());
        assert!(second.contains(&held) && second.contains("choose another directory with --data-dir"), "{second}");
    }

    machine.write("mine.yaml", &one_step("classify_topics").replace("    outputs", "    inputs: {text: hello}\n    outputs"));
    let push = ["workflow", "push", "mine.yaml", "--tag", "stable", "--registry", &registry, "--json"];
    let first = machine.run(&push).expect(0).json();
    assert_eq!(first[0]["repository"], "workflows/one-step");
    assert_eq!(machine.run(&push).expect(0).json()[0]["digest"], first[0]["digest"], "pushing again changes nothing");
    for reference in ["one-step", "one-step:stable", "one-step:1.0.0"] {
        let report = machine.run(&["run", "--registry", &registry, "--json", "--no-save", "-w", reference]).expect(0).json();
        assert_eq!(report["workflow"]["digest"], first[0]["digest"], "{reference}");
    }
    // A version that is there already with other content: it moves, and that is said.
    let (text, before) = (std::fs::read_to_string(machine.path("mine.yaml")).unwrap(), first[0]["digest"].as_str().unwrap());
    assert!(machine.run(&push).expect(0).stderr.is_empty(), "the same content is no news");
    machine.write("mine.yaml", &text.replace("hello", "other"));
    let moved = machine.run(&push).expect(0);
    let now = moved.json()[0]["digest"].as_str().unwrap().to_owned();
    let warning =
        format!("version 1.0.0 of `one-step` was there with other content: workflows/one-step:1.0.0 was {before} and is now {now}");
    assert!(moved.stderr.contains(&warning) && moved.json()[0]["replaced"] == before, "{moved:?}");
    machine.write("mine.yaml", &text);
    machine.run(&push).expect(0);
    // So does the card of an agent.
    let card =
        |does: &str| json!({"name": "a b", "version": "1.2.0", "url": "http://localhost:1", "description": does, "skills": []}).to_string();
    let push_card = |does: &str| {
        machine.write("card.json", &card(does));
        machine.run(&["agent", "push", "card.json", "--registry", &registry, "--json"]).expect(0)
    };
    let first_card = push_card("this");
    assert!(first_card.stderr.is_empty() && push_card("this").stderr.is_empty(), "the same content is no news");
    let (moved, before) = (push_card("that"), first_card.json()[0]["digest"].as_str().unwrap().to_owned());
    let now = moved.json()[0]["digest"].as_str().unwrap().to_owned();
    let warning = format!("version 1.2.0 of `a b` was there with other content: agents/a-b:1.2.0 was {before} and is now {now}");
    assert!(moved.stderr.contains(&warning) && moved.json()[0]["replaced"] == before, "{moved:?}");
    let host = registry.strip_prefix("http://").unwrap();
    let report =
        machine.run(&["run", "--embedded", "--json", "--no-save", "-w", &format!("{host}/workflows/one-step:stable")]).expect(0).json();
    assert_eq!(report["workflow"]["digest"], first[0]["digest"], "the registry in the reference is asked");
    let elsewhere = format!(
        "metadata: {{id: elsewhere, name: E, version: 1.0.0}}\nsteps: [{{id: a, skill: execute_workflow, inputs: {{workflow_id: \"{host}/workflows/one-step:stable\"}}}}]\n"
    );
    machine.write("elsewhere.yaml", &elsewhere);
    let refused = machine.run(&["run", "--embedded", "--no-save", "-w", "elsewhere.yaml"]).expect(1);
    assert!(refused.stderr.contains(host), "a workflow does not choose where we connect to: {}", refused.stderr);
    let pulled = machine.run(&["workflow", "pull", "one-step", "--registry", &registry]).expect(0).stdout;
    assert_eq!(pulled, std::fs::read_to_string(machine.path("mine.yaml")).unwrap());

    let step = |id: &str, to: &str| {
        format!("metadata: {{id: {id}, name: N, version: 1.0.0}}\nsteps: [{{id: go, step_type: workflow, workflow: {to}}}]\n")
    };
    machine.write("ping.yaml", &step("ping", "pong"));
    machine.write("pong.yaml", &step("pong", "ping"));
    machine.run(&["workflow", "push", "ping.yaml", "--registry", &registry]).expect(0);
    let refused = machine.run(&["workflow", "push", "pong.yaml", "--registry", &registry]).expect(1);
    let said = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("pong:1.0.0 → ping:1.0.0 → pong:1.0.0") && said.contains("pong.yaml:2:9"), "{}", refused.stderr);
    machine.run(&["workflow", "pull", "pong", "--registry", &registry]).expect(3);

    running.signal("INT");
    running.end().expect(0);
    let (running, ready) = up(&machine, &["--data-dir", data]);
    machine.run(&["run", "--registry", ready["registry"].as_str().unwrap(), "--no-save", "-w", "one-step"]).expect(0);
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn a_card_pushed_by_hand_is_used() {
    let machine = Machine::new();
    let ready_file = machine.path("agents.json");
    let sample = machine.command(&["sample-agents", "--ports", "0", "--ready-file", ready_file.to_str().unwrap()]);
    let (agents, addresses) = Running::ready(sample, &ready_file);
    let registry_ready = machine.path("registry.json");
    let serve = machine.command(&["registry", "serve", "--port", "0", "--ephemeral", "--ready-file", registry_ready.to_str().unwrap()]);
    let (registry, registry_address) = Running::ready(serve, &registry_ready);
    let address = registry_address["registry"].as_str().unwrap();
    assert_eq!(registry_address["url"], address);

    let skill = "classify_topics";
    machine.write("w.yaml", &one_step(skill).replace("    outputs", "    inputs: {text: hello}\n    outputs"));
    let empty = machine.run(&["run", "--registry", address, "--no-save", "-w", "w.yaml"]).expect(1);
    assert!(empty.stderr.contains(skill) && empty.stderr.contains("gantry agent push"), "{}", empty.stderr);

    let url = addresses["agents"]["analysis-agent"].as_str().unwrap();
    let stranger = machine.run(&["run", "--registry", url, "--no-save", "-w", "w.yaml"]).expect(3).stderr;
    assert!(stranger.contains(&format!("what answers at {url} is not an OCI registry: ")), "{stranger}");
    machine.run(&["run", "--registry", address, "--no-save", "-w", "w.yaml", "--agent-card", url]).expect(0);
    machine.write("card.json", &serde_json::json!({"name": "by-hand", "url": url, "skills": [{"id": skill, "name": skill}]}).to_string());
    machine.run(&["agent", "push", "card.json", "--tag", "v1", "--registry", address]).expect(0);
    let report = machine.run(&["run", "--registry", address, "--json", "--no-save", "-w", "w.yaml"]).expect(0).json();
    assert_eq!(report["steps"][0]["agent"]["name"], "by-hand");

    for running in [agents, registry] {
        running.signal("TERM");
        running.end().expect(0);
    }
}

#[test]
fn the_help_says_what_each_server_keeps() {
    let machine = Machine::new();
    for (command, kept) in [
        (&["serve"][..], ["Where runs are kept", "Keep runs only as long as the process runs"]),
        (&["up"], ["Where runs and the registry's content are kept", "Keep runs and the registry's content only as long"]),
        (&["registry", "serve"], ["Where the registry keeps its content", "Keep the registry's content only as long"]),
    ] {
        let help = machine.run(&[command, &["--help"]].concat()).expect(0).stdout;
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in kept {
            assert!(help.contains(part), "{command:?}: no {part:?} in {help}");
        }
    }
}

#[test]
fn a_taken_port_is_named() {
    let machine = Machine::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = machine.run(&["up", "--ephemeral", "--port", "0", "--registry-port", &port, "--agent-ports", "0"]).expect(3);
    assert!(ran.stderr.contains(&format!("port {port}")) && ran.stderr.contains("--registry-port"), "{}", ran.stderr);
    let ran = machine.run(&["up", "--ephemeral", "--port", &port, "--registry-port", "0", "--agent-ports", "0"]).expect(3);
    assert!(ran.stderr.contains(&format!("port {port}")) && ran.stderr.contains("choose another port with --port"), "{}", ran.stderr);
    let ports = format!("0,0,{port},0,0,0");
    let ran = machine.run(&["up", "--ephemeral", "--port", "0", "--registry-port", "0", "--agent-ports", &ports]).expect(3);
    assert!(
        ran.stderr.contains(&format!("port {port}")) && ran.stderr.contains("test-agent") && ran.stderr.contains("--agent-ports"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_orchestrator_is_not_open_to_the_network_by_itself() {
    let machine = Machine::new();
    let ran =
        machine.run(&["up", "--ephemeral", "--host", "0.0.0.0", "--port", "0", "--registry-port", "0", "--agent-ports", "0"]).expect(2);
    assert!(ran.stderr.contains("auth.anonymous") && ran.stderr.contains("[server]"), "{}", ran.stderr);
}
