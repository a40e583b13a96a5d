//! Calls to the system that fail under a gantry that serves: callers are answered in time and never told a success that is not stored, and
//! the next start goes on with every run that was accepted. As in [`faults`](super::faults), `strace` makes them fail, where it may.

#![expect(clippy::print_stderr, reason = "what is not covered, and figures, are for whoever runs the tests")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::faults::{HANGS, can_trace, is_full};
use super::runs::{Counting, Gantry, World};
use super::{Ran, Running, wait_for};

const WORKFLOW: &str =
    "metadata: {id: w, name: W, version: 1.0.0}\nsteps: [{id: a, skill: one}, {id: b, step_type: wait, for: 1ms}, {id: c, skill: one}]";

/// The same command behind a tracer that lets the n-th such call fail; for `n+` every later one, too.
pub(super) fn traced(command: &Command, trace: &Path, calls: &str, files: &[String], n: &str) -> Command {
    let mut traced = Command::new("strace");
    traced.args(["-qq", "-f", "-o"]).arg(trace);
    for file in files {
        traced.args(["-P", file]);
    }
    traced.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error=EIO:when={n}")]);
    traced.arg(command.get_program()).args(command.get_args());
    traced.current_dir(command.get_current_dir().unwrap()).env_clear();
    traced.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    traced.stdin(std::process::Stdio::null());
    traced
}

/// The answer to a message that waits for the run's end; none when the process went away. Whoever gets none in time has waited in vain.
fn send(world: &World, url: &str, n: usize, about: &str) -> Option<Value> {
    let message = json!({ "messageId": format!("m-{n}"), "role": "ROLE_USER", "parts": [{ "data": { "workflow_id": "w" } }],
        "metadata": { "skill": "execute_workflow" } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": { "message": message } }).to_string();
    let request = world.http.post(url).header("content-type", "application/json").header("A2A-Version", "1.0").timeout(HANGS).body(body);
    match world.agent.runtime.block_on(async { request.send().await?.text().await }) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) => {
            assert!(!error.is_timeout(), "{about}: it hangs");
            None
        }
    }
}

/// What came of the messages to a server with a fault.
#[derive(Debug, Default)]
struct Told {
    succeeded: usize,
    refused: usize,
    slowest: Duration,
}

fn check(world: &World, about: &str, command: Command) -> Told {
    let ready = world.machine.path("serve.json");
    let _old = std::fs::remove_file(&ready);
    let mut running = Running::spawn(command);
    let addresses = wait_for("the start", || {
        if running.child.try_wait().unwrap().is_some() {
            return Some(None);
        }
        std::fs::read(&ready).ok().map(|text| Some(serde_json::from_slice::<Value>(&text).unwrap()))
    });
    let mut told = Told::default();
    if let Some(addresses) = addresses {
        for n in 0..3 {
            let began = Instant::now();
            let Some(answer) = send(world, &format!("http://{}", addresses["address"].as_str().unwrap()), n, about) else { break };
            told.slowest = told.slowest.max(began.elapsed());
            match answer["result"]["task"]["status"]["state"].as_str() {
                Some("TASK_STATE_COMPLETED") => told.succeeded += 1,
                _ => {
                    assert_eq!(answer["error"]["code"], -32603, "{about}: {answer:#}");
                    told.refused += 1;
                }
            }
        }
        // The tracer ends with what it traces.
        Command::new("kill").args(["-KILL", &addresses["pid"].to_string()]).status().unwrap();
    }
    let Ran { code, stderr, .. } = running.end();
    assert!(!stderr.contains("panicked"), "{about}: {stderr}");
    let is_told = stderr.contains("error:") || stderr.contains("run stopped") || stderr.contains("the engine failed");
    assert!((code != Some(0) && told.refused == 0) || is_told, "{about}: no reason is told: {stderr}");
    told
}

#[test]
fn a_server_under_which_a_call_fails_tells_no_success_that_is_not_stored() {
    if !can_trace() {
        eprintln!("strace is not here or may not trace: failing calls under a server are not covered");
        return;
    }
    let agent = Counting::start(|_, _| (Duration::ZERO, Ok(json!({ "said": 1 }))));
    let world = World::of(&["one"], &[WORKFLOW.to_owned()], agent);
    let runs = world.data_dir().join("runs");
    let file = |name: &str| runs.join(name).display().to_string();
    let journal = [file("journal.sqlite3"), file("journal.sqlite3-wal"), file("journal.sqlite3-shm")];
    let every: Vec<String> = (1..=20).map(|n| n.to_string()).chain((1..=8).map(|n| format!("{n}+"))).collect();
    let some = |few: &[&str]| if is_full() { every.clone() } else { few.iter().map(|n| (*n).to_owned()).collect() };
    let cases: [(&str, &[String], Vec<String>); 7] = [
        ("fdatasync", &journal, some(&["2", "1+", "4+"])),
        ("pwrite64", &journal, some(&["4", "6+"])),
        ("openat", &journal, some(&["2"])),
        ("ftruncate", &journal, some(&["1"])),
        // What SQLite stores with where it was built without the one above.
        ("fsync", &journal, some(&["1", "3", "1+"])),
        ("write", &[file("lock")], some(&["1"])),
        // Whatever is renamed: the file that says where it listens.
        ("rename,renameat,renameat2", &[], some(&["1"])),
    ];
    // Each begins with what one run has left, so that its faults do not all meet the making of the files.
    let prepared = world.machine.path("prepared");
    let gantry = world.serve(&[]);
    send(&world, &gantry.url, 98, "without a fault").unwrap();
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
    std::fs::rename(world.data_dir(), &prepared).unwrap();
    let (mut faults, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    for (calls, files, ns) in cases {
        for n in ns {
            let about = format!("{calls} {n}");
            let _none = std::fs::remove_dir_all(world.data_dir());
            assert!(Command::new("cp").arg("-r").arg(&prepared).arg(world.data_dir()).status().unwrap().success());
            let (ready, trace) = (world.machine.path("serve.json"), world.machine.path("trace"));
            let command = traced(&world.command(&["--ready-file", ready.to_str().unwrap()]), &trace, calls, files, &n);
            let told = check(&world, &about, command);
            let injected = std::fs::read_to_string(&trace).unwrap().matches("INJECTED").count();
            if injected == 0 {
                continue;
            }
            faults += 1;
            refused += told.refused;
            slowest = slowest.max(told.slowest);
            let gantry = world.serve(&[]);
            goes_on(&world, &gantry, &about, told.succeeded);
        }
    }
    eprintln!("{faults} servers with a call that failed: {refused} messages were refused; the slowest answer came after {slowest:?}");
    assert!(faults >= 5, "{faults} faults");
    assert!(refused >= 3, "{refused} messages met a fault");
    if is_full() {
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    }
}

/// After the restart every run that was accepted ends well, those that were told as done among them, and new ones are taken.
fn goes_on(world: &World, gantry: &Gantry, about: &str, succeeded: usize) {
    let ended = wait_for("the runs that go on", || {
        let runs = world.list();
        runs.iter().all(|run| run["status"] != "running").then_some(runs)
    });
    assert!(ended.iter().all(|run| run["status"] == "completed"), "{about}: {ended:#?}");
    assert!(ended.len() >= succeeded, "{about}: {} runs, {succeeded} told as done", ended.len());
    let answer = send(world, &gantry.url, 99, about).unwrap();
    assert_eq!(answer["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{about}: {answer:#}");
}
