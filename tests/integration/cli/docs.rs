//! The documentation's examples run, and what it says of the program is so.

use super::Machine;

const REFERENCE: &str = include_str!("../../../docs/WORKFLOW_ENGINE.md");
const README: &str = include_str!("../../../README.md");

/// Every YAML block whose first line is `# workflow`, with the input in its second line.
fn examples() -> Vec<(&'static str, &'static str)> {
    let blocks = REFERENCE.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("\n```").map(|(block, _)| block));
    let examples = blocks.filter(|block| block.starts_with("# workflow\n"));
    examples.map(|block| (block, block.lines().nth(1).unwrap().strip_prefix("# input: ").unwrap())).collect()
}

#[test]
fn every_example_of_the_reference_runs() {
    let machine = Machine::new();
    let examples = examples();
    assert!(examples.len() >= 8, "found {}", examples.len());
    for (text, input) in examples {
        machine.write("example.yaml", text);
        machine.write("input.json", input);
        let ran = machine.run(&["workflow", "validate", "--deny-warnings", "example.yaml"]);
        assert_eq!(ran.code, Some(0), "{text}\n{}", ran.stderr);
        let report =
            machine.run(&["run", "--embedded", "--no-save", "--json", "-w", "example.yaml", "--input-file", "input.json"]).expect(0).json();
        assert_eq!(report["status"], "completed", "{text}\n{report:#}");
    }
}

#[test]
fn every_block_of_yaml_is_an_example() {
    assert_eq!(REFERENCE.matches("```yaml").count(), examples().len(), "a block that is not run goes stale");
}

#[test]
fn the_readme_names_every_subcommand_and_exit_code() {
    let help = Machine::new().run(&["--help"]).expect(0).stdout;
    let groups = help.split("Usage: ").nth(1).unwrap().split("Options:\n").next().unwrap();
    let commands: Vec<&str> =
        groups.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).filter(|command| *command != "help").collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        assert!(README.contains(&format!("gantry {command}")), "gantry {command}");
    }
    let codes = help.split("Exit codes:\n").nth(1).unwrap().lines().take_while(|line| line.starts_with("  "));
    for line in codes {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(README.contains(&format!("| {code} | {} |", meaning.trim())), "{line}");
    }
}
