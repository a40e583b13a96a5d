//! `gantry serve` with what is built in: its agents are there for new runs and for those of before. And what says how runs go on after a
//! kill names the agents that they had.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{Machine, Running, Silent, one_step, wait_for};

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

/// What is said to do when nobody holds the directory.
fn hint(machine: &Machine) -> String {
    let run = runs(machine)[0]["run"].as_str().unwrap().to_owned();
    let told = machine.run(&["runs", "cancel", &run, "--data-dir", "data"]).expect(3).stderr;
    told.split("hint: ").nth(1).unwrap_or_else(|| panic!("no hint: {told}")).trim().to_owned()
}

/// The commands in a text, without `gantry`.
fn commands(hint: &str) -> Vec<Vec<String>> {
    let quoted = hint.split('`').skip(1).step_by(2).filter_map(|command| command.strip_prefix("gantry "));
    quoted.map(|command| command.split(' ').map(str::to_owned).collect()).collect()
}

fn killed(machine: &Machine, arguments: &[&str]) {
    machine.write("hang.sh", NEVER_ANSWERS);
    machine.write("slow.toml", "model = \"command:sh hang.sh\"\n");
    let usual = ["--config", "slow.toml", "--data-dir", "data"];
    let running = Running::spawn(machine.command(&[arguments, &usual].concat()));
    wait_for("the call", || machine.path("called").exists().then_some(()));
    running.signal("KILL");
    drop(running);
    assert_eq!(runs(machine)[0]["status"], "running");
}

/// Does what a hint says, on ports of the system.
fn obey(machine: &Machine, command: &[String]) -> (Running, Value) {
    let _earlier = std::fs::remove_file(machine.path("ready.json"));
    let ports: &[&str] = if command[0] == "up" { &["--registry-port", "0", "--agent-ports", "0"] } else { &[] };
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let port: &[&str] = if command.contains(&"--port") { &[] } else { &["--port", "0"] };
    let ready = ["--ready-file", "ready.json"];
    Running::ready(machine.command(&[&command, ports, port, &ready].concat()), &machine.path("ready.json"))
}

#[test]
fn what_is_said_after_a_kill_makes_the_run_go_on_with_its_agents() {
    let machine = Machine::new();
    machine.write("w.yaml", REVIEW);
    killed(&machine, &["run", "--embedded", "-w", "w.yaml", "--no-save"]);
    // Neither who looks nor a run that ends, nor one that is refused, changes what is known of the one that has not ended.
    machine.run(&["runs", "prune", "--keep", "5", "--data-dir", "data"]).expect(0);
    machine.write("card.json", &Silent::start().card("other"));
    machine.write("set.yaml", "metadata: {id: set, name: Set, version: 1.0.0}\nsteps:\n- {id: a, step_type: set, value: 1}\n");
    machine.run(&["run", "--embedded", "-w", "set.yaml", "--agent-card", "card.json", "--no-save", "--data-dir", "data"]).expect(0);
    let refused = "metadata: {id: needs, name: Needs, version: 1.0.0}\ninput: {type: object, required: [n]}\nsteps: [{id: a, step_type: set, value: 1}]\n";
    machine.write("needs.yaml", refused);
    machine.run(&["run", "--embedded", "-w", "needs.yaml", "--agent-card", "card.json", "--no-save", "--data-dir", "data"]).expect(2);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, elsewhere) = (taken.local_addr().unwrap().port().to_string(), format!("http://{}", taken.local_addr().unwrap()));
    machine.run(&["serve", "--registry", &elsewhere, "--port", &port, "--data-dir", "data"]).expect(3);
    let run = runs(&machine).as_array().unwrap().iter().find(|run| run["workflow"] == "one-step").unwrap()["run"].clone();
    let hint = hint(&machine);
    assert_eq!(hint, "start `gantry serve --embedded --data-dir data`: it goes on with the runs, and this command reaches it");
    let _serving = obey(&machine, &commands(&hint)[0]);
    let ended = || runs(&machine).as_array().unwrap().iter().find(|one| one["run"] == run).unwrap()["status"].clone();
    assert_eq!(wait_for("the end of the run", || Some(ended()).filter(|status| status != "running")), "completed");
}

#[test]
fn an_agent_given_by_its_card_is_to_be_pushed_before_the_run_goes_on() {
    let (machine, silent) = (Machine::new(), Silent::start());
    machine.write("w.yaml", &one_step("wait"));
    machine.write("card.json", &silent.card("wait"));
    let run = ["run", "--embedded", "-w", "w.yaml", "--agent-card", "card.json", "--no-save", "--data-dir", "data"];
    let running = Running::spawn(machine.command(&run));
    silent.wait_for_call();
    running.signal("KILL");
    drop(running);
    let before = silent.taken.load(Ordering::SeqCst);
    let commands = commands(&hint(&machine));
    assert_eq!(commands.iter().map(|command| command[0].as_str()).collect::<Vec<_>>(), ["up", "agent", "serve"]);
    let (_up, addresses) = obey(&machine, &commands[0]);
    let here = |command: &Vec<String>| -> Vec<String> {
        let registry = addresses["registry"].as_str().unwrap();
        command.iter().map(|word| word.replace("http://localhost:5000", registry)).collect()
    };
    let push = here(&commands[1]);
    machine.run(&push.iter().map(String::as_str).collect::<Vec<_>>()).expect(0);
    let _serving = obey(&machine, &here(&commands[2]));
    wait_for("the next call", || (silent.taken.load(Ordering::SeqCst) > before).then_some(()));
    assert_eq!(runs(&machine)[0]["status"], "running", "its agent is asked again");
}

#[test]
fn a_run_of_up_goes_on_with_up() {
    let machine = Machine::new();
    let up = ["up", "--data-dir", "data"].map(str::to_owned);
    machine.write(
        "workflows/asks.yaml",
        "metadata: {id: asks, name: Asks, version: 1.0.0}\nsteps:\n- {id: a, step_type: input, prompt: Why}\n",
    );
    let (running, addresses) = obey(&machine, &up);
    machine.run(&["send", addresses["url"].as_str().unwrap(), "--data", "{\"workflow_id\": \"asks\"}"]).expect(5);
    running.signal("KILL");
    drop(running);
    // By what was noted, not by what else is there.
    std::fs::remove_dir_all(machine.path("data/registry")).unwrap();
    assert!(hint(&machine).starts_with("start `gantry up --data-dir data`: "));
}

/// What is in use already is no way out.
#[test]
fn a_run_without_an_agent_is_not_told_to_use_what_it_uses() {
    let machine = Machine::new();
    machine.write("w.yaml", &one_step("nobody_does_this"));
    let told = machine.run(&["run", "--embedded", "-w", "w.yaml", "--no-save"]).expect(1);
    let told = told.stdout + &told.stderr;
    let hint = told.split("hint: ").nth(1).unwrap_or_else(|| panic!("no hint: {told}"));
    assert!(hint.contains("what is built into gantry has no agent for it") && hint.contains("--agent-card"), "{hint}");
    assert!(hint.contains("--registry") && !hint.contains("--embedded") && !hint.contains("agent push"), "{hint}");
}

/// Where it is all that is known.
#[test]
fn a_run_that_has_ended_leaves_word_of_its_agents_when_it_may_be_retried() {
    let machine = Machine::new();
    machine.write("card.json", &Silent::start().card("other"));
    machine.write("set.yaml", "metadata: {id: set, name: Set, version: 1.0.0}\nsteps:\n- {id: a, step_type: set, value: 1}\n");
    machine.write("fails.yaml", &one_step("nobody_does_this"));
    for (workflow, code, told) in
        [("set.yaml", 0, "start `gantry serve --data-dir data`: "), ("fails.yaml", 1, "start `gantry up --ephemeral`, ")]
    {
        machine.run(&["run", "--embedded", "-w", workflow, "--agent-card", "card.json", "--no-save", "--data-dir", "data"]).expect(code);
        let hint = hint(&machine);
        assert!(hint.starts_with(told), "{workflow}: {hint}");
    }
}

#[test]
fn a_registry_that_is_not_served_is_named_as_a_shell_reads_it() {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.path("my data/registry")).unwrap();
    let serve = ["serve", "--embedded", "--port", "0", "--ready-file", "ready.json", "--data-dir", "my data"];
    let (running, _) = Running::ready(machine.command(&serve), &machine.path("ready.json"));
    running.signal("TERM");
    let told = running.end().expect(0).stderr;
    let directory = machine.path("my data").display().to_string();
    assert!(told.contains(&format!("the registry in {directory} is not served: `gantry up --data-dir '{directory}'` does")), "{told}");
}
