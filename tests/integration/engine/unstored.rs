//! What is not in the journal yet has not happened: nothing is canceled for it, and what nobody will hear of is not left behind.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use gantry::engine::Engine;
use gantry::ids::RunId;
use gantry::interpreter::RunStatus;
use gantry::journal::{Error, Journal};
use serde_json::json;

use super::agent::{Act, Agent, Call, Gate, PATIENCE, Speaks};
use super::world::{World, failure, output};
use crate::journal::Handled;

/// Lets the journal break once, or wait, when events of the run `watched` are to be stored.
#[derive(Default)]
struct Mood {
    watched: Mutex<Option<RunId>>,
    breaks: AtomicBool,
    busy: AtomicBool,
    broke: AtomicUsize,
    waits: AtomicBool,
    offered: AtomicUsize,
    gate: Gate,
}

impl Mood {
    /// A journal and its mood.
    fn new() -> (Arc<Self>, Arc<dyn Journal>) {
        let mood = Arc::new(Self::default());
        let of_journal = Arc::clone(&mood);
        let journal = Handled::in_memory(move |run, events, _| {
            let is_watched = of_journal.watched.lock().unwrap().as_ref() == Some(run) && !events.is_empty();
            let mood = Arc::clone(&of_journal);
            async move { if is_watched { mood.show().await } else { Ok(()) } }.boxed()
        });
        (mood, journal)
    }

    async fn show(&self) -> Result<(), Error> {
        if self.breaks.swap(false, Ordering::SeqCst) {
            self.broke.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Failed("the disk gave up".to_owned()));
        }
        if self.busy.swap(false, Ordering::SeqCst) {
            self.offered.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Busy("database is locked".to_owned()));
        }
        if self.waits.load(Ordering::SeqCst) {
            self.offered.fetch_add(1, Ordering::SeqCst);
            self.gate.pass().await;
        }
        Ok(())
    }

    fn watch(&self, run: &RunId) {
        *self.watched.lock().unwrap() = Some(run.clone());
    }

    async fn until(&self, what: &AtomicUsize) {
        let happens = async {
            while what.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, happens).await.expect("the journal is written to");
    }
}

const BELOW: &str = "metadata: {id: below, name: B, version: 1.0.0}\nsteps: [{id: slow, skill: slow}]";

/// Slow behind a gate, quick behind another.
async fn two_speeds(slow: &Gate, quick: &Gate) -> Agent {
    let (slow, quick) = (slow.clone(), quick.clone());
    let script = move |call: &Call| match call.skill.as_str() {
        "slow" => Act::Reply(json!("slow")).behind(&slow),
        _ => Act::Reply(json!("quick")).behind(&quick),
    };
    Agent::start("agent", &["slow", "quick"], Speaks::A2a1, script).await
}

#[tokio::test]
async fn a_write_that_fails_cancels_nothing_that_is_asked_for_again_after_the_restart() {
    for branch in ["{id: s, skill: slow}", "{id: s, step_type: workflow, workflow: below}"] {
        let (slow, quick) = (Gate::new(), Gate::new());
        let agent = two_speeds(&slow, &quick).await;
        let (mood, journal) = Mood::new();
        let world = World::with(Arc::clone(&journal));
        world.meet(&[&agent]);
        world.push_workflow(BELOW).await;
        let yaml = format!("steps: [{{id: both, step_type: parallel, branches: {{steps: [{branch}, {{id: q, skill: quick}}]}}}}]");
        let run = world.start(&yaml, json!({})).await;
        agent.until("both calls", |seen| seen.calls.len() == 2).await;
        mood.watch(&run);
        mood.breaks.store(true, Ordering::SeqCst);
        quick.open();
        mood.until(&mood.broke).await;
        // It is out of reach once it has stopped.
        let stops = async {
            while world.engine.answer(&run, None, Arc::new(json!(1))).await.is_ok_and(|()| true)
                || world.engine.counts().awake > usize::from(branch.contains("below"))
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, stops).await.expect("the run stops");
        world.engine.shutdown(Duration::from_millis(1)).await;
        assert!(agent.look(|seen| seen.canceled.is_empty()), "{branch}");
        slow.open();
        let next = World::with(Arc::clone(&journal));
        next.meet(&[&agent]);
        next.push_workflow(BELOW).await;
        next.engine.recover().await.unwrap();
        assert_eq!(output(&next.end(&run).await), &json!({"s": "slow", "q": "quick"}), "{branch}");
        assert!(agent.look(|seen| seen.canceled.is_empty()), "{branch}");
    }
}

#[tokio::test]
async fn a_journal_that_another_program_holds_is_waited_for() {
    let (slow, quick) = (Gate::new(), Gate::new());
    let agent = two_speeds(&slow, &quick).await;
    let (mood, journal) = Mood::new();
    let world = World::with(Arc::clone(&journal));
    world.meet(&[&agent]);
    let run = world.start("steps: [{id: q, skill: quick}]", json!({})).await;
    mood.watch(&run);
    mood.busy.store(true, Ordering::SeqCst);
    quick.open();
    assert_eq!(output(&world.end(&run).await), &json!("quick"));
    assert_eq!(mood.offered.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_takes_too_long_is_canceled_when_it_is_stored_that_it_did_and_not_before() {
    for step in ["{id: s, skill: slow, timeout: 200ms}", "{id: s, step_type: workflow, workflow: below, timeout: 200ms}"] {
        let agent = two_speeds(&Gate::new(), &Gate::new()).await;
        let (mood, journal) = Mood::new();
        let world = World::with(Arc::clone(&journal));
        world.meet(&[&agent]);
        world.push_workflow(BELOW).await;
        mood.waits.store(true, Ordering::SeqCst);
        let run = world.start(&format!("steps: [{step}]"), json!({})).await;
        mood.watch(&run);
        mood.until(&mood.offered).await;
        for below in journal.list().await.unwrap() {
            assert_eq!(below.status, RunStatus::Running, "{step}");
        }
        // What would be told is told on its own: it has time to come.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(agent.look(|seen| seen.canceled.is_empty()), "{step}");
        mood.gate.open();
        assert_eq!(failure(&world.end(&run).await).code, gantry::interpreter::ErrorClass::Timeout);
        agent.until("its task canceled", |seen| seen.canceled == ["task-1"]).await;
    }
}

#[tokio::test]
async fn a_question_that_comes_too_late_for_its_run_leaves_no_task_behind() {
    let (first, second) = (Gate::new(), Gate::new());
    let (opened, opened_later, also_later) = (first.clone(), second.clone(), second.clone());
    let breaks = Agent::start("breaks", &["break"], Speaks::Plain, move |_| Act::Fail("no".to_owned()).behind(&opened_later)).await;
    let asks = Agent::start("asks", &["ask"], Speaks::A2a1, move |_| Act::Ask(json!("well?")).behind(&also_later)).await;
    let quick = Agent::start("quick", &["quick"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&opened)).await;
    let (mood, journal) = Mood::new();
    let world = World::with(Arc::clone(&journal));
    world.meet(&[&breaks, &asks, &quick]);
    // The first of them is the call that the run's task makes itself: what comes of it is taken first.
    let yaml =
        "steps: [{id: all, step_type: parallel, branches: {steps: [{id: a, skill: break}, {id: b, skill: ask}, {id: c, skill: quick}]}}]";
    let run = world.start(yaml, json!({})).await;
    for agent in [&breaks, &asks, &quick] {
        agent.until("its call", |seen| seen.calls.len() == 1).await;
    }
    mood.watch(&run);
    mood.waits.store(true, Ordering::SeqCst);
    first.open();
    mood.until(&mood.offered).await;
    second.open();
    for agent in [&breaks, &asks] {
        agent.until("its answer is on the way", |seen| seen.in_flight == 0).await;
    }
    // Both answers are read while the journal is waited for.
    tokio::time::sleep(Duration::from_millis(100)).await;
    mood.gate.open();
    assert!(failure(&world.end(&run).await).message.contains("no"));
    asks.until("its task canceled", |seen| seen.canceled == ["task-1"]).await;
}
