//! How output behaves: pipes that close, colours, secrets, what agents say.

use std::process::Stdio;

use serde_json::json;

use super::{Machine, Running, one_step};

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let machine = Machine::new();
    for arguments in [&["workflow", "schema"][..], &["--help"], &["completions", "bash"], &["workflow", "list", "--embedded", "--json"]] {
        let mut running = Running::spawn(machine.command(arguments));
        drop(running.child.stdout.take());
        running.child.stdout = None;
        let status = super::wait_for("the end", || running.child.try_wait().unwrap());
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut running.child.stderr.take().unwrap(), &mut stderr).unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    let mut command = machine.command(&["run", "--embedded", "--no-save", "hello"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "nobody listens on standard error");
}

#[test]
fn what_is_no_terminal_gets_no_escape_sequences() {
    let machine = Machine::new();
    for arguments in [&["run", "--embedded", "--no-save", "hello"][..], &["workflow", "validate", "missing.yaml"], &["--help"]] {
        let ran = machine.run(arguments);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let machine = Machine::new();
    let ran = machine.run(&["run", "--embedded", "--json", "--no-save", "--log", "debug", "--log-format", "json", "hello"]).expect(0);
    assert_eq!(ran.json()["status"], "completed", "logging leaves the data alone");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(!lines.is_empty());
    for line in lines {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line.is_object()), "{line}");
    }
}

#[test]
fn secrets_stay_secret_at_every_level() {
    const CANARY: &str = "sk-canary-5f1d";
    let machine = Machine::new();
    // Nobody listens there: the model call fails, and the failure travels through agent, run and report.
    let model = "openai:some-model@http://127.0.0.1:9/v1/";
    for arguments in
        [&["run", "--embedded", "--timeout", "20s", "hello"][..], &["run", "--embedded", "--json", "--timeout", "20s", "hello"]]
    {
        let mut command = machine.command(arguments);
        command.env("GANTRY_MODEL", model).env("GANTRY_MODEL_API_KEY", CANARY).env("GANTRY_LOG", "trace");
        command.env("GANTRY_REGISTRY_WRITE_TOKEN", CANARY);
        let ran = super::Ran::from(command.output().unwrap()).expect(1);
        assert!(!ran.stdout.contains(CANARY) && !ran.stderr.contains(CANARY));
        assert!(ran.stderr.lines().count() > 20, "the log was on");
    }
    for file in std::fs::read_dir(machine.path("app")).unwrap() {
        assert!(!std::fs::read_to_string(file.unwrap().path()).unwrap().contains(CANARY));
    }
}

#[test]
fn what_an_agent_says_is_shown_and_not_obeyed() {
    let machine = Machine::new();
    // The topic comes back in the draft, as an agent's words.
    let text = "Red \u{1b}[31malert\u{1b}]0;title\u{7} topic";
    machine.write("w.yaml", &format!("{}    inputs: {{topic: \"{{{{ workflow.input.topic }}}}\"}}\n", one_step("create_content")));
    let topic = format!("topic={text}");
    let ran = machine.run(&["run", "--embedded", "-w", "w.yaml", "--input", &topic]).expect(0);
    assert!(ran.stdout.contains("alert"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'));
}

#[test]
fn completions_know_the_subcommands() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = machine.run(&["completions", shell]).expect(0).stdout;
        for word in ["sample-agents", "validate", "registry-port"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
    machine.run(&["completions", "dos"]).expect(2);
}

const REPEATED: &str = "metadata: {id: repeated, name: Repeated, version: 1.0.0}
steps:
  - id: each
    step_type: map
    items: [1, 2]
    steps: [{id: inner, step_type: set, value: \"{{ item * 10 }}\"}]
    on_error: {steps: [{id: caught, step_type: set, value: 0}]}
  - {id: turns, step_type: loop, until: iteration == 1, max_iterations: 3, steps: [{id: turn, step_type: set, value: \"{{ iteration }}\"}]}
  - {id: none, step_type: map, items: [], steps: [{id: never, step_type: set, value: 1}]}
  - {id: asks, step_type: map, items: [1], steps: [{id: asked, step_type: input, prompt: well, timeout: 0.2, default: 7}]}
";

/// A step in a map or loop is told as often as it was begun, and not as one whose turn never came.
#[test]
fn steps_in_maps_and_loops_are_told_each_time() {
    let machine = Machine::new();
    machine.write("repeated.yaml", REPEATED);
    let report = machine.run(&["run", "-w", "repeated.yaml", "--embedded", "--no-save", "--json"]).expect(0).json();
    let steps = report["steps"].as_array().unwrap().iter();
    let told: Vec<_> = steps.map(|step| json!([step["path"], step["status"], step["outputs"]])).collect();
    let expected = json!([
        ["/0:each", "completed", [10, 20]],
        ["/0:each!/0:caught", "skipped", null],
        ["/0:each[0]/0:inner", "completed", 10],
        ["/0:each[1]/0:inner", "completed", 20],
        ["/1:turns", "completed", 1],
        ["/1:turns[0]/0:turn", "completed", 0],
        ["/1:turns[1]/0:turn", "completed", 1],
        ["/2:none", "completed", []],
        ["/2:none[0]/0:never", "pending", null],
        ["/3:asks", "completed", [7]],
        ["/3:asks[0]/0:asked", "completed", 7],
    ]);
    assert_eq!(json!(told), expected, "{report:#}");
    assert!(report["has_more_steps"].is_null() && report["steps"][2]["started_at"].is_string(), "{report:#}");
    // It lasts from its question on.
    assert!(report["steps"][10]["duration_ms"].as_u64().unwrap() >= 200, "{report:#}");
}

/// A run below says how it failed, with the code, and that is not said once more.
#[test]
fn the_code_of_an_error_is_told_once() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("workflows")).unwrap();
    let steps = "[{id: f, step_type: fail, error: {code: enough, message: it is}}]";
    machine.write("workflows/child.yaml", &format!("metadata: {{id: child, name: C, version: 1.0.0}}\nsteps: {steps}\n"));
    let steps = "[{id: c, step_type: workflow, workflow: child, on_error: continue}, {id: d, step_type: workflow, workflow: child}]";
    machine.write("parent.yaml", &format!("metadata: {{id: parent, name: P, version: 1.0.0}}\nsteps: {steps}\n"));
    let ran = machine.run(&["run", "--embedded", "-w", "parent.yaml", "--no-save", "--data-dir", "data"]).expect(1);
    let run = machine.run(&["runs", "list", "--data-dir", "data", "--workflow", "parent", "--json"]).expect(0).json();
    let run = run[0]["run"].as_str().unwrap().to_owned();
    let shown = machine.run(&["runs", "show", &run, "--data-dir", "data"]).expect(0).stdout;
    for (text, times) in [(&ran.stderr, 2), (&shown, 3)] {
        assert_eq!(text.matches("it is (enough)").count(), times, "{text}");
        assert!(!text.contains("(enough) ("), "{text}");
    }
}
