//! Runs that wait for people and timers alone: they leave memory, nobody sees a difference, and a start reads none of them.
//!
//! The counts are small enough for every run of the tests; with `GANTRY_SCALE=full` in the environment they are the ones that are
//! promised.

#![expect(clippy::print_stderr, reason = "figures are for whoever asks for the full scale")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use gantry::engine::embedded::{Counts, Embedded, Options};
use gantry::engine::{Engine, Error, Start};
use gantry::ids::RunId;
use gantry::interpreter::{Change, Event, RunStatus, SEMANTICS};
use gantry::journal::{Header, Journal, Memory, Progress, Sqlite};
use gantry::plan::Plan;
use gantry::time::Timestamp;
use serde_json::json;

use super::agent::{Act, Agent, Call, PATIENCE, Speaks};
use super::world::{World, client_options, failure, output, updates};

/// How many: the first by default, the second when the full scale is asked for.
fn count(moderate: usize, full: usize) -> usize {
    match std::env::var("GANTRY_SCALE").as_deref() {
        Ok("full") => full,
        _ => moderate,
    }
}

/// A world whose runs rest after this time.
pub(super) fn world(journal: Arc<dyn Journal>, rest_after: Duration) -> World {
    let mut world = World::with(Arc::clone(&journal));
    let options = Options { rest_after, ..Options::default() };
    world.engine = Embedded::new(options, Arc::clone(&world.discovery), gantry::agent::Client::new(client_options()), journal);
    world
}

pub(super) const SOON: Duration = Duration::from_millis(20);
/// Longer than any test: nothing rests.
const NEVER: Duration = Duration::from_secs(3600);

pub(super) async fn until(engine: &Embedded, awake: usize, resting: usize) {
    let wait = async {
        while engine.counts() != (Counts { awake, resting }) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("never {awake} awake and {resting} at rest, but {:?}", engine.counts()));
}

const ASK: &str =
    "steps:\n  - {id: ask, step_type: input, prompt: yes?}\n  - {id: told, step_type: set, value: \"{{ steps.ask.outputs }}\"}";

#[tokio::test]
async fn a_run_at_rest_is_shown_from_the_journal_and_woken_by_its_answer() {
    let dir = tempfile::tempdir().unwrap();
    for journal in [Arc::new(Memory::default()) as Arc<dyn Journal>, Arc::new(Sqlite::open(dir.path()).unwrap())] {
        let world = world(journal, SOON);
        let run = world.start(ASK, json!({})).await;
        until(&world.engine, 0, 1).await;
        let shown = world.engine.snapshot(&run).await.unwrap();
        assert_eq!((shown.status, world.engine.wait(&run).await.unwrap()), (RunStatus::InputRequired, shown));
        assert_eq!(world.engine.summary(&run).await.unwrap().status, RunStatus::InputRequired);
        assert_eq!(world.engine.counts(), Counts { awake: 0, resting: 1 }, "to look at it wakes nothing");
        let wrong = world.engine.answer(&run, Some("told"), Arc::new(json!(1))).await.unwrap_err();
        assert!(matches!(wrong, Error::NotWaiting { .. }), "{wrong}");
        until(&world.engine, 0, 1).await;
        world.engine.answer(&run, None, Arc::new(json!("yes"))).await.unwrap();
        assert_eq!(output(&world.end(&run).await), &json!("yes"));
        until(&world.engine, 0, 0).await;
        let late = world.engine.answer(&run, None, Arc::new(json!("again"))).await.unwrap_err();
        assert!(matches!(late, Error::Ended { .. }), "{late}");
    }
}

#[tokio::test]
async fn runs_that_wait_do_not_keep_others_out() {
    const PLACES: usize = 10;
    let dir = tempfile::tempdir().unwrap();
    let mut world = world(Arc::new(Sqlite::open(dir.path()).unwrap()), NEVER);
    let options = Options { rest_after: NEVER, runs_max: PLACES, ..Options::default() };
    world.engine =
        Embedded::new(options, Arc::clone(&world.discovery), gantry::agent::Client::new(client_options()), Arc::clone(&world.journal));
    let plan = world.plan(ASK);
    let mut runs = Vec::new();
    while runs.len() < 5 * PLACES {
        runs.push(world.engine.start(Start::new(Arc::clone(&plan), Arc::new(json!({})))).await.unwrap().run);
        // Those in the second half of the places leave as soon as they wait.
        let leave = async {
            while world.engine.counts().awake > PLACES / 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, leave).await.expect("room for others");
    }
    until(&world.engine, PLACES / 2, 5 * PLACES - PLACES / 2).await;
    for run in [&runs[0], &runs[5 * PLACES - 1]] {
        world.engine.answer(run, None, Arc::new(json!("yes"))).await.unwrap();
        assert_eq!(output(&world.end(run).await), &json!("yes"));
    }
}

#[tokio::test]
async fn who_watches_sees_no_difference() {
    let world = world(Arc::new(Memory::default()), SOON);
    let run = world.start(ASK, json!({})).await;
    let mut watched = world.engine.subscribe(&run).await.unwrap();
    until(&world.engine, 0, 1).await;
    let mut again = world.engine.subscribe(&run).await.unwrap();
    assert_eq!(world.engine.counts().awake, 1, "a watch is told by the run itself");
    until(&world.engine, 0, 1).await;
    world.engine.answer(&run, None, Arc::new(json!("yes"))).await.unwrap();
    let (first, second) = (updates(&mut watched).await, updates(&mut again).await);
    let seen: Vec<u64> = second.iter().map(|update| update.seq).collect();
    assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seen:?}");
    assert_eq!(first[first.len() - second.len()..], second[..]);
    assert!(matches!(second.last().unwrap().change, Change::RunFinished { .. }));
}

#[tokio::test]
async fn who_waits_for_a_run_at_rest_lets_it_rest_and_is_told_its_end() {
    let dir = tempfile::tempdir().unwrap();
    for journal in [Arc::new(Memory::default()) as Arc<dyn Journal>, Arc::new(Sqlite::open(dir.path()).unwrap())] {
        let world = world(journal, SOON);
        // It waits for a timer: that is running, and nobody is asked anything.
        let run = world.start("steps:\n  - {id: w, step_type: wait, for: 300d}\n  - {id: s, step_type: set, value: done}", json!({})).await;
        // One waits from before it rests, the others from after.
        let wait = || {
            let (engine, run) = (world.engine.clone(), run.clone());
            tokio::spawn(async move { engine.wait(&run).await.unwrap() })
        };
        let before = wait();
        until(&world.engine, 0, 1).await;
        let after: Vec<_> = (0..8).map(|_| wait()).collect();
        // Longer than a run that was woken would take to rest again.
        for _ in 0..10 {
            tokio::time::sleep(SOON / 4).await;
            assert_eq!(world.engine.counts(), Counts { awake: 0, resting: 1 }, "to wait for it wakes nothing");
        }
        assert!(!before.is_finished() && after.iter().all(|one| !one.is_finished()));
        world.engine.cancel(&run, "enough").await.unwrap();
        for waits in after.into_iter().chain([before]) {
            let told = tokio::time::timeout(PATIENCE, waits).await.expect("its end is told").unwrap();
            assert_eq!(told.status, RunStatus::Canceled);
        }
        until(&world.engine, 0, 0).await;
        // One that completes while it is waited for.
        let run =
            world.start("steps:\n  - {id: w, step_type: wait, for: 300ms}\n  - {id: s, step_type: set, value: done}", json!({})).await;
        until(&world.engine, 0, 1).await;
        let told = tokio::time::timeout(PATIENCE, world.engine.wait(&run)).await.expect("its end is told").unwrap();
        assert_eq!(output(&told), &json!("done"));
    }
}

#[tokio::test]
async fn timers_wake_runs_and_so_does_a_wish_to_cancel() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(Arc::new(Sqlite::open(dir.path()).unwrap()), SOON);
    let started = Instant::now();
    let waits = world.start("steps:\n  - {id: w, step_type: wait, for: 600ms}\n  - {id: s, step_type: set, value: done}", json!({})).await;
    let asks = world.start("steps:\n  - {id: ask, step_type: input, prompt: x, timeout: 500ms, default: none}", json!({})).await;
    let fails = world.start("steps:\n  - {id: ask, step_type: input, prompt: x, timeout: 700ms}", json!({})).await;
    let canceled = world.start("steps:\n  - {id: w, step_type: wait, for: 300d}", json!({})).await;
    until(&world.engine, 0, 4).await;
    assert!(started.elapsed() < Duration::from_millis(450), "at rest before anything was due");
    assert_eq!(world.engine.summary(&canceled).await.unwrap().status, RunStatus::Running);
    assert_eq!(world.journal.resting().await.unwrap().len(), 4);
    world.engine.cancel(&canceled, "enough").await.unwrap();
    assert_eq!(world.engine.wait(&canceled).await.unwrap().status, RunStatus::Canceled);
    assert_eq!(output(&world.engine.wait(&waits).await.unwrap()), &json!("done"), "who waits for a run at rest waits for its end");
    assert!(started.elapsed() >= Duration::from_millis(600));
    assert_eq!(output(&world.end(&asks).await), &json!("none"));
    assert!(failure(&world.end(&fails).await).message.contains("no answer"), "it fails as ever");
    assert!(started.elapsed() >= Duration::from_millis(700));
    until(&world.engine, 0, 0).await;
    assert_eq!(world.journal.resting().await.unwrap(), []);
}

#[tokio::test]
async fn a_run_whose_branch_is_at_work_does_not_rest() {
    let gate = super::agent::Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("slow", &["work"], Speaks::Plain, move |_: &Call| Act::Reply(json!(1)).behind(&closed)).await;
    let dir = tempfile::tempdir().unwrap();
    let world = world(Arc::new(Sqlite::open(dir.path()).unwrap()), Duration::from_millis(1));
    world.meet(&[&agent]);
    let branches = "{steps: [{id: ask, step_type: input, prompt: x}, {id: work, skill: work}]}";
    let run = world.start(&format!("steps:\n  - {{id: both, step_type: parallel, branches: {branches}}}"), json!({})).await;
    agent.until("the call", |seen| seen.in_flight == 1).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(world.engine.counts(), Counts { awake: 1, resting: 0 });
    assert_eq!((world.journal.resting().await.unwrap().len(), world.journal.unfinished().await.unwrap().len()), (0, 1));
    gate.open();
    until(&world.engine, 0, 1).await;
    assert_eq!((world.journal.resting().await.unwrap().len(), world.journal.unfinished().await.unwrap().len()), (1, 0));
    world.engine.answer(&run, Some("ask"), Arc::new(json!(2))).await.unwrap();
    assert_eq!(output(&world.end(&run).await), &json!({"ask": 2, "work": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_meet_runs_on_their_way_out_of_memory_are_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(Arc::new(Sqlite::open(dir.path()).unwrap()), Duration::from_micros(100));
    let plan = world.plan(ASK);
    let runs = (0..count(200, 5_000)).map(|n| {
        let (engine, plan) = (world.engine.clone(), Arc::clone(&plan));
        tokio::spawn(async move {
            let run = engine.start(Start::new(plan, Arc::new(json!({})))).await.unwrap().run;
            tokio::time::sleep(Duration::from_micros(n as u64 % 50 * 100)).await;
            let answer = |said: u32| {
                let (engine, run) = (engine.clone(), run.clone());
                async move { engine.answer(&run, Some("ask"), Arc::new(json!(said))).await }
            };
            let (first, second, _) = tokio::join!(answer(1), answer(2), engine.snapshot(&run));
            assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
            (engine.wait(&run).await.unwrap(), if first.is_ok() { 1 } else { 2 })
        })
    });
    for ended in runs.collect::<Vec<_>>() {
        let (ended, said) = ended.await.unwrap();
        assert_eq!(output(&ended), &json!(said));
    }
    until(&world.engine, 0, 0).await;
}

#[tokio::test]
async fn a_parent_and_its_child_rest_together_and_go_on_together_after_a_restart() {
    const CHILD: &str = "metadata: {id: child, name: C, version: 1.0.0}\nsteps:\n  - {id: ask, step_type: input, prompt: x}\n";
    const PARENT: &str = "steps:\n  - {id: inner, step_type: workflow, workflow: child, outputs: result}";
    let dir = tempfile::tempdir().unwrap();
    let first = world(Arc::new(Sqlite::open(dir.path()).unwrap()), SOON);
    first.push_workflow(CHILD).await;
    let run = first.start(PARENT, json!({})).await;
    until(&first.engine, 0, 2).await;
    assert_eq!(first.engine.shutdown(Duration::from_secs(5)).await, 2, "runs at rest are parked, too");
    drop(first);
    let second = world(Arc::new(Sqlite::open(dir.path()).unwrap()), SOON);
    second.push_workflow(CHILD).await;
    let recovered = second.engine.recover().await.unwrap();
    assert_eq!((recovered.resumed, second.engine.counts()), (2, Counts { awake: 0, resting: 2 }), "nothing was read");
    second.engine.answer(&run, Some("inner"), Arc::new(json!("yes"))).await.unwrap();
    assert_eq!(output(&second.end(&run).await), &json!({"result": "yes"}));
    until(&second.engine, 0, 0).await;
}

#[tokio::test]
async fn without_a_durable_journal_runs_at_rest_are_canceled_and_agents_told() {
    let agent = Agent::start("asks", &["work"], Speaks::A2a1, |_: &Call| Act::Ask(json!("what?"))).await;
    let world = world(Arc::new(Memory::default()), SOON);
    world.meet(&[&agent]);
    let run = world.start("steps:\n  - {id: only, skill: work}", json!({})).await;
    until(&world.engine, 0, 1).await;
    assert_eq!(world.engine.shutdown(Duration::from_secs(10)).await, 0);
    assert_eq!(world.engine.snapshot(&run).await.unwrap().status, RunStatus::Canceled);
    agent.until("its task canceled", |seen| seen.canceled == ["task-1"]).await;
}

/// Runs that asked something in an earlier process, as the journal has them.
async fn parked(journal: &Arc<dyn Journal>, plan: &Arc<Plan>, runs: usize, rests: bool) -> Vec<RunId> {
    let at = Timestamp::from_unix_ms(1_000_000);
    stream::iter(0..runs)
        .map(|n| async move {
            let run = RunId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap();
            let metadata = &plan.workflow().metadata;
            let header = Header {
                run: run.clone(),
                workflow: metadata.id.to_string(),
                version: metadata.version.to_string(),
                digest: plan.digest().clone(),
                source: Arc::clone(plan.source()),
                idempotency_key: None,
                labels: BTreeMap::from([("a2a.caller".to_owned(), "somebody".to_owned())]),
                note: None,
                started_at: at,
            };
            let input = Arc::new(json!({"n": n, "text": "x".repeat(200)}));
            let workflow = plan.digest().clone();
            let first = Event::Started { run: run.clone(), workflow, semantics: SEMANTICS, input, ancestry: vec![], work: None, at };
            journal.create(header, first).await.unwrap();
            if rests {
                let progress = Progress { rests: Some(None), ..Progress::at(RunStatus::InputRequired) };
                journal.advance(&run, &[], progress).await.unwrap();
            }
            run
        })
        .buffered(256)
        .collect()
        .await
}

/// Megabytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parked_runs_cost_a_start_no_more_than_an_index() {
    let runs = count(2_000, 100_000);
    let dir = tempfile::tempdir().unwrap();
    let journal: Arc<dyn Journal> = Arc::new(Sqlite::open(dir.path()).unwrap());
    let first = world(Arc::clone(&journal), NEVER);
    let parked = parked(&journal, &first.plan(ASK), runs, true).await;
    drop((first, journal));
    let before = resident();
    let started = Instant::now();
    let second = world(Arc::new(Sqlite::open(dir.path()).unwrap()), SOON);
    assert_eq!(second.engine.recover().await.unwrap().resumed, runs);
    let took = started.elapsed();
    assert_eq!(second.engine.counts(), Counts { awake: 0, resting: runs });
    let indexed = resident();
    eprintln!("{runs} parked runs: opened and indexed in {took:?}, {before} MB before and {indexed} MB after");
    assert!(took < Duration::from_secs(2), "{took:?}");
    // A line in the index, what was read to make it, and some room for what the system rounds up.
    let grown = indexed.saturating_sub(before);
    assert!(grown <= 16 + runs as u64 * 2 / 1_000, "{grown} MB more for {runs} runs");
    // Each of them goes on when it is answered.
    let started = Instant::now();
    let answered = stream::iter(&parked).map(|run| second.engine.answer(run, None, Arc::new(json!("yes"))));
    let answered: Vec<_> = answered.buffer_unordered(64).collect().await;
    assert!(answered.iter().all(Result::is_ok), "{:?}", answered.iter().find(|one| one.is_err()));
    until(&second.engine, 0, 0).await;
    let took = started.elapsed();
    eprintln!("{runs} answered and ended in {took:?}, {:.0} runs/s; {} MB", runs as f64 / took.as_secs_f64(), resident());
    for run in [&parked[0], &parked[runs - 1]] {
        assert_eq!(output(&second.engine.snapshot(run).await.unwrap()), &json!("yes"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_which_the_journal_does_not_know_that_they_rest_follow_while_others_are_served() {
    let runs = count(3_000, 100_000);
    let dir = tempfile::tempdir().unwrap();
    let journal: Arc<dyn Journal> = Arc::new(Sqlite::open(dir.path()).unwrap());
    let first = world(Arc::clone(&journal), NEVER);
    let parked = parked(&journal, &first.plan(ASK), runs, false).await;
    drop((first, journal));
    let started = Instant::now();
    let second = world(Arc::new(Sqlite::open(dir.path()).unwrap()), Duration::from_millis(1));
    assert_eq!(second.engine.recover().await.unwrap().resumed, runs);
    let served = started.elapsed();
    second.engine.answer(&parked[runs - 1], None, Arc::new(json!("yes"))).await.unwrap();
    let mut most = 0;
    while second.engine.counts() != (Counts { awake: 0, resting: runs - 1 }) || !second.journal.unfinished().await.unwrap().is_empty() {
        most = most.max(resident());
        assert!(started.elapsed() < PATIENCE * 10, "{:?}", second.engine.counts());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = started.elapsed();
    eprintln!(
        "{runs} runs: served after {served:?}, all resumed after {took:?}, {:.0} runs/s; at most {most} MB",
        runs as f64 / took.as_secs_f64()
    );
    assert!(most < 500, "{most} MB");
    assert_eq!(output(&second.engine.wait(&parked[runs - 1]).await.unwrap()), &json!("yes"));
}
