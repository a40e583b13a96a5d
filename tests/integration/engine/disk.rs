//! A disk that is really full: a small file system of its own, mounted where only the gantry under test sees it. Where that is not allowed,
//! which takes root, these are skipped, and say so.
//!
//! With `GANTRY_SCALE=full` in the environment the time of a refusal is asserted as promised.

#![expect(clippy::print_stderr, reason = "what is skipped, and figures, are for whoever runs the tests")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;

use super::agent::{Act, Agent, Gate, Speaks};
use crate::gantries::{Site, finished, program, status, wait_for};

const RUNS: usize = 64;
/// Mounts 8 MiB at the first argument, and becomes the rest.
const MOUNTED: &str = "mkdir -p \"$1\" && mount -t tmpfs -o size=8m,mode=700 none \"$1\" && shift && exec \"$@\"";

/// What runs a command where it sees such a file system at the directory.
fn wrapper(directory: &Path) -> Vec<String> {
    ["unshare", "-m", "sh", "-c", MOUNTED, "sh", directory.to_str().unwrap()].map(str::to_owned).to_vec()
}

fn may_mount() -> bool {
    let directory = tempfile::tempdir().unwrap();
    let mut wrapper = wrapper(directory.path());
    wrapper.push("true".to_owned());
    let allowed = std::process::Command::new(&wrapper[0]).args(&wrapper[1..]).output().is_ok_and(|tried| tried.status.success());
    if !allowed {
        eprintln!("a file system cannot be mounted here: what a full disk does is not covered");
    }
    allowed
}

/// Writes until nothing more fits.
fn fill(file: &Path) {
    let mut file = std::fs::File::create(file).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

#[tokio::test]
async fn on_a_full_disk_new_runs_are_refused_and_those_under_way_go_on_when_there_is_space() {
    if !may_mount() {
        return;
    }
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("slow", &["work"], Speaks::Plain, move |call| Act::Reply(call.inputs.clone()).behind(&closed)).await;
    let site = Site::new().await;
    site.push_plain("slow", &agent.url, &["work"]).await;
    let inputs = "inputs: {n: \"{{ workflow.input.n }}\"}";
    site.push_steps("chain", &format!("steps: [{{id: a, skill: work, {inputs}}}, {{id: b, skill: work, {inputs}}}]")).await;
    let data = site.data_dir("gantry");
    let wrapper = wrapper(&data);
    let gantry = site.serve_behind(&wrapper.iter().map(String::as_str).collect::<Vec<_>>(), "gantry", "").await;
    let mut tasks = Vec::new();
    for n in 0..RUNS {
        tasks.push(gantry.begin("chain", json!({ "n": n })).await["id"].clone());
    }
    agent.until("every run calls", |seen| seen.calls.len() == RUNS).await;

    // The directory as the gantry sees it.
    let filler = PathBuf::from(format!("/proc/{}/root{}/fill", gantry.pid(), data.display()));
    fill(&filler);
    // What the journal's files have left takes a run or two.
    let (mut taken, mut refusals) = (0, Vec::new());
    while refusals.len() < 10 {
        let began = Instant::now();
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": { "message": message(taken), "configuration": { "returnImmediately": true } } });
        let answer = gantry.post(body.to_string()).await;
        if answer["error"].is_null() {
            taken += 1;
            tasks.push(answer["result"]["task"]["id"].clone());
            assert!(taken < 100, "the disk is not full");
            continue;
        }
        refusals.push(began.elapsed());
        assert_eq!(answer["error"]["code"], -32055, "{answer:#}");
        assert_eq!(answer["error"]["data"][0]["reason"], "STORAGE_FULL");
    }
    let slowest = refusals.iter().max().unwrap();
    gate.open();
    wait_for("runs that wait", || async { (waiting(&site.log("gantry")) >= RUNS / 2).then_some(()) }).await;
    let early = ended(&gantry.tasks().await);
    assert!(early < RUNS, "they wait");

    std::fs::remove_file(&filler).unwrap();
    let began = Instant::now();
    for id in &tasks {
        let task = wait_for("the end of a run", || async {
            let task = gantry.task(id).await;
            (!status(&task).starts_with("WORKING")).then_some(task)
        })
        .await;
        assert_eq!(status(&task), "COMPLETED", "{task:#}");
    }
    let calls = agent.look(|seen| seen.message_ids("work"));
    assert_eq!(calls.len(), tasks.len() * 2, "nothing was called again");
    assert_eq!(calls.into_iter().collect::<BTreeSet<_>>().len(), tasks.len() * 2);
    eprintln!(
        "a full disk with {RUNS} runs in flight: 10 new ones refused within {slowest:?} each, {early} of {} ended meanwhile, all ended {:?} after \
         there was space",
        tasks.len(),
        began.elapsed()
    );
    if std::env::var("GANTRY_SCALE").as_deref() == Ok("full") {
        assert!(*slowest < Duration::from_millis(100), "{slowest:?}");
    }
}

fn message(n: usize) -> Value {
    let data = json!({ "workflow_id": "chain", "input": { "n": 1000 + n } });
    json!({ "messageId": uuid::Uuid::new_v4().to_string(), "role": "ROLE_USER", "parts": [{ "data": data }], "metadata": { "skill": "execute_workflow" } })
}

/// Runs of which the log says that they wait.
fn waiting(log: &str) -> usize {
    let waits = log.lines().filter(|line| line.contains("run waits for the journal"));
    waits.filter_map(|line| line.split("run_id=").nth(1)?.get(..36)).collect::<BTreeSet<_>>().len()
}

fn ended(tasks: &[Value]) -> usize {
    tasks.iter().filter(|task| status(task).starts_with("COMPLETED")).count()
}

#[tokio::test]
async fn a_start_on_a_full_disk_says_that_it_is_full() {
    if !may_mount() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("w.yaml"), "metadata: {id: w, name: W, version: 1.0.0}\nsteps: [{id: v, step_type: set, value: 1}]")
        .unwrap();
    let fill = "dd if=/dev/zero of=data/fill bs=4k 2>/dev/null; dd if=/dev/zero of=data/fill2 bs=1 count=4096 2>/dev/null; exec \"$0\" serve --embedded --port 0 --data-dir data";
    // With nothing there yet, and with a journal that has a run.
    for script in [fill.to_owned(), format!("\"$0\" run -w w.yaml --embedded --data-dir data >/dev/null 2>&1 || exit 90; {fill}")] {
        let wrapper = wrapper(&home.path().join("data"));
        let mut command = Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).args(["sh", "-c", &script]).arg(program());
        command.current_dir(home.path()).env_clear().env("HOME", home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        let output = finished(&mut command).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains("full") || told.contains("No space left"), "{told}");
        assert!(told.contains("make room there") && !told.contains("move the whole directory"), "{told}");
    }
}
