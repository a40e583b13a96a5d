//! `gantry serve` with what is built in: its agents are there for new runs and for those of before.

use serde_json::{Value, json};

use super::{Machine, Running, wait_for};

/// Asks without end, and ends when nobody reads it any longer.
const NEVER_ANSWERS: &str = "echo called > called\nwhile :; do echo more; sleep 0.05; done\n";

/// A workflow that a sample agent is enough for.
const REVIEW: &str =
    "metadata: {id: one-step, name: One step, version: 1.0.0}\nsteps:\n- {id: only, skill: review_code, inputs: {code: x}}\n";

fn serve(machine: &Machine, more: &[&str]) -> (Running, String) {
    let _earlier = std::fs::remove_file(machine.path("ready.json"));
    let usual = ["serve", "--embedded", "--port", "0", "--ready-file", "ready.json", "--data-dir", "data"];
    let (running, addresses) = Running::ready(machine.command(&[&usual, more].concat()), &machine.path("ready.json"));
    (running, addresses["url"].as_str().unwrap().to_owned())
}

fn runs(machine: &Machine) -> Value {
    machine.run(&["runs", "list", "--json", "--data-dir", "data"]).expect(0).json()
}

#[test]
fn a_run_finds_the_agents_that_are_built_in() {
    let machine = Machine::new();
    let (running, url) = serve(&machine, &[]);
    let data = json!({ "workflow_id": "code-generation-v1", "input": { "requirements": "primes" } }).to_string();
    machine.run(&["send", &url, "--data", &data]).expect(0);
    assert_eq!(runs(&machine)[0]["status"], "completed");
    running.signal("TERM");
    running.end().expect(0);
}

/// The agents are elsewhere after a start, so the call that was under way must find its own anew.
#[test]
fn a_call_that_was_under_way_at_a_kill_is_made_again_by_the_next_process() {
    let machine = Machine::new();
    machine.write("hang.sh", NEVER_ANSWERS);
    machine.write("slow.toml", "model = \"command:sh hang.sh\"\n");
    machine.write("workflows/w.yaml", REVIEW);
    let (running, url) = serve(&machine, &["--config", "slow.toml"]);
    let data = json!({ "workflow_id": "one-step", "input": { "n": 1 } }).to_string();
    let sender = Running::spawn(machine.command(&["send", &url, "--data", &data]));
    wait_for("the call", || machine.path("called").exists().then_some(()));
    running.signal("KILL");
    drop((running, sender));
    assert_eq!(runs(&machine)[0]["status"], "running");
    let (_running, _) = serve(&machine, &[]);
    let ended = wait_for("the end of the run", || Some(runs(&machine)[0].clone()).filter(|run| run["status"] != "running"));
    assert_eq!(ended["status"], "completed", "{ended:#}");
}
