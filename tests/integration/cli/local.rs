//! `gantry run` on a machine that has nothing: everything it needs is brought along.

use serde_json::{Value, json};

use super::{Machine, one_step};

const REQUEST: &str = "Create a function to calculate prime numbers";

#[test]
fn the_first_command_runs_code_generation_and_leaves_its_results() {
    let machine = Machine::new();
    let ran = machine.run(&["run", "--embedded", REQUEST]).expect(0);
    for step in ["plan · create_plan", "build · generate_code", "test · review_code"] {
        assert!(ran.stdout.contains(step), "{}", ran.stdout);
        assert!(ran.stderr.contains(step), "{}", ran.stderr);
    }
    assert!(ran.stdout.contains("```python\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("saved in app"), "{}", ran.stderr);

    let metadata = machine.json("app/metadata.json");
    assert_eq!(metadata["workflow_id"], "code-generation-v1");
    assert_eq!(metadata["status"], "completed");
    assert_eq!(metadata["input"], json!({"requirements": REQUEST}));
    assert!(metadata["digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(metadata["started_at"].as_str() <= metadata["finished_at"].as_str());
    let steps = metadata["steps"].as_array().unwrap();
    assert_eq!(steps.iter().map(|step| &step["id"]).collect::<Vec<_>>(), ["plan", "build", "test"]);
    for step in steps {
        assert_eq!(step["status"], "completed");
        let saved = machine.json(&format!("app/{}", step["file"].as_str().unwrap()));
        assert!(saved.is_object(), "{saved}");
    }
    assert_eq!(steps[1]["agent"], "build-agent");
    let code = std::fs::read_to_string(machine.path("app").join(steps[1]["code_file"].as_str().unwrap())).unwrap();
    assert!(code.contains("def "), "{code}");

    // Nothing else was left on the machine.
    let mut left: Vec<_> = std::fs::read_dir(machine.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["app"]);
}

#[test]
fn every_example_runs() {
    let machine = Machine::new();
    for (workflow, request, look) in [
        ("code-generation-v1", REQUEST, "/output/code"),
        ("parallel-analysis-v1", "Ada Lovelace loved numbers. The engine was never built.", "/output"),
        ("smart-router-v1", "Write a Python function that sorts a list", "/output/result"),
        ("smart-router-v1", "Write a blog post about remote work", "/output/result"),
        ("data-analysis-v1", "month,sales\njan,10\nfeb,12\nmar,40", "/output/summary"),
        ("content-creation-v1", "Remote work", "/output/content"),
    ] {
        let report = machine.run(&["run", "--embedded", "--no-save", "--json", "-w", workflow, request]).expect(0).json();
        assert_eq!(report["status"], "completed", "{report:#}");
        assert_eq!(report["workflow"]["id"], workflow);
        assert!(report.pointer(look).is_some_and(|value| !value.is_null()), "{look} in {report:#}");
    }
    assert!(!machine.path("app").exists(), "--no-save saves nothing");
}

#[test]
fn json_is_exactly_one_object_with_everything() {
    let machine = Machine::new();
    let ran = machine.run(&["run", "--embedded", "--json", "--out", "results/here", REQUEST]).expect(0);
    let report = ran.json();
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["run_id", "status", "workflow", "input", "output", "error", "steps", "started_at", "finished_at", "duration_ms"];
    assert_eq!(keys, expected);
    let workflow: Vec<&str> = report["workflow"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(workflow, ["id", "name", "version", "digest", "reference", "choice"]);
    let step = report["steps"][0].as_object().unwrap();
    let expected =
        ["id", "path", "kind", "skill", "status", "outputs", "error", "attempts", "agent", "started_at", "finished_at", "duration_ms"];
    assert_eq!(step.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    assert_eq!((&step["attempts"], &step["agent"]["name"]), (&json!(1), &json!("plan-agent")));
    assert_eq!(ran.stderr, "", "a reader of JSON is told nothing else");
    assert_eq!(machine.json("results/here/metadata.json")["run_id"], report["run_id"]);
}

#[test]
fn quiet_prints_the_output_and_nothing_else() {
    let machine = Machine::new();
    let workflow = machine.write(
        "w.yaml",
        &format!("{}    inputs: {{text: I love it}}\noutput: \"{{{{ steps.only.status }}}}\"\n", one_step("analyze_sentiment")),
    );
    let ran = machine.run(&["run", "--embedded", "--quiet", "--no-save", "-w", workflow.to_str().unwrap()]).expect(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("completed\n", ""));
}

/// Why a run failed stands in its report alone; why a step failed that the run goes on from stands where it failed.
#[test]
fn a_reason_is_told_once() {
    let machine = Machine::new();
    let of = |rest: &str| format!("metadata: {{id: fails, name: Fails, version: 1.0.0}}\n{rest}");
    let reason = "error: {code: bad, message: \"boom\\nand more\"}";
    let inner = format!("      - {{id: f, step_type: fail, {reason}}}\n");
    let group = format!("  - id: g\n    step_type: parallel\n    branches:\n      x:\n{inner}");
    let handler = "error_handling:\n  on_error: [{id: h, step_type: set, value: 1}]\n";
    let soft = "  - {id: moment, step_type: wait, for: 50ms}\n  - {id: soft, step_type: fail, error: {code: mild, message: a drizzle}, on_error: continue}\n";
    for (rest, code, drizzles) in [
        (format!("steps:\n{group}"), 1, 0),
        (format!("{handler}steps:\n{group}"), 1, 0),
        (format!("steps:\n{soft}{group}"), 1, 1),
        (format!("steps:\n{soft}  - {{id: last, step_type: set, value: 1}}\n"), 0, 1),
    ] {
        machine.write("w.yaml", &of(&rest));
        let ran = machine.run(&["run", "--embedded", "--no-save", "-w", "w.yaml"]).expect(code);
        let counts = [ran.stderr.matches("boom").count(), ran.stderr.matches("a drizzle").count()];
        assert_eq!(counts, [usize::from(code == 1), drizzles], "{rest}: {}", ran.stderr);
        assert!(code == 0 || ran.stderr.contains("boom\nand more (bad)"), "in full, at the end: {}", ran.stderr);
    }
}

#[test]
fn inputs_come_as_pairs_files_and_requests() {
    let machine = Machine::new();
    machine.write("inputs.yaml", "text: from the file\n");
    machine.write("text.txt", "from text");
    machine.write(
        "w.yaml",
        "metadata: {id: w, name: W, version: 1.0.0}\ninput: {type: object, required: [text], properties: {text: {type: string}, n: {type: integer}}}\n\
         steps: [{id: a, skill: classify_topics, inputs: {text: \"{{ workflow.input.text }}\"}}]\noutput: \"{{ workflow.input }}\"\n",
    );
    for (arguments, expected) in [
        (&["--input", "text=x", "--input", "n=3"][..], json!({"text": "x", "n": 3})),
        (&["--input-file", "inputs.yaml", "-i", "n=1"], json!({"text": "from the file", "n": 1})),
        (&["--input", "text=@text.txt"], json!({"text": "from text"})),
        (&["a request"], json!({"text": "a request"})),
    ] {
        let mut all = vec!["run", "--embedded", "--no-save", "--json", "-w", "w.yaml"];
        all.extend(arguments);
        assert_eq!(machine.run(&all).expect(0).json()["output"], expected, "{arguments:?}");
    }
}

#[test]
fn a_folder_of_workflows_goes_over_the_built_in_ones() {
    let machine = Machine::new();
    let own =
        "metadata: {id: code-generation-v1, name: Mine, version: 2.0.0}\nsteps: [{id: a, skill: classify_topics, inputs: {text: hello}}]\n";
    machine.write("workflows/mine.yaml", own);
    machine.write("workflows/broken.yaml", "metadata: 3\n");
    let ran = machine.run(&["run", "--embedded", "--json", "--no-save"]).expect(0);
    assert_eq!(ran.json()["workflow"]["version"], "2.0.0");
    assert!(ran.stderr.contains("left out workflows/broken.yaml"), "{}", ran.stderr);
}

#[test]
fn lists_show_what_is_built_in() {
    let machine = Machine::new();
    let ran = machine.run(&["workflow", "list", "--embedded"]).expect(0);
    assert!(ran.stdout.starts_with("ID "), "{}", ran.stdout);
    let list = machine.run(&["workflow", "list", "--embedded", "--json"]).expect(0).json();
    let ids: Vec<&str> = list.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["code-generation-v1", "content-creation-v1", "data-analysis-v1", "parallel-analysis-v1", "smart-router-v1"]);
    let agents = machine.run(&["agent", "list", "--embedded", "--json"]).expect(0).json();
    assert_eq!(agents.as_array().unwrap().len(), 6);

    let shown = machine.run(&["workflow", "show", "smart-router-v1", "--embedded"]).expect(0).stdout;
    for part in ["id           smart-router-v1", "digest       sha256:", "code_generation:", "execute_workflow", "choice "] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    let shown: Value = machine.run(&["workflow", "show", "smart-router-v1", "--embedded", "--json"]).expect(0).json();
    assert_eq!(shown["steps"][1]["kind"], "switch");
    let agent = machine.run(&["agent", "show", "review_code", "--embedded", "--json"]).expect(0).json();
    assert_eq!(agent["card"]["name"], "test-agent");

    machine.run(&["workflow", "pull", "data-analysis-v1", "--embedded", "-o", "pulled.yaml"]).expect(0);
    machine.run(&["workflow", "validate", "--deny-warnings", "pulled.yaml"]).expect(0);
}

/// Whoever types `gantry run` cannot answer an `input` step: it ends the run at once, also as the very first step, unless its timeout and
/// default let it go on by itself.
#[test]
fn a_question_ends_the_run_unless_it_goes_on_by_itself() {
    let machine = Machine::new();
    let workflow = |steps: &str| format!("metadata: {{id: asks, name: Asks, version: 1.0.0}}\nsteps:\n{steps}");
    let moment = "  - {id: moment, step_type: wait, for: 10ms}\n";
    for (before, extra, status) in
        [("", "", 1), (moment, "", 1), ("", ", timeout: 100ms, default: 7", 0), (moment, ", timeout: 100ms, default: 7", 0)]
    {
        let steps = format!("{before}  - {{id: ask, step_type: input, prompt: Publish?{extra}}}\n");
        std::fs::write(machine.path("asks.yaml"), workflow(&steps)).unwrap();
        let ran = machine.run(&["run", "--embedded", "-w", "asks.yaml", "--no-save"]).expect(status);
        assert!(ran.stderr.contains("ask asks: "), "{steps}: {}", ran.stderr);
        assert_eq!(ran.stderr.contains("nobody here can answer"), status == 1, "{steps}: {}", ran.stderr);
    }
}

#[test]
fn the_output_of_a_run_that_calls_nobody_is_saved() {
    let machine = Machine::new();
    let text = "metadata: {id: only, name: Only, version: 1.0.0}\nsteps: [{id: a, step_type: set, value: 41}]\noutput: {answer: \"{{ steps.a.outputs + 1 }}\", of: a}\n";
    machine.write("only.yaml", text);
    machine.run(&["run", "--embedded", "-w", "only.yaml", "--out", "made"]).expect(0);
    assert_eq!(machine.json("made/metadata.json")["output_file"], "output.json");
    assert_eq!(machine.json("made/output.json"), json!({ "answer": 42, "of": "a" }));
}
