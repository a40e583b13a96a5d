//! `gantry workflow validate` and `schema`: everything wrong is said at once, offline.

use super::{Machine, one_step};

const BROKEN: &str = "metadata: {id: broken, name: Broken, version: 1.0}
steps:
  - id: plan
    skil: create_plan
  - id: build
    skill: generate_code
    timeout: soon
    inputs: {plan: \"{{ steps.plam.outputs }}\"}
";

#[test]
fn all_mistakes_of_all_files_are_reported() {
    let machine = Machine::new();
    machine.write("folder/broken.yaml", BROKEN);
    machine.write("folder/deep/fine.yml", &one_step("x"));
    machine.write("folder/notes.txt", "not a workflow");
    machine.write("syntax.yaml", "steps: [\n");
    let ran = machine.run(&["workflow", "validate", "folder", "syntax.yaml", "missing.yaml"]).expect(1);
    for part in
        ["invalid-version", "unknown-key", "did you mean `skill`?", "invalid-duration", "undefined-step", "broken.yaml:4:5", "syntax.yaml:"]
    {
        assert!(ran.stderr.contains(part), "{part} in\n{}", ran.stderr);
    }
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.stdout);
    assert!(lines[0].starts_with("folder/broken.yaml: invalid (") && lines[1] == "folder/deep/fine.yml: ok (no problems)", "{lines:?}");
    assert!(lines[3].starts_with("missing.yaml: invalid (cannot be read)"), "{lines:?}");
}

#[test]
fn files_that_lead_back_to_each_other_are_refused_with_the_whole_circle() {
    let machine = Machine::new();
    let file = |id: &str, step: &str| format!("metadata: {{id: {id}, name: N, version: 1.0.0}}\nsteps:\n  - {{id: go, {step}}}\n");
    machine.write("web/a.yaml", &file("a", "step_type: workflow, workflow: b"));
    machine.write("web/b.yaml", &file("b", "skill: execute_workflow, inputs: {workflow_id: c, version: 1.0.0}"));
    machine.write("web/c.yaml", &file("c", "step_type: workflow, workflow: \"a:latest\""));
    machine.write("web/elsewhere.yaml", &file("e", "skill: execute_workflow, agent: other, inputs: {workflow_id: a}"));
    machine.write("web/fine.yaml", &file("f", "step_type: workflow, workflow: e"));
    machine.run(&["workflow", "validate", "web/a.yaml", "web/b.yaml"]).expect(0);
    let ran = machine.run(&["workflow", "validate", "web"]).expect(1);
    let circle = "workflow cycle: a:1.0.0 → b:1.0.0 → c:1.0.0 → a:1.0.0";
    for part in ["workflow-cycle", "web/a.yaml:3:5", "`loop`"] {
        assert!(ran.stderr.contains(part), "{part} in\n{}", ran.stderr);
    }
    assert!(ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ").contains(circle), "{}", ran.stderr);
    let verdicts: Vec<&str> = ran.stdout.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(verdicts, ["invalid", "invalid", "invalid", "ok", "ok"], "{}", ran.stdout);
}

#[test]
fn json_has_every_diagnostic_with_its_place() {
    let machine = Machine::new();
    machine.write("broken.yaml", BROKEN);
    machine.write("fine.yaml", &one_step("x"));
    let ran = machine.run(&["workflow", "validate", "--json", "broken.yaml", "fine.yaml"]).expect(1);
    assert_eq!(ran.stderr, "");
    let files = ran.json();
    assert_eq!((&files[0]["valid"], &files[1]["valid"], &files[1]["id"]), (&false.into(), &true.into(), &"one-step".into()));
    let found = files[0]["diagnostics"].as_array().unwrap();
    let unknown = found.iter().find(|one| one["code"] == "unknown-key").unwrap();
    assert_eq!((&unknown["line"], &unknown["column"], &unknown["severity"]), (&4.into(), &5.into(), &"error".into()));
}

#[test]
fn warnings_pass_unless_they_are_denied() {
    let machine = Machine::new();
    machine.write("empty.yaml", "metadata: {id: empty, name: Empty, version: 1.0.0}\nsteps: []\n");
    let ran = machine.run(&["workflow", "validate", "empty.yaml"]).expect(0);
    assert!(ran.stderr.contains("empty-steps") && ran.stdout.contains("ok (1 warning)"), "{ran:?}");
    machine.run(&["workflow", "validate", "--deny-warnings", "empty.yaml"]).expect(1);
}

#[test]
fn a_folder_without_workflows_is_a_mistake() {
    let machine = Machine::new();
    machine.write("folder/notes.txt", "");
    machine.run(&["workflow", "validate", "folder"]).expect(2);
}

#[test]
fn the_schema_is_a_json_schema() {
    let schema = Machine::new().run(&["workflow", "schema"]).expect(0).json();
    assert!(jsonschema::validator_for(&schema).is_ok());
    assert!(schema["properties"]["steps"].is_object(), "{schema:#}");
}
