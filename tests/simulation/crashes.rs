//! Every workflow of the corpus, with a crash before and after every write to the journal: nothing is lost, nothing that has a result is
//! asked for again, and the run ends as it would have.
//!
//! What a workflow of the corpus comes to must not depend on which of two answers is first, since a crash may change that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use gantry::interpreter::{ErrorClass, Event, Outcome, Snapshot, StepStatus};
use gantry::journal::{Journal, Sqlite};
use gantry::plan::Path as StepPath;
use serde_json::Value;

use super::agent::{Agent, Call, HANG};
use super::process::{Deadly, Process, corpus};

/// Processes at once.
const AT_ONCE: usize = 4;

/// What a run came to: how it ended, and every step's status and outputs.
type Result = (Option<Outcome>, Vec<(StepPath, StepStatus, Arc<Value>)>);

fn result(snapshot: &Snapshot) -> Result {
    let steps = snapshot.steps.iter().map(|step| (step.path.clone(), step.status, Arc::clone(&step.outputs))).collect();
    (snapshot.outcome.clone(), steps)
}

/// A run that nothing happens to.
struct Undisturbed {
    yaml: String,
    name: String,
    result: Result,
    keys: BTreeSet<String>,
    writes: usize,
}

impl Undisturbed {
    async fn run(file: &Path) -> Self {
        let yaml = std::fs::read_to_string(file).unwrap();
        let (agent, dir) = (Agent::start().await, tempfile::tempdir().unwrap());
        let journal = Deadly::immortal(dir.path());
        let process = Process::start(Arc::clone(&journal) as Arc<dyn Journal>, &agent).await;
        let run = process.start_run(&yaml).await;
        let result = result(&process.end(&run).await);
        let failed = matches!(&result.0, Some(Outcome::Failed { error }) if error.code == ErrorClass::Author);
        assert!(failed || matches!(result.0, Some(Outcome::Completed { .. })), "{}: {result:#?}", file.display());
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        Self { yaml, name, result, keys: keys(&agent.calls()).into_keys().collect(), writes: journal.writes() }
    }
}

/// How often each attempt was asked for. Those that never answer are left out: their call may be given up before it arrives.
fn keys(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls.iter().filter(|call| call.skill != HANG) {
        *counts.entry(call.key.clone()).or_default() += 1;
    }
    counts
}

/// The attempts that have a result in the journal, those of sub-workflows included.
async fn settled(journal: &Sqlite) -> BTreeSet<String> {
    let mut settled = BTreeSet::new();
    for record in journal.list().await.unwrap() {
        for event in journal.events(&record.header.run).await.unwrap() {
            if let Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } = event {
                settled.insert(format!("{path}#{attempt}"));
            }
        }
    }
    settled
}

/// Crashes at one write, goes on, and compares. Returns how many attempts were asked for twice.
async fn crash(undisturbed: &Undisturbed, at: usize, stored: bool) -> usize {
    let moment = format!("{}, {} write {at}", undisturbed.name, if stored { "after" } else { "before" });
    let (agent, dir) = (Agent::start().await, tempfile::tempdir().unwrap());
    let journal = Deadly::open(dir.path(), at, stored);
    let first = Process::start(Arc::clone(&journal) as Arc<dyn Journal>, &agent).await;
    let run = first.start_run(&undisturbed.yaml).await;
    journal.death().await;
    first.crash();
    drop(journal);
    let journal = Arc::new(Sqlite::open(dir.path()).unwrap());
    let settled = settled(&journal).await;
    let second = Process::start(journal, &agent).await;
    second.recover(&run).await;
    let ended = second.end(&run).await;
    assert_eq!(result(&ended), undisturbed.result, "{moment}");
    let counts = keys(&agent.calls());
    assert!(counts.keys().eq(&undisturbed.keys), "{moment}: {counts:?} instead of {:?}", undisturbed.keys);
    for (key, count) in &counts {
        let allowed = if settled.contains(key) { 1 } else { 2 };
        assert!(*count <= allowed, "{moment}: {key} was called {count} times, and had a result: {}", settled.contains(key));
    }
    counts.values().filter(|count| **count == 2).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_every_write_changes_nothing() {
    let (mut crashes, mut twice, mut calls) = (0, 0, 0);
    for file in corpus() {
        let undisturbed = Undisturbed::run(&file).await;
        let moments = (1..=undisturbed.writes).flat_map(|at| [(at, false), (at, true)]);
        let repeated: Vec<_> =
            stream::iter(moments).map(|(at, stored)| crash(&undisturbed, at, stored)).buffer_unordered(AT_ONCE).collect().await;
        crashes += repeated.len();
        calls += repeated.len() * undisturbed.keys.len();
        twice += repeated.iter().sum::<usize>();
    }
    eprintln!("{crashes} crashes; {calls} calls, of which {twice} were in flight and made again");
    assert!(crashes > 100, "{crashes} crashes");
    // What is in flight at a crash before a write is the least that can be repeated; everything else is once.
    assert!(twice < calls / 2, "{twice} of {calls} calls were repeated");
}
