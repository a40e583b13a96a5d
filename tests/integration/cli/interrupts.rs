//! Signals and time limits while a run is under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry::ids::{Digest, RunId};
use gantry::interpreter::{Event, SEMANTICS};
use gantry::journal::{Header, Journal as _, Sqlite};
use gantry::time::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Machine, Running, Silent, one_step, wait_for};

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

/// A loop in a loop that calls nobody: one event, and as many steps as a run may have.
const LONG: &str = "metadata: {id: long, name: Long, version: 1.0.0}
steps:
  - id: outer
    step_type: loop
    max_iterations: 10000
    until: \"{{ iteration == 9999 }}\"
    steps:
      - id: inner
        step_type: loop
        max_iterations: 10000
        until: \"{{ iteration == 9999 }}\"
        steps: [{id: one, step_type: set, value: 1}]
";

/// A machine with the journal of a run that has just begun to do all that.
fn machine_with_a_long_run() -> Machine {
    let machine = Machine::new();
    let (run, at) = (RunId::parse("long-run").unwrap(), Timestamp::from_unix_ms(1));
    let digest = Digest::parse(&format!("sha256:{}", hex::encode(Sha256::digest(LONG)))).unwrap();
    let header = Header {
        run: run.clone(),
        workflow: "long".into(),
        version: "1.0.0".into(),
        digest: digest.clone(),
        source: LONG.into(),
        idempotency_key: None,
        labels: BTreeMap::new(),
        note: None,
        started_at: at,
    };
    let input = Arc::new(json!({}));
    let started = Event::Started { run, workflow: digest, semantics: SEMANTICS, input, ancestry: vec![], work: None, at };
    std::fs::create_dir_all(machine.path("data/runs")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Sqlite::open(&machine.path("data/runs")).unwrap().create(header, started).await.unwrap() });
    machine
}

/// What a process has used of the processor, in ticks of 10 ms.
#[cfg(target_os = "linux")]
fn ticks(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(11)?.parse().ok()
}

#[test]
#[cfg(target_os = "linux")]
fn whoever_looks_at_a_long_run_can_leave_at_once() {
    let machine = machine_with_a_long_run();
    machine.run(&["runs", "export", "long-run", "--data-dir", "data", "--out", "run.json"]).expect(0);
    let commands = [
        (&["runs", "show", "long-run", "--data-dir", "data"][..], "INT"),
        (&["runs", "show", "long-run", "--json", "--data-dir", "data"], "TERM"),
        (&["replay", "run.json"], "INT"),
    ];
    for (command, signal) in commands {
        let running = Running::spawn(machine.command(command));
        wait_for("it to be at work", || ticks(running.child.id()).filter(|ticks| *ticks > 50));
        running.signal(signal);
        let ended = running.end().expect(130);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", "error: interrupted\n"), "{command:?}");
    }
}
