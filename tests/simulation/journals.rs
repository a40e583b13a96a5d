//! Recorded runs, kept for ever: what followed from each event when it was recorded must follow from it today.
//!
//! `GANTRY_RECORD_JOURNALS=1` adds a file for each workflow of the corpus that has none; a file that is there is never written again.
//! A workflow of the corpus whose text changes keeps its old recording, which holds the old text, and a new one beside it is made by
//! naming the new workflow otherwise.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry::ids::Digest;
use gantry::interpreter::{Change, Command, Event, Outcome, Run, Transition};
use gantry::journal::Journal;
use gantry::limits;
use gantry::plan::Plan;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::agent::Agent;
use super::process::{Deadly, KINDS, Process, corpus, kind};
use super::tasks::TaskAgent;

/// A workflow with this in its text is recorded with a crash after the first event that follows its start.
const TWO_LIVES: &str = "id: resumed,";

/// A recorded run. What follows is kept as lines for people, which name what matters and nothing that may be added later.
#[derive(Debug, Serialize, Deserialize)]
struct Recorded {
    format: u32,
    digest: Digest,
    workflow: String,
    /// As the journal had them. Read as events only in the test: that they can be read is part of it.
    events: Vec<serde_json::Value>,
    transitions: Vec<Vec<String>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals")
}

fn plan(workflow: &str, digest: &Digest) -> Arc<Plan> {
    let parsed = gantry::workflow::parse(workflow);
    let workflow_read = parsed.workflow.unwrap_or_else(|| panic!("an old workflow is valid for ever: {:#?}", parsed.diagnostics));
    Arc::new(Plan::new(workflow_read, workflow, digest.clone()))
}

/// What follows from an event, in words that do not change.
fn lines(transition: &Transition) -> Vec<String> {
    transition.commands.iter().map(command).chain(transition.changes.iter().map(change)).map(clipped).collect()
}

/// A line with a large value says how long it is instead.
fn clipped(line: String) -> String {
    const LONGEST: usize = 10_000;
    if line.len() <= LONGEST { line } else { format!("{}… and so on, {} bytes", &line[..200], line.len()) }
}

/// The same whoever runs it and whenever, in whatever order branches came to their end: without the run's id and times.
fn timeless(recorded: &Recorded) -> Vec<String> {
    let run = recorded.events[0]["run"].as_str().unwrap();
    let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z").unwrap();
    let mut lines: Vec<_> =
        recorded.transitions.iter().flatten().map(|line| time.replace_all(&line.replace(run, "run"), "then").into_owned()).collect();
    lines.sort();
    lines
}

fn command(command: &Command) -> String {
    match command {
        Command::Call(call) => {
            let timeout = call.timeout.as_millis();
            let resume = call.resume.as_ref().map(|remote| format!(" to {}", remote.task_id)).unwrap_or_default();
            let agent = call.agent.as_deref().unwrap_or("any");
            let own = if call.own { " own" } else { "" };
            format!("call {}#{}{own} {} of {agent} within {timeout} ms{resume}: {}", call.path, call.attempt, call.skill, call.inputs)
        }
        Command::CancelCall { path } => format!("cancel {path}"),
        Command::CancelTask { path, remote, .. } => format!("cancel task {} of {path}", remote.task_id),
        Command::StartTimer { path, timer, due } => format!("timer {path} {timer:?} {due}"),
        Command::CancelTimer { path, timer } => format!("no timer {path} {timer:?}"),
    }
}

fn change(change: &Change) -> String {
    match change {
        Change::RunStarted => "run started".to_owned(),
        Change::StepStarted { path, attempt, .. } => format!("{path} started #{attempt}"),
        Change::StepRetrying { path, attempt, due, error, .. } => format!("{path} retried as #{attempt} {due}: {}", error.code.code()),
        Change::StepWaiting { path, question, .. } => format!("{path} asks {}", question.prompt),
        Change::StepFinished { path, status, outputs, error, .. } => {
            let error = error.as_ref().map(|error| format!(" {}", error.code.code())).unwrap_or_default();
            format!("{path} {}{error}: {outputs}", status.as_str())
        }
        Change::RunFinished { outcome } => match outcome {
            Outcome::Completed { output } => format!("run completed: {output}"),
            Outcome::Failed { error } => format!("run failed: {} {}", error.code.code(), error.reason.as_deref().unwrap_or_default()),
            Outcome::Canceled { .. } => "run canceled".to_owned(),
        },
    }
}

/// Applies the events of a journal and tells what follows.
fn replay(plan: &Arc<Plan>, events: &[serde_json::Value]) -> Vec<Vec<String>> {
    let mut run = Run::new(Arc::clone(plan));
    let apply = |event: &serde_json::Value| {
        let read: Event = serde_json::from_value(event.clone()).unwrap_or_else(|error| panic!("{event} cannot be read: {error}"));
        lines(&run.apply(read).unwrap_or_else(|mismatch| panic!("{event}: {mismatch}")))
    };
    let transitions = events.iter().map(apply).collect();
    assert!(run.outcome().is_some(), "a recorded run has ended");
    transitions
}

fn recordings() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

#[test]
fn recorded_journals_replay_for_ever() {
    let (mut kinds, mut events, mut largest) = (BTreeSet::new(), BTreeSet::new(), 0);
    let files = recordings();
    for file in &files {
        let name = file.display();
        let recorded: Recorded = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(recorded.format, 1, "{name}");
        let plan = plan(&recorded.workflow, &recorded.digest);
        let transitions = replay(&plan, &recorded.events);
        assert_eq!(transitions.len(), recorded.transitions.len(), "{name}");
        for (index, (now, then)) in transitions.iter().zip(&recorded.transitions).enumerate() {
            assert_eq!(now, then, "{name}: event {index}, {}", recorded.events[index]);
        }
        events.extend(recorded.events.iter().map(|event| kind(&serde_json::from_value(event.clone()).unwrap())));
        largest = recorded.events.iter().map(|event| event["value"].to_string().len()).fold(largest, usize::max);
        kinds.extend(plan.nodes().map(|(_, node)| node.kind.name()));
    }
    let every = ["sequential", "parallel", "conditional", "switch", "map", "loop", "race", "workflow", "wait", "input", "set", "fail"];
    assert_eq!(kinds, BTreeSet::from(every), "every step kind is in some recording");
    assert_eq!(events, BTreeSet::from(KINDS), "every kind of event is in some recording");
    assert!(largest > limits::PAYLOAD_INLINE_BYTES_MAX, "a value that is kept by its digest is in some recording: {largest} bytes");
    assert!(files.len() >= corpus().len(), "a workflow of the corpus has no recording: run with GANTRY_RECORD_JOURNALS=1");
}

/// A run of today comes to what it came to when it was recorded. Adds what is missing, when it is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_today_is_like_the_one_that_is_kept() {
    let adds = std::env::var_os("GANTRY_RECORD_JOURNALS").is_some();
    let mut compared = 0;
    for workflow in corpus() {
        let text = std::fs::read_to_string(&workflow).unwrap();
        let file = folder().join(workflow.file_stem().unwrap()).with_extension("json");
        let recorded = record(&text).await;
        if adds && !file.exists() {
            std::fs::write(&file, serde_json::to_string_pretty(&json!(recorded)).unwrap() + "\n").unwrap();
        }
        let kept: Recorded = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        // A text that has changed since is another workflow.
        if kept.workflow == text {
            assert_eq!(timeless(&recorded), timeless(&kept), "{}", file.display());
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared} recordings are of a workflow of today");
}

/// Runs a workflow in the real engine and takes its journal.
async fn record(workflow: &str) -> Recorded {
    let (agent, clerk, dir) = (Agent::start().await, TaskAgent::start().await, tempfile::tempdir().unwrap());
    let mut journal = Deadly::immortal(dir.path());
    if workflow.contains(TWO_LIVES) {
        journal = Deadly::open(dir.path(), 1, true);
    }
    let mut process = Process::start(Arc::clone(&journal) as Arc<dyn Journal>, &agent, &clerk).await;
    let mut run = process.start_run(workflow).await;
    if workflow.contains(TWO_LIVES) {
        journal.death().await;
        process.crash();
        journal = Deadly::immortal(dir.path());
        process = Process::start(Arc::clone(&journal) as Arc<dyn Journal>, &agent, &clerk).await;
        process.recover(&run).await;
    }
    run = process.end().await.run;
    let digest = journal.record(&run).await.unwrap().header.digest;
    let events: Vec<_> = journal.events(&run).await.unwrap().iter().map(|event| json!(event)).collect();
    let transitions = replay(&plan(workflow, &digest), &events);
    Recorded { format: 1, digest, workflow: workflow.to_owned(), events, transitions }
}
