//! Exit codes, and that every failure says what happened and what to do.

use super::{Machine, one_step};

fn check(machine: &Machine, arguments: &[&str], code: i32, parts: &[&str]) {
    let ran = machine.run(arguments).expect(code);
    for part in parts {
        assert!(ran.stderr.contains(part), "{arguments:?}: no {part:?} in\n{}", ran.stderr);
    }
}

#[test]
fn every_failure_has_its_code_and_says_what_to_do() {
    let machine = Machine::new();
    machine.write("nobody.yaml", &one_step("juggle"));
    machine.write("no body.yaml", &one_step("juggle"));
    machine.write("refused.yaml", &one_step("analyze_data"));
    machine.write("broken.yaml", "metadata: {id: broken, name: Broken, version: 1.0.0}\nsteps:\n  - id: a\n    skil: x\n");
    machine.write("strict.yaml", &format!("{}input: {{type: object, required: [n]}}\n", one_step("classify_topics")));
    machine.write("card.json", "{\"nonsense\": true}");
    machine.write("app/metadata.json", "{\"name\": \"somebody else's\"}");
    let nobody = "http://127.0.0.1:9";
    for (arguments, code, parts) in [
        (&["run", "--embedded", "-w", "nobody.yaml", "--no-save"][..], 1, &["step `only`", "nobody.yaml:", "juggle", "hint: "][..]),
        (
            &["run", "--embedded", "-w", "refused.yaml", "--no-save", "--agent-choice", "round-robin", "--calls-max", "1"],
            1,
            &["step `only`", "data-agent"],
        ),
        (&["run", "--embedded", "-w", "broken.yaml"], 1, &["broken.yaml", "unknown key `skil`", "did you mean `skill`?"]),
        (&["workflow", "validate", "broken.yaml"], 1, &["did you mean `skill`?"]),
        (&["run", "--embedded", "nobody.yaml"], 2, &["`nobody.yaml` is a file", "hint: `gantry run --workflow nobody.yaml`"]),
        (&["run", "--embedded", "no body.yaml"], 2, &["hint: `gantry run --workflow 'no body.yaml'`"]),
        (&["run", "--embedded", "-w", "code-generation-v1", "nobody.yaml", "--no-save"], 0, &[]),
        (&["run", "--embedded", "no-such-file.yaml", "--no-save"], 0, &[]),
        (&["run", "--frob"], 2, &["--frob"]),
        (&[], 2, &["Usage: gantry"]),
        (&["workflow"], 2, &["Usage: gantry workflow"]),
        (&["run", "--embedded", "--registry", nobody], 2, &["cannot be used with"]),
        (&["run", "--embedded", "--input", "x"], 2, &["KEY=VALUE"]),
        (&["run", "--embedded", "--timeout", "soon"], 2, &["30s"]),
        (&["run", "--embedded", "--agent-choice", "best"], 2, &["expected first, round_robin or least_busy"]),
        (&["serve", "--embedded", "--calls-max", "0"], 2, &["--calls-max"]),
        (&["run", "--embedded", "-w", "strict.yaml", "--no-save"], 2, &["does not fit", "\"n\"", "--input"]),
        (&["run", "--embedded", "-w", "strict.yaml", "--version", "v1"], 2, &["--version"]),
        (&["run", "--embedded", "--agent-card", "card.json"], 2, &["card.json"]),
        (&["run", "--embedded", "--model", "skynet"], 2, &["skynet"]),
        (&["--log", "gantry=loud", "workflow", "list"], 2, &["gantry=loud"]),
        (&["--config", "missing.toml", "workflow", "list"], 2, &["missing.toml"]),
        (
            &["run", "--embedded", "-w", "cod-generation-v1"],
            3,
            &["cod-generation-v1", "did you mean `code-generation-v1`?", "gantry workflow list"],
        ),
        (&["run", "--embedded", "-w", "missing.yaml"], 3, &["there is no file `missing.yaml`"]),
        (&["run", "--embedded", "--agent-card", nobody], 3, &[nobody]),
        (&["run", "--registry", nobody], 3, &[":9"]),
        (&["workflow", "push", "nobody.yaml", "--registry", nobody], 3, &[":9"]),
        (&["workflow", "push", "nobody.yaml", "--embedded"], 3, &["gantry up"]),
        (&["agent", "show", "juggle", "--embedded"], 3, &["juggle", "gantry agent list"]),
        (&["run", "--embedded", "hello"], 2, &["metadata.json", "was not started", "--out"]),
        (&["run", "--embedded", "--out", "card.json", "hello"], 2, &["cannot write `card.json`", "is not a directory", "--no-save"]),
        (&["run", "--embedded", "--out", "card.json/deep/er", "hello"], 2, &["`card.json/deep/er`", "`card.json` is not a directory"]),
        (&["workflow", "pull", "code-generation-v1", "--embedded", "-o", "none/w.yaml"], 2, &["cannot write `none/w.yaml`: No such file"]),
        (
            &["run", "--embedded", "--no-save", "--input", "requirements=42"],
            2,
            &["requirements: 42 is not of type", "hint: `requirements` is a text", "--input 'requirements=\"42\"'"],
        ),
        (&["run", "--embedded", "-w", "Bad_Name!"], 2, &["`Bad_Name!` is not a valid repository name"]),
        (&["run", "--embedded", "-w", "code-generation-v1", "--version", "a b"], 2, &["`a b` is not a valid tag"]),
        (&["workflow", "show", "a@b", "--embedded"], 2, &["`b` is not a valid digest"]),
        (&["workflow", "pull", "user:hunter2@host/x", "--embedded"], 2, &["must not hold a user name or password"]),
    ] {
        check(&machine, arguments, code, parts);
    }
    assert!(!machine.path("none").exists(), "a place that cannot be written is not made");
    assert_eq!(std::fs::read_to_string(machine.path("app/metadata.json")).unwrap(), "{\"name\": \"somebody else's\"}");
}

#[test]
fn help_documents_the_codes_and_goes_to_standard_output() {
    let machine = Machine::new();
    let help = machine.run(&["--help"]).expect(0).stdout;
    for line in ["  0    done", "  1    the run or task failed", "  2    ", "  3    ", "  4    ", "  5    ", "  130  interrupted"] {
        assert!(help.contains(line), "{line} in\n{help}");
    }
    assert!(machine.run(&["--version"]).expect(0).stdout.starts_with("gantry "));
}

#[test]
fn a_failed_start_is_one_object_too() {
    let machine = Machine::new();
    machine.write("broken.yaml", "metadata: {id: broken, name: Broken, version: 1.0.0}\nsteps:\n  - id: a\n    skil: x\n");
    let report = machine.run(&["run", "--embedded", "--json", "-w", "broken.yaml"]).expect(1).json();
    assert_eq!(report["status"], "not_started");
    assert!(report["error"]["diagnostics"].as_array().is_some_and(|found| !found.is_empty()), "{report:#}");
    let report = machine.run(&["run", "--embedded", "--json", "-w", "nowhere"]).expect(3).json();
    assert!(report["error"]["message"].as_str().unwrap().contains("nowhere"), "{report:#}");
}
