//! Runs that are canceled at a random moment: each ends once, begins nothing after that, and leaves no task behind at its agent.
//!
//! The count is small enough for every run of the tests; with `GANTRY_SCALE=full` in the environment it is the one that is promised.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use gantry::engine::{Engine, Error};
use gantry::ids::RunId;
use gantry::interpreter::{Change, Event, Outcome, RunStatus, Snapshot, StepStatus};
use gantry::journal::Sqlite;
use serde_json::{Value, json};

use super::agent::{Act, Agent, Call, Speaks};
use super::world::{World, updates};

const STEPS: [&str; 4] = ["a", "b", "h", "c"];
const WORKFLOW: &str = "steps:
  - {id: a, skill: quick}
  - {id: b, skill: quick}
  - {id: h, skill: hang, when: \"{{ workflow.input.hangs }}\"}
  - {id: c, skill: quick}
";

/// One run, and how long it took to end once it was told to.
struct Canceled {
    run: RunId,
    hangs: bool,
    end: Snapshot,
    took: Duration,
}

async fn cancel_one(world: &World, hangs: bool) -> Canceled {
    let run = world.start(WORKFLOW, json!({ "hangs": hangs })).await;
    let mut watched = world.engine.subscribe(&run).await.unwrap();
    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..60_000))).await;
    let asked = Instant::now();
    match world.engine.cancel(&run, "enough").await {
        Ok(()) => {}
        Err(Error::Ended { .. }) => assert!(!hangs, "it cannot have ended"),
        Err(error) => panic!("{error}"),
    }
    let told = updates(&mut watched).await;
    let took = asked.elapsed();
    let ends = told.iter().filter(|update| matches!(update.change, Change::RunFinished { .. })).count();
    assert!(ends <= 1, "one end: {told:#?}");
    Canceled { end: world.engine.snapshot(&run).await.unwrap(), run, hangs, took }
}

fn step_of(call: &Call) -> (String, String) {
    let (run, attempt) = call.message_id.split_once('/').unwrap();
    (run.to_owned(), attempt.split([':', '#']).nth(1).unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "figures are there to be read")]
async fn runs_canceled_at_a_random_moment_end_once_and_leave_nothing_behind() {
    let is_full = std::env::var("GANTRY_SCALE").as_deref() == Ok("full");
    let runs = if is_full { 10_000 } else { 200 };
    let script = |call: &Call| if call.skill == "hang" { Act::Hang } else { Act::Reply(Value::Null) };
    let agent = Agent::start("agent", &["quick", "hang"], Speaks::A2a1, script).await;
    let dir = tempfile::tempdir().unwrap();
    let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
    world.meet(&[&agent]);
    let all = stream::iter(0..runs).map(|n| cancel_one(&world, n % 2 == 0)).buffer_unordered(16);
    let all: Vec<Canceled> = all.collect().await;
    // A task is canceled by a call of its own, which nobody waits for.
    let hung: BTreeSet<String> = agent.look(|seen| seen.message_ids("hang")).iter().map(|id| agent.task_of(id)).collect();
    agent.until("every task that was left is canceled", |seen| hung.iter().all(|task| seen.canceled.contains(task))).await;
    assert_eq!(agent.look(|seen| seen.canceled.iter().cloned().collect::<BTreeSet<_>>()), hung, "and no other");
    let called: BTreeSet<(String, String)> = agent.look(|seen| seen.calls.iter().map(step_of).collect());
    let (mut canceled, mut times) = (0, Vec::new());
    for Canceled { run, hangs, end, took } in &all {
        let status = end.status;
        assert!(matches!(status, RunStatus::Completed | RunStatus::Canceled), "{status:?}");
        assert_eq!(world.journal.record(run).await.unwrap().status, status);
        for id in STEPS {
            let step = super::world::step(end, id);
            let was_called = called.contains(&(run.to_string(), id.to_owned()));
            let never = matches!(step.status, StepStatus::Pending | StepStatus::Skipped) || step.attempts == 0;
            assert!(!(was_called && never), "step {id} of {run} was called, and {:?}", step.status);
        }
        // A step begins when the one before it has ended well, and none after the one at which the run was canceled.
        let begun = STEPS.iter().filter(|id| called.contains(&(run.to_string(), (**id).to_owned()))).count();
        let done = |id: &&&str| matches!(super::world::status(end, id), StepStatus::Completed);
        assert!(begun <= STEPS.iter().filter(done).count() + 1, "{begun} steps of {run} were called: {end:#?}");
        let is_completed = matches!(end.outcome, Some(Outcome::Completed { .. }));
        let is_canceled = matches!(end.outcome, Some(Outcome::Canceled { .. }));
        assert!(is_completed != is_canceled && is_completed == (status == RunStatus::Completed), "one end: {end:#?}");
        let events = world.journal.events(run).await.unwrap();
        if let Some(at) = events.iter().position(|event| matches!(event, Event::CancelRequested { .. })) {
            assert_eq!(status, RunStatus::Canceled);
            assert_eq!(at, events.len() - 1, "nothing follows: {events:#?}");
            assert!(!called.contains(&(run.to_string(), "c".to_owned())) || !hangs, "nothing begins after the step that hung");
            canceled += 1;
            times.push(*took);
        }
    }
    times.sort_unstable();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    eprintln!(
        "{runs} runs, {canceled} canceled and {} completed before; the end after {median:?}, p99 {p99:?}; {} tasks at the agent canceled",
        runs - canceled,
        hung.len()
    );
    assert!(!is_full || p99 < Duration::from_millis(100), "the end after {p99:?}");
    assert!(canceled >= runs / 2, "{canceled} of {runs}");
}
