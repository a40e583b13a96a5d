//! Runs that are looked at while they are under way.

use std::time::Duration;

use serde_json::json;

use super::faults::limited;
use super::runs::{Counting, Gantry, World};
use super::{Machine, Running, Silent, one_step, wait_for};

const ONE: &str = "steps:\n- {id: a, skill: one}\n";

/// An agent that takes longer than any test.
fn slow() -> Counting {
    Counting::start(|_, _| (Duration::from_secs(600), Ok(json!({}))))
}

/// Whoever follows a run is told when its gantry stops, that nothing is lost, and how it goes on: with an exit code that is not a run's.
#[test]
fn a_follower_is_told_that_its_gantry_stops() {
    for (signal, expected) in [("TERM", "is parked: the gantry that drives it is shutting down"), ("KILL", "has not ended: process ")] {
        let world = World::new(ONE, slow());
        let gantry = world.serve(&["--grace", "0"]);
        let run = world.start(&gantry, 1).unwrap();
        wait_for("the call", || (!world.agent.calls().is_empty()).then_some(()));
        let data_dir = world.data_dir();
        let follow = world.machine.command(&["runs", "follow", &run, "--json", "--data-dir", data_dir.to_str().unwrap()]);
        let follower = Running::telling(follow, "snapshot");
        gantry.running.signal(signal);
        let told = follower.end().expect(3).stderr;
        assert!(told.contains(&format!("run `{run}` {expected}")), "{signal}: {told}");
        let start =
            format!("start `gantry serve --registry {} --data-dir {}`: it goes on with the run", world.registry, data_dir.display());
        assert!(told.contains(&start), "{signal}: {told}");
    }
}

/// What is not over lasts until now, though nothing happened since; until it is recorded who was asked, the skill is shown.
#[test]
fn a_call_in_flight_is_shown_with_its_skill_and_lasts_until_now() {
    let world = World::new(ONE, slow());
    let gantry = world.serve(&["--grace", "0"]);
    let run = world.start(&gantry, 1).unwrap();
    wait_for("the call", || (!world.agent.calls().is_empty()).then_some(()));
    let shown = wait_for("time to pass", || {
        let shown = world.runs(&["show", &run]).expect(0).stdout;
        (!shown.contains("lasts 0ms…") && !shown.contains(" 0ms…")).then_some(shown)
    });
    assert!(shown.contains("(running)") && shown.contains(", lasts "), "{shown}");
    let line = shown.lines().find(|line| line.starts_with("a ")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains("s…") && line.contains("(one…)"), "{shown}");
}

/// A run that cannot be stored stops by itself, while its gantry goes on. Whoever follows is told so, with the code of a fault and not that
/// of a run, and the next start ends it.
#[test]
fn a_follower_is_told_that_the_run_alone_stopped() {
    let agent = Counting::start(|_, _| (Duration::ZERO, Ok(json!({ "large": "x".repeat(2_000_000) }))));
    let world = World::new("steps: [{id: ask, step_type: input, prompt: well}, {id: a, skill: one}]\noutput: ended\n", agent);
    let ready = world.machine.path("limited.json");
    let mut serve = world.command(&[]);
    serve.args(["--ready-file", ready.to_str().unwrap()]);
    let (running, addresses) = Running::ready(limited(&serve, 1_000), &ready);
    let limited = Gantry { running, url: format!("http://{}", addresses["address"].as_str().unwrap()) };
    let run = world.start(&limited, 1).unwrap();
    world.until(&run, "input_required");
    let data_dir = world.data_dir();
    let follow = ["runs", "follow", &run, "--json", "--data-dir", data_dir.to_str().unwrap()];
    let follower = Running::telling(world.machine.command(&follow), "snapshot");
    world.runs(&["answer", &run, "1"]).expect(0);
    let told = follower.end().expect(4).stderr;
    assert!(told.contains(&format!("run `{run}` stopped before its end; the log of its gantry says why")), "{told}");
    assert!(told.contains("it goes on when that gantry starts again"), "{told}");
    assert_eq!(world.list()[0]["status"], "running", "it has not ended");
    // Others are served.
    let other = world.start(&limited, 2).unwrap();
    world.until(&other, "input_required");
    limited.running.signal("TERM");
    let log = limited.running.end().expect(0).stderr;
    assert!(log.contains("run stopped") && log.contains(&run), "{log}");
    let _gantry = world.serve(&[]);
    world.until(&run, "completed");
    world.machine.run(&follow).expect(0);
}

/// A process that drives its own run alone holds the directory, and is no gantry that could be started there.
#[test]
fn a_command_to_a_process_that_takes_none_names_it_and_what_to_do() {
    let (machine, silent) = (Machine::new(), Silent::start());
    machine.write("w.yaml", &one_step("wait"));
    machine.write("card.json", &silent.card("wait"));
    let run = ["run", "--embedded", "-w", "w.yaml", "--agent-card", "card.json", "--no-save", "--data-dir", "data"];
    let running = Running::spawn(machine.command(&run));
    silent.wait_for_call();
    let listed = machine.run(&["runs", "list", "--json", "--data-dir", "data"]).expect(0).json();
    let run = listed[0]["run"].as_str().unwrap();
    for command in [&["cancel", run][..], &["answer", run, "1"], &["retry", run], &["follow", run]] {
        let refused = machine.run(&[&["runs"], command, &["--data-dir", "data"]].concat()).expect(3).stderr;
        let named = format!("error: process {}, which holds the data directory, takes no commands (data)", running.child.id());
        assert!(refused.starts_with(&named), "{command:?}: {refused}");
        assert!(refused.contains("Ctrl-C") && !refused.contains("start `gantry"), "{command:?}: {refused}");
    }
    let kept = machine.run(&["runs", "prune", run, "--data-dir", "data"]).expect(1).stderr;
    assert!(kept.contains("has not ended") && kept.contains(&format!("process {}", running.child.id())), "{kept}");
    assert!(kept.contains("Ctrl-C") && !kept.contains("runs cancel"), "{kept}");
    let held = machine.run(&["runs", "prune", "--keep", "0", "--data-dir", "data"]).expect(3).stderr;
    assert!(held.contains(&format!("is held by process {}", running.child.id())), "{held}");
    running.signal("INT");
    running.end().expect(130);
    let nobody = machine.run(&["runs", "cancel", run, "--data-dir", "data"]).expect(3).stderr;
    assert!(nobody.contains("no gantry is running on this data directory"), "{nobody}");
}

/// The author of a workflow that was served is told where its template failed, as one at a terminal is.
#[test]
fn a_template_without_a_value_is_told_with_its_line_and_a_hint_wherever_the_run_is_looked_at() {
    let steps = "steps:\n- {id: a, skill: one}\n- id: b\n  step_type: set\n  value: \"{{ steps.a.outputs.reslt }}\"\n";
    let world = World::new(steps, Counting::start(|_, _| (Duration::ZERO, Ok(json!({ "result": 1 })))));
    let gantry = world.serve(&[]);
    let run = world.start(&gantry, 1).unwrap();
    world.until(&run, "failed");
    let shown = world.runs(&["show", &run]).expect(0).stdout;
    let followed = world.runs(&["follow", &run]).expect(1).stdout;
    let task = world.machine.run(&["task", "get", &gantry.url, &run]).expect(0);
    let sent = world.machine.run(&["send", &gantry.url, "--data", "{\"workflow_id\": \"chain\"}"]).expect(1);
    for told in [shown, followed, task.stdout + &task.stderr, sent.stdout + &sent.stderr] {
        assert!(told.contains("step `b` (line 4): ") && told.contains("did you mean"), "{told}");
    }
}

/// What a retry of a map did not ask for again is shown, as what it did is.
#[test]
fn items_that_a_retry_kept_have_lines_of_their_own() {
    let steps = "steps:\n- {id: many, step_type: map, items: [1, 2, 3, 4], max_concurrency: 1, tolerate_failures: 1, \
                 steps: [{id: a, skill: one, inputs: {n: \"{{ item }}\"}}]}\n";
    // Of five calls in all the first and the third fail.
    let agent =
        Counting::start(|_, before| (Duration::ZERO, if [0, 2].contains(&before) { Err("no".to_owned()) } else { Ok(json!(before)) }));
    let world = World::new(steps, agent);
    let gantry = world.serve(&[]);
    let old = world.start(&gantry, 1).unwrap();
    world.until(&old, "failed");
    let retried = world.runs(&["retry", &old, "--json"]).expect(0).json();
    let new = retried["run"].as_str().unwrap();
    world.until(new, "completed");
    let shown = world.runs(&["show", new, "--json"]).expect(0).json();
    let lines: Vec<_> = shown["entries"].as_array().unwrap().iter().map(|entry| (&entry["path"], &entry["status"])).collect();
    let expected = [
        (json!("/0:many"), json!("completed")),
        (json!("/0:many[0]/0:a"), json!("completed")),
        (json!("/0:many[1]"), json!("kept")),
        (json!("/0:many[2]/0:a"), json!("completed")),
        (json!("/0:many[3]/0:a"), json!("completed")),
    ];
    let mut found: Vec<_> = lines.iter().map(|(path, status)| ((*path).clone(), (*status).clone())).collect();
    found.sort_by_key(|(path, _)| path.to_string());
    assert_eq!(found, expected);
    let drawn = world.runs(&["show", new]).expect(0).stdout;
    assert!(drawn.lines().any(|line| line.trim_start().starts_with("[1] many ") && line.contains(" kept ")), "{drawn}");
}
