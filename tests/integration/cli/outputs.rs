//! How output behaves: pipes that close, colours, secrets, what agents say.

use std::process::Stdio;
use std::time::Duration;

use gantry::limits;
use serde_json::{Value, json};

use super::runs::Counting;
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

/// A run tells no end of what its maps and loops came to: as much as it has updates up to a bound, and that there is more.
#[test]
fn what_steps_in_maps_came_to_is_told_up_to_a_bound() {
    const MAP: &str = "metadata: {id: many, name: Many, version: 1.0.0}
steps: [{id: each, step_type: map, items: \"{{ workflow.input.items }}\", steps: [{id: inner, step_type: set, value: 1}]}]
output: ended
";
    let machine = Machine::new();
    machine.write("many.yaml", MAP);
    // The beginnings and the ends of the run and of the map are updates as well.
    let fit = limits::REPORT_UPDATES_MAX as usize - 4;
    for (items, told, has_more) in [(fit, fit, json!(null)), (fit + 5, fit + 2, json!(true))] {
        machine.write("input.json", &json!({ "items": vec![0; items] }).to_string());
        let arguments = ["run", "-w", "many.yaml", "--input-file", "input.json", "--embedded", "--no-save", "--json"];
        let report = machine.run(&arguments).expect(0).json();
        let inner = report["steps"].as_array().unwrap().iter().filter(|step| step["id"] == "inner");
        assert_eq!((inner.count(), &report["has_more_steps"]), (told, &has_more), "{items} items");
        // What the run came to is told, however much it did.
        assert_eq!((&report["status"], &report["output"]), (&json!("completed"), &json!("ended")), "{items} items");
    }
}

/// Calls before, in, between and after what repeats or may not come, and in what is called when something failed.
const NUMBERED: &str = "metadata: {id: numbered, name: Numbered, version: 1.0.0}
steps:
  - {id: first, skill: say}
  - id: each
    step_type: map
    items: \"{{ workflow.input.items }}\"
    steps:
      - {id: inner, skill: say}
      - {id: turns, step_type: loop, until: iteration == 1, max_iterations: 3, steps: [{id: turn, skill: say}]}
    on_error: {steps: [{id: caught, skill: say}]}
  - {id: value, step_type: set, value: 1}
  - id: maybe
    step_type: conditional
    condition: \"{{ workflow.input.items | length > 1 }}\"
    branches: {if_true: [{id: more, skill: say}], if_false: [{id: fewer, skill: say}]}
  - {id: last, skill: say}
";

/// The files of calls are numbered in the author's order. A call in a map or loop has its number and no file, a call whose turn did not
/// come has its number as well: what a file is called does not depend on how often anything ran, nor on how the run is told.
#[test]
fn files_are_numbered_as_the_author_wrote_the_calls_whatever_ran_how_often() {
    let agent = Counting::start(|_, n| (Duration::ZERO, Ok(json!({ "said": n }))));
    let machine = Machine::new();
    machine.write("card.json", &agent.card(&["say"]).to_string());
    machine.write("w.yaml", NUMBERED);
    let run = ["run", "--embedded", "-w", "w.yaml", "--agent-card", "card.json", "--input-file", "input.json", "--out", "app"];
    let (some, none) = (json!([1, 2, 3]), json!([]));
    for (items, more, branch) in
        [(&some, &[][..], "5-more"), (&some, &["--json"], "5-more"), (&none, &["--json"], "6-fewer"), (&none, &[], "6-fewer")]
    {
        machine.write("input.json", &json!({ "items": items }).to_string());
        machine.run(&[&run[..], more].concat()).expect(0);
        let metadata = machine.json("app/metadata.json");
        let branch = format!("{branch}.json");
        let expected = ["metadata.json", "1-first.json", &branch, "7-last.json", "output.json"];
        assert_eq!(metadata["files"], json!(expected), "{items} {more:?}");
        let steps: Vec<_> = metadata["steps"].as_array().unwrap().iter().map(|step| json!([step["id"], step["file"]])).collect();
        let of = |id: &str| if branch.ends_with(&format!("-{id}.json")) { json!(branch) } else { Value::Null };
        let told =
            json!([["first", "1-first.json"], ["caught", null], ["more", of("more")], ["fewer", of("fewer")], ["last", "7-last.json"]]);
        assert_eq!(json!(steps), told, "{items} {more:?}");
        // Of the run before nothing is left.
        let mut there: Vec<_> = std::fs::read_dir(machine.path("app")).unwrap().map(|file| file.unwrap().file_name()).collect();
        there.sort();
        let mut sorted = expected;
        sorted.sort_unstable();
        assert_eq!(there, sorted, "{items} {more:?}");
    }
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

/// A loop has a line for each of its repetitions, but not millions of them.
#[test]
fn the_progress_of_a_step_that_is_repeated_very_often_has_an_end() {
    let machine = Machine::new();
    let steps = "[{id: many, step_type: loop, max_iterations: 20000, until: \"{{ iteration == 19999 }}\", steps: [{id: one, step_type: set, value: 1}]}, {id: last, step_type: set, value: 2}]";
    machine.write("w.yaml", &format!("metadata: {{id: w, name: W, version: 1.0.0}}\nsteps: {steps}\n"));
    let told = machine.run(&["run", "--embedded", "-w", "w.yaml", "--no-save"]).expect(0).stderr;
    let lines = |step: &str| told.lines().filter(|line| line.starts_with(&format!("✓ {step}"))).count();
    // Whoever watches may have missed some: what is known of those is where they are.
    let left_out = told.lines().find_map(|line| line.strip_prefix("  one: … ")?.split(' ').next()?.parse::<u32>().ok());
    let shown = lines("one");
    assert!(shown <= 1_000 && left_out.unwrap_or(0) <= 19_000, "{shown} {left_out:?}");
    assert!(shown < 1_000 || left_out.is_some(), "what is not shown is counted");
    assert_eq!(lines("last"), 1, "the others have theirs");
}
