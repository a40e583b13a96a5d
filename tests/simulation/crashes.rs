//! Every workflow of the corpus, with a crash before and after every write to the journal: nothing is lost, nothing that has a result is
//! asked for again, and the run ends as it would have.
//!
//! What a workflow of the corpus comes to must not depend on which of two answers is first, since a crash may change that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use gantry::interpreter::{ErrorClass, Event, Outcome, Snapshot, StepStatus};
use gantry::journal::{Journal, Sqlite};
use gantry::plan::Path as StepPath;
use serde_json::Value;

use super::agent::{Agent, HANG};
use super::process::{Deadly, KINDS, PATIENCE, Process, corpus};
use super::tasks::{ENDLESS, Message, TaskAgent};

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
    places: Vec<String>,
    writes: usize,
}

impl Undisturbed {
    async fn run(file: &Path) -> Self {
        let yaml = std::fs::read_to_string(file).unwrap();
        let (agent, clerk, dir) = (Agent::start().await, TaskAgent::start().await, tempfile::tempdir().unwrap());
        let journal = Deadly::immortal(dir.path());
        let mut process = Process::start(Arc::clone(&journal) as Arc<dyn Journal>, &agent, &clerk).await;
        process.start_run(&yaml).await;
        let result = result(&process.end().await);
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let expected = match (name.as_str(), &result.0) {
            ("canceled", Some(Outcome::Canceled { .. })) => true,
            ("exhausted", Some(Outcome::Failed { error })) => error.code == ErrorClass::Limit,
            ("handlers", Some(Outcome::Failed { error })) => error.code == ErrorClass::Author,
            (_, outcome) => matches!(outcome, Some(Outcome::Completed { .. })),
        };
        assert!(expected, "{name}: {result:#?}");
        none_left(&clerk, &name).await;
        Self { yaml, name, result, places: places(&keys(&agent, &clerk)), writes: journal.writes() }
    }
}

/// How often each attempt was asked for, by its idempotency key. Those that never answer are left out: their call may be given up before it arrives.
fn keys(agent: &Agent, clerk: &TaskAgent) -> BTreeMap<String, usize> {
    let calls = agent.calls().into_iter().filter(|call| call.skill != HANG).map(|call| call.key);
    let messages = clerk.messages().into_iter().filter(|message| message.skill != ENDLESS);
    let (mut counts, mut meanings) = (BTreeMap::new(), BTreeMap::new());
    for Message { skill, id, inputs } in clerk.messages() {
        let meaning = (skill, inputs);
        assert_eq!(*meanings.entry(id).or_insert_with(|| meaning.clone()), meaning, "a message that comes again is the same");
    }
    for key in calls.chain(messages.map(|message| message.id)) {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// The attempts without their runs, whose ids are others each time. A run and its retry both have a place of their own.
fn places(counts: &BTreeMap<String, usize>) -> Vec<String> {
    let mut places: Vec<_> = counts.keys().map(|key| key[key.find('/').unwrap()..].to_owned()).collect();
    places.sort();
    places
}

/// Waits until every task at the agent has ended. A task is canceled by a call of its own, which nobody waits for.
async fn none_left(clerk: &TaskAgent, moment: &str) {
    let wait = async {
        while !clerk.open().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{moment}: left at the agent: {:?}", clerk.open()));
}

/// The attempts that have a result in the journal, those of sub-workflows included.
async fn settled(journal: &Sqlite) -> BTreeSet<String> {
    let mut settled = BTreeSet::new();
    for record in journal.list().await.unwrap() {
        let run = record.header.run;
        for event in journal.events(&run).await.unwrap() {
            if let Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } | Event::Asked { path, attempt, .. } = event {
                settled.insert(format!("{run}{path}#{attempt}"));
            }
        }
    }
    settled
}

/// Crashes at one write, goes on, and compares. `again`: the process that goes on crashes after its first event. Returns the kinds of the
/// events that were last, and how many attempts were asked for more than once.
async fn crash(undisturbed: &Undisturbed, at: usize, stored: bool, again: bool) -> (Vec<&'static str>, usize) {
    let (agent, clerk, dir) = (Agent::start().await, TaskAgent::start().await, tempfile::tempdir().unwrap());
    let journal = Deadly::open(dir.path(), at, stored);
    let mut first = Process::start(Arc::clone(&journal) as Arc<dyn Journal>, &agent, &clerk).await;
    let run = first.start_run(&undisturbed.yaml).await;
    journal.death().await;
    first.crash();
    let mut last = journal.died_at();
    let moment = format!("{}, {} write {at}: {last:?}", undisturbed.name, if stored { "after" } else { "before" });
    drop(journal);
    if again {
        let journal = Deadly::open(dir.path(), 1, true);
        let mut second = Process::start(Arc::clone(&journal) as Arc<dyn Journal>, &agent, &clerk).await;
        second.recover(&run).await;
        journal.death().await;
        second.crash();
        last.extend(journal.died_at());
    }
    let lives = if again { 3 } else { 2 };
    let journal = Arc::new(Sqlite::open(dir.path()).unwrap());
    let settled = settled(&journal).await;
    let mut second = Process::start(journal, &agent, &clerk).await;
    second.recover(&run).await;
    let ended = second.end().await;
    assert_eq!(result(&ended), undisturbed.result, "{moment}");
    none_left(&clerk, &moment).await;
    let counts = keys(&agent, &clerk);
    assert_eq!(places(&counts), undisturbed.places, "{moment}: {counts:?}");
    for (key, count) in &counts {
        let allowed = if settled.contains(key) { lives - 1 } else { lives };
        assert!(*count <= allowed, "{moment}: {key} was called {count} times, and had a result: {}", settled.contains(key));
    }
    (if stored { last } else { Vec::new() }, counts.values().filter(|count| **count > 1).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_every_write_changes_nothing() {
    let (mut crashes, mut twice, mut calls, mut after) = (0, 0, 0, BTreeSet::new());
    for file in corpus() {
        // Of this one it is known that there is something left to do.
        let again = file.ends_with("chain.yaml");
        let undisturbed = Undisturbed::run(&file).await;
        let moments = (1..=undisturbed.writes).flat_map(|at| [(at, false, false), (at, true, false)]);
        let moments = moments.chain((1..undisturbed.writes).filter(|_| again).map(|at| (at, true, true)));
        let repeated: Vec<(Vec<&str>, usize)> = stream::iter(moments)
            .map(|(at, stored, again)| crash(&undisturbed, at, stored, again))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        crashes += repeated.len();
        calls += repeated.len() * undisturbed.places.len();
        twice += repeated.iter().map(|(_, twice)| twice).sum::<usize>();
        after.extend(repeated.into_iter().flat_map(|(last, _)| last));
    }
    assert_eq!(after, BTreeSet::from(KINDS), "a crash after every kind of event");
    eprintln!("{crashes} crashes; {calls} calls, of which {twice} were in flight and made again");
    assert!(crashes > 100, "{crashes} crashes");
    // What is in flight at a crash before a write is the least that can be repeated; everything else is once.
    assert!(twice < calls / 2, "{twice} of {calls} calls were repeated");
}
