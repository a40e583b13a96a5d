//! Runs that are looked at while they are under way.

use std::time::Duration;

use serde_json::json;

use super::runs::{Counting, World};
use super::{Running, wait_for};

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
        assert!(told.contains("gantry serve --data-dir") && told.contains("goes on with the run"), "{signal}: {told}");
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
