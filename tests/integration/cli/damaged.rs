//! A write-ahead file that is damaged: whoever reads says so, whoever would write refuses, and nobody gives another reason.

use std::time::Duration;

use serde_json::json;

use super::runs::{Counting, World};
use super::{Ran, wait_for};

/// What a file of this kind begins with, and a page with what stands before it.
const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// A world whose gantry was killed while two runs waited, with what it had written to the write-ahead file.
fn killed() -> (World, Vec<String>, Vec<u8>) {
    let steps = "steps:\n- {id: q, step_type: input, prompt: well?}\n- {id: r, step_type: input, prompt: and?}\n";
    let world = World::new(steps, Counting::start(|_, _| (Duration::ZERO, Ok(json!(1)))));
    let mut gantry = world.serve(&[]);
    let runs: Vec<String> = (0..2).map(|n| world.start(&gantry, n).unwrap()).collect();
    for run in &runs {
        world.until(run, "input_required");
    }
    world.runs(&["answer", &runs[0], "yes", "--step", "q"]).expect(0);
    world.runs(&["answer", &runs[0], "yes", "--step", "r"]).expect(0);
    world.until(&runs[0], "completed");
    wait_for("the last write", || (world.list().len() == 2).then_some(()));
    gantry.running.child.kill().unwrap();
    gantry.running.child.wait().unwrap();
    let log = std::fs::read(world.data_dir().join("runs/journal.sqlite3-wal")).unwrap();
    (world, runs, log)
}

fn with_bytes(log: &[u8], at: usize) -> Vec<u8> {
    let mut damaged = log.to_vec();
    damaged[at..at + 10].iter_mut().for_each(|byte| *byte ^= 0x55);
    damaged
}

#[test]
fn whoever_looks_at_a_damaged_write_ahead_file_is_told_where_and_how_much_is_missing() {
    let (world, runs, log) = killed();
    let path = world.data_dir().join("runs/journal.sqlite3-wal");
    let frames = (log.len() - HEADER) / FRAME;
    assert!(frames > 12, "{frames}");
    let (mut stale, mut controlled) = (0, 0);
    // From the first, before which there is nothing at all, to those that end with what is not the last state.
    for frame in (0..frames - 6).step_by(3) {
        let damaged = with_bytes(&log, HEADER + frame * FRAME + 168);
        std::fs::write(&path, &damaged).unwrap();
        let named = format!("write-ahead file {} is damaged at byte {}", path.display(), HEADER + frame * FRAME);
        let listed = world.runs(&["list", "--json"]).expect(4);
        assert_eq!(listed.stderr.matches(&named).count(), 1, "frame {frame}: {}", listed.stderr);
        for wrong in ["there are no runs", "brings up to date"] {
            assert!(!listed.stderr.contains(wrong), "frame {frame}: {}", listed.stderr);
        }
        // It would go through with what is not the last state.
        let pruned = world.runs(&["prune", "--keep", "0"]).expect(4).stderr;
        assert!(pruned.contains(&format!("its {named}")) && pruned.contains("Nothing was changed"), "frame {frame}: {pruned}");
        assert!(std::fs::read(&path).unwrap() == damaged, "frame {frame}: it was touched");
        if listed.stdout.is_empty() {
            continue;
        }
        let warning = format!("warning: the {named}: what was stored after it is missing here\n");
        assert!(listed.stderr.contains(&warning), "frame {frame}: {}", listed.stderr);
        let shown = listed.json();
        if let Some(run) = shown.as_array().unwrap().iter().find(|run| run["run"] == *runs[0]) {
            stale += 1;
            // One that had ended by then is whole.
            let code = if run["status"] == "completed" { 0 } else { 4 };
            for command in ["show", "export"] {
                let shown = world.runs(&[command, &runs[0]]).expect(code).stderr;
                assert_eq!(shown.matches(&warning).count(), 1, "{command}: {shown}");
            }
        } else {
            let absent = world.runs(&["show", &runs[0]]).expect(4).stderr;
            assert!(absent.contains(&warning) && absent.contains("there is no run"), "{absent}");
        }
        if shown.as_array().unwrap().iter().any(|run| run["run"] == *runs[1]) {
            controlled += 1;
            let run = runs[1].as_str();
            for command in [&["cancel", run][..], &["follow", run], &["answer", run, "yes", "--step", "q"], &["retry", run]] {
                let refused = world.runs(command).expect(4).stderr;
                assert!(refused.contains(&format!("its {named}")), "{command:?}: {refused}");
                // A gantry that is started there refuses it as well.
                assert!(!refused.contains("start `gantry"), "{command:?}: {refused}");
            }
        }
    }
    assert!(stale > 0, "what stands before the damage is shown");
    assert!(controlled > 0, "no run could be read that has not ended");
}

/// A damaged file that somebody holds is his to judge: it may be in the middle of a write.
#[test]
fn what_is_being_written_is_not_called_damaged() {
    let (world, runs, log) = killed();
    let gantry = world.serve(&[]);
    let path = world.data_dir().join("runs/journal.sqlite3-wal");
    std::fs::write(&path, with_bytes(&log, HEADER + 3 * FRAME + 168)).unwrap();
    let listed = world.runs(&["list"]);
    assert!(!listed.stderr.contains("damaged at byte"), "{}", listed.stderr);
    drop(gantry);
    let listed = world.runs(&["list"]);
    assert!(listed.stderr.contains("damaged at byte"), "{}", listed.stderr);
    assert!(!runs.is_empty());
}

#[test]
fn damage_ends_every_command_with_the_code_of_a_fault() {
    let (world, _, log) = killed();
    let data = world.data_dir();
    let (database, path) = (data.join("runs/journal.sqlite3"), data.join("runs/journal.sqlite3-wal"));
    world.machine.write("w.yaml", "metadata: {id: w, name: W, version: 1.0.0}\nsteps: [{id: v, step_type: set, value: 1}]");
    let run = ["run", "-w", "w.yaml", "--embedded", "--no-save", "--data-dir", data.to_str().unwrap()];
    let all = |what: &str| {
        let ran = [
            Ran::from(world.command(&[]).output().unwrap()),
            world.machine.run(&run),
            world.runs(&["list"]),
            world.runs(&["prune", "--keep", "1"]),
        ];
        for ran in ran {
            assert_eq!(ran.code, Some(4), "{what}: {}", ran.stderr);
        }
    };
    std::fs::write(&path, with_bytes(&log, log.len() / 2)).unwrap();
    all("a damaged write-ahead file");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&database, b"this is not a database, but it is long enough to be mistaken for one".repeat(20)).unwrap();
    all("a file that is no database");
}
