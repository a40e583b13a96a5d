//! `gantry run --idempotency-key`: the same key gives the same run, whatever became of the process that began it.

use std::time::Duration;

use gantry::limits::MESSAGE_ID_BYTES_MAX;
use serde_json::{Value, json};

use super::runs::Counting;
use super::{Machine, Running, wait_for};

const PARENT: &str = "metadata: {id: parent, name: Parent, version: 1.0.0}
steps:
  - {id: first, skill: quick, inputs: {of: \"{{ workflow.input.requirements }}\"}}
  - {id: below, step_type: workflow, workflow: child}
output: {first: \"{{ steps.first.outputs }}\", below: \"{{ steps.below.outputs }}\"}
";
const CHILD: &str = "metadata: {id: child, name: Child, version: 1.0.0}
steps: [{id: second, skill: quick}, {id: third, skill: slow}]
";

const RUN: &[&str] = &["run", "--embedded", "-w", "parent.yaml", "--agent-card", "card.json", "--no-save", "--data-dir", "data", "--json"];

/// A machine with the workflows, and an agent that never answers the first calls of `slow`, so many.
fn machine(hanging: usize) -> (Machine, Counting) {
    let machine = Machine::new();
    let agent = Counting::start(move |call, before| match (call.skill.as_str(), before) {
        ("slow", before) if before < hanging => (Duration::from_secs(600), Ok(json!({}))),
        (skill, _) => (Duration::ZERO, Ok(json!({"did": skill}))),
    });
    machine.write("parent.yaml", PARENT);
    std::fs::create_dir(machine.path("workflows")).unwrap();
    machine.write("workflows/child.yaml", CHILD);
    machine.write("card.json", &agent.card(&["quick", "slow"]).to_string());
    (machine, agent)
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [RUN, more].concat()
}

#[test]
fn a_run_whose_process_was_killed_goes_on_with_the_same_key_and_is_told_ever_after() {
    let (machine, agent) = machine(1);
    let mut killed = Running::spawn(machine.command(&with(&["--idempotency-key", "k", "hello"])));
    wait_for("the call", || agent.calls().iter().any(|call| call.skill == "slow").then_some(()));
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    let left = machine.run(&["runs", "list", "--data-dir", "data", "--json"]).expect(0).json();
    let left: Vec<&Value> = left.as_array().unwrap().iter().collect();
    assert!(left.len() == 2 && left.iter().all(|run| run["status"] == "running"), "{left:#?}");

    let report = machine.run(&with(&["--idempotency-key", "k", "hello"])).expect(0).json();
    let parent = left.iter().find(|run| run["workflow"] == "parent").unwrap();
    assert_eq!(report["run_id"], parent["run"]);
    assert_eq!(report["output"], json!({"first": {"did": "quick"}, "below": {"did": "slow"}}));
    let skills = || agent.calls().into_iter().map(|call| call.skill).collect::<Vec<_>>();
    assert_eq!(skills(), ["quick", "quick", "slow", "slow"], "what was in flight is asked for again, and nothing else");

    // That it was taken up again is told, and is no difference to a replay.
    let run = report["run_id"].as_str().unwrap();
    let show = |run: &str, more: &[&str]| machine.run(&[&["runs", "show", run, "--data-dir", "data"], more].concat()).expect(0);
    let told = show(run, &["--json"]).json();
    let (started, resumed) = (told["started_at"].as_str().unwrap(), told["resumed_at"].as_array().unwrap());
    assert!(resumed.len() == 1 && resumed[0].as_str().unwrap() > started, "{told:#}");
    let shown = show(run, &[]).stdout;
    assert!(shown.contains(&format!("\nresumed      {}\n", resumed[0].as_str().unwrap())), "{shown}");
    // The run of its sub-workflow is named; that one has none.
    let child = left.iter().find(|run| run["workflow"] == "child").unwrap()["run"].as_str().unwrap();
    assert_eq!(told["children"], json!([{"step": "/1:below", "run": child, "workflow": "child", "status": "completed"}]));
    assert!(shown.contains(&format!("\n  below started run {child} of child (completed)\n")), "{shown}");
    assert_eq!(show(child, &["--json"]).json()["children"], Value::Null);
    machine.run(&["runs", "export", run, "--data-dir", "data", "--out", "run.json"]).expect(0);
    machine.run(&["replay", "run.json"]).expect(0);

    // It has ended, and is told again.
    let again = machine.run(&with(&["--idempotency-key", "k", "hello"])).expect(0).json();
    assert_eq!((&again["run_id"], &again["output"]), (&report["run_id"], &report["output"]));
    assert_eq!(skills().len(), 4, "nobody is called");
    let mut chatty = with(&["--idempotency-key", "k", "hello"]);
    chatty.retain(|argument| *argument != "--json");
    let told = machine.run(&chatty).expect(0).stderr;
    let before = format!("run {} was started with this idempotency key before", report["run_id"].as_str().unwrap());
    assert!(told.contains(&before), "{told}");
    // Another key is another run.
    let other = machine.run(&with(&["--idempotency-key", "other", "hello"])).expect(0).json();
    assert_ne!(other["run_id"], report["run_id"]);
    assert!(show(other["run_id"].as_str().unwrap(), &["--json"]).json()["resumed_at"].is_null(), "one process had it all the time");
    // A key is bounded.
    let (longest, over) = ("k".repeat(MESSAGE_ID_BYTES_MAX), "k".repeat(MESSAGE_ID_BYTES_MAX + 1));
    machine.run(&with(&["--idempotency-key", &longest, "hello"])).expect(0);
    for (key, told) in [(over.as_str(), "a key has at most 8192 bytes"), ("", "a key has at least one character")] {
        let refused = machine.run(&with(&["--idempotency-key", key, "hello"])).expect(2).stderr;
        assert!(refused.contains(told), "{refused}");
        assert!(refused.len() < 200, "it is not told again: {refused}");
    }
}

/// The process was killed when the end of the run above was stored, and before the one below had heard of it.
#[test]
fn what_nobody_waits_for_any_more_is_canceled() {
    let (machine, agent) = machine(usize::MAX);
    let mut killed = Running::spawn(machine.command(&with(&["--idempotency-key", "k", "hello"])));
    wait_for("the call", || agent.calls().iter().any(|call| call.skill == "slow").then_some(()));
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    let listed = || machine.run(&["runs", "list", "--data-dir", "data", "--json"]).expect(0).json();
    let at = listed()[0]["changed_at"].as_str().unwrap().to_owned();
    {
        let db = rusqlite::Connection::open(machine.path("data/runs/journal.sqlite3")).unwrap();
        let end = json!({"event": "cancel_requested", "reason": "by hand", "at": at}).to_string();
        let added = "INSERT INTO events (id, seq, body) SELECT id, (SELECT max(seq) + 1 FROM events WHERE events.id = runs.id), ?1 \
                     FROM runs WHERE workflow = 'parent'";
        assert_eq!(db.execute(added, [end.as_bytes()]).unwrap(), 1);
        db.execute("UPDATE runs SET status = 'canceled' WHERE workflow = 'parent'", []).unwrap();
    }
    let told = machine.run(&with(&["--idempotency-key", "k", "hello"])).expect(1).json();
    assert_eq!(told["status"], "canceled");
    let left = listed();
    assert!(left.as_array().unwrap().iter().all(|run| run["status"] == "canceled"), "{left:#}");
    let mut chatty = with(&["--idempotency-key", "k", "hello"]);
    chatty.retain(|argument| *argument != "--json");
    let told = machine.run(&chatty).expect(1).stderr;
    assert!(told.contains("choose another key for a new run"), "{told}");
}

#[test]
fn a_key_that_comes_with_something_else_is_refused() {
    let (machine, _agent) = machine(1);
    machine.write("parent.yaml", "metadata: {id: parent, name: P, version: 1.0.0}\nsteps: [{id: a, step_type: set, value: 1}]\n");
    machine.run(&with(&["--idempotency-key", "k", "hello"])).expect(0);
    let refused = "idempotency key `k` was used before with another workflow or input";
    let other_input = machine.run(&with(&["--idempotency-key", "k", "other"])).expect(2);
    assert!(other_input.stderr.contains(refused) && other_input.stderr.contains("choose another key"), "{other_input:?}");
    machine.write("parent.yaml", "metadata: {id: parent, name: P, version: 1.0.0}\nsteps: [{id: a, step_type: set, value: 2}]\n");
    let other_workflow = machine.run(&with(&["--idempotency-key", "k", "hello"])).expect(2);
    assert!(other_workflow.stderr.contains(refused), "{other_workflow:?}");
    let nowhere = machine.run(&["run", "--embedded", "--idempotency-key", "k", "hello"]).expect(2);
    assert!(nowhere.stderr.contains("--data-dir"), "a run in memory has no other: {}", nowhere.stderr);
    machine.run(&with(&["--idempotency-key", "", "hello"])).expect(2);
}
