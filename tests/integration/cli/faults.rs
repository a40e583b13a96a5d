//! Calls to the system that fail under the journal: no success is told of what was not stored, nothing hangs, and the next start works.
//!
//! Writes that fail are made with a limit on the size of files, which every system has. Where `strace` may trace, the n-th flush, write,
//! opening or cutting of the journal's files fails as well; where it may not, those are not covered here, and the test says so. With
//! `GANTRY_SCALE=full` in the environment every n is tried.

#![expect(clippy::print_stderr, reason = "what is not covered, and figures, are for whoever runs the tests")]

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::runs::Counting;
use super::served_faults::traced;
use super::{Machine, Ran};

/// Events enough for several writes, and a value that is kept by digest.
const WORKFLOW: &str = "
metadata: {id: w, name: W, version: 1.0.0}
steps:
  - {id: a, step_type: wait, for: 5ms}
  - {id: b, step_type: wait, for: 5ms}
  - {id: c, step_type: wait, for: 5ms}
output: \"{{ workflow.input.text | length }}\"
";
const BYTES: usize = 300_000;
/// Longer than a run takes that is traced on a busy machine; what hangs takes for ever.
pub(super) const HANGS: Duration = Duration::from_secs(30);

pub(super) fn is_full() -> bool {
    std::env::var("GANTRY_SCALE").as_deref() == Ok("full")
}

const ARGUMENTS: [&str; 9] = ["run", "-w", "w.yaml", "--input-file", "input.json", "--embedded", "--data-dir", "data", "--json"];

/// A machine where one run has ended.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.write("w.yaml", WORKFLOW);
    machine.write("input.json", &json!({"text": "x".repeat(BYTES)}).to_string());
    machine.run(&ARGUMENTS).expect(0);
    machine
}

/// The same command behind another one.
fn behind(machine: &Machine, wrapper: &[&str]) -> Command {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(env!("CARGO_BIN_EXE_gantry")).args(ARGUMENTS);
    command.current_dir(machine.directory.path()).env_clear().stdin(std::process::Stdio::null());
    command.env("HOME", machine.directory.path()).env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// The same command where no file may have more than this many kilobytes: who writes more gets a signal, and is killed by it when he does
/// not listen; the write fails. The disk has space, so that it counts as one that does not do what it should.
pub(super) fn limited(command: &Command, kilobytes: u32) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -f {}; exec \"$@\"", kilobytes * 2), "sh"]);
    limited.arg(command.get_program()).args(command.get_args()).current_dir(command.get_current_dir().unwrap()).env_clear();
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(std::process::Stdio::null());
    limited
}

fn statuses(machine: &Machine) -> Vec<String> {
    let listed = machine.run(&["runs", "list", "--data-dir", "data", "--json", "--limit", "100000"]).expect(0).json();
    listed.as_array().unwrap().iter().map(|run| run["status"].as_str().unwrap().to_owned()).collect()
}

/// Runs under a fault, and looks at what was told and what is there. Returns whether it was told that the run succeeded.
fn check(machine: &Machine, about: &str, mut command: Command) -> bool {
    let before = statuses(machine);
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(command.output()));
    let ran = Ran::from(ended.recv_timeout(HANGS).unwrap_or_else(|_| panic!("{about}: it hangs")).unwrap());
    assert!(!ran.stderr.contains("panicked"), "{about}: {}", ran.stderr);
    let succeeded = ran.code == Some(0);
    assert!(ran.json().is_object(), "{about}: one object is told, whatever came of it");
    let is_told = ran.stderr.contains("error:") || ran.stderr.contains("the journal failed");
    assert!(succeeded || is_told, "{about}: no reason is told: {}", ran.stderr);
    let after = statuses(machine);
    let completed = |statuses: &[String]| statuses.iter().filter(|status| *status == "completed").count();
    assert!(completed(&after) >= completed(&before) + usize::from(succeeded), "{about}: {after:?} after {before:?}, told {:?}", ran.code);
    machine.run(&ARGUMENTS).expect(0);
    assert_eq!(completed(&statuses(machine)), completed(&after) + 1, "{about}: it works again afterwards");
    succeeded
}

#[test]
fn a_write_that_does_not_fit_is_never_told_as_done() {
    let (machine, mut failed, mut succeeded) = (machine(), 0, 0);
    // In kilobytes; what was written before takes some, so that the limit meets the log, the database and the outputs.
    let limits: Vec<u32> = if is_full() { (1..1500).step_by(9).collect() } else { vec![1, 32, 40, 300, 350, 100_000] };
    for kilobytes in limits {
        let told = check(&machine, &format!("a limit of {kilobytes} KB"), limited(&machine.command(&ARGUMENTS), kilobytes));
        if told { succeeded += 1 } else { failed += 1 }
    }
    assert!(failed >= 2 && succeeded >= 1, "{failed} failed and {succeeded} succeeded");
}

/// A run that cannot be stored has not failed: `gantry run` says what happened, with the code of a fault of the machine.
#[test]
fn a_run_that_stops_ends_with_the_code_of_a_fault_and_says_that_it_has_not_ended() {
    let machine = Machine::new();
    let agent = Counting::start(|_, _| (Duration::ZERO, Ok(json!({ "large": "x".repeat(2_000_000) }))));
    machine.write("card.json", &agent.card(&["one"]).to_string());
    machine.write("w.yaml", &super::one_step("one"));
    let run = ["run", "--embedded", "-w", "w.yaml", "--agent-card", "card.json", "--data-dir", "data", "--no-save"];
    for more in [&[][..], &["--json"], &["--quiet"]] {
        let ran = Ran::from(limited(&machine.command(&[&run[..], more].concat()), 1_000).output().unwrap()).expect(4);
        let listed = machine.run(&["runs", "list", "--data-dir", "data", "--json"]).expect(0).json();
        assert_eq!(listed[0]["status"], "running", "{listed:#}");
        let id = listed[0]["run"].as_str().unwrap();
        let push = "start `gantry up --ephemeral`, then `gantry agent push ".to_owned() + machine.path("card.json").to_str().unwrap();
        let serve = "then start `gantry serve --registry http://localhost:5000 --port 0 --data-dir data`: it goes on with the run";
        for part in ["run stopped", &format!("error: run `{id}` stopped before its end"), &push, serve] {
            assert!(ran.stderr.contains(part), "{more:?}: no {part:?} in\n{}", ran.stderr);
        }
        assert!(!ran.stderr.contains("failed after"), "{more:?}: {}", ran.stderr);
        if *more == ["--json"] {
            let report = ran.json();
            assert_eq!((&report["run_id"], &report["status"]), (&json!(id), &json!("running")), "{report:#}");
        } else {
            assert_eq!(
                (ran.stdout.trim(), ran.stderr.contains(&format!("has not ended · run {id}"))),
                ("", true),
                "{more:?}: {}",
                ran.stderr
            );
        }
    }
}

/// Also then a reader of JSON gets one object.
#[test]
fn a_run_whose_results_cannot_be_saved_is_told_once_and_as_it_ended() {
    let machine = Machine::new();
    machine.write("w.yaml", "metadata: {id: w, name: W, version: 1.0.0}\nsteps: [{id: v, step_type: set, value: 1}]");
    machine.write("input.json", &json!({ "text": "x".repeat(100_000) }).to_string());
    let run = ["run", "--embedded", "-w", "w.yaml", "--input-file", "input.json", "--json"];
    let ran = Ran::from(limited(&machine.command(&run), 10).output().unwrap()).expect(4);
    assert_eq!(ran.json()["status"], "completed");
    for part in ["error: cannot write `app/metadata.json`", "the run itself has ended as shown"] {
        assert!(ran.stderr.contains(part), "no {part:?} in\n{}", ran.stderr);
    }
}

/// Whether processes may be traced here.
pub(super) fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    traced.is_ok_and(|traced| traced.status.success())
}

#[test]
fn the_nth_call_that_fails_is_never_told_as_done() {
    if !can_trace() {
        eprintln!("strace is not here or may not trace: failing flushes, openings and cuts are not covered");
        return;
    }
    let (mut faults, mut failed) = (0, 0);
    for call in ["fsync", "fdatasync", "pwrite64", "openat", "ftruncate"] {
        for n in 1..=if is_full() { 60 } else { 4 } {
            // A machine for each: what was written before decides what is written next.
            let machine = machine();
            let data = machine.path("data/runs/journal.sqlite3").display().to_string();
            let (log, shared) = (format!("{data}-wal"), format!("{data}-shm"));
            let inject = format!("inject={call}:error=EIO:when={n}");
            let trace = format!("trace={call}");
            let wrapper = ["strace", "-qq", "-f", "-o", "trace", "-P", &data, "-P", &log, "-P", &shared, "-e", &trace, "-e", &inject];
            let told = check(&machine, &format!("{call} {n}"), behind(&machine, &wrapper));
            let injected = std::fs::read_to_string(machine.path("trace")).unwrap().matches("INJECTED").count();
            if injected == 0 {
                break;
            }
            faults += 1;
            failed += usize::from(!told);
        }
    }
    eprintln!("{faults} runs with a call that failed: {failed} were told as failed, the others had stored everything");
    assert!(faults >= 5 && failed >= 3, "{faults} faults, {failed} failed");
}

/// It says where the agents of runs are found, and which file it is.
#[test]
fn a_lock_file_that_cannot_be_written_keeps_what_was_noted_and_holds_up_no_run() {
    if !can_trace() {
        eprintln!("strace is not here or may not trace: a lock file that cannot be written is not covered");
        return;
    }
    let machine = machine();
    let lock = machine.path("data/runs/lock");
    let note = "agents {\"from\":{\"registry\":\"http://r:1\"}}\n";
    let noted = std::fs::read_to_string(&lock).unwrap() + note;
    let arguments = [&ARGUMENTS[..], &["--log", "warn"]].concat();
    for (call, n, code, status) in [("write", "1", 3, "not_started"), ("ftruncate", "1", 3, "not_started"), ("write", "2+", 0, "completed")]
    {
        std::fs::write(&lock, &noted).unwrap();
        let trace = machine.path("trace");
        let mut command = traced(&machine.command(&arguments), &trace, call, &[lock.display().to_string()], n);
        let ran = Ran::from(command.output().unwrap());
        let about = format!("{call} {n}: {}", ran.stderr);
        assert!(std::fs::read_to_string(&trace).unwrap().contains("INJECTED"), "{about}");
        assert_eq!((ran.code, &ran.json()["status"]), (Some(code), &json!(status)), "{about}");
        assert_eq!(ran.stderr.contains("does not say where the agents of this run are found"), code == 0, "{about}");
        let left = std::fs::read_to_string(&lock).unwrap();
        let last = left.split_inclusive('\n').rfind(|line| line.starts_with("agents "));
        assert!(left.contains("\nplace ") && last == Some(note), "{about}: {left:?}");
    }
}
