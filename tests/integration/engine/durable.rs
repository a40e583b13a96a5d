//! Crashes at every moment a journal knows, and what comes back: nothing is lost, nothing with a result is asked for again.
//!
//! A crash is a runtime that ends without a word to anybody. The moment is chosen by a journal that stops answering.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gantry::engine::Engine;
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus, Snapshot, StepStatus};
use gantry::journal::{Created, Error, Header, Journal, Progress, Record, Sqlite};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::agent::{Act, Agent, Call, Gate, PATIENCE, Speaks};
use super::world::{World, output, status, step};

/// Stores events until the n-th, and then never answers again: just before it is stored, or just after.
#[derive(Debug)]
struct Deadly {
    sqlite: Sqlite,
    left: AtomicUsize,
    stores_the_last: bool,
    dead: Notify,
}

impl Deadly {
    fn open(dir: &Path, events: usize, stores_the_last: bool) -> Arc<Self> {
        let (left, dead) = (AtomicUsize::new(events), Notify::new());
        Arc::new(Self { sqlite: Sqlite::open(dir).unwrap(), left, stores_the_last, dead })
    }

    /// Whether this is the last write; none comes after it.
    async fn is_last(&self) -> bool {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(1) => true,
            Ok(_) => false,
            Err(_) => std::future::pending().await,
        }
    }

    async fn die<T>(&self) -> T {
        self.dead.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl Journal for Deadly {
    fn is_durable(&self) -> bool {
        true
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, Error> {
        self.sqlite.create(header, first).await
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        if !self.is_last().await {
            return self.sqlite.advance(run, events, progress).await;
        }
        if self.stores_the_last {
            self.sqlite.advance(run, events, progress).await?;
        }
        self.die().await
    }

    async fn record(&self, run: &RunId) -> Result<Record, Error> {
        self.sqlite.record(run).await
    }

    async fn first(&self, run: &RunId) -> Result<Event, Error> {
        self.sqlite.first(run).await
    }

    async fn find(&self, key: &str) -> Result<Option<RunId>, Error> {
        self.sqlite.find(key).await
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        self.sqlite.events(run).await
    }

    async fn list(&self) -> Result<Vec<Record>, Error> {
        self.sqlite.list().await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, Error> {
        self.sqlite.unfinished().await
    }
}

/// A process of gantry: an engine on a runtime of its own, which can end from one moment to the next.
struct Process {
    runtime: Option<Runtime>,
    world: Option<World>,
}

impl Process {
    fn start(journal: Arc<dyn Journal>, agents: &[&Agent]) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let world = {
            let _inside = runtime.enter();
            let world = World::with(journal);
            world.meet(agents);
            world
        };
        Self { runtime: Some(runtime), world: Some(world) }
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    /// Runs something inside the process while the agents outside go on.
    async fn inside<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let done = self.runtime.as_ref().unwrap().spawn(work);
        tokio::time::timeout(PATIENCE, done).await.expect("it takes no longer").unwrap()
    }

    async fn start_run(&self, yaml: &str, input: Value) -> RunId {
        let start = gantry::engine::Start::new(self.world().plan(yaml), Arc::new(input));
        let engine = self.world().engine.clone();
        self.inside(async move { engine.start(start).await.unwrap().run }).await
    }

    async fn recover(&self) -> gantry::engine::embedded::Recovered {
        let engine = self.world().engine.clone();
        self.inside(async move { engine.recover().await.unwrap() }).await
    }

    async fn end(&self, run: &RunId) -> Snapshot {
        let (engine, run) = (self.world().engine.clone(), run.clone());
        self.inside(async move { super::world::end(&engine, &run).await }).await
    }

    /// Waits until the run has a status.
    async fn ask_for(&self, run: &RunId, wanted: RunStatus) {
        let (engine, run) = (self.world().engine.clone(), run.clone());
        self.inside(async move {
            let mut watched = engine.subscribe(&run).await.unwrap();
            while engine.snapshot(&run).await.unwrap().status != wanted {
                watched.next().await;
            }
        })
        .await;
    }

    async fn shutdown(&self, grace: Duration) -> usize {
        let engine = self.world().engine.clone();
        self.inside(async move { engine.shutdown(grace).await }).await
    }

    /// The power goes.
    fn crash(mut self) {
        self.runtime.take().unwrap().shutdown_background();
        self.world.take();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A chain, a group, a retry, a branch and a caught failure.
const WORKFLOW: &str = "
steps:
  - {id: a, skill: work, inputs: {of: start}}
  - id: group
    step_type: parallel
    branches:
      steps:
        - {id: b, skill: work, inputs: {of: \"{{ steps.a.outputs.did }}\"}}
        - {id: c, skill: moody, retry: {max_attempts: 3, initial: 10ms, jitter: false}}
  - id: which
    step_type: conditional
    condition: \"{{ steps.b.outputs.did == 'work of work of start' }}\"
    branches: {if_true: [{id: d, skill: work, inputs: {of: d}}], if_false: [{id: e, skill: work, inputs: {of: e}}]}
  - id: f
    skill: broken
    on_error: {steps: [{id: g, skill: work, inputs: {of: \"{{ steps.c.outputs.did }}\"}}]}
output: {b: \"{{ steps.b.outputs.did }}\", d: \"{{ steps.d.outputs.did }}\", f: \"{{ steps.f.outputs.did }}\"}
";

async fn worker() -> Agent {
    let script = |call: &Call| match call.skill.as_str() {
        "work" => Act::Reply(json!({"did": format!("work of {}", call.inputs["of"].as_str().unwrap())})),
        // By attempt, not by count: a repeated call gets the same answer.
        "moody" if call.message_id.ends_with("#1") => Act::Fail("not in the mood".to_owned()),
        "moody" => Act::Reply(json!({"did": "moody"})),
        _ => Act::Fail("always".to_owned()),
    };
    Agent::start("worker", &["work", "moody", "broken"], Speaks::Plain, script).await
}

/// What the events of a journal settle: `path#attempt` of every outcome.
fn settled(events: &[Event]) -> BTreeSet<String> {
    let outcome = |event: &Event| match event {
        Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } => Some(format!("{path}#{attempt}")),
        _ => None,
    };
    events.iter().filter_map(outcome).collect()
}

#[tokio::test]
async fn a_crash_at_any_event_loses_nothing_and_repeats_no_result() {
    let unkilled = {
        let (agent, dir) = (worker().await, tempfile::tempdir().unwrap());
        let process = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
        let run = process.start_run(WORKFLOW, json!({})).await;
        let ended = process.end(&run).await;
        (output(&ended).clone(), Sqlite::open(dir.path()).unwrap().events(&run).await.unwrap().len() - 1)
    };
    let (expected, events) = unkilled;
    assert_eq!(expected, json!({"b": "work of work of start", "d": "work of d", "f": "work of moody"}));
    assert_eq!(events, 8, "a, b, c twice and its timer, d, f, g");
    for at in 1..=events {
        for stored in [false, true] {
            let moment = format!("{} event {at}", if stored { "after" } else { "before" });
            let (agent, dir) = (worker().await, tempfile::tempdir().unwrap());
            let journal = Deadly::open(dir.path(), at, stored);
            let first = Process::start(Arc::clone(&journal) as Arc<dyn Journal>, &[&agent]);
            let run = first.start_run(WORKFLOW, json!({})).await;
            tokio::time::timeout(PATIENCE, journal.dead.notified()).await.expect("the journal dies");
            let before = journal.events(&run).await.unwrap();
            first.crash();
            drop(journal);
            agent.until("nobody is connected", |seen| seen.in_flight == 0).await;
            let called = agent.look(|seen| seen.calls.len());
            let second = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
            let recovered = second.recover().await;
            let ended_before = stored && at == events;
            assert_eq!((recovered.resumed, recovered.stuck.len()), (usize::from(!ended_before), 0), "{moment}");
            let ended = second.end(&run).await;
            assert_eq!(output(&ended), &expected, "{moment}");
            let results = settled(&before);
            let again: Vec<Call> = agent.look(|seen| seen.calls[called..].to_vec());
            for call in &again {
                let key = call.message_id.strip_prefix(run.as_str()).unwrap();
                assert!(!results.contains(key), "{moment}: {key} had a result and was called again");
            }
            // A repeated call carries the same key: nothing was ever called under a key the unkilled run does not have.
            let keys: BTreeMap<String, usize> = agent.look(|seen| {
                seen.calls.iter().fold(BTreeMap::new(), |mut counts, call| {
                    *counts.entry(call.message_id.clone()).or_default() += 1;
                    counts
                })
            });
            assert_eq!(keys.len(), 7, "{moment}: {keys:?}");
            assert!(keys.values().all(|count| *count <= 2), "{moment}: {keys:?}");
            assert!(keys.values().filter(|count| **count == 2).count() <= 2, "{moment}: at most what was in flight: {keys:?}");
            assert_eq!(step(&ended, "c").attempts, 2, "{moment}");
        }
    }
}

#[tokio::test]
async fn numbers_of_updates_go_on_after_a_restart() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("gated", &["work"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&closed)).await;
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    let run = first.start_run("steps:\n  - {id: a, skill: work}\n  - {id: b, skill: work}", json!({})).await;
    agent.until("the call", |seen| seen.in_flight == 1).await;
    first.crash();
    agent.until("the call closed", |seen| seen.in_flight == 0).await;
    let second = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    assert_eq!(second.recover().await.resumed, 1);
    let (engine, watched) = (second.world().engine.clone(), run.clone());
    let mut watched = second.inside(async move { engine.subscribe(&watched).await.unwrap() }).await;
    assert_eq!(watched.seq, 2);
    gate.open();
    let seen = second.inside(async move { super::world::updates(&mut watched).await }).await;
    assert_eq!(seen.iter().map(|update| update.seq).collect::<Vec<_>>(), [3, 4, 5, 6]);
}

#[tokio::test]
async fn a_run_that_is_parked_goes_on_where_it_was() {
    for speaks in [Speaks::Plain, Speaks::A2a1] {
        let gate = Gate::new();
        let closed = gate.clone();
        let script =
            move |call: &Call| if call.skill == "slow" { Act::Reply(json!("slow")).behind(&closed) } else { Act::Reply(json!("quick")) };
        let agent = Agent::start("agent", &["slow", "quick"], speaks, script).await;
        let dir = tempfile::tempdir().unwrap();
        let yaml = "steps:\n  - {id: a, skill: quick}\n  - {id: b, skill: slow}\n  - {id: c, skill: quick}";
        let first = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
        let run = first.start_run(yaml, json!({})).await;
        agent.until("the slow call", |seen| seen.of("slow").len() == 1).await;
        assert_eq!(first.shutdown(Duration::from_millis(50)).await, 1, "{speaks:?}");
        let parked = first.world().engine.clone();
        let asked = run.clone();
        let (snapshot, canceled) =
            first.inside(async move { (parked.snapshot(&asked).await.unwrap(), parked.cancel(&asked, "x").await) }).await;
        assert_eq!((snapshot.status, status(&snapshot, "b")), (RunStatus::Running, StepStatus::Running), "{speaks:?}");
        assert!(matches!(canceled, Err(gantry::engine::Error::ShuttingDown)), "{canceled:?}");
        first.crash();
        assert!(agent.look(|seen| seen.canceled.is_empty()), "a task that will be asked for again is not canceled");
        gate.open();
        let second = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
        assert_eq!(second.recover().await.resumed, 1);
        assert_eq!(output(&second.end(&run).await), &json!("quick"), "{speaks:?}");
        let keys = agent.look(|seen| (seen.message_ids("slow"), seen.of("quick").len()));
        assert_eq!(keys, (vec![format!("{run}/1:b#1"); 2], 2), "{speaks:?}");
    }
}

#[tokio::test]
async fn what_ends_within_the_grace_period_is_not_asked_again() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("agent", &["work"], Speaks::Plain, move |_| Act::Reply(json!("done")).behind(&closed)).await;
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    let run = first.start_run("steps:\n  - {id: a, skill: work}\n  - {id: b, skill: work}", json!({})).await;
    agent.until("the call", |seen| seen.in_flight == 1).await;
    let engine = first.world().engine.clone();
    let stopping = first.runtime.as_ref().unwrap().spawn(async move { engine.shutdown(Duration::from_secs(15)).await });
    // The wish to park is a message; refusing new runs is how it is known to be under way.
    while first.world().try_start("steps: []", json!({})).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), stopping).await.expect("shutdown ends with its last call").unwrap(), 1);
    first.crash();
    let second = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    second.recover().await;
    assert_eq!(output(&second.end(&run).await), &json!("done"));
    let mut keys = agent.look(|seen| seen.message_ids("work"));
    keys.sort();
    assert_eq!(keys, [format!("{run}/0:a#1"), format!("{run}/1:b#1")], "each once");
}

#[tokio::test]
async fn a_question_outlives_the_process_that_asked() {
    let script = |call: &Call| if call.task_id.is_some() { Act::Reply(json!({"told": call.inputs})) } else { Act::Ask(json!("what?")) };
    let agent = Agent::start("asks", &["work"], Speaks::A2a1, script).await;
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    let run = first.start_run("steps:\n  - {id: only, skill: work}", json!({})).await;
    first.ask_for(&run, RunStatus::InputRequired).await;
    first.crash();
    let second = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    assert_eq!(second.recover().await.resumed, 1);
    let (engine, asked) = (second.world().engine.clone(), run.clone());
    second.inside(async move { engine.answer(&asked, None, Arc::new(json!(42))).await.unwrap() }).await;
    assert_eq!(output(&second.end(&run).await), &json!({"told": 42}));
    assert_eq!(agent.look(|seen| seen.calls.len()), 2, "the question was not asked again");
    assert!(agent.look(|seen| seen.canceled.is_empty()));
}

const CHILD: &str = "metadata: {id: child, name: C, version: 1.0.0}\nsteps:\n  - {id: only, skill: work}\n  - {id: last, skill: work}\n";
const PARENT: &str = "steps:\n  - {id: inner, skill: execute_workflow, inputs: {workflow_id: child}, outputs: result}";

/// Parent and child are runs of their own; both come back, and the parent finds the very child it had.
#[tokio::test]
async fn a_parent_and_its_child_go_on_together() {
    for crashes in [true, false] {
        let gate = Gate::new();
        let closed = gate.clone();
        let agent = Agent::start("agent", &["work"], Speaks::Plain, move |_| Act::Reply(json!("done")).behind(&closed)).await;
        let dir = tempfile::tempdir().unwrap();
        let first = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
        let discovery = Arc::clone(&first.world().discovery);
        first.inside(async move { discovery.push_workflow("c.yaml", CHILD.into(), None, &[]).await.unwrap() }).await;
        let run = first.start_run(PARENT, json!({})).await;
        agent.until("the child's call", |seen| seen.in_flight == 1).await;
        if !crashes {
            assert_eq!(first.shutdown(Duration::from_millis(50)).await, 2);
        }
        first.crash();
        agent.until("the call closed", |seen| seen.in_flight == 0).await;
        gate.open();
        // The registry of the first process is gone, too, or has moved on: what the child needs is in the journal.
        let second = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
        if crashes {
            let discovery = Arc::clone(&second.world().discovery);
            let moved = CHILD.replace("version: 1.0.0", "version: 2.0.0");
            second.inside(async move { discovery.push_workflow("c.yaml", moved.into(), None, &[]).await.unwrap() }).await;
        }
        assert_eq!(second.recover().await.resumed, 2, "crashes: {crashes}");
        assert_eq!(output(&second.end(&run).await), &json!({"result": "done"}), "crashes: {crashes}");
        let runs = Sqlite::open(dir.path()).unwrap().list().await.unwrap();
        assert_eq!(runs.len(), 2, "no second child: {runs:?}");
        assert!(runs.iter().all(|run| run.status == RunStatus::Completed), "crashes: {crashes}");
        let mut keys = agent.look(|seen| seen.message_ids("work"));
        keys.dedup();
        assert_eq!((keys.len(), agent.look(|seen| seen.calls.len())), (2, 3), "crashes: {crashes}");
    }
}

/// The answer reached the child, and the parent's process ended before it heard what came of it.
#[tokio::test]
async fn an_answer_that_was_passed_on_is_not_needed_again() {
    let gate = Gate::new();
    let closed = gate.clone();
    let script = move |call: &Call| match (call.skill.as_str(), &call.task_id) {
        ("work", None) => Act::Ask(json!("what?")),
        ("work", Some(_)) => Act::Reply(call.inputs.clone()).behind(&closed),
        _ => Act::Reply(json!("other")),
    };
    let agent = Agent::start("agent", &["work"], Speaks::A2a1, script).await;
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    let discovery = Arc::clone(&first.world().discovery);
    let child = "metadata: {id: child, name: C, version: 1.0.0}\nsteps:\n  - {id: only, skill: work}\n";
    first.inside(async move { discovery.push_workflow("c.yaml", child.into(), None, &[]).await.unwrap() }).await;
    let run = first.start_run(PARENT, json!({})).await;
    first.ask_for(&run, RunStatus::InputRequired).await;
    let (engine, asked) = (first.world().engine.clone(), run.clone());
    first.inside(async move { engine.answer(&asked, None, Arc::new(json!(42))).await.unwrap() }).await;
    agent.until("the answer", |seen| seen.calls.len() == 2).await;
    first.crash();
    gate.open();
    let second = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    assert_eq!(second.recover().await.resumed, 2);
    assert_eq!(output(&second.end(&run).await), &json!({"result": 42}));
    let mut keys = agent.look(|seen| seen.message_ids("work"));
    keys.dedup();
    assert_eq!(keys.len(), 2, "{keys:?}");
}

#[tokio::test]
async fn a_run_that_ends_where_it_begins_has_ended_in_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[]);
    let broken = "steps:\n  - {id: only, skill: nobody, inputs: {x: \"{{ workflow.input.nope }}\"}}";
    for (yaml, expected) in [("steps: []", RunStatus::Completed), (broken, RunStatus::Failed)] {
        let run = process.start_run(yaml, json!({})).await;
        assert_eq!(process.end(&run).await.status, expected, "{yaml}");
        process.ask_for(&run, expected).await;
        let journal = Sqlite::open(dir.path()).unwrap();
        assert_eq!(journal.record(&run).await.unwrap().status, expected, "{yaml}");
        assert!(journal.unfinished().await.unwrap().is_empty(), "{yaml}");
    }
    let asks = process.start_run("steps:\n  - {id: q, step_type: input, prompt: what?}", json!({})).await;
    process.ask_for(&asks, RunStatus::InputRequired).await;
    assert_eq!(Sqlite::open(dir.path()).unwrap().record(&asks).await.unwrap().status, RunStatus::InputRequired);
}

#[tokio::test]
async fn a_parked_parent_and_child_do_not_wait_out_the_grace_period() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("agent", &["work"], Speaks::Plain, move |_| Act::Reply(json!("done")).behind(&closed)).await;
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    let discovery = Arc::clone(&first.world().discovery);
    first.inside(async move { discovery.push_workflow("c.yaml", CHILD.into(), None, &[]).await.unwrap() }).await;
    let run = first.start_run(PARENT, json!({})).await;
    agent.until("the child's call", |seen| seen.in_flight == 1).await;
    let engine = first.world().engine.clone();
    let stopping = first.runtime.as_ref().unwrap().spawn(async move { engine.shutdown(Duration::from_secs(3600)).await });
    while first.world().try_start("steps: []", json!({})).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.open();
    // An hour of grace, and it ends with the child's call.
    assert_eq!(tokio::time::timeout(PATIENCE, stopping).await.expect("nothing is left to wait for").unwrap(), 2);
    let engine = first.world().engine.clone();
    let asked = run.clone();
    let parked = first.inside(async move { engine.snapshot(&asked).await.unwrap() }).await;
    assert_eq!((parked.status, status(&parked, "inner")), (RunStatus::Running, StepStatus::Running), "not failed by the shutdown");
}

#[tokio::test]
async fn a_deadline_goes_on_from_where_it_was() {
    // The run was accepted long ago, and the process ended at once: its deadline has passed by now.
    let agent = Agent::start("slow", &["work"], Speaks::Plain, |_| Act::Hang).await;
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(dir.path()).unwrap();
    let yaml = "metadata: {id: w, name: W, version: 1.0.0}\nlimits: {max_duration: 1h}\nsteps:\n  - {id: only, skill: work}";
    let world = World::new();
    let plan = world.plan(yaml);
    let run = RunId::parse("old-run").unwrap();
    let at = gantry::time::Timestamp::parse("2020-01-01T00:00:00Z").unwrap();
    let header = Header {
        run: run.clone(),
        workflow: "w".to_owned(),
        version: "1.0.0".to_owned(),
        digest: plan.digest().clone(),
        source: Arc::clone(plan.source()),
        idempotency_key: None,
        labels: BTreeMap::new(),
        note: None,
        started_at: at,
    };
    let first = json!({"event": "started", "run": "old-run", "workflow": plan.digest(), "semantics": 1, "input": {}, "at": at});
    sqlite.create(header, serde_json::from_value(first).unwrap()).await.unwrap();
    drop(sqlite);
    let process = Process::start(Arc::new(Sqlite::open(dir.path()).unwrap()), &[&agent]);
    assert_eq!(process.recover().await.resumed, 1);
    let ended = process.end(&run).await;
    assert_eq!(super::world::failure(&ended).code, gantry::interpreter::ErrorClass::Timeout);
}
