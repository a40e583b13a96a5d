//! Signals and time limits while a run is under way.

use super::{Machine, Running, Silent, one_step};

fn machine_with(silent: &Silent) -> Machine {
    let machine = Machine::new();
    machine.write("w.yaml", &one_step("wait"));
    machine.write("card.json", &silent.card("wait"));
    machine
}

const RUN: [&str; 6] = ["run", "--embedded", "-w", "w.yaml", "--agent-card", "card.json"];

#[test]
fn an_interrupt_cancels_the_run_and_keeps_what_there_is() {
    for signal in ["INT", "TERM"] {
        let silent = Silent::start();
        let machine = machine_with(&silent);
        let running = Running::spawn(machine.command(&RUN));
        silent.wait_for_call();
        running.signal(signal);
        let ran = running.end().expect(130);
        assert!(ran.stderr.contains("was canceled after") && ran.stderr.contains("\n  interrupted\n"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("(canceled)"), "said once: {}", ran.stderr);
        let metadata = machine.json("app/metadata.json");
        assert_eq!((&metadata["status"], &metadata["steps"][0]["status"]), (&"canceled".into(), &"canceled".into()), "{signal}");
    }
}

#[test]
fn a_run_that_takes_too_long_is_canceled() {
    let silent = Silent::start();
    let machine = machine_with(&silent);
    let mut arguments = RUN.to_vec();
    arguments.extend(["--timeout", "300ms", "--json"]);
    let report = machine.run(&arguments).expect(1).json();
    assert_eq!(report["status"], "canceled");
    assert!(report["error"]["message"].as_str().unwrap().contains("longer than 300ms"), "{report:#}");
}

#[test]
fn a_step_that_takes_too_long_fails_by_name() {
    let silent = Silent::start();
    let machine = machine_with(&silent);
    machine.write("w.yaml", &format!("{}    timeout: 200ms\n", one_step("wait")));
    let ran = machine.run(&RUN).expect(1);
    for part in ["step `only`", "w.yaml:3", "silent-agent", "(timeout)"] {
        assert!(ran.stderr.contains(part), "{part} in\n{}", ran.stderr);
    }
    assert_eq!(machine.json("app/metadata.json")["status"], "failed");
}
