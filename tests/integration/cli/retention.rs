//! What a gantry forgets by itself when it starts, by its configuration, and what it keeps all the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::runs::{Counting, Gantry, World};
use super::wait_for;

const LARGE: usize = 300_000;

/// A gantry stops; another one with this setting starts on the same directory.
fn again(world: &World, gantry: Gantry, setting: &str) -> Gantry {
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
    let config = world.machine.write("keep.toml", &format!("{setting}\n"));
    world.serve(&["--config", config.to_str().unwrap()])
}

fn left(world: &World) -> Vec<String> {
    let mut runs: Vec<_> = world.list().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect();
    runs.sort();
    runs
}

/// Values that are kept beside the events.
fn blobs(world: &World) -> i64 {
    let db = rusqlite::Connection::open(world.data_dir().join("runs/journal.sqlite3")).unwrap();
    db.query_row("SELECT count(*) FROM blobs", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_start_forgets_what_the_configuration_does_not_keep_and_no_more() {
    let of = |id: &str, steps: &str| format!("metadata: {{id: {id}, name: W, version: 1.0.0}}\nsteps:\n{steps}");
    let workflows = [
        of("large", "- {id: a, skill: one}\n"),
        of("child", "- {id: c, step_type: set, value: 1}\n"),
        of("parent", "- {id: sub, step_type: workflow, workflow: child}\n- {id: q, step_type: input, prompt: well}\n"),
    ];
    let world = World::of(&["one"], &workflows, Counting::start(|_, _| (Duration::ZERO, Ok(json!("x".repeat(LARGE))))));
    let gantry = world.serve(&[]);
    let run = |workflow: &str, n: u32, status: &str| {
        let data = json!({ "workflow_id": workflow, "input": { "n": n } });
        let run = world.send(&gantry, json!({ "messageId": format!("{workflow}-{n}"), "parts": [{ "data": data }] })).unwrap();
        world.until(&run, status);
        run
    };
    let parent = run("parent", 1, "input_required");
    let (old, new) = (run("large", 1, "completed"), run("large", 2, "completed"));
    let child = |run: &&Value| run["labels"]["parent"] == *parent;
    let child = world.list().iter().find(child).map(|run| run["run"].as_str().unwrap().to_owned()).expect("the run of the sub-workflow");
    let sorted = |runs: &[&String]| {
        let mut runs: Vec<String> = runs.iter().map(|run| (*run).clone()).collect();
        runs.sort();
        runs
    };
    assert_eq!(left(&world), sorted(&[&parent, &child, &old, &new]));
    assert_eq!(blobs(&world), 1, "both have the same large value");

    // The latest one is kept, and its large value with it. The child ended before both, but its parent may ask for it again.
    let gantry = again(&world, gantry, "keep_runs_max = 1");
    wait_for("the older run to be forgotten", || (left(&world) == sorted(&[&parent, &child, &new])).then_some(()));
    assert_eq!(blobs(&world), 1);
    // Everything that has ended is too old; the value goes with the last run that has it.
    let gantry = again(&world, gantry, "keep_runs_for = \"1ms\"");
    wait_for("every run that stands alone to be forgotten", || (left(&world) == sorted(&[&parent, &child])).then_some(()));
    assert_eq!(blobs(&world), 0);
    world.runs(&["answer", &parent, "true"]).expect(0);
    world.until(&parent, "completed");
    let gantry = again(&world, gantry, "keep_runs_for = \"1ms\"");
    wait_for("the parent and its child to be forgotten", || left(&world).is_empty().then_some(()));
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
}

/// Runs are forgotten by name when they have ended, or when nobody can read them any more: through the gantry that holds them and without one.
#[test]
fn a_run_is_forgotten_by_name_when_it_has_ended_or_cannot_be_read() {
    let steps = "steps:\n- {id: q, step_type: input, prompt: well}\n";
    let world = World::new(steps, Counting::start(|_, _| (Duration::ZERO, Ok(json!(1)))));
    let gantry = world.serve(&[]);
    let runs: Vec<String> = (0..4).map(|n| world.start(&gantry, n).unwrap()).collect();
    let [ended, served, alone, healthy] = &runs[..] else { unreachable!() };
    for run in &runs {
        world.until(run, "input_required");
    }
    world.runs(&["answer", ended, "yes"]).expect(0);
    world.until(ended, "completed");
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
    let db = rusqlite::Connection::open(world.data_dir().join("runs/journal.sqlite3")).unwrap();
    let damage = "UPDATE events SET body = x'7b' WHERE seq = 0 AND id IN (SELECT id FROM runs WHERE run IN (?1, ?2))";
    assert_eq!(db.execute(damage, [served, alone]).unwrap(), 2);
    drop(db);

    let gantry = world.serve(&[]);
    for command in [&["cancel", served][..], &["show", served], &["follow", served]] {
        let refused = world.runs(command).expect(4).stderr;
        assert!(refused.contains("event 0 cannot be read"), "{command:?}: {refused}");
    }
    let kept = world.runs(&["prune", healthy]).expect(1).stderr;
    assert!(
        kept.contains(&format!("run `{healthy}` has not ended")) && kept.contains(&format!("`gantry runs cancel {healthy} --data-dir ")),
        "{kept}"
    );
    let told = world.runs(&["prune", served, ended]).expect(0).stderr;
    for part in [
        format!("run {served} of chain 1.0.0, started "),
        "it has not ended, and cannot be read: event 0 cannot be read".to_owned(),
        format!("run {served} is forgotten\n"),
        format!("run {ended} is forgotten\n"),
    ] {
        assert!(told.contains(&part), "{part} in {told}");
    }
    assert!(world.runs(&["cancel", served]).expect(3).stderr.contains("there is no run"));
    world.runs(&["answer", healthy, "yes"]).expect(0);
    world.until(healthy, "completed");
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);

    assert!(world.runs(&["prune", alone, "--keep", "1"]).expect(2).stderr.contains("cannot be used with"));
    world.runs(&["prune", alone]).expect(0);
    assert!(left(&world).iter().eq([healthy]), "{:?}", left(&world));
}

#[test]
fn what_a_run_that_has_not_ended_may_ask_for_is_kept_also_by_name() {
    let of = |id: &str, steps: &str| format!("metadata: {{id: {id}, name: W, version: 1.0.0}}\nsteps:\n{steps}");
    let workflows = [
        of("child", "- {id: c, step_type: set, value: 1}\n"),
        of("chain", "- {id: sub, step_type: workflow, workflow: child}\n- {id: q, step_type: input, prompt: well}\n"),
    ];
    let world = World::of(&["one"], &workflows, Counting::start(|_, _| (Duration::ZERO, Ok(json!(1)))));
    let gantry = world.serve(&[]);
    let parent = world.start(&gantry, 1).unwrap();
    world.until(&parent, "input_required");
    let child = left(&world).into_iter().find(|run| *run != parent).expect("the run of the sub-workflow");
    let kept = |why: &str| {
        let refused = world.runs(&["prune", &child]).expect(1).stderr;
        assert!(refused.contains("is part of a run that has not ended"), "{why}: {refused}");
    };
    kept("through the gantry");
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
    kept("without one");
    assert_eq!(left(&world).len(), 2);
}
